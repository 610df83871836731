//! A segment as an object of the tier: head, name of the stream, index, blocks. It says all of itself, so that
//! recordings can be listed from a bucket alone. `docs/design/tier.md` has every byte.

use bytes::Bytes;
use pegasus_base::{StreamId, StreamName, Time};
use pegasus_log::{BlockMap, SegmentId};

use super::block::{Head, Totals};
use super::bytes::{Fields, FormatError};
use super::index::{Entry, emit_outline, parse_outline};
use super::segment::{ObjectRef, Sealed, SegmentRecord};

const MAGIC: [u8; 4] = *b"PgOb";
const VERSION: u8 = 1;
/// Bytes of the head.
const HEAD_LEN: usize = 128;
/// Most bytes before the first block: an index has a bound, by the segment it was made for.
const HEAD_BYTES_MAX: usize = 64 << 20;

/// Which segment it is, of which store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The store.
    pub(crate) array: u128,
    pub(crate) stream: StreamId,
    pub(crate) name: StreamName,
    pub(crate) segment: SegmentId,
}

impl Origin {
    /// The object's name: store, stream, number of the segment, and when it begins. Says nothing that the head does not.
    pub(crate) fn object_name(&self, first: Time) -> String {
        let folder = folder_of(self.array);
        let at: String = first.to_string().chars().filter(|c| c.is_ascii_alphanumeric()).collect();
        // To the second: 20231114T221320Z.
        let at = at.get(..15).unwrap_or(&at);
        format!("{folder}{}/{:012}-{at}Z.pgs", self.name, self.segment.0)
    }
}

/// What the names of a store's objects begin with.
pub(crate) fn folder_of(array: u128) -> String {
    format!("{array:032x}")
}

/// The segment's number in the name of an object.
pub(crate) fn number_in(name: &str) -> Option<SegmentId> {
    let last = name.rsplit('/').next()?.strip_suffix(".pgs")?;
    last.split('-').next()?.parse().ok().map(SegmentId)
}

/// Where a block lies in an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) offset: u64,
    pub(crate) bytes: u32,
    pub(crate) crc: u32,
}

/// What an object says before its first block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) origin: Origin,
    /// Without fragments in their maps.
    pub(crate) entries: Vec<Entry>,
    /// Where they are, in the same order.
    pub(crate) places: Vec<Place>,
}

/// A whole object with these blocks, and how a record refers to it.
pub(crate) fn emit(
    origin: &Origin,
    record: &SegmentRecord,
    sealed: &Sealed,
    blocks: &[(Entry, Bytes)],
) -> (Bytes, ObjectRef) {
    let index = emit_index(blocks);
    let name = origin.name.as_str().as_bytes();
    let head_bytes = HEAD_LEN + name.len() + index.len();
    let media: usize = blocks.iter().map(|(_, payload)| payload.len()).sum();
    let bytes = (head_bytes + media) as u64;
    let mut out = Vec::with_capacity(head_bytes + media);
    out.extend(MAGIC);
    out.extend([VERSION, 0, 0, 0]);
    out.extend(origin.array.to_le_bytes());
    out.extend(origin.stream.0.to_le_bytes());
    out.extend(origin.segment.0.to_le_bytes());
    out.extend(record.first.as_ns().to_le_bytes());
    out.extend(sealed.end.as_ns().to_le_bytes());
    record.before.emit(&mut out);
    sealed.after.emit(&mut out);
    for len in [blocks.len(), index.len(), name.len()] {
        out.extend(u32::try_from(len).expect("a segment is less than 4 GiB").to_le_bytes());
    }
    out.extend([0; 4]);
    out.extend(bytes.to_le_bytes());
    let behind = crc32c::crc32c_append(crc32c::crc32c(name), &index);
    out.extend(behind.to_le_bytes());
    out.extend(crc32c::crc32c(&out).to_le_bytes());
    assert_eq!(out.len(), HEAD_LEN, "the head has a fixed length");
    out.extend(name);
    out.extend(&index);
    let crc = crc32c::crc32c(&out);
    blocks.iter().for_each(|(_, payload)| out.extend_from_slice(payload));
    let head_bytes = u32::try_from(head_bytes).expect("an index is less than 4 GiB");
    (out.into(), ObjectRef { bytes, head_bytes, crc })
}

fn emit_index(blocks: &[(Entry, Bytes)]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut told = None;
    for (entry, payload) in blocks {
        let len = u32::try_from(payload.len()).expect("a block is less than 4 GiB");
        out.extend(len.to_le_bytes());
        out.extend(crc32c::crc32c(payload).to_le_bytes());
        entry.head.emit(&mut out);
        emit_outline(entry.outline.as_ref(), &mut told, &mut out);
    }
    out
}

/// Reads what stands before the first block: `bytes` are all of that. Its outlines share them.
pub(crate) fn parse(bytes: &Bytes) -> Result<Table, FormatError> {
    let mut fields = Fields::new(bytes);
    fields.expect(MAGIC, VERSION)?;
    fields.take(3)?;
    let (array, stream) = (fields.u128()?, StreamId(fields.u128()?));
    let segment = SegmentId(fields.u64()?);
    let (_first, _end) = (fields.time()?, fields.time()?);
    let (_before, _after) = (Totals::parse(&mut fields)?, Totals::parse(&mut fields)?);
    let (count, index, name) = (fields.u32()?, fields.u32()? as usize, fields.u32()? as usize);
    fields.take(4)?;
    let (len, behind) = (fields.u64()?, fields.u32()?);
    let crc = crc32c::crc32c(&bytes[..HEAD_LEN - 4]);
    let head_bytes = HEAD_LEN + name.min(HEAD_BYTES_MAX) + index.min(HEAD_BYTES_MAX);
    if fields.u32()? != crc || bytes.len() != head_bytes {
        return Err(FormatError::Field { field: "head" });
    }
    if crc32c::crc32c(&bytes[HEAD_LEN..]) != behind {
        return Err(FormatError::Field { field: "checksum" });
    }
    let name = str::from_utf8(fields.take(name)?).ok().and_then(|name| name.parse().ok());
    let name = name.ok_or(FormatError::Field { field: "name" })?;
    let origin = Origin { array, stream, name, segment };
    let mut table = Table { origin, entries: Vec::new(), places: Vec::new() };
    let mut offset = head_bytes as u64;
    let mut told = None;
    for seq in 0..count {
        let (payload_bytes, crc) = (fields.u32()?, fields.u32()?);
        let head = Head::parse(&mut fields)?;
        let outline = parse_outline(&mut fields, bytes, &mut told)?;
        let (fragments, parity) = (Vec::new(), Vec::new());
        let map =
            BlockMap { segment, seq, fragments, parity, fragment_bytes: 0, payload_bytes, crc };
        table.entries.push(Entry { map, head, outline });
        table.places.push(Place { offset, bytes: payload_bytes, crc });
        offset += u64::from(payload_bytes);
    }
    if fields.rest() > 0 || offset != len {
        return Err(FormatError::Field { field: "length" });
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::index::tests::{any_head, map};
    use crate::format::outline::Outline;
    use crate::format::segment::State;
    use crate::sample;
    use pegasus_log::{Column, DiskIndex, SegmentRef};
    use proptest::prelude::*;

    fn origin() -> Origin {
        let name = "/cam/door".parse().unwrap();
        Origin { array: 7, stream: StreamId(5), name, segment: SegmentId(12) }
    }

    fn sample_object(heads: Vec<Head>) -> (Bytes, ObjectRef, Vec<(Entry, Bytes)>) {
        let outline = Outline::new(&sample::tracks(), b"a table");
        let blocks: Vec<_> = (0..)
            .zip(heads)
            .map(|(seq, head)| {
                let entry = Entry { map: map(12, seq), head, outline: outline.clone() };
                (entry, Bytes::from(vec![seq as u8; 10 + seq as usize]))
            })
            .collect();
        let (first, after) = (Time::from_secs(1_700_000_000), Totals { units: 9, bytes: 90 });
        let sealed = Sealed { end: first, after, span: 1, mark: None, index: None, asked: None };
        let column = Column { disk: DiskIndex(0), slot: 1 };
        let segment = SegmentRef { id: SegmentId(12), columns: vec![column] };
        let before = Totals::default();
        let record = SegmentRecord { segment, first, before, state: State::Sealed(sealed.clone()) };
        let (bytes, object) = emit(&origin(), &record, &sealed, &blocks);
        (bytes, object, blocks)
    }

    #[test]
    fn names_say_which_and_when() {
        let name = origin().object_name(Time::from_secs(1_700_000_000));
        assert_eq!(
            name,
            "00000000000000000000000000000007/cam/door/000000000012-20231114T221320Z.pgs"
        );
        assert_eq!(number_in(&name), Some(SegmentId(12)));
        assert_eq!(number_in("x/store.json"), None);
        assert_eq!(number_in("x/cam/door.pgs"), None);
    }

    proptest! {
        #[test]
        fn an_object_says_all_of_itself(heads in proptest::collection::vec(any_head(), 0..12)) {
            let (bytes, object, blocks) = sample_object(heads);
            prop_assert_eq!(bytes.len() as u64, object.bytes);
            let table = parse(&bytes.slice(..object.head_bytes as usize)).unwrap();
            prop_assert_eq!(&table.origin, &origin());
            prop_assert_eq!(table.entries.len(), blocks.len());
            for ((entry, place), (before, payload)) in
                table.entries.iter().zip(&table.places).zip(&blocks)
            {
                prop_assert!(entry.is_out());
                prop_assert_eq!((&entry.head, &entry.outline), (&before.head, &before.outline));
                let at = place.offset as usize;
                prop_assert_eq!(&bytes[at..at + place.bytes as usize], &payload[..]);
                prop_assert_eq!(crc32c::crc32c(payload), place.crc);
            }
        }

        #[test]
        fn what_is_changed_is_noticed(
            heads in proptest::collection::vec(any_head(), 1..4),
            at in any::<proptest::sample::Index>(),
            change in 1u8..,
        ) {
            let (bytes, object, _) = sample_object(heads);
            let mut head = bytes[..object.head_bytes as usize].to_vec();
            let at = at.index(head.len());
            head[at] ^= change;
            prop_assert!(parse(&head.into()).is_err());
        }

        #[test]
        fn any_bytes_parse_or_fail(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut whole = MAGIC.to_vec();
            whole.push(VERSION);
            whole.extend(bytes);
            let _ = parse(&whole.into());
        }
    }
}
