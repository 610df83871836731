//! What fits into a volume, and that garbage is not in the way.

mod common;

use common::{NOW, open, open_log, volume};
use pegasus_disk::TearAt;
use pegasus_files::{Errno, Files, Ino, NewInode, SetAttributes, XattrMode};

const FILE: u32 = 0o100_644;

fn make(files: &Files, name: &str) -> Ino {
    files.make(files.root(), name.as_bytes(), &NewInode::new(FILE, 1, 1)).unwrap().ino
}

/// Writes as a database does that never asks: its pages, at random, many times over.
fn overwrite(files: &Files, ino: Ino, model: &mut [u8], writes: u32, rng: &mut fastrand::Rng) {
    const PAGE: usize = 4096;
    for _ in 0..writes {
        let at = rng.usize(0..model.len() / PAGE) * PAGE + rng.usize(0..64);
        let len = rng.usize(1..=PAGE).min(model.len() - at);
        let bytes = vec![rng.u8(..); len];
        files.write(ino, at as u64, &bytes).unwrap();
        model[at..at + len].copy_from_slice(&bytes);
    }
}

#[test]
fn what_is_full_of_garbage_is_not_full() {
    let (disks, log, files) = volume(5, 16 << 20);
    let ino = make(&files, "database");
    let mut model = vec![1; 24 << 20];
    for at in (0..model.len()).step_by(1 << 20) {
        files.write(ino, at as u64, &model[at..at + (1 << 20)]).unwrap();
    }
    let mut rng = fastrand::Rng::with_seed(7);
    // Much more than all the disks hold, and nobody cleans but who writes.
    for _ in 0..10 {
        overwrite(&files, ino, &mut model, 4_000, &mut rng);
        assert!(files.read(ino, 0, model.len()).unwrap() == model);
    }
    assert!(log.status().cleaner.freed_segments > 0, "it was never full");
    files.close().unwrap();
    drop(files);
    drop(log);
    let files = open(&open_log(&disks));
    assert!(files.read(ino, 0, model.len()).unwrap() == model);
}

#[test]
fn small_changes_that_are_placed_are_all_there_after_a_cut() {
    let (disks, log, files) = volume(5, 32 << 20);
    let ino = make(&files, "database");
    // The last block is not a whole one.
    let mut model = vec![2; (8 << 20) + 5_000];
    files.write(ino, 0, &model).unwrap();
    files.sync().unwrap();
    log.checkpoint(NOW).unwrap();
    let before = log.status();
    let mut rng = fastrand::Rng::with_seed(8);
    overwrite(&files, ino, &mut model, 900, &mut rng);
    let end = model.len() - 3_000;
    files.write(ino, end as u64, &[9; 3_000]).unwrap();
    model[end..].fill(9);
    files.sync().unwrap();
    let live = log.status().log_live_bytes - before.log_live_bytes;
    assert!(live > 4 << 20, "{live} bytes were placed");
    let crashed: Vec<_> = disks.iter().map(|disk| disk.crash(TearAt::Bytes512, &mut rng)).collect();
    let files = open(&open_log(&crashed));
    assert!(files.read(ino, 0, model.len()).unwrap() == model);
}

#[test]
fn what_is_said_to_be_free_can_be_written() {
    let (_disks, _log, files) = volume(5, 32 << 20);
    let said = files.room().free_bytes;
    let bytes = vec![3; 1 << 20];
    let mut written = 0;
    let error = (0..).find_map(|n| {
        let ino = make(&files, &format!("file {n}"));
        let refused = files.write(ino, 0, &bytes).err();
        written += if refused.is_none() { bytes.len() as u64 } else { 0 };
        refused
    });
    assert_eq!(error.unwrap().errno(), Errno::NOSPC);
    assert!(written * 10 > said * 9, "{written} of {said} could be written");
    let left = files.room().free_bytes;
    assert!(left < said / 8, "{left} are said to be left");
}

#[test]
fn a_program_that_is_changed_has_no_rights_any_more() {
    let (_disks, _log, files) = volume(2, 32 << 20);
    let ino = make(&files, "program");
    let set = SetAttributes { mode: Some(0o6755), ..SetAttributes::default() };
    files.set(ino, &set).unwrap();
    files.set_xattr(ino, b"security.capability", b"all", XattrMode::Any).unwrap();
    files.set_xattr(ino, b"user.kept", b"yes", XattrMode::Any).unwrap();
    files.write(ino, 0, b"of root").unwrap();
    assert_eq!(files.attributes(ino).unwrap().mode & 0o7777, 0o6755, "its owner may");
    assert_eq!(files.xattr(ino, b"security.capability").unwrap_err().errno(), Errno::NODATA);
    files.drop_rights(ino).unwrap();
    assert_eq!(files.attributes(ino).unwrap().mode & 0o7777, 0o755);
    assert_eq!(files.xattr(ino, b"user.kept").unwrap(), b"yes");
}
