//! Records of the segments pnode, the directory of a stream: one for each continuous segment, in the
//! order of time. Written when the segment is opened, and again when it is sealed.

use pegasus_base::Time;
use pegasus_log::{BlockMap, SegmentId, SegmentRef};

use super::block::Totals;
use super::bytes::{Fields, FormatError};
use super::index::block_map;

const OPEN: u8 = 1;
const SEALED: u8 = 2;
const FREED: u8 = 3;
const HAS_INDEX: u8 = 1;
const HAS_MARK: u8 = 2;
/// Bytes of a record before segment and index.
const FIXED_LEN: usize = 80;

/// Bytes of a record in an array of `columns` disks: all records of an array are as long.
pub(crate) fn record_len(columns: usize) -> usize {
    (FIXED_LEN + (12 + 8 * columns) + (28 + 8 * columns)).next_multiple_of(64)
}

/// What a segment holds; known when it is sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sealed {
    /// End of its last unit.
    pub(crate) end: Time,
    /// Totals behind its last unit.
    pub(crate) after: Totals,
    /// Number of the span its last unit is in.
    pub(crate) span: u64,
    /// Time of the first key unit of the anchor.
    pub(crate) mark: Option<Time>,
    /// Where its index is; `None` if there was no room on living disks to write it.
    pub(crate) index: Option<BlockMap>,
}

/// What became of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    /// Blocks are appended to it; what it holds, only they know.
    Open,
    /// It is complete.
    Sealed(Sealed),
    /// It was deleted, its slots are somebody else's.
    Freed,
}

/// A record of the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SegmentRecord {
    pub(crate) segment: SegmentRef,
    /// Least time of a unit in its first block.
    pub(crate) first: Time,
    /// Totals before its first unit.
    pub(crate) before: Totals,
    pub(crate) state: State,
}

impl SegmentRecord {
    /// What stands for a record that was trimmed away.
    pub(crate) fn trimmed() -> Self {
        let segment = SegmentRef { id: SegmentId(0), columns: Vec::new() };
        Self { segment, first: Time::MIN, before: Totals::default(), state: State::Freed }
    }

    /// The record's `len` bytes, `len` from [`record_len`].
    pub(crate) fn emit(&self, len: usize) -> Vec<u8> {
        let nothing =
            Sealed { end: self.first, after: self.before, span: 0, mark: None, index: None };
        let (state, sealed) = match &self.state {
            State::Open => (OPEN, &nothing),
            State::Sealed(sealed) => (SEALED, sealed),
            State::Freed => (FREED, &nothing),
        };
        let mut flags = 0;
        flags |= if sealed.index.is_some() { HAS_INDEX } else { 0 };
        flags |= if sealed.mark.is_some() { HAS_MARK } else { 0 };
        let mut out = vec![state, flags, 0, 0, 0, 0, 0, 0];
        for time in [self.first, sealed.end, sealed.mark.unwrap_or_default(), Time::default()] {
            out.extend(time.as_ns().to_le_bytes());
        }
        self.before.emit(&mut out);
        sealed.after.emit(&mut out);
        out.extend(sealed.span.to_le_bytes());
        assert_eq!(out.len(), FIXED_LEN, "the first part has a fixed length");
        self.segment.emit(&mut out);
        if let Some(index) = &sealed.index {
            index.emit(&mut out);
        }
        assert!(out.len() <= len, "a record of {} bytes for an array with {len}", out.len());
        out.resize(len, 0);
        out
    }

    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut fields = Fields::new(bytes);
        let (state, flags) = (fields.u8()?, fields.u8()?);
        fields.take(6)?;
        let (first, end) = (fields.time()?, fields.time()?);
        let (mark, _spare) = (fields.time()?, fields.time()?);
        let (before, after) = (Totals::parse(&mut fields)?, Totals::parse(&mut fields)?);
        let span = fields.u64()?;
        let (segment, len) =
            SegmentRef::parse(fields.remaining()).ok_or(FormatError::Field { field: "segment" })?;
        fields.take(len)?;
        let state = match state {
            OPEN => State::Open,
            FREED => State::Freed,
            SEALED => {
                let index = (flags & HAS_INDEX != 0).then(|| block_map(&mut fields)).transpose()?;
                let mark = (flags & HAS_MARK != 0).then_some(mark);
                if end < first || after < before {
                    return Err(FormatError::Field { field: "extent" });
                }
                State::Sealed(Sealed { end, after, span, mark, index })
            }
            _ => return Err(FormatError::Field { field: "state" }),
        };
        Ok(Self { segment, first, before, state })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::index::tests::map;
    use pegasus_log::{Column, DiskIndex};
    use proptest::prelude::*;

    fn record(state: State) -> SegmentRecord {
        let column = |disk| Column { disk: DiskIndex(disk), slot: u32::from(disk) * 10 };
        SegmentRecord {
            segment: SegmentRef { id: SegmentId(4), columns: (0..3).map(column).collect() },
            first: Time::from_ns(-5),
            before: Totals { units: 1, bytes: 2 },
            state,
        }
    }

    #[test]
    fn every_state_round_trips() {
        let sealed = |mark, index| {
            let after = Totals { units: 3, bytes: 9 };
            State::Sealed(Sealed { end: Time::from_ns(9), after, span: 7, mark, index })
        };
        let mark = Some(Time::from_ns(1));
        for state in [
            State::Open,
            State::Freed,
            sealed(None, None),
            sealed(mark, None),
            sealed(mark, Some(map(4, 20))),
        ] {
            let record = record(state);
            let bytes = record.emit(record_len(3));
            assert_eq!(bytes.len(), 192);
            assert_eq!(SegmentRecord::parse(&bytes), Ok(record));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_parse_or_fail(
            at in 0usize..192,
            noise in proptest::collection::vec(any::<u8>(), 1..20),
        ) {
            let index = Some(map(4, 1));
            let sealed = Sealed {
                end: Time::from_ns(9), after: Totals { units: 3, bytes: 9 }, span: 7,
                mark: None, index,
            };
            let mut bytes = record(State::Sealed(sealed)).emit(record_len(3));
            for (byte, noise) in bytes[at..].iter_mut().zip(noise) {
                *byte = noise;
            }
            let _ = SegmentRecord::parse(&bytes);
        }
    }
}
