//! The scheduler at work on simulated disks, in virtual time: what `pegasus simulate` runs, and tests.
//!
//! Disks take what their heads and platters take by the profile, with the turn drawn by chance, and blocks lie anywhere in
//! their zone. A hiccup is a block that is not there when it is to be shown.

mod disks;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use pegasus_disk::Profile;

use self::disks::Disks;
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
    /// Of them late.
    pub hiccups: u64,
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
    mut progress: impl FnMut(f64),
) -> Outcome {
    assert_eq!(workload.shares.len(), scheduler.shape().media().len(), "a share for each medium");
    let groups = u64::from(scheduler.shape().knobs().groups);
    let mut run = Run::new(scheduler, profiles, workload);
    let last = workload.periods * groups;
    for interval in 0..last {
        if interval == last / 2 {
            run.disks.forget_busy();
        }
        run.interval(Interval(interval), interval >= last / 2);
        if interval % groups == 0 {
            progress(interval as f64 / last as f64);
        }
    }
    run.outcome(last)
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

struct Run<'a> {
    scheduler: Scheduler,
    workload: &'a Workload,
    rng: fastrand::Rng,
    disks: Disks,
    /// Who comes next, by time.
    coming: BinaryHeap<Reverse<u64>>,
    viewings: BTreeMap<PlaybackId, Viewing>,
    /// Since when who waits does, by the request's number, and what he wants.
    waiting: BTreeMap<u64, (u64, Request)>,
    next: u64,
    sum_playing: f64,
    found: Outcome,
}

const NS_PER_HOUR: f64 = 3.6e12;

impl<'a> Run<'a> {
    fn new(scheduler: Scheduler, profiles: &[Profile], workload: &'a Workload) -> Self {
        let mut rng = fastrand::Rng::with_seed(workload.seed);
        let media = scheduler.shape().media().len();
        let disks = Disks::new(scheduler.shape(), profiles, rng.u64(..));
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
            disks,
            coming,
            viewings: BTreeMap::new(),
            waiting: BTreeMap::new(),
            next: 0,
            sum_playing: 0.0,
            found: Outcome { held_bytes: vec![0; media], ..Outcome::default() },
        }
    }

    fn interval(&mut self, interval: Interval, counts: bool) {
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
            self.come(interval, at_ns);
        }
        self.found.playing_max = self.found.playing_max.max(self.scheduler.playing());
        if counts {
            self.sum_playing += self.scheduler.playing() as f64;
        }
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

    /// Reads what is ordered, each disk in a sweep, and looks when blocks are there.
    fn read(&mut self, asked_ns: u64, orders: Vec<Order>) {
        let mut there: BTreeMap<(PlaybackId, u64), u64> = BTreeMap::new();
        for (order, done_ns) in self.disks.read(asked_ns, orders) {
            let block = there.entry((order.playback, order.block)).or_default();
            *block = (*block).max(done_ns);
        }
        for ((id, block), there_ns) in there {
            let (viewing, shape) = (&self.viewings[&id], self.scheduler.shape());
            self.found.blocks += 1;
            let due_ns = viewing.shown_ns + shape.due_ns(viewing.zone, block);
            self.found.hiccups += u64::from(there_ns > due_ns);
            let most = &mut self.found.held_bytes[viewing.media];
            *most = (*most).max(viewing.held_bytes(shape, block, asked_ns));
            if block + 1 == viewing.blocks {
                self.over(id);
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

    fn outcome(mut self, intervals: u64) -> Outcome {
        let half = (intervals - intervals / 2).max(1);
        let shape: &Shape = self.scheduler.shape();
        let time_ns =
            shape.begins_ns(Interval(intervals)) - shape.begins_ns(Interval(intervals / 2));
        self.found.playing_mean = self.sum_playing / half as f64;
        self.found.busy =
            self.disks.busy_ns() as f64 / (time_ns.max(1) as f64 * f64::from(shape.knobs().disks));
        self.found.startups_ns.sort_unstable();
        self.found
    }
}
