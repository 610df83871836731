//! The garbage file: one entry for each hole in the normal log.
//!
//! A well-known pnode. Entries are appended by the checkpoint that makes the holes final. What a
//! segment holds that is no hole is alive; a cleaner reads the entries up to a mark, sorts them by
//! segment and copies the rest, at a cost that depends on the garbage alone. Entries name the
//! segment's number, which is its generation: a slot used again inherits nothing.
//!
//! Segments that died whole are freed without an entry. Entries of segments that are gone are dropped
//! when they outnumber the others.

use std::collections::BTreeMap;

use pegasus_base::PnodeId;

use crate::SegmentId;
use crate::format::bytes::{Fields, Put};
use crate::format::checkpoint::LogSegment;
use crate::format::pnode::LogAddr;
use crate::format::record::PIECE_HEAD_BYTES;

/// The garbage file's pnode.
pub(crate) const GARBAGE_PNODE: PnodeId = PnodeId(2);
/// Its kind.
pub(crate) const GARBAGE_KIND: u16 = 0xffff;
/// Length of an entry.
pub(crate) const ENTRY_BYTES: usize = 24;
/// It is not written anew for less than so many stale entries.
const STALE_MIN: u64 = 4096;

/// Bytes of a log block's payload that nothing needs any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Hole {
    pub(crate) segment: SegmentId,
    /// First row of the block.
    pub(crate) row: u32,
    /// Where in its payload.
    pub(crate) offset: u32,
    pub(crate) len_bytes: u32,
}

impl Hole {
    /// The hole that a dead piece leaves, with its record's head.
    pub(crate) fn of(addr: &LogAddr) -> Self {
        let head = PIECE_HEAD_BYTES as u32;
        Self {
            segment: addr.segment,
            row: addr.row,
            offset: addr.offset.saturating_sub(head),
            len_bytes: addr.len_bytes + head,
        }
    }

    pub(crate) fn emit(&self, out: &mut Vec<u8>) {
        out.u64(self.segment.0);
        out.u32(self.row);
        out.u32(self.offset);
        out.u32(self.len_bytes);
        out.u32(0);
    }

    pub(crate) fn take(fields: &mut Fields<'_>) -> Option<Self> {
        let segment = SegmentId(fields.u64()?);
        let (row, offset, len_bytes) = (fields.u32()?, fields.u32()?, fields.u32()?);
        fields.zeros(4)?;
        Some(Self { segment, row, offset, len_bytes })
    }
}

/// All entries of the file; `None` if it is not one.
pub(crate) fn parse_file(bytes: &[u8]) -> Option<Vec<Hole>> {
    let mut fields = Fields::new(bytes);
    let mut holes = Vec::with_capacity(bytes.len() / ENTRY_BYTES);
    while !fields.is_empty() {
        holes.push(Hole::take(&mut fields)?);
    }
    Some(holes)
}

/// The segments' counts, and which holes have to be written down.
#[derive(Debug)]
pub(crate) struct Accounts {
    pub(crate) segments: BTreeMap<SegmentId, LogSegment>,
}

impl Accounts {
    /// So many bytes of records were written.
    pub(crate) fn written(&mut self, records: &Hole) {
        if let Some(log) = self.segments.get_mut(&records.segment) {
            log.written_bytes += u64::from(records.len_bytes);
        }
    }

    /// A piece was written.
    pub(crate) fn born(&mut self, addr: &LogAddr) {
        if let Some(log) = self.segments.get_mut(&addr.segment) {
            log.live_bytes += u64::from(Hole::of(addr).len_bytes);
        }
    }

    /// A piece died.
    ///
    /// # Panics
    /// If more dies than lived: a piece was counted twice.
    pub(crate) fn died(&mut self, addr: &LogAddr) {
        if let Some(log) = self.segments.get_mut(&addr.segment) {
            let len = u64::from(Hole::of(addr).len_bytes);
            assert!(log.live_bytes >= len, "{} loses more than it holds", addr.segment);
            log.live_bytes -= len;
        }
    }

    /// Takes out the segments with nothing alive in them, those of `kept` apart.
    pub(crate) fn take_dead(&mut self, kept: &[SegmentId]) -> Vec<LogSegment> {
        let dead: Vec<SegmentId> = self
            .segments
            .values()
            .map(|log| log.segment.id)
            .filter(|id| self.segments[id].live_bytes == 0 && !kept.contains(id))
            .collect();
        dead.iter().filter_map(|id| self.segments.remove(id)).collect()
    }

    /// Counts the entries to be written for `holes`; those of segments that are gone are left out.
    pub(crate) fn enter(&mut self, holes: &[Hole]) -> Vec<u8> {
        let mut entries = Vec::with_capacity(holes.len() * ENTRY_BYTES);
        for hole in holes {
            if let Some(log) = self.segments.get_mut(&hole.segment) {
                log.holes += 1;
                hole.emit(&mut entries);
            }
        }
        entries
    }

    /// Entries that count.
    pub(crate) fn entries(&self) -> u64 {
        self.segments.values().map(|log| log.holes).sum()
    }

    /// Whether a file of `len_bytes` has so many stale entries that it should be written anew.
    pub(crate) fn should_compact(&self, len_bytes: u64) -> bool {
        let stale = (len_bytes / ENTRY_BYTES as u64).saturating_sub(self.entries());
        stale > STALE_MIN && stale > self.entries()
    }
}
