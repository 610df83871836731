//! The scheduler at work on disks, in virtual time or in their own: what `pegasus simulate` runs, and tests.
//!
//! Simulated disks take what their heads and platters take by the profile, with the turn drawn by chance, and blocks lie anywhere in
//! their zone. A hiccup is a block that is not there when it is to be shown. Other disks are put beneath by [`Platters`]: nothing
//! here asks what time it is, so on real ones it is they who wait.

mod disks;
mod margins;
mod platters;
#[cfg(test)]
mod tests;
mod under_way;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use pegasus_disk::Profile;

pub use self::disks::SimulatedDisks;
pub use self::margins::Margins;
pub use self::platters::{Done, Layout, Platters};

use self::under_way::UnderWay;
use crate::{Admitted, Interval, Order, Origin, PlaybackId, Request, Scheduler, Shape};

/// Who comes when.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Arrivals {
    /// So many viewers, each of whom wants something else as soon as what he saw has ended.
    Closed {
        /// How many.
        viewers: u32,
    },
    /// Viewers that come by chance, whatever became of others.
    Poisson {
        /// How many in an hour on average.
        per_hour: f64,
    },
}

/// What is wanted of the disks.
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    /// Who comes when.
    pub arrivals: Arrivals,
    /// How often each medium is wanted, in proportion; as many as media.
    pub shares: Vec<f64>,
    /// Blocks of each object; at least 1.
    pub blocks: u64,
    /// Periods to run.
    pub periods: u64,
    /// From what all chance is drawn.
    pub seed: u64,
    /// A disk that fails, and the period it fails in.
    pub fails: Option<(u32, u64)>,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Playbacks at once: the most, and the mean over all intervals of the second half.
    pub playing_max: usize,
    /// See `playing_max`.
    pub playing_mean: f64,
    /// Who was admitted, and who had to wait for somebody's end before.
    pub admitted: u64,
    /// See `admitted`.
    pub waited: u64,
    /// Blocks shown.
    pub blocks: u64,
    /// Of them late, or never read.
    pub hiccups: u64,
    /// Of them never read: a disk failed to.
    pub unread: u64,
    /// How long before its time each block was there.
    pub margins: Margins,
    /// Blocks that more disks had failed under than parity bears.
    pub unreadable: u64,
    /// Playbacks that were ended because a disk failed.
    pub shed: u64,
    /// From wish to first picture in nanoseconds, of all that were admitted, sorted.
    pub startups_ns: Vec<u64>,
    /// The longest time from wish to first picture of those who waited for nobody's end, in nanoseconds.
    pub at_once_max_ns: u64,
    /// The part of the time that disks were at work, in the second half.
    pub busy: f64,
    /// The most that a playback of each medium held, in bytes: what was asked for and not shown yet.
    pub held_bytes: Vec<u64>,
}

impl Outcome {
    /// Mean time from wish to first picture in milliseconds; 0 if there was none.
    #[must_use]
    pub fn startup_mean_ms(&self) -> f64 {
        let all: f64 = self.startups_ns.iter().map(|ns| *ns as f64 / 1e6).sum();
        all / (self.startups_ns.len().max(1) as f64)
    }

    /// Longest time from wish to first picture in milliseconds; 0 if there was none.
    #[must_use]
    pub fn startup_max_ms(&self) -> f64 {
        self.startups_ns.last().map_or(0.0, |ns| *ns as f64 / 1e6)
    }
}

/// Runs `scheduler` on disks like `profiles`, by turns, under `workload`. `progress` is told the share that is done, 0 to 1.
///
/// # Panics
/// If there are no profiles, or the workload has not a share for each medium.
pub fn simulate(
    scheduler: Scheduler,
    profiles: &[Profile],
    workload: &Workload,
    progress: impl FnMut(f64),
) -> Outcome {
    // The first that is drawn from the seed is theirs, see `Run::new`.
    let seed = fastrand::Rng::with_seed(workload.seed).u64(..);
    let mut disks = SimulatedDisks::new(scheduler.shape(), profiles, seed);
    simulate_on(scheduler, &mut disks, workload, progress)
}

/// Runs `scheduler` on any disks under `workload`, from the beginning of their time on. As [`simulate`] otherwise, and with the same seed the same wishes come at the same times.
///
/// If the run is ended before its time, what was found until then counts.
///
/// # Panics
/// If the workload has not a share for each medium.
pub fn simulate_on(
    scheduler: Scheduler,
    platters: &mut impl Platters,
    workload: &Workload,
    mut progress: impl FnMut(f64),
) -> Outcome {
    assert_eq!(workload.shares.len(), scheduler.shape().media().len(), "a share for each medium");
    let groups = u64::from(scheduler.shape().knobs().groups);
    let mut run = Run::new(scheduler, platters, workload);
    let last = workload.periods * groups;
    for interval in 0..last {
        if interval == last / 2 {
            run.count_from(Interval(interval));
        }
        run.interval(Interval(interval));
        if interval % groups == 0 {
            progress(interval as f64 / last as f64);
        }
        if run.platters.stopped_ns().is_some() {
            return run.outcome(Interval(interval + 1));
        }
    }
    run.outcome(Interval(last))
}

/// A playback as its viewer sees it.
struct Viewing {
    media: usize,
    /// The zone of its first block.
    zone: usize,
    shown_ns: u64,
    blocks: u64,
}

impl Viewing {
    /// What it holds at `now_ns` if block `block` is the last that was asked for, in bytes.
    fn held_bytes(&self, shape: &Shape, block: u64, now_ns: u64) -> u64 {
        let mut held = 0;
        for number in (0..=block).rev() {
            let zone = (self.zone + number as usize) % shape.knobs().zones;
            let ends_ns = self.shown_ns + shape.due_ns(self.zone, number + 1);
            let left_ns = ends_ns.saturating_sub(now_ns).min(shape.block_ns(zone));
            if left_ns == 0 {
                break;
            }
            let bytes = u128::from(shape.block_bytes(self.media, zone)) * u128::from(left_ns);
            held += (bytes / u128::from(shape.block_ns(zone))) as u64;
        }
        held
    }
}

struct Run<'a, P> {
    scheduler: Scheduler,
    workload: &'a Workload,
    rng: fastrand::Rng,
    platters: &'a mut P,
    under_way: UnderWay,
    /// When something was last asked for.
    asked_ns: u64,
    /// Who comes next, by time.
    coming: BinaryHeap<Reverse<u64>>,
    viewings: BTreeMap<PlaybackId, Viewing>,
    /// Since when who waits does, by the request's number, and what he wants.
    waiting: BTreeMap<u64, (u64, Request)>,
    next: u64,
    /// Means are those from here on.
    counted: Interval,
    sum_playing: f64,
    found: Outcome,
}

const NS_PER_HOUR: f64 = 3.6e12;

impl<'a, P: Platters> Run<'a, P> {
    fn new(scheduler: Scheduler, platters: &'a mut P, workload: &'a Workload) -> Self {
        let mut rng = fastrand::Rng::with_seed(workload.seed);
        // Simulated disks have drawn theirs from it; on others the same wishes are to come.
        let _ = rng.u64(..);
        let media = scheduler.shape().media().len();
        let mut coming = BinaryHeap::new();
        match workload.arrivals {
            Arrivals::Closed { viewers } => {
                // Not all at once: spread over one showing, as they would be after a while.
                let spread = scheduler.shape().knobs().period_ns
                    * workload.blocks.min(workload.periods / 4).max(1);
                coming.extend((0..viewers).map(|_| Reverse(rng.u64(0..spread))));
            }
            Arrivals::Poisson { .. } => coming.push(Reverse(0)),
        }
        Self {
            scheduler,
            workload,
            rng,
            platters,
            under_way: UnderWay::default(),
            asked_ns: 0,
            coming,
            viewings: BTreeMap::new(),
            waiting: BTreeMap::new(),
            next: 0,
            counted: Interval(0),
            sum_playing: 0.0,
            found: Outcome { held_bytes: vec![0; media], ..Outcome::default() },
        }
    }

    /// What was before `interval` does not count for means.
    fn count_from(&mut self, interval: Interval) {
        self.counted = interval;
        self.sum_playing = 0.0;
        self.platters.forget_busy();
    }

    fn interval(&mut self, interval: Interval) {
        let shape = self.scheduler.shape();
        let (begins_ns, ends_ns) =
            (shape.begins_ns(interval), shape.begins_ns(Interval(interval.0 + 1)));
        if let Some((disk, period)) = self.workload.fails
            && (shape.period_of(interval), shape.group_of(interval)) == (period, 0)
        {
            let shed = self.scheduler.lose(disk);
            self.found.shed += shed.len() as u64;
            shed.into_iter().for_each(|id| self.over(id));
        }
        let batch = self.scheduler.tick(interval);
        for (number, admitted) in batch.admitted {
            let (since_ns, request) = self.waiting.remove(&number).expect("only who waits is");
            self.found.waited += 1;
            self.admitted(admitted, &request, since_ns);
        }
        self.found.unreadable += batch.unreadable.len() as u64;
        self.read(begins_ns, batch.orders);
        while self.coming.peek().is_some_and(|Reverse(at)| *at < ends_ns) {
            let Reverse(at_ns) = self.coming.pop().expect("it was peeked");
            // Who was to come when something ended of which is known only now comes now.
            self.come(interval, at_ns.max(self.asked_ns));
        }
        self.found.playing_max = self.found.playing_max.max(self.scheduler.playing());
        self.sum_playing += self.scheduler.playing() as f64;
    }

    fn come(&mut self, interval: Interval, at_ns: u64) {
        if let Arrivals::Poisson { per_hour } = self.workload.arrivals {
            let gap_ns = -(1.0 - self.rng.f64()).ln() * NS_PER_HOUR / per_hour;
            self.coming.push(Reverse(at_ns.saturating_add(gap_ns as u64).saturating_add(1)));
        }
        let request = self.wish();
        match self.scheduler.admit(interval, at_ns, &request) {
            Ok(admitted) => {
                let most_ns = &mut self.found.at_once_max_ns;
                *most_ns = (*most_ns).max(admitted.shown_ns - at_ns);
                self.admitted(admitted, &request, at_ns);
                if admitted.is_late {
                    let orders = self.scheduler.late(admitted.id);
                    self.read(at_ns, orders);
                }
            }
            Err(_) => {
                self.scheduler.wait(self.next, request);
                self.waiting.insert(self.next, (at_ns, request));
                self.next += 1;
            }
        }
    }

    fn wish(&mut self) -> Request {
        let knobs = *self.scheduler.shape().knobs();
        let all: f64 = self.workload.shares.iter().sum();
        let mut left = self.rng.f64() * all;
        let mut media = 0;
        while media + 1 < self.workload.shares.len() && left >= self.workload.shares[media] {
            left -= self.workload.shares[media];
            media += 1;
        }
        let disk = self.rng.u32(0..knobs.disks);
        let zone = self.rng.u32(0..knobs.zones as u32);
        let origin = Origin { disk, zone };
        Request {
            object: self.rng.u64(..),
            media,
            origin,
            blocks: self.workload.blocks,
            load: None,
        }
    }

    fn admitted(&mut self, admitted: Admitted, request: &Request, since_ns: u64) {
        self.found.admitted += 1;
        self.found.startups_ns.push(admitted.shown_ns - since_ns);
        let (media, zone) = (request.media, request.origin.zone as usize);
        let (shown_ns, blocks) = (admitted.shown_ns, request.blocks);
        self.viewings.insert(admitted.id, Viewing { media, zone, shown_ns, blocks });
    }

    /// Asks for what is ordered, and looks which blocks are there.
    fn read(&mut self, asked_ns: u64, orders: Vec<Order>) {
        for order in &orders {
            let (id, block) = (order.playback, order.block);
            let (viewing, shape) = (&self.viewings[&id], self.scheduler.shape());
            let due_ns = viewing.shown_ns + shape.due_ns(viewing.zone, block);
            if self.under_way.ask((id, block), due_ns, block + 1 == viewing.blocks) {
                let most = &mut self.found.held_bytes[viewing.media];
                *most = (*most).max(viewing.held_bytes(shape, block, asked_ns));
            }
        }
        self.asked_ns = asked_ns;
        self.platters.ask(asked_ns, orders);
        let done = self.platters.done();
        self.done(&done);
    }

    fn done(&mut self, done: &[Done]) {
        for done in done {
            let Some(there) = self.under_way.done(done) else { continue };
            self.found.blocks += 1;
            self.found.hiccups += u64::from(there.margin_ns < 0 || !there.is_read);
            self.found.unread += u64::from(!there.is_read);
            if there.is_read {
                self.found.margins.add(there.margin_ns);
            }
            // Who was shed has ended before.
            if there.is_last && self.viewings.contains_key(&there.playback) {
                self.over(there.playback);
            }
        }
    }

    fn over(&mut self, id: PlaybackId) {
        let viewing = self.viewings.remove(&id).expect("who ends was playing");
        if let Arrivals::Closed { .. } = self.workload.arrivals {
            // Asked for as early as the disks are done with the last one: the viewer lines it up.
            let last_ns = self.scheduler.shape().due_ns(viewing.zone, viewing.blocks - 1);
            self.coming.push(Reverse(viewing.shown_ns + last_ns));
        }
    }

    /// What was found by the end of the interval before `end`.
    fn outcome(mut self, end: Interval) -> Outcome {
        // Disks that are behind get a period more.
        let shape = self.scheduler.shape();
        let settled_ns = match end.0.checked_sub(1) {
            Some(last) => shape.done_ns(Interval(last)) + shape.knobs().period_ns,
            None => 0,
        };
        let done = self.platters.settle(settled_ns);
        self.done(&done);
        let stopped_ns = self.platters.stopped_ns();
        for late_ns in self.under_way.late_at(stopped_ns.unwrap_or(settled_ns)) {
            self.found.blocks += 1;
            self.found.hiccups += 1;
            self.found.margins.add(-late_ns.cast_signed());
        }
        let shape = self.scheduler.shape();
        let end_ns = stopped_ns.map_or(shape.begins_ns(end), |ns| ns.min(shape.begins_ns(end)));
        let time_ns = end_ns.saturating_sub(shape.begins_ns(self.counted)).max(1);
        self.found.playing_mean = self.sum_playing / (end.0 - self.counted.0).max(1) as f64;
        let busy = self.platters.busy_ns() as f64 / time_ns as f64;
        // Disks that are behind are at work when the time is over, too.
        self.found.busy = (busy / f64::from(shape.knobs().disks)).min(1.0);
        self.found.startups_ns.sort_unstable();
        self.found
    }
}
