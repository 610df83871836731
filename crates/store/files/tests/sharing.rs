//! Borrowed content and snapshots: what they cost, and what they give back.

mod common;

use std::sync::Arc;

use common::{names, open, open_log, volume};
use pegasus_base::PnodeId;
use pegasus_disk::{Op, SimDisk};
use pegasus_files::{
    Allocate, Errno, Files, Ino, NewInode, RenameMode, Seek, SetAttributes, Snapshot, check,
};
use pegasus_log::Log;

const FILE: u32 = 0o100_644;
const DIR: u32 = 0o040_755;
const MIB: usize = 1 << 20;

fn make(files: &Files, name: &str) -> Ino {
    files.make(files.root(), name.as_bytes(), &NewInode::new(FILE, 1, 1)).unwrap().ino
}

fn filled(files: &Files, name: &str, len: usize) -> (Ino, Vec<u8>) {
    let ino = make(files, name);
    let mut bytes = vec![0; len];
    fastrand::Rng::with_seed(len as u64).fill(&mut bytes);
    files.write(ino, 0, &bytes).unwrap();
    (ino, bytes)
}

/// Bytes of the log in use when all is written.
fn live(log: &Log, files: &Files) -> u64 {
    files.sync().unwrap();
    log.checkpoint(common::NOW).unwrap();
    log.status().log_live_bytes
}

fn written(disks: &[SimDisk]) -> u64 {
    use pegasus_disk::Disk;
    disks.iter().map(|disk| disk.stats().written_bytes).sum()
}

fn sound(log: &Arc<Log>, files: &Files) {
    files.sync().unwrap();
    assert_eq!(check(log), Vec::<String>::new());
}

#[test]
fn a_copy_takes_no_room_until_one_of_the_two_changes() {
    let (disks, log, files) = volume(3, 96 << 20);
    let (from, mut bytes) = filled(&files, "from", 8 * MIB + 5000);
    let to = make(&files, "to");
    let before = live(&log, &files);
    assert_eq!(files.copy((from, 0), (to, 0), 1 << 40).unwrap(), bytes.len() as u64);
    let after = live(&log, &files);
    assert!(after - before < 16 << 10, "{} bytes for a copy", after - before);
    assert_eq!(files.read(to, 0, 16 * MIB).unwrap(), bytes);
    files.write(from, 3 * MIB as u64 + 1, b"changed").unwrap();
    assert_eq!(files.read(to, 0, 16 * MIB).unwrap(), bytes, "the copy is as it was");
    let now = live(&log, &files);
    assert!(now - after < 48 << 10, "{} bytes for a block that changed", now - after);
    sound(&log, &files);
    drop((files, log));

    let log = open_log(&disks);
    let files = open(&log);
    assert_eq!(files.read(to, 0, 16 * MIB).unwrap(), bytes);
    bytes[3 * MIB + 1..][..7].copy_from_slice(b"changed");
    assert_eq!(files.read(from, 0, 16 * MIB).unwrap(), bytes);
    files.unlink(files.root(), b"to").unwrap();
    let gone = live(&log, &files);
    assert!(gone < before + (32 << 10), "what the copy alone had is given back: {gone}, {before}");
    files.unlink(files.root(), b"from").unwrap();
    assert!(live(&log, &files) < 64 << 10);
    sound(&log, &files);
}

#[test]
fn what_the_last_borrower_overwrites_is_given_back() {
    let (_disks, log, files) = volume(3, 96 << 20);
    let (from, _) = filled(&files, "from", 8 * MIB);
    let to = make(&files, "to");
    files.copy((from, 0), (to, 0), 8 << 20).unwrap();
    files.write(from, 0, &vec![1; 8 * MIB]).unwrap();
    assert!(live(&log, &files) > 16 << 20, "both have their own");
    files.unlink(files.root(), b"to").unwrap();
    assert!(live(&log, &files) < 9 << 20);
    files.copy((from, 0), (from, 16 << 20), 4 << 20).unwrap();
    files.write(from, 0, &vec![2; 8 * MIB]).unwrap();
    assert!(live(&log, &files) < 13 << 20, "what nobody borrows any more is gone");
    sound(&log, &files);
}

#[test]
fn copies_that_fit_no_blocks_are_right_too() {
    let (_disks, log, files) = volume(3, 64 << 20);
    let (from, bytes) = filled(&files, "from", 300_000);
    for (at, into, len) in [(5_u64, 5_u64, 200_000_u64), (0, 7, 99_999), (20_000, 3_616, 150_000)] {
        let to = make(&files, &format!("{at} {into}"));
        files.write(to, 0, &[9; 250_000]).unwrap();
        assert_eq!(files.copy((from, at), (to, into), len).unwrap(), len);
        let mut expected = vec![9; 250_000];
        expected[into as usize..(into + len) as usize]
            .copy_from_slice(&bytes[at as usize..(at + len) as usize]);
        assert_eq!(files.read(to, 0, 300_000).unwrap(), expected);
    }
    sound(&log, &files);
}

#[test]
fn holes_of_what_is_borrowed_are_holes() {
    let (_disks, log, files) = volume(3, 64 << 20);
    let (from, _) = filled(&files, "from", MIB);
    files.allocate(from, 256 << 10, 512 << 10, Allocate::Punch).unwrap();
    let to = make(&files, "to");
    files.copy((from, 0), (to, 0), 1 << 20).unwrap();
    for settled in [false, true] {
        for ino in [from, to] {
            assert_eq!(files.seek(ino, 0, Seek::Hole).unwrap(), 256 << 10, "{ino} {settled}");
            assert_eq!(files.seek(ino, 300 << 10, Seek::Data).unwrap(), 768 << 10);
        }
        sound(&log, &files);
    }
    files.allocate(to, 0, 128 << 10, Allocate::Punch).unwrap();
    assert_eq!(files.seek(to, 0, Seek::Data).unwrap(), 128 << 10);
    assert_eq!(files.seek(from, 0, Seek::Data).unwrap(), 0);
}

/// More extents than an inode has room for.
#[test]
fn a_file_of_many_pieces_is_whole() {
    let (disks, log, files) = volume(3, 64 << 20);
    let (from, bytes) = filled(&files, "from", 4 * MIB);
    let to = make(&files, "to");
    files.copy((from, 0), (to, 0), 4 << 20).unwrap();
    let mut expected = bytes.clone();
    for at in (0..expected.len()).step_by(40_000) {
        files.write(to, at as u64, b"here").unwrap();
        expected[at..at + 4].copy_from_slice(b"here");
    }
    sound(&log, &files);
    drop((files, log));
    let log = open_log(&disks);
    let files = open(&log);
    assert_eq!(files.read(to, 0, 4 * MIB).unwrap(), expected);
    assert_eq!(files.read(from, 0, 4 * MIB).unwrap(), bytes);
    let set = SetAttributes { size: Some(50_001), ..SetAttributes::default() };
    files.set(to, &set).unwrap();
    assert_eq!(files.read(to, 0, 4 * MIB).unwrap(), expected[..50_001]);
    sound(&log, &files);
}

fn read(files: &Files, snapshot: &Snapshot, path: &[&str]) -> Result<Vec<u8>, Errno> {
    let view = files.at(snapshot.id);
    let mut at = files.root();
    for name in path {
        at = view.lookup(at, name.as_bytes()).map_err(|error| error.errno())?.ino;
    }
    view.read(at, 0, 64 * MIB).map_err(|error| error.errno())
}

#[test]
fn a_snapshot_costs_the_same_however_much_there_is() {
    let cost = |count: usize| {
        let (disks, _log, files) = volume(3, 96 << 20);
        let dir = files.make(files.root(), b"dir", &NewInode::new(DIR, 0, 0)).unwrap().ino;
        for n in 0..count {
            let made = files.make(dir, format!("{n}").as_bytes(), &NewInode::new(FILE, 0, 0));
            files.write(made.unwrap().ino, 0, &[7; 10_000]).unwrap();
        }
        files.sync().unwrap();
        let before = written(&disks);
        files.create_snapshot("now").unwrap();
        files.sync().unwrap();
        written(&disks) - before
    };
    let (few, many) = (cost(10), cost(1500));
    assert_eq!(few, many, "bytes written for one");
    assert!(few < 64 << 10, "{few}");
}

#[test]
fn a_snapshot_keeps_a_tree_that_is_removed_and_gives_it_back() {
    let (disks, log, files) = volume(3, 96 << 20);
    let root = files.root();
    let empty = live(&log, &files);
    let dir = files.make(root, b"dir", &NewInode::new(DIR, 0, 0)).unwrap().ino;
    let (large, bytes) = filled(&files, "large", 6 * MIB);
    files.rename((root, b"large"), (dir, b"large"), RenameMode::Replace).unwrap();
    for n in 0..400 {
        let made = files.make(dir, format!("{n}").as_bytes(), &NewInode::new(FILE, 0, 0)).unwrap();
        files.write(made.ino, 0, format!("this is {n}").as_bytes()).unwrap();
    }
    let full = live(&log, &files);
    let first = files.create_snapshot("first").unwrap();
    files.write(large, 100, b"not in the first").unwrap();
    let second = files.create_snapshot("second").unwrap();
    for name in names(&files, dir) {
        files.unlink(dir, &name).unwrap();
    }
    files.rmdir(root, b"dir").unwrap();
    assert_eq!(names(&files, root), Vec::<Vec<u8>>::new());
    let kept = live(&log, &files);
    assert!(kept < full + (256 << 10), "{kept} bytes in place of {full}");
    sound(&log, &files);
    drop((files, log));

    let log = open_log(&disks);
    let files = open(&log);
    assert_eq!(files.snapshots(), [first.clone(), second.clone()]);
    assert_eq!(read(&files, &first, &["dir", "large"]).unwrap(), bytes);
    let mut changed = bytes;
    changed[100..116].copy_from_slice(b"not in the first");
    assert_eq!(read(&files, &second, &["dir", "large"]).unwrap(), changed);
    for n in 0..400 {
        let text = format!("this is {n}");
        assert_eq!(read(&files, &first, &["dir", &n.to_string()]).unwrap(), text.as_bytes());
    }
    assert_eq!(files.write(large, 0, b"x").unwrap_err().errno(), Errno::NOENT, "it was deleted");
    files.remove_snapshot("second").unwrap();
    sound(&log, &files);
    assert_eq!(read(&files, &first, &["dir", "7"]).unwrap(), b"this is 7", "handed down");
    assert_eq!(read(&files, &second, &["dir", "7"]), Err(Errno::NOENT));
    files.remove_snapshot("first").unwrap();
    assert_eq!(files.remove_snapshot("first").unwrap_err().errno(), Errno::NOENT);
    sound(&log, &files);
    let left = live(&log, &files);
    assert!(left < empty + (64 << 10), "{left} bytes are left of {kept}; {empty} were there");
}

/// A volume with snapshots `first` and `second`, and a file that only the second knows, which is removed while everything is synced; the numbers of the
/// requests to its disks meanwhile, and how many files are in the first. With moments between the steps: a removal may be over before anything
/// is synced, then one of more files is made.
fn removed_in_steps() -> (Vec<SimDisk>, Ino, std::ops::RangeInclusive<u64>, usize) {
    for half in (1..20).map(|n| n * 150) {
        let (disks, _log, files) = volume(3, 64 << 20);
        let root = files.root();
        for n in 0..half * 2 {
            make(&files, &format!("{n}"));
        }
        files.create_snapshot("first").unwrap();
        filled(&files, "young", MIB);
        for n in 0..half {
            files.unlink(root, format!("{n}").as_bytes()).unwrap();
        }
        files.create_snapshot("second").unwrap();
        for n in half..half * 2 {
            files.unlink(root, format!("{n}").as_bytes()).unwrap();
        }
        files.sync().unwrap();
        disks.iter().for_each(SimDisk::record);
        let from = disks[0].counter().next_op();
        std::thread::scope(|scope| {
            let removal = scope.spawn(|| files.remove_snapshot("second"));
            while !removal.is_finished() {
                files.sync().unwrap();
            }
            removal.join().unwrap().unwrap();
        });
        files.sync().unwrap();
        let flushes = disks[0].ops().iter().filter(|record| record.op == Op::Flush).count();
        if flushes >= 4 {
            let to = disks[0].counter().next_op();
            return (disks, root, from..=to, half * 2);
        }
    }
    panic!("no removal was ever synced between its steps");
}

/// The power goes away between the steps of a removal.
#[test]
fn a_removal_that_was_cut_off_goes_on() {
    let (disks, root, requests, count) = removed_in_steps();
    let mut rng = fastrand::Rng::with_seed(common::seed(5));
    let step = (requests.end() - requests.start()).div_ceil(40) as usize;
    for at in requests.step_by(step) {
        let found: Vec<SimDisk> = disks
            .iter()
            .map(|disk| disk.image_at(at, pegasus_disk::TearAt::Bytes512, &mut rng))
            .collect();
        let log = open_log(&found);
        let files = open(&log);
        let first = files.snapshots()[0].clone();
        let shown = files.snapshots().len();
        let known = |snapshot: &Snapshot| ["first", "second"].contains(&snapshot.name.as_str());
        assert!(files.snapshots().iter().all(known), "request {at}");
        let all = |files: &Files| {
            let view = files.at(first.id);
            common::names_by(|cookie| view.list(root, cookie).unwrap()).len()
        };
        assert_eq!(all(&files), count, "request {at}");
        if shown == 1 {
            files.unlink(root, b"young").unwrap();
        }
        files.finish_removals().unwrap();
        assert_eq!(all(&files), count, "request {at}, after it came to its end");
        assert_eq!(files.snapshots().len(), shown, "request {at}");
        if shown == 1 {
            let left = live(&log, &files);
            assert!(
                left < MIB as u64,
                "request {at}: {left} bytes are left, with what only the second knew"
            );
        }
        sound(&log, &files);
    }
}

#[test]
fn a_snapshot_can_be_removed_when_nothing_fits() {
    let (_disks, log, files) = volume(2, 16 << 20);
    let ino = make(&files, "large");
    let mut end = 0;
    while end < 4 << 20 {
        files.write(ino, end, &[1; 64 << 10]).unwrap();
        end += 64 << 10;
    }
    files.create_snapshot("before").unwrap();
    let mut at = 0;
    while files.write(ino, at, &[2; 64 << 10]).is_ok() {
        at += 64 << 10;
    }
    files.sync().unwrap();
    assert_eq!(files.write(ino, at, &[3; 64 << 10]).unwrap_err().errno(), Errno::NOSPC);
    files.remove_snapshot("before").unwrap();
    files.sync().unwrap();
    log.checkpoint(common::NOW).unwrap();
    sound(&log, &files);
    assert_eq!(files.read(ino, 0, 1).unwrap(), [2]);
}

#[test]
fn names_of_snapshots() {
    let (_disks, _log, files) = volume(2, 32 << 20);
    files.create_snapshot("täglich 1").unwrap();
    let errno = |name: &str| files.create_snapshot(name).unwrap_err().errno();
    assert_eq!(errno("täglich 1"), Errno::EXIST);
    assert_eq!(errno(""), Errno::NOENT);
    assert_eq!(errno(".hidden"), Errno::INVAL);
    assert_eq!(errno("a/b"), Errno::INVAL);
    assert_eq!(errno("a\nb"), Errno::INVAL);
    assert_eq!(errno(&"x".repeat(256)), Errno::NAMETOOLONG);
    assert_eq!(files.status().snapshots, 1);
    // Its name is free at once.
    files.remove_snapshot("täglich 1").unwrap();
    files.create_snapshot("täglich 1").unwrap();
}

/// What only snapshots and copies know of is refused by programs that do not.
#[test]
fn an_older_program_refuses_what_it_would_misread() {
    let (_disks, log, files) = volume(2, 32 << 20);
    let version = || log.pnode(log.files_root()).unwrap().unwrap().attributes[4];
    let (from, _) = filled(&files, "from", MIB);
    files.sync().unwrap();
    assert_eq!(version(), 1, "nothing is shared");
    let to = make(&files, "to");
    files.copy((from, 0), (to, 0), 1 << 20).unwrap();
    files.sync().unwrap();
    assert_eq!(version(), 2);
}

#[test]
fn the_check_names_what_is_wrong() {
    let (_disks, log, files) = volume(3, 64 << 20);
    let (from, _) = filled(&files, "from", MIB);
    let to = make(&files, "to");
    files.copy((from, 0), (to, 0), 1 << 20).unwrap();
    make(&files, "other");
    files.create_snapshot("snapshot").unwrap();
    files.unlink(files.root(), b"to").unwrap();
    files.close().unwrap();
    assert_eq!(check(&log), Vec::<String>::new());
    let attributes = |ino: Ino| log.pnode(PnodeId(ino.0)).unwrap().unwrap().attributes.to_vec();
    let spoiled = |ino: Ino, at: usize, wrong: &str| {
        let whole = attributes(ino);
        let put = |bytes: &[u8]| {
            let mut batch = log.batch();
            batch.set_attributes(PnodeId(ino.0), bytes).unwrap();
            log.commit(batch).unwrap();
        };
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        put(&bytes);
        let problems = check(&log);
        assert!(problems.iter().any(|problem| problem.contains(wrong)), "{wrong}: {problems:?}");
        put(&whole);
        assert_eq!(check(&log), Vec::<String>::new());
    };
    spoiled(from, 16, "links");
    spoiled(from, 124, "who borrow its content"); // how many borrow
    spoiled(from, 108, "borrows its content, which does not"); // home
    spoiled(from, 100, "which is of another kind"); // the pnode of its own content
    spoiled(to, 2, "which can be changed"); // its role
    spoiled(files.root(), 68, "counts 3 names and has 2");
    let mut batch = log.batch();
    let lost = batch.create_pnode(17);
    batch.set_attributes(lost, &attributes(files.root())).unwrap();
    log.commit(batch).unwrap();
    let problems = check(&log);
    assert!(problems.iter().any(|problem| problem.contains("nothing leads to")), "{problems:?}");
}

/// A copy from a snapshot brings back what was, without copying.
#[test]
fn a_file_is_brought_back_from_a_snapshot() {
    let (_disks, log, files) = volume(3, 96 << 20);
    let (large, bytes) = filled(&files, "large", 8 * MIB);
    let (small, little) = filled(&files, "small", 40_000);
    let then = files.create_snapshot("then").unwrap();
    files.write(large, 0, &vec![0; 8 * MIB]).unwrap();
    files.unlink(files.root(), b"small").unwrap();
    let before = live(&log, &files);
    let back = make(&files, "back");
    let view = files.at(then.id);
    assert_eq!(view.copy((large, 0), (large, 0), 1 << 30).unwrap(), 8 << 20);
    assert_eq!(view.copy((small, 0), (back, 0), 1 << 30).unwrap(), 40_000);
    assert_eq!(files.read(large, 0, 16 * MIB).unwrap(), bytes);
    assert_eq!(files.read(back, 0, MIB).unwrap(), little);
    assert!(live(&log, &files) < before - (7 << 20), "it is there once");
    files.remove_snapshot("then").unwrap();
    assert_eq!(files.read(large, 0, 16 * MIB).unwrap(), bytes);
    assert_eq!(files.read(back, 0, MIB).unwrap(), little);
    sound(&log, &files);
}
