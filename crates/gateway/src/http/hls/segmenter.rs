//! Cuts a live stream into segments and parts. Pure: what the circuit yields goes in, the
//! [`Window`] changes.
//!
//! A segment begins at a key unit of the leading track once the one before has lasted
//! [`SEGMENT_NS`]; a part ends before the unit that would make it longer than [`PART_NS`]. Durations
//! are those of the leading track's decode times, so they add up exactly. Every interruption - a
//! loss, another publisher, other tracks, a jump of the time stamps - begins a segment with a
//! discontinuity.

use std::sync::Arc;

use bytes::Bytes;
use pegasus_circuit::Event;
use pegasus_media::mp4::{Fragment, Fragmenter, init_segment};
use pegasus_media::{TrackSet, Unit};

use super::window::{Init, Part, Segment, Window};
use crate::http::playable::Playable;

/// How long a segment lasts at least, but for interruptions.
pub(crate) const SEGMENT_NS: u64 = 2_000_000_000;
/// How long a part lasts at most, unless the source's pictures are further apart.
pub(crate) const PART_NS: u64 = 500_000_000;
/// Complete segments held.
const SEGMENTS_KEPT: usize = 8;
/// A step of the decode times beyond which the time stamps jumped.
const JUMP_NS: i64 = 5_000_000_000;
/// Media time at the origin's capture time is 0; reordered pictures are decoded before they are
/// shown, so the origin lies this far before the first unit.
const LEAD_NS: i64 = 1_000_000_000;

/// Cuts one stream.
#[derive(Debug, Default)]
pub(crate) struct Segmenter {
    window: Window,
    tracks: Option<Playable>,
    run: Option<Run>,
    /// The next segment does not go on from the one before.
    interrupted: bool,
}

/// What is being cut.
#[derive(Debug)]
struct Run {
    fragmenter: Fragmenter,
    /// Decode time of the part's first unit of the leading track, in ticks.
    part_start: i64,
    /// Decode time of the newest unit of the leading track, in ticks.
    last: i64,
    /// Ticks between the last two.
    step: i64,
    independent: bool,
}

impl Segmenter {
    pub(crate) fn window(&self) -> &Window {
        &self.window
    }

    /// Takes what a sink yields, in order. True if the playlist has changed.
    pub(crate) fn handle(&mut self, event: &Event) -> bool {
        match event {
            Event::Live(tracks) => self.set_tracks(tracks),
            Event::Unit(unit) => self.unit(unit),
            Event::Lost(_) | Event::Idle => self.interrupt(),
            Event::Closed => self.end(),
        }
    }

    /// Nothing more will come.
    pub(crate) fn end(&mut self) -> bool {
        self.interrupt();
        !std::mem::replace(&mut self.window.ended, true)
    }

    fn set_tracks(&mut self, tracks: &TrackSet) -> bool {
        self.window.ended = false;
        let tracks = Playable::of(tracks).ok();
        if tracks == self.tracks {
            return false;
        }
        let changed = self.interrupt();
        self.tracks = tracks;
        changed
    }

    fn interrupt(&mut self) -> bool {
        let Some(mut run) = self.run.take() else { return false };
        let end = run.last.saturating_add(run.step.max(1));
        self.close_part(&mut run, end);
        self.complete();
        self.interrupted = true;
        true
    }

    fn unit(&mut self, unit: &Arc<Unit>) -> bool {
        let Some(tracks) = &self.tracks else { return false };
        if !tracks.has(unit.track) {
            return false;
        }
        let leads = unit.track == tracks.leading;
        let mut changed = leads && self.jumped(unit) && self.interrupt();
        if self.run.is_none() {
            if !leads || !unit.key || !self.begin(unit) {
                return changed;
            }
            changed = true;
        } else if leads {
            changed |= self.cut(unit);
        }
        let run = self.run.as_mut().expect("begun above");
        // A unit too large for any fragment is left out, as are all of its kind before the next cut.
        let _ = run.fragmenter.push(unit);
        changed
    }

    fn jumped(&self, unit: &Unit) -> bool {
        let Some((run, tracks)) = self.run.as_ref().zip(self.tracks.as_ref()) else { return false };
        let step_ns = tracks.leading().ticks_to_ns(unit.dts.saturating_sub(run.last));
        !(0..=JUMP_NS).contains(&step_ns)
    }

    /// Begins a run at a key unit of the leading track. False if the tracks can't be described.
    fn begin(&mut self, unit: &Unit) -> bool {
        let Some(tracks) = &self.tracks else { return false };
        let known = self.window.inits.back().filter(|init| init.playable == *tracks);
        let init = match known {
            Some(init) => init.number,
            None => {
                let Ok(bytes) = init_segment(&tracks.tracks) else { return false };
                let number = self.window.inits.back().map_or(0, |init| init.number + 1);
                let playable = tracks.clone();
                self.window.inits.push_back(Init { number, playable, bytes });
                number
            }
        };
        let fragmenter = Fragmenter::new(&tracks.tracks, unit.time.offset_ns(-LEAD_NS));
        let (part_start, last) = (unit.dts, unit.dts);
        self.run = Some(Run { fragmenter, part_start, last, step: 0, independent: true });
        self.open(unit, init);
        true
    }

    /// Begins a segment at `unit`.
    fn open(&mut self, unit: &Unit, init: u64) {
        // Numbers begin at the seconds of the clock: whoever goes on after a restart of this
        // segmenter never sees them go back, as a segment rarely lasts less than a second.
        let first = u64::try_from(unit.time.as_ns() / 1_000_000_000).unwrap_or(0);
        let number = self.window.growing().unwrap_or(first);
        let discontinuity = std::mem::take(&mut self.interrupted);
        let (parts, complete) = (Vec::new(), false);
        let start = unit.time;
        self.window.segments.push_back(Segment {
            number,
            start,
            discontinuity,
            init,
            parts,
            complete,
        });
    }

    /// Ends the part, and the segment, that `unit` of the leading track does not belong to any more.
    fn cut(&mut self, unit: &Unit) -> bool {
        let mut run = self.run.take().expect("only called within a run");
        let leading = self.tracks.as_ref().expect("a run has tracks").leading();
        let ns = |ticks: i64| u64::try_from(leading.ticks_to_ns(ticks)).unwrap_or(0);
        run.step = unit.dts.saturating_sub(run.last);
        run.last = unit.dts;
        let part_ns = ns(unit.dts - run.part_start);
        let with_unit_ns = part_ns + ns(run.step);
        let segment = self.window.segments.back().expect("a run has a segment");
        let (init, so_far_ns) = (segment.init, segment.duration_ns());
        let new_segment = unit.key && so_far_ns + part_ns >= SEGMENT_NS;
        let changed = new_segment || with_unit_ns > PART_NS;
        if changed {
            self.close_part(&mut run, unit.dts);
            run.independent = unit.key;
        }
        if new_segment {
            self.complete();
            self.open(unit, init);
        }
        self.run = Some(run);
        changed
    }

    /// Ends the part before decode time `end`.
    fn close_part(&mut self, run: &mut Run, end: i64) {
        let leading = self.tracks.as_ref().expect("a run has tracks").leading();
        let duration_ns = leading.ticks_to_ns(end.saturating_sub(run.part_start));
        let duration_ns = u64::try_from(duration_ns).unwrap_or(0);
        run.part_start = end;
        let Ok(Some(fragment)) = run.fragmenter.flush() else { return };
        let part = Part { duration_ns, independent: run.independent, chunks: chunks(fragment) };
        let segment = self.window.segments.back_mut().expect("a run has a segment");
        segment.parts.push(part);
        self.window.longest_part_ns = self.window.longest_part_ns.max(duration_ns);
    }

    fn complete(&mut self) {
        let segment = self.window.segments.back_mut().expect("a run has a segment");
        if segment.parts.is_empty() {
            let gone = self.window.segments.pop_back().expect("looked at above");
            self.interrupted |= gone.discontinuity;
            return;
        }
        segment.complete = true;
        self.window.longest_ns = self.window.longest_ns.max(segment.duration_ns());
        self.window.trim(SEGMENTS_KEPT);
    }
}

fn chunks(fragment: Fragment) -> Vec<Bytes> {
    let mut chunks = Vec::with_capacity(1 + fragment.data.len());
    chunks.push(fragment.head);
    chunks.extend(fragment.data);
    chunks
}

#[cfg(test)]
mod tests {
    use pegasus_base::Time;
    use pegasus_circuit::Loss;

    use super::*;
    use crate::http::testing::{aac, h264, mjpeg, picture, sound};

    const START: Time = Time::from_secs(1_000);

    /// Pictures `from..to` with a key unit every `group`.
    fn pictures(segmenter: &mut Segmenter, from: i64, to: i64, group: i64) {
        for n in from..to {
            segmenter.handle(&Event::Unit(Arc::new(picture(0, n, n % group == 0, START))));
        }
    }

    fn live() -> Segmenter {
        let mut segmenter = Segmenter::default();
        segmenter.handle(&Event::Live(vec![h264(0)].into()));
        segmenter
    }

    #[test]
    fn segments_begin_at_key_units_and_parts_fit() {
        let mut segmenter = live();
        pictures(&mut segmenter, 3, 25 * 21, 25); // begins within a group
        let window = segmenter.window();
        assert_eq!(window.segments.len(), SEGMENTS_KEPT + 1);
        for segment in window.segments.iter().filter(|segment| segment.complete) {
            assert_eq!(segment.duration_ns(), SEGMENT_NS);
            assert!(!segment.discontinuity);
            let lengths: Vec<_> = segment.parts.iter().map(|p| p.duration_ns / 1_000_000).collect();
            assert_eq!(lengths, [480, 480, 480, 480, 80], "all but the last nearly full");
            let independent: Vec<_> = segment.parts.iter().map(|p| p.independent).collect();
            assert_eq!(independent, [true, false, false, false, false]);
        }
        let numbers: Vec<_> = window.segments.iter().map(|segment| segment.number).collect();
        assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{numbers:?}");
        let first = &window.segments[0];
        assert_eq!(
            first.start,
            START.offset_ns(40_000_000 * 25 * (1 + 2 * (first.number as i64 - 1_001)))
        );
    }

    #[test]
    fn no_picture_is_lost_or_doubled() {
        let mut segmenter = live();
        pictures(&mut segmenter, 0, 250, 25);
        segmenter.handle(&Event::Idle);
        let window = segmenter.window();
        let media: Vec<u8> = window
            .segments
            .iter()
            .flat_map(|segment| &segment.parts)
            .flat_map(|part| part.chunks[1..].iter().map(|data| data[0]))
            .collect();
        assert_eq!(media, (0..250).map(|n| n as u8).collect::<Vec<_>>());
        assert!(window.segments.iter().all(|segment| segment.complete));
    }

    #[test]
    fn an_interruption_is_a_discontinuity() {
        let mut segmenter = live();
        pictures(&mut segmenter, 0, 60, 25);
        let loss = Loss { units: 15, from: START, to: START };
        segmenter.handle(&Event::Lost(loss));
        pictures(&mut segmenter, 75, 80, 25);
        let window = segmenter.window();
        let cuts: Vec<_> = window.segments.iter().map(|s| (s.discontinuity, s.complete)).collect();
        assert_eq!(cuts, [(false, true), (false, true), (true, false)]);
        assert_eq!(window.segments[1].duration_ns(), 400_000_000, "ten pictures behind the second");
    }

    #[test]
    fn other_tracks_are_another_initialisation() {
        let mut segmenter = live();
        pictures(&mut segmenter, 0, 30, 25);
        segmenter.handle(&Event::Live(vec![h264(0)].into())); // the same again
        assert_eq!(segmenter.window().segments.len(), 1);
        segmenter.handle(&Event::Live(vec![h264(0), aac(1)].into()));
        pictures(&mut segmenter, 50, 55, 25);
        let inits: Vec<_> = segmenter.window().segments.iter().map(|s| s.init).collect();
        assert_eq!(inits, [0, 1]);
        segmenter.handle(&Event::Live(vec![mjpeg(0)].into()));
        assert!(!segmenter.handle(&Event::Unit(Arc::new(picture(0, 75, true, START)))));
    }

    #[test]
    fn jumping_time_stamps_do_not_make_hours() {
        let mut segmenter = live();
        pictures(&mut segmenter, 0, 10, 25);
        let mut unit = picture(0, 25, true, START);
        unit.dts += 90_000 * 3_600;
        unit.pts = unit.dts;
        segmenter.handle(&Event::Unit(Arc::new(unit)));
        let window = segmenter.window();
        assert_eq!(window.segments.len(), 2);
        assert_eq!(window.longest_ns, 400_000_000);
        assert!(window.segments[1].discontinuity);
    }

    #[test]
    fn sound_alone_is_cut_as_well() {
        let mut segmenter = Segmenter::default();
        segmenter.handle(&Event::Live(vec![aac(0)].into()));
        for n in 0..300 {
            segmenter.handle(&Event::Unit(Arc::new(sound(0, n, START))));
        }
        let first = &segmenter.window().segments[0];
        assert!(
            first.complete && (SEGMENT_NS..SEGMENT_NS + 22_000_000).contains(&first.duration_ns())
        );
        assert!(first.parts.iter().all(|part| part.duration_ns <= PART_NS && part.independent));
    }

    #[test]
    fn what_leaves_the_window_is_counted() {
        let mut segmenter = live();
        for run in 0..SEGMENTS_KEPT as i64 + 3 {
            pictures(&mut segmenter, run * 50, run * 50 + 30, 25);
            segmenter.handle(&Event::Idle);
        }
        let window = segmenter.window();
        assert_eq!(window.segments.len(), SEGMENTS_KEPT);
        assert_eq!(window.discontinuities, 2, "the first segment of all is none");
    }
}
