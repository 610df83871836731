//! What can go wrong, said so that it names who is at fault and where.

use std::time::Duration;

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
    /// What was to be read is out, and the tier can't be reached, or is not as it should be. It may be later.
    #[error("{name} at {at} is out, and can't be had now: {why}")]
    Away {
        /// The stream.
        name: StreamName,
        /// When the segment begins.
        at: Time,
        /// What the tier said.
        why: String,
    },
    /// A segment is out, and the tier does not have it: somebody deleted its object.
    #[error("{name} at {at} is out, and lost: {why}")]
    ObjectMissing {
        /// The stream.
        name: StreamName,
        /// When the segment begins.
        at: Time,
        /// What the tier said.
        why: String,
    },
    /// A playback can't be promised yet, for what it shows is out. It is being brought back.
    #[error("{name} is out{}", behind(.back_in))]
    Out {
        /// The stream.
        name: StreamName,
        /// After that it can be promised, if nothing comes between; `None` if that can't be told.
        back_in: Option<Duration>,
    },
    /// What is out can't be brought back: there is no room, and nothing is deleted for it.
    #[error("the store has no room for what is to be brought back")]
    NoRoomToReturn,
    /// There is no tier.
    #[error("no tier is set up")]
    NoTier,
    /// The layer below failed: disks, checksums.
    #[error(transparent)]
    Log(#[from] LogError),
}

fn behind(back_in: &Option<Duration>) -> String {
    match back_in {
        Some(wait) => format!(", back in {} s", wait.as_secs_f64().ceil()),
        None => String::new(),
    }
}
