//! Cleaning the same garbage in stores of several sizes.
//!
//! First recordings are made that have nothing to do with it, as many as make the store as large as wanted. Then files are written, a piece of each in turn, and some of them are deleted, so
//! that all segments they are in are partly garbage. What is counted is everything the disks do until that is cleaned.

use std::path::Path;
use std::time::Instant;

use pegasus_disk::Disk;
use pegasus_log::Log;
use serde_json::{Value, json};

use crate::Failure;
use crate::array::{self, DATA, DISKS, SEGMENT_BYTES, UNIT_BYTES};
use crate::figures::{cpu, round};
use crate::fill::{self, Past};
use crate::sparse::SparseDisk;

/// Streams that what is beside the garbage belongs to.
const STREAMS: usize = 8;
/// Length of what is written of a file in one go.
const PIECE: usize = 64 << 10;
/// Files, and how many of ten are deleted.
const FILES: usize = 40;
const DELETED_OF_TEN: usize = 6;
const PASSES_MAX: usize = 1_000;
/// It is over when so much of the garbage's room is free again.
const CLEANED_SHARE: f64 = 0.8;

/// Makes a store of `gigabytes` (10^9 bytes, parity apart) and `garbage_mib` in it, and cleans it.
///
/// # Errors
/// If the store fails.
pub(crate) fn run(gigabytes: f64, garbage_mib: u64, folder: &Path) -> Result<Value, Failure> {
    let disk_bytes = (gigabytes * 1e9 * 1.2 / f64::from(DATA)) as u64 + room_bytes(garbage_mib);
    let disks = SparseDisk::array(DISKS, disk_bytes.next_multiple_of(1 << 20), folder)?;
    let shared = array::as_disks(&disks);
    array::format(&shared, Some(UNIT_BYTES))?;
    fill::make_streams(&shared, STREAMS)?;
    let (log, _) = array::open_log(&shared, array::beginning())?;
    let mut past = Past::new(&log, (gigabytes * 1e9 / SEGMENT_BYTES) as u64)?;
    past.fill(&log, 1.0)?;
    past.finish(&log)?;
    let mut figures = measure(&log, &disks, garbage_mib)?;
    figures["gigabytes"] = gigabytes.into();
    figures["segments"] = past.segments().into();
    Ok(figures)
}

/// What the garbage and what is left beside it need on each disk, with room to move it.
pub(crate) fn room_bytes(garbage_mib: u64) -> u64 {
    files_bytes(garbage_mib) * 2 + (2 << 30)
}

fn files_bytes(garbage_mib: u64) -> u64 {
    (garbage_mib << 20) * 10 / DELETED_OF_TEN as u64
}

/// Makes so much garbage and cleans it; what the disks did meanwhile.
///
/// # Errors
/// If the store fails.
pub(crate) fn measure(log: &Log, disks: &[SparseDisk], garbage_mib: u64) -> Result<Value, Failure> {
    litter(log, files_bytes(garbage_mib) as usize)?;
    log.checkpoint(array::beginning())?;
    let used = log.status().used_bytes;
    let (before, started, began) = (counts(disks), cpu(), Instant::now());
    // Less than all of it: what moves, and each checkpoint, leaves some anew.
    let enough = used - ((garbage_mib << 20) as f64 * CLEANED_SHARE) as u64;
    let mut passes = 0;
    while log.status().used_bytes > enough && passes < PASSES_MAX {
        if log.clean(log.pass_bytes())?.segments == 0 {
            break;
        }
        log.checkpoint(array::beginning())?;
        passes += 1;
    }
    let (seconds, took) = (cpu().saturating_sub(started).as_secs_f64(), began.elapsed());
    let after = counts(disks);
    let freed = used.saturating_sub(log.status().used_bytes);
    let mib = |bytes: u64| round(bytes as f64 / f64::from(1 << 20), 2);
    Ok(json!({
        "garbage_mib": garbage_mib,
        "passes": passes,
        "freed_mib": mib(freed),
        "read_mib": mib(after[0] - before[0]),
        "written_mib": mib(after[1] - before[1]),
        "cpu_s": round(seconds, 3),
        "s": round(took.as_secs_f64(), 3),
    }))
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
fn counts(disks: &[SparseDisk]) -> [u64; 2] {
    let stats: Vec<_> = disks.iter().map(Disk::stats).collect();
    [stats.iter().map(|s| s.read_bytes).sum(), stats.iter().map(|s| s.written_bytes).sum()]
}
