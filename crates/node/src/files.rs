//! The store's ordinary files, and where they are mounted.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use pegasus_base::Clock;
use pegasus_continuous::Continuous;
use pegasus_export::Library;
use pegasus_files::{Files, FilesError, Settings, Snapshot};
use pegasus_fuse::{Mount, MountOptions, Served};
use pegasus_gateway::{FilesReport, Mounts, MountsError, QuotaLimits, QuotaReport, SnapshotReport};
use pegasus_log::Log;
use rustix::io::Errno;

use crate::{NodeError, config, quotas};

/// The files of a node. They are opened when they, or their snapshots, are first asked for. They are mounted in one
/// place at most: a kernel takes for right what it has in memory, so that two mounts would tell two things.
pub(crate) struct NodeFiles {
    log: Arc<Log>,
    store: Continuous,
    clock: Arc<dyn Clock>,
    config: config::Mount,
    /// Share of the store that only recordings may take, in percent.
    share_percent: u8,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    files: Option<Arc<Files>>,
    mount: Option<Mount>,
    /// A mount that was taken away.
    before: Option<Served>,
    closed: bool,
}

impl NodeFiles {
    /// Nothing is opened or mounted yet. Checkpoints of the log are left to the recordings, which share it.
    pub(crate) fn new(
        config: config::Mount,
        share_percent: u8,
        log: Arc<Log>,
        store: Continuous,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { log, store, clock, config, share_percent, state: Mutex::default() }
    }

    /// Mounts where the configuration says.
    pub(crate) fn mount_configured(&self) -> Result<(), NodeError> {
        match &self.config.path {
            Some(path) => self.mount_on(&mut self.state.lock(), path),
            None => Ok(()),
        }
    }

    fn mount_on(&self, state: &mut State, path: &Path) -> Result<(), NodeError> {
        let files = self.files_in(state)?;
        let recordings = self.config.streams.then(|| Library::new(self.store.clone()));
        let options = MountOptions { allow_other: self.config.allow_other };
        state.mount = Some(Mount::new(files, recordings, path, options)?);
        tracing::info!(path = %path.display(), "files are mounted");
        Ok(())
    }

    /// The files, opened if they are not yet.
    fn files_in(&self, state: &mut State) -> Result<Arc<Files>, FilesError> {
        match &state.files {
            _ if state.closed => Err(FilesError::Closed),
            Some(files) => Ok(files.clone()),
            None => Ok(state.files.insert(Arc::new(self.open()?)).clone()),
        }
    }

    fn files(&self) -> Result<Arc<Files>, MountsError> {
        self.files_in(&mut self.state.lock()).map_err(refusal)
    }

    fn open(&self) -> Result<Files, FilesError> {
        let settings = Settings {
            flush_after: self.config.flush_after,
            kept_from_files_percent: self.share_percent,
            ..Settings::default()
        };
        let store = self.store.clone();
        let checkpoint_due = Box::new(move || store.request_checkpoint());
        Files::open(self.log.clone(), settings, self.clock.clone(), checkpoint_due)
    }

    /// Where they are mounted.
    pub(crate) fn place(&self) -> Option<PathBuf> {
        let state = self.state.lock();
        state.mount.as_ref().filter(|mount| mount.is_there()).map(|mount| mount.path().to_owned())
    }

    /// Unmounts, for good; all that was written is durable when this returns.
    pub(crate) fn close(&self) -> Result<(), FilesError> {
        let mut state = self.state.lock();
        state.closed = true;
        let unmounted = state.mount.take().map_or(Ok(()), Mount::unmount);
        let closed = state.files.take().map_or(Ok(()), |files| files.close());
        closed.and(unmounted)
    }
}

impl Mounts for NodeFiles {
    fn mount(&self, path: &Path) -> Result<(), MountsError> {
        check_empty(path)?;
        let mut state = self.state.lock();
        if state.closed {
            return Err(MountsError::Refused("the node is stopping".to_owned()));
        }
        if let Some(mount) = state.mount.as_ref().filter(|mount| mount.is_there()) {
            let text = format!("the files are mounted on {} already", mount.path().display());
            return Err(MountsError::Refused(text));
        }
        if state.before.as_ref().is_some_and(Served::is_used) {
            let text = "programs still use files of the mount that was taken away";
            return Err(MountsError::Refused(text.to_owned()));
        }
        self.mount_on(&mut state, path).map_err(|error| MountsError::Failed(error.to_string()))
    }

    fn unmount(&self, path: &Path) -> Result<(), MountsError> {
        let mut state = self.state.lock();
        let wanted = resolved(path);
        let here =
            state.mount.take_if(|mount| resolved(mount.path()) == wanted && mount.is_there());
        let mount = here.ok_or_else(|| MountsError::NotMounted(path.to_owned()))?;
        state.before = Some(mount.served());
        tracing::info!(path = %path.display(), "files are unmounted");
        mount.unmount().map_err(|error| MountsError::Failed(error.to_string()))
    }

    fn status(&self) -> FilesReport {
        let mounts = self.place().into_iter().collect();
        let files = self.state.lock().files.clone();
        match files.map(|files| files.status()) {
            Some(status) => FilesReport {
                mounts,
                free_bytes: Some(status.room.free_bytes),
                pending_bytes: status.pending_bytes,
                snapshots: status.snapshots as u64,
                trouble: status.trouble,
            },
            None => FilesReport { mounts, ..FilesReport::default() },
        }
    }

    fn snapshots(&self) -> Result<Vec<SnapshotReport>, MountsError> {
        Ok(self.files()?.snapshots().into_iter().map(report).collect())
    }

    fn create_snapshot(&self, name: &str) -> Result<SnapshotReport, MountsError> {
        let files = self.files()?;
        let made = files.create_snapshot(name).map_err(refusal)?;
        files.sync().map_err(refusal)?;
        tracing::info!(name, "a snapshot was made of the files");
        Ok(report(made))
    }

    fn remove_snapshot(&self, name: &str) -> Result<(), MountsError> {
        let files = self.files()?;
        files.remove_snapshot(name).map_err(refusal)?;
        tracing::info!(name, "a snapshot was removed");
        files.sync().map_err(refusal)
    }

    fn quotas(&self) -> Result<Vec<QuotaReport>, MountsError> {
        quotas::list(&*self.files()?)
    }

    fn set_quota(&self, path: &str, limits: QuotaLimits) -> Result<QuotaReport, MountsError> {
        quotas::set(&*self.files()?, self.place().as_deref(), path, limits)
    }

    fn remove_quota(&self, path: &str) -> Result<(), MountsError> {
        quotas::remove(&*self.files()?, self.place().as_deref(), path)
    }
}

fn report(snapshot: Snapshot) -> SnapshotReport {
    SnapshotReport { name: snapshot.name, made: snapshot.made }
}

/// What is the caller's fault can be refused; all else failed.
pub(crate) fn refusal(error: FilesError) -> MountsError {
    match error {
        FilesError::NoSnapshot { name } => MountsError::NoSnapshot(name),
        FilesError::Exists { name, .. } => {
            MountsError::Refused(format!("there is a snapshot {name:?} already"))
        }
        FilesError::Refused { why, .. } => MountsError::Refused(why.to_owned()),
        FilesError::Full { .. } | FilesError::Closed => MountsError::Refused(error.to_string()),
        error => MountsError::Failed(error.to_string()),
    }
}

/// The one path of a directory, without looking into what is mounted there.
fn resolved(path: &Path) -> Option<PathBuf> {
    let path = std::path::absolute(path).ok()?;
    let (parent, name) = path.parent().zip(path.file_name())?;
    Some(parent.canonicalize().unwrap_or_else(|_| parent.to_owned()).join(name))
}

/// Checks that a mount would hide nothing: who may ask for one may not be who may write there.
fn check_empty(path: &Path) -> Result<(), MountsError> {
    let refused = |why: &str| Err(MountsError::Refused(format!("{}: {why}", path.display())));
    if !path.is_absolute() {
        return refused("a directory to mount on is given with all of its path");
    }
    match std::fs::read_dir(path).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Ok(false) => refused("the directory is not empty"),
        // A node that was killed left it mounted.
        Err(error) if error.raw_os_error() == Some(Errno::NOTCONN.raw_os_error()) => Ok(()),
        Err(error) => refused(&error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_hides_nothing() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(check_empty(folder.path()), Ok(()));
        let missing = folder.path().join("missing");
        assert!(check_empty(&missing).is_err());
        assert!(check_empty(Path::new("relative")).is_err());
        std::fs::write(folder.path().join("file"), "").unwrap();
        let error = check_empty(folder.path()).unwrap_err();
        assert!(error.to_string().ends_with("the directory is not empty"), "{error}");
        assert!(check_empty(&folder.path().join("file")).is_err());
    }
}
