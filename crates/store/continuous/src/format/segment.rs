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
/// Builds that know nothing of the tier take it for damage, and so leave the stream alone.
const OUT: u8 = 4;
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
    /// Where its index is; `None` if there was no room on living disks to write it, or if it is out.
    pub(crate) index: Option<BlockMap>,
    /// When it was asked for while it was out, the last time that it was brought back.
    pub(crate) asked: Option<Time>,
}

/// The object in the tier that holds a segment; its name follows from the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ObjectRef {
    /// Bytes of all of it.
    pub(crate) bytes: u64,
    /// Bytes before the first block: head, name and index.
    pub(crate) head_bytes: u32,
    /// Checksum of these.
    pub(crate) crc: u32,
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
    /// It lies in the tier, and its slots are somebody else's.
    Out(Sealed, ObjectRef),
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

    /// What it holds, if it is complete, wherever that is.
    pub(crate) fn complete(&self) -> Option<&Sealed> {
        match &self.state {
            State::Sealed(sealed) | State::Out(sealed, _) => Some(sealed),
            State::Open | State::Freed => None,
        }
    }

    /// Whether its slots are its own.
    pub(crate) fn has_slots(&self) -> bool {
        matches!(self.state, State::Open | State::Sealed(_))
    }

    /// The record's `len` bytes, `len` from [`record_len`].
    pub(crate) fn emit(&self, len: usize) -> Vec<u8> {
        let (end, after) = (self.first, self.before);
        let nothing = Sealed { end, after, span: 0, mark: None, index: None, asked: None };
        let (state, sealed, object) = match &self.state {
            State::Open => (OPEN, &nothing, None),
            State::Sealed(sealed) => (SEALED, sealed, None),
            State::Freed => (FREED, &nothing, None),
            State::Out(sealed, object) => (OUT, sealed, Some(object)),
        };
        let mut flags = 0;
        flags |= if sealed.index.is_some() { HAS_INDEX } else { 0 };
        flags |= if sealed.mark.is_some() { HAS_MARK } else { 0 };
        let mut out = vec![state, flags, 0, 0, 0, 0, 0, 0];
        let (mark, asked) = (sealed.mark.unwrap_or_default(), sealed.asked.unwrap_or_default());
        for time in [self.first, sealed.end, mark, asked] {
            out.extend(time.as_ns().to_le_bytes());
        }
        self.before.emit(&mut out);
        sealed.after.emit(&mut out);
        out.extend(sealed.span.to_le_bytes());
        assert_eq!(out.len(), FIXED_LEN, "the first part has a fixed length");
        self.segment.emit(&mut out);
        match object {
            Some(object) => {
                out.extend(object.bytes.to_le_bytes());
                out.extend(object.head_bytes.to_le_bytes());
                out.extend(object.crc.to_le_bytes());
            }
            None => sealed.index.iter().for_each(|index| index.emit(&mut out)),
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
        let (mark, asked) = (fields.time()?, fields.time()?);
        let (before, after) = (Totals::parse(&mut fields)?, Totals::parse(&mut fields)?);
        let span = fields.u64()?;
        let (segment, len) =
            SegmentRef::parse(fields.remaining()).ok_or(FormatError::Field { field: "segment" })?;
        fields.take(len)?;
        let state = match state {
            OPEN => State::Open,
            FREED => State::Freed,
            SEALED | OUT => {
                let has_index = state == SEALED && flags & HAS_INDEX != 0;
                let index = has_index.then(|| block_map(&mut fields)).transpose()?;
                let mark = (flags & HAS_MARK != 0).then_some(mark);
                let asked = Some(asked).filter(|asked| *asked != Time::default());
                if end < first || after < before {
                    return Err(FormatError::Field { field: "extent" });
                }
                let sealed = Sealed { end, after, span, mark, index, asked };
                match state {
                    OUT => State::Out(sealed, object_ref(&mut fields)?),
                    _ => State::Sealed(sealed),
                }
            }
            _ => return Err(FormatError::Field { field: "state" }),
        };
        Ok(Self { segment, first, before, state })
    }
}

fn object_ref(fields: &mut Fields<'_>) -> Result<ObjectRef, FormatError> {
    let object = ObjectRef { bytes: fields.u64()?, head_bytes: fields.u32()?, crc: fields.u32()? };
    match u64::from(object.head_bytes) <= object.bytes {
        true => Ok(object),
        false => Err(FormatError::Field { field: "object" }),
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
        let sealed = |mark: Option<Time>, index| {
            let after = Totals { units: 3, bytes: 9 };
            let asked = mark.map(|_| Time::from_ns(77));
            Sealed { end: Time::from_ns(9), after, span: 7, mark, index, asked }
        };
        let object = ObjectRef { bytes: 1 << 40, head_bytes: 900, crc: 5 };
        let mark = Some(Time::from_ns(1));
        for state in [
            State::Open,
            State::Freed,
            State::Sealed(sealed(None, None)),
            State::Sealed(sealed(mark, None)),
            State::Sealed(sealed(mark, Some(map(4, 20)))),
            State::Out(sealed(None, None), object),
            State::Out(sealed(mark, None), object),
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
            out in any::<bool>(),
            noise in proptest::collection::vec(any::<u8>(), 1..20),
        ) {
            let index = Some(map(4, 1));
            let sealed = Sealed {
                end: Time::from_ns(9), after: Totals { units: 3, bytes: 9 }, span: 7,
                mark: None, index, asked: None,
            };
            let object = ObjectRef { bytes: 1 << 40, head_bytes: 900, crc: 5 };
            let state = match out {
                true => State::Out(Sealed { index: None, ..sealed }, object),
                false => State::Sealed(sealed),
            };
            let mut bytes = record(state).emit(record_len(3));
            for (byte, noise) in bytes[at..].iter_mut().zip(noise) {
                *byte = noise;
            }
            let _ = SegmentRecord::parse(&bytes);
        }
    }
}
