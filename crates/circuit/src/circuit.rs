//! The core of one stream: ring, states, cursors and the control stream. Pure: it is told the time
//! and hands back the wakers to wake.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use pegasus_base::Time;
use pegasus_media::{Kind, TrackId, TrackSet, Unit};

use crate::cursor::{Cursor, View};
use crate::meter::Meter;
use crate::ring::{Position, Ring};
use crate::states::States;
use crate::{Command, Damage, Event, Limits, Mark, SinkStatus, Start};

/// Number of a sink in its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SinkId(u64);

/// The wakers of those for whom something has come. To be woken without holding a lock.
#[must_use]
#[derive(Default)]
pub(crate) struct Wake(Vec<Waker>);

impl Wake {
    /// Wakes them all.
    pub(crate) fn now(self) {
        self.0.into_iter().for_each(Waker::wake);
    }
}

struct SinkEntry {
    cursor: Cursor,
    label: String,
    mark: Option<Time>,
    waker: Option<Waker>,
}

/// One stream of a switch.
///
/// Source side: [`publish`](Self::publish), then any number of [`push`](Self::push) and
/// [`set_tracks`](Self::set_tracks), then [`leave`](Self::leave). Sink side:
/// [`attach`](Self::attach), then [`next`](Self::next), then [`detach`](Self::detach). `now` is any
/// clock that does not run backwards.
pub(crate) struct Circuit {
    limits: Limits,
    ring: Ring,
    states: States,
    sinks: BTreeMap<SinkId, SinkEntry>,
    next_sink: u64,
    publisher: Option<String>,
    /// Position of the present publisher's first unit.
    run_begin: Position,
    /// Whether the present publisher has sent a unit of its video track.
    video_seen: bool,
    since: Option<Time>,
    mark: Option<Mark>,
    commands: BTreeSet<Command>,
    command_waker: Option<Waker>,
    meter: Meter,
    /// Lost by sinks that have left.
    lost_units_past: u64,
    damage: Damage,
    closed: bool,
}

impl Circuit {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            ring: Ring::new(),
            states: States::new(),
            sinks: BTreeMap::new(),
            next_sink: 0,
            publisher: None,
            run_begin: 0,
            video_seen: false,
            since: None,
            mark: None,
            commands: BTreeSet::new(),
            command_waker: None,
            meter: Meter::default(),
            lost_units_past: 0,
            damage: Damage::default(),
            closed: false,
        }
    }

    pub(crate) fn publisher(&self) -> Option<&str> {
        self.publisher.as_deref()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Whether neither source nor sink is left.
    pub(crate) fn is_unused(&self) -> bool {
        self.publisher.is_none() && self.sinks.is_empty()
    }

    /// A publisher arrives. There must be none. Returns its number, for
    /// [`next_command`](Self::next_command).
    pub(crate) fn publish(&mut self, publisher: &str, tracks: TrackSet) -> (u64, Wake) {
        assert!(self.publisher.is_none(), "a stream has one publisher at a time");
        self.publisher = Some(publisher.to_owned());
        self.run_begin = self.ring.end();
        self.video_seen = false;
        self.since = None;
        self.mark = None;
        self.commands.clear();
        self.meter = Meter::default();
        self.states.live(self.ring.end(), tracks, true);
        (self.states.latest().run, self.wake_sinks())
    }

    /// The publisher's tracks change, for the units to come.
    pub(crate) fn set_tracks(&mut self, tracks: TrackSet) -> Wake {
        self.states.live(self.ring.end(), tracks, false);
        self.wake_sinks()
    }

    /// The publisher leaves.
    pub(crate) fn leave(&mut self) -> Wake {
        self.publisher = None;
        let end = self.ring.end();
        self.states.idle(end);
        self.sinks.values_mut().for_each(|entry| entry.cursor.may_begin(end));
        let mut wake = self.wake_sinks();
        wake.0.extend(self.command_waker.take());
        self.empty_if_idle();
        wake
    }

    /// Nothing will be published any more.
    pub(crate) fn close(&mut self) -> Wake {
        self.closed = true;
        if self.publisher.is_some() { self.leave() } else { self.wake_sinks() }
    }

    /// The publisher sends `units`.
    ///
    /// # Panics
    /// If a unit is of a track that was not announced.
    pub(crate) fn push(&mut self, units: impl IntoIterator<Item = Unit>, now: Duration) -> Wake {
        if self.publisher.is_none() {
            return Wake::default(); // closed under the source's feet
        }
        let mut group_began = false;
        for unit in units {
            let begins = self.begins_group(&unit);
            if begins {
                self.mark = Some(Mark { time: unit.time, position: self.ring.end() });
                group_began = true;
                let position = self.ring.end();
                self.sinks.values_mut().for_each(|entry| entry.cursor.may_begin(position));
            }
            self.since.get_or_insert(unit.time);
            self.meter.add(now, unit.data.len() as u64);
            self.ring.push(Arc::new(unit), begins, now);
        }
        self.shed(group_began, now);
        let mut wake = self.wake_sinks();
        if !self.commands.is_empty() {
            wake.0.extend(self.command_waker.take());
        }
        wake
    }

    /// The publisher tells what did not come to it.
    pub(crate) fn damaged(&mut self, damage: Damage) {
        self.damage += damage;
    }

    /// A sink arrives.
    pub(crate) fn attach(&mut self, start: Start) -> (SinkId, Wake) {
        let cursor = Cursor::new(start, &self.view());
        let wants = cursor.wants_group(&self.ring);
        let id = SinkId(self.next_sink);
        self.next_sink += 1;
        let entry = SinkEntry { cursor, label: String::new(), mark: None, waker: None };
        self.sinks.insert(id, entry);
        (id, if wants { self.command(Command::KeyUnit) } else { Wake::default() })
    }

    /// A sink leaves.
    pub(crate) fn detach(&mut self, id: SinkId) {
        if let Some(entry) = self.sinks.remove(&id) {
            self.lost_units_past += entry.cursor.lost_units;
        }
        self.empty_if_idle();
    }

    /// The next event for a sink. If there is none, `waker` is kept and woken when there may be.
    pub(crate) fn next(&mut self, id: SinkId, waker: Option<&Waker>) -> Option<Event> {
        let view = View::of(&self.ring, &self.states, self.run_begin, self.closed);
        let entry = self.sinks.get_mut(&id).expect("a sink is attached as long as it lives");
        let event = entry.cursor.next(&view);
        if event.is_none() {
            entry.waker = waker.cloned();
        }
        if matches!(event, None | Some(Event::Idle)) {
            self.empty_if_idle();
        }
        event
    }

    /// A sink asks something of the source. Repeated before the source has looked, it is one.
    pub(crate) fn command(&mut self, command: Command) -> Wake {
        if self.publisher.is_some() {
            self.commands.insert(command);
            return Wake(self.command_waker.take().into_iter().collect());
        }
        Wake::default()
    }

    /// The next command for the publisher with number `run`; `Ready(None)` if it has left.
    pub(crate) fn next_command(
        &mut self,
        run: u64,
        waker: Option<&Waker>,
    ) -> Poll<Option<Command>> {
        if self.publisher.is_none() || self.states.latest().run != run {
            return Poll::Ready(None);
        }
        let command = self.commands.pop_first();
        if command.is_none() {
            self.command_waker = waker.cloned();
            return Poll::Pending;
        }
        Poll::Ready(command)
    }

    pub(crate) fn set_label(&mut self, id: SinkId, label: String) {
        if let Some(entry) = self.sinks.get_mut(&id) {
            entry.label = label;
        }
    }

    /// A sink says up to when it is done with the stream.
    pub(crate) fn set_mark(&mut self, id: SinkId, mark: Time) {
        if let Some(entry) = self.sinks.get_mut(&id) {
            entry.mark = Some(mark);
        }
    }

    /// The marks of all groups held of the present publisher, oldest first.
    pub(crate) fn marks(&self) -> Vec<Mark> {
        self.ring
            .groups()
            .filter(|&begin| begin >= self.run_begin)
            .map(|position| Mark { time: self.ring.get(position).time, position })
            .collect()
    }

    pub(crate) fn sinks(&self) -> Vec<SinkStatus> {
        let end = self.ring.end();
        self.sinks
            .values()
            .map(|entry| SinkStatus {
                label: entry.label.clone(),
                units: entry.cursor.taken_units,
                lost_units: entry.cursor.lost_units,
                lag_units: entry.cursor.lag_units(end),
                mark: entry.mark,
            })
            .collect()
    }

    pub(crate) fn lost_units(&self) -> u64 {
        let present: u64 = self.sinks.values().map(|entry| entry.cursor.lost_units).sum();
        self.lost_units_past + present
    }

    pub(crate) fn damage(&self) -> Damage {
        self.damage
    }

    pub(crate) fn rate_bps(&mut self, now: Duration) -> u64 {
        self.meter.rate_bps(now)
    }

    pub(crate) fn tracks(&self) -> Option<&TrackSet> {
        self.states.latest().tracks.as_ref()
    }

    /// Number of units the stream has carried.
    pub(crate) fn units(&self) -> u64 {
        self.ring.end()
    }

    pub(crate) fn since(&self) -> Option<Time> {
        self.since
    }

    pub(crate) fn mark(&self) -> Option<Mark> {
        self.mark
    }

    fn view(&self) -> View<'_> {
        View::of(&self.ring, &self.states, self.run_begin, self.closed)
    }

    /// Whether `unit` begins a group: a publisher's first unit does, then each key unit of the first
    /// video track, or each unit if there is no video. The publisher's first picture does not: what
    /// sound came before it belongs to its group, so that a sink that joins then misses none.
    fn begins_group(&mut self, unit: &Unit) -> bool {
        let tracks = self.states.latest().tracks.as_ref().expect("a publisher has tracks");
        assert!(
            usize::from(unit.track.0) < tracks.len(),
            "track {} was not announced, only {} tracks were",
            unit.track.0,
            tracks.len()
        );
        let video = tracks.iter().position(|track| track.kind() == Kind::Video);
        let first_of_run = self.ring.end() == self.run_begin;
        let Some(video) = video else { return true };
        if unit.track != TrackId(video as u8) {
            return first_of_run;
        }
        let first_picture = !std::mem::replace(&mut self.video_seen, true);
        first_of_run || (unit.key && !first_picture)
    }

    /// The units held, for tests: the first's position and how many bytes they are.
    #[cfg(test)]
    pub(crate) fn held(&self) -> (Position, u64) {
        (self.ring.first(), self.ring.len_bytes())
    }

    /// Lets go of what the limits demand, and at the beginning of a group of what nobody needs.
    fn shed(&mut self, group_began: bool, now: Duration) {
        let mut upto = self.ring.crowded(&self.limits, now);
        if group_began {
            let end = self.ring.end();
            let needed = self.sinks.values().map(|entry| entry.cursor.needed(end)).min();
            upto = upto.max(self.ring.spare(needed.unwrap_or(end), &self.limits, now));
        }
        if upto == self.ring.first() {
            return;
        }
        for entry in self.sinks.values_mut() {
            entry.cursor.dropping_before(upto, &self.ring);
        }
        self.ring.drop_before(upto);
        self.states.forget_before(upto);
        if self.sinks.values().any(|entry| entry.cursor.wants_group(&self.ring)) {
            self.commands.insert(Command::KeyUnit);
        }
    }

    /// Gives the memory back once the publisher has left and every sink has taken the last unit.
    fn empty_if_idle(&mut self) {
        let end = self.ring.end();
        if self.publisher.is_none()
            && self.sinks.values().all(|entry| entry.cursor.lag_units(end) == 0)
        {
            self.ring.drop_before(end);
            self.states.forget_before(end);
        }
    }

    fn wake_sinks(&mut self) -> Wake {
        Wake(self.sinks.values_mut().filter_map(|entry| entry.waker.take()).collect())
    }
}
