//! The planner: how many playbacks disks can keep, and how they are to be cut for it (Mitra, section "Configuration planner").

mod search;
#[cfg(test)]
mod tests;

use pegasus_disk::Profile;

use crate::account::{Account, Load};
use crate::{Error, Origin, Request, Scheduler, Shape, WaterMarks};

pub use search::{Goal, Wish, plan};

/// What disks of one shape give.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How disks and time are cut.
    pub shape: Shape,
    /// Playbacks at once of each medium, found by admitting as many as fit, in proportion to their shares.
    pub playbacks: Vec<u32>,
    /// From wish to first picture.
    pub startup_ns: Startup,
    /// What a playback of each medium holds at most, in bytes.
    pub buffer_bytes: Vec<u64>,
    /// Between which stocks viewers keep, if the schedule works ahead.
    pub work_ahead: Option<WaterMarks>,
    /// What is under way from disks at once at most, of all playbacks, in bytes.
    pub server_bytes: u64,
    /// The part of what the disks could move that no playback gets, 0 to 1.
    pub wasted_bandwidth: f64,
    /// The part of the disks' room that can't be used because every zone gets as many blocks, 0 to 1.
    pub wasted_space: f64,
}

/// Time from a wish to its first picture, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Startup {
    /// On average, with a tenth of the places left.
    pub mean: u64,
    /// At worst, where one place is left: the period that is under way has to end, and disks and zones have to come all the way round to it.
    pub max: u64,
}

impl Plan {
    /// What disks like `profiles` give, by turns, cut like `shape`, for media in proportion to `shares`.
    ///
    /// # Errors
    /// If not even one playback of a medium can be kept.
    ///
    /// # Panics
    /// If there is not a share for each medium.
    pub fn of(mut shape: Shape, profiles: &[Profile], shares: &[f64]) -> Result<Self, Error> {
        assert_eq!(shares.len(), shape.media().len(), "a share for each medium");
        settle_zones(&mut shape, shares);
        let playbacks = fill(&shape, shares)?;
        let each = || playbacks.iter().enumerate();
        let zones = 0..shape.knobs().zones;
        let longest = |media: usize| zones.clone().map(|zone| shape.block_bytes(media, zone)).max();
        let window = f64::from(shape.knobs().window) / f64::from(shape.knobs().groups);
        let under_way: u64 =
            each().map(|(media, count)| u64::from(*count) * longest(media).unwrap_or(0)).sum();
        let shown: f64 = each()
            .map(|(media, count)| f64::from(*count) * shape.media()[media].rate_bps as f64)
            .sum();
        let most = mean_rate_bps(profiles) * f64::from(shape.knobs().disks);
        Ok(Self {
            startup_ns: startup(&shape, playbacks.iter().sum::<u32>().into()),
            buffer_bytes: (0..shape.media().len()).map(|media| shape.buffer_bytes(media)).collect(),
            work_ahead: None,
            server_bytes: (under_way as f64 * window) as u64,
            wasted_bandwidth: 1.0 - shown / most,
            wasted_space: wasted_space(&shape),
            playbacks,
            shape,
        })
    }

    /// The same plan with a schedule that works ahead, for viewers who hold as much as `marks` say. They begin no later, and how much sooner depends on how
    /// busy the disks are.
    #[must_use]
    pub fn with_work_ahead(mut self, marks: WaterMarks) -> Self {
        let media = 0..self.shape.media().len();
        self.buffer_bytes = media.map(|one| marks.buffer_bytes(&self.shape, one)).collect();
        self.work_ahead = Some(marks);
        self
    }

    /// All playbacks together.
    #[must_use]
    pub fn all(&self) -> u32 {
        self.playbacks.iter().sum()
    }

    /// Length of a block of each medium, in bytes; the mean over all zones.
    #[must_use]
    pub fn block_bytes(&self) -> Vec<u64> {
        let shape = &self.shape;
        let block =
            |media: usize| shape.fragment_bytes(media) * u64::from(shape.media()[media].width);
        (0..shape.media().len()).map(block).collect()
    }
}

/// What disks like `profiles` move on average if all of them is read, in bits a second.
///
/// # Panics
/// If there are no profiles.
#[must_use]
pub fn mean_rate_bps(profiles: &[Profile]) -> f64 {
    assert!(!profiles.is_empty(), "at least one profile");
    let rate = |profile: &Profile| {
        let ns = profile.read_ns(0, profile.capacity_bytes());
        profile.capacity_bytes() as f64 * 8e9 / ns as f64
    };
    profiles.iter().map(rate).sum::<f64>() / profiles.len() as f64
}

/// The share of places that [`Startup::mean`] takes to be left.
const PLACES_LEFT: f64 = 0.1;

/// With `playbacks` places, of which some are left anywhere: the first of them to come round.
fn startup(shape: &Shape, playbacks: f64) -> Startup {
    let knobs = shape.knobs();
    let delays: Vec<u64> = (0..knobs.zones).map(|zone| shape.delay_ns(zone)).collect();
    let delay = delays.iter().sum::<u64>() / delays.len() as u64;
    let round_ns = shape.cycle() * knobs.period_ns;
    // However many are left, the object's zone has to come, if zones are swept by turns. Who joins a batch late gains as much as others lose who wait
    // for the next one.
    let zone_ns = (shape.swept() as u64 - 1) * knobs.period_ns / 2;
    let first_ns = round_ns as f64 / (playbacks * PLACES_LEFT + 2.0);
    // Whoever has just gone is billed until the period ends, so it has to be over before disks and zones come round.
    let left_ns = knobs.period_ns - knobs.period_ns / u64::from(knobs.groups);
    Startup {
        mean: (first_ns as u64).max(zone_ns) + delay,
        max: left_ns + round_ns + delays.iter().max().copied().unwrap_or(0),
    }
}

/// Every zone gets as many blocks, so that one is full first: the others can be filled as far as its blocks go.
fn wasted_space(shape: &Shape) -> f64 {
    let weights: Vec<f64> = shape.weights().into_iter().map(|weight| weight as f64).collect();
    let waste = |service: &crate::Service| {
        let sizes = service.zones().iter().map(|zone| (zone.range.end - zone.range.start) as f64);
        let rounds = sizes.clone().zip(&weights).map(|(size, weight)| size / weight);
        1.0 - rounds.fold(f64::INFINITY, f64::min) * weights.iter().sum::<f64>()
            / sizes.sum::<f64>()
    };
    shape.services().iter().map(waste).fold(0.0, f64::max)
}

/// Reads of a virtual disk in a period with `playbacks` of them altogether, spread evenly over all.
fn even(shape: &Shape, shares: &[f64], playbacks: f64) -> Load {
    let all: f64 = shares.iter().sum();
    let disks = f64::from(shape.knobs().disks);
    let (mut reads, mut bytes) = (0.0, 0.0);
    for (media, share) in shares.iter().enumerate() {
        let each = playbacks * share / all * f64::from(shape.reserved_width(media)) / disks;
        reads += each;
        bytes += each * shape.load(media).bytes as f64;
    }
    Load { reads: reads.ceil() as u32, bytes: bytes.ceil() as u64 }
}

/// More playbacks than this are not counted.
const PLAYBACKS_MAX: f64 = 1e8;

/// How many playbacks fit if they are spread evenly; nearly what [`fill`] finds, and quick.
fn capacity(shape: &Shape, shares: &[f64]) -> f64 {
    let holds = |playbacks: f64| Account::holds(shape, even(shape, shares, playbacks));
    let (mut fits, mut too_many) = (0.0, f64::from(shape.knobs().disks));
    while holds(too_many) && too_many < PLAYBACKS_MAX {
        (fits, too_many) = (too_many, too_many * 2.0);
    }
    while too_many - fits > 0.25 {
        let middle = f64::midpoint(fits, too_many);
        if holds(middle) { fits = middle } else { too_many = middle }
    }
    fits
}

/// Gives each zone the share of a sweep that as many playbacks as fit need of it.
fn settle_zones(shape: &mut Shape, shares: &[f64]) {
    if shape.swept() == 1 {
        return;
    }
    // Each round fits what was found by the one before; three are enough for the last reads.
    for _ in 0..3 {
        let load = even(shape, shares, capacity(shape, shares).max(1.0));
        shape.share_zones(load.reads, load.bytes);
    }
}

/// More playbacks than this are not admitted to be counted.
const ADMITTED_MAX: f64 = 500_000.0;

/// Admits as many as fit, each wherever there is room; very many are reckoned.
fn fill(shape: &Shape, shares: &[f64]) -> Result<Vec<u32>, Error> {
    let mut scheduler = Scheduler::new(shape.clone())?;
    let about = capacity(shape, shares);
    if about > ADMITTED_MAX {
        let all: f64 = shares.iter().sum();
        return Ok(shares.iter().map(|share| (about * share / all) as u32).collect());
    }
    let mut found = vec![0_u32; shares.len()];
    let mut next = vec![0; shares.len()];
    loop {
        // Whoever is furthest behind his share; who wants none gets none.
        let behind = |media: &usize| f64::from(found[*media] + 1) / shares[*media];
        let wanted = (0..shares.len()).filter(|media| shares[*media] > 0.0);
        let Some(media) = wanted.min_by(|a, b| behind(a).total_cmp(&behind(b))) else { break };
        let Some(disk) = placed(&mut scheduler, media, next[media]) else { break };
        found[media] += 1;
        next[media] = (disk + shape.reserved_width(media)) % shape.knobs().disks;
    }
    Ok(found)
}

/// Admits one playback whose object begins on disk `first`, or on the next one with room.
fn placed(scheduler: &mut Scheduler, media: usize, first: u32) -> Option<u32> {
    let disks = scheduler.shape().knobs().disks;
    (0..disks).map(|further| (first + further) % disks).find(|disk| {
        let origin = Origin { disk: *disk, zone: 0 };
        let request = Request { object: 0, media, origin, blocks: u64::MAX, load: None };
        scheduler.place(&request).is_ok()
    })
}
