//! Which disks are slow. Pure: what they did, and the time, are told.
//!
//! A disk is compared with the others of its array in the same interval, because what is asked of them is
//! much alike: a stripe's fragments. A floor keeps fast disks, of which one is a little less fast, from being
//! told apart. It becomes slow, and quick again, only after several intervals that say so, by different
//! thresholds, and stays what it became for a while: it does not waver.

use std::time::Duration;

/// A read that takes so many times as long as on other disks is slow …
const ENTER_FACTOR: u32 = 4;
/// … if it takes that long at all.
const ENTER_FLOOR: Duration = Duration::from_millis(30);
/// A slow disk is quick in an interval if reads take no more than so many times as long as on others …
const LEAVE_FACTOR: u32 = 2;
/// … or no more than this.
const LEAVE_FLOOR: Duration = Duration::from_millis(15);
/// So many intervals in a row have to say so.
const STREAK: u32 = 5;
/// A disk stays slow, or quick, for at least so long.
const DWELL: Duration = Duration::from_secs(30);

/// What a disk did in an interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sample {
    /// Reads that came to an end.
    pub(crate) reads: u64,
    /// Time it was reading.
    pub(crate) busy: Duration,
    /// Whether somebody lost patience with it.
    pub(crate) late: bool,
}

impl Sample {
    /// What one read took, if there was one.
    pub(crate) fn read_time(&self) -> Option<Duration> {
        let reads = u32::try_from(self.reads).unwrap_or(u32::MAX);
        self.busy.checked_div(reads)
    }
}

/// What is thought of a disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rating {
    slow: bool,
    /// When it last became slow or quick.
    changed: Option<Duration>,
    /// Intervals in a row that speak for the other state.
    streak: u32,
    /// What a read took of late.
    typical: Option<Duration>,
}

/// What an interval says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Slow,
    Quick,
    /// Between the thresholds, or there is nothing to judge by.
    Neither,
}

impl Rating {
    /// What a read took of late.
    pub(crate) fn typical(&self) -> Option<Duration> {
        self.typical
    }

    /// Takes note of an interval that ends `now`, in which reads on the other disks took `peers`. Whether
    /// the disk became slow, or quick again.
    pub(crate) fn note(
        &mut self,
        sample: &Sample,
        peers: Option<Duration>,
        now: Duration,
    ) -> Option<bool> {
        if let Some(took) = sample.read_time() {
            self.typical = Some(self.typical.map_or(took, |before| (before + took) / 2));
        }
        self.streak = match (verdict(sample, peers), self.slow) {
            (Verdict::Slow, false) | (Verdict::Quick, true) => self.streak.saturating_add(1),
            // An interval without reads says nothing, and takes nothing back.
            (Verdict::Neither, _) if sample.reads == 0 => self.streak,
            _ => 0,
        };
        let dwelt = self.changed.is_none_or(|changed| now.saturating_sub(changed) >= DWELL);
        if self.streak < STREAK || !dwelt {
            return None;
        }
        *self = Self { slow: !self.slow, changed: Some(now), streak: 0, typical: self.typical };
        Some(self.slow)
    }
}

fn verdict(sample: &Sample, peers: Option<Duration>) -> Verdict {
    if sample.late {
        return Verdict::Slow;
    }
    let (Some(took), Some(peers)) = (sample.read_time(), peers) else { return Verdict::Neither };
    if took >= ENTER_FLOOR.max(peers.saturating_mul(ENTER_FACTOR)) {
        Verdict::Slow
    } else if took <= LEAVE_FLOOR.max(peers.saturating_mul(LEAVE_FACTOR)) {
        Verdict::Quick
    } else {
        Verdict::Neither
    }
}

/// What a read takes on the others: the median of what is known of them.
pub(crate) fn peers_of(at: usize, typical: &[Option<Duration>]) -> Option<Duration> {
    let others = typical.iter().enumerate().filter(|(other, _)| *other != at);
    let mut others: Vec<Duration> = others.filter_map(|(_, typical)| *typical).collect();
    others.sort_unstable();
    // Of two the lesser, so that in a small array one slow disk does not hide another.
    others.get(others.len().saturating_sub(1) / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: Duration = Duration::from_millis(1);
    const PEERS: Option<Duration> = Some(Duration::from_millis(10));

    fn took(each: Duration) -> Sample {
        Sample { reads: 10, busy: each * 10, late: false }
    }

    /// Notes samples, one a second; at which seconds it changed, and to what.
    fn changes(samples: impl IntoIterator<Item = Sample>) -> Vec<(u64, bool)> {
        let mut rating = Rating::default();
        let noted = (0..).zip(samples).filter_map(|(second, sample)| {
            let change = rating.note(&sample, PEERS, Duration::from_secs(second))?;
            Some((second, change))
        });
        noted.collect()
    }

    #[test]
    fn a_slow_disk_is_noticed_and_comes_back() {
        let slow = std::iter::repeat_n(took(200 * MS), 60);
        let quick = std::iter::repeat_n(took(11 * MS), 60);
        assert_eq!(changes(slow.chain(quick)), [(4, true), (64, false)]);
    }

    #[test]
    fn what_it_became_it_stays_for_a_while() {
        let slow = std::iter::repeat_n(took(200 * MS), 7);
        let quick = std::iter::repeat_n(took(11 * MS), 60);
        assert_eq!(changes(slow.chain(quick)), [(4, true), (34, false)]);
    }

    #[test]
    fn a_disk_that_answers_nothing_is_slow() {
        let stalled = Sample { reads: 0, busy: Duration::ZERO, late: true };
        assert_eq!(changes([stalled; 6]), [(4, true)]);
        // With nobody to compare with, too: it was the last one that was waited for.
        let mut rating = Rating::default();
        let noted: Vec<_> =
            (0..5).map(|at| rating.note(&stalled, None, Duration::from_secs(at))).collect();
        assert_eq!(noted, [None, None, None, None, Some(true)]);
    }

    #[test]
    fn a_hiccup_is_none() {
        let mut samples = vec![took(10 * MS); 60];
        for at in [3, 4, 5, 6, 20, 21, 40] {
            samples[at] = took(5_000 * MS);
        }
        assert_eq!(changes(samples), []);
    }

    #[test]
    fn a_fast_disk_is_not_slow_beside_faster_ones() {
        let mut rating = Rating::default();
        let peers = Some(Duration::from_micros(50));
        for second in 0..60 {
            let noted = rating.note(&took(20 * MS), peers, Duration::from_secs(second));
            assert_eq!(noted, None, "400 times as long, and nobody minds");
        }
    }

    #[test]
    fn peers_are_the_others() {
        let typical = [Some(MS), Some(100 * MS), None, Some(3 * MS)];
        assert_eq!(peers_of(1, &typical), Some(MS));
        assert_eq!(peers_of(0, &typical), Some(3 * MS));
        assert_eq!(peers_of(2, &typical), Some(3 * MS));
        assert_eq!(peers_of(0, &typical[..1]), None);
        assert_eq!(peers_of(0, &typical[..2]), Some(100 * MS));
    }

    proptest! {
        /// Whatever it does, it does not change faster than every half minute.
        #[test]
        fn it_never_flaps(reads in prop::collection::vec((0_u64..3, 0_u64..2_000, any::<bool>()), 1..400)) {
            let samples = reads.into_iter().map(|(reads, each_ms, late)| {
                Sample { reads, busy: MS * (reads * each_ms) as u32, late: late && each_ms > 1_000 }
            });
            let changes = changes(samples);
            let first = changes.first().is_none_or(|(_, slow)| *slow);
            prop_assert!(first, "it begins quick");
            for pair in changes.windows(2) {
                prop_assert!(pair[1].0 - pair[0].0 >= 30 && pair[1].1 != pair[0].1, "{:?}", pair);
            }
        }

        /// Noise below the upper threshold makes nothing slow, noise above the lower one nothing quick.
        #[test]
        fn noise_between_the_thresholds_changes_nothing(noise_ms in prop::collection::vec(21_u64..40, 1..400)) {
            prop_assert_eq!(changes(noise_ms.iter().map(|ms| took(MS * *ms as u32))), []);
            let slow = std::iter::repeat_n(took(200 * MS), 5);
            let noisy = slow.chain(noise_ms.iter().map(|ms| took(MS * *ms as u32)));
            prop_assert_eq!(changes(noisy), [(4, true)]);
        }
    }
}
