//! The rate of a stream over the last two seconds.

use std::time::Duration;

const SLOT_MS: u64 = 250;
const SLOTS: usize = 8;

/// Counts bytes in slots of 250 ms of arrival time. Unit times are not used: they may jump.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    slots: [u64; SLOTS],
    /// Number of the newest slot since the clock's zero.
    newest: u64,
    /// Number of the slot of the first byte.
    began: Option<u64>,
}

impl Meter {
    /// Counts `len_bytes` that arrived at `now`.
    pub(crate) fn add(&mut self, now: Duration, len_bytes: u64) {
        self.advance(now);
        self.began.get_or_insert(self.newest);
        self.slots[(self.newest % SLOTS as u64) as usize] += len_bytes;
    }

    /// Bits per second over the last two seconds, or since the first byte if that is shorter.
    pub(crate) fn rate_bps(&mut self, now: Duration) -> u64 {
        self.advance(now);
        let Some(began) = self.began else { return 0 };
        let slots = (self.newest - began + 1).min(SLOTS as u64);
        let total: u64 = self.slots.iter().sum();
        total * 8 * 1_000 / (slots * SLOT_MS)
    }

    fn advance(&mut self, now: Duration) {
        let slot = u64::try_from(now.as_millis()).unwrap_or(u64::MAX) / SLOT_MS;
        // A caller's clock may be a little behind another's: then its bytes count as now.
        let passed = slot.saturating_sub(self.newest).min(SLOTS as u64);
        self.newest = self.newest.max(slot);
        for back in 0..passed {
            self.slots[((self.newest - back) % SLOTS as u64) as usize] = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_stream_shows_its_rate_and_a_stalled_one_none() {
        let mut meter = Meter::default();
        let at = Duration::from_millis;
        assert_eq!(meter.rate_bps(at(0)), 0);
        for frame in 0..100 {
            meter.add(at(5_000 + frame * 40), 20_000); // 25 units a second
        }
        let rate = meter.rate_bps(at(5_000 + 99 * 40));
        assert!((3_600_000..=4_400_000).contains(&rate), "{rate}");
        assert_eq!(meter.rate_bps(at(12_000)), 0);
    }

    #[test]
    fn a_new_stream_is_not_measured_against_silence_before_it() {
        let mut meter = Meter::default();
        meter.add(Duration::from_secs(100), 125_000);
        assert_eq!(meter.rate_bps(Duration::from_millis(100_200)), 4_000_000);
    }
}
