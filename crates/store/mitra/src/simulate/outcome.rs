//! What came of a simulation.

use super::Margins;

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Playbacks at once, merged ones each: the most, and the mean over the second half.
    pub playing_max: usize,
    /// See `playing_max`.
    pub playing_mean: f64,
    /// Who was admitted, and who had to wait for somebody's end before.
    pub admitted: u64,
    /// See `admitted`.
    pub waited: u64,
    /// Of those who were admitted, who became one with somebody who was about to begin the same.
    pub merged: u64,
    /// How often viewers held enough and skipped.
    pub skips: u64,
    /// How far the schedule was ahead of real time in the end, in nanoseconds: what would have been waited for nothing.
    pub ahead_ns: u64,
    /// Blocks shown.
    pub blocks: u64,
    /// Of them late, or never read.
    pub hiccups: u64,
    /// Of them never read: a disk failed to.
    pub unread: u64,
    /// How long before its time each block was there.
    pub margins: Margins,
    /// Blocks that more disks had failed under than parity bears.
    pub unreadable: u64,
    /// Playbacks that were ended because a disk failed.
    pub shed: u64,
    /// From wish to first picture in nanoseconds, of all that were admitted, sorted.
    pub startups_ns: Vec<u64>,
    /// The longest time from wish to first picture of those who waited for nobody's end, in nanoseconds.
    pub at_once_max_ns: u64,
    /// The part of the time that disks were at work, in the second half.
    pub busy: f64,
    /// The most that a playback of each medium held, in bytes: what was asked for and not shown yet.
    pub held_bytes: Vec<u64>,
}

impl Outcome {
    /// Mean time from wish to first picture in milliseconds; 0 if there was none.
    #[must_use]
    pub fn startup_mean_ms(&self) -> f64 {
        let all: f64 = self.startups_ns.iter().map(|ns| *ns as f64 / 1e6).sum();
        all / (self.startups_ns.len().max(1) as f64)
    }

    /// Longest time from wish to first picture in milliseconds; 0 if there was none.
    #[must_use]
    pub fn startup_max_ms(&self) -> f64 {
        self.startups_ns.last().map_or(0.0, |ns| *ns as f64 / 1e6)
    }
}
