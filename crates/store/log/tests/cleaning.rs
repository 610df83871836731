//! The cleaner: what it frees, what it costs, and that it loses nothing.

mod common;

use common::model::Model;
use common::{check, format, open, payload, seed};
use pegasus_base::PnodeId;
use pegasus_disk::{Disk, SimDisk};
use pegasus_log::{CleanerStatus, Cleaning, Log, LogError};

/// Length of a content block, the unit in which things die here.
const BLOCK: u64 = 16 << 10;
const BUDGET: u64 = 1 << 20;

/// Cleans until a few passes gain nothing: what they move makes a little garbage itself.
fn clean_all(log: &Log) {
    let (mut least, mut vain) = (u64::MAX, 0);
    while vain < 4 {
        log.clean(BUDGET).unwrap();
        log.checkpoint(common::NOW).unwrap();
        let segments = log.status().log_segments;
        vain = if segments < least { 0 } else { vain + 1 };
        least = least.min(segments);
    }
}

fn write(log: &Log, pnode: PnodeId, block: u64, bytes: &[u8]) -> Result<(), LogError> {
    let mut batch = log.batch();
    batch.write(pnode, block * BLOCK, bytes)?;
    if log.commit(batch)?.checkpoint_due {
        log.checkpoint(common::NOW)?;
    }
    Ok(())
}

/// Writes every other block of a pnode over and over and those between once, so that each segment gets
/// some of both; how many writes succeeded before the store was full.
fn churn(log: &Log, writes: u64, clean: bool, rng: &mut fastrand::Rng) -> u64 {
    const BLOCKS: u64 = 1_000;
    let mut batch = log.batch();
    let pnode = batch.create_pnode(3);
    log.commit(batch).unwrap();
    let mut content = vec![0_u64; BLOCKS as usize];
    for count in 0..writes {
        let once = count / 8 * 74 % BLOCKS + 1;
        let block = if count % 8 == 0 { once } else { rng.u64(..BLOCKS / 2) * 2 };
        let seed = rng.u64(1..);
        match write(log, pnode, block, &payload(seed, BLOCK as usize)) {
            Ok(()) => content[block as usize] = seed,
            Err(LogError::Full { .. }) => return count,
            Err(error) => panic!("{error}"),
        }
        if clean && log.cleaning() != Cleaning::NotNeeded {
            log.clean(BUDGET).unwrap();
            log.checkpoint(common::NOW).unwrap();
        }
    }
    for (block, seed) in (0..).zip(content) {
        let read = log.read_pnode(pnode, block * BLOCK, BLOCK as usize).unwrap();
        let expected = if seed == 0 { vec![0; read.len()] } else { payload(seed, BLOCK as usize) };
        assert!(read == expected, "block {block}");
    }
    writes
}

#[test]
fn a_small_store_is_overwritten_for_ever() {
    let seed = seed(1);
    let run = |clean| {
        let mut rng = fastrand::Rng::with_seed(seed);
        let disks = SimDisk::array(3, 24 << 20, rng.u64(..));
        format(&disks, 2, 1, 256 << 10);
        let (log, _) = open(&disks).unwrap();
        // 64 MB into a log with room for 34; 16 MB are alive in the end, a little in each segment.
        let done = churn(&log, 4_000, clean, &mut rng);
        if clean {
            check(&log, &[], &[]);
            drop(log);
            let (log, _) = open(&disks).unwrap();
            check(&log, &[], &[]);
        }
        done
    };
    assert_eq!(run(true), 4_000);
    // Small stores reclaim what died whole; without moving the rest they fill up.
    assert!(run(false) < 4_000, "the test shows nothing: it never filled up");
}

#[test]
fn cleaning_changes_nothing_but_places() {
    let seed = seed(10);
    let mut moved = 0;
    for round in 0..4 {
        let mut rng = fastrand::Rng::with_seed(seed + round);
        let disks = SimDisk::array(5, 24 << 20, rng.u64(..));
        format(&disks, 4, 1, 64 << 10);
        let (log, _) = open(&disks).unwrap();
        let mut model = Model::new(&log);
        for _ in 0..60 {
            let mut batch = log.batch();
            model.change(&mut batch, &mut rng);
            log.commit(batch).unwrap();
            if rng.u8(..5) == 0 {
                log.checkpoint(common::NOW).unwrap();
            }
        }
        log.checkpoint(common::NOW).unwrap();
        let before = log.status();
        clean_all(&log);
        let after = log.status();
        assert!(after.log_segments <= before.log_segments, "{before:?} {after:?}");
        moved += after.cleaner.moved_pieces;
        let read = |disks: &[SimDisk]| {
            let (log, _) = open(disks).unwrap();
            assert_eq!(model.pnodes_differ(&log), None);
            model.assert_blocks(&log);
            let (segments, blocks) = model.claims();
            check(&log, &segments, &blocks);
        };
        assert_eq!(model.pnodes_differ(&log), None);
        drop(log);
        read(&disks);
    }
    assert!(moved > 0, "nothing was moved");
}

#[test]
fn a_segment_is_cleaned_although_one_disk_of_it_is_damaged() {
    let mut rng = fastrand::Rng::with_seed(seed(20));
    let disks = SimDisk::array(2, 24 << 20, rng.u64(..));
    format(&disks, 1, 1, 64 << 10);
    let (log, _) = open(&disks).unwrap();
    let done = churn(&log, 200, false, &mut rng);
    assert_eq!(done, 200);
    log.checkpoint(common::NOW).unwrap();
    disks[0].spoil(1 << 20..disks[0].size());
    clean_all(&log);
    // What is written after the disk was damaged is whole again.
    let live: u64 = log.status().log_live_bytes;
    assert!(log.status().log_segments * (64 << 10) < 2 * live + (256 << 10), "{:?}", log.status());
}

/// A gigabyte's worth of garbage, on a small scale, in a store with so much else in it: what cleaning it
/// cost, and how much of it was reading.
fn cost_of_cleaning(others: u64) -> (CleanerStatus, u64) {
    let disks = SimDisk::array(5, 64 << 30, 1);
    format(&disks, 4, 1, 1 << 20);
    let (log, _) = open(&disks).unwrap();
    let mut batch = log.batch();
    let other = batch.create_pnode(3);
    let pnode = batch.create_pnode(3);
    log.commit(batch).unwrap();
    for block in 0..others {
        write(&log, other, block, &payload(block, BLOCK as usize)).unwrap();
    }
    clean_all(&log);
    for round in 0..2 {
        for block in (0..1_024).filter(|block| round == 0 || block % 4 != 0) {
            write(&log, pnode, block, &payload(block, BLOCK as usize)).unwrap();
        }
    }
    log.checkpoint(common::NOW).unwrap();
    let read = |disks: &[SimDisk]| disks.iter().map(|disk| disk.stats().read_bytes).sum::<u64>();
    let (before, before_bytes) = (log.status().cleaner, read(&disks));
    clean_all(&log);
    let after = log.status().cleaner;
    let cost = CleanerStatus {
        runs: after.runs - before.runs,
        entries_read: after.entries_read - before.entries_read,
        segments: after.segments - before.segments,
        read_bytes: after.read_bytes - before.read_bytes,
        moved_pieces: after.moved_pieces - before.moved_pieces,
        moved_bytes: after.moved_bytes - before.moved_bytes,
        freed_segments: after.freed_segments - before.freed_segments,
    };
    (cost, read(&disks) - before_bytes)
}

#[test]
fn cleaning_costs_the_same_whatever_is_stored() {
    let (few, few_bytes) = cost_of_cleaning(100);
    let (many, many_bytes) = cost_of_cleaning(6_000);
    assert!(few.moved_bytes > 0);
    // Passes end a little sooner or later: for each segment that became free.
    let alike = |few_cost: u64, many_cost: u64| {
        let each = |cost: u64, of: &CleanerStatus| cost as f64 / of.freed_segments as f64;
        each(many_cost, &many) <= each(few_cost, &few) * 1.1
    };
    assert!(alike(few.moved_bytes, many.moved_bytes), "{few:?} {many:?}");
    assert!(alike(few_bytes, many_bytes), "{few:?} {few_bytes} {many:?} {many_bytes}");
    assert!(many.freed_segments < few.freed_segments * 2, "{few:?} {many:?}");
}
