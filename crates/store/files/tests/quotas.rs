//! Quotas: what is charged, what is refused, and what a crash leaves of a count.

mod common;

use std::sync::Arc;

use common::{NOW, open, open_log, open_with, volume};
use pegasus_disk::{SimDisk, TearAt};
use pegasus_files::{
    Allocate, Errno, Files, FilesError, Ino, Limits, NewInode, RenameMode, SetAttributes, Settings,
    Usage, check,
};
use pegasus_log::Log;

const FILE: u32 = 0o100_644;
const DIR: u32 = 0o040_755;
const KIB: usize = 1 << 10;

fn make_in(files: &Files, dir: Ino, name: &str, mode: u32) -> Ino {
    files.make(dir, name.as_bytes(), &NewInode::new(mode, 1, 1)).unwrap().ino
}

fn bytes(limit: u64) -> Limits {
    Limits { bytes: Some(limit), files: None }
}

fn used(files: &Files, dir: Ino) -> (u64, u64) {
    let Usage { bytes, files } = files.quota(dir).unwrap().used;
    (bytes, files)
}

fn errno<T>(done: Result<T, FilesError>) -> Option<Errno> {
    done.err().map(|error| error.errno())
}

fn sound(log: &Arc<Log>, files: &Files) {
    files.sync().unwrap();
    assert_eq!(check(log), Vec::<String>::new());
}

/// A volume with a directory that may hold 100 KiB.
fn limited() -> (Vec<SimDisk>, Arc<Log>, Files, Ino) {
    let (disks, log, files) = volume(2, 64 << 20);
    let dir = make_in(&files, files.root(), "dir", DIR);
    files.set_quota(dir, bytes(100 << 10)).unwrap();
    (disks, log, files, dir)
}

#[test]
fn what_grows_beyond_the_limit_is_refused_and_changes_nothing() {
    let (_disks, log, files, dir) = limited();
    let file = make_in(&files, dir, "file", FILE);
    files.write(file, 0, &[7; 60 * KIB]).unwrap();
    let before = files.attributes(file).unwrap();
    let size = |size| SetAttributes { size: Some(size), ..SetAttributes::default() };
    assert_eq!(errno(files.write(file, 60 << 10, &[7; 41 * KIB])), Some(Errno::DQUOT));
    assert_eq!(errno(files.set(file, &size((100 << 10) + 1))), Some(Errno::DQUOT));
    let extend = files.allocate(file, 0, 101 << 10, Allocate::Extend);
    assert_eq!(errno(extend), Some(Errno::DQUOT));
    assert_eq!(files.attributes(file).unwrap(), before);
    files.write(file, 0, &[8; 60 * KIB]).unwrap();
    assert_eq!(used(&files, dir), (60 << 10, 2));
    files.write(file, 60 << 10, &[7; 40 * KIB]).unwrap();
    assert_eq!(errno(files.write(file, 100 << 10, b"x")), Some(Errno::DQUOT));
    let outside = make_in(&files, files.root(), "outside", FILE);
    files.write(outside, 0, &[7; 200 * KIB]).unwrap();
    files.set(file, &size(10)).unwrap();
    assert_eq!(used(&files, dir), (10, 2));
    sound(&log, &files);
}

#[test]
fn a_copy_that_takes_no_room_is_charged_all_the_same() {
    let (_disks, log, files, dir) = limited();
    let from = make_in(&files, files.root(), "from", FILE);
    files.write(from, 0, &[7; 256 * KIB]).unwrap();
    let to = make_in(&files, dir, "to", FILE);
    assert_eq!(errno(files.copy((from, 0), (to, 0), 128 << 10)), Some(Errno::DQUOT));
    assert_eq!(files.copy((from, 0), (to, 0), 64 << 10).unwrap(), 64 << 10);
    assert_eq!(used(&files, dir), (64 << 10, 2));
    files.write(to, 5, b"its own").unwrap();
    assert_eq!(used(&files, dir), (64 << 10, 2));
    files.create_snapshot("kept").unwrap();
    files.write(to, 50_000, b"its own").unwrap();
    files.unlink(dir, b"to").unwrap();
    assert_eq!(used(&files, dir), (0, 1), "what a snapshot alone has is charged to nobody");
    sound(&log, &files);
    files.remove_snapshot("kept").unwrap();
    assert_eq!(used(&files, dir), (0, 1));
    sound(&log, &files);
}

#[test]
fn files_are_counted_with_directories_and_links() {
    let (_disks, log, files, dir) = limited();
    files.set_quota(dir, Limits { bytes: None, files: Some(4) }).unwrap();
    let below = make_in(&files, dir, "below", DIR);
    files.make(below, b"link", &NewInode::link(b"twelve bytes", 0, 0)).unwrap();
    let file = make_in(&files, below, "file", FILE);
    files.link(file, dir, b"again").unwrap();
    assert_eq!(used(&files, dir), (12, 4));
    for mode in [FILE, DIR] {
        let made = files.make(below, b"more", &NewInode::new(mode, 0, 0));
        assert_eq!(errno(made), Some(Errno::DQUOT));
    }
    files.unlink(dir, b"again").unwrap();
    assert_eq!(used(&files, dir), (12, 4), "it has another name");
    files.unlink(below, b"file").unwrap();
    make_in(&files, dir, "more", FILE);
    sound(&log, &files);
}

#[test]
fn an_open_file_is_charged_until_it_is_closed() {
    let (_disks, log, files, dir) = limited();
    let file = make_in(&files, dir, "file", FILE);
    files.write(file, 0, &[7; 90 * KIB]).unwrap();
    files.open_inode(file).unwrap();
    files.unlink(dir, b"file").unwrap();
    let other = make_in(&files, dir, "other", FILE);
    assert_eq!(errno(files.write(other, 0, &[7; 20 * KIB])), Some(Errno::DQUOT));
    sound(&log, &files);
    files.close_inode(file).unwrap();
    files.write(other, 0, &[7; 20 * KIB]).unwrap();
    sound(&log, &files);
}

#[test]
fn no_name_goes_from_tree_to_tree() {
    let (_disks, log, files, dir) = limited();
    let root = files.root();
    let (inside, outside) = (make_in(&files, dir, "in", FILE), make_in(&files, root, "out", FILE));
    let below = make_in(&files, dir, "below", DIR);
    let other = make_in(&files, root, "other", DIR);
    for (from, to, mode) in [
        ((dir, &b"in"[..]), (root, &b"x"[..]), RenameMode::Replace),
        ((root, b"out"), (below, b"x"), RenameMode::Replace),
        ((root, b"other"), (dir, b"x"), RenameMode::Replace),
        ((root, b"out"), (dir, b"in"), RenameMode::Exchange),
    ] {
        assert_eq!(errno(files.rename(from, to, mode)), Some(Errno::XDEV));
    }
    assert_eq!(errno(files.link(inside, root, b"x")), Some(Errno::XDEV));
    assert_eq!(errno(files.link(outside, below, b"x")), Some(Errno::XDEV));
    files.rename((dir, b"in"), (below, b"x"), RenameMode::Replace).unwrap();
    files.rename((root, b"dir"), (other, b"dir"), RenameMode::Replace).unwrap();
    assert_eq!(files.path_of(below).unwrap(), b"/other/dir/below");
    assert_eq!(used(&files, dir), (0, 3), "it moved with its directory");
    assert_eq!(
        errno(files.rename((other, b"dir"), (below, b"x"), RenameMode::Replace)),
        Some(Errno::XDEV)
    );
    sound(&log, &files);
}

#[test]
fn trees_with_quotas_are_apart() {
    let (_disks, _log, files, dir) = limited();
    let below = make_in(&files, dir, "below", DIR);
    for (at, why) in [(below, "above it"), (files.root(), "in it")] {
        let error = files.set_quota(at, bytes(1)).unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
    }
    let file = make_in(&files, dir, "file", FILE);
    assert_eq!(errno(files.set_quota(file, bytes(1))), Some(Errno::NOTDIR));
    assert_eq!(errno(files.remove_quota(below)), Some(Errno::NOENT));
    let beside = make_in(&files, files.root(), "beside", DIR);
    files.set_quota(beside, bytes(1)).unwrap();
    let all: Vec<Ino> = files.quotas().unwrap().iter().map(|quota| quota.dir).collect();
    assert_eq!(all, [dir, beside]);
    let paths = files.paths_of(&all).unwrap();
    assert_eq!(paths, [Some(b"/dir".to_vec()), Some(b"/beside".to_vec())]);
}

#[test]
fn a_quota_goes_with_its_directory_or_is_removed_from_it() {
    let (disks, log, files, dir) = limited();
    let file = make_in(&files, dir, "file", FILE);
    files.write(file, 0, &[7; 90 * KIB]).unwrap();
    files.remove_quota(dir).unwrap();
    files.write(file, 0, &[7; 190 * KIB]).unwrap();
    files.link(file, files.root(), b"out").unwrap();
    sound(&log, &files);
    // Below what is there: nothing is refused but more.
    files.set_quota(dir, bytes(1000)).unwrap();
    assert_eq!(used(&files, dir), (190 << 10, 2));
    assert_eq!(errno(files.write(file, 190 << 10, b"x")), Some(Errno::DQUOT));
    files.write(file, 0, b"x").unwrap();
    files.set_quota(dir, bytes(1 << 20)).unwrap();
    files.write(file, 190 << 10, b"x").unwrap();
    files.unlink(dir, b"file").unwrap();
    assert_eq!(used(&files, dir), ((190 << 10) + 1, 2), "it has another name");
    sound(&log, &files);
    let empty = make_in(&files, files.root(), "empty", DIR);
    files.rename((files.root(), b"empty"), (files.root(), b"dir"), RenameMode::Replace).unwrap();
    assert_eq!(files.quotas().unwrap(), []);
    files.set_quota(empty, bytes(1)).unwrap();
    sound(&log, &files);
    drop((files, log));
    let log = open_log(&disks);
    let files = open(&log);
    assert_eq!(used(&files, empty), (0, 1));
    files.rmdir(files.root(), b"dir").unwrap();
    assert_eq!(files.quotas().unwrap(), []);
    sound(&log, &files);
}

#[test]
fn room_is_what_the_quota_leaves_of_the_stores() {
    let (_disks, _log, files, dir) = limited();
    let file = make_in(&files, dir, "file", FILE);
    files.write(file, 0, &[7; 30 * KIB]).unwrap();
    for ino in [dir, file] {
        let room = files.room_at(ino).unwrap();
        assert_eq!((room.capacity_bytes, room.free_bytes), (100 << 10, 70 << 10));
        assert_eq!(room.files, None);
    }
    files.set_quota(dir, Limits { bytes: Some(1 << 40), files: Some(10) }).unwrap();
    let (room, all) = (files.room_at(dir).unwrap(), files.room());
    assert_eq!(room.free_bytes, all.free_bytes, "the store has less");
    assert_eq!(room.capacity_bytes, all.free_bytes + (30 << 10));
    assert_eq!(room.files, Some((2, 8)));
    let outside = files.room_at(files.root()).unwrap();
    assert_eq!(outside.capacity_bytes, all.capacity_bytes);
    files.set_quota(dir, bytes(10)).unwrap();
    assert_eq!(files.room_at(dir).unwrap().free_bytes, 0);
}

#[test]
fn a_file_in_two_trees_is_charged_to_the_first() {
    let (_disks, log, files) = volume(2, 64 << 20);
    let dirs = ["one", "other"].map(|name| make_in(&files, files.root(), name, DIR));
    let file = make_in(&files, dirs[0], "file", FILE);
    files.write(file, 0, b"seven b").unwrap();
    files.link(file, dirs[1], b"file").unwrap();
    for dir in dirs {
        files.set_quota(dir, bytes(10)).unwrap();
    }
    assert_eq!((used(&files, dirs[0]), used(&files, dirs[1])), ((7, 2), (0, 1)));
    sound(&log, &files);
    files.remove_quota(dirs[0]).unwrap();
    files.write(file, 0, &[1; 100]).unwrap();
    assert_eq!(used(&files, dirs[1]), (0, 1));
    sound(&log, &files);
    files.remove_quota(dirs[1]).unwrap();
    files.set_quota(dirs[1], bytes(10)).unwrap();
    assert_eq!(used(&files, dirs[1]), (100, 2));
    sound(&log, &files);
}

/// A tree that was there before: deep, with many names, some of them also outside.
fn grown(files: &Files, names: usize) -> (Ino, Usage) {
    let dir = make_in(files, files.root(), "dir", DIR);
    let mut sum = Usage { bytes: 0, files: 1 };
    let mut at = dir;
    for n in 0..6 {
        for m in 0..names {
            let file = make_in(files, at, &format!("{n} {m}"), FILE);
            files.write(file, 0, &vec![1; n * 100 + m]).unwrap();
            sum += Usage { bytes: (n * 100 + m) as u64, files: 1 };
            if m % 10 == 0 {
                files.link(file, files.root(), format!("{n} {m}").as_bytes()).unwrap();
            }
        }
        at = make_in(files, at, "below", DIR);
        sum += Usage { bytes: 0, files: 1 };
    }
    (dir, sum)
}

#[test]
fn what_was_there_is_counted_though_a_crash_interrupts_it() {
    let mut unfinished = 0;
    for seed in 0..12 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let (disks, log, files) = volume(2, 64 << 20);
        drop(files);
        // So little may wait that it is written in the course of the walk.
        let files = open_with(&log, Settings { pending_bytes_max: 0, ..Settings::default() });
        let (dir, sum) = grown(&files, 400);
        files.sync().unwrap();
        disks.iter().for_each(SimDisk::record);
        let first = disks[0].counter().next_op();
        files.set_quota(dir, bytes(1 << 30)).unwrap();
        assert_eq!(files.quota(dir).unwrap().used, sum);
        sound(&log, &files);
        let at = rng.u64(first..=disks[0].counter().next_op());
        let cut = disks.iter().map(|disk| disk.image_at(at, TearAt::Bytes512, &mut rng));
        let log = open_log(&cut.collect::<Vec<_>>());
        let files = open(&log);
        assert_eq!(check(&log), Vec::<String>::new(), "seed {seed}");
        let Ok(quota) = files.quota(dir) else { continue };
        unfinished += u32::from(quota.counting);
        files.finish_counting().unwrap();
        let quota = files.quota(dir).unwrap();
        assert_eq!((quota.used, quota.counting), (sum, false), "seed {seed}");
        sound(&log, &files);
    }
    assert!(unfinished > 0, "no count was ever interrupted");
}

/// Others go on while a tree is counted: nothing is counted twice or forgotten, nothing refused.
#[test]
fn programs_go_on_while_a_tree_is_counted() {
    for seed in 0..8 {
        let (_disks, log, files) = volume(2, 64 << 20);
        let (dir, _) = grown(&files, 50);
        let below = files.lookup(dir, b"below").unwrap().ino;
        let mut rng = fastrand::Rng::with_seed(seed);
        std::thread::scope(|scope| {
            let counted = scope.spawn(|| files.set_quota(dir, bytes(1)).unwrap());
            for n in 0..2000 {
                let (from, to) = if rng.bool() { (dir, below) } else { (below, dir) };
                let name = format!("{} {}", rng.u8(..3), rng.u8(..50));
                let made = format!("new {n}");
                let moved = files.rename(
                    (from, name.as_bytes()),
                    (to, name.as_bytes()),
                    RenameMode::Replace,
                );
                let tree = make_in(&files, from, &made, DIR);
                assert!(matches!(errno(moved), None | Some(Errno::NOENT)));
                make_in(&files, tree, "file", FILE);
                files
                    .rename((from, made.as_bytes()), (to, made.as_bytes()), RenameMode::Replace)
                    .unwrap();
                if counted.is_finished() {
                    break;
                }
            }
        });
        assert!(!files.quota(dir).unwrap().counting);
        sound(&log, &files);
    }
}

/// A directory that is not counted yet moves to where the walk has been: under some of these names.
#[test]
fn what_moves_behind_the_walk_is_counted() {
    for n in 0..12 {
        let (_disks, log, files) = volume(2, 64 << 20);
        let (dir, sum) = grown(&files, 50);
        let mut above = dir;
        for _ in 0..3 {
            above = files.lookup(above, b"below").unwrap().ino;
        }
        files.begin_quota(dir, bytes(1 << 30)).unwrap();
        for _ in 0..=n % 2 {
            files.count_some().unwrap();
        }
        assert!(files.quota(dir).unwrap().counting);
        let name = format!("up {n}");
        let to = (dir, name.as_bytes());
        files.rename((above, b"below"), to, RenameMode::Replace).unwrap();
        files.rename((above, b"3 7"), (dir, b"3 7"), RenameMode::Replace).unwrap();
        files.finish_counting().unwrap();
        assert_eq!(files.quota(dir).unwrap().used, sum);
        sound(&log, &files);
        log.checkpoint(NOW).unwrap();
    }
}

/// A wrong account is named by the check.
#[test]
fn the_check_names_a_wrong_account() {
    let (_disks, log, files, dir) = limited();
    let file = make_in(&files, dir, "file", FILE);
    files.write(file, 0, &[7; 1000]).unwrap();
    sound(&log, &files);
    let all = log.pnodes().unwrap();
    let info = |pnode| log.pnode(pnode).unwrap().unwrap();
    let quota = all.into_iter().find(|pnode| info(*pnode).kind == 22).unwrap();
    let mut bytes = info(quota).attributes.to_vec();
    assert_eq!(bytes[32..40], 1000_u64.to_le_bytes());
    bytes[32] ^= 1;
    let mut batch = log.batch();
    batch.set_attributes(quota, &bytes).unwrap();
    log.commit(batch).unwrap();
    let problems = check(&log);
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(
        problems[0].contains("counts 1001 bytes and 2 files and has 1000 and 2"),
        "{problems:?}"
    );
    assert!(problems[0].contains(&dir.to_string()));
}

/// Found by the simulator, seed 216: the number of a quota that never reached the disks was given to the next one, and what bore
/// the first one's stamp was taken for counted.
#[test]
fn the_stamps_of_a_quota_that_came_and_went_mean_nothing_after_a_crash() {
    let (disks, log, files) = volume(2, 64 << 20);
    let mut rng = fastrand::Rng::with_seed(3);
    let other = make_in(&files, files.root(), "other", DIR);
    let upper = make_in(&files, files.root(), "upper", DIR);
    let lower = make_in(&files, upper, "lower", DIR);
    let file = make_in(&files, lower, "file", FILE);
    files.write(file, 0, &[7; 60 * KIB]).unwrap();
    // One that stays.
    files.set_quota(other, bytes(1 << 20)).unwrap();
    files.sync().unwrap();
    files.set_quota(upper, bytes(1 << 20)).unwrap();
    files.remove_quota(upper).unwrap();
    files.sync().unwrap();
    let crashed: Vec<_> = disks.iter().map(|disk| disk.crash(TearAt::Bytes512, &mut rng)).collect();
    drop((files, log));
    let log = open_log(&crashed);
    let files = open(&log);
    files.set_quota(lower, bytes(100 << 10)).unwrap();
    assert_eq!(used(&files, lower), (60 << 10, 2));
    sound(&log, &files);
}
