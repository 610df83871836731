//! What a user may choose: how soon data is durable, and how long it is kept.

use std::collections::BTreeMap;
use std::time::Duration;

use pegasus_base::StreamName;

/// Settings of the recordings of a node.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Longest time between a unit's arrival and its being durable, while the disks keep up. A crash
    /// loses at most this much of each stream. Commits happen twice as often, so less costs more disk
    /// operations. Default 1 s; values below 20 ms are taken as 20 ms.
    pub durable_within: Duration,
    /// How long recordings are kept, unless `overrides` says otherwise.
    pub retention: Retention,
    /// Exceptions for single streams.
    pub overrides: BTreeMap<StreamName, StreamRetention>,
    /// Most bytes of one stream that may wait in memory for the disks. Beyond it, whole groups of
    /// pictures are dropped. `None`, the default: four seconds of the stream, at least 8 MiB.
    pub queue_bytes_max: Option<u64>,
    /// How long a disk has been failed or missing before a spare takes its place. Default 30 s.
    pub spare_after: Duration,
    /// Seed of the identities given to new streams. `None`, the default: a random one.
    pub seed: Option<u64>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            durable_within: Duration::from_secs(1),
            retention: Retention::default(),
            overrides: BTreeMap::new(),
            queue_bytes_max: None,
            spare_after: Duration::from_secs(30),
            seed: None,
        }
    }
}

impl Settings {
    /// Time between commits: half of [`durable_within`](Self::durable_within), the other half is
    /// for the commit itself.
    #[must_use]
    pub fn commit_interval(&self) -> Duration {
        self.durable_within.max(Duration::from_millis(20)) / 2
    }
}

/// How long recordings are kept. Segments are deleted whole, the oldest first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Retention {
    /// Delete what is older. `None`: keep until space is needed.
    pub age: Option<Duration>,
    /// Most bytes of media kept of each stream. `None`: no limit.
    pub bytes_per_stream: Option<u64>,
    /// Share of the store kept free for what comes next, in percent, 0 to 90. The oldest segments of
    /// all streams go first. Default 5. Room for the segments that active streams are about to
    /// need is kept in any case.
    pub keep_free_percent: u8,
}

impl Retention {
    /// Bytes to be kept free in a store of so many.
    pub(crate) fn free_bytes(&self, capacity_bytes: u64) -> u64 {
        capacity_bytes / 100 * u64::from(self.keep_free_percent.min(90))
    }
}

impl Default for Retention {
    fn default() -> Self {
        Self { age: None, bytes_per_stream: None, keep_free_percent: 5 }
    }
}

/// Retention of one stream, in place of the general rule. What is `None` here is not limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StreamRetention {
    /// Delete what is older.
    pub age: Option<Duration>,
    /// Most bytes of media kept.
    pub bytes: Option<u64>,
}

impl Settings {
    /// The rule that applies to `name`.
    #[must_use]
    pub fn retention_of(&self, name: &StreamName) -> StreamRetention {
        self.overrides.get(name).copied().unwrap_or(StreamRetention {
            age: self.retention.age,
            bytes: self.retention.bytes_per_stream,
        })
    }
}
