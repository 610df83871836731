//! Where one sink is in its stream, and what it is told next.

use std::sync::Arc;

use pegasus_base::Time;

use crate::ring::{Position, Ring};
use crate::states::{State, States};
use crate::{Event, Loss, Start};

/// What one sink has had of its stream, and where it goes on.
#[derive(Debug)]
pub(crate) struct Cursor {
    place: Place,
    told: Told,
    pub(crate) taken_units: u64,
    pub(crate) lost_units: u64,
}

#[derive(Debug, Clone, Copy)]
enum Place {
    /// Goes on at this position, which is held or the next to come.
    Reading(Position),
    /// Begins with the next group to come.
    Awaiting,
    /// Units from `since` on were dropped before it took them. Goes on with the newest group.
    CutOff {
        since: Position,
        /// Capture time of the unit at `since`.
        from: Time,
    },
}

/// What the sink knows of the stream's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Idle,
    Live { serial: u64, run: u64 },
}

/// What a cursor sees of its stream.
pub(crate) struct View<'a> {
    ring: &'a Ring,
    states: &'a States,
    /// Position of the present publisher's first unit, held or not.
    run_begin: Position,
    closed: bool,
}

impl<'a> View<'a> {
    pub(crate) fn of(
        ring: &'a Ring,
        states: &'a States,
        run_begin: Position,
        closed: bool,
    ) -> Self {
        Self { ring, states, run_begin, closed }
    }
}

impl Cursor {
    pub(crate) fn new(start: Start, view: &View<'_>) -> Self {
        let end = view.ring.end();
        let live = view.states.latest().tracks.is_some();
        let found = match start {
            _ if !live || view.run_begin == end => Some(end),
            Start::Now => None,
            Start::KeyUnit => view.ring.newest_group().filter(|&begin| begin >= view.run_begin),
            Start::Held => view.ring.group_from(view.run_begin),
        };
        let place = found.map_or(Place::Awaiting, Place::Reading);
        Self { place, told: Told::Idle, taken_units: 0, lost_units: 0 }
    }

    /// The oldest unit this cursor still needs.
    pub(crate) fn needed(&self, end: Position) -> Position {
        if let Place::Reading(position) = self.place { position } else { end }
    }

    /// Whether it waits for a group that has not begun yet.
    pub(crate) fn wants_group(&self, ring: &Ring) -> bool {
        match self.place {
            Place::Reading(_) => false,
            Place::Awaiting => true,
            Place::CutOff { since, .. } => ring.group_from(since).is_none(),
        }
    }

    /// Units still to be taken, or lost without the sink having been told.
    pub(crate) fn lag_units(&self, end: Position) -> u64 {
        match self.place {
            Place::Reading(since) | Place::CutOff { since, .. } => end - since,
            Place::Awaiting => 0,
        }
    }

    /// Tells the cursor that a group begins at `position`, or that the publisher has left there.
    pub(crate) fn may_begin(&mut self, position: Position) {
        if let Place::Awaiting = self.place {
            self.place = Place::Reading(position);
        }
    }

    /// Tells the cursor that units before `upto` are about to leave the ring.
    pub(crate) fn dropping_before(&mut self, upto: Position, ring: &Ring) {
        if let Place::Reading(since) = self.place
            && since < upto
        {
            self.place = Place::CutOff { since, from: ring.get(since).time };
        }
    }

    /// The next event, or `None` if there is nothing yet.
    pub(crate) fn next(&mut self, view: &View<'_>) -> Option<Event> {
        if let Some(loss) = self.resume(view) {
            self.lost_units += loss.units;
            return Some(Event::Lost(loss));
        }
        let end = view.ring.end();
        let at = self.needed(end);
        if let Some(event) = self.tell(view.states.at(at)) {
            return Some(event);
        }
        if at < end {
            self.place = Place::Reading(at + 1);
            self.taken_units += 1;
            return Some(Event::Unit(Arc::clone(view.ring.get(at))));
        }
        (view.closed && self.told == Told::Idle).then_some(Event::Closed)
    }

    /// If it was cut off and can go on, goes there and says what was lost.
    fn resume(&mut self, view: &View<'_>) -> Option<Loss> {
        let Place::CutOff { since, from } = self.place else { return None };
        let end = view.ring.end();
        let run_over = view.states.latest().tracks.is_none() || view.run_begin == end;
        let (position, to) = match view.ring.newest_group().filter(|&begin| begin >= since) {
            Some(begin) => (begin, Some(view.ring.get(begin).time)),
            None if run_over => (end, view.ring.newest_time()),
            None => return None,
        };
        self.place = Place::Reading(position);
        Some(Loss { units: position - since, from, to: to.unwrap_or(from) })
    }

    fn tell(&mut self, state: &State) -> Option<Event> {
        match (self.told, &state.tracks) {
            (Told::Live { serial, .. }, _) if serial == state.serial => None,
            (Told::Live { run, .. }, Some(_)) if run != state.run => {
                self.told = Told::Idle;
                Some(Event::Idle)
            }
            (Told::Live { .. }, None) => {
                self.told = Told::Idle;
                Some(Event::Idle)
            }
            (_, Some(tracks)) => {
                self.told = Told::Live { serial: state.serial, run: state.run };
                Some(Event::Live(Arc::clone(tracks)))
            }
            (Told::Idle, None) => None,
        }
    }
}
