//! How much one stream may hold.

use std::time::Duration;

/// What a stream's ring may hold for its sinks.
///
/// The ring gives back what every sink has taken, apart from [`hold`](Self::hold) and the newest
/// group, so the other limits are only reached when a sink is slow: then whole groups are dropped,
/// oldest first. They bound memory per stream and how late a sink can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Units beyond which the oldest groups are dropped. Default 4096.
    pub units: usize,
    /// Bytes of coded data beyond which the oldest groups are dropped. Default 32 MiB.
    pub len_bytes: u64,
    /// How long after its arrival a unit may wait for the slowest sink. Default 10 s.
    pub span: Duration,
    /// Whole groups that stay although a limit above is exceeded, beside the group being received.
    /// Default 2.
    pub whole_groups: usize,
    /// Units that are never exceeded, even if groups must be cut. Default 16384.
    pub units_max: usize,
    /// Bytes that are never exceeded by more than one unit, even if groups must be cut. Default
    /// 128 MiB.
    pub len_bytes_max: u64,
    /// How long units stay for sinks that are yet to come ([`Start::Held`](crate::Start::Held)).
    /// Default 2 s.
    pub hold: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            units: 4_096,
            len_bytes: 32 << 20,
            span: Duration::from_secs(10),
            whole_groups: 2,
            units_max: 16_384,
            len_bytes_max: 128 << 20,
            hold: Duration::from_secs(2),
        }
    }
}
