//! Content written where it stays.
//!
//! What a batch writes in whole content blocks, enough of them, does not go through the log: it goes into a
//! *content segment*, as wide as the array, and the transaction only says where. So bulk data is written once, with
//! parity rather than a copy, and is not kept in memory until the next checkpoint. The blocks hold
//! pieces with their owners, as a checkpoint's do; what dies of them are holes in the garbage file like any
//! other, and the cleaner moves the rest.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use pegasus_base::PnodeId;

use crate::batch::Batch;
use crate::format::fragment::{BlockHeader, HEADER_BYTES};
use crate::format::pnode::{CONTENT_BYTES, LogAddr};
use crate::format::record::{HEAD_BYTES, LogHead, PIECE_HEAD_BYTES, PieceKind, Record};
use crate::pnode::Pnode;
use crate::stripe::Built;
use crate::{LogError, Owner, SegmentId};

/// Fewer whole blocks than these go through the log.
const DIRECT_BLOCKS_MIN: usize = 4;
/// Most pieces one record of a transaction names.
const PLACED_MAX: usize = 128;
/// Pieces of a block.
const PIECES_MAX: usize = 64;
const PIECE_BYTES: usize = PIECE_HEAD_BYTES + CONTENT_BYTES;

/// What came of writing to a pnode, until its copy is back.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    pub(crate) records: Vec<Record>,
    /// Blocks of the pnode that wait to be placed.
    pub(crate) pending: Vec<u64>,
}

/// A whole content block to be written.
pub(crate) type Piece<'a> = (PnodeId, u64, &'a [u8]);

/// Which part of `len` bytes at `offset` is written where it stays; empty if none.
pub(crate) fn direct_part(offset: u64, len: usize, front: u64) -> Range<usize> {
    let content = CONTENT_BYTES as u64;
    let to_start = (offset.next_multiple_of(content) - offset) as usize;
    let blocks = len.saturating_sub(to_start) / CONTENT_BYTES;
    if blocks < DIRECT_BLOCKS_MIN || offset < front {
        return 0..0;
    }
    to_start..to_start + blocks * CONTENT_BYTES
}

/// Part of the payload of a block that was just built.
pub(crate) fn payload_part(built: &Built, part: Range<usize>) -> Vec<u8> {
    let slice = built.fragments[0].len() - HEADER_BYTES;
    let mut bytes = Vec::with_capacity(part.len());
    let mut at = part.start;
    while at < part.end {
        let from = at % slice;
        let here = (part.end - at).min(slice - from);
        let fragment = &built.fragments[at / slice][HEADER_BYTES..];
        bytes.extend_from_slice(&fragment[from..from + here]);
        at += here;
    }
    bytes
}

impl Batch<'_> {
    /// Reads a piece, perhaps one that was written just now.
    pub(crate) fn load(&self, addr: &LogAddr) -> Result<Vec<u8>, LogError> {
        match self.content_built.get(&(addr.segment, addr.row)) {
            Some(built) => {
                let from = addr.offset as usize;
                Ok(payload_part(built, from..from + addr.len_bytes as usize))
            }
            None => match self.preloaded.get(addr) {
                Some(bytes) => Ok(bytes.clone()),
                None => self.log.load(addr),
            },
        }
    }

    /// Takes whole blocks that are to be placed: long runs at once, others together with what comes.
    pub(crate) fn write_placed(
        &mut self,
        changed: &mut Pnode,
        offset: u64,
        bytes: &[u8],
        parts: &mut Parts,
    ) -> Result<(), LogError> {
        let now = bytes.len() / CONTENT_BYTES / PIECES_MAX * PIECES_MAX * CONTENT_BYTES;
        let (now, later) = bytes.split_at(now);
        let first = offset / CONTENT_BYTES as u64;
        let pieces: Vec<Piece<'_>> = (first..)
            .zip(now.chunks(CONTENT_BYTES))
            .map(|(index, bytes)| (changed.id, index, bytes))
            .collect();
        let addrs = self.append_content(&pieces)?;
        if !addrs.is_empty() {
            changed.place(first, &addrs, &|addr| self.load(addr))?;
        }
        for (at, addrs) in (0..).zip(addrs.chunks(PLACED_MAX)) {
            let first = first + at * PLACED_MAX as u64;
            parts.records.push(Record::Placed { pnode: changed.id, first, addrs: addrs.to_vec() });
        }
        changed.write(offset + now.len() as u64, later, &|addr| self.load(addr))?;
        let first = first + addrs.len() as u64;
        let blocks = first..first + (later.len() / CONTENT_BYTES) as u64;
        parts.pending.extend(blocks);
        Ok(())
    }

    /// Places what waits, if it is enough for a block. A full store is told when the batch is committed.
    pub(crate) fn place_if_enough(&mut self) -> Result<(), LogError> {
        if self.pending.len() < PIECES_MAX {
            return Ok(());
        }
        match self.place_pending() {
            Err(LogError::Full { .. }) => Ok(()),
            other => other,
        }
    }

    /// Places what waits. What of it was cut shorter meanwhile goes through the log.
    pub(crate) fn place_pending(&mut self) -> Result<(), LogError> {
        let content = |(pnode, block): &(PnodeId, u64)| {
            let content = self.pnodes.get(pnode)?.as_ref()?.changed_block(*block)?;
            Some((*pnode, *block, content))
        };
        let waiting: Vec<(PnodeId, u64, Bytes)> = self.pending.iter().filter_map(content).collect();
        let (whole, cut): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|(_, _, bytes)| bytes.len() == CONTENT_BYTES);
        let pieces: Vec<Piece<'_>> =
            whole.iter().map(|(p, b, bytes)| (*p, *b, &bytes[..])).collect();
        let addrs = self.append_content(&pieces)?;
        let mut records = Vec::new();
        for ((pnode, first, _), addr) in whole.into_iter().zip(addrs) {
            self.place_one(pnode, first, addr)?;
            match records.last_mut() {
                Some(Record::Placed { pnode: last, first: begin, addrs })
                    if *last == pnode
                        && *begin + addrs.len() as u64 == first
                        && addrs.len() < PLACED_MAX =>
                {
                    addrs.push(addr);
                }
                _ => records.push(Record::Placed { pnode, first, addrs: vec![addr] }),
            }
        }
        for (pnode, block, bytes) in cut {
            let offset = block * CONTENT_BYTES as u64;
            records.push(Record::Write { pnode, offset, bytes: bytes.to_vec() });
        }
        self.pending.clear();
        self.adopt(records);
        Ok(())
    }

    fn place_one(&mut self, pnode: PnodeId, block: u64, addr: LogAddr) -> Result<(), LogError> {
        let Some(Some(found)) = self.pnodes.remove(&pnode) else { return Ok(()) };
        let mut changed = Arc::unwrap_or_clone(found);
        let outcome = changed.place(block, &[addr], &|addr| self.load(addr));
        self.pnodes.insert(pnode, Some(Arc::new(changed)));
        outcome
    }

    /// Moves whole content blocks that are still where they were, for the cleaner; how many are alive. Each
    /// with its number, where it is, and what is in it.
    pub(crate) fn move_content(
        &mut self,
        pnode: PnodeId,
        blocks: Vec<(u64, LogAddr, Bytes)>,
    ) -> Result<usize, LogError> {
        let Some(found) = self.find(pnode)? else { return Ok(0) };
        let mut changed = (*found).clone();
        let mut alive = 0;
        for (index, addr, bytes) in blocks {
            if changed.move_block(index, &addr, bytes, &|addr| self.load(addr))? {
                self.pending.insert((pnode, index));
                alive += 1;
            }
        }
        if alive > 0 {
            self.pnodes.insert(pnode, Some(Arc::new(changed)));
        }
        Ok(alive)
    }

    /// Makes records part of the transaction.
    pub(crate) fn adopt(&mut self, records: Vec<Record>) {
        for record in &records {
            if let Record::Placed { addrs, .. } = record {
                self.placed.extend_from_slice(addrs);
            }
        }
        self.records.extend(records);
    }

    /// Hands whole content blocks to the disks; where each is. They belong to the batch, but nothing refers
    /// to them yet.
    pub(crate) fn append_content(
        &mut self,
        pieces: &[Piece<'_>],
    ) -> Result<Vec<LogAddr>, LogError> {
        let mut addrs = Vec::with_capacity(pieces.len());
        let mut rest = pieces;
        while !rest.is_empty() {
            let segment = self.content_segment()?;
            let fit = (self.room(segment) as usize - HEAD_BYTES) / PIECE_BYTES;
            let (now, later) = rest.split_at(rest.len().min(fit).min(PIECES_MAX));
            let head = LogHead { pieces: true, last: false, part: 0 }.emit();
            let heads: Vec<Vec<u8>> = now.iter().map(piece_head).collect();
            let mut parts: Vec<&[u8]> = vec![&head];
            for (head, (_, _, bytes)) in heads.iter().zip(now) {
                parts.push(head);
                parts.push(bytes);
            }
            let header = self.append_block(segment, &parts, true)?;
            for (at, (_, _, bytes)) in now.iter().enumerate() {
                let offset = HEAD_BYTES + at * PIECE_BYTES + PIECE_HEAD_BYTES;
                addrs.push(addr_in(&header, offset, bytes));
            }
            rest = later;
        }
        Ok(addrs)
    }

    /// The open content segment, with room for a piece at least.
    fn content_segment(&mut self) -> Result<SegmentId, LogError> {
        if let Some(open) = self.content {
            if self.room(open) >= (HEAD_BYTES + PIECE_BYTES) as u64 {
                return Ok(open);
            }
            self.seal_segment(open)?;
            self.content = None;
        }
        let width = self.log.array.geometry.data;
        let segment = self.open_segment_for(Owner::default(), width, self.purpose)?;
        self.content = Some(segment.id);
        self.content_opened.push(segment.clone());
        Ok(segment.id)
    }
}

/// What stands before a piece; see [`Record::emit`].
fn piece_head((owner, index, bytes): &Piece<'_>) -> Vec<u8> {
    let empty = Record::Piece {
        kind: PieceKind::Content,
        owner: owner.0,
        index: *index,
        bytes: Vec::new(),
    };
    let mut head = empty.emit();
    let len_bytes = (PIECE_BYTES - PIECE_HEAD_BYTES + 16) as u32;
    debug_assert_eq!(bytes.len(), CONTENT_BYTES, "only whole blocks are placed");
    head[4..8].copy_from_slice(&len_bytes.to_le_bytes());
    head
}

fn addr_in(header: &BlockHeader, offset: usize, bytes: &[u8]) -> LogAddr {
    LogAddr {
        segment: header.segment,
        row: header.row,
        seq: header.seq,
        data: header.data,
        sectors: header.sectors as u16, // at most a slot's
        offset: offset as u32,
        len_bytes: bytes.len() as u32,
        crc: crc32c::crc32c(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_blocks_are_placed() {
        let block = CONTENT_BYTES;
        assert_eq!(direct_part(0, 4 * block, 0), 0..4 * block);
        assert_eq!(direct_part(0, 4 * block - 1, 0), 0..0);
        assert_eq!(direct_part(100, 5 * block, 0), block - 100..5 * block - 100);
        assert_eq!(direct_part(100, 5 * block, 101), 0..0);
    }

    #[test]
    fn the_head_is_a_records() {
        let bytes = vec![7; CONTENT_BYTES];
        let whole =
            Record::Piece { kind: PieceKind::Content, owner: 20, index: 9, bytes: bytes.clone() };
        let head = piece_head(&(PnodeId(20), 9, &bytes));
        assert_eq!(whole.emit(), [head, bytes].concat());
    }
}
