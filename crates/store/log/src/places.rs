//! Where everything is on the disks: for tests that damage each kind of it.

use std::collections::BTreeMap;
use std::ops::Range;

use pegasus_disk::SECTOR;

use crate::array::{Array, Probe};
use crate::format::checkpoint::Pointer;
use crate::format::fragment::{
    BlockHeader, FragmentHeader, HEADER_BYTES, SegmentKind, slice_bytes,
};
use crate::format::superblock::Superblock;
use crate::geometry::{POINTER_OFFSETS, superblock_offsets};
use crate::kinds::{Kind, things};
use crate::{Column, DiskIndex, Log, SegmentId, SegmentRef};

/// What part of its block, or which copy, something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// A copy of a superblock, or the pointer to even or odd checkpoints.
    Copy(u8),
    /// The header of a fragment.
    Header,
    /// Data, in the fragment at this position.
    Data(u8),
    /// Parity.
    Parity,
}

/// One thing on one disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// What it is.
    pub kind: Kind,
    /// What part of it.
    pub part: Part,
    /// The disk.
    pub disk: DiskIndex,
    /// Where on the disk, in bytes.
    pub range: Range<u64>,
    /// Where the superblock, pointer or fragment begins that holds it: by this it is named when it is damaged.
    pub begins: u64,
    /// Its segment, and the number of the block in it.
    pub block: Option<(SegmentId, u32)>,
}

/// The segments found in the slots that are in use, with the columns found.
type Found = BTreeMap<SegmentId, Vec<Column>>;

/// Stands for a column in which no fragment was found. No disk has so many slots.
const NOWHERE: Column = Column { disk: DiskIndex(0), slot: u32::MAX };

impl Log {
    /// All that stands in superblocks, pointers and slots in use, by what the headers there say alone. Of a block
    /// without all fragments, and of what is behind it in its segment, nothing is listed.
    ///
    /// Reads every byte in use, and lists it in memory: this is for small stores.
    #[must_use]
    pub fn places(&self) -> Vec<Place> {
        let mut places = self.survey_heads();
        for (id, columns) in self.survey_segments() {
            survey_segment(&self.array, &SegmentRef { id, columns }, &mut places);
        }
        places
    }

    fn survey_heads(&self) -> Vec<Place> {
        let mut places = Vec::new();
        for (disk, entry) in self.array.disks.iter() {
            let Some(device) = entry.disk() else { continue };
            let mut head = |kind, copy: usize, at: u64| {
                let sector = pegasus_disk::read(&**device, at, SECTOR);
                let valid = sector.is_ok_and(|sector| match kind {
                    Kind::Superblock => Superblock::parse(&sector).is_ok(),
                    _ => Pointer::parse(&sector).is_some(),
                });
                if valid {
                    let (part, range) = (Part::Copy(copy as u8), at..at + SECTOR as u64);
                    places.push(Place { kind, part, disk, range, begins: at, block: None });
                }
            };
            for (copy, at) in superblock_offsets(device.size()).into_iter().enumerate() {
                head(Kind::Superblock, copy, at);
            }
            for (slot, at) in POINTER_OFFSETS.into_iter().enumerate() {
                head(Kind::Pointer, slot, at);
            }
        }
        places
    }

    /// A slot is of the newest segment of which anything is in it.
    fn survey_segments(&self) -> Found {
        let alloc = self.writer.lock().alloc.clone();
        let mut found = Found::new();
        for disk in self.array.geometry.indices() {
            let slots = self.array.geometry.slots.get(disk).unwrap_or(0);
            for column in (0..slots).map(|slot| Column { disk, slot }) {
                if !alloc.owns(&[column]) {
                    continue;
                }
                let headers = headers_in(&self.array, column);
                let newest = headers.into_iter().max_by_key(|header| header.block.segment);
                if let Some(header) = newest {
                    let block = &header.block;
                    let columns = found.entry(block.segment).or_default();
                    columns.resize(usize::from(block.columns), NOWHERE);
                    columns[block.column(header.position)] = column;
                }
            }
        }
        found
    }
}

/// All valid headers in a slot that say they belong there.
fn headers_in(array: &Array, column: Column) -> Vec<FragmentHeader> {
    let rows = 0..array.geometry.rows();
    let extents: Vec<_> = rows.map(|row| (array.geometry.extent(column, row), SECTOR)).collect();
    let read = array.read_extents(&extents).into_iter().zip(0_u32..);
    read.filter_map(|(sector, row)| {
        let header = FragmentHeader::parse(&sector.ok()?)?;
        let block = &header.block;
        let own = block.array == array.id && block.row == row && block.kind != SegmentKind::Void;
        own.then_some(header)
    })
    .collect()
}

fn survey_segment(array: &Array, segment: &SegmentRef, places: &mut Vec<Place>) {
    let mut row = 0;
    loop {
        let probe = Probe { segment, row, column: None };
        let found = array.probe_rows(&[probe]).pop().unwrap_or_default();
        let Some((first, _)) = found.into_iter().find(|(h, _)| h.block.kind != SegmentKind::Void)
        else {
            return;
        };
        let header = first.block;
        let whole = array.read_row(segment, row, header.sectors, |own| *own == header).pop();
        let Some(block) = whole.filter(|block| block.got.iter().all(Option::is_some)) else {
            return;
        };
        survey_block(array, segment, &header, &block.payload_or_rebuilt(), places);
        row += header.sectors;
    }
}

fn survey_block(
    array: &Array,
    segment: &SegmentRef,
    header: &BlockHeader,
    payload: &[u8],
    places: &mut Vec<Place>,
) {
    let slice = slice_bytes(header.sectors);
    let found = things(header, payload);
    for position in 0..header.fragments() {
        let extent = array.geometry.extent(segment.columns[header.column(position)], header.row);
        let at = extent.offset;
        let mut place = |kind, part, range: Range<usize>| {
            let range = at + range.start as u64..at + range.end as u64;
            let block = Some((header.segment, header.seq));
            places.push(Place { kind, part, disk: extent.disk, range, begins: at, block });
        };
        for thing in &found {
            place(thing.kind, Part::Header, 0..HEADER_BYTES);
            if position >= header.data {
                place(thing.kind, Part::Parity, HEADER_BYTES..HEADER_BYTES + slice);
                continue;
            }
            let from = usize::from(position) * slice;
            let own = thing.range.start.max(from)..thing.range.end.min(from + slice);
            if !own.is_empty() {
                let range = own.start - from + HEADER_BYTES..own.end - from + HEADER_BYTES;
                place(thing.kind, Part::Data(position), range);
            }
        }
    }
}
