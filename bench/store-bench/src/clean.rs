//! Cleaning the same garbage in stores of several sizes.
//!
//! First segments are made that have nothing to do with it, as many as make the store as large as wanted; of what is in them a
//! simulated disk keeps only a few bytes. Then files are written, a piece of each in turn, and some of them are deleted, so
//! that all segments they are in are partly garbage. What is counted is everything the disks do until that is cleaned.

use std::time::Instant;

use pegasus_base::StreamId;
use pegasus_disk::{Disk, SimDisk};
use pegasus_log::{Cleaning, Log, Owner, SegmentId};
use serde_json::{Value, json};

use crate::Failure;
use crate::array::{self, DATA, DISKS, UNIT_BYTES};
use crate::figures::{cpu, round};

/// Segments made in a commit.
const AT_ONCE: usize = 32;
/// Length of what is written of a file in one go.
const PIECE: usize = 64 << 10;
/// Files, and how many of ten are deleted.
const FILES: usize = 40;
const DELETED_OF_TEN: usize = 6;
/// What a pass moves.
const PASS_BYTES: u64 = 4 << 20;
const PASSES_MAX: usize = 10_000;

/// Makes a store of `gigabytes` (10^9 bytes, parity apart) and `garbage_mib` in it, and cleans it.
///
/// # Errors
/// If the store fails.
pub(crate) fn run(gigabytes: f64, garbage_mib: u64) -> Result<Value, Failure> {
    let files_bytes = (garbage_mib << 20) as usize * 10 / DELETED_OF_TEN;
    let beside = files_bytes as u64 * 2 + (2 << 30);
    let disk_bytes = (gigabytes * 1e9 / f64::from(DATA)) as u64 + beside;
    let disks = SimDisk::array(DISKS, disk_bytes.next_multiple_of(1 << 20), 1);
    let shared = array::as_disks(&disks);
    array::format(&shared, Some(UNIT_BYTES))?;
    let (log, _) = array::open_log(&shared, array::beginning())?;
    let segment_bytes = u64::from(UNIT_BYTES) * u64::from(DATA);
    let segments = fill(&log, (gigabytes * 1e9 / segment_bytes as f64) as usize)?;
    litter(&log, files_bytes)?;
    log.checkpoint(array::beginning())?;
    let used = log.status().used_bytes;

    let (before, started, began) = (counts(&disks), cpu(), Instant::now());
    let mut passes = 0;
    while log.cleaning() != Cleaning::NotNeeded && passes < PASSES_MAX {
        if log.clean(PASS_BYTES)?.segments == 0 {
            break;
        }
        log.checkpoint(array::beginning())?;
        passes += 1;
    }
    let (seconds, took) = (cpu().saturating_sub(started).as_secs_f64(), began.elapsed());
    let after = counts(&disks);
    let freed = used.saturating_sub(log.status().used_bytes);
    Ok(json!({
        "gigabytes": gigabytes,
        "segments": segments,
        "garbage_mib": garbage_mib,
        "passes": passes,
        "freed_mib": round(freed as f64 / f64::from(1 << 20), 2),
        "read_mib": round((after[0] - before[0]) as f64 / f64::from(1 << 20), 2),
        "written_mib": round((after[1] - before[1]) as f64 / f64::from(1 << 20), 2),
        "cpu_s": round(seconds, 3),
        "s": round(took.as_secs_f64(), 3),
    }))
}

/// Sealed segments of somebody's; how many.
fn fill(log: &Log, count: usize) -> Result<usize, Failure> {
    let owner = Owner { pnode: log.root(), stream: StreamId(7) };
    let mut made = 0;
    while made < count {
        let mut batch = log.batch();
        let mut opened: Vec<SegmentId> = Vec::with_capacity(AT_ONCE);
        for _ in 0..AT_ONCE.min(count - made) {
            let segment = batch.open_segment(owner, DATA)?;
            batch.append(segment.id, &[b"a recording".as_slice()])?;
            opened.push(segment.id);
        }
        made += opened.len();
        let mut due = log.commit(batch)?.checkpoint_due;
        let mut batch = log.batch();
        for segment in opened {
            batch.seal_segment(segment)?;
        }
        due |= log.commit(batch)?.checkpoint_due;
        if due {
            log.checkpoint(array::beginning())?;
        }
    }
    Ok(made)
}

/// Files of so many bytes in all, of which some are deleted again.
fn litter(log: &Log, bytes: usize) -> Result<(), Failure> {
    let mut rng = fastrand::Rng::with_seed(7);
    let mut payload = vec![0; PIECE];
    let mut batch = log.batch();
    let files: Vec<_> = (0..FILES).map(|_| batch.create_pnode(9)).collect();
    log.commit(batch)?;
    for round in 0..bytes / FILES / PIECE {
        for files in files.chunks(8) {
            let mut batch = log.batch();
            for file in files {
                rng.fill(&mut payload);
                batch.write(*file, (round * PIECE) as u64, &payload)?;
            }
            if log.commit(batch)?.checkpoint_due {
                log.checkpoint(array::beginning())?;
            }
        }
    }
    let mut batch = log.batch();
    for (number, file) in files.iter().enumerate() {
        if number % 10 < DELETED_OF_TEN {
            batch.delete_pnode(*file)?;
        }
    }
    log.commit(batch)?;
    Ok(())
}

/// Bytes read from and written to all disks.
fn counts(disks: &[SimDisk]) -> [u64; 2] {
    let stats: Vec<_> = disks.iter().map(SimDisk::stats).collect();
    [stats.iter().map(|s| s.read_bytes).sum(), stats.iter().map(|s| s.written_bytes).sum()]
}
