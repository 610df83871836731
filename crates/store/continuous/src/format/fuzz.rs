//! One entrance to all parsers, for fuzzing.

use bytes::Bytes;
use pegasus_base::StreamId;
use pegasus_log::SegmentId;

use super::block::{self, Block, Contents, KIND_INDEX, KIND_UNITS};
use super::catalogue::StreamRecord;
use super::index;
use super::object;
use super::segment::{SegmentRecord, record_len};
use super::span::SpanRecord;
use super::tracks;

/// Reads any bytes as each of the structures on disk, and checks that what could be read is written the
/// same.
///
/// # Panics
/// If it isn't: a fault of this crate.
pub fn fuzz_formats(bytes: &[u8]) {
    let (stream, segment) = (StreamId(7), SegmentId(9));
    if let Ok(record) = SpanRecord::parse(bytes) {
        let mut out = Vec::new();
        record.emit(&mut out);
        assert_eq!(SpanRecord::parse(&out), Ok(record));
    }
    if let Ok(record) = SegmentRecord::parse(bytes) {
        assert_eq!(SegmentRecord::parse(&record.emit(record_len(64))), Ok(record));
    }
    if let Ok(Some(record)) = StreamRecord::parse(bytes) {
        assert_eq!(StreamRecord::parse(&record.emit()), Ok(Some(record)));
    }
    if let Ok(tracks) = tracks::parse(bytes) {
        let mut out = Vec::new();
        tracks::emit(&tracks, &mut out);
        assert_eq!(tracks::parse(&out), Ok(tracks));
    }
    // What stands before an object's blocks has checksums: to pass them is for its own tests.
    let _ = object::parse(&Bytes::copy_from_slice(bytes));
    index_payload(bytes, stream, segment);
    units_payload(bytes, stream);
}

/// The payload of this kind that goes on with `bytes`.
fn payload(kind: u8, stream: StreamId, bytes: &[u8]) -> Bytes {
    let mut payload = Vec::new();
    block::emit_prefix(kind, stream, &mut payload);
    payload.extend_from_slice(bytes);
    payload.into()
}

fn index_payload(bytes: &[u8], stream: StreamId, segment: SegmentId) {
    let bytes = [&segment.0.to_le_bytes(), bytes].concat();
    let Ok(entries) = index::parse(&payload(KIND_INDEX, stream, &bytes), stream, segment) else {
        return;
    };
    for entry in &entries {
        let _ = entry.outline.as_ref().map(|outline| outline.contents(&entry.head));
    }
    let out = index::emit(stream, segment, &entries);
    assert_eq!(index::parse(&out.into(), stream, segment), Ok(entries));
}

fn units_payload(bytes: &[u8], stream: StreamId) {
    let payload = payload(KIND_UNITS, stream, bytes);
    let Ok(block) = Block::parse(&payload, stream) else { return };
    let Contents { head, rows, .. } = &block.contents;
    let bytes: usize = rows.iter().map(|row| block.unit(row).data.len()).sum();
    assert_eq!(bytes as u64, head.holds.bytes);
    if let Some(outline) = block::parse_outline(&payload, stream) {
        assert_eq!(outline.contents(head).map(|contents| contents.rows), Ok(rows.clone()));
    }
    let _ = block.agrees();
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            fuzz_formats(&bytes);
        }

        #[test]
        fn bytes_that_are_almost_a_record(
            at in 0usize..256,
            noise in proptest::collection::vec(any::<u8>(), 1..20),
            columns in 1u8..6,
        ) {
            // Sealed, with an index, of so many columns: most of what random bytes never reach.
            let mut bytes = vec![2u8, 3, 0, 0, 0, 0, 0, 0];
            bytes.resize(80, 0);
            bytes.extend(5u64.to_le_bytes());
            bytes.extend(u32::from(columns).to_le_bytes());
            for disk in 0..u32::from(columns) {
                bytes.extend([disk, 1].map(u32::to_le_bytes).concat());
            }
            bytes.resize(300, 0);
            for (byte, noise) in bytes[at..].iter_mut().zip(noise) {
                *byte = noise;
            }
            fuzz_formats(&bytes);
        }
    }
}
