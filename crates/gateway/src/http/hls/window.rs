//! The newest segments of a live stream, as a playlist shows them.

use std::collections::VecDeque;

use bytes::Bytes;
use pegasus_base::Time;

use crate::http::playable::Playable;

/// A part of a segment (RFC 8216bis, 4.4.4.9): one fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// How long it lasts, by the leading track's decode times.
    pub(crate) duration_ns: u64,
    /// Whether decoding can start at it.
    pub(crate) independent: bool,
    /// Its bytes; the media is shared with the circuit.
    pub(crate) chunks: Vec<Bytes>,
}

/// A segment, complete or still growing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// Its media sequence number.
    pub(crate) number: u64,
    /// Capture time of its first picture.
    pub(crate) start: Time,
    /// Whether its time line does not go on from the one before.
    pub(crate) discontinuity: bool,
    /// Which initialisation segment it needs.
    pub(crate) init: u64,
    /// Its parts so far.
    pub(crate) parts: Vec<Part>,
    /// Whether no more parts will come.
    pub(crate) complete: bool,
}

impl Segment {
    /// How long it lasts so far.
    pub(crate) fn duration_ns(&self) -> u64 {
        self.parts.iter().map(|part| part.duration_ns).sum()
    }

    /// Its bytes so far.
    pub(crate) fn chunks(&self) -> Vec<Bytes> {
        self.parts.iter().flat_map(|part| part.chunks.iter().cloned()).collect()
    }
}

/// An initialisation segment.
#[derive(Clone, Debug)]
pub(crate) struct Init {
    pub(crate) number: u64,
    pub(crate) playable: Playable,
    pub(crate) bytes: Bytes,
}

/// The segments held, oldest first; only the last may be growing.
#[derive(Debug, Default)]
pub(crate) struct Window {
    pub(crate) segments: VecDeque<Segment>,
    pub(crate) inits: VecDeque<Init>,
    /// Discontinuities that have left the window.
    pub(crate) discontinuities: u64,
    /// Longest segment so far: the target duration never shrinks (RFC 8216bis, 4.4.3.1).
    pub(crate) longest_ns: u64,
    /// Longest part so far.
    pub(crate) longest_part_ns: u64,
    /// Whether nothing will follow.
    pub(crate) ended: bool,
}

impl Window {
    /// Number of the segment that grows, or of the next one.
    pub(crate) fn growing(&self) -> Option<u64> {
        let last = self.segments.back()?;
        Some(if last.complete { last.number + 1 } else { last.number })
    }

    /// Parts that the growing segment has.
    pub(crate) fn growing_parts(&self) -> usize {
        self.segments.back().filter(|last| !last.complete).map_or(0, |last| last.parts.len())
    }

    /// Whether the playlist already shows the segment `number`, or that part of it.
    pub(crate) fn shows(&self, number: u64, part: Option<u64>) -> bool {
        let Some(growing) = self.growing() else { return false };
        let has_part = part.is_some_and(|part| (self.growing_parts() as u64) > part);
        growing > number || (growing == number && has_part)
    }

    pub(crate) fn has_complete(&self) -> bool {
        self.segments.front().is_some_and(|first| first.complete)
    }

    pub(crate) fn segment(&self, number: u64) -> Option<&Segment> {
        let first = self.segments.front()?.number;
        let at = usize::try_from(number.checked_sub(first)?).ok()?;
        self.segments.get(at)
    }

    pub(crate) fn init(&self, number: u64) -> Option<&Init> {
        self.inits.iter().find(|init| init.number == number)
    }

    /// Lets go of what is beyond `keep` complete segments.
    pub(crate) fn trim(&mut self, keep: usize) {
        while self.segments.iter().filter(|segment| segment.complete).count() > keep {
            let gone = self.segments.pop_front().expect("there are more than `keep` segments");
            self.discontinuities += u64::from(gone.discontinuity);
        }
        let needed = self.segments.front().map_or(u64::MAX, |first| first.init);
        let newest = self.inits.back().map_or(0, |init| init.number);
        self.inits.retain(|init| init.number >= needed || init.number == newest);
    }
}
