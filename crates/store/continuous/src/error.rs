//! What can go wrong, said so that it names who is at fault and where.

use pegasus_base::{StreamName, Time};
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
    /// What was to be read has been deleted meanwhile.
    #[error("{name} at {at} has been deleted")]
    Deleted {
        /// The stream.
        name: StreamName,
        /// The instant.
        at: Time,
    },
}
