//! One path through everything: format, commit, checkpoint, reopen, read, check.

mod common;

use common::{check, format, open, open_read_only, owner, payload};
use pegasus_base::PnodeId;
use pegasus_disk::{Disk, SimDisk};
use pegasus_log::{Log, LogError};

#[test]
fn what_was_committed_is_there_after_reopening() {
    let disks = SimDisk::array(5, 16 << 20, 1);
    format(&disks, 4, 1, 128 << 10);
    let (log, recovery) = open(&disks).unwrap();
    assert!(recovery.problems.is_empty(), "{:?}", recovery.problems);
    let root = log.root();

    let mut batch = log.batch();
    let pnode = batch.create_pnode(7);
    batch.write(pnode, 0, b"hello").unwrap();
    batch.write(root, 20_000, b"far").unwrap();
    batch.set_attributes(root, b"mine").unwrap();
    let segment = batch.open_segment(owner(1), 4).unwrap();
    assert_eq!(segment.columns.len(), 5);
    let first = payload(1, 50_000);
    let map = batch.append(segment.id, &[&first[..10], &first[10..]]).unwrap();
    assert_eq!((map.fragments.len(), map.parity.len()), (4, 1));
    let committed = log.commit(batch).unwrap();
    assert_eq!(committed.payload_bytes, 50_000);
    assert_eq!(log.read_block(&map).unwrap(), first);

    let mut batch = log.batch();
    let second = payload(2, 100);
    let short = batch.append(segment.id, &[&second]).unwrap();
    assert_eq!(short.fragments.len(), 1, "a short block costs two sectors");
    log.commit(batch).unwrap();
    drop(log);

    for read_only in [true, false] {
        let (log, recovery) =
            if read_only { open_read_only(&disks) } else { open(&disks) }.unwrap();
        assert_eq!(recovery.transactions, 1);
        assert_eq!(recovery.open_segments.len(), 1);
        let open = &recovery.open_segments[0];
        assert_eq!((&open.segment, open.owner), (&segment, owner(1)));
        let maps: Vec<_> = open.blocks.iter().map(|block| block.map.clone()).collect();
        assert_eq!(maps, [map.clone(), short.clone()]);
        assert_eq!(open.blocks[0].head, first[..pegasus_log::Log::HEAD_BYTES]);
        assert_eq!(open.blocks[1].head, second);
        assert_eq!(log.read_block(&map).unwrap(), first);
        assert_eq!(log.read_block(&short).unwrap(), second);
        assert_eq!(log.read_pnode(pnode, 0, 99).unwrap(), b"hello");
        assert_eq!(log.read_pnode(root, 19_999, 9).unwrap(), b"\0far");
        let info = log.pnode(root).unwrap().unwrap();
        assert_eq!((info.size, &info.attributes[..]), (20_003, &b"mine"[..]));
        assert_eq!(log.pnode(pnode).unwrap().unwrap().kind, 7);
        check(&log, std::slice::from_ref(&segment), &maps);
    }
}

#[test]
fn a_dropped_batch_changes_nothing() {
    let disks = SimDisk::array(2, 4 << 20, 2);
    format(&disks, 1, 1, 64 << 10);
    let (log, _) = open(&disks).unwrap();
    let before = log.status();
    let mut batch = log.batch();
    let pnode = batch.create_pnode(1);
    batch.write(pnode, 0, b"gone").unwrap();
    let segment = batch.open_segment(owner(1), 1).unwrap();
    batch.append(segment.id, &[b"gone"]).unwrap();
    drop(batch);
    assert_eq!(log.pnode(pnode).unwrap(), None);
    assert_eq!(log.status().free_bytes, before.free_bytes);
    check(&log, &[], &[]);
    let mut batch = log.batch();
    assert!(matches!(batch.append(segment.id, &[b"x"]), Err(LogError::NotOpen { .. })));
    assert!(matches!(batch.write(pnode, 0, b"x"), Err(LogError::NoPnode { .. })));
    assert!(batch.is_empty());
}

#[test]
fn slots_come_back_after_the_next_checkpoint_and_a_full_store_says_so() {
    let disks = SimDisk::array(3, 4 << 20, 3);
    format(&disks, 2, 1, 128 << 10);
    let (log, _) = open(&disks).unwrap();
    let mut segments = Vec::new();
    let full = loop {
        let mut batch = log.batch();
        match batch.open_segment(owner(1), 2) {
            Ok(segment) => segments.push(segment),
            Err(error) => break error,
        }
        log.commit(batch).unwrap();
    };
    assert!(matches!(full, LogError::Full { after_checkpoint: false, .. }), "{full}");
    // The log itself goes on: things can be deleted.
    let freed = segments.split_off(segments.len() / 2);
    let mut batch = log.batch();
    for segment in &freed {
        batch.free_segment(segment).unwrap();
        assert!(matches!(batch.free_segment(segment), Err(LogError::NotOwned { .. })));
    }
    assert!(log.commit(batch).unwrap().checkpoint_due);
    let full = log.batch().open_segment(owner(1), 2).unwrap_err();
    assert!(matches!(full, LogError::Full { after_checkpoint: true, .. }), "{full}");
    log.checkpoint(common::NOW).unwrap();
    let mut batch = log.batch();
    segments.push(batch.open_segment(owner(1), 2).unwrap());
    log.commit(batch).unwrap();
    check(&log, &segments, &[]);
    drop(log);
    check(&open(&disks).unwrap().0, &segments, &[]);
}

#[test]
fn the_log_goes_round_and_its_dead_segments_are_freed() {
    let disks = SimDisk::array(2, 4 << 20, 4);
    format(&disks, 1, 1, 64 << 10);
    let (log, _) = open(&disks).unwrap();
    let root = log.root();
    let mut model = Vec::new();
    // Many times what the disks hold.
    for round in 0..600_u32 {
        let mut batch = log.batch();
        let bytes = payload(u64::from(round), 20_000);
        batch.trim(root, model.len() as u64).unwrap();
        batch.write(root, model.len() as u64, &bytes).unwrap();
        model.resize(model.len(), 0);
        let front = model.len();
        model.extend_from_slice(&bytes);
        log.commit(batch).unwrap();
        if round % 3 == 0 {
            log.checkpoint(common::NOW).unwrap();
        }
        if round % 50 == 0 {
            assert_eq!(log.read_pnode(root, front as u64, 20_000).unwrap(), bytes);
            check(&log, &[], &[]);
        }
    }
    assert!(log.status().garbage_entries < 5_000, "{:?}", log.status());
    drop(log);
    let (log, _) = open(&disks).unwrap();
    assert_eq!(log.pnode(root).unwrap().unwrap().size, model.len() as u64);
    check(&log, &[], &[]);
}

#[test]
fn a_transaction_longer_than_a_segment_is_all_or_nothing() {
    let disks = SimDisk::array(5, 16 << 20, 5);
    format(&disks, 4, 1, 64 << 10);
    let (log, _) = open(&disks).unwrap();
    let bytes = payload(9, 900_000);
    let mut batch = log.batch();
    batch.write(log.root(), 5, &bytes).unwrap();
    log.commit(batch).unwrap();
    drop(log);
    let (log, _) = open(&disks).unwrap();
    assert_eq!(log.read_pnode(log.root(), 5, 900_000).unwrap(), bytes);
    check(&log, &[], &[]);
    log.checkpoint(common::NOW).unwrap();
    let mut batch = log.batch();
    batch.truncate(log.root(), 100).unwrap();
    batch.truncate(log.root(), 300).unwrap();
    log.commit(batch).unwrap();
    let read = log.read_pnode(log.root(), 0, 1_000).unwrap();
    assert_eq!((read.len(), &read[5..100], &read[100..]), (300, &bytes[..95], &[0; 200][..]));
    log.checkpoint(common::NOW).unwrap();
    check(&log, &[], &[]);
}

/// Long writes go where they stay: once, with parity, and not through the log.
#[test]
fn bulk_is_written_once() {
    let disks = SimDisk::array(5, 256 << 20, 4);
    format(&disks, 4, 1, 1 << 20);
    let (log, _) = open(&disks).unwrap();
    let mut batch = log.batch();
    let pnode = batch.create_pnode(3);
    log.commit(batch).unwrap();
    let written = |disks: &[SimDisk]| disks.iter().map(|d| d.stats().written_bytes).sum::<u64>();
    let before = written(&disks);
    let mut expected = payload(0, 1_000);
    let mut batch = log.batch();
    batch.write(pnode, 0, &expected).unwrap();
    for at in 0..16 {
        let bytes = payload(1 + at, 2 << 20);
        batch.write(pnode, expected.len() as u64, &bytes).unwrap();
        expected.extend(bytes);
    }
    // What is not committed yet can be written over, in part.
    batch.write(pnode, 5_000_000, b"over").unwrap();
    expected[5_000_000..5_000_004].copy_from_slice(b"over");
    log.commit(batch).unwrap();
    log.checkpoint(common::NOW).unwrap();
    let share = (written(&disks) - before) as f64 / expected.len() as f64;
    assert!(share < 1.25 * 1.05, "{share} bytes written for each byte");
    let read = |log: &Log| log.read_pnode(pnode, 0, usize::MAX >> 1).unwrap();
    assert!(read(&log) == expected);
    check(&log, &[], &[]);
    drop(log);
    // With any one disk gone.
    for gone in 0..5 {
        let mut given = common::given(&disks);
        given[gone].1 = None;
        let (log, _) = common::open_given(given, true).unwrap();
        assert!(read(&log) == expected, "without disk {gone}");
    }
    let (log, _) = open(&disks).unwrap();
    let mut batch = log.batch();
    batch.delete_pnode(pnode).unwrap();
    log.commit(batch).unwrap();
    let full = log.status().log_segments;
    log.checkpoint(common::NOW).unwrap();
    log.checkpoint(common::NOW).unwrap();
    assert!(log.status().log_segments + 6 < full, "its segments are free");
    check(&log, &[], &[]);
}

#[test]
fn numbers_that_were_set_aside_are_made_once() {
    let disks = SimDisk::array(2, 8 << 20, 5);
    format(&disks, 1, 1, 256 << 10);
    let (log, _) = open(&disks).unwrap();
    let reserved = log.reserve_pnodes(10);
    let mut batch = log.batch();
    let other = batch.create_pnode(1);
    assert_eq!(other, reserved.end, "what was set aside is nobody else's");
    let pnode = PnodeId(reserved.start.0 + 3);
    for new in [pnode, log.files_root()] {
        batch.create_numbered(new, 7).unwrap();
        assert!(matches!(batch.create_numbered(new, 7), Err(LogError::Exists { .. })));
        batch.write(new, 0, b"here").unwrap();
    }
    let beyond = PnodeId(other.0 + 1);
    assert!(matches!(batch.create_numbered(beyond, 7), Err(LogError::Exists { .. })));
    log.commit(batch).unwrap();
    drop(log);
    let (log, _) = open(&disks).unwrap();
    for made in [pnode, log.files_root()] {
        assert_eq!(log.read_pnode(made, 0, 10).unwrap(), b"here");
    }
    assert!(log.reserve_pnodes(1).start > other);
}
