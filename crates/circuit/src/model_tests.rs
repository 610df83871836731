//! The core against a model that remembers everything, under random histories.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use pegasus_base::Time;
use pegasus_media::{Codec, Shape, Track, TrackId, TrackSet, Unit};
use proptest::prelude::*;

use crate::circuit::{Circuit, SinkId};
use crate::{Command, Event, Limits, Start};

#[derive(Clone, Debug)]
enum Step {
    Publish(u8),
    SetTracks(u8),
    Leave,
    Push(Vec<(u8, bool, u16)>),
    Attach(Start),
    Detach(u8),
    Take(u8, u8),
    Pass(u16),
}

fn step() -> impl Strategy<Value = Step> {
    let unit = (0..3u8, prop::bool::weighted(0.15), 0..1_000u16);
    let start = prop_oneof![Just(Start::Now), Just(Start::KeyUnit), Just(Start::Held)];
    prop_oneof![
        2 => (0..3u8).prop_map(Step::Publish),
        1 => (0..3u8).prop_map(Step::SetTracks),
        1 => Just(Step::Leave),
        20 => prop::collection::vec(unit, 1..12).prop_map(Step::Push),
        4 => start.prop_map(Step::Attach),
        2 => any::<u8>().prop_map(Step::Detach),
        12 => (any::<u8>(), 1..40u8).prop_map(|(sink, count)| Step::Take(sink, count)),
        4 => (0..2_000u16).prop_map(Step::Pass),
    ]
}

/// Sound and pictures, sound alone, pictures alone; `salt` tells equal ones apart.
fn tracks(layout: u8, salt: usize) -> TrackSet {
    let codecs: &[Codec] = match layout {
        0 => &[Codec::Opus, Codec::H264, Codec::H264],
        1 => &[Codec::Aac],
        _ => &[Codec::H265],
    };
    let track = |(i, codec): (usize, &Codec)| Track {
        id: TrackId(i as u8),
        codec: *codec,
        clock_rate: 90_000,
        shape: Shape::Video { width: 0, height: 0 },
        config: Bytes::from(salt.to_string()),
    };
    codecs.iter().enumerate().map(track).collect()
}

/// A unit of the history and what the model knows of it.
struct Past {
    unit: Unit,
    run: usize,
    tracks: TrackSet,
    begins: bool,
    arrived: Duration,
}

/// What a sink has seen, checked as it goes.
struct Seen {
    position: usize,
    live: Option<TrackSet>,
    /// It waits for the first group at or after `position`.
    awaiting: bool,
    after_loss: bool,
    lost: u64,
}

struct Model {
    limits: Limits,
    core: Circuit,
    now: Duration,
    past: Vec<Past>,
    run: usize,
    live: Option<(u64, TrackSet)>,
    salt: usize,
    sinks: BTreeMap<SinkId, Seen>,
}

impl Model {
    fn new(limits: Limits) -> Self {
        Self {
            limits,
            core: Circuit::new(limits),
            now: Duration::ZERO,
            past: Vec::new(),
            run: 0,
            live: None,
            salt: 0,
            sinks: BTreeMap::new(),
        }
    }

    fn apply(&mut self, step: &Step) {
        match step {
            Step::Publish(layout) if self.live.is_none() => {
                self.run += 1;
                self.salt += 1;
                let set = tracks(*layout, self.salt);
                self.live = Some((self.core.publish("test", set.clone()).0, set));
            }
            Step::SetTracks(layout) if self.live.is_some() => {
                self.salt += 1;
                let set = tracks(*layout, self.salt);
                self.live.as_mut().unwrap().1 = set.clone();
                drop(self.core.set_tracks(set));
            }
            Step::Leave if self.live.is_some() => {
                self.live = None;
                drop(self.core.leave());
            }
            Step::Push(units) => self.push(units),
            Step::Attach(start) => self.attach(*start),
            Step::Detach(which) => {
                if let Some(id) = self.pick(*which) {
                    self.core.detach(id);
                    self.sinks.remove(&id);
                }
            }
            Step::Take(which, count) => {
                if let Some(id) = self.pick(*which) {
                    let _ = (0..*count).take_while(|_| self.take(id)).count();
                }
            }
            Step::Pass(ms) => self.now += Duration::from_millis((*ms).into()),
            Step::Publish(_) | Step::SetTracks(_) | Step::Leave => {}
        }
    }

    fn pick(&self, which: u8) -> Option<SinkId> {
        let count = self.sinks.len().max(1);
        self.sinks.keys().nth(usize::from(which) % count).copied()
    }

    fn push(&mut self, steps: &[(u8, bool, u16)]) {
        let Some((_, tracks)) = self.live.clone() else { return };
        let before = self.past.len();
        for &(track, key, len) in steps {
            let at = self.past.len() as i64;
            let unit = Unit {
                track: TrackId(track % tracks.len() as u8),
                pts: at,
                dts: at,
                time: Time::from_ms(at),
                duration: 0,
                key,
                data: Bytes::from(vec![at as u8; len.into()]),
            };
            let begins = self.begins(&unit, &tracks);
            let tracks = tracks.clone();
            let past = Past { unit, run: self.run, tracks, begins, arrived: self.now };
            self.past.push(past);
        }
        let held_before = self.core.held().0;
        let units: Vec<_> = self.past[before..].iter().map(|past| past.unit.clone()).collect();
        drop(self.core.push(units, self.now));
        for seen in self.sinks.values_mut().filter(|seen| seen.awaiting) {
            if let Some(begin) = (seen.position..self.past.len()).find(|&at| self.past[at].begins) {
                seen.position = begin;
                seen.awaiting = false;
            }
        }
        self.check_held(held_before);
    }

    /// The rule of groups, told from the whole history instead of a flag.
    fn begins(&self, unit: &Unit, tracks: &TrackSet) -> bool {
        let video =
            tracks.iter().find(|track| track.codec != Codec::Opus && track.codec != Codec::Aac);
        let mut run = self.past.iter().filter(|past| past.run == self.run).peekable();
        let Some(video) = video else { return true };
        if run.peek().is_none() {
            return true;
        }
        let is_video =
            |past: &Past| past.unit.track == first_video(&past.tracks).unwrap_or(TrackId(255));
        unit.track == video.id && unit.key && run.any(is_video)
    }

    /// What is held obeys the limits, and nothing that a sink needs went without need.
    fn check_held(&self, held_before: u64) {
        let (first, len_bytes) = self.core.held();
        let (first, end) = (first as usize, self.past.len());
        let limits = &self.limits;
        let sum = |range: std::ops::Range<usize>| -> u64 {
            self.past[range].iter().map(|past| past.unit.data.len() as u64).sum()
        };
        assert_eq!(len_bytes, sum(first..end));
        assert!(end - first <= limits.units_max);
        assert!(len_bytes <= limits.len_bytes_max || end - first == 1);
        let over = |first: usize| {
            end - first > limits.units
                || sum(first..end) > limits.len_bytes
                || (first < end && self.now - self.past[first].arrived > limits.span)
        };
        let groups = self.past[first..end].iter().filter(|past| past.begins).count();
        let cut = usize::from(first < end && !self.past[first].begins);
        assert!(!over(first) || groups + cut <= limits.whole_groups + 1, "{groups} groups held");
        let reading = self.sinks.values().filter(|seen| !seen.awaiting);
        if let Some(needed) = reading.map(|seen| seen.position).min()
            && (held_before as usize..first).contains(&needed)
        {
            assert!(over(held_before as usize), "unit {needed} went without need");
        }
    }

    fn attach(&mut self, start: Start) {
        let id = self.core.attach(start).0;
        let first = self.core.held().0 as usize;
        let (end, run) = (self.past.len(), self.run);
        let of_run = |at: &usize| self.past[*at].run == run && self.past[*at].begins;
        let begun = self.past.last().is_some_and(|past| past.run == run);
        let position = match start {
            _ if self.live.is_none() || !begun => Some(end),
            Start::Now => None,
            Start::KeyUnit => (first..end).rev().find(of_run),
            Start::Held => (first..end).find(of_run),
        };
        let seen = Seen {
            position: position.unwrap_or(end),
            live: None,
            awaiting: position.is_none(),
            after_loss: false,
            lost: 0,
        };
        if let Some((run, _)) = self.live
            && position.is_none()
        {
            assert_eq!(self.core.next_command(run, None), Poll::Ready(Some(Command::KeyUnit)));
        }
        self.sinks.insert(id, seen);
    }

    /// Takes one event and judges it. False if there was none.
    fn take(&mut self, id: SinkId) -> bool {
        let event = self.core.next(id, None);
        let seen = self.sinks.get_mut(&id).unwrap();
        match event {
            None => {
                let nothing_new = seen.position == self.past.len() || seen.awaiting || self.cut(id);
                assert!(nothing_new, "a sink is told to wait though there is a unit");
                return false;
            }
            Some(Event::Live(tracks)) => seen.live = Some(tracks),
            Some(Event::Idle) => {
                assert!(seen.live.take().is_some(), "idle only after live");
                seen.after_loss = false;
            }
            Some(Event::Lost(loss)) => {
                assert!(loss.units > 0);
                assert_eq!(loss.from, self.past[seen.position].unit.time);
                seen.position += loss.units as usize;
                seen.lost += loss.units;
                seen.after_loss = true;
                assert!(loss.to >= loss.from);
            }
            Some(Event::Unit(unit)) => self.take_unit(id, &unit),
            Some(Event::Closed) => panic!("nobody closed"),
        }
        true
    }

    fn take_unit(&mut self, id: SinkId, unit: &Arc<Unit>) {
        let seen = self.sinks.get_mut(&id).unwrap();
        let past = &self.past[seen.position];
        assert_eq!(past.unit, **unit, "units come in order, none twice, none missing");
        assert_eq!(seen.live.as_ref(), Some(&past.tracks), "the tracks told are the unit's");
        if std::mem::take(&mut seen.after_loss) {
            assert!(past.begins, "what follows a loss begins a group");
        }
        seen.position += 1;
    }

    /// Whether the sink was cut off, and no group to go on with is held.
    fn cut(&self, id: SinkId) -> bool {
        let (first, position) = (self.core.held().0 as usize, self.sinks[&id].position);
        position < first && !self.past[first..].iter().any(|past| past.begins)
    }

    /// Lets every sink take everything, then checks the accounts.
    fn drain(&mut self) {
        for id in self.sinks.keys().copied().collect::<Vec<_>>() {
            while self.take(id) {}
        }
        let core = self.core.sinks();
        for (seen, status) in self.sinks.values().zip(core) {
            assert_eq!(seen.lost, status.lost_units);
        }
    }
}

fn first_video(tracks: &TrackSet) -> Option<TrackId> {
    tracks.iter().find(|track| matches!(track.codec, Codec::H264 | Codec::H265)).map(|t| t.id)
}

fn small() -> Limits {
    Limits {
        units: 24,
        len_bytes: 12_000,
        span: Duration::from_secs(4),
        whole_groups: 2,
        units_max: 60,
        len_bytes_max: 20_000,
        hold: Duration::from_millis(500),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn slow_sinks_lose_whole_groups_and_the_accounts_hold(
        steps in prop::collection::vec(step(), 1..160),
    ) {
        let mut model = Model::new(small());
        steps.iter().for_each(|step| model.apply(step));
        model.drain();
    }

    #[test]
    fn within_the_limits_nothing_is_lost(steps in prop::collection::vec(step(), 1..160)) {
        let limits = Limits { span: Duration::MAX, ..Limits::default() };
        let mut model = Model::new(limits);
        steps.iter().for_each(|step| model.apply(step));
        model.drain();
        prop_assert_eq!(model.core.lost_units(), 0);
    }

    #[test]
    fn an_idle_stream_that_all_have_taken_holds_nothing(
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let mut model = Model::new(small());
        steps.iter().for_each(|step| model.apply(step));
        model.apply(&Step::Leave);
        model.drain();
        prop_assert_eq!(model.core.held(), (model.past.len() as u64, 0));
    }
}
