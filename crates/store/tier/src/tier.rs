//! The handle: calls that block, on a store whose calls do not.

use std::ops::Range;
use std::path::Path as FolderPath;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::runtime::Runtime;

use crate::Error;

/// Longest time any call takes, however few bytes it moves.
const CALL_MAX: Duration = Duration::from_secs(20);
/// Below that many bytes a second a store is as good as gone.
const SLOWEST_BYTES_PER_S: u64 = 64 << 10;

/// How often a call looks whether it is given up.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// A store of objects. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Tier {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    objects: Arc<dyn ObjectStore>,
    /// What all names begin with.
    prefix: Path,
    place: String,
    /// Nothing is waited for any more.
    given_up: AtomicBool,
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
}

/// An object there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// Its length.
    pub bytes: u64,
}

impl Tier {
    /// Objects as files in a folder, which must be there: one that is made anew where a disk is not mounted would
    /// hide what is on it. What is written is flushed.
    ///
    /// # Errors
    /// [`Error::Settings`] if there is no such folder.
    pub fn folder(path: &FolderPath) -> Result<Self, Error> {
        let place = path.display().to_string();
        let unusable = |why: String| Error::Settings { place: place.clone(), why };
        if !path.is_dir() {
            return Err(unusable("there is no such folder".to_owned()));
        }
        let folder = LocalFileSystem::new_with_prefix(path)
            .map_err(|error| unusable(error.to_string()))?
            .with_fsync(true);
        Self::over(Arc::new(folder), Path::default(), place.clone())
    }

    pub(crate) fn over(
        objects: Arc<dyn ObjectStore>,
        prefix: Path,
        place: String,
    ) -> Result<Self, Error> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("tier")
            .enable_all()
            .build()
            .map_err(|error| Error::Settings { place: place.clone(), why: error.to_string() })?;
        Ok(Self {
            shared: Arc::new(Shared {
                objects,
                prefix,
                place,
                runtime: Some(runtime),
                given_up: AtomicBool::new(false),
            }),
        })
    }

    /// Where it is, as a person would say it; without secrets.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.shared.place
    }

    /// Ends all calls, of all clones, with an error: whoever stops does not wait for a store that hangs.
    pub fn give_up(&self) {
        self.shared.given_up.store(true, Relaxed);
    }

    /// Writes an object, or one with the same name anew.
    ///
    /// # Errors
    /// [`Error::Failed`]: it may be there, wholly, or not.
    pub fn put(&self, name: &str, bytes: Bytes) -> Result<(), Error> {
        let path = self.path(name);
        let len = bytes.len() as u64;
        self.call(format!("writing {name}"), len, move |objects| async move {
            objects.put(&path, bytes.into()).await.map(drop)
        })
    }

    /// The bytes `range` of an object, all of them.
    ///
    /// # Errors
    /// [`Error::Missing`]; [`Error::Failed`], also if it is shorter.
    pub fn get(&self, name: &str, range: Range<u64>) -> Result<Bytes, Error> {
        let path = self.path(name);
        let len = range.end.saturating_sub(range.start);
        if len == 0 {
            return Ok(Bytes::new());
        }
        let bytes = self.call(format!("reading {name}"), len, move |objects| async move {
            objects.get_range(&path, range).await
        })?;
        if bytes.len() as u64 != len {
            let why = format!("{} bytes of {len} came", bytes.len());
            return Err(self.failed(format!("reading {name}"), why));
        }
        Ok(bytes)
    }

    /// How long an object is; `None` if there is none.
    ///
    /// # Errors
    /// [`Error::Failed`].
    pub fn len_of(&self, name: &str) -> Result<Option<u64>, Error> {
        let path = self.path(name);
        let head = self.call(format!("looking for {name}"), 0, move |objects| async move {
            objects.head(&path).await
        });
        match head {
            Ok(meta) => Ok(Some(meta.size)),
            Err(Error::Missing { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Deletes an object, if there is one.
    ///
    /// # Errors
    /// [`Error::Failed`].
    pub fn delete(&self, name: &str) -> Result<(), Error> {
        let path = self.path(name);
        let deleted = self.call(format!("deleting {name}"), 0, move |objects| async move {
            objects.delete(&path).await
        });
        match deleted {
            Err(Error::Missing { .. }) => Ok(()),
            other => other,
        }
    }

    /// All objects whose names begin with `folder` and a slash, in the order of their names. Costs a request for each thousand.
    ///
    /// # Errors
    /// [`Error::Failed`].
    pub fn list(&self, folder: &str) -> Result<Vec<Listed>, Error> {
        let path = self.path(folder);
        // As many as a year of a hundred cameras has take a minute or two.
        let allowance = 256 << 20;
        let found =
            self.call(format!("listing {folder}"), allowance, move |objects| async move {
                objects.list(Some(&path)).try_collect::<Vec<_>>().await
            })?;
        let skip = self.shared.prefix.parts().count();
        let name = |path: &Path| {
            let parts: Vec<String> =
                path.parts().skip(skip).map(|part| part.as_ref().to_owned()).collect();
            parts.join("/")
        };
        let mut listed: Vec<Listed> = found
            .into_iter()
            .map(|meta| Listed { name: name(&meta.location), bytes: meta.size })
            .collect();
        listed.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(listed)
    }

    fn path(&self, name: &str) -> Path {
        let own = name.split('/').filter(|part| !part.is_empty());
        self.shared.prefix.parts().chain(own.map(Into::into)).collect()
    }

    /// Runs a call to its end, or its deadline; `bytes` are what it moves.
    fn call<T, F>(
        &self,
        what: String,
        bytes: u64,
        call: impl FnOnce(Arc<dyn ObjectStore>) -> F,
    ) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Future<Output = object_store::Result<T>> + Send + 'static,
    {
        if self.shared.given_up.load(Relaxed) {
            return Err(self.failed(what, "it was given up".to_owned()));
        }
        let most = CALL_MAX + Duration::from_secs(bytes / SLOWEST_BYTES_PER_S);
        let future = call(self.shared.objects.clone());
        let (sender, receiver) = mpsc::sync_channel(1);
        let runtime = self.shared.runtime.as_ref().expect("it is there until it is dropped");
        runtime.spawn(async move {
            // Who asked may have given up meanwhile.
            let _ = sender.send(tokio::time::timeout(most, future).await);
        });
        let answer = loop {
            match receiver.recv_timeout(LOOK_EVERY) {
                Err(RecvTimeoutError::Timeout) if !self.shared.given_up.load(Relaxed) => {}
                answer => break answer,
            }
        };
        match answer {
            Ok(Ok(Ok(value))) => Ok(value),
            Ok(Ok(Err(object_store::Error::NotFound { path, .. }))) => {
                Err(Error::Missing { place: self.shared.place.clone(), name: path })
            }
            Ok(Ok(Err(error))) => Err(self.failed(what, innermost(&error))),
            Ok(Err(_)) => Err(self.failed(what, format!("no answer within {} s", most.as_secs()))),
            Err(_) => Err(self.failed(what, "it was given up".to_owned())),
        }
    }

    fn failed(&self, what: String, why: String) -> Error {
        Error::Failed { place: self.shared.place.clone(), what, why }
    }
}

/// Dropping it must not wait, nor care what thread it is on.
impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// What is at the bottom of an error: what lies above repeats names and addresses.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
