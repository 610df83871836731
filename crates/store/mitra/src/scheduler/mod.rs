//! The schedule: who is admitted, and what each disk reads in each interval (Mitra, sections 3, 4 and 8).

mod admission;
mod losing;
mod skipping;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;

use crate::account::{Account, Load, Short};
use crate::{Error, Interval, Origin, Shape};

/// A playback, by a number that is not used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlaybackId(pub u64);

/// A wish to play something from its first block on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// What, by a number of the caller's; only merging looks at it.
    pub object: u64,
    /// Its medium, by its place in [`Shape::media`].
    pub media: usize,
    /// Where its first block lies.
    pub origin: Origin,
    /// How many blocks; at least 1.
    pub blocks: u64,
    /// What each of its fragments is billed, if more is known of it than its medium.
    pub load: Option<Load>,
}

/// A wish that is granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// The playback.
    pub id: PlaybackId,
    /// The interval in which its first block is read.
    pub first: Interval,
    /// When it is shown, in nanoseconds since the schedule began. From then on no block is late.
    pub shown_ns: u64,
    /// It joined a batch that is under way: its first block is to be read now, see [`Scheduler::late`].
    pub is_late: bool,
}

/// A wish that would hurt others: what came nearest to having room for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("disk {disk} is short of {} us in interval {}", short.by_ns / 1_000, interval.0)]
pub struct Refusal {
    /// Which disk is short of time.
    pub disk: u32,
    /// In which interval; and, if nobody ends, again each time it comes round.
    pub interval: Interval,
    /// By how much.
    pub short: Short,
}

/// One read of one disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// For whom.
    pub playback: PlaybackId,
    /// What, as in the request.
    pub object: u64,
    /// Which block of it.
    pub block: u64,
    /// Which fragment of the block; one as high as the medium's width is parity.
    pub fragment: u32,
    /// From which disk.
    pub disk: u32,
    /// In which logical zone.
    pub zone: u32,
    /// How much.
    pub bytes: u64,
}

/// What is to be read in an interval. Each disk makes its reads in one sweep, see [`sweep`], batch after batch.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// The reads.
    pub orders: Vec<Order>,
    /// Blocks that more disks have failed under than parity bears.
    pub unreadable: Vec<(PlaybackId, u64)>,
    /// Who waited and was admitted, by the request's number.
    pub admitted: Vec<(u64, Admitted)>,
}

#[derive(Clone, Debug)]
struct Playback {
    request: Request,
    home: u32,
    /// How many virtual disks from there on have promised it something.
    reserved: u32,
    first: Interval,
    viewers: u32,
    /// The periods that it skips or skipped last.
    skips: Range<u64>,
    /// How many it has skipped altogether, those to come included.
    skipped: u64,
}

/// Plays what is admitted. Pure: it is told each interval as it comes, and never asks what time it is.
///
/// ```
/// # use pegasus_mitra::{Degraded, Interval, Knobs, Media, Origin, Request, Scheduler, Shape, Zoning};
/// # use pegasus_disk::Profile;
/// let flash = Profile::flash(1 << 40, 100, 4_000_000_000);
/// let knobs = Knobs {
///     disks: 5, stride: 1, period_ns: 1_000_000_000, groups: 4, window: 2, zones: 1, zoning: Zoning::Fixb, degraded: Degraded::Keep,
/// };
/// let media = vec![Media { name: "camera".to_owned(), rate_bps: 4_000_000, width: 4, pieces: 1 }];
/// let mut scheduler = Scheduler::new(Shape::new(&[flash], knobs, media)?)?;
/// let request = Request { object: 1, media: 0, origin: Origin { disk: 3, zone: 0 }, blocks: 60, load: None };
/// let admitted = scheduler.admit(Interval(0), 0, &request).expect("all disks are idle");
/// assert_eq!(scheduler.late(admitted.id).len(), 4, "its first block, of four fragments");
/// for interval in 1..=4 {
///     let batch = scheduler.tick(Interval(interval));
///     assert_eq!(batch.orders.len(), if interval == 4 { 4 } else { 0 }, "its group is served once a period");
/// }
/// # Ok::<(), pegasus_mitra::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Scheduler {
    shape: Shape,
    accounts: Vec<Account>,
    /// By group.
    playbacks: Vec<BTreeMap<PlaybackId, Playback>>,
    group_of: BTreeMap<PlaybackId, u32>,
    waiting: VecDeque<(u64, Request)>,
    /// Somebody ended since those who wait were last tried.
    freed: bool,
    lost: BTreeSet<u32>,
    now: Interval,
    next_id: u64,
    merges: bool,
}

impl Scheduler {
    /// A schedule in which nothing is played yet.
    ///
    /// # Errors
    /// [`Error::Medium`] if a medium does not fit even where nothing else is played.
    pub fn new(shape: Shape) -> Result<Self, Error> {
        let idle = Account::new(&shape);
        for (number, media) in shape.media().iter().enumerate() {
            let (load, last) = (shape.load(number), shape.swept() - 1);
            if idle.fits(&shape, 0, load, false).is_err() {
                return Err(Error::Medium {
                    media: media.name.clone(),
                    takes_us: shape.batch_ns(last, load.reads, load.bytes) / 1_000,
                    has_us: shape.shares_ns()[last] / 1_000,
                });
            }
        }
        let groups = shape.knobs().groups as usize;
        Ok(Self {
            accounts: vec![idle; shape.knobs().disks as usize],
            playbacks: vec![BTreeMap::new(); groups],
            group_of: BTreeMap::new(),
            waiting: VecDeque::new(),
            freed: false,
            lost: BTreeSet::new(),
            now: Interval(0),
            next_id: 0,
            merges: false,
            shape,
        })
    }

    /// Whether a playback of what somebody else is about to begin becomes one with his; off at first. Those who are merged skip together.
    pub fn merge(&mut self, merges: bool) {
        self.merges = merges;
    }

    /// How time and disks are cut.
    #[must_use]
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// How many playbacks there are, merged ones each.
    #[must_use]
    pub fn playing(&self) -> usize {
        let viewers = |group: &BTreeMap<_, Playback>| {
            group.values().map(|one| one.viewers as usize).sum::<usize>()
        };
        self.playbacks.iter().map(viewers).sum()
    }

    /// Whether any virtual disk still has promises to keep.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.accounts.iter().all(|account| account.reads() == 0)
    }

    /// How much of the disks' time is promised, as a share of all of it, 0 to 1; that of the virtual disk that has promised most.
    #[must_use]
    pub fn promised(&self) -> f64 {
        let round_ns: u64 = self.shape.shares_ns().iter().sum();
        let most = self.accounts.iter().map(Account::billed_ns).max().unwrap_or(0);
        most as f64 / round_ns as f64
    }

    /// What is to be read in `interval`; to be called for each interval once, in order. Who has waited is tried first.
    pub fn tick(&mut self, interval: Interval) -> Batch {
        self.now = interval;
        if self.shape.group_of(interval) == 0 {
            self.accounts.iter_mut().for_each(Account::next_period);
        }
        let mut batch = Batch { admitted: self.try_waiting(interval), ..Batch::default() };
        let group = self.shape.group_of(interval);
        let period = self.shape.period_of(interval);
        let (mut over, mut skippers) = (Vec::new(), Vec::new());
        for (id, playback) in &self.playbacks[group as usize] {
            let begins = self.shape.period_of(playback.first);
            if playback.first > interval {
                continue;
            }
            let Some(block) = playback.block_in(period, begins) else {
                skippers.push((playback.home, playback.reserved, self.load(&playback.request)));
                continue;
            };
            // One of a single block that joined late has had it.
            if block < playback.request.blocks {
                self.order(*id, playback, block, &mut batch);
            }
            if block + 1 >= playback.request.blocks {
                over.push(*id);
            }
        }
        if !skippers.is_empty() {
            self.spare(&skippers);
        }
        over.into_iter().for_each(|id| self.remove(id));
        batch
    }

    /// The next interval after `interval` in which something is read for a playback; `None` if it has ended.
    #[must_use]
    pub fn next_service(&self, id: PlaybackId, interval: Interval) -> Option<Interval> {
        let groups = u64::from(self.shape.knobs().groups);
        let group = u64::from(*self.group_of.get(&id)?);
        let own = interval.0 - interval.0 % groups + group;
        let next = if own > interval.0 { own } else { own + groups };
        Some(Interval(next).max(self.playback(id)?.first))
    }

    /// Nobody plays: goes on with `interval`, without the ones before.
    ///
    /// # Panics
    /// If anybody plays.
    pub fn skip_to(&mut self, interval: Interval) {
        assert!(self.group_of.is_empty(), "only intervals nobody needs are skipped");
        self.now = self.now.max(interval);
        self.accounts.iter_mut().for_each(Account::next_period);
    }

    /// The reads of the first block of a playback that joined late.
    #[must_use]
    pub fn late(&self, id: PlaybackId) -> Vec<Order> {
        let mut batch = Batch::default();
        if let Some(playback) = self.playback(id) {
            self.order(id, playback, 0, &mut batch);
        }
        batch.orders
    }

    /// A playback is stopped; of a merged one, one viewer's. What is unknown has ended already.
    pub fn end(&mut self, id: PlaybackId) {
        let Some(group) = self.group_of.get(&id) else { return };
        let Some(playback) = self.playbacks[*group as usize].get_mut(&id) else { return };
        playback.viewers -= 1;
        if playback.viewers == 0 {
            self.remove(id);
        }
    }

    fn playback(&self, id: PlaybackId) -> Option<&Playback> {
        self.playbacks[*self.group_of.get(&id)? as usize].get(&id)
    }

    fn virtual_disks(&self, home: u32, count: u32) -> impl Iterator<Item = u32> + use<> {
        let disks = self.shape.knobs().disks;
        (0..count).map(move |fragment| (home + fragment) % disks)
    }

    fn order(&self, playback: PlaybackId, of: &Playback, block: u64, batch: &mut Batch) {
        let (request, shape) = (&of.request, &self.shape);
        let put = |fragment: u32, batch: &mut Batch| {
            let place = shape.place(request.origin, block, fragment);
            let of_medium = || shape.fragment_bytes_in(request.media, place.zone as usize);
            let bytes = request.load.map_or_else(of_medium, |load| load.bytes);
            let (object, disk, zone) = (request.object, place.disk, place.zone);
            batch.orders.push(Order { playback, object, block, fragment, disk, zone, bytes });
        };
        if self.lost.is_empty() {
            (0..shape.media()[request.media].width).for_each(|fragment| put(fragment, batch));
            return;
        }
        let lost: Vec<u32> = self.lost.iter().copied().collect();
        match shape.fragments(request.media, request.origin, block, &lost) {
            Some(fragments) => fragments.into_iter().for_each(|fragment| put(fragment, batch)),
            None => batch.unreadable.push((playback, block)),
        }
    }

    fn remove(&mut self, id: PlaybackId) {
        let Some(group) = self.group_of.remove(&id) else { return };
        let playback = self.playbacks[group as usize].remove(&id).expect("groups know theirs");
        let load = self.load(&playback.request);
        // What was ordered in this period is still being read.
        let turn = self.turn(&playback, group);
        for number in self.virtual_disks(playback.home, playback.reserved) {
            self.accounts[number as usize].take(&self.shape, group, load, turn);
        }
        self.freed = true;
    }
}

/// Brings one disk's reads into the order of a sweep from the nearer end, for heads that are at `head`. `offset` tells where a read begins.
pub fn sweep<T>(head: u64, reads: &mut [T], offset: impl Fn(&T) -> u64) {
    reads.sort_unstable_by_key(&offset);
    let ends = reads.first().map(&offset).zip(reads.last().map(&offset));
    if ends.is_some_and(|(low, high)| head.abs_diff(high) < head.abs_diff(low)) {
        reads.reverse();
    }
}
