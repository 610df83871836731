//! What can go wrong, said so that it names who is at fault and where.

use pegasus_base::{StreamName, Time};
use pegasus_log::{LogError, SegmentId};

use crate::format::FormatError;
/// Why an operation on recordings failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The caller named a stream of which nothing is recorded.
    #[error("nothing is recorded of {name}")]
    UnknownStream {
        /// The name.
        name: StreamName,
    },
    /// Somebody else records this stream.
    #[error("{name} is being recorded already")]
    Taken {
        /// The name.
        name: StreamName,
    },
    /// The caller's tracks can't be recorded.
    #[error("the tracks of {name} can't be recorded: {why}")]
    Tracks {
        /// The stream.
        name: StreamName,
        /// What is wrong with them.
        why: &'static str,
    },
    /// The store has no room and nothing may be deleted.
    #[error("the store is full, and retention lets nothing be deleted")]
    Full,
    /// The store has been closed.
    #[error("the store is closed")]
    Closed,
    /// Disks died while a segment was closed, so that its index could not be written.
    #[error("{segment} of {name} can't be read: it has no index")]
    Unindexed {
        /// The stream.
        name: StreamName,
        /// The segment.
        segment: SegmentId,
    },
    /// What was to be read has been deleted meanwhile.
    #[error("{name} at {at} has been deleted")]
    Deleted {
        /// The stream.
        name: StreamName,
        /// The instant.
        at: Time,
    },
    /// The store can't be written any more.
    #[error("the store has failed: {why}")]
    Failed {
        /// What happened.
        why: String,
    },
    /// The catalogue, a directory, an index or a block is not what it should be, though its checksums
    /// are right: written by another version, or by a fault of this program.
    #[error("{what} is damaged: {source}")]
    Damaged {
        /// Which structure, of which stream.
        what: String,
        /// What is wrong with it.
        source: FormatError,
    },
    /// A stream's directory or list of spans could not be read when the store was opened.
    #[error("the recording of {name} is damaged: {why}")]
    DamagedStream {
        /// The stream.
        name: StreamName,
        /// What was found.
        why: String,
    },
    /// The disk can't be replaced by that one.
    #[error("disk {path} can't be replaced: {why}")]
    CantReplace {
        /// The disk that is, or was, there.
        path: String,
        /// Why not.
        why: String,
    },
    /// The disk can't be added.
    #[error("disk {path} can't be added: {why}")]
    CantAdd {
        /// Where it is.
        path: String,
        /// Why not.
        why: String,
    },
    /// The disk can't be removed.
    #[error("disk {path} can't be removed: {why}")]
    CantRemove {
        /// Where it is.
        path: String,
        /// Why not.
        why: String,
    },
    /// A repair can't be made as things are.
    #[error("nothing was repaired: {why}")]
    Hindered {
        /// What has to be different.
        why: String,
    },
    /// The disks have no time for a playback, beside what was promised to others.
    #[error("{0}")]
    Refused(Box<crate::Refused>),
    /// The disks have no time for a recording, beside those that have a place.
    #[error("{0}")]
    RecordingRefused(Box<crate::RecordingRefused>),
    /// A promise was taken back: the newest go when the disks turn out to be slower than they seemed.
    #[error("the playback of {name} was ended: {why}")]
    Withdrawn {
        /// The stream.
        name: StreamName,
        /// What happened.
        why: String,
    },
    /// The numbers of a guarantee don't go together, or the disks are too slow for any.
    #[error("playback can't be guaranteed: {why}")]
    Guarantee {
        /// What is wrong.
        why: String,
    },
    /// The layer below failed: disks, checksums.
    #[error(transparent)]
    Log(#[from] LogError),
}
