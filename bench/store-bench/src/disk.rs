//! Feeding a store on real files as fast as it takes.
//!
//! Each round pushes half a second of media of all streams, which is what a commit holds when the node
//! records at this rate, and commits it; the next round follows at once. What the store writes is
//! therefore what it writes in earnest, only sooner.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pegasus_base::{ManualClock, Time};
use pegasus_continuous::{Continuous, IngestStatus};
use pegasus_disk::{CreateOptions, Disk, DiskStats, FileDisk};
use serde_json::{Value, json};

use crate::Failure;
use crate::array::{self, DISKS};
use crate::camera::{self, Camera, Material};
use crate::figures::round;

/// Media time of a commit.
const COMMIT: Duration = Duration::from_millis(500);

/// What is recorded, and where.
pub(crate) struct Load<'a> {
    pub(crate) dir: &'a Path,
    pub(crate) streams: usize,
    pub(crate) rate_bps: f64,
    pub(crate) seconds: f64,
    pub(crate) disk_bytes: u64,
}

/// Files that are removed in the end.
struct Files(Vec<PathBuf>);

impl Drop for Files {
    fn drop(&mut self) {
        for path in &self.0 {
            // Best effort: the caller's folder is a temporary one.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Counters of all disks, summed.
struct Sum {
    written_bytes: u64,
    writes: u64,
    flushes: u64,
    /// Of the disk that was busy longest.
    busy: Duration,
}

/// Feeds the store.
///
/// # Errors
/// If the files can't be made, or a disk fails.
pub(crate) fn run(load: &Load<'_>) -> Result<Value, Failure> {
    let files = Files((0..DISKS).map(|i| load.dir.join(format!("disk{i}"))).collect());
    let disks: Vec<Arc<FileDisk>> = files
        .0
        .iter()
        .map(|path| FileDisk::create(path, load.disk_bytes, CreateOptions::default()).map(Arc::new))
        .collect::<Result<_, _>>()?;
    let direct = disks.iter().all(|disk| disk.is_direct());
    let shared: Vec<Arc<dyn Disk>> = disks.iter().map(|d| d.clone() as Arc<dyn Disk>).collect();
    array::format(&shared, None)?;
    let clock = Arc::new(ManualClock::at(array::beginning()));
    let (log, recovery) = array::open_log(&shared, array::beginning())?;
    let unit_bytes = log.status().unit_bytes;
    let store = Continuous::open_undriven(log, recovery, array::settings(), clock.clone())?;
    let mut cameras = cameras(&store, load)?;

    let before: Vec<DiskStats> = disks.iter().map(|disk| disk.stats()).collect();
    let started = Instant::now();
    let (rounds, pushing) = feed(&store, &clock, &mut cameras, load.seconds)?;
    let seconds = started.elapsed().as_secs_f64();
    let sum = since(&before, &disks);
    let ingest = store.status().ingest;
    if ingest.dropped_units + ingest.late_units > 0 {
        return Err(format!("units were lost: {ingest:?}").into());
    }
    let mut figures = figures(&ingest, &sum, seconds);
    figures["direct"] = direct.into();
    figures["unit_bytes"] = unit_bytes.into();
    figures["commits"] = rounds.into();
    figures["pushing_share"] = round(pushing.as_secs_f64() / seconds, 3).into();
    Ok(figures)
}

fn figures(ingest: &IngestStatus, sum: &Sum, seconds: f64) -> Value {
    json!({
        "seconds": round(seconds, 3),
        "media_bytes": ingest.bytes,
        "written_bytes": sum.written_bytes,
        "parity_bytes": ingest.parity_bytes,
        "media_mb_s": round(ingest.bytes as f64 / seconds / 1e6, 1),
        "disks_mb_s": round(sum.written_bytes as f64 / seconds / 1e6, 1),
        "bytes_per_media_byte":
            round((sum.written_bytes - ingest.parity_bytes) as f64 / ingest.bytes as f64, 4),
        "bytes_per_write": sum.written_bytes / sum.writes.max(1),
        "writes_per_flush": round(sum.writes as f64 / sum.flushes.max(1) as f64, 1),
        "disk_busy_share": round(sum.busy.as_secs_f64() / seconds, 3),
        "commit_ms_max": ingest.commit_us_max as f64 / 1e3,
        "freed_segments": ingest.freed_segments,
    })
}

fn cameras(store: &Continuous, load: &Load<'_>) -> Result<Vec<Camera>, Failure> {
    let material = Material::noise(Camera::material_bytes(load.rate_bps));
    let camera = |number| {
        let recorder = store.recorder(&camera::name(number), camera::tracks())?;
        let start = array::beginning();
        Ok(Camera::new(number, recorder, &material, start, load.rate_bps))
    };
    (0..load.streams).map(camera).collect()
}

/// Commits rounds until the time is over; how many, and how long pushing took.
fn feed(
    store: &Continuous,
    clock: &ManualClock,
    cameras: &mut [Camera],
    seconds: f64,
) -> Result<(u64, Duration), Failure> {
    let started = Instant::now();
    let mut now: Time = array::beginning();
    let (mut rounds, mut pushing) = (0, Duration::ZERO);
    while started.elapsed().as_secs_f64() < seconds {
        let begun = Instant::now();
        now += COMMIT;
        clock.set(now);
        cameras.iter_mut().try_for_each(|camera| camera.record(now))?;
        pushing += begun.elapsed();
        store.flush()?;
        rounds += 1;
    }
    Ok((rounds, pushing))
}

fn since(before: &[DiskStats], disks: &[Arc<FileDisk>]) -> Sum {
    let mut sum = Sum { written_bytes: 0, writes: 0, flushes: 0, busy: Duration::ZERO };
    for (before, disk) in before.iter().zip(disks) {
        let now = disk.stats();
        sum.written_bytes += now.written_bytes - before.written_bytes;
        sum.writes += now.writes - before.writes;
        sum.flushes += now.flushes - before.flushes;
        sum.busy = sum.busy.max(Duration::from_nanos(now.write_busy_ns - before.write_busy_ns));
    }
    sum
}
