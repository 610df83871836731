//! Whether the disks are as fast as their profiles say. Pure.

use std::time::Duration;

/// So many late batches among so many say that they are not.
const LATE_MAX: u32 = 3;
const WATCHED: u32 = 16;
/// How much slower they are taken to be at once, whatever a batch took.
const STEP: std::ops::RangeInclusive<f64> = 1.1..=2.0;
/// What of it is believed at most: a disk that is slower still is one to be replaced.
pub(super) const SLOWDOWN_MAX: f64 = 10.0;
/// How long they have to be in time before they are believed to be faster again, and by how much at once.
const CALM: Duration = Duration::from_secs(60);
const RECOVERY: f64 = 0.9;

/// A batch of reads that is over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Done {
    pub(crate) took_ns: u64,
    pub(crate) billed_ns: u64,
    /// How long after it should have been.
    pub(crate) late_ns: u64,
    /// When, on a clock that only goes forwards.
    pub(crate) at_ns: u64,
}

/// Batches lately, and what they say of the disks.
#[derive(Debug)]
pub(crate) struct Lateness {
    batches: u32,
    late: u32,
    /// How many times as long as billed the worst of the late ones took.
    worst: f64,
    late_at_ns: u64,
    slowdown: f64,
}

impl Default for Lateness {
    fn default() -> Self {
        Self { batches: 0, late: 0, worst: 0.0, late_at_ns: 0, slowdown: 1.0 }
    }
}

impl Lateness {
    /// How many times as long as their profiles say the disks take; 1 to 10.
    pub(crate) fn slowdown(&self) -> f64 {
        self.slowdown
    }

    /// Takes note of a batch; whether the disks are taken to be slower or faster than before.
    pub(crate) fn note(&mut self, done: Done) -> bool {
        self.batches += 1;
        if done.late_ns > 0 {
            self.late += 1;
            self.late_at_ns = done.at_ns;
            self.worst = self.worst.max(done.took_ns as f64 / done.billed_ns.max(1) as f64);
        }
        let before = self.slowdown;
        if self.late >= LATE_MAX {
            let factor = self.worst.clamp(*STEP.start(), *STEP.end());
            self.slowdown = (before * factor).min(SLOWDOWN_MAX);
            self.watch_anew();
        } else if self.batches >= WATCHED {
            let calm = Duration::from_nanos(done.at_ns.saturating_sub(self.late_at_ns));
            if calm > CALM && before > 1.0 {
                self.slowdown = (before * RECOVERY).max(1.0);
                self.late_at_ns = done.at_ns;
            }
            self.watch_anew();
        }
        self.slowdown != before
    }

    fn watch_anew(&mut self) {
        (self.batches, self.late, self.worst) = (0, 0, 0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(second: u64, took_ns: u64, late_ns: u64) -> Done {
        Done { took_ns, billed_ns: 1_000, late_ns, at_ns: second * 1_000_000_000 }
    }

    #[test]
    fn a_slip_now_and_then_says_nothing() {
        let mut lateness = Lateness::default();
        for second in 0..1_000 {
            assert!(!lateness.note(batch(second, 3_000, u64::from(second % 8 == 0))), "{second}");
        }
        assert_eq!(lateness.slowdown(), 1.0);
    }

    #[test]
    fn what_is_late_again_and_again_is_believed_and_slowly_forgotten() {
        let mut lateness = Lateness::default();
        assert!(!lateness.note(batch(0, 1_500, 1)) && !lateness.note(batch(1, 1_700, 1)));
        assert!(lateness.note(batch(2, 1_400, 1)));
        assert_eq!(lateness.slowdown(), 1.7);
        for second in 3..60 {
            lateness.note(batch(second, 9_000, 1));
        }
        assert_eq!(lateness.slowdown(), SLOWDOWN_MAX);
        let mut steps = 0;
        for second in 60..6_000 {
            steps += u32::from(lateness.note(batch(second, 900, 0)));
        }
        assert_eq!(lateness.slowdown(), 1.0);
        assert!(steps > 20, "{steps} steps of a tenth from ten times to once");
    }
}
