//! Which streams there are besides those that are sent, and which are recorded.

use pegasus_base::{BitRate, StreamName};
use serde::{Deserialize, Deserializer};

/// Which streams are recorded.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Recording {
    /// Whether streams are recorded as they arrive. Default true.
    pub enabled: bool,
    /// Whether a stream is refused at the door if the disks could not write it beside those that are recorded. Default true.
    pub admission: bool,
    /// Streams not to record: names, or prefixes ending in `/*`.
    pub exclude: Vec<String>,
}

impl Default for Recording {
    fn default() -> Self {
        Self { enabled: true, admission: true, exclude: Vec::new() }
    }
}

impl Recording {
    /// Whether `name` is to be recorded.
    #[must_use]
    pub fn wants(&self, name: &StreamName) -> bool {
        let matches = |pattern: &String| match pattern.strip_suffix("/*") {
            Some(prefix) => {
                name.as_str().strip_prefix(prefix).is_some_and(|rest| rest.starts_with('/'))
            }
            None => name.as_str() == pattern,
        };
        self.enabled && !self.exclude.iter().any(matches)
    }
}

/// The built-in test cameras.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TestCameras {
    /// Whether they run. Default true.
    pub enabled: bool,
}

impl Default for TestCameras {
    fn default() -> Self {
        Self { enabled: true }
    }
}

/// A stream to pull.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceEntry {
    /// Its name here.
    pub name: StreamName,
    /// Where it comes from: `rtsp://`, `rtsps://` or `file://`.
    pub url: String,
    /// What it needs, such as `4M`, for cameras that don't say so or say it wrong. Default: what it says.
    #[serde(default, deserialize_with = "rate")]
    pub rate: Option<BitRate>,
}

fn rate<'de, D: Deserializer<'de>>(d: D) -> Result<Option<BitRate>, D::Error> {
    let text = String::deserialize(d)?;
    text.parse().map(Some).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_may_say_its_rate() {
        let parse = |text: &str| toml::from_str::<SourceEntry>(text).map_err(|e| e.to_string());
        let source = "name = \"/cam/yard\"\nurl = \"rtsp://camera/1\"\n";
        assert_eq!(parse(source).unwrap().rate, None);
        let said = parse(&format!("{source}rate = \"4M\"\n")).unwrap();
        assert_eq!(said.rate, Some(BitRate(4_000_000)));
        let error = parse(&format!("{source}rate = \"fast\"\n")).unwrap_err();
        assert!(error.contains("fast"), "{error}");
    }

    #[test]
    fn exclusion_by_name_and_by_prefix() {
        let exclude = vec!["/test/*".into(), "/cam/door".into()];
        let recording = Recording { exclude, ..Recording::default() };
        let wants = |name: &str| recording.wants(&name.parse().unwrap());
        assert!(!wants("/test/card") && !wants("/cam/door"));
        assert!(wants("/tests/card") && wants("/cam/door/faces"));
    }
}
