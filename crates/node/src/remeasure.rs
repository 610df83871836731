//! When disks that are slower than their profile says are measured anew. Pure.

use std::time::Duration;

/// Slower by less is not worth it.
const SLOWER: f64 = 1.05;
/// How long it is waited for a moment in which nobody plays.
const PATIENCE: Duration = Duration::from_secs(5);
/// Most often.
const EVERY: Duration = Duration::from_secs(600);

/// Remembers when the disks were found slow, and measured.
#[derive(Debug, Default)]
pub(crate) struct Remeasure {
    slow_since: Option<Duration>,
    measured: Option<Duration>,
}

impl Remeasure {
    /// Whether to measure now: the disks take `slowdown` times as long as their profile says, and so many playbacks have a promise. `now` is told on a
    /// clock that only goes forwards.
    pub(crate) fn is_due(&mut self, now: Duration, slowdown: f64, playing: usize) -> bool {
        if slowdown < SLOWER {
            self.slow_since = None;
            return false;
        }
        let since = *self.slow_since.get_or_insert(now);
        if self.measured.is_some_and(|measured| now.saturating_sub(measured) < EVERY) {
            return false;
        }
        let is_due = playing == 0 || now.saturating_sub(since) >= PATIENCE;
        if is_due {
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
}
