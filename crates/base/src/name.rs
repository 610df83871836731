//! Names of streams.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The name of a stream: an absolute path such as `/cam/door`.
///
/// One to [`StreamName::PARTS_MAX`] parts, each of ASCII letters, digits, `-`, `_` and `.`, no part
/// `.` or `..`, at most [`StreamName::LEN_MAX`] bytes in all. Cheap to clone.
///
/// ```
/// use pegasus_base::StreamName;
/// let name: StreamName = "/cam/door".parse()?;
/// assert_eq!(name.as_str(), "/cam/door");
/// assert!("cam/../door".parse::<StreamName>().is_err());
/// # Ok::<(), pegasus_base::NameError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamName(Arc<str>);

/// Why a text is not a stream name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not a stream name: {why} (a name looks like /cam/door)")]
pub struct NameError {
    text: String,
    why: &'static str,
}

impl StreamName {
    /// Longest name in bytes.
    pub const LEN_MAX: usize = 200;
    /// Most parts a name may have.
    pub const PARTS_MAX: usize = 8;

    /// The name with its leading slash.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Parses a name that may lack its leading slash, as it stands in a URL's path.
    ///
    /// # Errors
    /// As [`FromStr`], for anything else that is wrong.
    pub fn from_path(path: &str) -> Result<Self, NameError> {
        let path = path.trim_matches('/');
        format!("/{path}").parse()
    }
}

impl FromStr for StreamName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match check(text) {
            Ok(()) => Ok(Self(text.into())),
            Err(why) => Err(NameError { text: text.chars().take(80).collect(), why }),
        }
    }
}

fn check(text: &str) -> Result<(), &'static str> {
    let rest = text.strip_prefix('/').ok_or("it must begin with a slash")?;
    if text.len() > StreamName::LEN_MAX {
        return Err("it is longer than 200 bytes");
    }
    if rest.split('/').count() > StreamName::PARTS_MAX {
        return Err("it has more than 8 parts");
    }
    for part in rest.split('/') {
        if part.is_empty() {
            return Err("it has an empty part");
        }
        if part == "." || part == ".." {
            return Err("a part may not be '.' or '..'");
        }
        if !part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) {
            return Err("only ASCII letters, digits, '-', '_' and '.' are allowed in a part");
        }
    }
    Ok(())
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for StreamName {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for StreamName {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bad_names_say_why() {
        for (text, why) in [
            ("", "begin with a slash"),
            ("cam", "begin with a slash"),
            ("/", "empty part"),
            ("/cam//door", "empty part"),
            ("/cam/../etc", "'.' or '..'"),
            ("/cam door", "only ASCII"),
            ("/a/b/c/d/e/f/g/h/i", "more than 8"),
        ] {
            let error = text.parse::<StreamName>().unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn a_path_may_lack_its_slash() {
        assert_eq!(StreamName::from_path("cam/door/").unwrap().as_str(), "/cam/door");
    }

    proptest! {
        #[test]
        fn any_text_parses_or_says_why(text in ".{0,300}") {
            if let Ok(name) = text.parse::<StreamName>() {
                prop_assert_eq!(name.to_string(), text);
            }
        }
    }
}
