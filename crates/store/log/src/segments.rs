//! Appending to an open continuous segment.

use pegasus_base::ArrayId;
use pegasus_disk::SECTOR;

use crate::disks::Disks;
use crate::format::checkpoint::{Cursor, OpenSegment};
use crate::format::fragment::{
    BlockHeader, HEADER_BYTES, SegmentKind, fragment_sectors, slice_bytes,
};
use crate::stripe::{self, Built};
use crate::{LogError, Owner, SegmentRef};

/// No block has a longer payload, so that lengths fit their fields with room to spare.
const PAYLOAD_BYTES_MAX: u64 = 1 << 30;

impl OpenSegment {
    /// A segment with nothing in it.
    pub(crate) fn new(segment: SegmentRef, owner: Owner, data: u8) -> Self {
        assert!(usize::from(data) <= segment.columns.len(), "more data than columns");
        Self { owner, data, cursor: Cursor { segment, row: 0, seq: 0, chain: 0 } }
    }

    /// Parity columns.
    pub(crate) fn parity(&self) -> u8 {
        self.cursor.segment.columns.len() as u8 - self.data
    }

    fn dead_columns(&self, disks: &Disks) -> usize {
        let columns = &self.cursor.segment.columns;
        columns.iter().filter(|column| !disks.is_ok(column.disk)).count()
    }

    /// Payload bytes that physically fit into one more block.
    fn remaining(&self, rows: u32) -> u64 {
        let slice = slice_bytes(rows.saturating_sub(self.cursor.row)) as u64;
        (slice * u64::from(self.data)).min(PAYLOAD_BYTES_MAX)
    }

    /// Payload bytes that should still be put into one more block: none if a disk under it is dead, or about to leave.
    pub(crate) fn room(&self, rows: u32, disks: &Disks) -> u64 {
        let columns = self.cursor.segment.columns.iter();
        let leaves = disks.is_shunned(columns.map(|column| column.disk));
        if leaves || self.dead_columns(disks) > 0 { 0 } else { self.remaining(rows) }
    }

    /// Builds the next block. A payload too short to fill all data columns takes fewer.
    pub(crate) fn append<P: AsRef<[u8]>>(
        &mut self,
        array: ArrayId,
        rows: u32,
        disks: &Disks,
        commit: u64,
        parts: &[P],
    ) -> Result<Built, LogError> {
        let segment = self.cursor.segment.id;
        let wanted_bytes: u64 = parts.iter().map(|part| part.as_ref().len() as u64).sum();
        let room_bytes = self.remaining(rows);
        if wanted_bytes > room_bytes {
            return Err(LogError::SegmentFull { segment, wanted_bytes, room_bytes });
        }
        if self.dead_columns(disks) > usize::from(self.parity()) {
            return Err(LogError::Crippled { segment });
        }
        let slices = wanted_bytes.div_ceil((SECTOR - HEADER_BYTES) as u64);
        let data = u8::try_from(slices).unwrap_or(u8::MAX).clamp(1, self.data);
        debug_assert!(
            self.cursor.row + fragment_sectors(wanted_bytes as usize, data) <= rows,
            "what fits over all columns in full fits"
        );
        let header = BlockHeader {
            array,
            segment,
            kind: SegmentKind::Continuous,
            owner: self.owner,
            seq: self.cursor.seq,
            row: self.cursor.row,
            columns: self.cursor.segment.columns.len() as u8,
            data,
            parity: self.parity(),
            sectors: 0,
            payload_bytes: 0,
            payload_crc: 0,
            previous: self.cursor.chain,
            commit,
        };
        let built = stripe::build(header, parts);
        self.cursor.row += built.header.sectors;
        self.cursor.seq += 1;
        self.cursor.chain = built.header.chain();
        Ok(built)
    }
}
