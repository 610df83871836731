//! The index of a segment: for each of its blocks the map and the head, as marks to seek by. Written as
//! the last block of the segment when it is sealed.

use pegasus_base::StreamId;
use pegasus_log::{BlockMap, SegmentId};

use super::block::{self, HEAD_FIELDS_LEN, Head, KIND_INDEX};
use super::bytes::{Fields, FormatError};

/// Where a block is and what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) map: BlockMap,
    pub(crate) head: Head,
}

/// Bytes before the entries.
const FIXED_LEN: usize = 36;
/// Payload bytes [`emit`] needs for an index with an entry more than `entries`, when a block has up to
/// `columns` fragments with its parity.
pub(crate) fn payload_bytes_for(entries: usize, columns: usize) -> usize {
    FIXED_LEN + (entries + 1) * (HEAD_FIELDS_LEN + 28 + 8 * columns)
}

/// The payload of the index of `segment`.
pub(crate) fn emit(stream: StreamId, segment: SegmentId, entries: &[Entry]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload_bytes_for(entries.len(), 5));
    block::emit_prefix(KIND_INDEX, stream, &mut out);
    out.extend(segment.0.to_le_bytes());
    let count = u32::try_from(entries.len()).expect("a segment has few blocks");
    out.extend(count.to_le_bytes());
    for entry in entries {
        entry.head.emit(&mut out);
        entry.map.emit(&mut out);
    }
    out
}

/// Reads the index of `segment` of `stream`.
pub(crate) fn parse(
    bytes: &[u8],
    stream: StreamId,
    segment: SegmentId,
) -> Result<Vec<Entry>, FormatError> {
    let mut fields = Fields::new(bytes);
    if block::kind(&mut fields, stream)? != KIND_INDEX {
        return Err(FormatError::Field { field: "kind" });
    }
    if fields.u64()? != segment.0 {
        return Err(FormatError::Foreign { what: "segment" });
    }
    let count = fields.u32()? as usize;
    let mut entries = Vec::with_capacity(count.min(bytes.len() / HEAD_FIELDS_LEN));
    for _ in 0..count {
        let head = Head::parse(&mut fields)?;
        let map = block_map(&mut fields)?;
        if map.segment != segment {
            return Err(FormatError::Foreign { what: "segment" });
        }
        entries.push(Entry { map, head });
    }
    if fields.rest() > 0 {
        return Err(FormatError::Field { field: "length" });
    }
    Ok(entries)
}

/// Reads a block map where `fields` stand.
pub(crate) fn block_map(fields: &mut Fields<'_>) -> Result<BlockMap, FormatError> {
    let (map, len) =
        BlockMap::parse(fields.remaining()).ok_or(FormatError::Field { field: "block map" })?;
    fields.take(len)?;
    Ok(map)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::format::block::{Mark, SpanHead, Totals};
    use pegasus_base::Time;
    use pegasus_log::{DiskIndex, Extent};
    use proptest::prelude::*;

    pub(crate) fn map(segment: u64, seq: u32) -> BlockMap {
        let extent = |disk| Extent { disk: DiskIndex(disk), offset: u64::from(seq + 1) << 16 };
        BlockMap {
            segment: SegmentId(segment),
            seq,
            fragments: vec![extent(3), extent(1)],
            parity: Some(extent(0)),
            fragment_bytes: 8_192,
            payload_bytes: 10_000,
            crc: 77,
        }
    }

    pub(crate) fn any_head() -> impl Strategy<Value = Head> {
        (any::<(u64, i64, i64)>(), 0u64..1 << 40, 1u64..1_000, any::<Option<(i64, u32)>>())
            .prop_map(|((serial, a, b), before, units, mark)| Head {
                span: SpanHead {
                    serial,
                    start: Time::from_ns(a.min(b)),
                    before: Totals { units: before / 2, bytes: before },
                },
                before: Totals { units: before, bytes: before },
                holds: Totals { units, bytes: units * 10 },
                first: Time::from_ns(a.min(b)),
                end: Time::from_ns(a.max(b)),
                mark: mark
                    .map(|(at, row)| Mark { time: Time::from_ns(at), row: row % units as u32 }),
            })
    }

    proptest! {
        #[test]
        fn round_trip(heads in proptest::collection::vec(any_head(), 0..20)) {
            let entries: Vec<Entry> = heads
                .into_iter()
                .enumerate()
                .map(|(seq, head)| Entry { map: map(9, seq as u32), head })
                .collect();
            let bytes = emit(StreamId(5), SegmentId(9), &entries);
            prop_assert!(bytes.len() <= payload_bytes_for(entries.len(), 3));
            prop_assert_eq!(parse(&bytes, StreamId(5), SegmentId(9)), Ok(entries));
            let foreign = parse(&bytes, StreamId(6), SegmentId(9));
            prop_assert_eq!(foreign, Err(FormatError::Foreign { what: "stream" }));
            let foreign = parse(&bytes, StreamId(5), SegmentId(8));
            prop_assert_eq!(foreign, Err(FormatError::Foreign { what: "segment" }));
        }

        #[test]
        fn any_bytes_parse_or_fail(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut own = Vec::new();
            block::emit_prefix(KIND_INDEX, StreamId(5), &mut own);
            own.extend(9u64.to_le_bytes());
            own.extend(bytes);
            let _ = parse(&own, StreamId(5), SegmentId(9));
        }
    }
}
