//! The handle.

use std::sync::Arc;

use bytes::Bytes;
use pegasus_base::{ArrayId, PnodeId, Time};
use pegasus_disk::Disk;

use crate::{
    Batch, BlockMap, DiskIndex, LogError, LogStatus, Owner, PnodeInfo, SegmentId, SegmentRef,
};

/// What an array is to be.
#[derive(Clone, Debug)]
pub struct FormatOptions {
    /// Data columns of a full stripe, at least 1.
    pub data: u8,
    /// Parity columns: 1, or 0 for an array that survives no disk's loss.
    pub parity: u8,
    /// Length of a slot in bytes: a power of two from 64 KiB to 64 MiB. `None`: the least from 1 MiB on
    /// with which positioning costs under 10 % of the disks' time, measured.
    pub unit_bytes: Option<u32>,
    /// A name for people, at most 64 bytes.
    pub label: String,
    /// The present.
    pub now: Time,
}

/// How to open an array.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// The present.
    pub now: Time,
    /// Write nothing at all, not even what recovery would repair.
    pub read_only: bool,
}

/// What opening found.
#[derive(Debug)]
pub struct Recovery {
    /// Whether the log was closed by a checkpoint with nothing after it.
    pub clean: bool,
    /// Transactions replayed since the checkpoint.
    pub transactions: u64,
    /// Fragments at the tails that were written anew because a crash had torn them.
    pub repaired_fragments: u64,
    /// What is wrong, a sentence each: missing, foreign, stale disks, damage met.
    pub problems: Vec<String>,
    /// The continuous segments that are open. Their owner may append to them, or seal them.
    pub open_segments: Vec<Recovered>,
}

/// A continuous segment that was open.
#[derive(Debug, Clone)]
pub struct Recovered {
    /// The segment.
    pub segment: SegmentRef,
    /// Whose it is.
    pub owner: Owner,
    /// All its blocks, in order.
    pub blocks: Vec<RecoveredBlock>,
}

/// A block of a segment that was open.
#[derive(Debug, Clone)]
pub struct RecoveredBlock {
    /// Where it is.
    pub map: BlockMap,
    /// The beginning of its payload, verified: at least [`Log::HEAD_BYTES`] if it is as long.
    pub head: Bytes,
}

/// What a commit did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Committed {
    /// Bytes written in all, to all disks.
    pub written_bytes: u64,
    /// Those of them that are parity.
    pub parity_bytes: u64,
    /// Payload bytes of continuous blocks among them.
    pub payload_bytes: u64,
    /// Whether a checkpoint should follow soon: much log since the last one, or few slots left while
    /// freed ones wait for it.
    pub checkpoint_due: bool,
}

/// An array of disks as a log. All methods may be called from any thread; they block on disks.
#[derive(Debug)]
pub struct Log {}

impl Log {
    /// Most bytes of a pnode's attributes.
    pub const ATTRIBUTES_BYTES_MAX: usize = 4096;
    /// How much of a block's beginning recovery hands out at least.
    pub const HEAD_BYTES: usize = 3968;

    /// Makes an array of `disks`, whatever was on them before.
    ///
    /// # Errors
    /// [`LogError::BadGeometry`], or a disk fails.
    pub fn format(
        disks: &[Arc<dyn Disk>],
        options: &FormatOptions,
        rng: &mut fastrand::Rng,
    ) -> Result<ArrayId, LogError> {
        unimplemented!("{} {options:?} {rng:?}", disks.len())
    }

    /// Opens an array. `disks` are in any order, each with its path; `None` where there is nothing.
    ///
    /// # Errors
    /// [`LogError::NotAnArray`] if too many disks are missing or foreign, [`LogError::Damaged`].
    pub fn open(
        disks: Vec<(String, Option<Arc<dyn Disk>>)>,
        options: &OpenOptions,
    ) -> Result<(Self, Recovery), LogError> {
        unimplemented!("{} {options:?}", disks.len())
    }

    /// Begins a batch; waits for the end of another one.
    #[must_use]
    pub fn batch(&self) -> Batch<'_> {
        unimplemented!()
    }

    /// Makes a batch durable, on all disks at the same time: one phase of writes, one of flushes. A disk
    /// that fails is given up, the commit succeeds as long as parity stands in for it.
    ///
    /// # Errors
    /// [`LogError::Full`] with nothing written; [`LogError::Poisoned`] if too many disks failed: the
    /// batch may or may not be durable, and nothing is accepted after it.
    pub fn commit(&self, batch: Batch<'_>) -> Result<Committed, LogError> {
        unimplemented!("{batch:?}")
    }

    /// Writes a checkpoint: what recovery starts from. Makes freed slots available.
    ///
    /// # Errors
    /// As [`Log::commit`].
    pub fn checkpoint(&self, now: Time) -> Result<(), LogError> {
        unimplemented!("{now}")
    }

    /// The pnode for the owner's catalogue. Exists from the beginning, kind 0, empty.
    #[must_use]
    pub fn root(&self) -> PnodeId {
        unimplemented!()
    }

    /// What is known of a pnode; `None` if it does not exist.
    ///
    /// # Errors
    /// If its image can't be read.
    pub fn pnode(&self, pnode: PnodeId) -> Result<Option<PnodeInfo>, LogError> {
        unimplemented!("{pnode}")
    }

    /// Reads up to `len` bytes of a pnode from `offset` on: fewer only at its end. Committed state only.
    ///
    /// # Errors
    /// [`LogError::NoPnode`], [`LogError::Damaged`].
    pub fn read_pnode(&self, pnode: PnodeId, offset: u64, len: usize) -> Result<Vec<u8>, LogError> {
        unimplemented!("{pnode} {offset} {len}")
    }

    /// Reads a block: verified, and rebuilt from parity if a fragment is bad, or its disk dead.
    ///
    /// # Errors
    /// [`LogError::Block`]; also if its segment was freed and its slots used again.
    pub fn read_block(&self, map: &BlockMap) -> Result<Bytes, LogError> {
        unimplemented!("{map:?}")
    }

    /// Where an open continuous segment lies.
    #[must_use]
    pub fn segment(&self, segment: SegmentId) -> Option<SegmentRef> {
        unimplemented!("{segment}")
    }

    /// As [`Batch::room`], outside a batch.
    #[must_use]
    pub fn room(&self, segment: SegmentId) -> u64 {
        unimplemented!("{segment}")
    }

    /// How the log is doing.
    #[must_use]
    pub fn status(&self) -> LogStatus {
        unimplemented!()
    }

    /// Looks whether all disks are still there ([`Disk::probe`]) and gives up those that are not. Returns
    /// the newly failed ones. Worth calling every few seconds.
    pub fn probe(&self) -> Vec<DiskIndex> {
        unimplemented!()
    }
}
