//! What can go wrong, said so that it names who is at fault and where.

use pegasus_base::PnodeId;
use pegasus_disk::DiskError;

use crate::{BlockMap, DiskIndex, SegmentId};

/// Why an operation on the log failed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// No slot is free. Nothing was written; the batch may be dropped and another one made.
    #[error("the store is full: no room for a segment on {wanted} disks{}", if *.after_checkpoint { " before the next checkpoint" } else { "" })]
    Full {
        /// How many disks the segment would have needed.
        wanted: usize,
        /// Whether slots were freed that the next checkpoint makes available.
        after_checkpoint: bool,
    },
    /// The block does not fit into what is left of the segment. Nothing changed.
    #[error("{segment} has room for {room_bytes} more bytes, not for {wanted_bytes}")]
    SegmentFull {
        /// The segment.
        segment: SegmentId,
        /// What was to be appended.
        wanted_bytes: u64,
        /// What would have fitted.
        room_bytes: u64,
    },
    /// The caller named a segment that is not open.
    #[error("{segment} is not open")]
    NotOpen {
        /// The segment.
        segment: SegmentId,
    },
    /// More of the segment's disks are dead than parity can replace.
    #[error("{segment} can't be appended to: too few of its disks live")]
    Crippled {
        /// The segment.
        segment: SegmentId,
    },
    /// The caller named a slot that is not in use.
    #[error("{segment} does not own the slots it was said to have")]
    NotOwned {
        /// The segment.
        segment: SegmentId,
    },
    /// The caller named a pnode that does not exist.
    #[error("{pnode} does not exist")]
    NoPnode {
        /// The pnode.
        pnode: PnodeId,
    },
    /// The caller wanted to make a pnode that is there already, or whose number was not set aside.
    #[error("{pnode} can't be made: it exists, or its number was not reserved")]
    Exists {
        /// The pnode.
        pnode: PnodeId,
    },
    /// The caller asked for more than a pnode can hold.
    #[error("{pnode} can't take this: {why}")]
    TooLong {
        /// The pnode.
        pnode: PnodeId,
        /// What is too long.
        why: &'static str,
    },
    /// More fragments of a block are bad than its parity can replace.
    #[error("block {} of {} can't be read: {why}", .map.seq, .map.segment)]
    Block {
        /// Where it is.
        map: Box<BlockMap>,
        /// What is wrong with each fragment.
        why: String,
    },
    /// A piece of the log's own data is bad, and parity can't replace it.
    #[error("the log is damaged: {what}: {why}")]
    Damaged {
        /// What was to be read.
        what: String,
        /// What was found instead.
        why: String,
    },
    /// These disks are not an array that can be opened.
    #[error("the store can't be opened: {why}")]
    NotAnArray {
        /// Why not, naming the disk.
        why: String,
    },
    /// The caller asked for an array that can't be.
    #[error("the store can't be formatted: {why}")]
    BadGeometry {
        /// What is wrong.
        why: String,
    },
    /// A new disk can't take the place of this one. Nothing changed.
    #[error("{disk} can't be replaced: {why}")]
    CantReplace {
        /// The place.
        disk: DiskIndex,
        /// Why not.
        why: String,
    },
    /// A disk can't be added. Nothing changed.
    #[error("disk {disk} can't be added: {why}")]
    CantAdd {
        /// Its path.
        disk: String,
        /// Why not.
        why: String,
    },
    /// A disk can't be removed. Nothing changed.
    #[error("disk {disk} can't be removed: {why}")]
    CantRemove {
        /// Its path, or which it is.
        disk: String,
        /// Why not.
        why: String,
    },
    /// An earlier write failed on more disks than parity can replace; nothing is written any more.
    #[error("the store takes no more writes: {why}")]
    Poisoned {
        /// What happened.
        why: String,
    },
    /// The log was opened to be read only.
    #[error("the store is open for reading only")]
    ReadOnly,
    /// A disk failed, and no parity stands in for it here.
    #[error(transparent)]
    Disk(#[from] DiskError),
}
