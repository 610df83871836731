//! Where one sink is in its stream, and what it is told next.

use std::sync::Arc;

use pegasus_base::Time;

use crate::ring::{Position, Ring};
use crate::states::{State, States};
use crate::{Event, Loss, Start};

/// A sink's place in the ring. It is either *reading* at a position that is held, or *seeking* the
/// beginning of a group.
#[derive(Debug)]
pub(crate) struct Cursor {
    position: Position,
    seek: Option<Seek>,
    told: Told,
    pub(crate) taken_units: u64,
    pub(crate) lost_units: u64,
}

#[derive(Debug, Clone, Copy)]
struct Seek {
    /// Groups that begin before this are not wanted.
    since: Position,
    /// Capture time of the unit at `since`, if what is skipped counts as lost.
    lost_from: Option<Time>,
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
        Self {
            position: found.unwrap_or(end),
            seek: found.is_none().then_some(Seek { since: end, lost_from: None }),
            told: Told::Idle,
            taken_units: 0,
            lost_units: 0,
        }
    }

    /// The oldest unit this cursor still needs.
    pub(crate) fn needed(&self, end: Position) -> Position {
        if self.seek.is_some() { end } else { self.position }
    }

    /// Whether it waits for a group that has not begun yet.
    pub(crate) fn wants_group(&self, ring: &Ring) -> bool {
        self.seek.is_some_and(|seek| ring.group_from(seek.since).is_none())
    }

    /// Units that are behind the cursor's back: still to be taken or to be skipped.
    pub(crate) fn lag_units(&self, end: Position) -> u64 {
        end - self.seek.map_or(self.position, |seek| seek.since)
    }

    /// Tells the cursor that units before `upto` are about to leave the ring.
    pub(crate) fn dropping_before(&mut self, upto: Position, ring: &Ring) {
        if self.seek.is_none() && self.position < upto {
            let lost_from = Some(ring.get(self.position).time);
            self.seek = Some(Seek { since: self.position, lost_from });
        }
    }

    /// The next event, or `None` if there is nothing yet.
    pub(crate) fn next(&mut self, view: &View<'_>) -> Option<Event> {
        if let Some(loss) = self.settle(view) {
            self.lost_units += loss.units;
            return Some(Event::Lost(loss));
        }
        let end = view.ring.end();
        let at = if self.seek.is_some() { end } else { self.position };
        if let Some(event) = self.tell(view.states.at(at)) {
            return Some(event);
        }
        if self.seek.is_none() && self.position < end {
            let unit = Arc::clone(view.ring.get(self.position));
            self.position += 1;
            self.taken_units += 1;
            return Some(Event::Unit(unit));
        }
        (view.closed && self.told == Told::Idle).then_some(Event::Closed)
    }

    /// Ends a seek if it can end; says what was lost by it.
    fn settle(&mut self, view: &View<'_>) -> Option<Loss> {
        let seek = self.seek?;
        let end = view.ring.end();
        let run_over = view.states.latest().tracks.is_none() || view.run_begin == end;
        let (target, to) = match view.ring.newest_group().filter(|&begin| begin >= seek.since) {
            Some(begin) => (begin, Some(view.ring.get(begin).time)),
            None if run_over => (end, view.ring.newest_time()),
            None => return None,
        };
        self.seek = None;
        self.position = target;
        let from = seek.lost_from?;
        let units = target - seek.since;
        (units > 0).then(|| Loss { units, from, to: to.unwrap_or(from) })
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
