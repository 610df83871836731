//! Where things are: disks, columns, segments, blocks.

use std::fmt;

use pegasus_base::{PnodeId, StreamId};
use pegasus_disk::SECTOR;

use super::bytes::{Fields, Put};
use crate::code::PARITY_MAX;

/// Most disks of an array.
pub(crate) const DISKS_MAX: usize = 64;

/// Place of a disk in its array, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DiskIndex(pub u16);

impl fmt::Display for DiskIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "disk {}", self.0)
    }
}

/// Number of a segment. Never used again: it is the generation that tells what is in a slot from
/// what was there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentId(pub u64);

impl fmt::Display for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "segment {}", self.0)
    }
}

/// One slot of one disk: a segment's share of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Column {
    /// The disk.
    pub disk: DiskIndex,
    /// The slot on it.
    pub slot: u32,
}

/// A segment and where it lies.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SegmentRef {
    /// Its number.
    pub id: SegmentId,
    /// Its columns, parity's among them (its place rotates from block to block); each on another
    /// disk.
    pub columns: Vec<Column>,
}

impl SegmentRef {
    /// Appends the segment's bytes to `out`: 12 and 8 for each column.
    ///
    /// # Panics
    /// If it has more columns than an array may have disks.
    pub fn emit(&self, out: &mut Vec<u8>) {
        assert!(self.columns.len() <= DISKS_MAX, "a column for each disk at most");
        out.u64(self.id.0);
        out.u32(self.columns.len() as u32);
        for column in &self.columns {
            out.u32(u32::from(column.disk.0));
            out.u32(column.slot);
        }
    }

    /// Reads a segment from the front of `bytes`; also returns how many bytes it took. `None` if they
    /// can't be one.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<(Self, usize)> {
        let mut fields = Fields::new(bytes);
        let segment = Self::take(&mut fields)?;
        Some((segment, bytes.len() - fields.rest().len()))
    }

    pub(crate) fn take(fields: &mut Fields<'_>) -> Option<Self> {
        let id = SegmentId(fields.u64()?);
        let count = fields.u32()? as usize;
        if !(1..=DISKS_MAX).contains(&count) {
            return None;
        }
        let mut columns: Vec<Column> = Vec::with_capacity(count);
        for _ in 0..count {
            let disk = DiskIndex(u16::try_from(fields.u32()?).ok()?);
            let twice = columns.iter().any(|column| column.disk == disk);
            if twice || usize::from(disk.0) >= DISKS_MAX {
                return None;
            }
            columns.push(Column { disk, slot: fields.u32()? });
        }
        Some(Self { id, columns })
    }
}

/// Whose a continuous segment is. Stands in every fragment, so that a lost catalogue can be rebuilt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Owner {
    /// The pnode that lists the segment.
    pub pnode: PnodeId,
    /// The stream whose data it holds.
    pub stream: StreamId,
}

/// Place of a fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Extent {
    /// The disk.
    pub disk: DiskIndex,
    /// Where on it, in bytes; a multiple of [`SECTOR`].
    pub offset: u64,
}

/// A block's map: the disk and offset of each of its fragments and of their parity.
///
/// The map alone suffices to read the block and to rebuild as many fragments as it has parity; it does not
/// rely on how the segment was laid out.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BlockMap {
    /// The segment it was appended to.
    pub segment: SegmentId,
    /// Its number in the segment, from 0.
    pub seq: u32,
    /// Where its data fragments are, in the order of the payload.
    pub fragments: Vec<Extent>,
    /// Where their parity is: at most two.
    pub parity: Vec<Extent>,
    /// Length of each fragment with its header, in bytes; a multiple of [`SECTOR`].
    pub fragment_bytes: u32,
    /// Length of the payload in bytes; not 0.
    pub payload_bytes: u32,
    /// CRC-32C of the payload.
    pub crc: u32,
}

impl BlockMap {
    /// Bytes of an emitted map beside its extents, which take 8 each.
    const FIXED_BYTES: usize = 28;

    /// Where all fragments are: data, then parity.
    pub fn extents(&self) -> impl Iterator<Item = Extent> + '_ {
        self.fragments.iter().chain(&self.parity).copied()
    }

    /// Bytes [`BlockMap::emit`] appends.
    #[must_use]
    pub fn emitted_bytes(&self) -> usize {
        Self::FIXED_BYTES + 8 * (self.fragments.len() + self.parity.len())
    }

    /// Appends the map's bytes to `out`.
    ///
    /// # Panics
    /// If the map is not one that [`BlockMap::parse`] would accept.
    pub fn emit(&self, out: &mut Vec<u8>) {
        assert!(self.is_valid(), "an impossible block map: {self:?}");
        out.u64(self.segment.0);
        out.u32(self.seq);
        out.u32(self.fragment_bytes);
        out.u32(self.payload_bytes);
        out.u32(self.crc);
        out.u8(self.fragments.len() as u8); // at most DISKS_MAX
        out.u8(self.parity.len() as u8); // at most PARITY_MAX
        out.u16(0);
        for extent in self.extents() {
            out.u64((u64::from(extent.disk.0) << 48) | (extent.offset / SECTOR as u64));
        }
    }

    /// Reads a map from the front of `bytes`; also returns how many bytes it took. `None` if they can't
    /// be one.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<(Self, usize)> {
        let mut fields = Fields::new(bytes);
        let segment = SegmentId(fields.u64()?);
        let (seq, fragment_bytes) = (fields.u32()?, fields.u32()?);
        let (payload_bytes, crc) = (fields.u32()?, fields.u32()?);
        let (data, parity) = (fields.u8()?, fields.u8()?);
        fields.zeros(2)?;
        let fragments = (0..data).map(|_| take_extent(&mut fields)).collect::<Option<_>>()?;
        let parity = (0..parity).map(|_| take_extent(&mut fields)).collect::<Option<_>>()?;
        let map = Self { segment, seq, fragments, parity, fragment_bytes, payload_bytes, crc };
        map.is_valid().then(|| {
            let taken = map.emitted_bytes();
            (map, taken)
        })
    }

    fn is_valid(&self) -> bool {
        let data = self.fragments.len();
        let mut disks: Vec<DiskIndex> = self.extents().map(|extent| extent.disk).collect();
        disks.sort_unstable();
        let apart = disks.windows(2).all(|pair| pair[0] != pair[1]);
        let in_range = disks.iter().all(|disk| usize::from(disk.0) < DISKS_MAX);
        let sectors = self.extents().all(|extent| {
            extent.offset.is_multiple_of(SECTOR as u64) && extent.offset / (SECTOR as u64) < 1 << 48
        });
        (1..=DISKS_MAX).contains(&data)
            && self.parity.len() <= usize::from(PARITY_MAX)
            && apart
            && in_range
            && sectors
            && self.fragment_bytes > 0
            && self.fragment_bytes.is_multiple_of(SECTOR as u32)
            && self.payload_bytes > 0
            && u64::from(self.payload_bytes) <= data as u64 * u64::from(self.fragment_bytes)
    }
}

fn take_extent(fields: &mut Fields<'_>) -> Option<Extent> {
    let packed = fields.u64()?;
    let disk = DiskIndex((packed >> 48) as u16);
    let sector = packed & ((1 << 48) - 1);
    Some(Extent { disk, offset: sector.checked_mul(SECTOR as u64)? })
}
