//! Pnodes in a batch: working copies, changed one call after the other, and the records that say so.

use std::ops::Range;
use std::sync::Arc;

use pegasus_base::PnodeId;

use super::Batch;
use crate::LogError;
use crate::content::{Parts, direct_part};
use crate::format::pnode::CONTENT_BYTES;
use crate::format::record::Record;
use crate::garbage::GARBAGE_PNODE;
use crate::log::{FILES_PNODE, FIRST_PNODE, ROOT_PNODE};
use crate::pnode::Pnode;

/// Pieces written to one copy of a pnode.
const RUNS_AT_ONCE: usize = 64;
/// Longest piece of a pnode's content that one record holds, in bytes.
const WRITE_RECORD_BYTES_MAX: usize = 16 << 10;

impl Batch<'_> {
    /// Makes an empty pnode. `kind` is the caller's.
    pub fn create_pnode(&mut self, kind: u16) -> PnodeId {
        let pnode = PnodeId(self.next_pnode);
        self.next_pnode += 1;
        self.pnodes.insert(pnode, Some(Arc::new(Pnode::new(pnode, kind))));
        self.records.push(Record::Create { pnode, kind });
        pnode
    }

    /// A pnode as the batch leaves it.
    pub(crate) fn find(&self, pnode: PnodeId) -> Result<Option<Arc<Pnode>>, LogError> {
        match self.pnodes.get(&pnode) {
            Some(touched) => Ok(touched.clone()),
            None => self.log.find_pnode(pnode),
        }
    }

    /// Makes an empty pnode with a number that was [reserved](crate::Log::reserve_pnodes), or the
    /// [files' root](crate::Log::files_root).
    ///
    /// # Errors
    /// [`LogError::Exists`], or the page of its image can't be read.
    pub fn create_numbered(&mut self, pnode: PnodeId, kind: u16) -> Result<(), LogError> {
        let reserved = (FIRST_PNODE.0..self.next_pnode).contains(&pnode.0) || pnode == FILES_PNODE;
        let touched = self.pnodes.contains_key(&pnode);
        if !reserved || touched || self.log.find_pnode(pnode)?.is_some() {
            return Err(LogError::Exists { pnode });
        }
        self.put(Pnode::new(pnode, kind), Record::Create { pnode, kind });
        Ok(())
    }

    /// The working copy of a pnode. It is only put back by [`Batch::put`], so that what fails changes
    /// nothing.
    fn pnode(&self, pnode: PnodeId) -> Result<Pnode, LogError> {
        match self.find(pnode)? {
            Some(found) if pnode != GARBAGE_PNODE => Ok((*found).clone()),
            _ => Err(LogError::NoPnode { pnode }),
        }
    }

    fn put(&mut self, pnode: Pnode, record: Record) {
        self.pnodes.insert(pnode.id, Some(Arc::new(pnode)));
        self.records.push(record);
    }

    /// Writes `bytes` at `offset`; the pnode grows as needed, room never written reads as zeros. Whole
    /// blocks of content, from 64 KiB on, are handed to the disks at once, where they stay.
    ///
    /// # Errors
    /// [`LogError::NoPnode`], [`LogError::TooLong`], [`LogError::Full`], or what is overwritten in part
    /// can't be read. The batch is as before.
    pub fn write(&mut self, pnode: PnodeId, offset: u64, bytes: &[u8]) -> Result<(), LogError> {
        self.write_runs(pnode, &[(offset, bytes)])
    }

    /// Writes several pieces, each at its offset. Costs less than one call for each: a pnode is copied to be changed.
    ///
    /// # Errors
    /// As [`Batch::write`]. Of the pieces some may be part of the batch then.
    pub fn write_all<B: AsRef<[u8]>>(
        &mut self,
        pnode: PnodeId,
        runs: &[(u64, B)],
    ) -> Result<(), LogError> {
        runs.chunks(RUNS_AT_ONCE).try_for_each(|runs| self.write_runs(pnode, runs))
    }

    fn write_runs<B: AsRef<[u8]>>(
        &mut self,
        pnode: PnodeId,
        runs: &[(u64, B)],
    ) -> Result<(), LogError> {
        let mut changed = self.pnode(pnode)?;
        let mut parts = Parts::default();
        for (offset, bytes) in runs {
            let (offset, bytes) = (*offset, bytes.as_ref());
            let end = offset.saturating_add(bytes.len() as u64).max(changed.size);
            changed.check_leaves(end, self.log.array.geometry.leaves_max())?;
            let direct = direct_part(offset, bytes.len(), changed.front);
            let (head, rest) = bytes.split_at(direct.start);
            let (direct, tail) = rest.split_at(direct.len());
            let at = offset + head.len() as u64;
            self.write_part(&mut changed, offset, head, &mut parts)?;
            if !direct.is_empty() {
                self.write_placed(&mut changed, at, direct, &mut parts)?;
            }
            self.write_part(&mut changed, at + direct.len() as u64, tail, &mut parts)?;
        }
        self.pnodes.insert(pnode, Some(Arc::new(changed)));
        self.adopt(parts.records);
        self.pending.extend(parts.pending.into_iter().map(|block| (pnode, block)));
        self.place_if_enough()
    }

    /// Writes less than is placed by itself: by way of the log, or, among many such, with the rest of its blocks.
    fn write_part(
        &self,
        changed: &mut Pnode,
        offset: u64,
        bytes: &[u8],
        parts: &mut Parts,
    ) -> Result<(), LogError> {
        changed.write(offset, bytes, &|addr| self.load(addr))?;
        if self.merges && !bytes.is_empty() {
            parts.pending.extend(blocks_of(offset..offset + bytes.len() as u64));
            return Ok(());
        }
        let mut at = offset;
        for bytes in bytes.chunks(WRITE_RECORD_BYTES_MAX) {
            let bytes = bytes.to_vec();
            let end = at + bytes.len() as u64;
            parts.records.push(Record::Write { pnode: changed.id, offset: at, bytes });
            at = end;
        }
        Ok(())
    }

    /// Replaces the attributes: at most [`Log::ATTRIBUTES_BYTES_MAX`](crate::Log::ATTRIBUTES_BYTES_MAX).
    ///
    /// # Errors
    /// [`LogError::NoPnode`], [`LogError::TooLong`].
    pub fn set_attributes(&mut self, pnode: PnodeId, bytes: &[u8]) -> Result<(), LogError> {
        let mut changed = self.pnode(pnode)?;
        changed.set_attributes(bytes)?;
        self.put(changed, Record::SetAttributes { pnode, bytes: bytes.to_vec() });
        Ok(())
    }

    /// Gives up everything before `upto`; offsets stay what they are, the size too.
    ///
    /// # Errors
    /// [`LogError::NoPnode`], or the pnode's map can't be read.
    pub fn trim(&mut self, pnode: PnodeId, upto: u64) -> Result<(), LogError> {
        self.place_pending()?;
        let mut changed = self.pnode(pnode)?;
        changed.trim(upto, &|addr| self.load(addr))?;
        self.put(changed, Record::Trim { pnode, upto });
        Ok(())
    }

    /// Sets the size: gives up everything from there on, or grows with zeros.
    ///
    /// # Errors
    /// [`LogError::NoPnode`], [`LogError::TooLong`], or the last block can't be read.
    pub fn truncate(&mut self, pnode: PnodeId, size: u64) -> Result<(), LogError> {
        self.place_pending()?;
        let mut changed = self.pnode(pnode)?;
        changed.check_leaves(size, self.log.array.geometry.leaves_max())?;
        changed.truncate(size, &|addr| self.load(addr))?;
        self.put(changed, Record::Truncate { pnode, size });
        Ok(())
    }

    /// Makes a range zeros, as far as the pnode reaches. Blocks of content with nothing else in them are
    /// given up.
    ///
    /// # Errors
    /// [`LogError::NoPnode`], or a block that is zeros in part can't be read.
    pub fn punch(&mut self, pnode: PnodeId, range: Range<u64>) -> Result<(), LogError> {
        self.place_pending()?;
        let mut changed = self.pnode(pnode)?;
        changed.punch(range.clone(), &|addr| self.load(addr))?;
        let (offset, len) = (range.start, range.end.saturating_sub(range.start));
        self.put(changed, Record::Punch { pnode, offset, len });
        Ok(())
    }

    /// Removes a pnode and all it holds.
    ///
    /// # Errors
    /// [`LogError::NoPnode`]; the well-known ones can't be deleted.
    pub fn delete_pnode(&mut self, pnode: PnodeId) -> Result<(), LogError> {
        if pnode == ROOT_PNODE {
            return Err(LogError::NoPnode { pnode });
        }
        let mut changed = self.pnode(pnode)?;
        changed.clear(&|addr| self.load(addr));
        self.killed.append(&mut changed.take_killed());
        self.pnodes.insert(pnode, None);
        self.records.push(Record::Delete { pnode });
        Ok(())
    }
}

/// The content blocks of which a range has a part.
fn blocks_of(range: Range<u64>) -> Range<u64> {
    let content = CONTENT_BYTES as u64;
    range.start / content..range.end.div_ceil(content)
}
