//! What was played last, and how often: pure, bounded, and not kept over a restart. When a segment came back is, in its
//! record.

use std::collections::HashMap;

use pegasus_base::{StreamId, Time};

/// Segments remembered; beyond that, those played longest ago are forgotten.
const KEPT_MAX: usize = 65_536;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Uses {
    played: HashMap<(StreamId, u64), (Time, u32)>,
}

impl Uses {
    /// Somebody plays it.
    pub(crate) fn note(&mut self, stream: StreamId, index: u64, now: Time) {
        if self.played.len() >= KEPT_MAX && !self.played.contains_key(&(stream, index)) {
            self.forget_older_half();
        }
        let (last, plays) = self.played.entry((stream, index)).or_insert((now, 0));
        *last = now.max(*last);
        *plays = plays.saturating_add(1);
    }

    /// When it was played last, and how often.
    pub(crate) fn of(&self, stream: StreamId, index: u64) -> Option<(Time, u32)> {
        self.played.get(&(stream, index)).copied()
    }

    fn forget_older_half(&mut self) {
        let mut times: Vec<Time> = self.played.values().map(|(last, _)| *last).collect();
        let middle = times.len() / 2;
        let (_, median, _) = times.select_nth_unstable(middle);
        let median = *median;
        self.played.retain(|_, (last, _)| *last > median);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_are_remembered() {
        let mut uses = Uses::default();
        for index in 0..KEPT_MAX as u64 + 10 {
            uses.note(StreamId(1), index, Time::from_secs(index as i64));
        }
        uses.note(StreamId(1), KEPT_MAX as u64, Time::from_secs(0));
        assert!(uses.played.len() <= KEPT_MAX);
        assert_eq!(uses.of(StreamId(1), 3), None);
        let last = Time::from_secs(KEPT_MAX as i64);
        assert_eq!(uses.of(StreamId(1), KEPT_MAX as u64), Some((last, 2)));
    }
}
