//! When playing may begin while what is out still comes (Mitra's pipelining): pure.
//!
//! If the tier is as fast as the recording is shown, at once; if it is slower by a factor, when that share of the whole is
//! there that is missing from the factor. With parts of different sizes, some of which are in, that becomes: the longest that any part
//! comes after it would be shown.

use std::time::Duration;

use crate::guarantee::Part;

/// What of a new measurement is believed: some seconds of transfers outweigh what was before.
const WEIGHT: f64 = 0.25;
/// Transfers of less say more about the way there than about the rate.
const BYTES_MIN: u64 = 64 << 10;

/// How fast the tier has been of late, in one direction.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Rate {
    bytes_per_s: Option<f64>,
}

impl Rate {
    /// So many bytes took so long.
    pub(crate) fn note(&mut self, bytes: u64, took: Duration) {
        if bytes < BYTES_MIN {
            return;
        }
        let now = bytes as f64 / took.as_secs_f64().max(1e-6);
        let before = self.bytes_per_s.unwrap_or(now);
        self.bytes_per_s = Some(before + (now - before) * WEIGHT);
    }

    /// Bytes a second, no more than `limit`; `None` before anything was measured.
    pub(crate) fn bytes_per_s(&self, limit: Option<u64>) -> Option<u64> {
        let rate = self.bytes_per_s.map(|rate| rate as u64);
        rate.map(|rate| rate.min(limit.unwrap_or(u64::MAX)).max(1))
    }
}

/// How long `bytes` take at a rate.
pub(crate) fn takes(bytes: u64, bytes_per_s: u64) -> Duration {
    Duration::from_secs_f64(bytes as f64 / bytes_per_s.max(1) as f64)
}

/// How long to wait before showing anything, so that each of `parts`, which come from the tier in this order after `before`
/// bytes that others wait for, is there when it is shown.
pub(crate) fn wait(parts: &[Part], before: u64, bytes_per_s: u64) -> Duration {
    let mut bytes = before;
    let late = parts.iter().map(|part| {
        bytes = bytes.saturating_add(part.bytes);
        takes(bytes, bytes_per_s).saturating_sub(Duration::from_nanos(part.at_ns))
    });
    late.max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND_NS: u64 = 1_000_000_000;

    /// A recording of so many seconds, in parts of one second of `bytes`.
    fn even(seconds: u64, bytes: u64) -> Vec<Part> {
        (0..seconds).map(|at| Part { at_ns: at * SECOND_NS, bytes, opens: false }).collect()
    }

    #[test]
    fn a_tier_as_fast_as_the_recording_is_waited_for_a_part_only() {
        assert_eq!(wait(&even(3_600, 1_000_000), 0, 1_000_000), Duration::from_secs(1));
        assert_eq!(wait(&even(3_600, 1_000_000), 0, 4_000_000), Duration::from_millis(250));
        assert_eq!(wait(&[], 5_000, 1), Duration::ZERO, "nothing is out");
    }

    #[test]
    fn of_a_slower_one_the_missing_share_is_waited_for() {
        // Half as fast: half of the 100 s it takes twice as long to bring, and one part.
        let waited = wait(&even(100, 1_000_000), 0, 500_000);
        assert_eq!(waited, Duration::from_secs(200 - 99));
    }

    #[test]
    fn what_comes_late_in_the_recording_has_time() {
        let parts = [Part { at_ns: 60 * SECOND_NS, bytes: 30_000_000, opens: true }];
        assert_eq!(wait(&parts, 0, 1_000_000), Duration::ZERO);
        assert_eq!(wait(&parts, 40_000_000, 1_000_000), Duration::from_secs(10));
    }

    #[test]
    fn rates_follow_what_is_measured() {
        let mut rate = Rate::default();
        assert_eq!(rate.bytes_per_s(None), None);
        rate.note(1_000, Duration::from_secs(9));
        assert_eq!(rate.bytes_per_s(None), None, "too little to tell");
        rate.note(1_000_000, Duration::from_secs(1));
        assert_eq!(rate.bytes_per_s(None), Some(1_000_000));
        (0..20).for_each(|_| rate.note(8_000_000, Duration::from_secs(2)));
        let now = rate.bytes_per_s(None).unwrap();
        assert!((3_900_000..=4_000_000).contains(&now), "{now}");
        assert_eq!(rate.bytes_per_s(Some(10)), Some(10));
    }

    proptest! {
        /// Played after the wait, nothing is late; a little sooner, something is.
        #[test]
        fn the_wait_is_enough_and_no_more(
            gaps in proptest::collection::vec((0u64..5_000_000_000, 1u64..5_000_000), 1..40),
            before in 0u64..5_000_000,
            rate in 10_000u64..10_000_000,
        ) {
            let mut at = 0;
            let parts: Vec<Part> = gaps
                .into_iter()
                .map(|(gap, bytes)| {
                    at += gap;
                    Part { at_ns: at, bytes, opens: false }
                })
                .collect();
            let waited = wait(&parts, before, rate).as_secs_f64();
            let late = |begun: f64| {
                let mut bytes = before as f64;
                parts.iter().any(|part| {
                    bytes += part.bytes as f64;
                    bytes / rate as f64 > begun + part.at_ns as f64 / 1e9 + 1e-6
                })
            };
            prop_assert!(!late(waited));
            prop_assert!(waited == 0.0 || late(waited - 1e-3) || waited < 1e-3);
        }
    }
}
