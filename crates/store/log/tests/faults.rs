//! As many disks of the array as there is parity fail, lie or go away, and nothing is lost.

mod common;

use common::model::{Model, assert_is, commit_some};
use common::{
    check, format, given, open, open_given, open_read_only, owner, payload, report, seed,
};
use pegasus_disk::{Disk, Fault, SimDisk, Trigger};
use pegasus_log::{DiskIndex, DiskState, Log, LogError};

/// Asserts that nothing is wrong but with the disks labelled so.
#[track_caller]
fn assert_only_blames(log: &Log, model: &Model, labels: &[String]) {
    let (segments, blocks) = model.claims();
    let report = report(log, &segments, &blocks);
    let blamed = |problem: &String| labels.iter().any(|label| problem.contains(label));
    assert!(report.problems.iter().all(blamed), "{labels:?}: {:#?}", report.problems);
}

#[test]
fn one_disk_may_do_what_it_likes() {
    may_do_what_they_like(seed(1), [(4, 1), (1, 1), (2, 1)]);
}

#[test]
fn two_disks_may_do_what_they_like() {
    may_do_what_they_like(seed(101), [(4, 2), (1, 2), (2, 2)]);
}

fn may_do_what_they_like(seed: u64, shapes: [(u8, u8); 3]) {
    let faults = [
        Fault::WriteError,
        Fault::FlushError,
        Fault::Death,
        Fault::LostWrite,
        Fault::MisdirectedWrite,
        Fault::TornWrite,
        Fault::BitRot,
        Fault::BadSector,
        Fault::ReadError,
    ];
    for round in 0..36 {
        let mut rng = fastrand::Rng::with_seed(seed + round);
        let (data, parity) = shapes[rng.usize(..3)];
        let disks = SimDisk::array(usize::from(data + parity), 12 << 20, rng.u64(..));
        format(&disks, data, parity, 64 << 10);
        let (log, _) = open(&disks).unwrap();
        let mut model = Model::new(&log);
        commit_some(&log, &mut model, 8, &mut rng);
        let mut bad = disks.clone();
        rng.shuffle(&mut bad);
        bad.truncate(parity.into());
        for (at, bad) in bad.iter().enumerate() {
            let fault = faults[(round as usize + at * 4) % faults.len()];
            let trigger = match rng.u8(..3) {
                0 => Trigger::Once { from_op: 0 },
                1 => Trigger::Always { from_op: 0 },
                _ => Trigger::Chance { per_million: 200_000 },
            };
            bad.inject(fault, trigger);
        }
        let labels: Vec<String> = bad.iter().map(SimDisk::label).collect();
        commit_some(&log, &mut model, 12, &mut rng);
        assert_is(&log, &model);
        assert_only_blames(&log, &model, &labels);
        drop(log);
        bad.iter().for_each(SimDisk::heal);
        // They come back, or do not.
        let mut given = given(&disks);
        for (label, disk) in &mut given {
            if labels.contains(label) && rng.bool() {
                *disk = None;
            }
        }
        let (log, _) = open_given(given, false).unwrap();
        assert_is(&log, &model);
        commit_some(&log, &mut model, 5, &mut rng);
        assert_is(&log, &model);
        assert_only_blames(&log, &model, &labels);
    }
}

#[test]
fn a_disk_that_dies_is_given_up_and_new_data_has_its_parity_elsewhere() {
    let disks = SimDisk::array(5, 16 << 20, 2);
    format(&disks, 4, 1, 64 << 10);
    let (log, _) = open(&disks).unwrap();
    let mut batch = log.batch();
    let old = batch.open_segment(owner(1), 4).unwrap();
    let map = batch.append(old.id, &[payload(1, 40_000)]).unwrap();
    log.commit(batch).unwrap();
    assert!(log.room(old.id) > 0);
    let before = log.status();

    disks[2].kill();
    let mut batch = log.batch();
    let torn = batch.append(old.id, &[payload(2, 40_000)]).unwrap();
    log.commit(batch).unwrap();
    let states: Vec<_> = log.status().disks.iter().map(|disk| disk.state).collect();
    use DiskState::{Failed, Ok};
    assert_eq!(states, [Ok, Ok, Failed, Ok, Ok]);
    assert_eq!(log.room(old.id), 0, "the segment should be closed");
    let free_bytes = log.status().free_bytes;
    assert!(free_bytes < before.free_bytes * 5 / 6, "a dead disk's slots are no room");

    let mut batch = log.batch();
    let index = batch.append(old.id, &[payload(3, 10_000)]).unwrap();
    batch.seal_segment(old.id).unwrap();
    let new = batch.open_segment(owner(1), 4).unwrap();
    assert_eq!(new.columns.len(), 4, "three of data and parity");
    assert!(new.columns.iter().all(|column| column.disk != DiskIndex(2)));
    let whole = batch.append(new.id, &[payload(4, 40_000)]).unwrap();
    batch.write(log.root(), 0, b"after").unwrap();
    log.commit(batch).unwrap();
    drop(log);

    // Now even another one may go: what was written since does not need both.
    let mut given = given(&disks);
    given[2].1 = None;
    let lost = usize::from(new.columns[0].disk.0);
    given[lost].1 = None;
    let (log, recovery) = open_given(given, false).unwrap();
    assert!(recovery.problems.iter().any(|problem| problem.contains("missing")));
    assert_eq!(log.read_block(&whole).unwrap(), payload(4, 40_000));
    assert_eq!(log.read_pnode(log.root(), 0, 9).unwrap(), b"after");
    for map in [&map, &torn, &index] {
        let missing = |extent: &pegasus_log::Extent| {
            extent.disk == DiskIndex(2) || usize::from(extent.disk.0) == lost
        };
        let extents = map.extents();
        let readable = extents.filter(|extent| missing(extent)).count() < 2;
        assert_eq!(log.read_block(map).is_ok(), readable, "{map:?}");
    }
    assert_eq!(log.status().disks[2].state, DiskState::Missing);
}

#[test]
fn two_disks_at_once_are_too_many_and_nothing_is_accepted_after() {
    let disks = SimDisk::array(5, 8 << 20, 3);
    format(&disks, 4, 1, 64 << 10);
    let (log, _) = open(&disks).unwrap();
    let mut batch = log.batch();
    let segment = batch.open_segment(owner(1), 4).unwrap();
    let kept = batch.append(segment.id, &[payload(1, 40_000)]).unwrap();
    log.commit(batch).unwrap();
    for at in 0..2 {
        disks[usize::from(segment.columns[at].disk.0)]
            .inject(Fault::WriteError, Trigger::Always { from_op: 0 });
    }
    let mut batch = log.batch();
    batch.append(segment.id, &[payload(2, 40_000)]).unwrap();
    let error = log.commit(batch).unwrap_err();
    assert!(matches!(error, LogError::Poisoned { .. }), "{error}");
    let mut batch = log.batch();
    batch.create_pnode(1);
    assert!(matches!(log.commit(batch), Err(LogError::Poisoned { .. })));
    assert!(matches!(log.checkpoint(common::NOW), Err(LogError::Poisoned { .. })));
    assert!(log.status().poisoned.is_some());
    assert_eq!(log.read_block(&kept).unwrap(), payload(1, 40_000), "reading goes on");
}

#[test]
fn a_failed_disk_stays_failed_after_reopening() {
    let disks = SimDisk::array(3, 8 << 20, 4);
    format(&disks, 2, 1, 64 << 10);
    let (log, _) = open(&disks).unwrap();
    disks[1].inject(Fault::FlushError, Trigger::Once { from_op: 0 });
    // Each goes to two of the three disks, in turn as the log moves on.
    while log.status().disks[1].state == DiskState::Ok {
        let mut batch = log.batch();
        batch.write(log.root(), 0, &payload(1, 30_000)).unwrap();
        log.commit(batch).unwrap();
    }
    assert_eq!(log.status().disks[1].state, DiskState::Failed);
    drop(log);
    let (log, recovery) = open(&disks).unwrap();
    assert_eq!(log.status().disks[1].state, DiskState::Failed);
    assert!(recovery.problems.iter().any(|problem| problem.contains("sim1")), "{recovery:?}");
}

#[test]
fn a_disk_that_vanishes_is_noticed_by_a_probe() {
    let disks = SimDisk::array(3, 8 << 20, 5);
    format(&disks, 2, 1, 64 << 10);
    let (log, _) = open(&disks).unwrap();
    assert!(log.probe().is_empty());
    disks[0].kill();
    assert_eq!(log.probe(), [DiskIndex(0)]);
    assert!(log.probe().is_empty(), "told once");
    // Moves the log to the living ones.
    log.checkpoint(common::NOW).unwrap();
    let mut batch = log.batch();
    batch.write(log.root(), 0, b"two are enough").unwrap();
    log.commit(batch).unwrap();
    let mut given = given(&disks);
    given[0].1 = None;
    drop(log);
    let (log, _) = open_given(given, false).unwrap();
    assert_eq!(log.read_pnode(log.root(), 0, 99).unwrap(), b"two are enough");
    check(&log, &[], &[]);
}

#[test]
fn with_two_disks_dead_new_data_has_two_parities_and_a_third_is_too_many() {
    let disks = SimDisk::array(6, 16 << 20, 6);
    format(&disks, 4, 2, 64 << 10);
    let (log, _) = open(&disks).unwrap();
    let mut batch = log.batch();
    let old = batch.open_segment(owner(1), 4).unwrap();
    let map = batch.append(old.id, &[payload(1, 100_000)]).unwrap();
    assert_eq!((map.fragments.len(), map.parity.len()), (4, 2));
    log.commit(batch).unwrap();
    // Both in one commit: it is acknowledged, and there.
    for at in [1, 4] {
        disks[at].inject(Fault::WriteError, Trigger::Always { from_op: 0 });
    }
    let mut batch = log.batch();
    let torn = batch.append(old.id, &[payload(2, 100_000)]).unwrap();
    batch.write(log.root(), 0, b"acknowledged").unwrap();
    log.commit(batch).unwrap();
    let failed = |log: &Log| {
        let disks = log.status().disks.into_iter();
        disks.filter(|disk| disk.state == DiskState::Failed).map(|disk| disk.index.0).collect()
    };
    let gone: Vec<u16> = failed(&log);
    assert_eq!(gone, [1, 4]);
    let mut batch = log.batch();
    let new = batch.open_segment(owner(1), 4).unwrap();
    let whole = batch.append(new.id, &[payload(3, 60_000)]).unwrap();
    assert_eq!((whole.fragments.len(), whole.parity.len()), (2, 2), "narrower, as well protected");
    log.commit(batch).unwrap();
    drop(log);
    for others in [[0, 2], [3, 5], [2, 3]] {
        let mut given = given(&disks);
        [1, 4].into_iter().chain(others).for_each(|at| given[at].1 = None);
        let (log, _) = open_given(given, true).unwrap();
        assert_eq!(log.read_block(&whole).unwrap(), payload(3, 60_000));
        assert_eq!(log.read_pnode(log.root(), 0, 12).unwrap(), b"acknowledged");
        assert!(log.read_block(&map).is_err() && log.read_block(&torn).is_err());
    }
    let (log, _) = open(&disks).unwrap();
    assert_eq!(log.read_block(&map).unwrap(), payload(1, 100_000));
    assert_eq!(log.read_block(&torn).unwrap(), payload(2, 100_000));
    disks[0].inject(Fault::WriteError, Trigger::Always { from_op: 0 });
    let mut batch = log.batch();
    assert!(batch.append(new.id, &[payload(4, 20_000)]).is_ok());
    log.commit(batch).unwrap();
    assert_eq!(log.status().disks[0].state, DiskState::Failed);
    disks[2].inject(Fault::WriteError, Trigger::Always { from_op: 0 });
    disks[3].inject(Fault::WriteError, Trigger::Always { from_op: 0 });
    let mut batch = log.batch();
    let accepted = batch.append(new.id, &[payload(5, 20_000)]).and_then(|_| log.commit(batch));
    assert!(matches!(accepted, Err(LogError::Poisoned { .. })), "{accepted:?}");
}

#[test]
fn what_a_crash_tore_is_no_damage_and_whole_with_the_next_start() {
    let disks = SimDisk::array(5, 16 << 20, 3);
    format(&disks, 4, 1, 64 << 10);
    let (log, _) = open(&disks).unwrap();
    let mut batch = log.batch();
    let segment = batch.open_segment(owner(1), 4).unwrap();
    let first = batch.append(segment.id, &[payload(1, 40_000)]).unwrap();
    log.commit(batch).unwrap();
    let mut batch = log.batch();
    let newest = batch.append(segment.id, &[payload(2, 40_000)]).unwrap();
    log.commit(batch).unwrap();
    drop(log);
    let maps = [first.clone(), newest.clone()];
    let spoil = |map: &pegasus_log::BlockMap| {
        let place = map.fragments[1];
        disks[usize::from(place.disk.0)].rot(place.offset..place.offset + 4096, 5);
    };
    // The last commit's fragment did not arrive.
    spoil(&newest);
    let (log, _) = open_read_only(&disks).unwrap();
    let found = report(&log, std::slice::from_ref(&segment), &maps);
    assert!(found.ok, "{found:?}");
    assert!(found.remarks.iter().any(|remark| remark.contains("from a crash")), "{found:?}");
    drop(log);
    let (log, recovery) = open(&disks).unwrap();
    assert_eq!(recovery.repaired_fragments, 1);
    let found = report(&log, std::slice::from_ref(&segment), &maps);
    assert!(found.ok && found.remarks.is_empty(), "{found:?}");
    drop(log);
    // One before it must have arrived.
    spoil(&first);
    let (log, _) = open_read_only(&disks).unwrap();
    assert!(!report(&log, &[segment], &maps).ok);
}
