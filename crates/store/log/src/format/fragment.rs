//! The header of a fragment: whose it is, and how it belongs to its block.

use pegasus_base::{ArrayId, PnodeId, StreamId};
use pegasus_disk::SECTOR;

use super::block::{Owner, SegmentId};
use super::bytes::{Fields, Put};
use crate::code::PARITY_MAX;

/// Length of the header in bytes; the fragment's slice of the payload follows.
pub(crate) const HEADER_BYTES: usize = 128;
const MAGIC: [u8; 4] = *b"PGfr";
const VERSION: u8 = 1;
/// Where the header's own checksum stands.
const CRC_AT: usize = HEADER_BYTES - 4;

const _: () = assert!(HEADER_BYTES < SECTOR, "a header is read with one sector");

/// What a segment is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SegmentKind {
    /// The normal log: transactions and checkpoints.
    Log,
    /// Blocks of one owner.
    Continuous,
    /// None: the block was taken back, and no block of its commit or an earlier one is here any more.
    Void,
}

/// What all fragments of a block say alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockHeader {
    pub(crate) array: ArrayId,
    pub(crate) segment: SegmentId,
    pub(crate) kind: SegmentKind,
    pub(crate) owner: Owner,
    /// Number of the block in its segment.
    pub(crate) seq: u32,
    /// First row of the block in each of its columns, in sectors.
    pub(crate) row: u32,
    /// Columns of the segment.
    pub(crate) columns: u8,
    /// Data fragments of the block.
    pub(crate) data: u8,
    /// Parity fragments of the block.
    pub(crate) parity: u8,
    /// Length of each fragment in sectors, header included.
    pub(crate) sectors: u32,
    pub(crate) payload_bytes: u32,
    pub(crate) payload_crc: u32,
    /// [`BlockHeader::chain`] of the block before.
    pub(crate) previous: u32,
    /// Number of the commit that wrote the block.
    pub(crate) commit: u64,
}

/// The whole header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FragmentHeader {
    pub(crate) block: BlockHeader,
    /// Place among the block's fragments; from `data` on they are parity.
    pub(crate) position: u8,
    /// CRC of everything behind the header.
    pub(crate) slice_crc: u32,
    /// CRC of what is behind the header in its own sector: one sector can be verified alone.
    pub(crate) first_crc: u32,
}

impl BlockHeader {
    /// Fragments in all.
    pub(crate) fn fragments(&self) -> u8 {
        self.data + self.parity
    }

    /// Index of the column that holds the fragment at `position`: parity rotates with the blocks.
    pub(crate) fn column(&self, position: u8) -> usize {
        (self.seq as usize % usize::from(self.columns) + usize::from(position))
            % usize::from(self.columns)
    }

    /// What ties the next block to this one: a checksum over all its fragments say alike.
    pub(crate) fn chain(&self) -> u32 {
        let header =
            FragmentHeader { block: *self, position: 0, slice_crc: 0, first_crc: 0 }.fields();
        crc32c::crc32c(&header)
    }
}

impl FragmentHeader {
    /// The header as it stands at the front of a fragment.
    pub(crate) fn emit(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let fields = self.fields();
        bytes[..fields.len()].copy_from_slice(&fields);
        let crc = crc32c::crc32c(&bytes[..CRC_AT]);
        bytes[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn fields(&self) -> Vec<u8> {
        let block = &self.block;
        let mut out = Vec::with_capacity(HEADER_BYTES);
        out.bytes(&MAGIC);
        out.u8(VERSION);
        out.u8(match block.kind {
            SegmentKind::Log => 1,
            SegmentKind::Continuous => 2,
            SegmentKind::Void => 3,
        });
        out.u8(self.position);
        out.u8(block.data);
        out.u8(block.parity);
        out.u8(block.columns);
        out.u16(0);
        out.u32(block.seq);
        out.bytes(&block.array.to_bytes());
        out.u64(block.segment.0);
        out.u64(block.owner.pnode.0);
        out.bytes(&block.owner.stream.to_bytes());
        out.u32(block.row);
        out.u32(block.sectors);
        out.u32(block.payload_bytes);
        out.u32(block.payload_crc);
        out.u32(block.previous);
        out.u32(self.slice_crc);
        out.u32(self.first_crc);
        out.u32(0);
        out.u64(block.commit);
        out
    }

    /// Reads the header at the front of `bytes`. `None` if there is no valid one.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..HEADER_BYTES)?;
        let mut fields = Fields::new(bytes);
        if fields.array()? != MAGIC || fields.u8()? != VERSION {
            return None;
        }
        let crc = bytes.last_chunk().map(|crc| u32::from_le_bytes(*crc))?;
        if crc32c::crc32c(&bytes[..CRC_AT]) != crc {
            return None;
        }
        let header = Self::take(&mut fields)?;
        fields.zeros(CRC_AT - 104)?;
        header.is_valid().then_some(header)
    }

    fn take(fields: &mut Fields<'_>) -> Option<Self> {
        let kind = match fields.u8()? {
            1 => SegmentKind::Log,
            2 => SegmentKind::Continuous,
            3 => SegmentKind::Void,
            _ => return None,
        };
        let (position, data) = (fields.u8()?, fields.u8()?);
        let (parity, columns) = (fields.u8()?, fields.u8()?);
        fields.zeros(2)?;
        let seq = fields.u32()?;
        let array = ArrayId::from_bytes(fields.array()?);
        let segment = SegmentId(fields.u64()?);
        let pnode = PnodeId(fields.u64()?);
        let owner = Owner { pnode, stream: StreamId::from_bytes(fields.array()?) };
        let (row, sectors) = (fields.u32()?, fields.u32()?);
        let (payload_bytes, payload_crc) = (fields.u32()?, fields.u32()?);
        let (previous, slice_crc, first_crc) = (fields.u32()?, fields.u32()?, fields.u32()?);
        fields.zeros(4)?;
        let commit = fields.u64()?;
        let block = BlockHeader {
            array,
            segment,
            kind,
            owner,
            seq,
            row,
            columns,
            data,
            parity,
            sectors,
            payload_bytes,
            payload_crc,
            previous,
            commit,
        };
        Some(Self { block, position, slice_crc, first_crc })
    }

    fn is_valid(&self) -> bool {
        let block = &self.block;
        let fragments = block.data.checked_add(block.parity);
        let room = slice_bytes(block.sectors).checked_mul(usize::from(block.data));
        block.data > 0
            && block.parity <= PARITY_MAX
            && fragments.is_some_and(|count| count <= block.columns && self.position < count)
            && block.payload_bytes > 0
            && room.is_some_and(|room| block.payload_bytes as usize <= room)
            && block.sectors > 0
    }
}

/// Payload bytes a fragment of `sectors` sectors holds.
pub(crate) fn slice_bytes(sectors: u32) -> usize {
    (sectors as usize * SECTOR).saturating_sub(HEADER_BYTES)
}

/// Sectors of each fragment of a block with `payload_bytes` over `data` fragments.
pub(crate) fn fragment_sectors(payload_bytes: usize, data: u8) -> u32 {
    let slice = payload_bytes.div_ceil(usize::from(data));
    let sectors = (slice + HEADER_BYTES).div_ceil(SECTOR);
    u32::try_from(sectors).expect("a block fits into a slot of at most 64 MiB")
}
