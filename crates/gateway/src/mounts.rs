//! Mounting the store's files, as a door asks for it. The node does it.

use std::path::{Path, PathBuf};

/// What mounts and unmounts the store's files. Methods block.
pub trait Mounts: Send + Sync {
    /// Mounts them on an empty directory.
    ///
    /// # Errors
    /// The directory is none or not empty, they are mounted already, or the system refuses.
    fn mount(&self, path: &Path) -> Result<(), MountsError>;

    /// Takes a mount away; all that was written there is durable then.
    ///
    /// # Errors
    /// They are not mounted there, or the disks fail.
    fn unmount(&self, path: &Path) -> Result<(), MountsError>;

    /// How the files are doing.
    fn status(&self) -> FilesReport;
}

/// Why files are not mounted or unmounted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MountsError {
    /// What was asked for can't be done there.
    #[error("{0}")]
    Refused(String),
    /// They are not mounted there.
    #[error("the files are not mounted on {}", .0.display())]
    NotMounted(PathBuf),
    /// The system or the disks failed.
    #[error("{0}")]
    Failed(String),
}

/// How the files are doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FilesReport {
    /// Where they are mounted.
    pub mounts: Vec<PathBuf>,
    /// Bytes that can still be written, in the worst case; `None` before the first mount.
    pub free_bytes: Option<u64>,
    /// Bytes of changes that are not on disk yet.
    pub pending_bytes: u64,
    /// Why they can't be written.
    pub trouble: Option<String>,
}
