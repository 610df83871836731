//! A planned file, and the bytes of any range of it.

use std::ops::Range;

use bytes::Bytes;
use pegasus_base::Time;

/// A whole progressive MP4 whose media data is still where it was recorded.
///
/// ```
/// use bytes::Bytes;
/// use pegasus_media::mp4::{Piece, Plan};
///
/// fn send(plan: &Plan, range: std::ops::Range<u64>, units: &[Bytes], out: &mut Vec<u8>) {
///     for piece in plan.slice(range) {
///         match piece {
///             Piece::Head(bytes) => out.extend_from_slice(&bytes),
///             Piece::Unit { index, skip, len } => {
///                 let unit = &units[index as usize];
///                 out.extend_from_slice(&unit[skip as usize..][..len as usize]);
///             }
///         }
///     }
/// }
/// ```
#[derive(Debug)]
pub struct Plan {
    head: Bytes,
    units: Units,
    times: Vec<TimePoint>,
    duration_ns: u64,
}

/// A part of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// These bytes.
    Head(Bytes),
    /// `len` bytes of the unit that was pushed as number `index` (from 0), after its first `skip`.
    Unit {
        /// Which unit, in the order in which they were pushed.
        index: u64,
        /// Bytes of it to leave out.
        skip: u32,
        /// Bytes of it to take; at least 1.
        len: u32,
    },
}

/// From here on, the file shows what was captured from `time` on, until the next point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimePoint {
    /// Time in the file.
    pub media_ns: i64,
    /// Capture time.
    pub time: Time,
}

impl Plan {
    pub(super) fn new(
        head: Vec<u8>,
        units: Units,
        times: Vec<TimePoint>,
        duration_ns: u64,
    ) -> Self {
        Self { head: head.into(), units, times, duration_ns }
    }

    /// Size of the file.
    #[must_use]
    pub fn total_len(&self) -> u64 {
        self.head.len() as u64 + self.units.len_bytes()
    }

    /// Everything before the media data.
    #[must_use]
    pub fn head(&self) -> &Bytes {
        &self.head
    }

    /// Number of units in the file.
    #[must_use]
    pub fn units(&self) -> u64 {
        self.units.len()
    }

    /// How long it plays.
    #[must_use]
    pub fn duration_ns(&self) -> u64 {
        self.duration_ns
    }

    /// Which capture time is shown when: one point at the start and one after each gap.
    #[must_use]
    pub fn time_map(&self) -> &[TimePoint] {
        &self.times
    }

    /// The bytes of `range`, cut to the file's end, piece by piece.
    #[must_use]
    pub fn slice(&self, range: Range<u64>) -> Pieces<'_> {
        let end = range.end.min(self.total_len());
        let start = range.start.min(end);
        let media_at = start.saturating_sub(self.head.len() as u64);
        let (index, skip) = self.units.find(media_at);
        Pieces { plan: self, at: start, end, index, skip }
    }

    /// Size of unit `index` in bytes.
    ///
    /// # Panics
    /// If the file has fewer units.
    #[must_use]
    pub fn unit_len(&self, index: u64) -> u32 {
        self.units.len_of(index)
    }
}

/// The pieces of a range; see [`Plan::slice`].
#[derive(Debug)]
pub struct Pieces<'a> {
    plan: &'a Plan,
    at: u64,
    end: u64,
    index: u64,
    skip: u32,
}

impl Iterator for Pieces<'_> {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        let head = &self.plan.head;
        if self.at >= self.end {
            return None;
        }
        if let Ok(from) = usize::try_from(self.at)
            && from < head.len()
        {
            let to = head.len().min(usize::try_from(self.end).unwrap_or(usize::MAX));
            self.at = to as u64;
            return Some(Piece::Head(head.slice(from..to)));
        }
        loop {
            let len = self.plan.units.len_of(self.index) - self.skip;
            let (index, skip) = (self.index, self.skip);
            let take = u64::from(len).min(self.end - self.at);
            self.index += 1;
            self.skip = 0;
            if take > 0 {
                self.at += take;
                let len = u32::try_from(take).expect("no more than the unit's own length");
                return Some(Piece::Unit { index, skip, len });
            }
        }
    }
}

/// The sizes of all units, with every 512th offset so that any byte is found quickly.
#[derive(Debug, Default)]
pub(super) struct Units {
    lens: Vec<u32>,
    offsets: Vec<u64>,
    total: u64,
}

const OFFSET_EVERY: usize = 512;

impl Units {
    pub(super) fn push(&mut self, len: u32) {
        if self.lens.len().is_multiple_of(OFFSET_EVERY) {
            self.offsets.push(self.total);
        }
        self.lens.push(len);
        self.total += u64::from(len);
    }

    pub(super) fn len(&self) -> u64 {
        self.lens.len() as u64
    }

    pub(super) fn len_bytes(&self) -> u64 {
        self.total
    }

    fn len_of(&self, index: u64) -> u32 {
        self.lens[usize::try_from(index).expect("an index into memory")]
    }

    /// The unit that holds byte `at` of the media data, and how many of its bytes come before.
    fn find(&self, at: u64) -> (u64, u32) {
        let block = self.offsets.partition_point(|&offset| offset <= at).saturating_sub(1);
        let mut offset = self.offsets.get(block).copied().unwrap_or(0);
        let mut index = block * OFFSET_EVERY;
        while let Some(&len) = self.lens.get(index) {
            if at < offset + u64::from(len) {
                break;
            }
            offset += u64::from(len);
            index += 1;
        }
        (index as u64, u32::try_from(at - offset).unwrap_or(0))
    }
}
