//! Who has a promise, and what is to be read when. Knows no clock: it is told the time, in nanoseconds since it began.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use pegasus_base::StreamName;
use pegasus_mitra::{Interval, Origin, PlaybackId, Request, Scheduler};

use super::ahead::Known;
use super::ladder::{Guarantee, Ladder, Layout};
use super::lateness::{Done, Lateness};
use super::rounds;
use super::status::{GuaranteeStatus, PlaybackStatus, Refused};
use super::stock::Stock;
use crate::error::Error;
use crate::inner::Inner;

/// All of them lie on every disk: see [`Ladder::shape`].
const ORIGIN: Origin = Origin { disk: 0, zone: 0 };
/// A change of what recordings take that is worth promising anew.
const SHARE_STEP: f64 = 0.02;

/// Admits playbacks, and keeps what was promised.
#[derive(Debug)]
pub(crate) struct Office {
    pub(super) state: Mutex<State>,
    /// Something is to be done before the next interval.
    pub(super) kicked: Condvar,
    begun: Instant,
    /// Whether a thread reads ahead.
    driven: bool,
    pub(super) late_blocks: AtomicU64,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) ladder: Ladder,
    pub(super) scheduler: Scheduler,
    /// The interval that is under way.
    pub(super) now: Interval,
    pub(super) shares: BTreeMap<PlaybackId, Share>,
    /// Those whose first block is to be read at once.
    pub(super) late: Vec<PlaybackId>,
    /// Whether a reader may be waiting for what is not due yet.
    pub(super) waited_for: bool,
    pub(super) stop: bool,
    next_promise: u64,
    recordings: f64,
    lateness: Lateness,
    figures: GuaranteeStatus,
}

/// A playback that has a promise.
#[derive(Debug)]
pub(super) struct Share {
    pub(super) stock: Arc<Stock>,
    promise: u64,
    scale: f64,
    reserved_bps: u64,
    mean_bps: u64,
    peak_bps: u64,
    /// When it is shown, in nanoseconds since the office began.
    pub(super) shown_ns: u64,
    /// When it is over if nobody pauses it, if that is known.
    ends_ns: Option<u64>,
}

/// What one playback needs.
#[derive(Debug, Clone)]
pub(super) struct Need {
    pub(super) stock: Arc<Stock>,
    pub(super) known: Known,
    pub(super) scale: f64,
    /// Whether its end is known.
    pub(super) ends: bool,
}

impl Office {
    /// Begins to give promises for a store, with a thread that keeps them if it is to be driven.
    ///
    /// # Errors
    /// [`Error::Guarantee`].
    pub(crate) fn open(
        inner: &Inner,
        guarantee: Guarantee,
        driven: bool,
    ) -> Result<Arc<Self>, Error> {
        let status = inner.log.status();
        let layout = Layout {
            slot_bytes: u64::from(status.unit_bytes),
            columns: u64::from(status.data) + u64::from(status.parity),
            data: u64::from(status.data.max(1)),
            block: inner.commit_interval(),
        };
        let office = Arc::new(Self::new(guarantee, layout, driven)?);
        if driven {
            let own = office.clone();
            let thread = std::thread::Builder::new().name("playback".to_owned());
            let spawned = thread.spawn(move || rounds::run(&own));
            spawned.map_err(|error| Error::Guarantee { why: error.to_string() })?;
        }
        Ok(office)
    }

    fn new(guarantee: Guarantee, layout: Layout, driven: bool) -> Result<Self, Error> {
        let wrong = |error: pegasus_mitra::Error| Error::Guarantee { why: error.to_string() };
        let (ladder, scheduler) = Ladder::new(guarantee, layout).map_err(wrong)?;
        let state = State {
            ladder,
            scheduler,
            now: Interval(0),
            shares: BTreeMap::new(),
            late: Vec::new(),
            waited_for: false,
            stop: false,
            next_promise: 1,
            recordings: 0.0,
            lateness: Lateness::default(),
            figures: GuaranteeStatus::default(),
        };
        Ok(Self {
            state: Mutex::new(state),
            kicked: Condvar::new(),
            begun: Instant::now(),
            driven,
            late_blocks: AtomicU64::new(0),
        })
    }

    /// Nanoseconds since it began.
    pub(super) fn now_ns(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// The instant so many nanoseconds after it began.
    pub(super) fn at(&self, ns: u64) -> Instant {
        self.begun + Duration::from_nanos(ns)
    }

    /// Whether a thread of its own reads ahead.
    pub(super) fn is_driven(&self) -> bool {
        self.driven
    }

    /// A reader waits for what is not due yet: if the disks have time, it is read now.
    pub(super) fn somebody_waits(&self) {
        self.state.lock().waited_for = true;
        self.kicked.notify_all();
    }

    /// How long a reader waits for a block that is to come.
    pub(super) fn patience(&self) -> Duration {
        match self.driven {
            true => self.state.lock().ladder.guarantee().period * 2,
            false => Duration::ZERO,
        }
    }

    /// Promises all of `needs` or none: the number of the promise, and the playbacks. Those `instead_of` which they are end then; if they are
    /// refused, these go on as if nothing had been asked.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub(super) fn admit(
        &self,
        needs: &[Need],
        instead_of: &[PlaybackId],
        now_ns: u64,
    ) -> Result<(u64, Vec<PlaybackId>), Error> {
        let mut state = self.state.lock();
        state.catch_up(now_ns);
        let before = (!instead_of.is_empty()).then(|| state.scheduler.clone());
        instead_of.iter().for_each(|id| state.scheduler.end(*id));
        let mut admitted = Vec::new();
        for need in needs {
            match state.admit_one(need, now_ns) {
                Ok(id) => admitted.push(id),
                Err(refused) => {
                    admitted.into_iter().for_each(|id| state.end(id));
                    if let Some(before) = before {
                        state.scheduler = before;
                    }
                    state.figures.refused += 1;
                    return Err(Error::Refused(Box::new(refused)));
                }
            }
        }
        self.forget(&mut state, instead_of);
        let promise = state.next_promise;
        state.next_promise += 1;
        state.figures.admitted += admitted.len() as u64;
        for id in &admitted {
            if let Some(share) = state.shares.get_mut(id) {
                share.promise = promise;
            }
        }
        self.kicked.notify_all();
        Ok((promise, admitted))
    }

    /// When the last of these playbacks can be shown, in nanoseconds since it began.
    pub(super) fn shown_ns(&self, ids: &[PlaybackId]) -> u64 {
        let state = self.state.lock();
        let shares = ids.iter().filter_map(|id| state.shares.get(id));
        shares.map(|share| share.shown_ns).max().unwrap_or(0)
    }

    /// Bits a second that are reserved for these playbacks.
    pub(super) fn reserved_bps(&self, ids: &[PlaybackId]) -> u64 {
        let state = self.state.lock();
        ids.iter().filter_map(|id| state.shares.get(id)).map(|share| share.reserved_bps).sum()
    }

    /// Playbacks are over.
    pub(super) fn end(&self, ids: &[PlaybackId]) {
        self.forget(&mut self.state.lock(), ids);
    }

    fn forget(&self, state: &mut State, ids: &[PlaybackId]) {
        for id in ids {
            if let Some(share) = state.shares.get(id) {
                self.late_blocks.fetch_add(share.stock.figures().late_blocks, Relaxed);
            }
            state.end(*id);
        }
    }

    /// Recordings take `share` of the disks' time now, 0 to 1. Playbacks for which nothing is left have to go, the
    /// newest first: what is not recorded is lost for ever.
    pub(crate) fn record(&self, share: f64) {
        let mut state = self.state.lock();
        if (share - state.recordings).abs() > SHARE_STEP || (share == 0.0 && state.recordings > 0.0)
        {
            state.recordings = share.clamp(0.0, 0.95);
            state.promise_anew("recordings need the disks' time");
        }
    }

    /// How long the slowest of the disks takes at worst for so many writes of so many bytes altogether.
    pub(super) fn takes(&self, writes: u32, bytes: u64) -> Duration {
        let state = self.state.lock();
        let others = f64::from(state.ladder.guarantee().others_percent) / 100.0;
        match state.ladder.shape(state.lateness.slowdown(), others) {
            // Others' time is no part of what writes take.
            Ok(shape) => {
                Duration::from_nanos(shape.batch_ns(0, writes, bytes)).mul_f64(1.0 - others)
            }
            Err(_) => Duration::ZERO,
        }
    }

    /// Takes note of a batch that is over.
    pub(crate) fn note_batch(&self, done: Done) {
        let mut state = self.state.lock();
        state.figures.batches += 1;
        state.figures.late_batches += u64::from(done.late_ns > 0);
        let before = state.lateness.slowdown();
        if state.lateness.note(done) {
            let (why, slowdown) =
                ("the disks are slower than their profile says", state.lateness.slowdown());
            match slowdown > before {
                true => tracing::warn!(slowdown, "{why}"),
                false => tracing::info!(slowdown, "the disks are faster than they were lately"),
            }
            state.promise_anew(why);
        }
    }

    pub(crate) fn status(&self) -> GuaranteeStatus {
        let state = self.state.lock();
        let guarantee = state.ladder.guarantee();
        let playback = |share: &Share| {
            let figures = share.stock.figures();
            PlaybackStatus {
                promise: share.promise,
                stream: share.stock.finder.stream.name.clone(),
                scale: share.scale,
                reserved_bps: share.reserved_bps,
                mean_bps: share.mean_bps,
                peak_bps: share.peak_bps,
                held_bytes: figures.held_bytes,
                blocks: figures.blocks,
                late_blocks: figures.late_blocks,
            }
        };
        let playbacks: Vec<PlaybackStatus> = state.shares.values().map(playback).collect();
        let late: u64 = playbacks.iter().map(|one| one.late_blocks).sum();
        let largest = state.scheduler.largest(state.now, ORIGIN);
        GuaranteeStatus {
            period_ms: guarantee.period.as_millis() as u64,
            promised_percent: state.scheduler.promised() * 100.0,
            recording_percent: state.recordings * 100.0,
            others_percent: f64::from(guarantee.others_percent),
            slowdown: state.lateness.slowdown(),
            fits_bps: largest.map_or(0, |rung| state.ladder.rate_bps(rung) * state.ladder.data()),
            playbacks,
            late_blocks: late + self.late_blocks.load(Relaxed),
            ..state.figures.clone()
        }
    }

    /// Nobody has a promise any more; the thread ends.
    pub(crate) fn stop(&self) {
        let mut state = self.state.lock();
        state.stop = true;
        for share in std::mem::take(&mut state.shares).into_values() {
            share.stock.withdraw("the store is being closed");
        }
        self.kicked.notify_all();
    }
}

impl State {
    /// While nobody plays nobody counts the intervals.
    fn catch_up(&mut self, now_ns: u64) {
        let shape = self.scheduler.shape();
        let round_ns: u64 = shape.shares_ns().iter().sum();
        let groups = u64::from(shape.knobs().groups);
        let mut interval = Interval((now_ns / round_ns) * groups);
        while shape.begins_ns(Interval(interval.0 + 1)) <= now_ns {
            interval.0 += 1;
        }
        if self.shares.is_empty() && interval > self.now {
            self.now = interval;
            self.scheduler.skip_to(interval);
        }
    }

    fn admit_one(&mut self, need: &Need, now_ns: u64) -> Result<PlaybackId, Refused> {
        let Need { stock, known, scale, ends } = need;
        let period_ns = self.ladder.guarantee().period_ns();
        let cost = cost_of(*scale);
        let budget = (known.curve.budget(period_ns) as f64 * cost).ceil() as u64;
        // What is overdrawn in a period is paid back in the next, but it is read.
        let (width, bytes) = (known.width.max(1), budget + known.largest);
        let name = &stock.finder.stream.name;
        let period_s = period_ns as f64 / 1e9;
        let asked_bps = (bytes as f64 * 8.0 / period_s) as u64;
        let rung = self.ladder.rung(bytes.div_ceil(width));
        let Some(rung) = rung else { return Err(self.refused(name, asked_bps, 0, width, now_ns)) };
        // Until it is given back: who pauses may go on later.
        let request = Request { object: 0, media: rung, origin: ORIGIN, blocks: u64::MAX / 4 };
        let admitted = self.scheduler.admit(self.now, now_ns, &request);
        let admitted = admitted.map_err(|refusal| {
            let short_us = (refusal.short.by_ns / 1_000).max(1);
            self.refused(name, asked_bps, short_us, width, now_ns)
        })?;
        let reads_ahead = (0.0..=2.0).contains(scale) && *scale > 0.0;
        let largest = [known.largest, known.curve.largest()];
        stock.set_budget(budget, period_ns, largest, reads_ahead);
        let share = Share {
            stock: stock.clone(),
            promise: 0,
            scale: *scale,
            reserved_bps: self.ladder.rate_bps(rung) * width,
            mean_bps: known.curve.mean() * 8,
            peak_bps: known.curve.peak() * 8,
            shown_ns: admitted.shown_ns,
            ends_ns: ends
                .then(|| now_ns.saturating_add((known.curve.end_ns as f64 / scale.abs()) as u64)),
        };
        self.shares.insert(admitted.id, share);
        if admitted.is_late {
            self.late.push(admitted.id);
        }
        Ok(admitted.id)
    }

    fn refused(
        &self,
        stream: &StreamName,
        rate_bps: u64,
        short_us: u64,
        width: u64,
        now_ns: u64,
    ) -> Refused {
        let largest = self.scheduler.largest(self.now, ORIGIN);
        // Who holds on to a promise beyond the end of what he plays may do so for ever.
        let ends = self.shares.values().filter_map(|share| share.ends_ns.filter(|at| *at > now_ns));
        let ends = ends.min();
        Refused {
            stream: stream.clone(),
            rate_bps,
            short_us,
            period_ms: self.ladder.guarantee().period.as_millis() as u64,
            fits_bps: largest.map_or(0, |rung| self.ladder.rate_bps(rung) * width),
            playing: self.shares.len() as u64,
            first_end_ms: ends.map(|ends| ends.saturating_sub(now_ns) / 1_000_000),
        }
    }

    fn end(&mut self, id: PlaybackId) {
        self.scheduler.end(id);
        self.shares.remove(&id);
        self.late.retain(|late| *late != id);
    }

    /// The disks have more or less time than they had: the newest for whom it does not suffice are told `why`.
    fn promise_anew(&mut self, why: &str) {
        let others = f64::from(self.ladder.guarantee().others_percent) / 100.0 + self.recordings;
        let shape = match self.ladder.shape(self.lateness.slowdown(), others.min(0.95)) {
            Ok(shape) => shape,
            Err(error) => {
                tracing::error!(%error, "promises can't be made anew");
                return;
            }
        };
        for id in self.scheduler.reshape(shape) {
            let Some(share) = self.shares.remove(&id) else { continue };
            let stream = &share.stock.finder.stream.name;
            tracing::warn!(%stream, why, "a playback's promise is taken back");
            share.stock.withdraw(why);
            self.figures.withdrawn += 1;
        }
    }
}

/// How much more than at normal speed a playback takes: twice as fast, twice as much; faster ones leave out all but key units, a
/// part of the bytes but more often; exact reverse reads each group once.
fn cost_of(scale: f64) -> f64 {
    match scale.abs() {
        slow if slow <= 1.0 => 1.0,
        fast => fast.min(2.0),
    }
}
