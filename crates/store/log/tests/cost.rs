//! What things cost, counted in requests and bytes rather than in time.

mod common;

use common::{format, open, owner, payload};
use pegasus_disk::{Disk, SimDisk, SimModel};
use pegasus_log::OpenOptions;

const GIB: u64 = 1 << 30;

/// Requests and bytes read so far, by all disks.
fn read(disks: &[SimDisk]) -> (u64, u64) {
    let stats = disks.iter().map(|disk| disk.stats());
    stats.fold((0, 0), |(reads, bytes), s| (reads + s.reads, bytes + s.read_bytes))
}

/// A store with so many sealed segments, not closed in good order. What opening it reads.
fn cost_of_reopening(segments: u32) -> (u64, u64) {
    let disks = SimDisk::array(5, 256 * GIB, 1);
    format(&disks, 4, 1, 1 << 20);
    let (log, _) = open(&disks).unwrap();
    let mut offset = 0;
    for at in 0..segments {
        let mut batch = log.batch();
        let segment = batch.open_segment(owner(1), 4).unwrap();
        batch.append(segment.id, &[payload(u64::from(at), 4_000)]).unwrap();
        batch.seal_segment(segment.id).unwrap();
        let mut record = Vec::new();
        segment.emit(&mut record);
        batch.write(log.root(), offset, &record).unwrap();
        offset += record.len() as u64;
        let committed = log.commit(batch).unwrap();
        if committed.checkpoint_due || at % 500 == 0 {
            log.checkpoint(common::NOW).unwrap();
        }
    }
    log.checkpoint(common::NOW).unwrap();
    // A little after the last checkpoint.
    let mut batch = log.batch();
    let segment = batch.open_segment(owner(1), 4).unwrap();
    batch.append(segment.id, &[payload(0, 100_000)]).unwrap();
    log.commit(batch).unwrap();
    drop(log);
    let before = read(&disks);
    let options = OpenOptions { now: common::NOW, read_only: true };
    let (_, recovery) = pegasus_log::Log::open(common::given(&disks), &options).unwrap();
    assert_eq!(recovery.open_segments.len(), 1);
    let after = read(&disks);
    (after.0 - before.0, after.1 - before.1)
}

#[test]
fn reopening_costs_the_same_whatever_is_stored() {
    let (few_reads, few_bytes) = cost_of_reopening(20);
    let (many_reads, many_bytes) = cost_of_reopening(4_000);
    assert!(many_reads <= few_reads + 10 && few_reads < 150, "{few_reads} {many_reads}");
    // Bitmaps of a terabyte are in both; of the log's segments there are a few more.
    assert!(many_bytes < few_bytes + (256 << 10), "{few_bytes} {many_bytes}");
}

#[test]
fn hard_disks_are_read_ahead_when_a_killed_store_is_opened() {
    let model = SimModel { position_us: 10_000, bytes_per_s: 200_000_000 };
    let disks: Vec<SimDisk> =
        SimDisk::array(5, GIB, 4).into_iter().map(|disk| disk.with_model(model)).collect();
    format(&disks, 4, 1, 1 << 20);
    let (log, _) = open(&disks).unwrap();
    log.checkpoint(common::NOW).unwrap();
    let mut segments = Vec::new();
    let mut blocks: Vec<Vec<Vec<u8>>> = vec![Vec::new(); 8];
    for round in 0..40_u64 {
        let mut batch = log.batch();
        if round == 0 {
            segments = (0..8).map(|_| batch.open_segment(owner(1), 4).unwrap()).collect();
        }
        for (at, segment) in segments.iter().enumerate() {
            let bytes = payload(round * 8 + at as u64, 50_000);
            batch.append(segment.id, &[&bytes]).unwrap();
            blocks[at].push(bytes);
        }
        batch.write(log.root(), 0, &round.to_le_bytes()).unwrap();
        log.commit(batch).unwrap();
    }
    drop(log);
    let before = read(&disks).0;
    let options = OpenOptions { now: common::NOW, read_only: true };
    let (log, recovery) = pegasus_log::Log::open(common::given(&disks), &options).unwrap();
    assert_eq!(recovery.transactions, 40);
    // Two for each transaction and five for each block would be 1,680.
    let reads = read(&disks).0 - before;
    assert!(reads < 250, "{reads}");
    for (segment, blocks) in segments.iter().zip(&blocks) {
        let found = recovery.open_segments.iter().find(|open| open.segment.id == segment.id);
        let found = &found.unwrap().blocks;
        assert_eq!(found.len(), 40);
        for (block, bytes) in found.iter().zip(blocks) {
            assert!(log.read_block(&block.map).unwrap() == bytes[..]);
        }
    }
}

#[test]
fn a_commit_writes_little_more_than_its_payload() {
    let disks = SimDisk::array(5, GIB, 2);
    format(&disks, 4, 1, 1 << 20);
    let (log, _) = open(&disks).unwrap();
    let mut batch = log.batch();
    let segment = batch.open_segment(owner(1), 4).unwrap();
    log.commit(batch).unwrap();
    // Half a second of 4 Mb/s.
    let mut batch = log.batch();
    batch.append(segment.id, &[payload(1, 250_000)]).unwrap();
    let flushes = |disks: &[SimDisk]| disks.iter().map(|d| d.stats().flushes).sum::<u64>();
    let before = flushes(&disks);
    let committed = log.commit(batch).unwrap();
    assert_eq!(committed.payload_bytes, 250_000);
    let data = committed.written_bytes - committed.parity_bytes;
    assert!(data <= 250_000 * 11 / 10, "{committed:?}: no log block, hardly any padding");
    assert_eq!(committed.parity_bytes * 4, data);
    assert_eq!(flushes(&disks) - before, 5, "each disk once");
    // A small transaction: a sector on each of two disks.
    let mut batch = log.batch();
    batch.write(log.root(), 0, &[1; 1_000]).unwrap();
    assert_eq!(log.commit(batch).unwrap().written_bytes, 2 * 4096);
    // Nothing to do, nothing done.
    let batch = log.batch();
    assert_eq!(log.commit(batch).unwrap().written_bytes, 0);
}

#[test]
fn a_checkpoint_with_nothing_to_say_writes_nothing() {
    let disks = SimDisk::array(3, 16 << 20, 3);
    format(&disks, 2, 1, 64 << 10);
    let (log, _) = open(&disks).unwrap();
    let before = log.status();
    log.checkpoint(common::NOW).unwrap();
    assert_eq!(log.status(), before);
}
