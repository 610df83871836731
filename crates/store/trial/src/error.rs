//! Why a schedule can't be tried on the disks that were named.

use pegasus_base::ByteSize;
use pegasus_disk::SurveyError;

/// Why nothing was read; all of it is known before anything is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrialError {
    /// There are not as many paths as disks.
    #[error("the plan is for {disks} disks and {paths} are named: name as many")]
    Count {
        /// Paths that were named.
        paths: usize,
        /// Disks of the plan.
        disks: u32,
    },

    /// Two paths lead to the same thing, which has only one pair of heads.
    #[error("{path} is named twice: each disk is to be another one")]
    Twice {
        /// The second one.
        path: String,
    },

    /// A disk is shorter than its profile says.
    #[error(
        "{path} has {} and its profile is one of a disk of {}: give the profile of this one (pegasus disk profile {path} finds it)",
        ByteSize(*size_bytes), ByteSize(*profile_bytes)
    )]
    Short {
        /// The disk.
        path: String,
        /// What it holds.
        size_bytes: u64,
        /// What its profile says.
        profile_bytes: u64,
    },

    /// A zone is shorter than a block's part on a disk.
    #[error(
        "a block of {media} has {} on a disk, and a zone of {path} only {}: ask for shorter blocks or fewer zones",
        ByteSize(*fragment_bytes), ByteSize(*zone_bytes)
    )]
    Zone {
        /// The medium's name.
        media: String,
        /// Its blocks' part.
        fragment_bytes: u64,
        /// The disk.
        path: String,
        /// The zone's length.
        zone_bytes: u64,
    },

    /// It can't be read.
    #[error(transparent)]
    Disk(#[from] SurveyError),

    /// The system gives no thread.
    #[error("there is no thread to read {path} with: {source}")]
    Thread {
        /// The disk.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
}
