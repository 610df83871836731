//! How disks and time are cut, and what reads are billed.

use std::time::Duration;

use pegasus_disk::Profile;
use pegasus_mitra::{
    Degraded, Error, Interval, Knobs, Load, Media, Origin, Request, Scheduler, Shape, Zoning,
};

use super::lateness::SLOWDOWN_MAX;

/// Any block may lie on any disks, so what is promised has to hold on each: one account stands for all.
const ORIGIN: Origin = Origin { disk: 0, zone: 0 };
/// Bits a second that have to fit if anything is to be promised at all.
const LOWEST_BPS: u64 = 32_000;
/// What a reader costs is compared for so many readers like him, as in a sweep of many seeks are short.
const AMONG: u32 = 16;
/// Probes for the greatest rate that would fit.
const PROBES: u32 = 24;

/// How playback is guaranteed.
#[derive(Debug, Clone, PartialEq)]
pub struct Guarantee {
    /// What the disks can do; the unlike ones among them. At least one.
    pub profiles: Vec<Profile>,
    /// A block of each playback is read in each period. Longer ones spend less on seeks, and hold more in memory.
    /// Default 2 s; 100 ms to 1 min.
    pub period: Duration,
    /// In how many groups playbacks are served in a period; a playback begins after half of the period at most where the disks
    /// are busy, at once elsewhere. Default 4; 1 to 100.
    pub groups: u32,
    /// Share of each disk's time that everything else has in the long run: files, exports, cleaning; in percent. Default 20; 0 to 90.
    /// What playbacks don't use others have anyway.
    pub others_percent: u8,
    /// How many disks share one device's time, at most: those that are files on one file system. Default 1.
    pub sharing: u32,
    /// Whether an offset on a disk is the same on its profile, so that it is known in which zone a recording lies. If not,
    /// all of it counts as lying in the slowest one. Default false.
    pub placed: bool,
}

impl Guarantee {
    /// With the usual periods, on disks like these.
    #[must_use]
    pub fn on(profiles: Vec<Profile>) -> Self {
        Self {
            profiles,
            period: Duration::from_secs(2),
            groups: 4,
            others_percent: 20,
            sharing: 1,
            placed: false,
        }
    }

    /// The period in nanoseconds.
    pub(crate) fn period_ns(&self) -> u64 {
        u64::try_from(self.period.as_nanos()).unwrap_or(u64::MAX)
    }

    /// What lies between two fragments on a disk and is rather read than passed over: what its heads pass in half a turn.
    pub(crate) fn gap_bytes(&self) -> u64 {
        let gap = |profile: &Profile| {
            let rate = profile.zones().first().map_or(0, |zone| zone.rate_bps);
            u128::from(rate) * u128::from(profile.rotation_ns()) / 16 / 1_000_000_000
        };
        let least = self.profiles.iter().map(gap).min().unwrap_or(0);
        u64::try_from(least).unwrap_or(0).min(1 << 20)
    }

    /// How long a byte at `offset` takes on any of the disks, as a part of what it takes where that disk is slowest; 0 to 1.
    pub(crate) fn slowness_at(&self, offset: u64) -> f64 {
        if !self.placed {
            return 1.0;
        }
        let slowness = |profile: &Profile| {
            let rates = profile.zones().iter().map(|zone| zone.rate_bps);
            let here = profile.zones()[profile.zone_at(offset.min(profile.capacity_bytes() - 1))];
            rates.min().unwrap_or(1) as f64 / here.rate_bps.max(1) as f64
        };
        self.profiles.iter().map(slowness).fold(0.0, f64::max)
    }
}

/// How many bytes of a segment lie on each disk, and how long a block is shown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Layout {
    pub(crate) slot_bytes: u64,
    /// With parity.
    pub(crate) columns: u64,
    pub(crate) data: u64,
    pub(crate) block: Duration,
}

/// What a playback reads in a period, at most.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Reading {
    /// From all its disks.
    pub(crate) bytes: u64,
    /// On how many disks a block lies, parity apart; at least 1.
    pub(crate) width: u64,
    /// Whether it stops where a segment ends, and so reads one run from each disk.
    pub(crate) stops: bool,
    /// How long its bytes take, as a part of what they would in the slowest zone.
    pub(crate) slowness: f64,
}

/// What was agreed on.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    guarantee: Guarantee,
    layout: Layout,
}

impl Terms {
    /// Cuts time, and sees whether anything can be promised at all.
    ///
    /// # Errors
    /// If a number of the guarantee is out of its range, or not even the lowest rate fits.
    pub(crate) fn new(guarantee: Guarantee, layout: Layout) -> Result<(Self, Scheduler), Error> {
        let terms = Self { guarantee, layout };
        let scheduler = Scheduler::new(terms.shape(1.0, 0.0)?)?;
        Ok((terms, scheduler))
    }

    /// The same on disks like `profiles`.
    ///
    /// # Errors
    /// As [`Terms::new`].
    pub(crate) fn with(&self, profiles: &[Profile]) -> Result<Self, Error> {
        let is_known = |profile: &Profile| {
            let len = profile.capacity_bytes();
            self.guarantee.profiles.iter().any(|own| own.capacity_bytes() == len)
        };
        // What was measured of a file system says nothing of where on it a disk lies.
        let placed = self.guarantee.placed && profiles.iter().all(is_known);
        let guarantee = Guarantee { profiles: profiles.to_vec(), placed, ..self.guarantee.clone() };
        Self::new(guarantee, self.layout).map(|(terms, _)| terms)
    }

    pub(crate) fn guarantee(&self) -> &Guarantee {
        &self.guarantee
    }

    /// On how many disks a block lies at most, parity apart.
    pub(crate) fn data(&self) -> u64 {
        self.layout.data
    }

    /// How disks and time are cut if disks take `slowdown` times as long as their profiles say, and recordings take `recordings` of
    /// their time, 0 to 1.
    ///
    /// # Errors
    /// As [`Terms::new`].
    pub(crate) fn shape(&self, slowdown: f64, recordings: f64) -> Result<Shape, Error> {
        let knobs = Knobs {
            disks: 1,
            stride: 1,
            period_ns: self.guarantee.period_ns(),
            groups: self.guarantee.groups,
            window: self.guarantee.groups.div_ceil(2),
            zones: 1,
            zoning: Zoning::Fixb,
            degraded: Degraded::None,
        };
        // Recordings are billed by what they are, see `load`; this is only the least of them.
        let least = Media { name: "any".to_owned(), rate_bps: LOWEST_BPS, width: 1, pieces: 1 };
        let mut shape = Shape::new(&self.guarantee.profiles, knobs, vec![least])?;
        let left = 1.0 - recordings.clamp(0.0, 0.95);
        let shared = f64::from(self.guarantee.sharing.max(1));
        let factor = shared * slowdown.clamp(1.0, SLOWDOWN_MAX) / left;
        shape.slow_down((factor * 1_000.0).ceil() as u64);
        let others = f64::from(self.guarantee.others_percent.min(90)) / 100.0;
        shape.keep_free((others / left * 1_000.0).min(950.0) as u64);
        Ok(shape)
    }

    /// What a playback is billed on each disk.
    pub(crate) fn load(&self, reading: &Reading) -> Load {
        let bytes = reading.bytes.div_ceil(reading.width.max(1));
        // One run in each slot that it reaches into. Indexes are read between batches.
        let slots = match reading.stops {
            true => 1,
            false => 1 + bytes.div_ceil(self.layout.slot_bytes.max(1)),
        };
        let pieces = if self.guarantee.gap_bytes() == 0 {
            // The parity between is left out: a run ends there.
            let blocks = self.guarantee.period.as_nanos() / self.layout.block.as_nanos().max(1);
            slots
                + u64::try_from(blocks).unwrap_or(u64::MAX / 2).div_ceil(self.layout.columns.max(1))
        } else {
            slots
        };
        let reads = u32::try_from(pieces).unwrap_or(u32::MAX / 2);
        Load { reads, bytes: (bytes as f64 * reading.slowness.clamp(0.0, 1.0)).ceil() as u64 }
    }

    /// Which of these takes less of the disks' time.
    pub(crate) fn cheapest(
        &self,
        shape: &Shape,
        readings: impl IntoIterator<Item = Reading>,
    ) -> Option<Reading> {
        let price = |reading: &Reading| {
            let Load { reads, bytes } = self.load(reading);
            shape.batch_ns(0, reads.saturating_mul(AMONG), bytes.saturating_mul(AMONG.into()))
        };
        readings.into_iter().min_by_key(price)
    }

    /// Until it is given back: who pauses may go on later.
    pub(crate) fn request(load: Load) -> Request {
        Request { object: 0, media: 0, origin: ORIGIN, blocks: u64::MAX / 4, load: Some(load) }
    }

    /// Whether disks that do nothing else can do this.
    pub(crate) fn is_possible(&self, load: Load) -> bool {
        let idle = self.shape(1.0, 0.0).and_then(Scheduler::new);
        idle.is_ok_and(|idle| idle.fits(Interval(0), &Self::request(load)))
    }

    /// Bits a second of the greatest playback `width` disks wide that would fit now, wherever it lies; 0 if none does.
    pub(crate) fn fits_bps(&self, scheduler: &Scheduler, now: Interval, width: u64) -> u64 {
        let period_s = self.guarantee.period.as_secs_f64();
        let fits = |rate_bps: u64| {
            let bytes = (rate_bps as f64 / 8.0 * period_s) as u64;
            let load = self.load(&Reading { bytes, width, stops: false, slowness: 1.0 });
            scheduler.fits(now, &Self::request(load))
        };
        let fastest = self.guarantee.profiles.iter().flat_map(Profile::zones);
        let fastest = fastest.map(|zone| zone.rate_bps).max().unwrap_or(0);
        let (mut low, mut high) = (0, fastest.saturating_mul(width).max(LOWEST_BPS));
        for _ in 0..PROBES {
            let middle = low + (high - low) / 2;
            match fits(middle) {
                true => low = middle,
                false => high = middle,
            }
        }
        if low < LOWEST_BPS { 0 } else { low }
    }
}

#[cfg(test)]
mod tests {
    use pegasus_disk::{Seek, Zone};

    use super::*;

    const LAYOUT: Layout =
        Layout { slot_bytes: 8 << 20, columns: 5, data: 4, block: Duration::from_millis(500) };

    fn heads() -> Profile {
        let seek = Seek::new(&[(1, 0.8), (4_000, 9.0)]).unwrap();
        let zone = |rate_bps| Zone { cylinders: 1_000, rate_bps };
        Profile::new(1 << 40, 8.33, seek, vec![zone(2_000_000_000), zone(1_000_000_000)]).unwrap()
    }

    fn reading(bytes: u64) -> Reading {
        Reading { bytes, width: 4, stops: false, slowness: 1.0 }
    }

    #[test]
    fn the_greatest_that_fits_does_and_more_does_not() {
        let flash = Profile::flash(1 << 40, 100, 4_800_000_000);
        let (terms, mut scheduler) = Terms::new(Guarantee::on(vec![flash]), LAYOUT).unwrap();
        let admits = |scheduler: &mut Scheduler, rate_bps: u64| {
            let load = terms.load(&reading(rate_bps / 4));
            scheduler.admit(Interval(0), 0, &Terms::request(load)).is_ok()
        };
        // A group may use its own interval and a half.
        let most = terms.fits_bps(&scheduler, Interval(0), 4);
        assert!((4_000_000_000..4 * 4_800_000_000).contains(&most), "{most}");
        assert!(!admits(&mut scheduler, most * 101 / 100) && admits(&mut scheduler, most));
        while admits(&mut scheduler, most / 4) {}
        let less = terms.fits_bps(&scheduler, Interval(0), 4);
        assert!(less < most / 4, "{less} of {most}");
    }

    #[test]
    fn others_have_their_share_in_the_long_run_and_recordings_theirs_at_worst() {
        let fits = |others_percent, recordings| {
            let guarantee = Guarantee { others_percent, ..Guarantee::on(vec![heads()]) };
            let (terms, mut scheduler) = Terms::new(guarantee, LAYOUT).unwrap();
            scheduler.reshape(terms.shape(1.0, recordings).unwrap());
            terms.fits_bps(&scheduler, Interval(100), 1)
        };
        let all = fits(0, 0.0);
        // What turns are spared on average is enough for a few.
        assert!(fits(90, 0.0) < all / 5 && fits(1, 0.0) == all);
        let less = fits(0, 0.5);
        assert!((all * 2 / 5..all / 2).contains(&less), "{less} of {all}");
    }

    #[test]
    fn who_stops_at_the_end_of_a_segment_reads_one_run() {
        let (terms, scheduler) = Terms::new(Guarantee::on(vec![heads()]), LAYOUT).unwrap();
        let (crossing, stopping) = (reading(4 << 20), Reading { stops: true, ..reading(5 << 20) });
        assert_eq!(terms.load(&crossing).reads, 2);
        assert_eq!(terms.load(&stopping), Load { reads: 1, bytes: 5 << 18 });
        let shape = scheduler.shape();
        assert_eq!(terms.cheapest(shape, [crossing, stopping]), Some(stopping));
        let much = Reading { stops: true, ..reading(64 << 20) };
        assert_eq!(terms.cheapest(shape, [crossing, much]), Some(crossing));
    }

    #[test]
    fn bytes_cost_what_their_zone_takes() {
        let guarantee = Guarantee { placed: true, ..Guarantee::on(vec![heads()]) };
        assert!((guarantee.slowness_at(0) - 0.5).abs() < 1e-9);
        assert!((guarantee.slowness_at((1 << 40) - 1) - 1.0).abs() < 1e-9);
        assert!((guarantee.slowness_at(u64::MAX) - 1.0).abs() < 1e-9);
        let unknown = Guarantee { placed: false, ..guarantee.clone() };
        assert!((unknown.slowness_at(0) - 1.0).abs() < 1e-9);
        let (terms, _) = Terms::new(guarantee, LAYOUT).unwrap();
        let outer = Reading { slowness: 0.5, ..reading(1 << 20) };
        assert_eq!(terms.load(&outer).bytes * 2, terms.load(&reading(1 << 20)).bytes);
    }
}
