//! The index of a segment: for each of its blocks the map, the head, as marks to seek by, and the outline,
//! to go through its units without reading their data. Written as the last block of the segment when
//! it is sealed.

use bytes::Bytes;
use pegasus_base::StreamId;
use pegasus_log::{BlockMap, SegmentId};
use pegasus_media::TrackSet;

use super::block::{self, HEAD_FIELDS_LEN, Head, KIND_INDEX};
use super::bytes::{Fields, FormatError};
use super::outline::{OUTLINE_BYTES_MAX, Outline};
use super::tracks;

/// Where a block is and what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) map: BlockMap,
    pub(crate) head: Head,
    /// `None` if it must be looked up in the block.
    pub(crate) outline: Option<Outline>,
}

impl Entry {
    /// Whether the block lies in an object of the tier: it has no fragments then.
    pub(crate) fn is_out(&self) -> bool {
        self.map.fragments.is_empty()
    }
}

/// Bytes before the entries.
const FIXED_LEN: usize = 36;

/// Most bytes of an entry's head, map and lengths, when a block has up to `columns` fragments with its
/// parity.
const fn entry_len_max(columns: usize) -> usize {
    HEAD_FIELDS_LEN + 28 + 8 * columns + 8
}

/// Most payload bytes of an index with one entry.
pub(crate) fn single_len_max(columns: usize) -> usize {
    FIXED_LEN + entry_len_max(columns) + OUTLINE_BYTES_MAX
}

/// How long the index of a segment gets, entry by entry.
#[derive(Debug, Clone)]
pub(crate) struct IndexLen {
    /// Payload bytes [`emit`] needs at most for the entries so far.
    pub(crate) bytes: usize,
    /// The tracks told last.
    tracks: Option<TrackSet>,
}

impl IndexLen {
    /// Of an index without entries.
    pub(crate) fn new() -> Self {
        Self { bytes: FIXED_LEN, tracks: None }
    }

    /// With an entry more, of a block with up to `columns` fragments.
    pub(crate) fn with(mut self, outline: Option<&Outline>, columns: usize) -> Self {
        self.bytes += entry_len_max(columns);
        if let Some(outline) = outline {
            self.bytes += outline.table.len();
            if self.tracks.as_ref() != Some(&outline.tracks) {
                self.bytes += tracks::coded_len(&outline.tracks);
                self.tracks = Some(outline.tracks.clone());
            }
        }
        self
    }
}

/// The payload of the index of `segment`.
pub(crate) fn emit(stream: StreamId, segment: SegmentId, entries: &[Entry]) -> Vec<u8> {
    let mut out = Vec::new();
    block::emit_prefix(KIND_INDEX, stream, &mut out);
    out.extend(segment.0.to_le_bytes());
    let count = u32::try_from(entries.len()).expect("a segment has few blocks");
    out.extend(count.to_le_bytes());
    let mut told = None;
    for entry in entries {
        entry.head.emit(&mut out);
        entry.map.emit(&mut out);
        emit_outline(entry.outline.as_ref(), &mut told, &mut out);
    }
    out
}

/// Writes the outline; its tracks only if they are not the ones `told` last.
pub(super) fn emit_outline<'a>(
    outline: Option<&'a Outline>,
    told: &mut Option<&'a TrackSet>,
    out: &mut Vec<u8>,
) {
    let Some(Outline { tracks, table }) = outline else { return out.extend([0; 8]) };
    let mut coded_tracks = Vec::new();
    if *told != Some(tracks) {
        tracks::emit(tracks, &mut coded_tracks);
        *told = Some(tracks);
    }
    for len in [coded_tracks.len(), table.len()] {
        out.extend(u32::try_from(len).expect("an outline is small").to_le_bytes());
    }
    out.extend(coded_tracks);
    out.extend_from_slice(table);
}

/// Reads the index of `segment` of `stream`. The outlines share the payload.
pub(crate) fn parse(
    payload: &Bytes,
    stream: StreamId,
    segment: SegmentId,
) -> Result<Vec<Entry>, FormatError> {
    let mut fields = Fields::new(payload);
    if block::kind(&mut fields, stream)? != KIND_INDEX {
        return Err(FormatError::Field { field: "kind" });
    }
    if fields.u64()? != segment.0 {
        return Err(FormatError::Foreign { what: "segment" });
    }
    let count = fields.u32()? as usize;
    let mut entries = Vec::with_capacity(count.min(payload.len() / HEAD_FIELDS_LEN));
    let mut told = None;
    for _ in 0..count {
        let head = Head::parse(&mut fields)?;
        let map = block_map(&mut fields)?;
        if map.segment != segment {
            return Err(FormatError::Foreign { what: "segment" });
        }
        let outline = parse_outline(&mut fields, payload, &mut told)?;
        entries.push(Entry { map, head, outline });
    }
    if fields.rest() > 0 {
        return Err(FormatError::Field { field: "length" });
    }
    Ok(entries)
}

pub(super) fn parse_outline(
    fields: &mut Fields<'_>,
    payload: &Bytes,
    told: &mut Option<TrackSet>,
) -> Result<Option<Outline>, FormatError> {
    let (tracks_len, table_len) = (fields.u32()? as usize, fields.u32()? as usize);
    if tracks_len > 0 {
        *told = Some(tracks::parse(fields.take(tracks_len)?)?);
    }
    let table = payload.slice_ref(fields.take(table_len)?);
    match table_len {
        0 => Ok(None),
        _ => {
            let tracks = told.clone().ok_or(FormatError::Field { field: "tracks" })?;
            Ok(Some(Outline { tracks, table }))
        }
    }
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
    use crate::sample;
    use pegasus_base::Time;
    use pegasus_log::{DiskIndex, Extent};
    use proptest::prelude::*;

    pub(crate) fn map(segment: u64, seq: u32) -> BlockMap {
        let extent = |disk| Extent { disk: DiskIndex(disk), offset: u64::from(seq + 1) << 16 };
        BlockMap {
            segment: SegmentId(segment),
            seq,
            fragments: vec![extent(3), extent(1)],
            parity: vec![extent(0)],
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

    fn any_outline() -> impl Strategy<Value = Option<Outline>> {
        // Few sets of tracks, so that some follow themselves.
        let sets = [sample::tracks(), sample::tracks()[..1].into()];
        let table = proptest::collection::vec(any::<u8>(), 1..50);
        let outline = (0usize..2, table)
            .prop_map(move |(set, table)| Outline::new(&sets[set], &table).expect("a small one"));
        proptest::option::of(outline)
    }

    proptest! {
        #[test]
        fn round_trip(blocks in proptest::collection::vec((any_head(), any_outline()), 0..20)) {
            let mut len = IndexLen::new();
            let mut entries = Vec::new();
            for (seq, (head, outline)) in (0..).zip(blocks) {
                len = len.with(outline.as_ref(), 3);
                entries.push(Entry { map: map(9, seq), head, outline });
            }
            let bytes = Bytes::from(emit(StreamId(5), SegmentId(9), &entries));
            // Every block of the sample has as many fragments as there may be.
            prop_assert_eq!(bytes.len(), len.bytes);
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
            let _ = parse(&own.into(), StreamId(5), SegmentId(9));
        }
    }

    #[test]
    fn a_single_entry_has_a_bound() {
        let table = vec![1; OUTLINE_BYTES_MAX - tracks::coded_len(&sample::tracks())];
        let outline = Outline::new(&sample::tracks(), &table);
        assert!(outline.is_some());
        assert_eq!(IndexLen::new().with(outline.as_ref(), 5).bytes, single_len_max(5));
        assert_eq!(Outline::new(&sample::tracks(), &[&table[..], &[1]].concat()), None);
    }
}
