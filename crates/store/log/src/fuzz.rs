//! For fuzzing only: every parser of the log's formats behind one door.
#![doc(hidden)]

use crate::format::block::{BlockMap, SegmentRef};
use crate::format::checkpoint::{Body, Pointer};
use crate::format::fragment::FragmentHeader;
use crate::format::pnode::{Image, LeafAddrs, PageAddrs};
use crate::format::record::parse_payload;
use crate::format::superblock::Superblock;
use crate::garbage::parse_file;

/// Parses `bytes` as everything there is.
///
/// # Panics
/// If a value that was read is not written as it was read.
pub fn parse_all(bytes: &[u8]) {
    if let Some((segment, len)) = SegmentRef::parse(bytes) {
        let mut again = Vec::new();
        segment.emit(&mut again);
        assert_eq!(again, bytes[..len]);
    }
    if let Some((map, len)) = BlockMap::parse(bytes) {
        let mut again = Vec::new();
        map.emit(&mut again);
        assert_eq!(again, bytes[..len]);
    }
    if let Some(header) = FragmentHeader::parse(bytes) {
        assert_eq!(header.emit()[..], bytes[..header.emit().len()]);
    }
    if let Ok(superblock) = Superblock::parse(bytes) {
        assert_eq!(Superblock::parse(&superblock.emit()), Ok(superblock));
    }
    if let Some(pointer) = Pointer::parse(bytes) {
        assert_eq!(pointer.emit().and_then(|again| Pointer::parse(&again)), Some(pointer));
    }
    if let Some(body) = Body::parse(bytes) {
        assert_eq!(body.emit(), bytes);
    }
    if let Some(image) = Image::parse(bytes) {
        assert_eq!(image.emit(), bytes);
    }
    if let Some(leaf) = LeafAddrs::parse(bytes) {
        assert_eq!(leaf.emit(), bytes);
    }
    if let Some(page) = PageAddrs::parse(bytes) {
        assert_eq!(page.emit(), bytes);
    }
    if let Some((head, records)) = parse_payload(bytes) {
        let mut again = head.emit().to_vec();
        records.iter().for_each(|record| again.extend(record.emit()));
        assert_eq!(again, bytes);
    }
    if let Some(holes) = parse_file(bytes) {
        let mut again = Vec::new();
        holes.iter().for_each(|hole| hole.emit(&mut again));
        assert_eq!(again, bytes);
    }
}
