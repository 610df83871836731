//! What depends on the size of a store, and what does not.
//!
//! A store is [filled](crate::fill) with recordings nobody made, and with small files. Half full, full and
//! with a few slots free all over it, segments are allocated; it is checkpointed, recorded into, killed and opened. Disks keep [what is not zero](crate::sparse), so that the
//! machine's time and memory are the store's.

mod measure;

use std::path::Path;
use std::time::Instant;

use pegasus_base::PnodeId;
use pegasus_log::Log;
use serde_json::{Value, json};

use crate::Failure;
use crate::array::{self, DISKS, SEGMENT_BYTES, UNIT_BYTES};
use crate::figures::round;
use crate::fill::{self, Past};
use crate::heap;
use crate::sparse::SparseDisk;

/// Small files for each GB of recordings.
const FILES_PER_GB: f64 = 10.0;
/// Files made in a commit.
const FILES_AT_ONCE: u64 = 256;
/// Share of each disk that stays free beside the recordings: retention begins at a hundredth.
const SPARE_SHARE: f64 = 0.03;
/// And bytes, for what is recorded while measuring.
const SPARE_BYTES: f64 = 6e9;

/// Makes a store with recordings of so many bytes, parity apart, and measures it.
///
/// # Errors
/// If the store fails, or an opened one lacks something.
pub(crate) fn run(bytes: f64, streams: usize, folder: &Path) -> Result<Value, Failure> {
    let segments = (bytes / SEGMENT_BYTES) as u64;
    let disks = empty(segments, streams, folder)?;
    let shared = array::as_disks(&disks);
    let began = Instant::now();
    let (log, _) = array::open_log(&shared, array::beginning())?;
    let mut past = Past::new(&log, segments)?;
    past.fill(&log, 0.5)?;
    let half = measure::allocation(&log, Some(4_096));
    past.fill(&log, 1.0)?;
    past.finish(&log)?;
    let files = make_files(&log, (bytes / 1e9 * FILES_PER_GB) as u64)?;
    let status = log.status();
    let making = began.elapsed();
    drop(log);

    let (memory, openings) = measure::openings(&disks, &shared)?;
    let (log, _) = array::open_log(&shared, array::beginning())?;
    let checkpoint = measure::checkpoints(&log, &disks, files.first)?;
    let freeing = measure::free_samples(&log, &past.samples)?;
    let full = measure::allocation(&log, None);
    let slots: u64 = status.disks.iter().map(|disk| u64::from(disk.slots)).sum();
    Ok(json!({
        "terabytes": bytes / 1e12,
        "segments": past.segments(),
        "slots": slots,
        "files": files.count,
        "log_segments": status.log_segments,
        "log_live_mib": status.log_live_bytes >> 20,
        "making_s": round(making.as_secs_f64(), 1),
        "memory": memory,
        "openings": openings,
        "checkpoint": checkpoint,
        "allocation_half_full": half,
        "allocation_nearly_full": full,
        "freeing": freeing,
        "process_mib_max": heap::resident_max_mib(),
    }))
}

/// Disks with room for so many segments of so many streams, which are there already.
fn empty(segments: u64, streams: usize, folder: &Path) -> Result<Vec<SparseDisk>, Failure> {
    let recorded = fill::whole_runs(segments, streams) as f64 * f64::from(UNIT_BYTES);
    let disk_bytes = (recorded * (1.0 + SPARE_SHARE) + SPARE_BYTES) as u64;
    let disks = SparseDisk::array(DISKS, disk_bytes.next_multiple_of(1 << 20), folder)?;
    let shared = array::as_disks(&disks);
    array::format(&shared, Some(UNIT_BYTES))?;
    fill::make_streams(&shared, streams)?;
    Ok(disks)
}

/// Files there are.
struct Files {
    first: PnodeId,
    count: u64,
}

/// Small files, as pnodes with attributes and some content.
fn make_files(log: &Log, count: u64) -> Result<Files, Failure> {
    let (attributes, content) = ([7; 96], [9; 200]);
    let mut first = None;
    let mut made = 0;
    while made < count {
        let mut batch = log.batch();
        for _ in 0..FILES_AT_ONCE.min(count - made) {
            let file = batch.create_pnode(9);
            batch.set_attributes(file, &attributes)?;
            batch.write(file, 0, &content)?;
            first.get_or_insert(file);
            made += 1;
        }
        if log.commit(batch)?.checkpoint_due {
            log.checkpoint(array::beginning())?;
        }
    }
    log.checkpoint(array::beginning())?;
    Ok(Files { first: first.ok_or("no store is so small")?, count })
}
