//! Disks that the store was given while the node ran: a JSON file in the data folder, beside what the
//! configuration says, so that the next start finds them.
//!
//! ```json
//! { "version": 1, "disks": ["/dev/disk/by-id/ata-NEW"], "spares": [] }
//! ```
//!
//! It names where to look. What belongs to the store, the disks themselves say.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::sources::replace_file;

/// Name of the file.
const NAME: &str = "disks.json";
/// The version written, and the only one read.
const VERSION: u32 = 1;

/// Why the list can't be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiskListError {
    /// The file system failed.
    #[error("the list of disks {path} can't be {verb}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// `read` or `written`.
        verb: &'static str,
        /// How.
        source: io::Error,
    },
    /// The file holds something else.
    #[error("{path} is not a list of disks: {why}")]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

/// Where disks are that the configuration does not name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListedDisks {
    version: u32,
    /// Disks that were added, or took another's place.
    pub disks: Vec<PathBuf>,
    /// Disks that wait for one to fail; or have taken its place since.
    #[serde(default)]
    pub spares: Vec<PathBuf>,
    /// Disks that were to be removed: blank, they are not looked at any more, whoever names them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<PathBuf>,
}

/// What a disk is noted as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It takes part.
    Disk,
    /// It waits for one to fail.
    Spare,
}

impl Default for ListedDisks {
    fn default() -> Self {
        Self { version: VERSION, disks: Vec::new(), spares: Vec::new(), removed: Vec::new() }
    }
}

/// The file.
#[derive(Debug)]
pub struct DiskList {
    data: PathBuf,
    /// Held while it is changed.
    changing: Mutex<()>,
}

impl DiskList {
    /// That of a node with this data folder.
    #[must_use]
    pub fn of(data: &Path) -> Self {
        Self { data: data.to_owned(), changing: Mutex::new(()) }
    }

    /// A path as it was given: relative ones start in the data folder.
    #[must_use]
    pub fn resolve(&self, path: &str) -> PathBuf {
        self.data.join(path)
    }

    fn path(&self) -> PathBuf {
        self.data.join(NAME)
    }

    /// Reads it; a file that does not exist is an empty list.
    ///
    /// # Errors
    /// If it can't be read, or makes no sense.
    pub fn read(&self) -> Result<ListedDisks, DiskListError> {
        let path = self.path();
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(ListedDisks::default());
            }
            Err(source) => return Err(DiskListError::Io { path, verb: "read", source }),
        };
        let format = |why: String| DiskListError::Format { path: path.clone(), why };
        let listed: ListedDisks =
            serde_json::from_slice(&text).map_err(|error| format(error.to_string()))?;
        match listed.version {
            VERSION => Ok(listed),
            other => Err(format(format!("it has version {other}, not {VERSION}"))),
        }
    }

    /// Notes where a disk is, then has it taken. In this order, because it has to be found again once it
    /// holds something. If it is not taken after all, the note is withdrawn.
    ///
    /// # Errors
    /// If the file can't be read or written; as `take`.
    pub fn noted<E: From<DiskListError>>(
        &self,
        disk: &Path,
        role: Role,
        take: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), E> {
        let _alone = self.changing.lock();
        let before = self.read()?;
        let mut listed = before.clone();
        listed.removed.retain(|gone| gone != disk);
        let places = match role {
            Role::Disk => &mut listed.disks,
            Role::Spare => &mut listed.spares,
        };
        if !places.iter().any(|known| known == disk) {
            places.push(disk.to_owned());
        }
        self.change(&before, &listed, take)
    }

    /// Notes that a disk is to be removed, or is to stay after all, and has it so.
    ///
    /// # Errors
    /// If the file can't be read or written; as `take`.
    pub fn noted_removal<E: From<DiskListError>>(
        &self,
        disk: &Path,
        leaves: bool,
        take: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), E> {
        let _alone = self.changing.lock();
        let before = self.read()?;
        let mut listed = before.clone();
        listed.removed.retain(|gone| gone != disk);
        if leaves {
            listed.removed.push(disk.to_owned());
        }
        self.change(&before, &listed, take)
    }

    /// Writes the list, unless it is as before; as before again if what it tells of does not happen.
    fn change<E: From<DiskListError>>(
        &self,
        before: &ListedDisks,
        listed: &ListedDisks,
        take: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), E> {
        if listed != before {
            self.write(listed)?;
        }
        let taken = take();
        if taken.is_err() && listed != before {
            self.write(before)?;
        }
        taken
    }

    fn write(&self, listed: &ListedDisks) -> Result<(), DiskListError> {
        let mut text = serde_json::to_vec_pretty(listed).expect("paths in it are text");
        text.push(b'\n');
        let path = self.path();
        replace_file(&path, &text).map_err(|source| DiskListError::Io {
            path,
            verb: "written",
            source,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let list = DiskList::of(folder.path());
        assert_eq!(list.read().unwrap(), ListedDisks::default());
        let paths = [list.resolve("disk5"), list.resolve("/dev/sdx")];
        assert_eq!(paths[1], Path::new("/dev/sdx"));
        for path in paths.iter().chain(&paths) {
            list.noted(path, Role::Disk, || Ok::<_, DiskListError>(())).unwrap();
        }
        let refused = DiskListError::Format { path: "x".into(), why: "not taken".to_owned() };
        let error = list.noted(&list.resolve("bad"), Role::Disk, || Err(refused)).unwrap_err();
        assert!(error.to_string().contains("not taken"), "{error}");
        let spare = list.resolve("spare");
        list.noted(&spare, Role::Spare, || Ok::<_, DiskListError>(())).unwrap();
        let listed = DiskList::of(folder.path()).read().unwrap();
        assert_eq!((&listed.disks[..], listed.spares), (&paths[..], vec![spare]));
        let done = || Ok::<_, DiskListError>(());
        list.noted_removal(&paths[0], true, done).unwrap();
        list.noted_removal(&paths[1], true, done).unwrap();
        list.noted_removal(&paths[1], false, done).unwrap();
        let removed = || DiskList::of(folder.path()).read().unwrap().removed;
        assert_eq!(removed(), [paths[0].clone()]);
        // It may come back.
        list.noted(&paths[0], Role::Disk, done).unwrap();
        assert_eq!(removed(), Vec::<PathBuf>::new());
    }

    #[test]
    fn what_is_no_list_says_why_and_where() {
        let folder = tempfile::tempdir().unwrap();
        let list = DiskList::of(folder.path());
        for (text, why) in [("", "EOF"), (r#"{"version":9,"disks":[]}"#, "version 9")] {
            fs::write(folder.path().join(NAME), text).unwrap();
            let error = list
                .noted(Path::new("/x"), Role::Spare, || Ok::<_, DiskListError>(()))
                .unwrap_err()
                .to_string();
            assert!(error.contains(why) && error.contains(NAME), "{error}");
        }
    }
}
