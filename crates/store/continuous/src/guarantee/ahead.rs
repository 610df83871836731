//! What is to come of a recording, from its directory and its indexes.

use pegasus_base::Time;
use pegasus_disk::SECTOR;

use super::aside::Glance;
use super::curve::{Curve, Part};
use super::stock::on_disk;
use crate::error::Error;
use crate::format::segment::State;
use crate::format::span::SpanRecord;
use crate::locate::{Entries, Finder, Place, Reach};

/// Segments looked at block by block; those behind are told by their totals, as reading all indexes of a day takes seconds.
const NEAR: u64 = 6;
/// Segments looked at at most: what is behind is taken to be like what is before.
const SEGMENTS_MAX: u64 = 20_000;
/// What a block takes beyond its media: its head and table, as a share of them.
const OVERHEAD: u64 = 32;
/// Segments brought back for a playback before it begins; what is behind comes while it is shown.
const OUT_MAX: usize = 256;
/// In how many parts a segment is thought of that comes from the tier.
const TIER_PARTS: u64 = 16;

/// What is known of a recording from a place on.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    pub(crate) curve: Curve,
    /// Bytes of the greatest block that was seen.
    pub(crate) largest: u64,
    /// On how many disks its blocks lie, parity apart; the fewest.
    pub(crate) width: u64,
    /// Whether it goes on being recorded.
    pub(crate) grows: bool,
    /// How long its bytes take, as a part of what they would in the slowest zone: 1 if it is not known where all of them lie.
    pub(crate) slowness: f64,
    /// What it is like near the place, if it is not to be read ahead.
    pub(crate) glance: Option<Glance>,
    /// What of the curve comes from the tier, and the segments that are there.
    pub(crate) from_tier: Vec<Part>,
    pub(crate) out: Vec<u64>,
}

/// Spans as they are shown: one right after the other.
struct Line {
    spans: Vec<(Time, Time)>,
}

impl Line {
    fn new(spans: &[SpanRecord], from: Time) -> Self {
        let spans = spans.iter().map(|span| (span.head.start.max(from), span.end));
        Self { spans: spans.filter(|(start, end)| start < end).collect() }
    }

    /// How long after the beginning the instant `time` is shown.
    fn shown_ns(&self, time: Time) -> u64 {
        let before = |(start, end): &(Time, Time)| time.min(*end).max(*start).since(*start);
        let shown: std::time::Duration = self.spans.iter().map(before).sum();
        u64::try_from(shown.as_nanos()).unwrap_or(u64::MAX)
    }
}

/// What has to be read of a recording from `place`, which is shown from `from` on, until `until`. `slowness_at` tells how long bytes
/// take that lie at an offset of a disk, as a part of the most.
///
/// # Errors
/// If the directory can't be read.
pub(crate) fn look(
    finder: &Finder,
    place: Place,
    (from, until): (Time, Time),
    slowness_at: impl Fn(u64) -> f64,
) -> Result<Known, Error> {
    let spans = finder.stream.spans(&finder.inner.log, from, until)?;
    let line = Line::new(&spans, from);
    let parity = usize::from(finder.inner.log.status().parity);
    let grows = finder.stream.queue(|queue| queue.is_attached());
    let mut known = Known { grows, ..Known::default() };
    let shown = |time: Time| line.shown_ns(time);
    let segments = place.segment..place.segment.saturating_add(SEGMENTS_MAX);
    for segment in segments.clone() {
        let Some(record) = finder.record(segment)? else { break };
        if record.first > until {
            break;
        }
        let is_out = matches!(record.state, State::Out(..));
        let offsets = record.segment.columns.iter().map(|at| finder.inner.log.offset_of(*at));
        known.slowness = offsets.map(&slowness_at).fold(known.slowness, f64::max);
        if segment + 1 == segments.end || is_out {
            known.slowness = 1.0;
        }
        if is_out && known.out.len() < OUT_MAX {
            known.out.push(segment);
        }
        let begins = known.curve.parts.len();
        let near = segment < place.segment + NEAR && (!is_out || segment == place.segment);
        if near || matches!(record.state, State::Open) {
            let entries = match finder.entries(segment)? {
                Entries::Absent => break,
                entries => entries,
            };
            let skip = if segment == place.segment { place.block } else { 0 };
            for (block, entry) in entries.as_slice().iter().enumerate().skip(skip) {
                let (bytes, opens) = (on_disk(entry), block == skip);
                known.largest = known.largest.max(bytes);
                known.has_width(entry.map.fragments.len());
                known.curve.parts.push(Part { at_ns: shown(entry.head.first), bytes, opens });
            }
        } else if let Some(sealed) = record.complete() {
            let media = sealed.after.since(record.before).bytes;
            let bytes = media + media / OVERHEAD + SECTOR as u64;
            known.has_width(record.segment.columns.len().saturating_sub(parity));
            known.curve.parts.push(Part { at_ns: shown(record.first), bytes, opens: true });
            if is_out {
                known.from_tier.extend(evenly(shown(record.first), shown(sealed.end), bytes));
            }
        }
        if is_out && near {
            known.from_tier.extend_from_slice(&known.curve.parts[begins..]);
        }
    }
    // Blocks may begin a little earlier than the one before them ends: other tracks' units.
    let mut latest = 0;
    for part in &mut known.curve.parts {
        latest = part.at_ns.max(latest);
        part.at_ns = latest;
    }
    known.curve.end_ns = shown(until).max(latest);
    if grows && until == Time::MAX {
        known.slowness = 1.0;
    }
    Ok(known)
}

/// A segment that comes from the tier block by block, as if its blocks were alike.
fn evenly(first_ns: u64, end_ns: u64, bytes: u64) -> impl Iterator<Item = Part> {
    let step_ns = end_ns.saturating_sub(first_ns) / TIER_PARTS;
    (0..TIER_PARTS).map(move |part| Part {
        at_ns: first_ns + part * step_ns,
        bytes: bytes / TIER_PARTS,
        opens: false,
    })
}

/// What is to come from `place` on, as far as indexes up to number `until` tell, block by block. Gaps take no time.
pub(crate) fn near(finder: &Finder, place: Place, until: u64) -> Curve {
    let mut curve = Curve::default();
    for segment in place.segment..=until {
        // Who asks holds up all playbacks: what is out is not looked at.
        let Ok(entries) = finder.entries_within(segment, Reach::Disks) else { break };
        let skip = if segment == place.segment { place.block } else { 0 };
        for (block, entry) in entries.as_slice().iter().enumerate().skip(skip) {
            let opens = block == skip;
            curve.parts.push(Part { at_ns: curve.end_ns, bytes: on_disk(entry), opens });
            let shown = entry.head.end.since(entry.head.first);
            curve.end_ns += u64::try_from(shown.as_nanos()).unwrap_or(0);
        }
    }
    curve
}

/// What a recording is like from `place` on, or before it, as far as it can be read.
pub(crate) fn glance(finder: &Finder, place: Place, backward: bool) -> Glance {
    let (first, end) = match backward {
        true => (place.segment.saturating_sub(NEAR - 1), place.segment + 1),
        false => (place.segment, place.segment.saturating_add(NEAR)),
    };
    let mut glance = Glance::default();
    for segment in first..end {
        // What is out takes nothing of the disks.
        let Ok(entries) = finder.entries_within(segment, Reach::Disks) else { continue };
        glance.segments += u64::from(!entries.as_slice().is_empty());
        for entry in entries.as_slice() {
            let bytes = on_disk(entry);
            glance.bare += u64::from(entry.outline.is_none());
            glance.bytes += bytes;
            glance.blocks += 1;
            glance.keys += u64::from(entry.head.mark.is_some());
            glance.largest = glance.largest.max(bytes);
            glance.shown += entry.head.end.since(entry.head.first);
            let width = entry.map.fragments.len().max(1) as u64;
            glance.width = if glance.blocks == 1 { width } else { glance.width.min(width) };
        }
    }
    glance
}

impl Known {
    fn has_width(&mut self, width: usize) {
        let width = width.max(1) as u64;
        self.width = if self.width == 0 { width } else { self.width.min(width) };
    }
}
