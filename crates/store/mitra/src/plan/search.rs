//! Looking for the knobs that were left out.

use pegasus_disk::Profile;

use super::{Plan, capacity, settle_zones, startup};
use crate::{Degraded, Error, Knobs, Media, Scheduler, Shape, Zoning};

/// What is wanted of the knobs that are left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Goal {
    /// As many playbacks as can be; of shapes that are within a per cent of the most, the one that begins soonest.
    #[default]
    Most,
    /// As many as can be, of shapes that begin within so many nanoseconds on average, see [`super::Startup`].
    Startup {
        /// How soon.
        within_ns: u64,
    },
}

/// What is known, and what is wanted.
#[derive(Clone, Debug)]
pub struct Wish {
    /// The disks' profiles; they are like these by turns.
    pub profiles: Vec<Profile>,
    /// Media, with the number of disks a block lies on, if that is chosen.
    pub media: Vec<(Media, Option<u32>)>,
    /// How often each medium is wanted, in proportion.
    pub shares: Vec<f64>,
    /// How many disks.
    pub disks: u32,
    /// What is done about failing disks.
    pub degraded: Degraded,
    /// What is wanted of the knobs that are left out.
    pub goal: Goal,
    /// The time period in nanoseconds, if chosen; else 100 ms to a minute are tried.
    pub period_ns: Option<u64>,
    /// Groups, if chosen; else 1 to 32 are tried.
    pub groups: Option<u32>,
    /// The window in intervals, if chosen; else one, half of the groups and all are tried.
    pub window: Option<u32>,
    /// Logical zones, if chosen; else 1 to all of the disk with the fewest are tried.
    pub zones: Option<usize>,
    /// How blocks lie in several zones.
    pub zoning: Zoning,
    /// The stride, if chosen; else 1, with which every disk comes round.
    pub stride: Option<u32>,
}

/// The best plan for a wish.
///
/// # Errors
/// If what is chosen contradicts itself, or not one playback can be kept by any shape that reaches the goal.
pub fn plan(wish: &Wish) -> Result<Plan, Error> {
    let most_zones = wish.profiles.iter().map(|profile| profile.zones().len()).min();
    let Some(most_zones) = most_zones else {
        return Err(Error::Shape("there is no disk profile".to_owned()));
    };
    let zones = wish.zones.map_or_else(|| (1..=most_zones).collect(), |zones| vec![zones]);
    let (mut found, mut refused, mut is_late) = (Vec::new(), None, false);
    for zones in zones {
        for (period_ns, groups, window) in cuts(wish, zones) {
            match tried(wish, zones, period_ns, groups, window) {
                Ok(one) if reaches(wish, &one) => found.push(one),
                Ok(_) => is_late = true,
                Err(error) => refused = Some(error),
            }
        }
    }
    // A per cent more is not worth waiting for.
    let most = found.iter().map(|one| one.held).fold(0.0, f64::max);
    let near = found.into_iter().filter(|one| one.held >= most * 0.99);
    match (near.min_by_key(|one| one.startup_ns), refused) {
        (Some(best), _) => Plan::of(best.shape, &wish.profiles, &wish.shares),
        // Shapes that begin late hold something, or nobody asked when: what the last one was refused for is why.
        (None, Some(error)) if !is_late => Err(error),
        (None, _) => Err(Error::Shape(
            "no way to cut these disks begins that soon: allow a longer startup, or leave out what was chosen"
                .to_owned(),
        )),
    }
}

/// A shape that was looked at.
struct Tried {
    /// Playbacks, about.
    held: f64,
    /// Their mean startup.
    startup_ns: u64,
    shape: Shape,
}

/// Periods, groups and windows to try with `zones` zones.
fn cuts(wish: &Wish, zones: usize) -> Vec<(u64, u32, u32)> {
    const SHORTEST_NS: f64 = 1e8;
    // Each a quarter octave longer, up to a minute.
    let periods = (0..=37).map(|step| (SHORTEST_NS * 2_f64.powf(f64::from(step) / 4.0)) as u64);
    let periods = wish.period_ns.map_or_else(|| periods.collect(), |period_ns| vec![period_ns]);
    let groups = wish.groups.map_or_else(|| vec![1, 2, 4, 8, 16, 32], |groups| vec![groups]);
    let mut cuts = Vec::new();
    for period_ns in periods {
        let by_turns = zones > 1 && wish.zoning == Zoning::Fixb;
        for &groups in
            groups.iter().filter(|groups| !by_turns || **groups == 1 || wish.groups.is_some())
        {
            let mut windows = wish.window.map_or_else(|| vec![1, groups / 2, groups], |w| vec![w]);
            windows.dedup();
            let windows = windows.into_iter().filter(|window| *window > 0);
            cuts.extend(windows.map(|window| (period_ns, groups, window)));
        }
    }
    cuts
}

/// How many playbacks a shape holds, and how soon they begin.
fn tried(
    wish: &Wish,
    zones: usize,
    period_ns: u64,
    groups: u32,
    window: u32,
) -> Result<Tried, Error> {
    let stride = wish.stride.unwrap_or(1);
    let knobs = Knobs {
        disks: wish.disks,
        stride,
        period_ns,
        groups,
        window,
        zones,
        zoning: wish.zoning,
        degraded: wish.degraded,
    };
    let slowest =
        wish.profiles.iter().flat_map(|profile| profile.zones()).map(|zone| zone.rate_bps);
    let slowest = slowest.min().unwrap_or(1);
    let media = wish.media.iter().map(|(media, width)| {
        let width = width.unwrap_or_else(|| own_width(media.rate_bps, slowest));
        Media { width, ..media.clone() }
    });
    let mut shape = Shape::new(&wish.profiles, knobs, media.collect())?;
    settle_zones(&mut shape, &wish.shares);
    // Each medium fits by itself, not only on average.
    Scheduler::new(shape.clone())?;
    let held = capacity(&shape, &wish.shares);
    let startup_ns = startup(&shape, held).mean;
    Ok(Tried { held, startup_ns, shape })
}

/// As many disks as bear a medium together with as much again.
fn own_width(rate_bps: u64, disk_bps: u64) -> u32 {
    u32::try_from((rate_bps * 2).div_ceil(disk_bps)).unwrap_or(u32::MAX).max(1)
}

fn reaches(wish: &Wish, tried: &Tried) -> bool {
    let soon = match wish.goal {
        Goal::Most => true,
        Goal::Startup { within_ns } => tried.startup_ns <= within_ns,
    };
    soon && tried.held >= 1.0
}
