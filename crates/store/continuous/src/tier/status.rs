//! What is told of the tier.

use pegasus_base::{StreamName, Time};
use serde::{Deserialize, Serialize};

/// A run of segments of a recording that are out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutRange {
    /// Time of its first unit.
    pub start: Time,
    /// End of its last unit.
    pub end: Time,
    /// Bytes in the tier.
    pub bytes: u64,
    /// Segments, an object each.
    pub segments: u64,
    /// How long it takes to bring all of it back, behind what is being brought back already, in milliseconds; `None` as
    /// long as the tier's rate isn't known.
    pub back_in_ms: Option<u64>,
}

/// What was asked to be moved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Staged {
    /// Segments that are to be moved.
    pub segments: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// How long that takes, behind what else is being moved, in milliseconds, if that can be told.
    pub takes_ms: Option<u64>,
}

/// One direction.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageStatus {
    /// Segments that were asked for and wait. What a rule moves is not among them.
    pub waiting_segments: u64,
    /// Bytes of them.
    pub waiting_bytes: u64,
    /// What is being moved now.
    pub moving: Option<StreamName>,
    /// Segments moved since the tier was set up.
    pub segments: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Bytes a second of late, if that was measured.
    pub bytes_per_s: Option<u64>,
    /// Attempts that failed.
    pub failures: u64,
    /// Why the last attempt failed, to be made again.
    pub trouble: Option<String>,
}

/// State of the tier.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TierStatus {
    /// Where it is.
    pub place: String,
    /// Segments that are out; `None` until they were counted.
    pub out_segments: Option<u64>,
    /// Bytes of them.
    pub out_bytes: Option<u64>,
    /// Moving out.
    pub out: StageStatus,
    /// Bringing back.
    #[serde(rename = "in")]
    pub back: StageStatus,
    /// Blocks that readers took from the tier.
    pub read_blocks: u64,
    /// Objects to be deleted as soon as the tier lets it.
    pub dead_objects: u64,
    /// Objects deleted.
    pub deleted_objects: u64,
    /// Objects of this store that belong to no recording it knows. They are left alone.
    pub unknown_objects: u64,
    /// Segments whose object was not found when they were last compared.
    pub missing_objects: u64,
    /// When listing and directories were compared last.
    pub swept: Option<Time>,
    /// Why they could not be compared, or objects not be deleted.
    pub trouble: Option<String>,
}
