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

/// Why a file can't be read. The file is at fault, but for [`Io`](Self::Io).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// Reading failed.
    #[error("cannot read at byte {offset}: {source}")]
    Io {
        /// Where in the file.
        offset: u64,
        /// What the reader said.
        source: std::io::Error,
    },
    /// A box or table makes no sense.
    #[error("the '{kind}' box at byte {offset} is malformed: {reason}")]
    Malformed {
        /// Where in the file.
        offset: u64,
        /// The box's four letters.
        kind: String,
        /// What is wrong.
        reason: String,
    },
    /// A sample lies outside of the file, or is implausibly large.
    #[error("sample {sample} of track {} ({len_bytes} bytes at byte {offset}) is not inside the file", track.0)]
    Sample {
        /// Which track.
        track: TrackId,
        /// Its number in the track, from 1; 0 in a fragment.
        sample: u64,
        /// Where it should be.
        offset: u64,
        /// How large it should be.
        len_bytes: u64,
    },
    /// A NAL unit's length runs past its sample.
    #[error("a sample of track {} at byte {offset} is malformed: {reason}", track.0)]
    Content {
        /// Which track.
        track: TrackId,
        /// Where the sample is.
        offset: u64,
        /// What is wrong.
        reason: &'static str,
    },
    /// A table is larger than anything real.
    #[error(
        "the '{kind}' box at byte {offset} has {len_bytes} bytes; more than {limit_bytes} is not read"
    )]
    TooLarge {
        /// Where in the file.
        offset: u64,
        /// The box's four letters.
        kind: String,
        /// Its size.
        len_bytes: u64,
        /// The size allowed.
        limit_bytes: u64,
    },
    /// There is no `moov` box: not an MP4 file, or one whose writing was cut short.
    #[error("this is no complete MP4 file: it has no 'moov' box")]
    NoMovie,
    /// No track can be used.
    #[error("the file has no track that can be used{}", list(refused))]
    NoTracks {
        /// Why each was refused.
        refused: Vec<super::RefusedTrack>,
    },
}

fn list(refused: &[super::RefusedTrack]) -> String {
    refused.iter().map(|track| format!("; track {}: {}", track.number, track.reason)).collect()
}
