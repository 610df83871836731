//! Which disks belong together: missing, foreign, swapped, copied and stale ones.

mod common;

use std::sync::Arc;

use common::{check, format, given, open, open_given, open_read_only, owner, payload};
use pegasus_base::Time;
use pegasus_disk::{CreateOptions, Disk, DiskError, FileDisk, SimDisk};
use pegasus_log::{
    DiskState, FormatOptions, Listed, Log, LogError, OpenOptions, Owners, Pass, Position, Scope,
};

fn two_arrays() -> (Vec<SimDisk>, Vec<SimDisk>) {
    let (ours, theirs) = (SimDisk::array(3, 8 << 20, 1), SimDisk::array(3, 8 << 20, 2));
    format(&ours, 2, 1, 64 << 10);
    let arcs: Vec<Arc<dyn Disk>> = theirs.iter().map(|d| Arc::new(d.clone()) as _).collect();
    let options = FormatOptions {
        data: 2,
        parity: 1,
        unit_bytes: None,
        label: "theirs".to_owned(),
        now: common::NOW,
    };
    Log::format(&arcs, &options, &mut fastrand::Rng::with_seed(99)).unwrap();
    (ours, theirs)
}

/// There are no continuous segments.
struct Nobody;

impl Owners for Nobody {
    fn list(&self, _: &Log, _: Position) -> Result<(Vec<Listed>, Option<Position>), LogError> {
        Ok((Vec::new(), None))
    }
}

#[track_caller]
fn assert_mentions(problems: &[String], words: &str) {
    assert!(problems.iter().any(|problem| problem.contains(words)), "{words}: {problems:#?}");
}

#[test]
fn a_foreign_disk_is_named_and_not_touched() {
    let (ours, theirs) = two_arrays();
    let mut given = given(&ours);
    given[1] = ("theirs".to_owned(), Some(Arc::new(theirs[1].clone())));
    let written = theirs[1].stats().written_bytes;
    let (log, recovery) = open_given(given, false).unwrap();
    assert_mentions(&recovery.problems, "disk theirs is foreign");
    assert_mentions(&recovery.problems, "missing");
    assert_eq!(log.status().disks[1].state, DiskState::Missing);
    assert_eq!(theirs[1].stats().written_bytes, written);
}

#[test]
fn any_order_will_do() {
    let (ours, _) = two_arrays();
    let mut given = given(&ours);
    given.rotate_left(1);
    let (log, recovery) = open_given(given, false).unwrap();
    assert!(recovery.problems.is_empty(), "{:?}", recovery.problems);
    assert_eq!(log.status().disks[0].path, "sim0");
    check(&log, &[], &[]);
}

#[test]
fn an_empty_disk_and_a_damaged_one_are_told_apart() {
    let (ours, _) = two_arrays();
    let mut with_blank = given(&ours);
    with_blank[2].1 = Some(Arc::new(SimDisk::new("blank", 8 << 20)));
    let (_, recovery) = open_given(with_blank, true).unwrap();
    assert_mentions(&recovery.problems, "disk sim2 has no superblock");
    // One copy of four is enough.
    for offset in [0, 64 << 10, ours[0].size() - (64 << 10)] {
        ours[0].overwrite(offset, &payload(offset, 4096));
    }
    let (log, recovery) = open_read_only(&ours).unwrap();
    assert_mentions(&recovery.problems, "disk sim0 offset 0: copy 0 of its superblock");
    assert_eq!(log.status().disks[0].state, DiskState::Ok);
    drop(log);
    // Opening it for writing makes it whole.
    drop(open(&ours).unwrap());
    assert!(open(&ours).unwrap().1.problems.is_empty());
}

#[test]
fn too_few_disks_are_refused_with_their_names() {
    let (ours, _) = two_arrays();
    let mut given = given(&ours);
    given[0].1 = None;
    given[2].1 = None;
    let error = open_given(given.clone(), false).unwrap_err();
    assert!(matches!(error, LogError::NotAnArray { .. }));
    assert!(error.to_string().contains("sim0, sim2"), "{error}");
    let none = given.into_iter().map(|(path, _)| (path, None)).collect();
    assert!(matches!(open_given(none, true), Err(LogError::NotAnArray { .. })));
    assert!(matches!(open_given(Vec::new(), true), Err(LogError::NotAnArray { .. })));
}

#[test]
fn a_disk_that_was_away_comes_back_without_spoiling_anything() {
    let (ours, _) = two_arrays();
    let (log, _) = open(&ours).unwrap();
    let mut batch = log.batch();
    batch.write(log.root(), 0, b"before").unwrap();
    log.commit(batch).unwrap();
    drop(log);
    for away in 0..3 {
        let mut given = given(&ours);
        given[away].1 = None;
        let (log, recovery) = open_given(given, false).unwrap();
        assert_mentions(&recovery.problems, "missing");
        let mut batch = log.batch();
        batch.write(log.root(), 0, format!("without {away}").as_bytes()).unwrap();
        log.commit(batch).unwrap();
    }
    let (log, recovery) = open(&ours).unwrap();
    assert_mentions(&recovery.problems, "disk sim2 was away");
    assert_eq!(log.read_pnode(log.root(), 0, 99).unwrap(), b"without 2");
    let away = log.rebuilding();
    let mut pass = Pass::new(Scope::Everything);
    while !pass.is_over() {
        pass.step(&log, &Nobody, &mut |_| true).unwrap();
    }
    log.rebuilt(&away).unwrap();
    check(&log, &[], &[]);
    drop(log);
    assert!(open(&ours).unwrap().1.problems.is_empty());
}

#[test]
fn the_halves_of_a_mirror_that_were_used_apart_are_not_mixed() {
    let disks = SimDisk::array(2, 8 << 20, 3);
    format(&disks, 1, 1, 64 << 10);
    for (alone, now) in [(0, 10), (1, 20)] {
        let mut given = given(&disks);
        given[1 - alone].1 = None;
        let options = OpenOptions { now: Time::from_secs(now), read_only: false };
        let (log, _) = Log::open(given, &options).unwrap();
        let mut batch = log.batch();
        batch.write(log.root(), 0, &[alone as u8 + 1; 20_000]).unwrap();
        log.commit(batch).unwrap();
    }
    let (log, recovery) = open(&disks).unwrap();
    assert_mentions(&recovery.problems, "used without the others");
    let content = log.read_pnode(log.root(), 0, 20_000).unwrap();
    assert!(content == [1; 20_000] || content == [2; 20_000]);
    let states: Vec<_> = log.status().disks.iter().map(|disk| disk.state).collect();
    assert!(states.contains(&DiskState::Ok) && states.contains(&DiskState::Failed));
}

#[test]
fn a_copy_of_a_disk_is_left_out() {
    let (ours, _) = two_arrays();
    let copy = ours[1].fork();
    drop(open(&ours).unwrap());
    let mut given = given(&ours);
    given.insert(0, ("copy".to_owned(), Some(Arc::new(copy))));
    let (log, recovery) = open_given(given, false).unwrap();
    assert_mentions(&recovery.problems, "disk copy is an old copy of disk sim1");
    assert_eq!(log.status().disks[1].path, "sim1");
}

#[test]
fn a_read_only_log_writes_nothing() {
    let (ours, _) = two_arrays();
    let (log, _) = open(&ours).unwrap();
    let mut batch = log.batch();
    batch.write(log.root(), 0, b"x").unwrap();
    log.commit(batch).unwrap();
    drop(log);
    let written = |disks: &[SimDisk]| disks.iter().map(|d| d.stats().written_bytes).sum::<u64>();
    let before = written(&ours);
    let (log, _) = open_read_only(&ours).unwrap();
    let mut batch = log.batch();
    assert!(matches!(batch.open_segment(owner(1), 1), Err(LogError::ReadOnly)));
    batch.create_pnode(1);
    assert!(matches!(log.commit(batch), Err(LogError::ReadOnly)));
    assert!(matches!(log.checkpoint(common::NOW), Err(LogError::ReadOnly)));
    check(&log, &[], &[]);
    assert_eq!(written(&ours), before);
}

/// On files: the second opening is refused, and a cut file is noticed.
#[test]
fn files_are_opened_once_and_a_shorter_one_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let paths: Vec<_> = (0..2).map(|at| folder.path().join(format!("disk{at}"))).collect();
    let create = |path: &std::path::PathBuf| -> Arc<dyn Disk> {
        Arc::new(FileDisk::create(path, 8 << 20, CreateOptions::default()).unwrap())
    };
    let files: Vec<Arc<dyn Disk>> = paths.iter().map(create).collect();
    let options = FormatOptions {
        data: 1,
        parity: 1,
        unit_bytes: None,
        label: String::new(),
        now: common::NOW,
    };
    Log::format(&files, &options, &mut fastrand::Rng::with_seed(5)).unwrap();
    drop(files);
    let open_file = |path: &std::path::PathBuf| -> Result<Arc<dyn Disk>, DiskError> {
        Ok(Arc::new(FileDisk::open(path, pegasus_disk::OpenOptions::default())?))
    };
    let give = || -> Vec<(String, Option<Arc<dyn Disk>>)> {
        paths.iter().map(|path| (path.display().to_string(), open_file(path).ok())).collect()
    };
    let (log, recovery) = open_given(give(), false).unwrap();
    assert!(recovery.problems.is_empty(), "{:?}", recovery.problems);
    assert!(matches!(open_file(&paths[0]), Err(DiskError::Locked { .. })));
    let mut batch = log.batch();
    batch.write(log.root(), 0, b"kept").unwrap();
    log.commit(batch).unwrap();
    drop(log);
    let file = std::fs::OpenOptions::new().write(true).open(&paths[1]).unwrap();
    file.set_len(4 << 20).unwrap();
    drop(file);
    let (log, recovery) = open_given(give(), false).unwrap();
    assert_mentions(&recovery.problems, "was cut from");
    assert_eq!(log.read_pnode(log.root(), 0, 99).unwrap(), b"kept");
}

#[test]
fn with_two_parities_two_disks_may_be_missing_and_not_three() {
    let disks = SimDisk::array(6, 8 << 20, 11);
    format(&disks, 4, 2, 64 << 10);
    let without = |gone: &[usize]| {
        let mut given = given(&disks);
        gone.iter().for_each(|gone| given[*gone].1 = None);
        open_given(given, false)
    };
    let error = without(&[0, 3, 5]).unwrap_err();
    assert!(error.to_string().contains("3 of its 6 disks are missing"), "{error}");
    let (log, recovery) = without(&[0, 5]).unwrap();
    assert_mentions(&recovery.problems, "disk sim0 is missing");
    assert_mentions(&recovery.problems, "disk sim5 is missing");
    let mut batch = log.batch();
    batch.write(log.root(), 0, b"four are left").unwrap();
    log.commit(batch).unwrap();
    drop(log);
    // Both come back, and two others go: what was written meanwhile is on those that stayed.
    let (log, _) = without(&[1]).unwrap();
    assert_eq!(log.read_pnode(log.root(), 0, 13).unwrap(), b"four are left");
    let states: Vec<_> = log.status().disks.iter().map(|disk| disk.state).collect();
    use DiskState::{Missing, Ok, Rebuilding};
    assert_eq!(states, [Rebuilding, Missing, Ok, Ok, Ok, Rebuilding]);
}
