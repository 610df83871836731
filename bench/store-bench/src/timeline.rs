//! Asking for spans over a month of many streams.
//!
//! The recordings have the spans of cameras that fail now and then, about every ten minutes, but hardly
//! any media: a query reads none. They are made by recorders and commits like any others; then the store
//! is opened anew, so that the first query finds nothing in memory.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use pegasus_base::{ManualClock, Time, TimeRange};
use pegasus_continuous::{Continuous, Recorder};
use pegasus_disk::{Disk, SimDisk};
use serde_json::{Value, json};

use crate::Failure;
use crate::array::{self, DISKS, UNIT_BYTES};
use crate::camera::{self, push, unit};
use crate::figures::quantile_ms;

const DAY: Duration = Duration::from_secs(86_400);
/// From the beginning of a span to the beginning of the next, on average.
const EVERY_S: f64 = 600.0;
/// Longest pause between spans.
const PAUSE_S_MAX: f64 = 60.0;
/// Distance of units within a span: pauses of three times as much would not be gaps.
const STEP: Duration = Duration::from_secs(50);
const DISK_BYTES: u64 = 64 << 30;
/// How often the store is opened, the whole range asked for, and a day.
const OPENINGS: usize = 10;
const WHOLE_QUERIES: usize = 400;
const DAY_QUERIES: usize = 4_000;

/// A stream that breaks off now and then.
struct Flaky {
    recorder: Recorder,
    at: Time,
    span_end: Time,
    rng: fastrand::Rng,
}

/// Makes the recordings and asks for their spans.
///
/// # Errors
/// If the store fails, or loses spans.
pub(crate) fn run(days: u32, streams: usize) -> Result<Value, Failure> {
    let disks = SimDisk::array(DISKS, DISK_BYTES, 1);
    let clock = Arc::new(ManualClock::at(array::beginning()));
    let whole = TimeRange::new(array::beginning(), array::beginning() + DAY * days);
    let spans = record(&disks, &clock, days, streams)?;
    let mut rng = fastrand::Rng::with_seed(2);
    let mut some_day = || {
        let start = whole.start + DAY.mul_f64(rng.f64() * f64::from(days.saturating_sub(1)));
        TimeRange::new(start, start + DAY)
    };
    let (mut first_took, mut whole_took, mut day_took) = (Vec::new(), Vec::new(), Vec::new());
    let (mut reads, mut read_bytes) = (0, 0);
    for _ in 0..OPENINGS {
        let disks = array::forks(&disks);
        let store = array::open(&array::as_disks(&disks), &clock)?;
        let before = read(&disks);
        let (took, found) = ask(&store, streams, whole)?;
        if found != spans {
            return Err(format!("{found} spans were found, {spans} recorded").into());
        }
        first_took.push(took);
        let after = read(&disks);
        (reads, read_bytes) = (after.0 - before.0, after.1 - before.1);
        for _ in 0..WHOLE_QUERIES / OPENINGS {
            whole_took.push(ask(&store, streams, whole)?.0);
        }
        for _ in 0..DAY_QUERIES / OPENINGS {
            day_took.push(ask(&store, streams, some_day())?.0);
        }
    }
    Ok(json!({
        "days": days,
        "streams": streams,
        "spans": spans,
        "first_ms_p50": quantile_ms(&mut first_took, 0.5),
        "first_ms_max": quantile_ms(&mut first_took, 1.0),
        "first_reads": reads,
        "first_read_bytes": read_bytes,
        "whole_ms_p50": quantile_ms(&mut whole_took, 0.5),
        "whole_ms_p99": quantile_ms(&mut whole_took, 0.99),
        "day_ms_p50": quantile_ms(&mut day_took, 0.5),
        "day_ms_p99": quantile_ms(&mut day_took, 0.99),
    }))
}

/// Requests and bytes read so far.
fn read(disks: &[SimDisk]) -> (u64, u64) {
    let stats = disks.iter().map(|disk| disk.stats());
    stats.fold((0, 0), |(reads, bytes), disk| (reads + disk.reads, bytes + disk.read_bytes))
}

/// One query: the spans of all streams. How long it took, and how many there are.
fn ask(store: &Continuous, streams: usize, range: TimeRange) -> Result<(Duration, usize), Failure> {
    let names: Vec<_> = (0..streams).map(camera::name).collect();
    let started = Instant::now();
    let mut found = 0;
    for name in &names {
        found += std::hint::black_box(store.spans(name, range)?).len();
    }
    Ok((started.elapsed(), found))
}

/// Makes the recordings; how many spans they have.
fn record(
    disks: &[SimDisk],
    clock: &Arc<ManualClock>,
    days: u32,
    streams: usize,
) -> Result<usize, Failure> {
    let disks: Vec<Arc<dyn Disk>> = array::as_disks(disks);
    array::format(&disks, Some(UNIT_BYTES))?;
    let store = array::open(&disks, clock)?;
    let mut all: Vec<Flaky> = (0..streams)
        .map(|number| Flaky::new(number, store.recorder(&camera::name(number), camera::tracks())?))
        .collect::<Result<_, Failure>>()?;
    for day in 1..=days {
        let until = array::beginning() + DAY * day;
        clock.set(until);
        for stream in &mut all {
            stream.record(until)?;
        }
        store.flush()?;
    }
    let lost = store.status().ingest;
    drop(all);
    let whole = TimeRange::new(array::beginning(), array::beginning() + DAY * days);
    let (_, spans) = ask(&store, streams, whole)?;
    store.close()?;
    match lost.dropped_units + lost.late_units {
        0 => Ok(spans),
        _ => Err(format!("units were lost: {lost:?}").into()),
    }
}

impl Flaky {
    fn new(number: usize, recorder: Recorder) -> Result<Self, Failure> {
        let rng = fastrand::Rng::with_seed(number as u64);
        let mut stream =
            Self { recorder, at: array::beginning(), span_end: array::beginning(), rng };
        stream.begin_span();
        Ok(stream)
    }

    /// Spans last exponentially long: failures come at random.
    fn begin_span(&mut self) {
        let mean_s = EVERY_S - PAUSE_S_MAX / 2.0;
        let long_s = (-mean_s * (1.0 - self.rng.f64()).ln()).max(1.0);
        self.span_end = self.at + Duration::from_secs_f64(long_s);
    }

    fn record(&mut self, until: Time) -> Result<(), Failure> {
        while self.at < until {
            push(&self.recorder, unit(self.at, true, Bytes::from_static(&[0; 8])))?;
            self.at += STEP;
            if self.at >= self.span_end {
                self.recorder.gap();
                let pause_s = 2.0 + self.rng.f64() * (PAUSE_S_MAX - 2.0);
                self.at = self.at.max(self.span_end) + Duration::from_secs_f64(pause_s);
                self.begin_span();
            }
        }
        Ok(())
    }
}
