//! How disks and time are cut: everything that is fixed while a schedule runs.

use pegasus_disk::Profile;

use crate::{Error, Service};

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
    /// In how many groups playbacks are served in a period, 1 to 1,000; 1 if there are several zones.
    pub groups: u32,
    /// Intervals between a batch's reads being asked for and being there; 1 to `groups`. One is Mitra's rule: what a group
    /// does not need is lost. With all of them groups lend each other whatever they need.
    pub window: u32,
    /// Into how many logical zones each disk is cut; at least 1.
    pub zones: usize,
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
    /// How long each interval of a round lasts: groups of a period, or zones of a sweep over them.
    shares_ns: Vec<u64>,
    /// Where each of them begins in its round, and the round's length.
    starts_ns: Vec<u64>,
    /// How long reads take, in thousandths of what the profiles say.
    slowdown_permille: u64,
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
            shares_ns: Vec::new(),
            starts_ns: Vec::new(),
            slowdown_permille: 1_000,
        };
        match knobs.zones {
            1 => shape.share(vec![1.0; knobs.groups as usize]),
            // For long blocks; the planner knows how much goes on seeks, and tells.
            _ => shape.share_zones(0, u64::from(u32::MAX)),
        }
        Ok(shape)
    }

    /// Divides a sweep over all zones among them by what `reads` reads of `bytes` altogether take in each.
    pub fn share_zones(&mut self, reads: u32, bytes: u64) {
        if self.knobs.zones > 1 {
            let takes = |zone| self.batch_ns(zone, reads, bytes) as f64;
            self.share((0..self.knobs.zones).map(takes).collect());
        }
    }

    /// Reads take `permille` thousandths of what the profiles say: disks are slower than these, or others have a part of their time.
    pub fn slow_down(&mut self, permille: u64) {
        self.slowdown_permille = permille.max(1);
    }

    fn slowed_ns(&self, takes_ns: u64) -> u64 {
        takes_ns.saturating_mul(self.slowdown_permille) / 1_000
    }

    fn share(&mut self, weights: Vec<f64>) {
        let round_ns = self.knobs.period_ns * self.knobs.zones as u64;
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

    /// Length of a fragment of a block of medium `media`, in bytes.
    ///
    /// # Panics
    /// If there is no such medium.
    #[must_use]
    pub fn fragment_bytes(&self, media: usize) -> u64 {
        let media = &self.media[media];
        let block = u128::from(media.rate_bps) * u128::from(self.knobs.period_ns);
        let fragment = block.div_ceil(8 * 1_000_000_000 * u128::from(media.width));
        u64::try_from(fragment).unwrap_or(u64::MAX / 2).div_ceil(GRANULE) * GRANULE
    }

    /// On how many neighbouring disks a playback of medium `media` has reads reserved.
    ///
    /// # Panics
    /// If there is no such medium.
    #[must_use]
    pub fn reserved_width(&self, media: usize) -> u32 {
        self.media[media].width + u32::from(self.knobs.degraded == Degraded::Keep)
    }

    /// The most that a batch takes on any of the disks, see [`Service::batch_ns`].
    #[must_use]
    pub fn batch_ns(&self, zone: usize, reads: u32, bytes: u64) -> u64 {
        let takes = self.services.iter().map(|one| one.batch_ns(zone, reads, bytes)).max();
        self.slowed_ns(takes.unwrap_or(0))
    }

    /// The most that one read takes that no sweep passes, see [`Service::lone_ns`].
    #[must_use]
    pub fn lone_ns(&self, zone: usize, bytes: u64) -> u64 {
        let takes = self.services.iter().map(|one| one.lone_ns(zone, bytes)).max();
        self.slowed_ns(takes.unwrap_or(0))
    }

    /// How much later than asked for a batch of one group may be done, beyond its own interval, in nanoseconds.
    #[must_use]
    pub fn slack_ns(&self) -> u64 {
        match self.knobs.zones {
            1 => self.window_ns(0) - self.shares_ns[0],
            _ => 0,
        }
    }

    /// Time from the beginning of an interval to when its batch is done at the latest.
    fn window_ns(&self, in_round: usize) -> u64 {
        match self.knobs.zones {
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

    /// The logical zone that `period` reads.
    #[must_use]
    pub fn zone_of(&self, period: u64) -> usize {
        (period % self.knobs.zones as u64) as usize
    }

    /// How long after its first block's interval begins a playback that begins in logical zone `zone` is shown, so that
    /// no block is late: with one zone, a window. With several, periods are unlike, and blocks that come slowly need a start.
    #[must_use]
    pub fn delay_ns(&self, zone: usize) -> u64 {
        if self.knobs.zones == 1 {
            return self.window_ns(0);
        }
        // The first block takes some time, so the worst is not before the beginning.
        let period_ns = self.knobs.period_ns;
        let late = |block: u64| self.arrives_ns(zone, block).saturating_sub(block * period_ns);
        (0..self.knobs.zones as u64).map(late).max().unwrap_or(0)
    }

    /// The most that a playback has to hold that begins in logical zone `zone`, in blocks, the one under way included.
    #[must_use]
    pub fn buffer_blocks(&self, zone: usize) -> f64 {
        if self.knobs.zones == 1 {
            return 2.0;
        }
        let delay_ns = self.delay_ns(zone);
        let held = |block: u64| {
            let shown_ns = self.arrives_ns(zone, block).saturating_sub(delay_ns);
            (block + 1) as f64 - shown_ns as f64 / self.knobs.period_ns as f64
        };
        let most = (0..2 * self.knobs.zones as u64).map(held).fold(0.0, f64::max);
        most + 1.0
    }

    /// When block `block` of a playback that begins in `zone` is there, since its first interval began.
    fn arrives_ns(&self, zone: usize, block: u64) -> u64 {
        let first = Interval(zone as u64);
        self.done_ns(Interval(first.0 + block)) - self.begins_ns(first)
    }

    /// The unlike disks.
    pub(crate) fn services(&self) -> &[Service] {
        &self.services
    }

    /// After how many periods a playback could begin at the same place again.
    #[must_use]
    pub fn cycle(&self) -> u64 {
        let (disks, stride) = (u64::from(self.knobs.disks), u64::from(self.knobs.stride));
        let reachable = disks / gcd(disks, stride);
        let zones = self.knobs.zones as u64;
        reachable / gcd(reachable, zones) * zones
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
        Knobs { zones, groups, .. } if *zones > 1 && *groups > 1 => {
            wrong("with several zones there is one group: a zone is swept once in a period")
        }
        _ => Ok(()),
    }
}

/// Greatest common divisor; of `a` and 0 it is `a`.
pub(crate) fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    pub(crate) fn knobs() -> Knobs {
        Knobs {
            disks: 6,
            stride: 1,
            period_ns: 1_000_000_000,
            groups: 1,
            window: 1,
            zones: 1,
            degraded: Degraded::None,
        }
    }

    fn video(rate_bps: u64, width: u32) -> Vec<Media> {
        vec![Media { name: "video".to_owned(), rate_bps, width, pieces: 1 }]
    }

    #[test]
    fn blocks_are_in_proportion_to_rate_in_whole_sectors() {
        let shape = Shape::new(&[sample::today()], knobs(), video(4_000_000, 2)).unwrap();
        assert_eq!(shape.fragment_bytes(0), 62 * 4_096, "250 000 bytes");
    }

    #[test]
    fn a_period_is_cut_into_groups_without_losing_a_nanosecond() {
        let cut = Knobs { groups: 7, window: 3, ..knobs() };
        let shape = Shape::new(&[sample::today()], cut, video(4_000_000, 1)).unwrap();
        assert_eq!(shape.begins_ns(Interval(14)), 2_000_000_000);
        assert_eq!(shape.shares_ns().iter().sum::<u64>(), 1_000_000_000);
        assert_eq!((shape.period_of(Interval(15)), shape.group_of(Interval(15))), (2, 1));
        assert_eq!(shape.delay_ns(0), 428_571_428);
    }

    /// Invariant: production equals consumption over a sweep, and no block comes after it is due.
    #[test]
    fn zones_are_swept_so_that_what_is_read_is_what_is_shown() {
        for zones in 2..=4 {
            let cut = Knobs { zones, ..knobs() };
            let mut shape = Shape::new(&[sample::today()], cut, video(4_000_000, 1)).unwrap();
            shape.share_zones(30, 30 * 500_000);
            assert_eq!(shape.shares_ns().iter().sum::<u64>(), zones as u64 * 1_000_000_000);
            for zone in 0..zones {
                let delay = shape.delay_ns(zone);
                let (mut most, limit) = (0.0_f64, shape.buffer_blocks(zone));
                for block in 0..50 {
                    let arrives = shape.arrives_ns(zone, block);
                    assert!(
                        arrives <= delay + block * 1_000_000_000,
                        "block {block} from zone {zone}"
                    );
                    let shown = arrives.saturating_sub(delay) as f64 / 1e9;
                    most = most.max(block as f64 + 1.0 - shown);
                }
                assert!(most <= limit, "{most} of {limit}");
            }
        }
    }

    #[test]
    fn a_playback_can_begin_anew_when_disks_and_zones_come_round() {
        let cycle = |disks, stride, zones| {
            let cut = Knobs { disks, stride, zones, ..knobs() };
            Shape::new(&[sample::today()], cut, video(1, 1)).unwrap().cycle()
        };
        assert_eq!(cycle(6, 1, 1), 6);
        assert_eq!(cycle(6, 2, 1), 3);
        assert_eq!(cycle(6, 6, 1), 1);
        assert_eq!(cycle(6, 1, 4), 12);
        assert_eq!(cycle(5, 1, 4), 20);
    }

    #[test]
    fn contradictions_are_refused() {
        let refused = |cut: Knobs| Shape::new(&[sample::today()], cut, video(1, 1)).is_err();
        assert!(refused(Knobs { disks: 0, ..knobs() }));
        assert!(refused(Knobs { stride: 7, ..knobs() }));
        assert!(refused(Knobs { groups: 2, zones: 2, ..knobs() }));
        assert!(refused(Knobs { window: 2, ..knobs() }));
        assert!(refused(Knobs { zones: 5, ..knobs() }));
        assert!(refused(Knobs { period_ns: 0, ..knobs() }));
        let wide =
            |cut: Knobs, width| Shape::new(&[sample::today()], cut, video(1, width)).is_err();
        assert!(!wide(knobs(), 6));
        assert!(wide(Knobs { degraded: Degraded::Keep, ..knobs() }, 6));
        assert!(wide(knobs(), 0));
    }
}
