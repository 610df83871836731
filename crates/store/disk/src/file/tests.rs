use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use super::*;
use crate::{AlignedBuf, Batch, Change, SECTOR, flush, read, write};

fn fresh(size_bytes: u64) -> (tempfile::TempDir, PathBuf, FileDisk) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk0");
    let disk = FileDisk::create(&path, size_bytes, CreateOptions::default()).unwrap();
    (dir, path, disk)
}

fn open(path: &std::path::Path) -> Result<FileDisk, DiskError> {
    FileDisk::open(path, OpenOptions::default())
}

#[test]
fn a_second_opener_is_refused_and_told_which_disk() {
    let (_dir, path, disk) = fresh(1 << 20);
    let error = open(&path).unwrap_err();
    assert!(matches!(error, DiskError::Locked { .. }), "{error}");
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    drop(disk);
    open(&path).unwrap();
}

#[test]
fn creating_never_harms_what_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("precious");
    fs::write(&path, "photos").unwrap();
    let error = FileDisk::create(&path, 1 << 20, CreateOptions::default()).unwrap_err();
    assert!(matches!(error, DiskError::Open { what: "created", .. }), "{error}");
    assert_eq!(fs::read(&path).unwrap(), b"photos");
}

#[test]
fn lack_of_room_is_found_at_creation_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("huge");
    let error = FileDisk::create(&path, 1 << 60, CreateOptions::default()).unwrap_err();
    assert!(matches!(error, DiskError::Full { needed_bytes, .. } if needed_bytes == 1 << 60));
    assert!(!path.exists());
}

#[test]
fn room_is_set_aside_unless_sparse() {
    use std::os::unix::fs::MetadataExt;
    let (_dir, path, _disk) = fresh(8 << 20);
    assert!(fs::metadata(&path).unwrap().blocks() * 512 >= 8 << 20);

    let sparse = path.with_file_name("sparse");
    let options = CreateOptions { sparse: true, ..CreateOptions::default() };
    let disk = FileDisk::create(&sparse, 1 << 40, options).unwrap();
    assert!(fs::metadata(&sparse).unwrap().blocks() * 512 < 1 << 20);
    write(&disk, (1 << 40) - 4096, AlignedBuf::from_slice(b"end")).unwrap();
    assert_eq!(&read(&disk, (1 << 40) - 4096, SECTOR).unwrap()[..3], b"end");
}

#[test]
fn only_files_and_block_devices_will_do() {
    let dir = tempfile::tempdir().unwrap();
    let empty = dir.path().join("empty");
    File::create(&empty).unwrap();
    for (path, why) in [
        (dir.path(), "neither a regular file nor"),
        (std::path::Path::new("/dev/null"), "neither a regular file nor"),
        (&empty, "not even one"),
        (&dir.path().join("absent"), "No such file"),
    ] {
        let error = open(path).unwrap_err().to_string();
        assert!(error.contains(why) && error.contains(path.to_str().unwrap()), "{error}");
    }
    for size in [0, 100, 4097] {
        let path = dir.path().join("odd");
        let error = FileDisk::create(&path, size, CreateOptions::default()).unwrap_err();
        assert!(matches!(error, DiskError::Unsuitable { .. }), "{error}");
        assert!(!path.exists());
    }
}

#[test]
fn an_odd_tail_is_not_used() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("odd");
    fs::write(&path, vec![1; 3 * SECTOR + 17]).unwrap();
    assert_eq!(open(&path).unwrap().size(), 3 * SECTOR as u64);
}

/// After `harm`, probing and flushing both fail and say what happened, for good.
fn notices(harm: impl Fn(&std::path::Path)) -> Change {
    let (_dir, path, disk) = fresh(1 << 20);
    write(&disk, 0, AlignedBuf::from_slice(b"x")).unwrap();
    flush(&disk).unwrap();
    disk.probe().unwrap();
    harm(&path);
    write(&disk, 0, AlignedBuf::from_slice(b"y")).unwrap(); // the kernel sees nothing wrong
    let error = flush(&disk).unwrap_err();
    let DiskError::Changed { change, .. } = error else { panic!("{error}") };
    assert!(error.is_final());
    for again in [disk.probe(), flush(&disk), write(&disk, 0, AlignedBuf::zeroed(SECTOR))] {
        assert_eq!(again.unwrap_err().to_string(), error.to_string());
    }
    change
}

#[test]
fn a_file_changed_behind_our_back_is_noticed() {
    assert_eq!(notices(|p| fs::remove_file(p).unwrap()), Change::Deleted);
    assert_eq!(notices(|p| fs::rename(p, p.with_extension("old")).unwrap()), Change::Deleted);
    let replace = |p: &std::path::Path| {
        let other = p.with_extension("new");
        fs::copy(p, &other).unwrap();
        fs::rename(&other, p).unwrap();
    };
    assert_eq!(notices(replace), Change::Replaced);
    let cut = |p: &std::path::Path| {
        File::options().write(true).open(p).unwrap().set_len(8192).unwrap();
    };
    assert_eq!(notices(cut), Change::Shrunk { was_bytes: 1 << 20, now_bytes: 8192 });
}

#[test]
fn probing_alone_notices_too() {
    let (_dir, path, disk) = fresh(1 << 20);
    fs::remove_file(&path).unwrap();
    let error = disk.probe().unwrap_err().to_string();
    assert!(error.ends_with("disk0 was deleted while in use"), "{error}");
}

#[test]
fn reading_past_a_cut_is_an_error_not_zeros() {
    let (_dir, path, disk) = fresh(1 << 20);
    File::options().write(true).open(&path).unwrap().set_len(8192).unwrap();
    let error = read(&disk, 8192, SECTOR).unwrap_err();
    assert!(matches!(error, DiskError::Io { op: Op::Read, offset: 8192, .. }), "{error}");
    // Half of it is there.
    let error = read(&disk, 4096, 4 * SECTOR).unwrap_err();
    assert!(matches!(error, DiskError::Io { op: Op::Read, offset: 4096, .. }), "{error}");
    assert_eq!(disk.stats().errors, 2);
}

/// What reads that nobody waits for any more have under way is not left behind: the file, and the lock on it, are free at once.
#[test]
fn reads_that_were_given_up_do_not_keep_the_file() {
    const LEN: usize = 4 << 20;
    let (_dir, path, disk) = fresh(16 * LEN as u64);
    // What was never written is not read from any disk.
    for i in 0..16 {
        write(&disk, i * LEN as u64, AlignedBuf::from_slice(&vec![i as u8; LEN])).unwrap();
    }
    flush(&disk).unwrap();
    let mut disk = Some(disk);
    let mut given_up = 0;
    for _ in 0..20 {
        let mut reads = crate::Reads::new();
        let reading = disk.take().expect("it was opened");
        (0..16).for_each(|i| {
            reads.add(&reading, i * LEN as u64, LEN);
        });
        given_up += reads.wait_until(Some(std::time::Instant::now()));
        drop(reads);
        drop(reading);
        disk = Some(open(&path).expect("nobody has it open any more"));
    }
    assert!(given_up > 0, "all of them were over at once: nothing is shown");
}

#[test]
fn dropping_finishes_what_was_submitted() {
    let (_dir, path, disk) = fresh(1 << 20);
    let mut batch = Batch::new();
    for i in 0..256 {
        let buf = Arc::new(AlignedBuf::from_slice(&[i as u8; SECTOR]));
        batch.add(&disk, Request::Write { offset: i * SECTOR as u64, buf });
    }
    drop(disk);
    assert!(batch.wait_all().iter().all(Result::is_ok));
    let file = File::open(&path).unwrap();
    let mut byte = [0];
    for i in 0..256 {
        file.read_exact_at(&mut byte, i * SECTOR as u64).unwrap();
        assert_eq!(byte[0], i as u8);
    }
}

#[test]
fn the_label_is_the_absolute_path() {
    let (_dir, path, disk) = fresh(1 << 20);
    assert_eq!(disk.label(), path.to_str().unwrap());
    let dir = tempfile::tempdir_in(".").unwrap();
    let relative = PathBuf::from(dir.path().file_name().unwrap()).join("d");
    let disk = FileDisk::create(&relative, 1 << 20, CreateOptions::default()).unwrap();
    assert_eq!(PathBuf::from(disk.label()), std::env::current_dir().unwrap().join(relative));
    disk.probe().unwrap();
}

/// A disk on a device that fails in its own way, believing itself a file of 1 MiB.
fn on_device(device: &str) -> FileDisk {
    let identity = identity::Identity::of(&tempfile::tempfile().unwrap()).unwrap();
    let identity = identity::Identity { size_bytes: 1 << 20, ..identity };
    let file = File::options().read(true).write(true).open(device).unwrap();
    FileDisk::start(Body::new(file, device.into(), device.to_owned(), identity, false)).unwrap()
}

#[test]
fn a_write_without_room_says_so() {
    let disk = on_device("/dev/full");
    let error = write(&disk, 4096, AlignedBuf::zeroed(2 * SECTOR)).unwrap_err();
    assert!(matches!(error, DiskError::Full { needed_bytes: 8192, .. }), "{error}");
    assert_eq!((disk.stats().errors, disk.stats().writes), (1, 0));
}

#[test]
fn a_failed_flush_ends_all_writing() {
    let disk = on_device("/dev/null"); // takes writes, can't be flushed
    write(&disk, 0, AlignedBuf::zeroed(SECTOR)).unwrap();
    let error = flush(&disk).unwrap_err();
    assert!(matches!(error, DiskError::Io { op: Op::Flush, .. }), "{error}");
    for again in [disk.probe(), flush(&disk), write(&disk, 0, AlignedBuf::zeroed(SECTOR))] {
        let error = again.unwrap_err().to_string();
        assert!(error.starts_with("disk /dev/null is dead: a flush failed"), "{error}");
    }
}

#[test]
fn merged_writes_that_fail_all_say_so() {
    let disk = on_device("/dev/full");
    let mut batch = Batch::new();
    for i in 0..100 {
        let buf = Arc::new(AlignedBuf::zeroed(SECTOR));
        batch.add(&disk, Request::Write { offset: i * SECTOR as u64, buf });
    }
    assert!(batch.wait_all().iter().all(|o| matches!(o, Err(DiskError::Full { .. }))));
    assert_eq!((disk.stats().errors, disk.stats().queued), (100, 0));
}
