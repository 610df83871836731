//! The scheduler at work on disks, in virtual time or in their own: what `pegasus simulate` runs, and tests.
//!
//! Simulated disks take what their heads and platters take by the profile, with the turn drawn by chance, and blocks lie anywhere in
//! their zone. A hiccup is a block that is not there when it is to be shown. Other disks are put beneath by [`Platters`]: nothing
//! here asks what time it is, so on real ones it is they who wait.

mod ahead;
mod disks;
mod margins;
mod outcome;
mod platters;
#[cfg(test)]
mod tests;
mod under_way;
mod viewing;
mod wishes;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use pegasus_disk::Profile;

pub use self::disks::SimulatedDisks;
pub use self::margins::Margins;
pub use self::outcome::Outcome;
pub use self::platters::{Done, Layout, Platters};
pub use self::wishes::Objects;

use self::under_way::UnderWay;
use self::viewing::{Early, Viewer, Viewing};
use self::wishes::Wishes;
use crate::{Admitted, Interval, Order, Pace, PlaybackId, Request, Scheduler, Stock, WaterMarks};

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
    /// What there is to be seen; without it nothing is wanted twice.
    pub objects: Option<Objects>,
    /// Works ahead where disks know when they are done, with viewers who keep between these marks.
    pub work_ahead: Option<WaterMarks>,
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
    let shape = scheduler.shape();
    let last = workload.periods * u64::from(shape.knobs().groups);
    let (half_ns, end_ns) = (shape.begins_ns(Interval(last / 2)), shape.begins_ns(Interval(last)));
    let mut run = Run::new(scheduler, platters, workload);
    let (mut interval, mut begins_ns) = (Interval(0), 0);
    while begins_ns < end_ns && run.platters.stopped_ns().is_none() {
        if begins_ns >= half_ns && run.counted_ns.is_none() {
            run.count_from(begins_ns);
        }
        begins_ns = run.interval(interval, begins_ns);
        interval = Interval(interval.0 + 1);
        if run.scheduler.shape().group_of(interval) == 0 {
            progress(begins_ns.min(end_ns) as f64 / end_ns as f64);
        }
    }
    run.outcome(interval)
}

struct Run<'a, P> {
    scheduler: Scheduler,
    workload: &'a Workload,
    rng: fastrand::Rng,
    platters: &'a mut P,
    under_way: UnderWay,
    /// Who comes next, by time.
    coming: BinaryHeap<Reverse<u64>>,
    viewings: BTreeMap<PlaybackId, Viewing>,
    /// Since when who waits does, by the request's number, and what he wants.
    waiting: BTreeMap<u64, (u64, Request)>,
    next: u64,
    wishes: Wishes,
    pace: Pace,
    /// Playbacks of which it is not known yet when they are really shown.
    unshown: Vec<PlaybackId>,
    /// The disk that is to fail, and when.
    fails: Option<(u32, u64)>,
    /// Means are those from here on.
    counted_ns: Option<u64>,
    /// Playbacks, each as often as nanoseconds since.
    sum_playing: f64,
    sum_ns: f64,
    found: Outcome,
}

const NS_PER_HOUR: f64 = 3.6e12;

impl<'a, P: Platters> Run<'a, P> {
    fn new(scheduler: Scheduler, platters: &'a mut P, workload: &'a Workload) -> Self {
        let mut rng = fastrand::Rng::with_seed(workload.seed);
        // Simulated disks have drawn theirs from it; on others the same wishes are to come.
        let _ = rng.u64(..);
        let shape = scheduler.shape();
        let (media, groups) = (shape.media().len(), u64::from(shape.knobs().groups));
        let wishes = Wishes::new(shape, workload);
        let fails = workload.fails;
        let fails = fails.map(|(disk, at)| (disk, shape.begins_ns(Interval(at * groups))));
        let coming = first_comers(workload, shape.knobs().period_ns, &mut rng);
        Self {
            scheduler,
            workload,
            rng,
            platters,
            under_way: UnderWay::default(),
            coming,
            viewings: BTreeMap::new(),
            waiting: BTreeMap::new(),
            next: 0,
            wishes,
            pace: Pace::default(),
            unshown: Vec::new(),
            fails,
            counted_ns: None,
            sum_playing: 0.0,
            sum_ns: 0.0,
            found: Outcome { held_bytes: vec![0; media], ..Outcome::default() },
        }
    }

    /// What was before does not count for means.
    fn count_from(&mut self, now_ns: u64) {
        self.counted_ns = Some(now_ns);
        (self.sum_playing, self.sum_ns) = (0.0, 0.0);
        self.platters.forget_busy();
    }

    /// Runs an interval, which begins at `begins_ns`; when it ends.
    fn interval(&mut self, interval: Interval, begins_ns: u64) -> u64 {
        if let Some((disk, _)) = self.fails.take_if(|(_, at_ns)| *at_ns <= begins_ns) {
            for id in self.scheduler.lose(disk) {
                self.found.shed += self.viewings[&id].viewers as u64;
                self.shown(id, u64::MAX);
                self.over(id);
            }
        }
        self.skip(interval, begins_ns);
        let batch = self.scheduler.tick(interval);
        for (number, admitted) in batch.admitted {
            let (came_ns, request) = self.waiting.remove(&number).expect("only who waits is");
            self.found.waited += 1;
            self.admitted(admitted, &request, Viewer { came_ns, at_once: false });
        }
        self.found.unreadable += batch.unreadable.len() as u64;
        self.read(begins_ns, batch.orders);
        let ends_ns = self.pass(interval, begins_ns);
        self.found.playing_max = self.found.playing_max.max(self.scheduler.playing());
        let lasted_ns = (ends_ns - begins_ns) as f64;
        self.sum_playing += self.scheduler.playing() as f64 * lasted_ns;
        self.sum_ns += lasted_ns;
        ends_ns
    }

    fn come(&mut self, interval: Interval, at_ns: u64) {
        if let Arrivals::Poisson { per_hour } = self.workload.arrivals {
            let gap_ns = -(1.0 - self.rng.f64()).ln() * NS_PER_HOUR / per_hour;
            self.coming.push(Reverse(at_ns.saturating_add(gap_ns as u64).saturating_add(1)));
        }
        let request = self.wishes.draw(self.scheduler.shape(), self.workload, &mut self.rng);
        match self.scheduler.admit(interval, self.pace.scheduled_ns(at_ns), &request) {
            Ok(admitted) => {
                self.admitted(admitted, &request, Viewer { came_ns: at_ns, at_once: true });
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

    fn admitted(&mut self, admitted: Admitted, request: &Request, viewer: Viewer) {
        let (id, scheduled_ns) = (admitted.id, admitted.shown_ns);
        self.found.admitted += 1;
        if let Some(viewing) = self.viewings.get_mut(&id) {
            self.found.merged += 1;
            viewing.viewers += 1;
        } else {
            let shown_ns = self.pace.real_ns(scheduled_ns);
            let stock = Stock { zone: request.origin.zone as usize, asked: 0, shown_ns };
            // At nominal pace it is known.
            let early = self.workload.work_ahead.map(|_| Early::default());
            self.unshown.extend(early.is_some().then_some(id));
            let (media, blocks, viewers) = (request.media, request.blocks, 1);
            let viewing =
                Viewing { media, blocks, viewers, scheduled_ns, stock, early, is_over: false };
            self.viewings.insert(id, viewing);
        }
        match self.viewings.get_mut(&id).and_then(|viewing| viewing.early.as_mut()) {
            Some(early) => early.viewers.push(viewer),
            None => self.began(viewer, scheduled_ns),
        }
    }

    /// Asks for what is ordered, and looks which blocks are there.
    fn read(&mut self, asked_ns: u64, orders: Vec<Order>) {
        for order in &orders {
            let (id, block) = (order.playback, order.block);
            let viewing = self.viewings.get_mut(&id).expect("whoever is read for is playing");
            let shape = self.scheduler.shape();
            // By the schedule, as what it really is may not be known yet.
            let due_ns = viewing.scheduled_ns + shape.due_ns(viewing.stock.zone, block);
            if self.under_way.ask((id, block), due_ns, block + 1 == viewing.blocks) {
                viewing.stock.asked = block + 1;
                let most = &mut self.found.held_bytes[viewing.media];
                *most = (*most).max(viewing.held_bytes(shape, block, asked_ns));
            }
        }
        self.platters.ask(asked_ns, orders);
        let done = self.platters.done();
        self.done(&done);
    }

    fn done(&mut self, done: &[Done]) {
        for done in done {
            let Some(there) = self.under_way.done(done) else { continue };
            let id = there.playback;
            // Who was shed has ended before.
            let Some(viewing) = self.viewings.get_mut(&id) else {
                self.there(there.margin_ns, there.is_read);
                continue;
            };
            if let Some(early) = &mut viewing.early {
                early.margins_ns.push((there.margin_ns, there.is_read));
                viewing.is_over |= there.is_last;
                continue;
            }
            let sooner_ns = viewing.sooner_ns().cast_signed();
            self.there(there.margin_ns.saturating_sub(sooner_ns), there.is_read);
            if there.is_last {
                self.over(id);
            }
        }
    }

    /// A block is there, `margin_ns` before its time, or could not be read.
    fn there(&mut self, margin_ns: i64, is_read: bool) {
        self.found.blocks += 1;
        self.found.hiccups += u64::from(margin_ns < 0 || !is_read);
        self.found.unread += u64::from(!is_read);
        if is_read {
            self.found.margins.add(margin_ns);
        }
    }

    fn over(&mut self, id: PlaybackId) {
        let viewing = self.viewings.remove(&id).expect("who ends was playing");
        if let Arrivals::Closed { .. } = self.workload.arrivals {
            // Asked for as early as the disks are done with the last one: the viewer lines it up.
            let last_ns = self.scheduler.shape().due_ns(viewing.stock.zone, viewing.blocks - 1);
            let again = Reverse(viewing.stock.shown_ns + last_ns);
            self.coming.extend(std::iter::repeat_n(again, viewing.viewers));
        }
    }

    /// What was found by the end of the interval before `end`.
    fn outcome(mut self, end: Interval) -> Outcome {
        // Disks that are behind get a period more.
        let shape = self.scheduler.shape();
        let settled_ns = match end.0.checked_sub(1) {
            Some(last) => {
                self.pace.real_ns(shape.done_ns(Interval(last))) + shape.knobs().period_ns
            }
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
        // Of whom it is not known yet when they are shown, they are if nobody works ahead any more.
        std::mem::take(&mut self.unshown).into_iter().for_each(|id| self.shown(id, u64::MAX));
        let shape = self.scheduler.shape();
        let ends_ns = self.pace.real_ns(shape.begins_ns(end));
        let end_ns = stopped_ns.map_or(ends_ns, |ns| ns.min(ends_ns));
        let time_ns = end_ns.saturating_sub(self.counted_ns.unwrap_or(0)).max(1);
        self.found.playing_mean = self.sum_playing / self.sum_ns.max(1.0);
        let busy = self.platters.busy_ns() as f64 / time_ns as f64;
        // Disks that are behind are at work when the time is over, too.
        self.found.busy = (busy / f64::from(shape.knobs().disks)).min(1.0);
        self.found.ahead_ns = self.pace.ahead_ns();
        self.found.startups_ns.sort_unstable();
        self.found
    }
}

/// When the first ones come.
fn first_comers(
    workload: &Workload,
    period_ns: u64,
    rng: &mut fastrand::Rng,
) -> BinaryHeap<Reverse<u64>> {
    match workload.arrivals {
        Arrivals::Closed { viewers } => {
            // Not all at once: spread over one showing, as they would be after a while.
            let spread_ns = period_ns * workload.blocks.min(workload.periods / 4).max(1);
            (0..viewers).map(|_| Reverse(rng.u64(0..spread_ns))).collect()
        }
        Arrivals::Poisson { .. } => [Reverse(0)].into(),
    }
}
