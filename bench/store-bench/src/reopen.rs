//! Opening stores of several sizes after a kill.
//!
//! The recordings are zeros, of which a simulated disk keeps nothing, so a terabyte fits into memory.
//! First the past is made: each segment by one unit of half its size, since two do not fit. It counts
//! for its records, directory entries, spans and slots, of which there are as many as if it were full.
//! Then the present is recorded as it would be, commit by commit at the streams' rate, for longer than
//! the time between checkpoints. Meanwhile the disks are copied now and then, as a kill would leave them,
//! and the copies are opened.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pegasus_base::{ManualClock, Time};
use pegasus_continuous::{Continuous, Recorder};
use pegasus_disk::{SimDisk, SimModel};
use serde_json::{Value, json};

use crate::Failure;
use crate::array::{self, DATA, DISKS, FLASH, HARD_DISK, SEGMENT_BYTES, UNIT_BYTES};
use crate::camera::{self, Camera, Material, push, unit};
use crate::figures::{cpu, ms, quantile_ms};

/// The largest unit of which two do not fit into a segment.
const HALF_BYTES: usize = DATA as usize * (UNIT_BYTES as usize - (8 << 10)) / 2;
/// Segments of the past made in one commit.
const AT_ONCE: usize = 5;
/// Streams break off about this often.
const GAP_EVERY: Duration = Duration::from_secs(600);
/// Media time of a commit.
const COMMIT: Duration = Duration::from_millis(500);
/// Commits of the present, and between kills.
const COMMITS: usize = 1_600;
const KILL_EVERY: usize = 200;
/// Room beside the past's, on each disk.
const SPARE_BYTES: f64 = 16e9;

/// What is recorded.
pub(crate) struct Store {
    pub(crate) bytes: f64,
    pub(crate) streams: usize,
    pub(crate) rate_bps: f64,
}

/// What one opening took.
struct Opening {
    took: Duration,
    cpu: Duration,
    log_took: Duration,
    reads: u64,
    read_bytes: u64,
    transactions: u64,
    blocks: usize,
    /// Of the busiest disk, by its model.
    busy: Duration,
}

/// Makes the store, kills it and opens it, several times.
///
/// # Errors
/// If the store fails, or an opened one lacks something.
pub(crate) fn run(what: &Store) -> Result<Value, Failure> {
    let disk_bytes =
        ((what.bytes / f64::from(DATA) + SPARE_BYTES) as u64).next_multiple_of(1 << 20);
    let disks = SimDisk::array(DISKS, disk_bytes, 1);
    array::format(&array::as_disks(&disks), Some(UNIT_BYTES))?;
    let clock = Arc::new(ManualClock::at(array::beginning()));
    let store = array::open(&array::as_disks(&disks), &clock)?;

    let started = Instant::now();
    let recorders = (0..what.streams)
        .map(|number| store.recorder(&camera::name(number), camera::tracks()))
        .collect::<Result<Vec<_>, _>>()?;
    let now = record_past(&store, &clock, &recorders, what)?;
    let past_bytes = store.status().used_bytes;
    let making = started.elapsed();

    let material = Material::zeros(Camera::material_bytes(what.rate_bps));
    let mut cameras: Vec<Camera> = recorders
        .into_iter()
        .enumerate()
        .map(|(number, recorder)| Camera::new(number, recorder, &material, now, what.rate_bps))
        .collect();
    let (mut flash, mut hard_disk) = (Vec::new(), Vec::new());
    let mut at = now;
    for commit in 1..=COMMITS {
        at += COMMIT;
        clock.set(at);
        cameras.iter_mut().try_for_each(|camera| camera.record(at))?;
        store.flush()?;
        if commit % KILL_EVERY == 0 {
            flash.push(open(&disks, FLASH, &store, &clock, &cameras)?);
            hard_disk.push(open(&disks, HARD_DISK, &store, &clock, &cameras)?);
        }
    }
    Ok(figures(what, past_bytes, making, &flash, &hard_disk))
}

/// Fills segments; returns when that ends.
fn record_past(
    store: &Continuous,
    clock: &ManualClock,
    recorders: &[Recorder],
    what: &Store,
) -> Result<Time, Failure> {
    let zeros = bytes::Bytes::from(vec![0; HALF_BYTES]);
    let rounds = (what.bytes / SEGMENT_BYTES / what.streams as f64).round() as usize;
    let step = Duration::from_secs_f64(SEGMENT_BYTES * 8.0 / what.rate_bps);
    let gap_every = (GAP_EVERY.as_secs_f64() / step.as_secs_f64()).max(1.0) as usize;
    let mut now = array::beginning();
    for round in 0..rounds {
        clock.set(now);
        for (number, recorder) in recorders.iter().enumerate() {
            if (round + number) % gap_every == 0 {
                recorder.gap();
            }
            push(recorder, unit(now, true, zeros.clone()))?;
            if number % AT_ONCE == AT_ONCE - 1 {
                store.flush()?;
            }
        }
        store.flush()?;
        now += step;
    }
    // So that the streams' segments are not all full at the same time.
    clock.set(now);
    for (number, recorder) in recorders.iter().enumerate() {
        let len = HALF_BYTES / recorders.len() * (number + 1);
        push(recorder, unit(now, true, zeros.slice(..len)))?;
    }
    store.flush()?;
    Ok(now + step)
}

/// Opens a copy of the disks as they are, and sees that nothing durable is missing.
fn open(
    disks: &[SimDisk],
    model: SimModel,
    killed: &Continuous,
    clock: &Arc<ManualClock>,
    cameras: &[Camera],
) -> Result<Opening, Failure> {
    let disks: Vec<SimDisk> =
        array::forks(disks).into_iter().map(|disk| disk.with_model(model)).collect();
    let now = pegasus_base::Clock::now(&**clock);
    let shared = array::as_disks(&disks);
    let (started, cpu_before) = (Instant::now(), cpu());
    let (log, recovery) = array::open_log(&shared, now)?;
    let log_took = started.elapsed();
    let transactions = recovery.transactions;
    let blocks = recovery.open_segments.iter().map(|open| open.blocks.len()).sum();
    let store = Continuous::open(log, recovery, array::settings(), clock.clone())?;
    let (took, cpu) = (started.elapsed(), cpu().saturating_sub(cpu_before));
    let stats: Vec<_> = disks.iter().map(pegasus_disk::Disk::stats).collect();
    let busy_ns = stats.iter().map(|s| s.read_busy_ns + s.write_busy_ns).max().unwrap_or(0);
    for camera in cameras {
        let (was, is) = (killed.durable_end(&camera.name), store.durable_end(&camera.name));
        if was != is {
            return Err(format!("{} ends at {is:?} instead of {was:?}", camera.name).into());
        }
    }
    Ok(Opening {
        took,
        cpu,
        log_took,
        reads: stats.iter().map(|s| s.reads).sum(),
        read_bytes: stats.iter().map(|s| s.read_bytes).sum(),
        transactions,
        blocks,
        busy: Duration::from_nanos(busy_ns),
    })
}

fn figures(
    what: &Store,
    past_bytes: u64,
    making: Duration,
    flash: &[Opening],
    hard_disk: &[Opening],
) -> Value {
    let all = || flash.iter().chain(hard_disk);
    let mut took: Vec<_> = all().map(|opening| opening.took).collect();
    let mut cpu: Vec<_> = all().map(|opening| opening.cpu).collect();
    let mut log_took: Vec<_> = all().map(|opening| opening.log_took).collect();
    let most = |of: fn(&Opening) -> u64| all().map(of).max().unwrap_or(0);
    let with_disks = |openings: &[Opening]| {
        openings.iter().map(|opening| opening.took + opening.busy).max().unwrap_or_default()
    };
    json!({
        "terabytes": what.bytes / 1e12,
        "streams": what.streams,
        "segments": (past_bytes as f64 / SEGMENT_BYTES).round(),
        "openings": took.len(),
        "ms_p50": quantile_ms(&mut took, 0.5),
        "ms_max": quantile_ms(&mut took, 1.0),
        "cpu_ms_p50": quantile_ms(&mut cpu, 0.5),
        "log_ms_p50": quantile_ms(&mut log_took, 0.5),
        "reads_max": most(|opening| opening.reads),
        "read_bytes_max": most(|opening| opening.read_bytes),
        "transactions_max": most(|opening| opening.transactions),
        "open_blocks_max": most(|opening| opening.blocks as u64),
        "flash_ms_max": ms(with_disks(flash)),
        "hard_disk_ms_max": ms(with_disks(hard_disk)),
        "making_s": making.as_secs_f64().round(),
    })
}
