//! The node's configuration: one TOML file, everything optional, unknown keys refused.
//!
//! `pegasus.sample.toml` is the commented form of the defaults; a test holds it against this file.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

mod doors;
mod storage;
mod streams;
mod tier;

pub use doors::{Credentials, Http, Rtsp, Tls};
pub use storage::{Mount, Playback, Retention, Store, StreamRetention};
pub use streams::{Recording, SourceEntry, TestCameras};
pub use tier::{StreamTier, Tier};

/// The sample configuration shipped with the program: every key with its default and meaning.
pub const SAMPLE: &str = include_str!("../pegasus.sample.toml");

/// A whole configuration.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The data folder. Default: `$XDG_DATA_HOME/pegasus` or `~/.local/share/pegasus`.
    pub data: Option<PathBuf>,
    /// HTTP: console, API, HLS.
    pub http: Http,
    /// RTSP server.
    pub rtsp: Rtsp,
    /// Certificate for both doors.
    pub tls: Option<Tls>,
    /// User and password asked for at both doors. Required to listen beyond loopback.
    pub credentials: Option<Credentials>,
    /// Disks and durability.
    pub store: Store,
    /// Where the store's files are mounted.
    pub mount: Mount,
    /// How long recordings are kept.
    pub retention: Retention,
    /// Where recordings go that the disks have no room for.
    pub tier: Tier,
    /// How playback is guaranteed.
    pub playback: Playback,
    /// Which streams are recorded.
    pub recording: Recording,
    /// Built-in test cameras.
    pub test_cameras: TestCameras,
    /// Streams to pull, beside those added with `pegasus source add`.
    pub source: Vec<SourceEntry>,
    /// Log output.
    pub log: Log,
}

/// Log output.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug`, `trace`, or per-target directives. Default `info`.
    pub level: String,
    /// Text for people or JSON for collectors. Default text.
    pub format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Text }
    }
}

/// Form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One line for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file can't be read.
    #[error("can't read the configuration {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML, has an unknown key, or a value of the wrong form.
    #[error("{path}: {message}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and what.
        message: String,
    },
    /// A door would be open to strangers.
    #[error(
        "refusing to listen on {listen}, which other machines can reach, without credentials; add \
         to the configuration:\n\n[credentials]\nuser = \"admin\"\npassword = \"choose one\"\n"
    )]
    Open {
        /// The address asked for.
        listen: SocketAddr,
    },
    /// A value is out of its range.
    #[error("{key} must be {must}")]
    Range {
        /// The key.
        key: &'static str,
        /// What it must be.
        must: &'static str,
    },
    /// No home for data.
    #[error("don't know where to put data: set `data` in the configuration, --data, or $HOME")]
    NoHome,
}

impl Config {
    /// Reads and checks a configuration file.
    ///
    /// # Errors
    /// If the file can't be read or parsed, has unknown keys, or a value is out of range.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let config = Self::read_unchecked(path)?;
        config.check()?;
        Ok(config)
    }

    /// As [`read`](Self::read), without [`check`](Self::check): for callers that change it first.
    ///
    /// # Errors
    /// If the file can't be read or parsed, or has unknown keys.
    pub fn read_unchecked(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        toml::from_str(&text).map_err(|error| ConfigError::Parse {
            path: path.to_owned(),
            message: error.to_string(),
        })
    }

    /// Checks what types can't: ranges, and that no door is open to strangers.
    ///
    /// # Errors
    /// Names the first key that is wrong, and the lines to add where something is missing.
    pub fn check(&self) -> Result<(), ConfigError> {
        for listen in [self.http.listen, self.rtsp.listen] {
            if !is_loopback(listen.ip()) && self.credentials.is_none() {
                return Err(ConfigError::Open { listen });
            }
        }
        let range = |ok: bool, key, must| {
            if ok { Ok(()) } else { Err(ConfigError::Range { key, must }) }
        };
        range(self.store.parity <= 2, "store.parity", "0, 1 or 2")?;
        range(
            self.store.disks.is_empty() || self.store.disks.len() > usize::from(self.store.parity),
            "store.disks",
            "more disks than parity columns",
        )?;
        range(
            self.store.durable_within >= Duration::from_millis(100),
            "store.durable_within",
            "at least 100ms",
        )?;
        range(
            (1..=50).contains(&self.retention.keep_free_percent),
            "retention.keep_free_percent",
            "from 1 to 50",
        )?;
        range(
            self.tier.free_percent == 0
                || (self.retention.keep_free_percent + 1..=90).contains(&self.tier.free_percent),
            "tier.free_percent",
            "0, or more than retention.keep_free_percent and at most 90",
        )?;
        range(
            self.tier.bandwidth.is_none_or(|bandwidth| bandwidth.bytes() >= 1 << 10),
            "tier.bandwidth",
            "at least 1KiB",
        )?;
        let period = self.playback.period;
        range(
            period.is_none_or(|p| {
                (Duration::from_millis(100)..=Duration::from_secs(60)).contains(&p)
            }),
            "playback.period",
            "from 100ms to 1m",
        )?;
        let groups = self.playback.groups;
        range(groups.is_none_or(|g| (1..=100).contains(&g)), "playback.groups", "from 1 to 100")?;
        range(self.playback.others_percent <= 90, "playback.others_percent", "from 0 to 90")?;
        range(self.retention.share_percent <= 100, "retention.share_percent", "from 0 to 100")?;
        range(
            self.credentials.as_ref().is_none_or(|c| !c.user.is_empty() && !c.password.is_empty()),
            "credentials",
            "a user and a password, neither empty",
        )
    }

    /// The data folder, from the configuration or the XDG rules.
    ///
    /// # Errors
    /// If neither the configuration nor the environment names one.
    pub fn data_dir(&self) -> Result<PathBuf, ConfigError> {
        if let Some(path) = &self.data {
            return Ok(path.clone());
        }
        let from = |key: &str| std::env::var_os(key).filter(|value| !value.is_empty());
        if let Some(base) = from("XDG_DATA_HOME") {
            return Ok(PathBuf::from(base).join("pegasus"));
        }
        let home = from("HOME").ok_or(ConfigError::NoHome)?;
        Ok(PathBuf::from(home).join(".local/share/pegasus"))
    }

    /// Paths of the store's disks.
    #[must_use]
    pub fn disk_paths(&self, data: &Path) -> Vec<PathBuf> {
        if self.store.disks.is_empty() {
            (0..5).map(|i| data.join(format!("disk{i}"))).collect()
        } else {
            self.store.disks.iter().map(|path| data.join(path)).collect()
        }
    }
}

fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        toml::from_str::<Config>(text).map_err(|e| e.to_string())
    }

    #[test]
    fn the_sample_says_the_defaults() {
        // Every key of the sample stands commented out with its default: uncommented, it must
        // parse, and say nothing new. Examples without a default are marked by two signs.
        let text: String = SAMPLE
            .lines()
            .filter(|line| !line.starts_with("##"))
            .map(|line| line.strip_prefix("#= ").unwrap_or(line))
            .flat_map(|line| [line, "\n"])
            .collect();
        assert_eq!(parse(&text).unwrap(), Config::default(), "{text}");
    }

    #[test]
    fn unknown_keys_are_errors_that_name_them() {
        let error = parse("[store]\ndissks = []\n").unwrap_err();
        assert!(error.contains("dissks") && error.contains("line 2"), "{error}");
    }

    #[test]
    fn strangers_need_credentials() {
        let mut config = parse("[http]\nlisten = \"0.0.0.0:7070\"\n").unwrap();
        let error = config.check().unwrap_err().to_string();
        assert!(error.contains("[credentials]"), "{error}");
        config.credentials = Some(Credentials { user: "a".into(), password: "b".into() });
        config.check().unwrap();
        assert!(!format!("{config:?}").contains("\"b\""), "passwords stay out of logs");
    }

    #[test]
    fn loopback_in_any_form_is_home() {
        for ip in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            assert!(is_loopback(ip.parse().unwrap()), "{ip}");
        }
        assert!(!is_loopback("192.168.0.1".parse().unwrap()));
    }

    #[test]
    fn ranges_are_checked() {
        for (text, key) in [
            ("[store]\nparity = 3", "store.parity"),
            ("[store]\ndisks = [\"a\"]", "store.disks"),
            ("[store]\ndurable_within = \"1ms\"", "store.durable_within"),
            ("[retention]\nkeep_free_percent = 0", "keep_free_percent"),
            ("[tier]\nfree_percent = 5", "tier.free_percent"),
            ("[tier]\nbandwidth = \"1\"", "tier.bandwidth"),
            ("[playback]\nperiod = \"1ms\"", "playback.period"),
            ("[playback]\ngroups = 0", "playback.groups"),
            ("[playback]\nothers_percent = 95", "playback.others_percent"),
        ] {
            let error = parse(text).unwrap().check().unwrap_err().to_string();
            assert!(error.contains(key), "{error}");
        }
    }
}
