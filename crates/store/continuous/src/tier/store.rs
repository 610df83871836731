//! What the store's users ask of the tier.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use pegasus_base::{StreamName, Time, TimeRange};

use super::pipeline;
use super::status::{OutRange, Staged, TierStatus};
use super::tiering::{TierOptions, Tiering, Wanted};
use super::worker::Stagers;
use crate::error::Error;
use crate::format::segment::{SegmentRecord, State};
use crate::guarantee::Part;
use crate::inner::Inner;
use crate::locate::Finder;
use crate::store::Continuous;
use crate::stream::Stream;

/// Segments behind the one that is played that are brought back with it.
const AHEAD: u64 = 3;
/// A playback that can be shown so soon is promised, to begin then; one that takes longer is refused, and may be asked for again.
const START_MAX: Duration = Duration::from_secs(10);
/// Bytes of a segment that are read to learn the tier's rate.
const PROBE_BYTES: u64 = 1 << 20;

impl Continuous {
    /// From now on segments go out to a tier, by its rule, and come back when they are played. `None`: no more; what is
    /// out can't be read then.
    pub fn set_tier(&self, options: Option<TierOptions>) {
        let inner = self.inner();
        self.stop_stagers();
        let tiering = options.map(|options| Arc::new(Tiering::new(options, inner)));
        inner.set_tiering(tiering.clone());
        if let Some(tiering) = tiering {
            self.start_stagers(|inner| Stagers::start(inner, tiering));
        }
    }

    /// How the tier is doing; `None` if there is none.
    #[must_use]
    pub fn tier_status(&self) -> Option<TierStatus> {
        self.inner().tiering().map(|tiering| tiering.status())
    }

    /// What of `name` is out, of segments with an instant in `range`, in order: runs of segments that follow each other.
    ///
    /// # Errors
    /// [`Error::UnknownStream`], or if the disks fail.
    pub fn out(&self, name: &StreamName, range: TimeRange) -> Result<Vec<OutRange>, Error> {
        out_in(self.inner(), self.recorded(name)?, range)
    }

    /// Moves out all segments of `name` that lie within `range`, or all but one that is being recorded. They go when the tier
    /// takes them; asking again does nothing.
    ///
    /// # Errors
    /// [`Error::NoTier`], [`Error::UnknownStream`], or if the disks fail.
    pub fn stage_out(&self, name: &StreamName, range: Option<TimeRange>) -> Result<Staged, Error> {
        let (inner, stream) = (self.inner(), self.recorded(name)?);
        let tiering = inner.tiering().ok_or(Error::NoTier)?;
        let range = range.unwrap_or(TimeRange::ALL);
        let status = inner.log.status();
        seal_if_idle(inner, &stream, range.end)?;
        let mut wanted = Vec::new();
        for_records(inner, &stream, range, |index, epoch, record| {
            let State::Sealed(sealed) = &record.state else { return };
            if record.first >= range.start && sealed.end <= range.end {
                let columns = record.segment.columns.len();
                let width = columns.saturating_sub(usize::from(status.parity)).max(1) as u64;
                let bytes = width * u64::from(status.unit_bytes);
                wanted.push(Wanted { stream: stream.clone(), index, epoch, block: 0, bytes });
            }
        })?;
        Ok(tiering.queue(wanted, true, false))
    }

    /// Brings back all segments of `name` with an instant in `range`, or all.
    ///
    /// # Errors
    /// As [`Continuous::stage_out`].
    pub fn stage_in(&self, name: &StreamName, range: Option<TimeRange>) -> Result<Staged, Error> {
        let (inner, stream) = (self.inner(), self.recorded(name)?);
        let tiering = inner.tiering().ok_or(Error::NoTier)?;
        let mut wanted = Vec::new();
        for_records(inner, &stream, range.unwrap_or(TimeRange::ALL), |index, epoch, record| {
            if let State::Out(_, object) = &record.state {
                let bytes = object.bytes;
                wanted.push(Wanted { stream: stream.clone(), index, epoch, block: 0, bytes });
            }
        })?;
        Ok(tiering.queue(wanted, false, false))
    }

    /// Does at once all that the tier has to do: what was asked for, then what the rules say, then deletes objects
    /// nothing refers to. A store with [threads](Self::open) does so by itself; this is for simulations without any.
    ///
    /// # Errors
    /// The first that was met; the rest was done all the same.
    pub fn tend_tier(&self) -> Result<(), Error> {
        let inner = self.inner();
        let Some(tiering) = inner.tiering() else { return Ok(()) };
        super::worker::tend(inner, &tiering)
    }
}

impl Tiering {
    pub(super) fn status(&self) -> TierStatus {
        let limit = self.options.bytes_per_s_max;
        let read_blocks = self.read_blocks.load(Relaxed);
        let state = self.state.lock();
        TierStatus {
            place: self.tier().place().to_owned(),
            out_segments: state.counted.map(|(segments, _)| segments),
            out_bytes: state.counted.map(|(_, bytes)| bytes),
            out: state.out.status(limit),
            back: state.back.status(limit),
            read_blocks,
            dead_objects: state.dead.len() as u64,
            deleted_objects: state.deleted,
            unknown_objects: state.unknown,
            missing_objects: state.missing,
            swept: state.swept,
            trouble: state.trouble.clone(),
        }
    }

    /// Queues segments in one direction.
    fn queue(&self, wanted: Vec<Wanted>, out: bool, first: bool) -> Staged {
        let limit = self.options.bytes_per_s_max;
        let mut state = self.state.lock();
        let direction = if out { &mut state.out } else { &mut state.back };
        let segments = wanted.len() as u64;
        let bytes = wanted.iter().map(|wanted| wanted.bytes).sum();
        let in_order: Box<dyn Iterator<Item = Wanted>> = match first {
            true => Box::new(wanted.into_iter().rev()),
            false => Box::new(wanted.into_iter()),
        };
        in_order.for_each(|wanted| direction.want(wanted, first));
        let rate = direction.rate.bytes_per_s(limit);
        let takes = rate.map(|rate| pipeline::takes(direction.waiting_bytes(), rate));
        self.changed.notify_all();
        Staged { segments, bytes, takes_ms: takes.map(ms) }
    }

    /// Somebody plays a segment: it is not to go out soon, and if it is out, it and what follows are to come.
    pub(crate) fn played(&self, finder: &Finder, index: u64, block: usize) {
        let (inner, stream) = (&finder.inner, &finder.stream);
        self.uses.lock().note(stream.id, index, inner.clock.now());
        let epoch = stream.view(|view| view.epoch);
        let mut wanted = Vec::new();
        for next in index..=index + AHEAD {
            // Whoever reads it finds out what is wrong with it.
            let Ok(Some(record)) = finder.record(next) else { break };
            if let State::Out(_, object) = record.state {
                let block = if next == index { block } else { 0 };
                let (stream, bytes) = (stream.clone(), object.bytes);
                wanted.push(Wanted { stream, index: next, epoch, block, bytes });
            }
        }
        if !wanted.is_empty() {
            self.queue(wanted, false, true);
        }
    }

    /// When a playback can begin for which `parts` come from the tier, which are those of the segments `out`; they are
    /// brought back from now on.
    ///
    /// # Errors
    /// [`Error::Out`] if that is not soon; [`Error::Away`] if the tier can't be reached.
    pub(crate) fn begin(
        &self,
        finder: &Finder,
        parts: &[Part],
        out: &[u64],
    ) -> Result<Duration, Error> {
        let Some(first) = out.first() else { return Ok(Duration::ZERO) };
        let (stream, mut wanted) = (&finder.stream, Vec::new());
        let epoch = stream.view(|view| view.epoch);
        for index in out {
            if let Some(SegmentRecord { state: State::Out(_, object), .. }) =
                finder.record(*index)?
            {
                let (stream, bytes) = (stream.clone(), object.bytes);
                wanted.push(Wanted { stream, index: *index, epoch, block: 0, bytes });
            }
        }
        if self.back_rate().is_none() {
            self.probe(finder, *first)?;
        }
        let others = {
            let state = self.state.lock();
            let own = |other: &&Wanted| !wanted.iter().any(|wanted| wanted.is_same(other));
            state.back.waiting.iter().filter(own).map(|wanted| wanted.bytes).sum()
        };
        self.queue(wanted, false, false);
        let back_in = self.back_rate().map(|rate| pipeline::wait(parts, others, rate));
        match back_in {
            Some(wait) if wait <= START_MAX => Ok(wait),
            back_in => Err(Error::Out { name: stream.name.clone(), back_in }),
        }
    }

    /// Learns the tier's rate from the first blocks of a segment.
    fn probe(&self, finder: &Finder, index: u64) -> Result<(), Error> {
        let Some(record) = finder.record(index)? else { return Ok(()) };
        let object = self.object(&finder.stream, &record)?;
        let mut bytes = 0;
        for at in 0..object.places.len() {
            bytes += self.fetch(&finder.stream, &object, at)?.len() as u64;
            if bytes >= PROBE_BYTES {
                break;
            }
        }
        Ok(())
    }
}

/// Ends the last segment of a stream that nobody records, if nothing in it lies behind `end`: only what is complete goes out.
///
/// # Errors
/// If it can't be written.
pub(super) fn seal_if_idle(inner: &Inner, stream: &Arc<Stream>, end: Time) -> Result<(), Error> {
    let is_idle = || stream.queue(|queue| !queue.is_attached() && !queue.has_entries());
    let ends_before = || {
        stream.view(|view| {
            let open = view.open.as_ref().filter(|open| !open.entries().is_empty());
            open.is_some_and(|open| open.sealed().end <= end)
        })
    };
    if !is_idle() || !ends_before() {
        return Ok(());
    }
    inner.check_failed()?;
    let mut core = inner.core.lock();
    match is_idle() && ends_before() {
        true => core.seal_open(inner, stream),
        false => Ok(()),
    }
}

/// What of a stream is out, in `range`.
///
/// # Errors
/// If its directory can't be read.
fn out_in(inner: &Inner, stream: Arc<Stream>, range: TimeRange) -> Result<Vec<OutRange>, Error> {
    let mut runs: Vec<(u64, OutRange)> = Vec::new();
    for_records(inner, &stream, range, |index, _, record| {
        let State::Out(sealed, object) = &record.state else { return };
        match runs.last_mut() {
            Some((last, run)) if *last + 1 == index => {
                (*last, run.end) = (index, sealed.end.max(run.end));
                run.bytes += object.bytes;
                run.segments += 1;
            }
            _ => {
                let (start, end) = (record.first, sealed.end);
                let (bytes, segments) = (object.bytes, 1);
                runs.push((index, OutRange { start, end, bytes, segments, back_in_ms: None }));
            }
        }
    })?;
    let tiering = inner.tiering();
    let rate = tiering.as_ref().and_then(|tiering| tiering.back_rate());
    let before = tiering.map_or(0, |tiering| tiering.back_queue());
    let mut runs: Vec<OutRange> = runs.into_iter().map(|(_, run)| run).collect();
    for run in &mut runs {
        run.back_in_ms = rate.map(|rate| ms(pipeline::takes(before + run.bytes, rate)));
    }
    Ok(runs)
}

/// Goes over the records of complete segments with an instant in `range`: number, epoch, record.
fn for_records(
    inner: &Inner,
    stream: &Arc<Stream>,
    range: TimeRange,
    mut look: impl FnMut(u64, u64, &SegmentRecord),
) -> Result<(), Error> {
    let (segments, epoch) = stream.view(|view| (view.segments.clone(), view.epoch));
    let first = match range.start == Time::MIN {
        true => segments.start,
        false => first_in_range(inner, stream, range.start)?.unwrap_or(segments.start),
    };
    for index in first..segments.end {
        let Some(record) = stream.segment(&inner.log, inner.record_len, index)? else { continue };
        if record.state == State::Freed {
            continue;
        }
        if record.first >= range.end {
            break;
        }
        if record.complete().is_some_and(|sealed| sealed.end > range.start) {
            look(index, epoch, &record);
        }
    }
    Ok(())
}

/// The segment before the first one that begins behind `at`.
fn first_in_range(inner: &Inner, stream: &Arc<Stream>, at: Time) -> Result<Option<u64>, Error> {
    let segments = stream.view(|view| view.segments.clone());
    let (mut low, mut high) = (segments.start, segments.end);
    while high.saturating_sub(low) > 1 {
        let middle = low + (high - low) / 2;
        match stream.segment(&inner.log, inner.record_len, middle)? {
            Some(record) if record.first > at => high = middle,
            _ => low = middle,
        }
    }
    Ok((low < segments.end).then_some(low))
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
