//! When disks that are slower than their profile says are measured anew. Pure.

use std::time::Duration;

/// Slower by less is not worth it.
const SLOWER: f64 = 1.05;
/// How long it is waited for a moment in which nobody plays.
const PATIENCE: Duration = Duration::from_secs(5);
/// Most often.
const EVERY: Duration = Duration::from_secs(600);
/// At most so long after a measurement it is looked whether it still holds.
const AGAIN_MAX: Duration = Duration::from_secs(86_400);

/// Remembers when the disks were found slow, and measured.
#[derive(Debug, Default)]
pub(crate) struct Remeasure {
    slow_since: Option<Duration>,
    measured: Option<Duration>,
    /// How long after the last measurement to look again when nobody plays.
    again: Option<Duration>,
}

impl Remeasure {
    /// Whether to measure now: the disks take `slowdown` times as long as their profile says, and so many playbacks have a promise. `now` is told on a
    /// clock that only goes forwards.
    ///
    /// What else used the disks may have made them slow, and its time be over: so it is looked again when nobody plays, ten minutes after
    /// they were measured, and then after twice as long each time.
    pub(crate) fn is_due(&mut self, now: Duration, slowdown: f64, playing: usize) -> bool {
        let since_measured = self.measured.map(|measured| now.saturating_sub(measured));
        let is_due = if slowdown < SLOWER {
            self.slow_since = None;
            let again = self.again.zip(since_measured).is_some_and(|(again, since)| since >= again);
            again && playing == 0
        } else {
            let slow = now.saturating_sub(*self.slow_since.get_or_insert(now));
            let rested = since_measured.is_none_or(|since| since >= EVERY);
            rested && (playing == 0 || slow >= PATIENCE)
        };
        if is_due {
            self.again = match self.again {
                Some(again) if slowdown < SLOWER => Some((again * 2).min(AGAIN_MAX)),
                _ => Some(EVERY),
            };
            self.measured = Some(now);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_disks_are_measured_when_nobody_plays_or_soon_but_not_all_the_time() {
        let mut remeasure = Remeasure::default();
        let mut due = |second, slowdown, playing| {
            remeasure.is_due(Duration::from_secs(second), slowdown, playing)
        };
        assert!(!due(0, 1.0, 0));
        assert!(!due(1, 2.0, 3) && !due(5, 2.0, 3));
        assert!(due(6, 2.0, 3), "they play on, but are slow");
        assert!(!due(7, 2.0, 0) && !due(605, 4.0, 0), "it was just measured");
        assert!(due(606, 4.0, 3));
        assert!(!due(700, 1.0, 3));
        assert!(!due(1_300, 2.0, 3) && due(1_301, 2.0, 0), "nobody plays");
    }

    #[test]
    fn what_was_found_is_looked_at_again_when_nobody_plays_less_and_less_often() {
        let mut remeasure = Remeasure::default();
        let mut due = |second, slowdown, playing| {
            remeasure.is_due(Duration::from_secs(second), slowdown, playing)
        };
        assert!(due(0, 2.0, 0));
        let measured: Vec<u64> =
            (1..=9_000).filter(|second| due(*second, 1.0, usize::from(*second < 700))).collect();
        assert_eq!(measured, [700, 1_900, 4_300]);
        assert!(due(9_100, 1.0, 0), "4800 s later");
        assert!(!due(9_600, 2.0, 0) && due(9_700, 2.0, 0), "slow again");
        assert!(!due(10_299, 1.0, 0) && due(10_300, 1.0, 0));
    }
}
