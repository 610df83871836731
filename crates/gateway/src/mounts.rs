//! The store's files, as a door asks for them: where they are mounted, their snapshots and quotas. The node has them.

use std::path::{Path, PathBuf};

use pegasus_base::Time;

/// What has the store's files. Methods block.
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

    /// Their snapshots, oldest first.
    ///
    /// # Errors
    /// The files can't be opened.
    fn snapshots(&self) -> Result<Vec<SnapshotReport>, MountsError>;

    /// Keeps all files as they are now, durably.
    ///
    /// # Errors
    /// There is one of this name, it is no name, there is no room, or the disks fail.
    fn create_snapshot(&self, name: &str) -> Result<SnapshotReport, MountsError>;

    /// Removes a snapshot, durably.
    ///
    /// # Errors
    /// There is none of this name, or the disks fail.
    fn remove_snapshot(&self, name: &str) -> Result<(), MountsError>;

    /// Quotas on directories, oldest first.
    ///
    /// # Errors
    /// The files can't be opened.
    fn quotas(&self) -> Result<Vec<QuotaReport>, MountsError>;

    /// Limits what a directory may hold, durably, when what it holds is counted.
    ///
    /// # Errors
    /// There is no such directory, one above or in it has a quota, or the disks fail.
    fn set_quota(&self, path: &str, limits: QuotaLimits) -> Result<QuotaReport, MountsError>;

    /// Takes the quota of a directory away, durably.
    ///
    /// # Errors
    /// There is none, or the disks fail.
    fn remove_quota(&self, path: &str) -> Result<(), MountsError>;
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
    /// There is no snapshot of this name.
    #[error("there is no snapshot {0:?}")]
    NoSnapshot(String),
    /// There is no such directory among the files.
    #[error("the files have no directory {0:?}")]
    NoDirectory(String),
    /// The directory has no quota of its own.
    #[error("there is no quota on {0:?}")]
    NoQuota(String),
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
    /// Snapshots there are.
    pub snapshots: u64,
    /// Why they can't be written.
    pub trouble: Option<String>,
}

/// A snapshot of the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotReport {
    /// Its name.
    pub name: String,
    /// The moment it shows.
    pub made: Time,
}

/// What a directory may hold with all that is in it; `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuotaLimits {
    /// Bytes of files.
    pub bytes: Option<u64>,
    /// Files and directories, itself among them.
    pub files: Option<u64>,
}

/// A quota on a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaReport {
    /// The directory's path, from the root of the files on.
    pub path: String,
    /// What it may hold.
    pub limits: QuotaLimits,
    /// Bytes it holds.
    pub used_bytes: u64,
    /// Files and directories it holds.
    pub used_files: u64,
    /// What it holds is still being counted; until then nothing is refused.
    pub counting: bool,
}
