//! Whether the disks can take what is recorded.

use pegasus_base::StreamName;
use pegasus_continuous::IntakeStatus;
use serde::Serialize;
use utoipa::ToSchema;

/// How recordings go with what the disks can take.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Intake {
    /// Share of the disks' time that recordings took in the last ten seconds, in percent; `null` while nobody knows what the disks can do.
    takes_percent: Option<f64>,
    /// Share that they may take.
    limit_percent: Option<f64>,
    /// Whether they take more than that: what is recorded may be lost.
    overcommitted: bool,
    /// Recordings refused since the node started.
    refused: u64,
    /// Streams that write more than was said.
    exceeding: Vec<Exceeding>,
}

/// A stream that writes more than was said when it came.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Exceeding {
    /// Its name.
    #[schema(value_type = String, example = "/cam/door")]
    stream: StreamName,
    /// What was said, or taken last time, in bits per second.
    said_bps: u64,
    /// What it wrote in the last ten seconds, in bits per second.
    writes_bps: u64,
}

impl From<IntakeStatus> for Intake {
    fn from(status: IntakeStatus) -> Self {
        let overcommitted = status.is_overcommitted();
        let exceeding = |one: pegasus_continuous::Exceeding| Exceeding {
            stream: one.stream,
            said_bps: one.said_bps,
            writes_bps: one.writes_bps,
        };
        Self {
            takes_percent: status.takes_percent,
            limit_percent: status.limit_percent,
            overcommitted,
            refused: status.refused,
            exceeding: status.exceeding.into_iter().map(exceeding).collect(),
        }
    }
}
