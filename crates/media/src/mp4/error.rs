//! What can go wrong in writing.

use crate::{Codec, TrackId};

/// Why a track or unit can't be written as MP4. Always the caller's doing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The codec's configuration record has not been seen yet, and MP4 can't do without.
    #[error("track {} has no {codec} configuration yet", track.0)]
    NoConfig {
        /// Which track.
        track: TrackId,
        /// Its codec.
        codec: Codec,
    },
    /// A unit of a track that was not announced.
    #[error("a unit names track {}, which is not one of the announced tracks", track.0)]
    UnknownTrack {
        /// Which track.
        track: TrackId,
    },
    /// One fragment can't hold more.
    #[error("a fragment of {len_bytes} bytes is over the limit of {limit_bytes} bytes")]
    FragmentFull {
        /// Size it would have.
        len_bytes: u64,
        /// Size it may have.
        limit_bytes: u64,
    },
    /// There is nothing to write.
    #[error("there is no unit to write")]
    Empty,
    /// The tables of the file outgrow what a box can hold (4 GiB).
    #[error("the tables of the file are too large; export a shorter range")]
    TablesTooLarge,
}
