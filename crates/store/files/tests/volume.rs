//! Single rules of a volume.

mod common;

use std::sync::Arc;

use common::{NOW, names, open, open_log, open_with, volume};
use pegasus_base::{ManualClock, PnodeId};
use pegasus_files::{
    Allocate, Errno, Files, NewInode, RenameMode, Seek, SetAttributes, Settings, XattrMode,
};

const FILE: u32 = 0o100_644;
const DIR: u32 = 0o040_755;

fn make(files: &Files, name: &str) -> pegasus_files::Ino {
    files.make(files.root(), name.as_bytes(), &NewInode::new(FILE, 1, 1)).unwrap().ino
}

#[test]
fn a_directory_grows_to_many_names_and_becomes_small_again() {
    let (_disks, log, files) = volume(2, 128 << 20);
    let root = files.root();
    let all: Vec<String> = (0..20_000).map(|n| format!("a name that is not short {n}")).collect();
    let file = make(&files, "the file");
    for (at, name) in all.iter().enumerate() {
        files.link(file, root, name.as_bytes()).unwrap();
        if at % 4000 == 0 {
            files.sync().unwrap();
            log.checkpoint(common::NOW).unwrap();
        }
    }
    assert_eq!(files.attributes(file).unwrap().nlink, 20_001);
    let mut listed = names(&files, root);
    listed.sort();
    let mut expected: Vec<Vec<u8>> = all.iter().map(|name| name.clone().into_bytes()).collect();
    expected.push(b"the file".to_vec());
    expected.sort();
    assert_eq!(listed, expected);
    for name in &all {
        assert_eq!(files.lookup(root, name.as_bytes()).unwrap().ino, file);
        files.unlink(root, name.as_bytes()).unwrap();
    }
    files.unlink(root, b"the file").unwrap();
    assert_eq!(files.attributes(root).unwrap().size, 0);
    assert_eq!(files.list(root, 2).unwrap(), []);
}

#[test]
fn what_stays_is_listed_once_whatever_happens_meanwhile() {
    let (_disks, _log, files) = volume(2, 64 << 20);
    let root = files.root();
    for n in 0..500 {
        make(&files, &format!("stays {n}"));
    }
    let (mut cookie, mut seen, mut n) = (0, Vec::new(), 0);
    loop {
        let batch = files.list(root, cookie).unwrap();
        let Some(first) = batch.into_iter().next() else { break };
        cookie = first.cookie;
        if first.name.starts_with(b"stays") {
            seen.push(first.name);
        }
        make(&files, &format!("comes {n}"));
        if n % 2 == 1 {
            files.unlink(root, format!("comes {}", n - 1).as_bytes()).unwrap();
        }
        n += 1;
    }
    assert_eq!(seen.len(), 500);
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 500);
}

#[test]
fn an_open_file_without_a_name_lives_until_it_is_closed_or_the_store_opened_again() {
    let (disks, _log, files) = volume(2, 32 << 20);
    let (kept, crashed) = (make(&files, "kept"), make(&files, "crashed"));
    for ino in [kept, crashed] {
        files.open_inode(ino).unwrap();
        files.write(ino, 0, b"still here").unwrap();
    }
    files.sync().unwrap();
    files.unlink(files.root(), b"kept").unwrap();
    files.unlink(files.root(), b"crashed").unwrap();
    files.sync().unwrap();
    assert_eq!(files.read(kept, 0, 100).unwrap(), b"still here");
    files.close_inode(kept).unwrap();
    assert_eq!(files.attributes(kept).unwrap_err().errno(), Errno::NOENT);
    files.sync().unwrap();
    std::mem::forget(files);

    let log = open_log(&disks);
    assert!(log.pnode(PnodeId(kept.0)).unwrap().is_none());
    assert!(log.pnode(PnodeId(crashed.0)).unwrap().is_some(), "an orphan");
    let files = open(&log);
    assert!(log.pnode(PnodeId(crashed.0)).unwrap().is_none());
    assert_eq!(names(&files, files.root()), Vec::<Vec<u8>>::new());
}

#[test]
fn files_that_come_and_go_between_flushes_never_reach_the_disk() {
    let (_disks, log, files) = volume(2, 32 << 20);
    files.sync().unwrap();
    let before = log.status();
    let ino = make(&files, "short-lived");
    files.write(ino, 0, &[7; 100_000]).unwrap();
    files.unlink(files.root(), b"short-lived").unwrap();
    files.sync().unwrap();
    assert!(log.pnode(PnodeId(ino.0)).unwrap().is_none());
    assert_eq!(log.status().used_bytes, before.used_bytes);
}

#[test]
fn a_full_volume_refuses_before_it_accepts_and_takes_deletions() {
    let (disks, log, files) = volume(2, 16 << 20);
    let ino = make(&files, "large");
    let mut written = 0;
    let error = loop {
        match files.write(ino, written, &[1; 64 << 10]) {
            Ok(()) => written += 64 << 10,
            Err(error) => break error,
        }
    };
    assert_eq!(error.errno(), Errno::NOSPC);
    files.sync().unwrap();
    log.checkpoint(common::NOW).unwrap();
    files.unlink(files.root(), b"large").unwrap();
    files.sync().unwrap();
    log.checkpoint(common::NOW).unwrap();
    drop(files);
    drop(log);
    let files = open(&open_log(&disks));
    assert_eq!(names(&files, files.root()), Vec::<Vec<u8>>::new());
}

#[test]
fn files_leave_to_recordings_what_is_theirs() {
    let (_disks, log, files) = volume(5, 32 << 20);
    drop(files);
    let settings = Settings { kept_from_files_percent: 70, ..Settings::default() };
    let files = open_with(&log, settings);
    let capacity = log.status().capacity_bytes;
    let bytes = vec![7; 1 << 20];
    let mut written = 0;
    let refused = (0..200).find_map(|number| {
        let file = make(&files, &format!("f{number}"));
        let refused = files.write(file, 0, &bytes).err();
        written += if refused.is_none() { bytes.len() as u64 } else { 0 };
        files.sync().unwrap();
        log.checkpoint(NOW).unwrap();
        refused
    });
    assert_eq!(refused.map(|error| error.errno()), Some(Errno::NOSPC));
    let share = capacity * 3 / 10;
    assert!((share * 8 / 10..=share).contains(&written), "{written} of {share}");
    assert!(log.status().free_bytes > capacity / 2, "the rest is recordings'");
}

#[test]
fn limits_have_their_error_numbers() {
    let (_disks, _log, files) = volume(2, 32 << 20);
    let root = files.root();
    let errno = |done: Result<(), pegasus_files::FilesError>| done.unwrap_err().errno();
    let long = [b'a'; 256];
    let made = files.make(root, &long, &NewInode::new(FILE, 0, 0)).map(|_| ());
    assert_eq!(errno(made), Errno::NAMETOOLONG);
    let ino = make(&files, "file");
    assert_eq!(errno(files.write(ino, 1 << 40, b"x")), Errno::FBIG);
    assert_eq!(errno(files.write(root, 0, b"x")), Errno::ISDIR);
    assert_eq!(errno(files.rmdir(root, b"file")), Errno::NOTDIR);
    let dir = files.make(root, b"dir", &NewInode::new(DIR, 0, 0)).unwrap().ino;
    files.make(dir, b"in", &NewInode::new(DIR, 0, 0)).unwrap();
    assert_eq!(errno(files.rmdir(root, b"dir")), Errno::NOTEMPTY);
    assert_eq!(errno(files.unlink(root, b"dir")), Errno::ISDIR);
    let into = files.rename((root, b"dir"), (dir, b"self"), RenameMode::Replace);
    assert_eq!(errno(into), Errno::INVAL);
    assert_eq!(errno(files.set_xattr(ino, b"user.x", b"", XattrMode::Replace)), Errno::NODATA);
    assert_eq!(errno(files.lookup(ino, b"x").map(|_| ())), Errno::NOTDIR);
}

#[test]
fn a_new_owner_loses_set_user_id() {
    let (_disks, _log, files) = volume(2, 32 << 20);
    let ino = make(&files, "program");
    let set = SetAttributes { mode: Some(0o6755), ..SetAttributes::default() };
    assert_eq!(files.set(ino, &set).unwrap().mode, 0o106_755);
    let set = SetAttributes { uid: Some(2), ..SetAttributes::default() };
    assert_eq!(files.set(ino, &set).unwrap().mode, 0o100_755);
}

#[test]
fn syncs_of_many_threads_are_all_durable() {
    let (disks, log, files) = volume(2, 128 << 20);
    let before = log.status().commits;
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let files = &files;
            scope.spawn(move || {
                for n in 0..50 {
                    make(files, &format!("{thread} {n}"));
                    files.sync().unwrap();
                }
            });
        }
    });
    assert!(log.status().commits - before <= 400, "{}", log.status().commits);
    std::mem::forget(files);
    let files = open(&open_log(&disks));
    assert_eq!(names(&files, files.root()).len(), 400);
}

#[test]
fn old_changes_are_flushed_without_being_asked() {
    let (_disks, log, files) = volume(2, 32 << 20);
    drop(files);
    let clock = Arc::new(ManualClock::at(common::NOW));
    let files =
        Files::open(log.clone(), Settings::default(), clock.clone(), Box::new(|| {})).unwrap();
    let ino = make(&files, "file");
    clock.set(common::NOW.offset_ns(31_000_000_000));
    for _ in 0..100 {
        if log.pnode(PnodeId(ino.0)).unwrap().is_some() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    panic!("it is not there after ten seconds");
}

#[test]
fn a_hole_gives_back_what_it_took() {
    let (_disks, log, files) = volume(2, 64 << 20);
    let ino = make(&files, "file");
    files.write(ino, 0, &[7; 4 << 20]).unwrap();
    let settle = || {
        files.sync().unwrap();
        log.checkpoint(common::NOW).unwrap();
        log.status().log_live_bytes
    };
    let before = settle();
    files.allocate(ino, 1 << 20, 2 << 20, Allocate::Punch).unwrap();
    let after = settle();
    assert!(before - after > 2 << 20, "{before} bytes became {after}");
    assert_eq!(files.attributes(ino).unwrap().size, 4 << 20);
    assert_eq!(files.read(ino, (1 << 20) - 1, 3).unwrap(), [7, 0, 0]);
    assert_eq!(files.read(ino, (3 << 20) - 1, 3).unwrap(), [0, 7, 7]);
}

#[test]
fn holes_and_data_are_told_apart_in_memory_and_on_disk() {
    const BLOCK: u64 = 16 << 10;
    let (disks, log, files) = volume(2, 64 << 20);
    let ino = make(&files, "file");
    let set = SetAttributes { size: Some(1 << 30), ..SetAttributes::default() };
    files.set(ino, &set).unwrap();
    files.write(ino, 4 * BLOCK, &[7; 2 * BLOCK as usize]).unwrap();
    files.write(ino, 700 << 20, b"far away").unwrap();
    files.allocate(ino, 5 * BLOCK, BLOCK, Allocate::Punch).unwrap();
    let told = |files: &Files| {
        let seek = |at, what| files.seek(ino, at, what).map_err(|error| error.errno());
        assert_eq!(seek(0, Seek::Hole), Ok(0));
        assert_eq!(seek(0, Seek::Data), Ok(4 * BLOCK));
        assert_eq!(seek(4 * BLOCK + 5, Seek::Data), Ok(4 * BLOCK + 5));
        assert_eq!(seek(4 * BLOCK, Seek::Hole), Ok(5 * BLOCK));
        assert_eq!(seek(5 * BLOCK, Seek::Data), Ok(700 << 20));
        assert_eq!(seek((701 << 20) + 5, Seek::Hole), Ok((701 << 20) + 5));
        assert_eq!(seek(701 << 20, Seek::Data), Err(Errno::NXIO));
        assert_eq!(seek(1 << 30, Seek::Hole), Err(Errno::NXIO));
    };
    told(&files);
    files.sync().unwrap();
    told(&files);
    log.checkpoint(common::NOW).unwrap();
    drop((files, log));
    let files = open(&open_log(&disks));
    told(&files);
    files.write(ino, (1 << 30) - 1, b"x").unwrap();
    assert_eq!(files.seek(ino, 701 << 20, Seek::Data).unwrap(), (1 << 30) - 4096);
    assert_eq!(files.seek(ino, (1 << 30) - 1, Seek::Hole).unwrap(), 1 << 30, "its end");
    files.allocate(ino, 0, 1 << 30, Allocate::Punch).unwrap();
    assert_eq!(files.seek(ino, 0, Seek::Data).unwrap_err().errno(), Errno::NXIO);
}

#[test]
fn a_full_volume_lets_holes_be_made() {
    let (_disks, _log, files) = volume(2, 16 << 20);
    let ino = make(&files, "large");
    let mut written = 0;
    while files.write(ino, written, &[1; 64 << 10]).is_ok() {
        written += 64 << 10;
    }
    files.sync().unwrap();
    assert_eq!(files.write(ino, written, &[1; 64 << 10]).unwrap_err().errno(), Errno::NOSPC);
    files.allocate(ino, 1000, written - 2000, Allocate::Punch).unwrap();
    files.sync().unwrap();
    assert_eq!(files.read(ino, 999, 2).unwrap(), [1, 0]);
}

#[test]
fn a_copy_has_the_same_holes() {
    let (_disks, _log, files) = volume(2, 64 << 20);
    let (from, to) = (make(&files, "from"), make(&files, "to"));
    files.write(from, 0, b"begins").unwrap();
    files.write(from, 500 << 20, b"goes on").unwrap();
    let set = SetAttributes { size: Some(900 << 20), ..SetAttributes::default() };
    files.set(from, &set).unwrap();
    files.write(to, 100 << 20, b"will be nothing").unwrap();
    assert_eq!(files.copy((from, 0), (to, 0), 1 << 40).unwrap(), 900 << 20);
    assert_eq!(files.attributes(to).unwrap().size, 900 << 20);
    assert_eq!(files.read(to, 500 << 20, 7).unwrap(), b"goes on");
    assert_eq!(files.read(to, 100 << 20, 4).unwrap(), [0; 4]);
    assert!(files.seek(to, 4 << 20, Seek::Data).unwrap() >= 499 << 20);
    assert_eq!(files.seek(to, 501 << 20, Seek::Data).unwrap_err().errno(), Errno::NXIO);
}
