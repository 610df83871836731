//! What is stored where, for how long, and where it is mounted.

use std::path::PathBuf;
use std::time::Duration;

use pegasus_base::{ByteSize, StreamName, parse_duration};
use serde::{Deserialize, Deserializer};

/// The disk array.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Store {
    /// Files or block devices. Default: `disk0` to `disk4` in the data folder. What
    /// the store is made of on the first start; others are added later, and listed in the data folder.
    pub disks: Vec<PathBuf>,
    /// Files or block devices, blank, that take the place of a disk that fails. Default none.
    pub spares: Vec<PathBuf>,
    /// How long a disk has been gone before a spare takes its place. Default 30 s.
    #[serde(deserialize_with = "duration")]
    pub spare_after: Duration,
    /// Parity columns, 0 to 2: as many disks as may be lost. The rest of them hold data. Default 1.
    pub parity: u8,
    /// Size of each disk file made on the first start. Default: a tenth of the free space over all
    /// disks, between 256 MiB and 4 GiB each.
    pub disk_size: Option<ByteSize>,
    /// Stripe unit, a power of two from 1 to 64 MiB. Default: measured, so that positioning costs
    /// less than a tenth of the disk's time.
    pub stripe_unit: Option<ByteSize>,
    /// Longest time a unit may wait in memory before it is on disk. Default 1 s, least 100 ms.
    #[serde(deserialize_with = "duration")]
    pub durable_within: Duration,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            disks: Vec::new(),
            spares: Vec::new(),
            spare_after: Duration::from_secs(30),
            parity: 1,
            disk_size: None,
            stripe_unit: None,
            durable_within: Duration::from_secs(1),
        }
    }
}

/// Ordinary files of the store, as a mounted file system.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mount {
    /// The directory, made if it is not there. Default: the files are not mounted.
    pub path: Option<PathBuf>,
    /// Whether users other than the one the node runs as may use it, by the files' permissions.
    /// Default false.
    pub allow_other: bool,
    /// Whether recordings are shown there too, in `/streams`, for the user the node runs as. Default true.
    pub streams: bool,
    /// Longest time a change stays in memory unless a program asks for it to be durable. Default 30 s.
    #[serde(deserialize_with = "duration")]
    pub flush_after: Duration,
}

impl Default for Mount {
    fn default() -> Self {
        Self { path: None, allow_other: false, streams: true, flush_after: Duration::from_secs(30) }
    }
}

/// How long recordings are kept; the oldest go first.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// Delete what is older. Default: keep until space is needed.
    #[serde(deserialize_with = "optional_duration")]
    pub age: Option<Duration>,
    /// Most bytes for one stream. Default: no limit.
    pub bytes_per_stream: Option<ByteSize>,
    /// Share of the store kept free, in percent, 1 to 50. Default 5.
    pub keep_free_percent: u8,
    /// Share of the store that only recordings may take, in percent, 0 to 100: ordinary files are refused before.
    /// Default 50.
    pub share_percent: u8,
    /// Exceptions for single streams.
    pub stream: Vec<StreamRetention>,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            age: None,
            bytes_per_stream: None,
            keep_free_percent: 5,
            share_percent: 50,
            stream: Vec::new(),
        }
    }
}

/// How playback is guaranteed.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Playback {
    /// Whether playbacks are admitted by what the disks can do, and refused where that does not suffice. Default true.
    pub guaranteed: bool,
    /// A block of each playback is read in each period; longer ones suit disks with heads, and hold more in memory.
    /// 100 ms to 1 min. Default 2 s, or 6 s with disks that have heads.
    #[serde(deserialize_with = "optional_duration")]
    pub period: Option<Duration>,
    /// In how many groups playbacks are served in a period, 1 to 100. Default two for each second of it.
    pub groups: Option<u32>,
    /// Share of the disks' time kept for everything but playback and recording, in percent, 0 to 90. Default 20.
    pub others_percent: u8,
    /// What the disks can do, as `pegasus disk profile` writes it; relative paths start in the data folder. Default: measured when
    /// the store is new, and kept in the data folder.
    pub profile: Option<PathBuf>,
}

impl Default for Playback {
    fn default() -> Self {
        Self { guaranteed: true, period: None, groups: None, others_percent: 20, profile: None }
    }
}

/// Retention of one stream, instead of the general rule.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamRetention {
    /// The stream.
    pub name: StreamName,
    /// Delete what is older.
    #[serde(default, deserialize_with = "optional_duration")]
    pub age: Option<Duration>,
    /// Most bytes.
    #[serde(default)]
    pub bytes: Option<ByteSize>,
}

pub(super) fn duration<'de, D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(d)?;
    parse_duration(&text).ok_or_else(|| {
        serde::de::Error::custom(format!("'{text}' is not a duration (write 500ms, 30s, 12h, 30d)"))
    })
}

pub(super) fn optional_duration<'de, D: Deserializer<'de>>(
    d: D,
) -> Result<Option<Duration>, D::Error> {
    duration(d).map(Some)
}
