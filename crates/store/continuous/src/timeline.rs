//! The time line of one stream: which span a unit belongs to, and whether it may be recorded at all.
//!
//! Pure. The rules, with the reasons in `docs/design/recording.md`:
//! - Spans lie one behind the other and never overlap: the time line is monotonic.
//! - A span ends where nothing was captured for longer than [`GAP_NS`] and three usual steps, where the
//!   recorder says that something is missing, and where time jumps back by more than
//!   [`REORDER_NS`].
//! - After something went missing, the units of a picture track are left out up to its next key unit.
//! - A span whose times would begin before the end of the one before, or lie in the future, is shifted as
//!   a whole, so that nothing is lost or overwritten when a clock is wrong.

use pegasus_base::Time;
use pegasus_media::{Kind, TrackSet, Unit};

use crate::format::block::{SpanHead, Totals};

/// Longest pause within a span, unless units usually lie further apart.
pub(crate) const GAP_NS: i64 = 1_500_000_000;
/// How far a unit's time may lie before that of a unit recorded earlier on its track: more than any
/// reordering of pictures.
pub(crate) const REORDER_NS: i64 = 2_000_000_000;
/// How far in the future a span may begin.
const FUTURE_NS: i64 = 10_000_000_000;
/// Where a shifted span begins behind the one before.
const SHIFTED_NS: i64 = 1_000_000_000;
/// What a unit lasts at least: a span of a single picture has an instant from which it can be read.
const LASTS_NS_LEAST: i64 = 1_000_000;
/// Longest step between units that is taken for usual.
const STEP_NS_MAX: i64 = 60_000_000_000;

/// What is to be done with a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Record it, at this time; it lasts until `end`. `fresh`: it begins a new span.
    Record { time: Time, end: Time, fresh: bool },
    /// Leave it out: no key unit of its track has come since something went missing.
    AwaitKey,
    /// Leave it out: its time lies before the end of the span before.
    Late,
}

#[derive(Debug, Clone, Copy, Default)]
struct TrackState {
    /// Whether units are left out until a key unit comes.
    awaits_key: bool,
    last_dts: Option<i64>,
    greatest: Option<Time>,
    /// Distance of the last two units in decode order.
    step_ns: i64,
}

/// The span that is growing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OpenSpan {
    pub(crate) head: SpanHead,
    /// End of its last unit.
    pub(crate) end: Time,
    /// Added to the times of all its units.
    shift_ns: i64,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Timeline {
    tracks: TrackSet,
    states: Vec<TrackState>,
    span: Option<OpenSpan>,
    /// End of everything recorded of the stream before the span.
    floor: Option<Time>,
    serial: u64,
    totals: Totals,
    shifted: bool,
}

impl Timeline {
    /// Goes on behind what is recorded: up to `end` in spans numbered up to `serial`.
    pub(crate) fn new(end: Option<Time>, serial: u64, totals: Totals) -> Self {
        Self {
            tracks: TrackSet::from([]),
            states: Vec::new(),
            span: None,
            floor: end,
            serial,
            totals,
            shifted: false,
        }
    }

    /// The tracks of the units that follow.
    pub(crate) fn set_tracks(&mut self, tracks: TrackSet) {
        let same = |(old, new): (&pegasus_media::Track, &pegasus_media::Track)| {
            old.codec == new.codec && old.clock_rate == new.clock_rate
        };
        if self.tracks.len() != tracks.len() || !self.tracks.iter().zip(&*tracks).all(same) {
            let fresh = |track: &pegasus_media::Track| TrackState {
                awaits_key: track.kind() == Kind::Video,
                ..TrackState::default()
            };
            self.states = tracks.iter().map(fresh).collect();
        }
        self.tracks = tracks;
    }

    /// Something is missing here: the next unit begins a new span.
    pub(crate) fn gap(&mut self) {
        self.close();
        for (state, track) in self.states.iter_mut().zip(&*self.tracks) {
            *state = TrackState {
                awaits_key: track.kind() == Kind::Video,
                step_ns: state.step_ns,
                ..TrackState::default()
            };
        }
    }

    /// Judges `unit`, which arrived at about `now`.
    ///
    /// # Panics
    /// If it names a track that is not there.
    pub(crate) fn accept(&mut self, unit: &Unit, now: Time) -> Verdict {
        let index = usize::from(unit.track.0);
        assert!(index < self.states.len(), "the queue lets only units of known tracks through");
        if self.states[index].awaits_key && !unit.key {
            return Verdict::AwaitKey;
        }
        if self.breaks(unit) {
            self.close();
        }
        let (mut span, fresh) = match self.span {
            Some(span) => (span, false),
            None => (self.open(unit.time, now), true),
        };
        let time = unit.time.offset_ns(span.shift_ns);
        if self.floor.is_some_and(|floor| time < floor) {
            return Verdict::Late;
        }
        if fresh {
            self.serial += 1;
            self.shifted = span.shift_ns != 0;
            self.states.iter_mut().for_each(|state| state.greatest = None);
        }
        let end = self.learn(unit, time);
        span.head.start = span.head.start.min(time);
        span.end = span.end.max(end);
        self.span = Some(span);
        self.totals = self.totals.plus(1, unit.data.len() as u64);
        Verdict::Record { time, end, fresh }
    }

    /// The span that is growing.
    pub(crate) fn span(&self) -> Option<&OpenSpan> {
        self.span.as_ref()
    }

    /// Units and bytes recorded so far.
    pub(crate) fn totals(&self) -> Totals {
        self.totals
    }

    /// Whether the current span's times were shifted.
    pub(crate) fn shifted(&self) -> bool {
        self.shifted
    }

    /// The usual step between units: that of the fastest track.
    fn step_ns(&self) -> i64 {
        self.states.iter().map(|state| state.step_ns).filter(|&step| step > 0).min().unwrap_or(0)
    }

    fn breaks(&self, unit: &Unit) -> bool {
        let Some(span) = &self.span else { return false };
        let time = unit.time.offset_ns(span.shift_ns);
        let pause_ns = time.ns_since(span.end);
        let back_ns = self.states[usize::from(unit.track.0)]
            .greatest
            .map_or(0, |greatest| greatest.ns_since(time));
        pause_ns > GAP_NS.max(self.step_ns().saturating_mul(3)) || back_ns > REORDER_NS
    }

    fn close(&mut self) {
        if let Some(span) = self.span.take() {
            self.floor = self.floor.max(Some(span.end));
        }
    }

    fn open(&self, time: Time, now: Time) -> OpenSpan {
        let mut start = time;
        if start.ns_since(now) > FUTURE_NS {
            start = now;
        }
        if let Some(floor) = self.floor
            && floor.ns_since(start) > REORDER_NS
        {
            start = floor.offset_ns(SHIFTED_NS);
        }
        OpenSpan {
            head: SpanHead { serial: self.serial + 1, start, before: self.totals },
            end: start,
            shift_ns: start.ns_since(time),
        }
    }

    /// Remembers what the next unit is measured against; returns the end of this one.
    fn learn(&mut self, unit: &Unit, time: Time) -> Time {
        let index = usize::from(unit.track.0);
        let track = &self.tracks[index];
        let state = &mut self.states[index];
        state.awaits_key = false;
        if let Some(last) = state.last_dts.replace(unit.dts) {
            let step_ns = track.ticks_to_ns(unit.dts.saturating_sub(last));
            if step_ns > 0 {
                state.step_ns = step_ns.min(STEP_NS_MAX);
            }
        }
        state.greatest = state.greatest.max(Some(time));
        let lasts_ns = match unit.duration {
            // A picture lasts until the next; how long that is, the last two tell.
            0 => state.step_ns.min(GAP_NS),
            // Believed only as far as it can't move the end of the span far ahead of its units.
            ticks => track.ticks_to_ns(i64::from(ticks)).min(state.step_ns.max(GAP_NS)),
        };
        time.offset_ns(lasts_ns.max(LASTS_NS_LEAST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    fn started(end: Option<Time>) -> Timeline {
        let mut timeline = Timeline::new(end, 0, Totals::default());
        timeline.set_tracks(sample::tracks());
        timeline
    }

    fn fresh(verdict: Verdict) -> bool {
        match verdict {
            Verdict::Record { fresh, .. } => fresh,
            other => panic!("not recorded: {other:?}"),
        }
    }

    #[test]
    fn a_single_picture_is_a_span() {
        let mut timeline = started(None);
        match timeline.accept(&sample::picture(0, true, 10), sample::now()) {
            Verdict::Record { time, end, fresh } => assert!(fresh && end > time),
            other => panic!("not recorded: {other:?}"),
        }
    }

    #[test]
    fn a_pause_begins_a_span_unless_it_is_usual() {
        let mut timeline = started(None);
        let picture = |at_ms| sample::picture(at_ms, true, 10);
        assert!(fresh(timeline.accept(&picture(0), sample::now())));
        assert!(!fresh(timeline.accept(&picture(1_000), sample::now())));
        // Three seconds are three usual steps of this slow camera.
        assert!(!fresh(timeline.accept(&picture(4_900), sample::now())));
        assert!(fresh(timeline.accept(&picture(30_000), sample::now())));
    }

    #[test]
    fn after_a_loss_pictures_wait_for_a_key_but_sound_goes_on() {
        let mut timeline = started(None);
        assert!(fresh(timeline.accept(&sample::sound(0, 1), sample::now())));
        let early = timeline.accept(&sample::picture(10, false, 1), sample::now());
        assert_eq!(early, Verdict::AwaitKey);
        assert!(!fresh(timeline.accept(&sample::picture(20, true, 1), sample::now())));
        timeline.gap();
        let broken = timeline.accept(&sample::picture(60, false, 1), sample::now());
        assert_eq!(broken, Verdict::AwaitKey);
        assert!(fresh(timeline.accept(&sample::sound(80, 1), sample::now())));
        assert!(!fresh(timeline.accept(&sample::picture(100, true, 1), sample::now())));
    }

    #[test]
    fn a_clock_set_back_shifts_the_span_behind_the_last() {
        let end = sample::at(60_000);
        let mut timeline = started(Some(end));
        let first = timeline.accept(&sample::picture(0, true, 1), sample::now());
        assert!(matches!(first, Verdict::Record { time, .. } if time == sample::at(61_000)));
        let next = timeline.accept(&sample::picture(40, false, 1), sample::now());
        assert!(matches!(next, Verdict::Record { time, .. } if time == sample::at(61_040)));
        assert!(timeline.shifted());
        // Once its clock is right again, times are taken as they are.
        let right = timeline.accept(&sample::picture(90_000, false, 1), sample::now());
        assert!(matches!(right, Verdict::Record { time, fresh: true, .. }
            if time == sample::at(90_000)));
    }

    #[test]
    fn a_unit_of_the_far_future_is_brought_to_the_present() {
        let mut timeline = started(None);
        let far = sample::now().ns_since(sample::at(0)) / 1_000_000 + 3_600_000;
        let verdict = timeline.accept(&sample::picture(far, true, 1), sample::now());
        assert!(matches!(verdict, Verdict::Record { time, .. } if time == sample::now()));
    }

    #[test]
    fn a_small_overlap_with_the_span_before_is_dropped() {
        let mut timeline = started(Some(sample::at(1_000)));
        let early = timeline.accept(&sample::sound(990, 1), sample::now());
        assert_eq!(early, Verdict::Late);
        assert!(fresh(timeline.accept(&sample::sound(1_010, 1), sample::now())));
    }

    #[test]
    fn a_long_duration_is_not_believed() {
        let mut timeline = started(None);
        let mut unit = sample::sound(0, 1);
        unit.duration = u32::MAX;
        timeline.accept(&unit, sample::now());
        assert_eq!(timeline.span().unwrap().end, sample::at(1_500));
    }

    #[test]
    fn reordered_pictures_stay_in_their_span() {
        let mut timeline = started(None);
        for (at_ms, key) in [(0, true), (160, false), (40, false), (80, false), (120, false)] {
            let first = at_ms == 0;
            let verdict = timeline.accept(&sample::picture(at_ms, key, 1), sample::now());
            assert_eq!(fresh(verdict), first);
        }
        assert!(fresh(timeline.accept(&sample::picture(-5_000, true, 1), sample::now())));
    }
}
