//! Who is admitted, and who has to go. Knows no clock: it is told the time, in nanoseconds since the office began.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pegasus_base::StreamName;
use pegasus_disk::Profile;
use pegasus_mitra::{Interval, Origin, PlaybackId, Request, Scheduler};

use super::ahead::Known;
use super::ladder::Ladder;
use super::lateness::{Done, Lateness};
use super::status::{GuaranteeStatus, PlaybackStatus, Refused};
use super::stock::Stock;

/// All of them lie on every disk: see [`Ladder::shape`].
const ORIGIN: Origin = Origin { disk: 0, zone: 0 };
/// A change of what recordings take that is worth promising anew.
const SHARE_STEP: f64 = 0.02;

/// The promises, and what is known of the disks' time.
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
    /// Share of the disks' time that recordings take, 0 to 1.
    recordings: f64,
    lateness: Lateness,
    /// Counters; `late_blocks` of those that have ended.
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

impl State {
    pub(super) fn new(ladder: Ladder, scheduler: Scheduler) -> Self {
        Self {
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
        }
    }

    /// Promises all of `needs` or none: see [`Office::admit`](super::office::Office::admit).
    pub(super) fn admit(
        &mut self,
        needs: &[Need],
        instead_of: &[PlaybackId],
        now_ns: u64,
    ) -> Result<(u64, Vec<PlaybackId>), Refused> {
        self.catch_up(now_ns);
        let before = (!instead_of.is_empty()).then(|| self.scheduler.clone());
        instead_of.iter().for_each(|id| self.scheduler.end(*id));
        let mut admitted = Vec::new();
        for need in needs {
            match self.admit_one(need, now_ns) {
                Ok(id) => admitted.push(id),
                Err(refused) => {
                    self.end(&admitted);
                    if let Some(before) = before {
                        self.scheduler = before;
                    }
                    self.figures.refused += 1;
                    return Err(refused);
                }
            }
        }
        self.end(instead_of);
        let promise = self.next_promise;
        self.next_promise += 1;
        self.figures.admitted += admitted.len() as u64;
        for id in &admitted {
            if let Some(share) = self.shares.get_mut(id) {
                share.promise = promise;
            }
        }
        Ok((promise, admitted))
    }

    /// Whether all of `needs` would fit if nobody else played. Nothing is changed by it.
    pub(super) fn fits_when_idle(&mut self, needs: &[Need], now_ns: u64) -> bool {
        // Who can't be told is let wait.
        let Ok(mut idle) = Scheduler::new(self.scheduler.shape().clone()) else { return true };
        idle.skip_to(self.now);
        let scheduler = std::mem::replace(&mut self.scheduler, idle);
        let (shares, late) = (std::mem::take(&mut self.shares), std::mem::take(&mut self.late));
        let fits = needs.iter().all(|need| self.admit_one(need, now_ns).is_ok());
        (self.scheduler, self.shares, self.late) = (scheduler, shares, late);
        fits
    }

    /// The refusal of somebody whose turn it is not: of the first of `needs`, at what it takes on the average.
    pub(super) fn not_his_turn(&mut self, needs: &[Need], now_ns: u64) -> Refused {
        self.figures.refused += 1;
        match needs.first() {
            Some(Need { stock, known, .. }) => {
                let name = &stock.finder.stream.name;
                self.refused(name, known.curve.mean() * 8, 0, known.width.max(1), now_ns)
            }
            None => unreachable!("nothing at all is always admitted"),
        }
    }

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
            waiting: 0,
            position: None,
            never: false,
        }
    }

    /// Playbacks are over.
    pub(super) fn end(&mut self, ids: &[PlaybackId]) {
        for id in ids {
            self.scheduler.end(*id);
            self.remove(*id);
        }
    }

    /// Takes a playback that has ended from the books.
    fn remove(&mut self, id: PlaybackId) -> Option<Share> {
        self.late.retain(|late| *late != id);
        let share = self.shares.remove(&id)?;
        self.figures.late_blocks += share.stock.figures().late_blocks;
        Some(share)
    }

    /// When the last of these playbacks can be shown, in nanoseconds since the office began.
    pub(super) fn shown_ns(&self, ids: &[PlaybackId]) -> u64 {
        let shares = ids.iter().filter_map(|id| self.shares.get(id));
        shares.map(|share| share.shown_ns).max().unwrap_or(0)
    }

    /// Bits a second that are reserved for these playbacks.
    pub(super) fn reserved_bps(&self, ids: &[PlaybackId]) -> u64 {
        ids.iter().filter_map(|id| self.shares.get(id)).map(|share| share.reserved_bps).sum()
    }

    /// Recordings take `share` of the disks' time now, 0 to 1.
    pub(super) fn record(&mut self, share: f64) {
        if (share - self.recordings).abs() > SHARE_STEP || (share == 0.0 && self.recordings > 0.0) {
            self.recordings = share.clamp(0.0, 0.95);
            self.promise_anew("recordings need the disks' time");
        }
    }

    /// How long the slowest of the disks takes at worst for so many writes of so many bytes altogether.
    pub(super) fn takes(&self, writes: u32, bytes: u64) -> Duration {
        let others = f64::from(self.ladder.guarantee().others_percent) / 100.0;
        match self.ladder.shape(self.lateness.slowdown(), others) {
            // Others' time is no part of what writes take.
            Ok(shape) => {
                Duration::from_nanos(shape.batch_ns(0, writes, bytes)).mul_f64(1.0 - others)
            }
            Err(_) => Duration::ZERO,
        }
    }

    /// Takes note of a batch that is over.
    pub(super) fn note_batch(&mut self, done: Done) {
        self.figures.batches += 1;
        self.figures.late_batches += u64::from(done.late_ns > 0);
        let before = self.lateness.slowdown();
        if self.lateness.note(done) {
            let (why, slowdown) =
                ("the disks are slower than their profile says", self.lateness.slowdown());
            match slowdown > before {
                true => tracing::warn!(slowdown, "{why}"),
                false => tracing::info!(slowdown, "the disks are faster than they were lately"),
            }
            self.promise_anew(why);
        }
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
            let Some(share) = self.remove(id) else { continue };
            let stream = &share.stock.finder.stream.name;
            tracing::warn!(%stream, why, "a playback's promise is taken back");
            share.stock.withdraw(why);
            self.figures.withdrawn += 1;
        }
    }

    /// The disks are like `profiles`, if promises can be made anew by that.
    pub(super) fn adopt(&mut self, profiles: &[Profile]) -> Result<bool, pegasus_mitra::Error> {
        let ladder = self.ladder.with(profiles)?;
        let is_alike = ladder.shape(1.0, 0.0)?.media() == self.scheduler.shape().media();
        if self.shares.is_empty() || !is_alike {
            return Ok(false);
        }
        (self.ladder, self.lateness) = (ladder, Lateness::default());
        self.promise_anew("the disks were measured anew, and are slower than was thought");
        Ok(true)
    }

    /// Goes on counting from these.
    pub(super) fn inherit(&mut self, before: GuaranteeStatus) {
        self.figures.admitted += before.admitted;
        self.figures.refused += before.refused;
        self.figures.withdrawn += before.withdrawn;
        self.figures.batches += before.batches;
        self.figures.late_batches += before.late_batches;
        self.figures.late_blocks += before.late_blocks;
    }

    pub(super) fn status(&self) -> GuaranteeStatus {
        let guarantee = self.ladder.guarantee();
        let playbacks: Vec<PlaybackStatus> = self.shares.values().map(Share::status).collect();
        let late: u64 = playbacks.iter().map(|one| one.late_blocks).sum();
        let largest = self.scheduler.largest(self.now, ORIGIN);
        GuaranteeStatus {
            period_ms: guarantee.period.as_millis() as u64,
            promised_percent: self.scheduler.promised() * 100.0,
            recording_percent: self.recordings * 100.0,
            others_percent: f64::from(guarantee.others_percent),
            slowdown: self.lateness.slowdown(),
            fits_bps: largest.map_or(0, |rung| self.ladder.rate_bps(rung) * self.ladder.data()),
            playbacks,
            late_blocks: late + self.figures.late_blocks,
            ..self.figures.clone()
        }
    }

    /// Nobody has a promise any more; whoever reads for them ends.
    pub(super) fn close(&mut self, why: &str) {
        self.stop = true;
        for share in std::mem::take(&mut self.shares).into_values() {
            share.stock.withdraw(why);
        }
    }
}

impl Share {
    fn status(&self) -> PlaybackStatus {
        let figures = self.stock.figures();
        PlaybackStatus {
            promise: self.promise,
            stream: self.stock.finder.stream.name.clone(),
            scale: self.scale,
            reserved_bps: self.reserved_bps,
            mean_bps: self.mean_bps,
            peak_bps: self.peak_bps,
            held_bytes: figures.held_bytes,
            blocks: figures.blocks,
            late_blocks: figures.late_blocks,
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
