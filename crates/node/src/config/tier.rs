//! Where recordings go that the disks have no room for.

use std::path::PathBuf;
use std::time::Duration;

use pegasus_base::{ByteSize, StreamName};
use serde::Deserialize;

use super::storage::{duration, optional_duration};

/// The tertiary tier.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tier {
    /// A folder, or `s3://bucket/prefix`. Relative paths start in the data folder. Default: there is no tier.
    pub url: Option<String>,
    /// Address of an S3 server that is not Amazon's.
    pub endpoint: Option<String>,
    /// Its region. Default `us-east-1`.
    pub region: Option<String>,
    /// A file with the name of a key and the key, a line each. Default: `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`.
    pub credentials: Option<PathBuf>,
    /// Move out what is older. Default: only where room is needed.
    #[serde(deserialize_with = "optional_duration")]
    pub after: Option<Duration>,
    /// Share of the store kept free by moving out, in percent, 0 to 90. Default 20.
    pub free_percent: u8,
    /// How long what was played stays in. Default one day.
    #[serde(deserialize_with = "duration")]
    pub keep_played: Duration,
    /// Most bytes a second in each direction. Default: no limit.
    pub bandwidth: Option<ByteSize>,
    /// Exceptions for single streams.
    pub stream: Vec<StreamTier>,
}

impl Default for Tier {
    fn default() -> Self {
        Self {
            url: None,
            endpoint: None,
            region: None,
            credentials: None,
            after: None,
            free_percent: 20,
            keep_played: Duration::from_secs(86_400),
            bandwidth: None,
            stream: Vec::new(),
        }
    }
}

/// When one stream goes out, instead of the general rule.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamTier {
    /// The stream.
    pub name: StreamName,
    /// Move out what is older; without it, only where room is needed.
    #[serde(default, deserialize_with = "optional_duration")]
    pub after: Option<Duration>,
}
