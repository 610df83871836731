//! How disks and time are cut: everything that is fixed while a schedule runs.

mod blocks;
#[cfg(test)]
mod tests;

use pegasus_disk::Profile;

use crate::{Error, Load, Service};

/// A kind of recording, by the rate it is played at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    /// What people call it.
    pub name: String,
    /// Bits a second; at least 1.
    pub rate_bps: u64,
    /// On how many disks a block lies at once, in as many equal fragments; parity comes on top. At least 1.
    pub width: u32,
    /// In how many pieces a fragment lies at worst, each of which is a read by itself; at least 1.
    pub pieces: u32,
}

/// What is done about a disk that may fail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Degraded {
    /// There is no parity: what a failed disk held can't be played.
    #[default]
    None,
    /// Parity is written, and only read when a disk has failed: then the newest playbacks may have to go.
    Shed,
    /// Parity is written, and its reading is reserved for: with a disk dead everybody keeps his rate.
    Keep,
}

/// How the blocks of a recording lie in several zones; block *j* always lies in the zone after that of block *j - 1*.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Zoning {
    /// Blocks of one length in all zones. A period sweeps one zone; the disk gives the harmonic mean of their rates, and a
    /// playback waits for the zone that it begins in.
    #[default]
    Fixb,
    /// Blocks in proportion to their zone's rate. Reads take equally long everywhere, so a period sweeps all zones for everybody; the
    /// disk gives the mean of their rates. Seeks are longer, and viewers hold what fast zones give until slow ones need it.
    Varb,
}

/// A number of time intervals since the schedule began. A period has as many as there are groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Interval(pub u64);

/// What is chosen freely; see [`Shape::new`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Knobs {
    /// How many disks; 1 to 1,000.
    pub disks: u32,
    /// By how many disks a block begins after the one before it; 1 to `disks`.
    pub stride: u32,
    /// How long a block is shown, in nanoseconds: the time period, or its mean over all zones.
    pub period_ns: u64,
    /// In how many groups playbacks are served in a period, 1 to 1,000; 1 if there are several zones that are swept by turns.
    pub groups: u32,
    /// Intervals between a batch's reads being asked for and being there; 1 to `groups`. One is Mitra's rule: what a group
    /// does not need is lost. With all of them groups lend each other whatever they need.
    pub window: u32,
    /// Into how many logical zones each disk is cut; at least 1.
    pub zones: usize,
    /// How blocks lie in them; with one zone it is all the same.
    pub zoning: Zoning,
    /// What is done about failing disks.
    pub degraded: Degraded,
}

/// The most disks and groups: what was never tried is refused.
const DISKS_MAX: u32 = 1_000;
const GROUPS_MAX: u32 = 1_000;

/// The grain of blocks in bytes: what a disk reads at least.
pub const GRANULE: u64 = 4_096;

/// Disks and time, cut. The same for all playbacks, whatever their rate: one period, blocks in proportion to rate.
#[derive(Clone, Debug)]
pub struct Shape {
    knobs: Knobs,
    /// The unlike disks among them: what is promised has to hold on each.
    services: Vec<Service>,
    media: Vec<Media>,
    /// For how long a playback has shown by the end of each zone's block if it began in zone 0; 0 first.
    shown_ns: Vec<u64>,
    /// How long each interval of a round lasts: groups of a period, or zones of a sweep over them.
    shares_ns: Vec<u64>,
    /// Where each of them begins in its round, and the round's length.
    starts_ns: Vec<u64>,
    /// How long reads take, in thousandths of what the profiles say.
    slowdown_permille: u64,
    /// How much of the disks' time others have in the long run, in thousandths.
    kept_permille: u64,
}

impl Shape {
    /// Cuts disks like `profiles` (at least one; repeated ones cost nothing) by `knobs` for `media`.
    ///
    /// # Errors
    /// If a knob is out of its range or `media` is wider than there are disks.
    pub fn new(profiles: &[Profile], knobs: Knobs, media: Vec<Media>) -> Result<Self, Error> {
        check(&knobs, profiles)?;
        for one in &media {
            let width = one.width + u32::from(knobs.degraded != Degraded::None);
            if one.width == 0 || width > knobs.disks {
                let (media, disks) = (one.name.clone(), knobs.disks);
                return Err(Error::Width { media, width, disks });
            }
            if one.pieces == 0 {
                return Err(Error::Shape(format!("a fragment of {} has no pieces", one.name)));
            }
            if one.rate_bps == 0 {
                return Err(Error::Shape(format!("{} has a rate of 0", one.name)));
            }
        }
        let mut unlike: Vec<&Profile> = Vec::new();
        for profile in profiles {
            if !unlike.contains(&profile) {
                unlike.push(profile);
            }
        }
        let made = unlike.iter().map(|profile| Service::new(profile, knobs.zones));
        let services = made.collect::<Result<Vec<_>, _>>()?;
        let mut shape = Self {
            knobs,
            services,
            media,
            shown_ns: Vec::new(),
            shares_ns: Vec::new(),
            starts_ns: Vec::new(),
            slowdown_permille: 1_000,
            kept_permille: 0,
        };
        shape.size_blocks();
        match shape.swept() {
            1 => shape.share(vec![1.0; knobs.groups as usize]),
            // For long blocks; the planner knows how much goes on seeks, and tells.
            _ => shape.share_zones(0, u64::from(u32::MAX)),
        }
        Ok(shape)
    }

    /// Divides a sweep over all zones among them by what `reads` reads of `bytes` altogether take in each.
    pub fn share_zones(&mut self, reads: u32, bytes: u64) {
        if self.swept() > 1 {
            let takes = |zone| self.batch_ns(zone, reads, bytes) as f64;
            self.share((0..self.swept()).map(takes).collect());
        }
    }

    /// Reads take `permille` thousandths of what the profiles say: disks are slower than these, or others have a fixed part of their time.
    pub fn slow_down(&mut self, permille: u64) {
        self.slowdown_permille = permille.max(1);
    }

    /// Others are to have `permille` thousandths of the disks' time in the long run, at most 950. That is kept from what reads take
    /// on average: at worst they may need all of it, and are in time.
    pub fn keep_free(&mut self, permille: u64) {
        self.kept_permille = permille.min(950);
    }

    fn slowed_ns(&self, takes_ns: u64) -> u64 {
        takes_ns.saturating_mul(self.slowdown_permille) / 1_000
    }

    fn share(&mut self, weights: Vec<f64>) {
        let round_ns = self.knobs.period_ns * self.swept() as u64;
        let all: f64 = weights.iter().sum();
        let mut sum = 0.0;
        self.starts_ns = vec![0];
        for weight in &weights {
            sum += weight;
            self.starts_ns.push((round_ns as f64 * (sum / all)) as u64);
        }
        self.starts_ns[weights.len()] = round_ns;
        self.shares_ns = self.starts_ns.windows(2).map(|two| two[1] - two[0]).collect();
    }

    /// What was chosen.
    #[must_use]
    pub fn knobs(&self) -> &Knobs {
        &self.knobs
    }

    /// The media, by number.
    #[must_use]
    pub fn media(&self) -> &[Media] {
        &self.media
    }

    /// How long each interval of a round lasts, in nanoseconds: groups of a period, or zones of a sweep.
    #[must_use]
    pub fn shares_ns(&self) -> &[u64] {
        &self.shares_ns
    }

    /// On how many neighbouring disks a playback of medium `media` has reads reserved.
    ///
    /// # Panics
    /// If there is no such medium.
    #[must_use]
    pub fn reserved_width(&self, media: usize) -> u32 {
        self.media[media].width + u32::from(self.knobs.degraded == Degraded::Keep)
    }

    /// What a batch is billed: the most that it takes, or, if that is more, what it takes on average and what others are to have besides.
    #[must_use]
    pub fn batch_ns(&self, zone: usize, reads: u32, bytes: u64) -> u64 {
        let worst_ns = self.worst_ns(zone, reads, bytes);
        if self.kept_permille == 0 {
            return worst_ns;
        }
        let means = self.services.iter().map(|one| one.mean_ns(zone, reads, bytes));
        let mean_ns = self.slowed_ns(means.max().unwrap_or(0));
        worst_ns.max(mean_ns.saturating_mul(1_000) / (1_000 - self.kept_permille))
    }

    /// The most that a batch takes on any of the disks, see [`Service::batch_ns`].
    #[must_use]
    pub fn worst_ns(&self, zone: usize, reads: u32, bytes: u64) -> u64 {
        let takes = self.services.iter().map(|one| one.batch_ns(zone, reads, bytes)).max();
        self.slowed_ns(takes.unwrap_or(0))
    }

    /// The most that one read takes that no sweep passes, see [`Service::lone_ns`].
    #[must_use]
    pub fn lone_ns(&self, zone: usize, bytes: u64) -> u64 {
        let takes = self.services.iter().map(|one| one.lone_ns(zone, bytes)).max();
        self.slowed_ns(takes.unwrap_or(0))
    }

    /// The most that the pieces of `load` take if no sweep passes them, each by itself.
    #[must_use]
    pub fn apart_ns(&self, zone: usize, load: Load) -> u64 {
        let more = u64::from(load.reads.saturating_sub(1)).saturating_mul(self.lone_ns(zone, 0));
        self.lone_ns(zone, load.bytes).saturating_add(more)
    }

    /// How much later than asked for a batch of one group may be done, beyond its own interval, in nanoseconds.
    #[must_use]
    pub fn slack_ns(&self) -> u64 {
        match self.swept() {
            1 => self.window_ns(0) - self.shares_ns[0],
            _ => 0,
        }
    }

    /// Time from the beginning of an interval to when its batch is done at the latest.
    fn window_ns(&self, in_round: usize) -> u64 {
        match self.swept() {
            1 => self.knobs.period_ns * u64::from(self.knobs.window) / u64::from(self.knobs.groups),
            _ => self.shares_ns[in_round],
        }
    }

    /// When `interval` begins, in nanoseconds since the schedule did.
    #[must_use]
    pub fn begins_ns(&self, interval: Interval) -> u64 {
        let round = self.shares_ns.len() as u64;
        let (rounds, within) = (interval.0 / round, interval.0 % round);
        rounds * self.starts_ns[round as usize] + self.starts_ns[within as usize]
    }

    /// When the reads of `interval` are all done, in nanoseconds since the schedule began.
    #[must_use]
    pub fn done_ns(&self, interval: Interval) -> u64 {
        self.begins_ns(interval) + self.window_ns(self.in_round(interval))
    }

    /// The period that `interval` is in: one block of each playback is read in each.
    #[must_use]
    pub fn period_of(&self, interval: Interval) -> u64 {
        interval.0 / u64::from(self.knobs.groups)
    }

    /// The group that is served in `interval`.
    #[must_use]
    pub fn group_of(&self, interval: Interval) -> u32 {
        (interval.0 % u64::from(self.knobs.groups)) as u32
    }

    /// Which interval of its round `interval` is: a group, or a zone.
    #[must_use]
    pub fn in_round(&self, interval: Interval) -> usize {
        (interval.0 % self.shares_ns.len() as u64) as usize
    }

    /// The logical zone that `period` sweeps; 0 if it sweeps all of the disk.
    #[must_use]
    pub fn zone_of(&self, period: u64) -> usize {
        (period % self.swept() as u64) as usize
    }

    /// Whether `period` reads blocks of logical zone `zone`.
    #[must_use]
    pub fn reads_zone(&self, period: u64, zone: usize) -> bool {
        self.swept() == 1 || self.zone_of(period) == zone
    }

    /// The unlike disks.
    pub(crate) fn services(&self) -> &[Service] {
        &self.services
    }
}

fn check(knobs: &Knobs, profiles: &[Profile]) -> Result<(), Error> {
    let wrong = |why: &str| Err(Error::Shape(why.to_owned()));
    match knobs {
        _ if profiles.is_empty() => wrong("there is no disk profile"),
        Knobs { disks, .. } if *disks == 0 || *disks > DISKS_MAX => {
            wrong("there must be 1 to 1000 disks")
        }
        Knobs { stride, disks, .. } if *stride == 0 || stride > disks => {
            wrong("the stride must be between 1 and the number of disks")
        }
        Knobs { period_ns, .. } if !(1_000_000..=3_600_000_000_000).contains(period_ns) => {
            wrong("a period lasts between a millisecond and an hour")
        }
        Knobs { groups, .. } if *groups == 0 || *groups > GROUPS_MAX => {
            wrong("there must be 1 to 1000 groups")
        }
        Knobs { window, groups, .. } if *window == 0 || window > groups => {
            wrong("the window must be between one interval and all of a period's")
        }
        Knobs { zones, groups, zoning: Zoning::Fixb, .. } if *zones > 1 && *groups > 1 => wrong(
            "with several zones there is one group, as a period sweeps a zone once; or blocks are as long as zones are fast (VARB)",
        ),
        _ => Ok(()),
    }
}

/// Greatest common divisor; of `a` and 0 it is `a`.
pub(crate) fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}
