//! The single measurements of [`scale`](super).

use std::sync::Arc;
use std::time::{Duration, Instant};

use pegasus_base::{ManualClock, PnodeId, StreamId};
use pegasus_continuous::{Continuous, fabricate};
use pegasus_disk::Disk;
use pegasus_log::{Log, Owner};
use serde_json::{Value, json};

use crate::Failure;
use crate::array::{self, DATA};
use crate::camera::{self, Camera, Material};
use crate::figures::{cpu, ms, quantile_ms, quantile_us};
use crate::fill::Sample;
use crate::heap;
use crate::sparse::SparseDisk;

/// Media time of a commit.
const COMMIT: Duration = Duration::from_millis(500);
/// Commits of the present, and between kills.
const COMMITS: usize = 400;
const KILL_EVERY: usize = 80;
const RATE_BPS: f64 = 4e6;
/// Checkpoints measured.
const CHECKPOINTS: usize = 25;
/// Segments freed in a commit.
const FREED_AT_ONCE: usize = 256;
/// Of a store filled up to the last slot, so many allocations at the end count.
const LAST: usize = 3_500;

/// Opens segments until there are so many, or no room, and lets go of them again.
pub(super) fn allocation(log: &Log, most: Option<usize>) -> Value {
    let owner = Owner { pnode: log.root(), stream: StreamId(7) };
    let mut took = Vec::new();
    let mut batch = log.batch();
    loop {
        let began = Instant::now();
        let opened = batch.open_segment(owner, DATA);
        took.push(began.elapsed());
        if opened.is_err() || most.is_some_and(|most| took.len() >= most) {
            break;
        }
    }
    drop(batch);
    took.pop();
    let mut last = took.split_off(took.len().saturating_sub(LAST));
    json!({
        "us_p50": quantile_us(&mut last, 0.5),
        "us_p99": quantile_us(&mut last, 0.99),
        "us_max": quantile_us(&mut last, 1.0),
    })
}

/// Frees segments from all over the store, as the deletion of some hours would.
pub(super) fn free_samples(log: &Log, samples: &[Sample]) -> Result<Value, Failure> {
    let mut took = Vec::new();
    for samples in samples.chunks(FREED_AT_ONCE) {
        let mut batch = log.batch();
        for sample in samples {
            let record = fabricate::freed(log, sample.segment.clone(), sample.first);
            batch.write(sample.pnode, sample.offset, &record)?;
            let before = Instant::now();
            batch.free_segment(&sample.segment)?;
            took.push(before.elapsed());
        }
        log.commit(batch)?;
        log.checkpoint(array::beginning())?;
    }
    Ok(json!({
        "segments": took.len(),
        "us_p50": quantile_us(&mut took, 0.5),
        "us_p99": quantile_us(&mut took, 0.99),
    }))
}

/// Checkpoints after next to nothing changed.
pub(super) fn checkpoints(
    log: &Log,
    disks: &[SparseDisk],
    file: PnodeId,
) -> Result<Value, Failure> {
    let (mut took, mut written) = (Vec::new(), Vec::new());
    heap::most();
    let held = heap::held();
    for number in 0..CHECKPOINTS {
        let mut batch = log.batch();
        batch.write(file, 0, &[(number + 1) as u8])?;
        log.commit(batch)?;
        let (before, began) = (written_bytes(disks), Instant::now());
        log.checkpoint(array::beginning())?;
        took.push(began.elapsed());
        written.push(written_bytes(disks) - before);
    }
    written.sort_unstable();
    Ok(json!({
        "written_bytes": written[CHECKPOINTS / 2],
        "ms_p50": quantile_ms(&mut took, 0.5),
        "memory_bytes": heap::most().saturating_sub(held),
    }))
}

fn written_bytes(disks: &[SparseDisk]) -> u64 {
    disks.iter().map(|disk| disk.stats().written_bytes).sum()
}

/// Records for a while, and opens copies of the disks as kills at several moments would leave them: what that takes
/// in memory, and in time.
pub(super) fn openings(
    disks: &[SparseDisk],
    shared: &[Arc<dyn Disk>],
) -> Result<(Value, Value), Failure> {
    let clock = Arc::new(ManualClock::at(array::beginning() + Duration::from_secs(1)));
    let store = array::open(shared, &clock)?;
    let material = Material::zeros(Camera::material_bytes(RATE_BPS));
    let mut at = array::beginning() + Duration::from_secs(1);
    let mut cameras = Vec::new();
    for number in 0..store.streams()?.len() {
        let recorder = store.recorder(&camera::name(number), camera::tracks())?;
        cameras.push(Camera::new(number, recorder, &material, at, RATE_BPS));
    }
    let mut all = Vec::new();
    for commit in 1..=COMMITS {
        at += COMMIT;
        clock.set(at);
        cameras.iter_mut().try_for_each(|camera| camera.record(at))?;
        store.flush()?;
        if commit % KILL_EVERY == 0 {
            all.push(open(disks, &store, &clock, &cameras)?);
        }
    }
    drop(cameras);
    store.close()?;
    Ok((memory_of(&all), times_of(&mut all)))
}

/// What one opening took.
struct Opening {
    took: Duration,
    cpu: Duration,
    /// Of the busiest disk: flash, hard disk.
    busy: [Duration; 2],
    reads: u64,
    read_bytes: u64,
    transactions: u64,
    log_bytes: usize,
    store_bytes: usize,
    most_bytes: usize,
}

fn open(
    disks: &[SparseDisk],
    killed: &Continuous,
    clock: &Arc<ManualClock>,
    cameras: &[Camera],
) -> Result<Opening, Failure> {
    let disks: Vec<SparseDisk> = disks.iter().map(SparseDisk::fork).collect();
    let shared = array::as_disks(&disks);
    let held = heap::held();
    heap::most();
    let (began, cpu_before) = (Instant::now(), cpu());
    let (log, recovery) = array::open_log(&shared, pegasus_base::Clock::now(&**clock))?;
    let log_bytes = heap::held().saturating_sub(held);
    let transactions = recovery.transactions;
    let store = Continuous::open(log, recovery, array::settings(), clock.clone())?;
    let (took, cpu) = (began.elapsed(), cpu().saturating_sub(cpu_before));
    let store_bytes = heap::held().saturating_sub(held);
    let most_bytes = heap::most().saturating_sub(held);
    let stats: Vec<_> = disks.iter().map(Disk::stats).collect();
    let busy = |model: usize| disks.iter().map(|disk| disk.busy()[model]).max().unwrap_or_default();
    for camera in cameras {
        let (was, is) = (killed.durable_end(&camera.name), store.durable_end(&camera.name));
        if was.is_none() || was != is {
            return Err(format!("{} ends at {is:?} instead of {was:?}", camera.name).into());
        }
    }
    Ok(Opening {
        took,
        cpu,
        busy: [busy(0), busy(1)],
        reads: stats.iter().map(|stats| stats.reads).sum(),
        read_bytes: stats.iter().map(|stats| stats.read_bytes).sum(),
        transactions,
        log_bytes,
        store_bytes,
        most_bytes,
    })
}

fn memory_of(all: &[Opening]) -> Value {
    let median = |of: fn(&Opening) -> usize| {
        let mut bytes: Vec<usize> = all.iter().map(of).collect();
        bytes.sort_unstable();
        bytes[bytes.len() / 2]
    };
    json!({
        "log_bytes": median(|opening| opening.log_bytes),
        "store_bytes": median(|opening| opening.store_bytes),
        "most_bytes": median(|opening| opening.most_bytes),
    })
}

fn times_of(all: &mut [Opening]) -> Value {
    let mut took: Vec<_> = all.iter().map(|opening| opening.took).collect();
    let mut cpu: Vec<_> = all.iter().map(|opening| opening.cpu).collect();
    let with = |model: usize| {
        let longest = all.iter().map(|opening| opening.cpu + opening.busy[model]).max();
        ms(longest.unwrap_or_default())
    };
    let most = |of: fn(&Opening) -> u64| all.iter().map(of).max().unwrap_or(0);
    json!({
        "openings": all.len(),
        "ms_p50": quantile_ms(&mut took, 0.5),
        "ms_max": quantile_ms(&mut took, 1.0),
        "cpu_ms_p50": quantile_ms(&mut cpu, 0.5),
        "flash_ms_max": with(0),
        "hard_disk_ms_max": with(1),
        "reads_max": most(|opening| opening.reads),
        "read_bytes_max": most(|opening| opening.read_bytes),
        "transactions_max": most(|opening| opening.transactions),
    })
}
