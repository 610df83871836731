//! Blocks: how long they are in each zone, when they are there and when they are shown, and what a viewer holds of them.
//!
//! What is shown of all zones' blocks together lasts as many periods as there are zones. With [`Zoning::Fixb`] each is shown for a period; with
//! [`Zoning::Varb`] as much longer as its zone is faster than the mean, so that reading any of them takes equally long.

use super::{GRANULE, Shape, Zoning, gcd};
use crate::account::Load;

/// Zones that are faster than 1 Tb/s count as so fast, so that sums of products fit.
const WEIGHT_MAX: u64 = 1 << 40;

impl Shape {
    /// How many zones are swept one after the other, a period each; 1 if every sweep goes over all of the disk.
    #[must_use]
    pub fn swept(&self) -> usize {
        match self.knobs.zoning {
            Zoning::Fixb => self.knobs.zones,
            Zoning::Varb => 1,
        }
    }

    /// What the blocks of each zone are in proportion to: all the same, or bits a second of the slowest disk there.
    #[must_use]
    pub fn weights(&self) -> Vec<u64> {
        let slowest = |zone: usize| {
            let rates = self.services.iter().map(|one| one.zones()[zone].rate_bps);
            rates.min().unwrap_or(1).clamp(1, WEIGHT_MAX)
        };
        match self.knobs.zoning {
            Zoning::Fixb => vec![1; self.knobs.zones],
            Zoning::Varb => (0..self.knobs.zones).map(slowest).collect(),
        }
    }

    /// Settles how long each zone's block is shown, and what a sweep over all of the disk takes if reads take equally long.
    pub(super) fn size_blocks(&mut self) {
        let weights = self.weights();
        let all: u128 = weights.iter().copied().map(u128::from).sum();
        let round_ns = u128::from(self.knobs.period_ns) * weights.len() as u128;
        let mut sum = 0;
        self.shown_ns = vec![0];
        for weight in &weights {
            sum += u128::from(*weight);
            self.shown_ns.push((round_ns * sum / all) as u64);
        }
        if self.knobs.zoning == Zoning::Varb {
            self.services.iter_mut().for_each(|one| one.level(&weights));
        }
    }

    /// How long a block of logical zone `zone` is shown, in nanoseconds; a period on average.
    ///
    /// # Panics
    /// If there is no such zone.
    #[must_use]
    pub fn block_ns(&self, zone: usize) -> u64 {
        self.shown_ns[zone + 1] - self.shown_ns[zone]
    }

    /// How long after its first block a playback that begins in logical zone `zone` shows block `block`, in nanoseconds.
    ///
    /// # Panics
    /// If there is no such zone.
    #[must_use]
    pub fn due_ns(&self, zone: usize, block: u64) -> u64 {
        let zones = self.knobs.zones as u64;
        let at = zone as u64 + block;
        let whole = at / zones * self.shown_ns[zones as usize];
        whole + self.shown_ns[(at % zones) as usize] - self.shown_ns[zone]
    }

    /// Length of a fragment of a block of medium `media` in logical zone `zone`, in bytes.
    ///
    /// # Panics
    /// If there is no such medium or zone.
    #[must_use]
    pub fn fragment_bytes_in(&self, media: usize, zone: usize) -> u64 {
        let media = &self.media[media];
        let block = u128::from(media.rate_bps) * u128::from(self.block_ns(zone));
        let fragment = block.div_ceil(8 * 1_000_000_000 * u128::from(media.width));
        u64::try_from(fragment).unwrap_or(u64::MAX / 2).div_ceil(GRANULE) * GRANULE
    }

    /// Mean length of a fragment of a block of medium `media` over all zones, in bytes, rounded up.
    ///
    /// # Panics
    /// If there is no such medium.
    #[must_use]
    pub fn fragment_bytes(&self, media: usize) -> u64 {
        let zones = self.knobs.zones;
        let all = (0..zones).map(|zone| u128::from(self.fragment_bytes_in(media, zone)));
        u64::try_from(all.sum::<u128>().div_ceil(zones as u128)).unwrap_or(u64::MAX / 2)
    }

    /// Length of a block of medium `media` in logical zone `zone`, without parity, in bytes.
    ///
    /// # Panics
    /// If there is no such medium or zone.
    #[must_use]
    pub fn block_bytes(&self, media: usize, zone: usize) -> u64 {
        self.fragment_bytes_in(media, zone).saturating_mul(u64::from(self.media[media].width))
    }

    /// What a fragment of medium `media` is billed as: where reads take equally long in all zones, the one that takes longest for
    /// having been rounded up.
    pub(crate) fn load(&self, media: usize) -> Load {
        let in_zone = |zone: usize| {
            let bytes = self.fragment_bytes_in(media, zone);
            let levels = self.services.iter().map(|one| one.level_bytes(zone, bytes));
            levels.max().unwrap_or(bytes)
        };
        let bytes = (0..self.knobs.zones).map(in_zone).max().unwrap_or(0);
        Load { reads: self.media[media].pieces, bytes }
    }

    /// How long after its first block's interval begins a playback that begins in logical zone `zone` is shown, so that
    /// no block is late: with one zone, a window. With several, blocks that come slowly or are short need a start.
    #[must_use]
    pub fn delay_ns(&self, zone: usize) -> u64 {
        // The first block takes some time, so the worst is not before the beginning.
        let late = |block| self.arrives_ns(zone, block).saturating_sub(self.due_ns(zone, block));
        (0..self.knobs.zones as u64).map(late).max().unwrap_or(0)
    }

    /// The most that a playback has to hold that begins in logical zone `zone`, the one under way included, in blocks of mean length.
    #[must_use]
    pub fn buffer_blocks(&self, zone: usize) -> f64 {
        if self.knobs.zones == 1 {
            return 2.0;
        }
        let delay_ns = self.delay_ns(zone);
        let held_ns = |block: u64| {
            let shown_ns = self.arrives_ns(zone, block).saturating_sub(delay_ns);
            self.due_ns(zone, block + 2).saturating_sub(shown_ns)
        };
        let most_ns = (0..2 * self.knobs.zones as u64).map(held_ns).max().unwrap_or(0);
        most_ns as f64 / self.knobs.period_ns as f64
    }

    /// The most that a playback of medium `media` has to hold, wherever it begins, in bytes.
    ///
    /// # Panics
    /// If there is no such medium.
    #[must_use]
    pub fn buffer_bytes(&self, media: usize) -> u64 {
        let zones = 0..self.knobs.zones;
        let blocks = zones.map(|zone| self.buffer_blocks(zone)).fold(0.0, f64::max);
        (blocks * self.period_bytes(media)).ceil() as u64
    }

    /// Length of what a playback of medium `media` shows in a period, where rounding adds most to it, in bytes.
    pub(crate) fn period_bytes(&self, media: usize) -> f64 {
        let zones = 0..self.knobs.zones;
        let bytes = |zone| self.block_bytes(media, zone) as f64 / self.block_ns(zone).max(1) as f64;
        zones.map(bytes).fold(0.0, f64::max) * self.knobs.period_ns as f64
    }

    /// For how long a playback can go on at most with what it holds when its next block is asked for, wherever it began: it is what the
    /// schedule itself needs, in nanoseconds.
    pub(crate) fn stock_ns(&self) -> u64 {
        let begins_ns = |zone: usize, block: u64| match self.swept() {
            1 => block * self.knobs.period_ns,
            _ => {
                let first = crate::Interval(zone as u64);
                self.begins_ns(crate::Interval(first.0 + block)) - self.begins_ns(first)
            }
        };
        let zones = self.knobs.zones as u64;
        let stocks = (0..self.knobs.zones).flat_map(|zone| {
            let due_ns = move |block| self.delay_ns(zone) + self.due_ns(zone, block);
            (0..zones).map(move |block| due_ns(block).saturating_sub(begins_ns(zone, block)))
        });
        stocks.max().unwrap_or(0)
    }

    /// When block `block` of a playback that begins in `zone` is there, since its first interval began.
    pub(super) fn arrives_ns(&self, zone: usize, block: u64) -> u64 {
        if self.swept() == 1 {
            return block * self.knobs.period_ns + self.window_ns(0);
        }
        let first = crate::Interval(zone as u64);
        self.done_ns(crate::Interval(first.0 + block)) - self.begins_ns(first)
    }

    /// After how many periods a playback could begin at the same place again: disks and zones have come round once.
    #[must_use]
    pub fn cycle(&self) -> u64 {
        let (disks, stride) = (u64::from(self.knobs.disks), u64::from(self.knobs.stride));
        let reachable = disks / gcd(disks, stride);
        let zones = self.swept() as u64;
        reachable / gcd(reachable, zones) * zones
    }
}
