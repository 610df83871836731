//! The list of sources on disk: a JSON file, replaced as a whole.
//!
//! ```json
//! { "version": 1, "sources": [ { "name": "/cam/yard", "url": "rtsp://user:pass@camera/stream1" } ] }
//! ```
//!
//! It holds passwords, so only its owner may read it.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use pegasus_base::StreamName;
use serde::{Deserialize, Serialize};

use super::{SourceUrl, SourceUrlError};

/// Why the list can't be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListError {
    /// The file system failed.
    #[error("the list of sources {path} can't be {verb}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// `read` or `written`.
        verb: &'static str,
        /// How.
        source: io::Error,
    },
    /// The file holds something else.
    #[error("{path} is not a list of sources: {why}")]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

/// The version written, and the only one read.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListFile {
    version: u32,
    sources: Vec<Line>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    name: StreamName,
    url: String,
}

/// Reads the list; a file that does not exist is an empty one.
pub(super) fn load(path: &Path) -> Result<BTreeMap<StreamName, SourceUrl>, ListError> {
    let format = |why: String| ListError::Format { path: path.to_owned(), why };
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(source) => return Err(ListError::Io { path: path.to_owned(), verb: "read", source }),
    };
    let file: ListFile =
        serde_json::from_slice(&text).map_err(|error| format(error.to_string()))?;
    if file.version != VERSION {
        return Err(format(format!("it has version {}, not {VERSION}", file.version)));
    }
    let parse = |line: Line| match line.url.parse() {
        Ok(url) => Ok((line.name, url)),
        Err(error) => Err(format(SourceUrlError::to_string(&error))),
    };
    file.sources.into_iter().map(parse).collect()
}

/// Writes the list. When this returns it is on disk; if it fails, the old one still is.
pub(super) fn save(
    path: &Path,
    sources: &BTreeMap<StreamName, SourceUrl>,
) -> Result<(), ListError> {
    let lines = sources.iter().map(|(name, url)| Line { name: name.clone(), url: url.as_secret() });
    let file = ListFile { version: VERSION, sources: lines.collect() };
    let mut text = serde_json::to_vec_pretty(&file).expect("names and URLs are text");
    text.push(b'\n');
    replace(path, &text).map_err(|source| ListError::Io {
        path: path.to_owned(),
        verb: "written",
        source,
    })
}

/// Replaces a file as a whole: a crash leaves the old or the new one.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_list_is_read_back_and_kept_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sources.json");
        assert!(load(&path).unwrap().is_empty());
        let url: SourceUrl = "rtsp://user:pass@camera/stream1".parse().unwrap();
        let list = BTreeMap::from([("/cam/yard".parse().unwrap(), url)]);
        save(&path, &list).unwrap();
        save(&path, &list).unwrap();
        assert_eq!(load(&path).unwrap(), list);
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left behind");
    }

    #[test]
    fn what_is_no_list_says_why_and_where() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sources.json");
        for (text, why) in [
            ("", "EOF"),
            ("[]", "invalid"),
            (r#"{"version":9,"sources":[]}"#, "version 9"),
            (r#"{"version":1,"sources":[{"name":"cam","url":"rtsp://h/"}]}"#, "begin with a slash"),
            (r#"{"version":1,"sources":[{"name":"/cam","url":"x"}]}"#, "can't be pulled"),
        ] {
            fs::write(&path, text).unwrap();
            let error = load(&path).unwrap_err().to_string();
            assert!(error.contains(why) && error.contains("sources.json"), "{text}: {error}");
        }
        let nowhere = folder.path().join("nowhere/sources.json");
        assert!(matches!(save(&nowhere, &BTreeMap::new()), Err(ListError::Io { .. })));
    }
}
