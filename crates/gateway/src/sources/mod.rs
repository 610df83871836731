//! Streams that the node fetches itself: cameras pulled by RTSP, files played in a loop.
//!
//! [`Sources`] keeps the list and one task for each source, which tries for ever: connect, publish,
//! and after a failure wait 1 s, then longer, up to 30 s. [`SourceStatus`] says how each one fares.
//! The list outlives the node in a small file. `pull` speaks RTSP (retina does; `bridge`
//! encrypts it), `file` plays MP4, `list` is the file's format, `url` what may stand in it, `backoff` the waiting.

mod backoff;
mod bridge;
mod file;
mod list;
mod pull;
mod url;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use pegasus_base::{Clock, StreamName, Time};
use pegasus_circuit::Switch;
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use self::backoff::Backoff;
pub use self::list::ListError;
pub(crate) use self::list::replace as replace_file;
pub use self::url::{SourceUrl, SourceUrlError};
use crate::Intake;

/// How a source fares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SourceStatus {
    /// The stream it is published as.
    #[schema(value_type = String, example = "/cam/yard")]
    pub name: StreamName,
    /// Where it comes from. A password in it is shown as `***`.
    pub url: String,
    /// What it is doing.
    pub state: SourceState,
    /// When it began to.
    #[schema(value_type = String, format = DateTime)]
    pub since: Time,
    /// Why it last failed, unless it is live again.
    pub error: Option<String>,
    /// Failures in a row.
    pub failures: u32,
    /// Whether it stands in the node's configuration, and so can't be removed at run time.
    pub configured: bool,
}

/// What a source is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SourceState {
    /// Trying to get the first unit.
    Connecting,
    /// Publishing.
    Live,
    /// Waiting before the next try.
    Waiting,
}

/// Why the list of sources can't be changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The caller used a name twice.
    #[error("there is already a source {name}; remove it first")]
    Exists {
        /// The name.
        name: StreamName,
    },
    /// The caller named no source.
    #[error("there is no source {name}")]
    Unknown {
        /// The name.
        name: StreamName,
    },
    /// The source belongs to the configuration.
    #[error("source {name} stands in the node's configuration; remove it there")]
    Configured {
        /// The name.
        name: StreamName,
    },
    /// The URL can't be pulled.
    #[error(transparent)]
    Url(#[from] SourceUrlError),
    /// The list can't be read or kept.
    #[error(transparent)]
    List(#[from] ListError),
}

/// The sources of a node. A handle: clones are the same list.
#[derive(Clone)]
pub struct Sources {
    inner: Arc<Inner>,
}

struct Inner {
    file: PathBuf,
    world: World,
    runtime: Handle,
    entries: Mutex<BTreeMap<StreamName, Entry>>,
}

/// What a source's task works with.
#[derive(Clone)]
struct World {
    switch: Switch,
    clock: Arc<dyn Clock>,
    intake: Intake,
    /// What the source needs, in bits a second, if the configuration says so.
    rate_bps: Option<u64>,
}

struct Entry {
    url: SourceUrl,
    report: Report,
    configured: bool,
    task: AbortHandle,
}

impl Sources {
    /// Reads the list in `file`, which need not exist, and starts to pull what stands there. What the disks can't take is tried
    /// again as what can't be reached.
    ///
    /// # Errors
    /// If the file can't be read or is no list.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn open(
        file: PathBuf,
        switch: Switch,
        clock: Arc<dyn Clock>,
        intake: Intake,
    ) -> Result<Self, SourceError> {
        let kept = list::load(&file)?;
        let world = World { switch, clock, intake, rate_bps: None };
        let (runtime, entries) = (Handle::current(), Mutex::default());
        let sources = Self { inner: Arc::new(Inner { file, world, runtime, entries }) };
        let mut entries = sources.inner.entries.lock();
        for (name, url) in kept {
            let entry = sources.start(&name, url, None, false);
            entries.insert(name, entry);
        }
        drop(entries);
        Ok(sources)
    }

    /// Adds a source and starts to pull it. When this returns the list with it is on disk.
    ///
    /// # Errors
    /// If there is one of this name, the URL can't be pulled, or the list can't be written; then
    /// nothing has changed.
    pub fn add(&self, name: &StreamName, url: &str) -> Result<(), SourceError> {
        let url: SourceUrl = url.parse()?;
        let mut entries = self.inner.entries.lock();
        if entries.contains_key(name) {
            return Err(SourceError::Exists { name: name.clone() });
        }
        let mut kept = kept(&entries);
        kept.insert(name.clone(), url.clone());
        list::save(&self.inner.file, &kept)?;
        entries.insert(name.clone(), self.start(name, url, None, false));
        Ok(())
    }

    /// Adds a source that stands in the node's configuration: it is not written to the list, and takes
    /// the place of one there of the same name. `rate_bps` is what it needs, whatever it says itself.
    ///
    /// # Errors
    /// If the URL can't be pulled, or the configuration has the name twice.
    pub fn configure(
        &self,
        name: &StreamName,
        url: &str,
        rate_bps: Option<u64>,
    ) -> Result<(), SourceError> {
        let url: SourceUrl = url.parse()?;
        let mut entries = self.inner.entries.lock();
        match entries.remove(name) {
            Some(entry) if entry.configured => {
                entries.insert(name.clone(), entry);
                return Err(SourceError::Exists { name: name.clone() });
            }
            Some(entry) => entry.task.abort(),
            None => {}
        }
        entries.insert(name.clone(), self.start(name, url, rate_bps, true));
        Ok(())
    }

    /// Stops pulling a source and forgets it. What is recorded of it stays.
    ///
    /// # Errors
    /// If there is none of this name, it stands in the configuration, or the list can't be written;
    /// then nothing has changed.
    pub fn remove(&self, name: &StreamName) -> Result<(), SourceError> {
        let mut entries = self.inner.entries.lock();
        match entries.get(name) {
            None => return Err(SourceError::Unknown { name: name.clone() }),
            Some(entry) if entry.configured => {
                return Err(SourceError::Configured { name: name.clone() });
            }
            Some(_) => {}
        }
        let mut kept = kept(&entries);
        kept.remove(name);
        list::save(&self.inner.file, &kept)?;
        if let Some(entry) = entries.remove(name) {
            entry.task.abort();
        }
        Ok(())
    }

    /// How all of them fare, by name.
    #[must_use]
    pub fn list(&self) -> Vec<SourceStatus> {
        let entries = self.inner.entries.lock();
        entries.iter().map(|(name, entry)| entry.status(name)).collect()
    }

    /// Stops all of them, without forgetting any.
    pub fn close(&self) {
        self.inner.entries.lock().values().for_each(|entry| entry.task.abort());
    }

    fn start(
        &self,
        name: &StreamName,
        url: SourceUrl,
        rate_bps: Option<u64>,
        configured: bool,
    ) -> Entry {
        let world = World { rate_bps, ..self.inner.world.clone() };
        let report = Report::new(&world);
        let task = supervise(world, name.clone(), url.clone(), report.clone());
        let task = self.inner.runtime.spawn(task).abort_handle();
        Entry { url, report, configured, task }
    }
}

impl std::fmt::Debug for Sources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.list()).finish()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.entries.lock().values().for_each(|entry| entry.task.abort());
    }
}

/// What goes into the list.
fn kept(entries: &BTreeMap<StreamName, Entry>) -> BTreeMap<StreamName, SourceUrl> {
    let added = entries.iter().filter(|(_, entry)| !entry.configured);
    added.map(|(name, entry)| (name.clone(), entry.url.clone())).collect()
}

impl Entry {
    fn status(&self, name: &StreamName) -> SourceStatus {
        let told = self.report.told.lock().clone();
        SourceStatus {
            name: name.clone(),
            url: self.url.to_string(),
            state: told.state,
            since: told.since,
            error: told.error,
            failures: told.failures,
            configured: self.configured,
        }
    }
}

/// Where a source's task says how it fares.
#[derive(Clone)]
struct Report {
    told: Arc<Mutex<Told>>,
    clock: Arc<dyn Clock>,
}

#[derive(Clone)]
struct Told {
    state: SourceState,
    since: Time,
    error: Option<String>,
    failures: u32,
}

impl Report {
    fn new(world: &World) -> Self {
        let clock = Arc::clone(&world.clock);
        let (state, since) = (SourceState::Connecting, clock.now());
        let told = Arc::new(Mutex::new(Told { state, since, error: None, failures: 0 }));
        Self { told, clock }
    }

    fn connecting(&self) {
        let mut told = self.told.lock();
        (told.state, told.since) = (SourceState::Connecting, self.clock.now());
    }

    /// The first unit has come.
    fn live(&self) {
        let (state, since) = (SourceState::Live, self.clock.now());
        *self.told.lock() = Told { state, since, error: None, failures: 0 };
    }

    /// It is over, because of `error`. Yields whether it was live.
    fn failed(&self, error: String) -> bool {
        let mut told = self.told.lock();
        let was_live = told.state == SourceState::Live;
        (told.state, told.since) = (SourceState::Waiting, self.clock.now());
        told.error = Some(error);
        told.failures = told.failures.saturating_add(1);
        was_live
    }
}

/// Pulls a source for ever.
async fn supervise(world: World, name: StreamName, url: SourceUrl, report: Report) {
    let mut backoff = Backoff::default();
    loop {
        report.connecting();
        let began = Instant::now();
        let error = match &url {
            SourceUrl::Rtsp(rtsp) => Box::pin(pull::run(&world, &name, rtsp, &report)).await,
            SourceUrl::File(path) => file::run(&world, &name, path, &report).await,
        };
        tracing::warn!(source = %name, %url, %error, "a source has failed");
        let lasted = if report.failed(error) { began.elapsed() } else { Duration::ZERO };
        tokio::time::sleep(backoff.next(lasted)).await;
    }
}

/// Refuses early if somebody else publishes the name: nothing need be fetched then.
fn check_free(world: &World, name: &StreamName) -> Result<(), String> {
    match world.switch.status(name).and_then(|status| status.publisher) {
        Some(publisher) => Err(format!("{name} is already published by {publisher}")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use pegasus_base::SystemClock;
    use pegasus_circuit::Limits;

    use super::*;

    fn open(file: PathBuf, switch: &Switch) -> Sources {
        Sources::open(file, switch.clone(), Arc::new(SystemClock), Intake::open()).unwrap()
    }

    #[tokio::test]
    async fn the_list_outlives_the_node_and_passwords_are_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sources.json");
        let switch = Switch::new(Limits::default());
        let name: StreamName = "/cam/yard".parse().unwrap();
        let url = "rtsp://user:secret@127.0.0.1:1/stream1";
        {
            let sources = open(file.clone(), &switch);
            sources.add(&name, url).unwrap();
            assert!(matches!(sources.add(&name, url), Err(SourceError::Exists { .. })));
            assert!(matches!(
                sources.add(&"/x".parse().unwrap(), "gopher://h/"),
                Err(SourceError::Url(_))
            ));
            let configured: StreamName = "/configured".parse().unwrap();
            sources.configure(&configured, "file:///nowhere.mp4", None).unwrap();
            assert!(matches!(sources.remove(&configured), Err(SourceError::Configured { .. })));
        }
        let sources = open(file.clone(), &switch);
        let list = sources.list();
        assert_eq!(list.len(), 1);
        assert_eq!(list[0].url, "rtsp://user:***@127.0.0.1:1/stream1");
        assert!(!format!("{sources:?}").contains("secret"));
        sources.remove(&name).unwrap();
        assert!(matches!(sources.remove(&name), Err(SourceError::Unknown { .. })));
        assert!(open(file, &switch).list().is_empty());
    }

    #[tokio::test]
    async fn a_source_that_fails_says_why_and_a_name_in_use_is_respected() {
        let folder = tempfile::tempdir().unwrap();
        let switch = Switch::new(Limits::default());
        let name: StreamName = "/film".parse().unwrap();
        let held = switch.publish(&name, "somebody", Vec::new().into()).unwrap();
        let sources = open(folder.path().join("sources.json"), &switch);
        sources.add(&name, "file:///nowhere.mp4").unwrap();
        let error = loop {
            if let Some(error) = sources.list()[0].error.clone() {
                break error;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        assert_eq!(error, "/film is already published by somebody");
        drop(held);
        let error = loop {
            let error = sources.list()[0].error.clone().unwrap();
            if !error.contains("published") {
                break error;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        assert!(error.contains("/nowhere.mp4"), "{error}");
    }
}
