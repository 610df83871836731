//! The store's ordinary files, mounted.

use std::sync::Arc;

use pegasus_base::Clock;
use pegasus_continuous::Continuous;
use pegasus_export::Library;
use pegasus_files::{Files, FilesError, Settings};
use pegasus_fuse::{Mount, MountOptions};
use pegasus_log::Log;

use crate::NodeError;
use crate::config;

/// The files of a node, and where they are mounted.
#[derive(Debug)]
pub(crate) struct MountedFiles {
    files: Arc<Files>,
    mount: Mount,
}

impl MountedFiles {
    /// Opens and mounts the files, if the configuration says where. Checkpoints of the log are left to the
    /// recordings, which share it.
    pub(crate) fn open(
        config: &config::Mount,
        log: Arc<Log>,
        store: &Continuous,
        clock: Arc<dyn Clock>,
    ) -> Result<Option<Self>, NodeError> {
        let Some(path) = &config.path else { return Ok(None) };
        let settings = Settings { flush_after: config.flush_after, ..Settings::default() };
        let recordings = config.streams.then(|| Library::new(store.clone()));
        let store = store.clone();
        let checkpoint_due = Box::new(move || store.request_checkpoint());
        let files = Arc::new(Files::open(log, settings, clock, checkpoint_due)?);
        let options = MountOptions { allow_other: config.allow_other };
        let mount = Mount::new(Arc::clone(&files), recordings, path, options)?;
        tracing::info!(path = %path.display(), "files are mounted");
        Ok(Some(Self { files, mount }))
    }

    /// The directory, for people.
    pub(crate) fn place(&self) -> String {
        self.mount.path().display().to_string()
    }

    /// Unmounts; all that was written is durable when this returns.
    pub(crate) fn close(self) -> Result<(), FilesError> {
        let unmounted = self.mount.unmount();
        self.files.close().and(unmounted)
    }
}
