//! What is to become durable together.

use pegasus_base::PnodeId;

use crate::{BlockMap, Log, LogError, Owner, SegmentId, SegmentRef};

/// Changes that become durable together, by [`Log::commit`]. Dropping it undoes all of them.
///
/// While it lives, the log has no other: [`Log::batch`] and [`Log::checkpoint`] wait for its end.
#[derive(Debug)]
pub struct Batch<'a> {
    log: &'a Log,
}

impl Batch<'_> {
    /// Opens a continuous segment of `width` data columns and one of parity, for blocks of `owner`.
    /// Fewer columns if fewer disks live or have room.
    ///
    /// # Errors
    /// [`LogError::Full`].
    pub fn open_segment(&mut self, owner: Owner, width: u8) -> Result<SegmentRef, LogError> {
        unimplemented!("{owner:?} {width} {:p}", self.log)
    }

    /// Payload bytes of the longest block that can still be appended to an open segment. 0 if it should
    /// be sealed: full, or a disk under it died (then short blocks can be appended all the same, to close
    /// it in good order).
    #[must_use]
    pub fn room(&self, segment: SegmentId) -> u64 {
        unimplemented!("{segment}")
    }

    /// Appends a block whose payload is all of `parts` in order; they are copied once.
    ///
    /// # Errors
    /// [`LogError::SegmentFull`], [`LogError::NotOpen`], or the segment has lost too many disks.
    ///
    /// # Panics
    /// If the payload is empty.
    pub fn append<P: AsRef<[u8]>>(
        &mut self,
        segment: SegmentId,
        parts: &[P],
    ) -> Result<BlockMap, LogError> {
        unimplemented!("{segment} {}", parts.len())
    }

    /// Ends an open segment: nothing can be appended any more, and recovery will not look at it.
    ///
    /// # Errors
    /// [`LogError::NotOpen`].
    pub fn seal_segment(&mut self, segment: SegmentId) -> Result<(), LogError> {
        unimplemented!("{segment}")
    }

    /// Gives back the slots of a segment, sealed or open. They are used again after the next checkpoint.
    ///
    /// # Errors
    /// [`LogError::NotOwned`] if some of them are free already.
    pub fn free_segment(&mut self, segment: &SegmentRef) -> Result<(), LogError> {
        unimplemented!("{segment:?}")
    }

    /// Makes an empty pnode. `kind` is the caller's.
    pub fn create_pnode(&mut self, kind: u16) -> PnodeId {
        unimplemented!("{kind}")
    }

    /// Writes `bytes` at `offset`; the pnode grows as needed, room never written reads as zeros.
    ///
    /// # Errors
    /// [`LogError::NoPnode`], [`LogError::TooLong`], or what is overwritten in part can't be read.
    pub fn write(&mut self, pnode: PnodeId, offset: u64, bytes: &[u8]) -> Result<(), LogError> {
        unimplemented!("{pnode} {offset} {}", bytes.len())
    }

    /// Replaces the attributes: at most [`Log::ATTRIBUTES_BYTES_MAX`].
    ///
    /// # Errors
    /// [`LogError::NoPnode`], [`LogError::TooLong`].
    pub fn set_attributes(&mut self, pnode: PnodeId, bytes: &[u8]) -> Result<(), LogError> {
        unimplemented!("{pnode} {}", bytes.len())
    }

    /// Gives up everything before `upto`; offsets stay what they are.
    ///
    /// # Errors
    /// [`LogError::NoPnode`].
    pub fn trim(&mut self, pnode: PnodeId, upto: u64) -> Result<(), LogError> {
        unimplemented!("{pnode} {upto}")
    }

    /// Sets the size: gives up everything from there on, or grows with zeros.
    ///
    /// # Errors
    /// [`LogError::NoPnode`], [`LogError::TooLong`], or the last block can't be read.
    pub fn truncate(&mut self, pnode: PnodeId, size: u64) -> Result<(), LogError> {
        unimplemented!("{pnode} {size}")
    }

    /// Removes a pnode and all it holds.
    ///
    /// # Errors
    /// [`LogError::NoPnode`]; the well-known ones can't be deleted.
    pub fn delete_pnode(&mut self, pnode: PnodeId) -> Result<(), LogError> {
        unimplemented!("{pnode}")
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        unimplemented!()
    }
}
