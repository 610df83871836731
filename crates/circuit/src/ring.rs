//! The bounded store of a stream's newest units, shared by all its sinks.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use pegasus_base::Time;
use pegasus_media::Unit;

use crate::Limits;

/// Number of a unit in its stream, counted from the stream's first. Never reused or reset.
pub(crate) type Position = u64;

struct Held {
    unit: Arc<Unit>,
    /// When it came, on the driver's monotonic clock.
    arrived: Duration,
}

/// The newest units of a stream, in groups.
///
/// Positions `first()..end()` are held. A *group* begins at a unit the caller says begins one and
/// runs up to the next such unit. Units leave only from the front: [`Ring::crowded`] and
/// [`Ring::spare`] say up to where, [`Ring::drop_before`] does it, so that the caller can first see
/// who loses them.
pub(crate) struct Ring {
    held: VecDeque<Held>,
    first: Position,
    /// Positions at which groups begin, ascending, all within what is held.
    groups: VecDeque<Position>,
    len_bytes: u64,
}

impl Ring {
    pub(crate) fn new() -> Self {
        Self { held: VecDeque::new(), first: 0, groups: VecDeque::new(), len_bytes: 0 }
    }

    /// Position of the oldest unit held; `end()` if there is none.
    pub(crate) fn first(&self) -> Position {
        self.first
    }

    /// Position the next unit will have.
    pub(crate) fn end(&self) -> Position {
        self.first + self.held.len() as u64
    }

    #[cfg(test)]
    pub(crate) fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    /// The unit at `position`.
    ///
    /// # Panics
    /// If it is not held.
    pub(crate) fn get(&self, position: Position) -> &Arc<Unit> {
        assert!(position >= self.first, "unit {position} left the ring at {}", self.first);
        &self.held[(position - self.first) as usize].unit
    }

    /// Capture time of the newest unit held.
    pub(crate) fn newest_time(&self) -> Option<Time> {
        self.held.back().map(|held| held.unit.time)
    }

    /// Where the newest group begins.
    pub(crate) fn newest_group(&self) -> Option<Position> {
        self.groups.back().copied()
    }

    /// Where the first group held at or after `position` begins.
    pub(crate) fn group_from(&self, position: Position) -> Option<Position> {
        let at = self.groups.partition_point(|&begin| begin < position);
        self.groups.get(at).copied()
    }

    /// The beginnings of all groups held.
    pub(crate) fn groups(&self) -> impl Iterator<Item = Position> + '_ {
        self.groups.iter().copied()
    }

    /// Takes in the next unit.
    pub(crate) fn push(&mut self, unit: Arc<Unit>, begins_group: bool, now: Duration) {
        if begins_group {
            self.groups.push_back(self.end());
        }
        self.len_bytes += unit.data.len() as u64;
        self.held.push_back(Held { unit, arrived: now });
    }

    /// Up to where units must leave so that the limits hold: the whole oldest groups while a limit
    /// is exceeded and enough groups stay, single units while a maximum is exceeded.
    pub(crate) fn crowded(&self, limits: &Limits, now: Duration) -> Position {
        let mut upto = self.first;
        let mut len_bytes = self.len_bytes;
        // The last group is still being received, so it is not whole.
        let mut next = usize::from(self.groups.front() == Some(&self.first));
        while self.over(upto, len_bytes, limits, now)
            && self.groups.len() > next + limits.whole_groups
        {
            len_bytes -= self.bytes_between(upto, self.groups[next]);
            upto = self.groups[next];
            next += 1;
        }
        while self.end() - upto > limits.units_max as u64
            || (len_bytes > limits.len_bytes_max && self.end() - upto > 1)
        {
            len_bytes -= self.bytes_between(upto, upto + 1);
            upto += 1;
        }
        upto
    }

    /// Up to where units may leave if no sink needs one before `needed`: what came within `hold` and
    /// the newest group stay.
    pub(crate) fn spare(&self, needed: Position, limits: &Limits, now: Duration) -> Position {
        let Some(newest) = self.newest_group() else { return self.first };
        let bound = needed.min(newest);
        let keep = self
            .groups
            .iter()
            .copied()
            .take_while(|&begin| begin <= bound)
            .filter(|&begin| {
                // A group may leave when its last unit, the one before `begin`, has been held enough.
                begin > self.first && now.saturating_sub(self.arrived(begin - 1)) >= limits.hold
            })
            .last();
        keep.unwrap_or(self.first)
    }

    /// Lets all units before `position` go.
    pub(crate) fn drop_before(&mut self, position: Position) {
        while self.first < position {
            let Some(held) = self.held.pop_front() else { break };
            self.len_bytes -= held.unit.data.len() as u64;
            self.first += 1;
        }
        while self.groups.front().is_some_and(|&begin| begin < self.first) {
            self.groups.pop_front();
        }
    }

    fn arrived(&self, position: Position) -> Duration {
        self.held[(position - self.first) as usize].arrived
    }

    fn over(&self, upto: Position, len_bytes: u64, limits: &Limits, now: Duration) -> bool {
        upto < self.end()
            && (self.end() - upto > limits.units as u64
                || len_bytes > limits.len_bytes
                || now.saturating_sub(self.arrived(upto)) > limits.span)
    }

    fn bytes_between(&self, from: Position, to: Position) -> u64 {
        let index = |position| (position - self.first) as usize;
        self.held.range(index(from)..index(to)).map(|held| held.unit.data.len() as u64).sum()
    }
}
