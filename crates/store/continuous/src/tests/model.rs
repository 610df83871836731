//! What a reader must yield, worked out from a plain list of units.

use pegasus_base::Time;
use pegasus_media::{TrackId, TrackSet, Unit};

use crate::Item;
use crate::sample;

/// The spans of a stream, each with its units in the order they were recorded.
pub(super) struct Model {
    pub(super) spans: Vec<Vec<Unit>>,
}

/// Steps of the camera in [`sample`]; its last picture lasts so long.
const PICTURE_MS: i64 = 40;
const SOUND_MS: i64 = 20;
const PICTURES: TrackId = TrackId(0);

pub(super) fn end_of(unit: &Unit) -> Time {
    let ms = if unit.track == PICTURES { PICTURE_MS } else { SOUND_MS };
    unit.time.offset_ns(ms * 1_000_000)
}

impl Model {
    pub(super) fn bounds(&self) -> Vec<(Time, Time)> {
        let bounds = |span: &Vec<Unit>| {
            let start = span.iter().map(|unit| unit.time).min().unwrap();
            (start, span.iter().map(end_of).max().unwrap())
        };
        self.spans.iter().map(bounds).collect()
    }

    /// All items from `from` on; ends each track before what is decoded at `until`.
    pub(super) fn read(&self, from: Time, until: Option<Time>) -> Vec<Item> {
        let tracks = sample::tracks();
        let bounds = self.bounds();
        let Some(first) = bounds.iter().position(|&(_, end)| end > from) else {
            return Vec::new();
        };
        let mut items = Vec::new();
        let mut last_end = None;
        for (span, &(start, end)) in self.spans.iter().zip(&bounds).skip(first) {
            let shown: Vec<&Unit> = if last_end.is_none() {
                begin(span, from.max(start))
            } else {
                span.iter().collect()
            };
            let mut shown =
                shown.into_iter().filter(|unit| before(unit, until, &tracks)).peekable();
            if shown.peek().is_some() {
                match last_end {
                    None => items.push(Item::Tracks(tracks.clone())),
                    Some(from) => items.push(Item::Gap { from, to: start }),
                }
            }
            items.extend(shown.cloned().map(Item::Unit));
            last_end = Some(end);
        }
        items
    }
}

/// The units of `span` from the key unit at or before `at`.
fn begin(span: &[Unit], at: Time) -> Vec<&Unit> {
    let is_key = |unit: &Unit| unit.track == PICTURES && unit.key;
    match span.iter().rposition(|unit| is_key(unit) && unit.time <= at) {
        Some(key) => {
            let time = span[key].time;
            let shown = |(i, unit): (usize, &Unit)| {
                unit.time >= time && (unit.track != PICTURES || i >= key)
            };
            span.iter().enumerate().filter(|&(i, unit)| shown((i, unit))).map(|(_, u)| u).collect()
        }
        None => {
            let key = span.iter().position(is_key).unwrap_or(span.len());
            let shown = |i: usize, unit: &Unit| match unit.track {
                PICTURES => i >= key,
                _ => unit.time >= at,
            };
            span.iter().enumerate().filter(|&(i, u)| shown(i, u)).map(|(_, u)| u).collect()
        }
    }
}

fn before(unit: &Unit, until: Option<Time>, tracks: &TrackSet) -> bool {
    let track = &tracks[usize::from(unit.track.0)];
    let decoded = unit.time.offset_ns(-track.ticks_to_ns(unit.pts - unit.dts));
    until.is_none_or(|until| decoded < until)
}
