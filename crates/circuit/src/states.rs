//! When a stream was live, with which tracks.

use std::collections::VecDeque;

use pegasus_media::TrackSet;

use crate::ring::Position;

/// The state of a stream from some position on.
#[derive(Clone, Debug)]
pub(crate) struct State {
    /// Where it begins.
    pub(crate) from: Position,
    /// Ascending number of this state.
    pub(crate) serial: u64,
    /// Which publisher's time it is in: counts publishers.
    pub(crate) run: u64,
    /// The tracks, or `None` while nobody publishes.
    pub(crate) tracks: Option<TrackSet>,
}

/// The states of a stream that its sinks may still have to pass, oldest first; never empty.
///
/// Only the last state at a position is kept, so there are at most one more than units held.
pub(crate) struct States(VecDeque<State>);

impl States {
    /// A stream that nobody has published yet.
    pub(crate) fn new() -> Self {
        Self(VecDeque::from([State { from: 0, serial: 0, run: 0, tracks: None }]))
    }

    /// The present state.
    pub(crate) fn latest(&self) -> &State {
        self.0.back().expect("there is always a state")
    }

    /// The state in force at `position`.
    pub(crate) fn at(&self, position: Position) -> &State {
        let after = self.0.partition_point(|state| state.from <= position);
        &self.0[after.saturating_sub(1)]
    }

    /// A publisher's tracks hold from `from` on; `new_run` if it has just arrived.
    pub(crate) fn live(&mut self, from: Position, tracks: TrackSet, new_run: bool) {
        let run = self.latest().run + u64::from(new_run);
        self.push(from, run, Some(tracks));
    }

    /// Nobody publishes from `from` on.
    pub(crate) fn idle(&mut self, from: Position) {
        self.push(from, self.latest().run, None);
    }

    /// Forgets states that ended at or before `first`.
    pub(crate) fn forget_before(&mut self, first: Position) {
        while self.0.get(1).is_some_and(|next| next.from <= first) {
            self.0.pop_front();
        }
    }

    fn push(&mut self, from: Position, run: u64, tracks: Option<TrackSet>) {
        let serial = self.latest().serial + 1;
        if self.latest().from == from {
            self.0.pop_back();
        }
        self.0.push_back(State { from, serial, run, tracks });
    }
}
