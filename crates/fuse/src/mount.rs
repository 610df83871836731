//! Mounting and unmounting.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak, mpsc};
use std::time::Duration;

use fuser::{BackgroundSession, Config, MountOption, Session, SessionACL};
use pegasus_export::Library;
use pegasus_files::Files;
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};

use crate::door::Door;
use crate::streams::Streams;

/// Threads that serve requests: as many programs may wait for the disks at once.
const THREADS: usize = 8;

/// How long unmounting may take before it is left to itself.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the table of mounts calls it.
const SOURCE: &str = "pegasus";

/// How a volume is mounted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MountOptions {
    /// Whether users other than the node's may use it.
    pub allow_other: bool,
}

/// Why a volume can't be mounted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MountError {
    /// The directory can't be made or looked at.
    #[error("can't mount on {path}: {source}")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Something is mounted there already.
    #[error("can't mount on {path}: a file system of a running node is mounted there")]
    Busy {
        /// The directory.
        path: PathBuf,
    },
    /// The kernel refused.
    #[error("can't mount on {path}: {source}; without root it takes fusermount3 (package fuse3)")]
    Refused {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// A mounted volume. Dropping it unmounts.
#[derive(Debug)]
pub struct Mount {
    path: PathBuf,
    session: Option<BackgroundSession>,
    files: Arc<Files>,
    served: Weak<()>,
}

/// Tells whether a mount is served still, after it was taken away.
#[derive(Clone, Debug)]
pub struct Served(Weak<()>);

impl Served {
    /// Whether programs use files of it still.
    #[must_use]
    pub fn is_used(&self) -> bool {
        self.0.strong_count() > 0
    }
}

impl Mount {
    /// Mounts `files` on `path`, which is made if it is not there, with `recordings` in `/streams`. What a
    /// node that was killed left mounted there is taken away first.
    ///
    /// # Errors
    /// Names the directory and why not.
    pub fn new(
        files: Arc<Files>,
        recordings: Option<Library>,
        path: &Path,
        options: MountOptions,
    ) -> Result<Self, MountError> {
        clear(path)?;
        let mut config = Config::default();
        config.mount_options =
            vec![MountOption::FSName(SOURCE.to_owned()), MountOption::DefaultPermissions];
        if rustix::process::geteuid().is_root() {
            config.mount_options.extend([MountOption::Dev, MountOption::Suid]);
        }
        config.acl = if options.allow_other { SessionACL::All } else { SessionACL::Owner };
        config.n_threads = Some(THREADS);
        config.clone_fd = true;
        let refused = |source| MountError::Refused { path: path.to_owned(), source };
        let door = Door::new(files.clone(), recordings.map(Streams::new));
        let served = door.served();
        let session =
            Session::new(door, path, &config).and_then(Session::spawn).map_err(refused)?;
        Ok(Self { path: path.to_owned(), session: Some(session), files, served })
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is there: others may unmount it too.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.session.as_ref().is_some_and(|session| !session.guard.is_finished())
    }

    /// Tells whether it is served still, when it has been taken away.
    #[must_use]
    pub fn served(&self) -> Served {
        Served(self.served.clone())
    }

    /// Unmounts, and makes everything durable. Where programs still use files, the mount vanishes from
    /// sight at once and ends with the last of them.
    ///
    /// # Errors
    /// If the changes can't be made durable.
    pub fn unmount(mut self) -> Result<(), pegasus_files::FilesError> {
        self.end();
        self.files.sync()
    }

    fn end(&mut self) {
        let Some(session) = self.session.take() else { return };
        let path = &self.path;
        if session.guard.is_finished() {
            return; // somebody unmounted it
        }
        // As root directly, else through fusermount3. It waits until nobody has the mount any more, which may be
        // never: a container that was started meanwhile has one of its own.
        let (done, ended) = mpsc::channel();
        std::thread::spawn(move || {
            let _ = done.send(session.umount_and_join());
        });
        let Ok(ended) = ended.recv_timeout(PATIENCE) else {
            let path = path.display();
            tracing::warn!(%path, "the mount is gone here, and seen from elsewhere, such as a container, still");
            return;
        };
        let Err(error) = ended else { return };
        if error.raw_os_error() != Some(Errno::BUSY.raw_os_error()) {
            tracing::warn!(%error, path = %path.display(), "the mount did not end well");
            return;
        }
        tracing::warn!(path = %path.display(), "files are in use; the mount is detached");
        if let Err(error) = unmount(path, UnmountFlags::DETACH) {
            tracing::warn!(%error, path = %path.display(), "can't detach the mount");
        }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        self.end();
    }
}

/// Makes the directory, and takes away what a node that is gone left mounted there.
fn clear(path: &Path) -> Result<(), MountError> {
    let failed = |source| MountError::Directory { path: path.to_owned(), source };
    match std::fs::metadata(path) {
        Ok(_) if is_ours(path) => return Err(MountError::Busy { path: path.to_owned() }),
        Ok(found) if found.is_dir() => return Ok(()),
        Ok(_) => return Err(failed(std::io::ErrorKind::NotADirectory.into())),
        Err(error) if error.raw_os_error() == Some(Errno::NOTCONN.raw_os_error()) => {
            tracing::info!(path = %path.display(), "unmounting what a killed node left");
            unmount(path, UnmountFlags::DETACH).map_err(|error| failed(error.into()))?;
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    std::fs::create_dir_all(path).map_err(failed)
}

/// Whether a volume is mounted on just this directory.
fn is_ours(path: &Path) -> bool {
    let Ok(path) = path.canonicalize() else { return false };
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    mounts.lines().any(|line| match line.split(' ').collect::<Vec<_>>()[..] {
        [SOURCE, at, kind, ..] => {
            kind.starts_with("fuse") && Some(at.replace("\\040", " ").as_str()) == path.to_str()
        }
        _ => false,
    })
}
