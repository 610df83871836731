//! Who is admitted, and who has to go. Knows no clock: it is told the time, in nanoseconds since the office began.

mod anew;
mod start;

use std::collections::BTreeMap;
use std::sync::Arc;

use pegasus_base::StreamName;
use pegasus_mitra::{Interval, Load, PlaybackId, Scheduler};

use super::ahead::Known;
use super::aside::{Glance, share_of};
use super::lateness::Lateness;
use super::status::{GuaranteeStatus, PlaybackStatus, Refused};
use super::stock::{Budget, Stock};
use super::terms::{Reading, Terms};

/// Share of the disks' time that recordings, and playbacks that are not read ahead, may have.
const KEPT_MAX: f64 = 0.95;
/// Why time is cut anew when somebody gives some back: nobody has to go for that.
const GIVEN_BACK: &str = "the disks' time was cut anew";

/// The promises, and what is known of the disks' time.
#[derive(Debug)]
pub(super) struct State {
    pub(super) terms: Terms,
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
    /// And what is kept for playbacks that are not read ahead.
    aside: f64,
    next_aside: u64,
    lateness: Lateness,
    /// Counters; `late_blocks` of those that have ended.
    figures: GuaranteeStatus,
}

/// A playback that has a promise.
#[derive(Debug)]
pub(super) struct Share {
    pub(super) stock: Arc<Stock>,
    /// What is billed for it in each period; or the share of the disks' time that is kept for it.
    pub(super) load: Load,
    aside: f64,
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
    pub(super) fn new(terms: Terms, scheduler: Scheduler) -> Self {
        Self {
            terms,
            scheduler,
            now: Interval(0),
            shares: BTreeMap::new(),
            late: Vec::new(),
            waited_for: false,
            stop: false,
            next_promise: 1,
            recordings: 0.0,
            aside: 0.0,
            next_aside: u64::MAX,
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
        let before = (!instead_of.is_empty()).then(|| (self.scheduler.clone(), self.aside));
        for id in instead_of {
            self.scheduler.end(*id);
            self.aside -= self.shares.get(id).map_or(0.0, |share| share.aside);
        }
        if before.as_ref().is_some_and(|(_, aside)| *aside > self.aside) {
            self.cut_anew(GIVEN_BACK);
        }
        let mut admitted = Vec::new();
        for need in needs {
            match self.admit_one(need, now_ns) {
                Ok(id) => admitted.push(id),
                Err(refused) => {
                    self.end(&admitted);
                    if let Some(before) = before {
                        (self.scheduler, self.aside) = before;
                    }
                    self.figures.refused += 1;
                    return Err(refused);
                }
            }
        }
        for id in instead_of {
            // Its time was given back above.
            self.shares.get_mut(id).into_iter().for_each(|share| share.aside = 0.0);
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
        let shape = self.terms.shape(self.lateness.slowdown(), self.recordings);
        let Ok(mut idle) = shape.and_then(Scheduler::new) else { return true };
        idle.skip_to(self.now);
        let scheduler = std::mem::replace(&mut self.scheduler, idle);
        let (shares, late) = (std::mem::take(&mut self.shares), std::mem::take(&mut self.late));
        let aside = std::mem::take(&mut self.aside);
        let fits = needs.iter().all(|need| self.admit_one(need, now_ns).is_ok());
        (self.scheduler, self.shares, self.late) = (scheduler, shares, late);
        self.aside = aside;
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
        match &need.known.glance {
            Some(glance) => self.admit_aside(need, glance, now_ns),
            None => self.admit_ahead(need, now_ns),
        }
    }

    fn admit_ahead(&mut self, need: &Need, now_ns: u64) -> Result<PlaybackId, Refused> {
        let Need { stock, known, scale, ends } = need;
        let (reading, budget) = self.reading(known, *scale);
        let name = &stock.finder.stream.name;
        let per_s = 8e9 / self.terms.guarantee().period_ns() as f64;
        let asked_bps = (reading.bytes as f64 * per_s) as u64;
        let load = self.terms.load(&reading);
        let request = Terms::request(load);
        let admitted = self.scheduler.admit(self.now, now_ns, &request).map_err(|refusal| {
            let short_us = match self.terms.is_possible(load) {
                true => (refusal.short.by_ns / 1_000).max(1),
                false => 0,
            };
            self.refused(name, asked_bps, short_us, reading.width, now_ns)
        })?;
        stock.set_budget(budget);
        let share = Share {
            stock: stock.clone(),
            load,
            aside: 0.0,
            promise: 0,
            scale: *scale,
            reserved_bps: asked_bps,
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
        self.waited_for = true;
        Ok(admitted.id)
    }

    /// Keeps a share of the disks' time for a playback whose reads come one by one, if what was promised before bears it.
    fn admit_aside(
        &mut self,
        need: &Need,
        glance: &Glance,
        now_ns: u64,
    ) -> Result<PlaybackId, Refused> {
        let Need { stock, scale, .. } = need;
        let (load, bytes) = glance.in_second(*scale);
        let (name, asked_bps) = (&stock.finder.stream.name, bytes * 8);
        let idle = self.terms.shape(self.lateness.slowdown(), 0.0);
        let aside = idle.map_or(1.0, |shape| share_of(&shape, load));
        let kept = self.recordings + self.aside + aside;
        let over = kept - KEPT_MAX;
        let shape = self.terms.shape(self.lateness.slowdown(), kept);
        let mut tried = self.scheduler.clone();
        let bears = over <= 0.0 && shape.is_ok_and(|shape| tried.reshape(shape).is_empty());
        if !bears {
            let period_us = self.terms.guarantee().period.as_micros() as f64;
            let short_us = if aside > KEPT_MAX { 0 } else { (period_us * over.max(0.001)) as u64 };
            return Err(self.refused(name, asked_bps, short_us, glance.width.max(1), now_ns));
        }
        self.scheduler = tried;
        self.aside += aside;
        let id = PlaybackId(self.next_aside);
        self.next_aside -= 1;
        stock.set_budget(Budget::default());
        let mean_bps = glance.bytes as f64 * 8.0 / glance.shown.as_secs_f64().max(0.001);
        let share = Share {
            stock: stock.clone(),
            load,
            aside,
            promise: 0,
            scale: *scale,
            reserved_bps: asked_bps,
            mean_bps: mean_bps as u64,
            peak_bps: asked_bps,
            shown_ns: now_ns,
            ends_ns: None,
        };
        self.shares.insert(id, share);
        Ok(id)
    }

    /// How a playback is read that takes least of the disks' time: over the ends of segments, or in one run in each period.
    fn reading(&self, known: &Known, scale: f64) -> (Reading, Budget) {
        let period_ns = self.terms.guarantee().period_ns();
        // As much of the recording as is shown in a period; slower ones are read as if they were not slow.
        let shown_ns = |ns: u64| (ns as f64 * scale.max(1.0)) as u64;
        let reading = |stops: bool| {
            let budget = known.curve.budget(shown_ns(period_ns), stops)?;
            // The last block that is read in a period may go beyond the budget.
            let (bytes, width) = (budget + known.largest, known.width.max(1));
            Some(Reading { bytes, width, stops, slowness: known.slowness })
        };
        // Only who reads as it was recorded comes by the ends of segments one by one.
        let stops = [false, true].into_iter().filter(|stops| !stops || scale == 1.0);
        let cheapest = self.terms.cheapest(self.scheduler.shape(), stops.filter_map(reading));
        let reading = cheapest.expect("who crosses the ends of segments has a budget");
        let budget = Budget {
            bytes: reading.bytes - known.largest,
            period_ns: shown_ns(period_ns),
            early_ns: shown_ns(period_ns + self.window_ns()),
            stops: reading.stops,
            largest_block: known.largest,
            largest_part: known.curve.largest(),
            ahead: true,
        };
        (reading, budget)
    }

    fn refused(
        &self,
        stream: &StreamName,
        rate_bps: u64,
        short_us: u64,
        width: u64,
        now_ns: u64,
    ) -> Refused {
        let fits_bps = self.terms.fits_bps(&self.scheduler, self.now, width);
        // Who holds on to a promise beyond the end of what he plays may do so for ever.
        let ends = self.shares.values().filter_map(|share| share.ends_ns.filter(|at| *at > now_ns));
        let ends = ends.min();
        Refused {
            stream: stream.clone(),
            rate_bps,
            short_us,
            period_ms: self.terms.guarantee().period.as_millis() as u64,
            fits_bps,
            playing: self.shares.len() as u64,
            first_end_ms: ends.map(|ends| ends.saturating_sub(now_ns) / 1_000_000),
            waiting: 0,
            position: None,
            never: false,
        }
    }

    /// Playbacks are over.
    pub(super) fn end(&mut self, ids: &[PlaybackId]) {
        let before = self.aside;
        for id in ids {
            self.scheduler.end(*id);
            self.remove(*id);
        }
        if self.aside < before {
            self.cut_anew(GIVEN_BACK);
        }
    }

    /// Takes a playback that has ended from the books.
    fn remove(&mut self, id: PlaybackId) -> Option<Share> {
        self.late.retain(|late| *late != id);
        let share = self.shares.remove(&id)?;
        self.aside -= share.aside;
        self.figures.late_blocks += share.stock.figures().late_blocks;
        Some(share)
    }

    /// Bits a second that are reserved for these playbacks.
    pub(super) fn reserved_bps(&self, ids: &[PlaybackId]) -> u64 {
        ids.iter().filter_map(|id| self.shares.get(id)).map(|share| share.reserved_bps).sum()
    }

    pub(super) fn status(&self) -> GuaranteeStatus {
        let guarantee = self.terms.guarantee();
        let playbacks: Vec<PlaybackStatus> = self.shares.values().map(Share::status).collect();
        let late: u64 = playbacks.iter().map(|one| one.late_blocks).sum();
        GuaranteeStatus {
            period_ms: guarantee.period.as_millis() as u64,
            promised_percent: self.scheduler.promised() * 100.0,
            recording_percent: self.recordings * 100.0,
            aside_percent: self.aside * 100.0,
            others_percent: f64::from(guarantee.others_percent),
            slowdown: self.lateness.slowdown(),
            fits_bps: self.terms.fits_bps(&self.scheduler, self.now, self.terms.data()),
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
