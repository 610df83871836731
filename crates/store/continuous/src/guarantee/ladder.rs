//! Rates that are promised, and how disks and time are cut for them.

use std::time::Duration;

use pegasus_disk::Profile;
use pegasus_mitra::{Degraded, Error, Knobs, Media, Scheduler, Shape, Zoning};

use super::lateness::SLOWDOWN_MAX;

/// Steps of the ladder in an octave: what is promised is at most 4.5 % more than what is needed.
const STEPS: f64 = 16.0;
/// Its lowest rung in bits a second from each disk, and how many octaves it has at most.
const LOWEST_BPS: f64 = 32_000.0;
const OCTAVES: f64 = 18.0;

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
    /// Share of each disk's time kept for everything else: files, exports, cleaning; in percent. Default 20; 0 to 90. What playbacks
    /// don't use others have anyway.
    pub others_percent: u8,
    /// How many disks share one device's time, at most: those that are files on one file system. Default 1.
    pub sharing: u32,
}

impl Guarantee {
    /// With the usual periods, on disks like these.
    #[must_use]
    pub fn on(profiles: Vec<Profile>) -> Self {
        Self { profiles, period: Duration::from_secs(2), groups: 4, others_percent: 20, sharing: 1 }
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

/// The rungs that fit the disks, in bytes from each disk in a period.
#[derive(Debug, Clone)]
pub(crate) struct Ladder {
    guarantee: Guarantee,
    layout: Layout,
    rungs: usize,
}

impl Ladder {
    /// Cuts time, and finds which rates fit at all.
    ///
    /// # Errors
    /// If a number of the guarantee is out of its range, or not even the lowest rate fits.
    pub(crate) fn new(guarantee: Guarantee, layout: Layout) -> Result<(Self, Scheduler), Error> {
        let others = f64::from(guarantee.others_percent.min(90)) / 100.0;
        let mut ladder = Self { guarantee, layout, rungs: (STEPS * OCTAVES) as usize };
        loop {
            let shape = ladder.shape(1.0, others)?;
            match Scheduler::new(shape) {
                Err(Error::Medium { .. }) if ladder.rungs > 1 => ladder.rungs -= 1,
                scheduler => return Ok((ladder, scheduler?)),
            }
        }
    }

    /// The same rungs on disks like `profiles`, though the highest may not fit them.
    ///
    /// # Errors
    /// As [`Ladder::new`].
    pub(crate) fn with(&self, profiles: &[Profile]) -> Result<Self, Error> {
        let guarantee = Guarantee { profiles: profiles.to_vec(), ..self.guarantee.clone() };
        Self::new(guarantee.clone(), self.layout)?;
        Ok(Self { guarantee, ..self.clone() })
    }

    pub(crate) fn guarantee(&self) -> &Guarantee {
        &self.guarantee
    }

    /// How disks and time are cut if disks take `slowdown` times as long as their profiles say, and others take `others` of
    /// their time, 0 to 1.
    ///
    /// # Errors
    /// As [`Ladder::new`].
    pub(crate) fn shape(&self, slowdown: f64, others: f64) -> Result<Shape, Error> {
        // Any block may lie on any disks, so what is promised has to hold on each: one account stands for all.
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
        let media = (0..self.rungs).map(|rung| self.medium(rung)).collect();
        let mut shape = Shape::new(&self.guarantee.profiles, knobs, media)?;
        let shared = f64::from(self.guarantee.sharing.max(1));
        let factor = shared * slowdown.clamp(1.0, SLOWDOWN_MAX) / (1.0 - others.clamp(0.0, 0.95));
        shape.slow_down((factor * 1_000.0) as u64);
        Ok(shape)
    }

    fn medium(&self, rung: usize) -> Media {
        let rate_bps = rate_of(rung);
        let bytes = (rate_bps as f64 / 8.0 * self.guarantee.period.as_secs_f64()) as u64;
        // One run in each slot that it reaches into. Indexes are read between batches.
        let slots = 1 + bytes.div_ceil(self.layout.slot_bytes.max(1));
        let pieces = if self.guarantee.gap_bytes() == 0 {
            // The parity between is left out: a run ends there.
            let blocks = self.guarantee.period.as_nanos() / self.layout.block.as_nanos().max(1);
            slots
                + u64::try_from(blocks).unwrap_or(u64::MAX / 2).div_ceil(self.layout.columns.max(1))
        } else {
            slots
        };
        let pieces = u32::try_from(pieces).unwrap_or(u32::MAX / 2);
        Media { name: format!("{rate_bps} bit/s from each disk"), rate_bps, width: 1, pieces }
    }

    /// The lowest rung that has `bytes` from each disk in a period; `None` if none has.
    pub(crate) fn rung(&self, bytes: u64) -> Option<usize> {
        let rate_bps = bytes as f64 * 8.0 / self.guarantee.period.as_secs_f64();
        let above = ((rate_bps / LOWEST_BPS).log2() * STEPS).ceil().max(0.0) as usize;
        (above < self.rungs).then_some(above)
    }

    /// Bits a second that a rung has from each disk.
    pub(crate) fn rate_bps(&self, rung: usize) -> u64 {
        rate_of(rung.min(self.rungs - 1))
    }

    /// On how many disks a block lies at most, parity apart.
    pub(crate) fn data(&self) -> u64 {
        self.layout.data
    }

    /// The highest.
    #[cfg(test)]
    fn highest(&self) -> usize {
        self.rungs - 1
    }
}

fn rate_of(rung: usize) -> u64 {
    (LOWEST_BPS * (rung as f64 / STEPS).exp2()).ceil() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ladder(others_percent: u8) -> (Ladder, Scheduler) {
        let flash = Profile::flash(1 << 40, 100, 4_800_000_000);
        let guarantee = Guarantee { others_percent, ..Guarantee::on(vec![flash]) };
        let layout =
            Layout { slot_bytes: 1 << 20, columns: 5, data: 4, block: Duration::from_millis(500) };
        Ladder::new(guarantee, layout).unwrap()
    }

    #[test]
    fn a_rung_has_what_is_asked_for_and_little_more() {
        let (ladder, _) = ladder(20);
        for bytes in [1, 8_000, 250_000, 777_777, 100_000_000] {
            let rung = ladder.rung(bytes).unwrap();
            let has = ladder.rate_bps(rung) / 4;
            assert!(has >= bytes && (rung == 0 || has <= bytes * 1_05 / 100 + 1), "{bytes}: {has}");
        }
        assert_eq!(ladder.rung(10 << 30), None, "more than the disk has");
    }

    #[test]
    fn what_is_kept_for_others_is_not_promised() {
        let (all, _) = ladder(0);
        let (half, _) = ladder(50);
        let (all, half) = (all.rate_bps(all.highest()), half.rate_bps(half.highest()));
        assert!(all > 1_000_000_000 && half < all * 6 / 10, "{half} of {all}");
    }
}
