//! Whether the disks can take what somebody wants to publish: asked at every door before anything is sent.

use std::fmt;
use std::sync::Arc;

use pegasus_base::StreamName;
use pegasus_continuous::{Continuous, Error, Place};
use pegasus_media::TrackSet;

/// Gives places to streams that are going to be recorded. Cheap to clone.
#[derive(Clone)]
pub struct Intake {
    asked: Option<Asked>,
}

#[derive(Clone)]
struct Asked {
    store: Continuous,
    records: Arc<dyn Fn(&StreamName) -> bool + Send + Sync>,
}

impl Intake {
    /// Asks `store` for those that it `records`; the others need no place.
    #[must_use]
    pub fn new(
        store: Continuous,
        records: impl Fn(&StreamName) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self { asked: Some(Asked { store, records: Arc::new(records) }) }
    }

    /// Lets everybody in.
    #[must_use]
    pub fn open() -> Self {
        Self { asked: None }
    }

    /// A place for `name`, to be held while it is published; none where it needs none. `declared_bps` is what its sender says that
    /// it needs. May wait for a disk.
    ///
    /// # Errors
    /// [`Error::RecordingRefused`], with what would fit.
    pub fn place(
        &self,
        name: &StreamName,
        declared_bps: Option<u64>,
        tracks: &TrackSet,
    ) -> Result<Option<Place>, Error> {
        match &self.asked {
            Some(Asked { store, records }) if records(name) => {
                store.place(name, declared_bps, tracks).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// As [`Intake::place`], where waiting would hold up others.
    ///
    /// # Errors
    /// As [`Intake::place`].
    pub(crate) async fn ask(
        &self,
        name: &StreamName,
        declared_bps: Option<u64>,
        tracks: TrackSet,
    ) -> Result<Option<Place>, Error> {
        let (own, name) = (self.clone(), name.clone());
        let asking = move || own.place(&name, declared_bps, &tracks);
        match tokio::task::spawn_blocking(asking).await {
            Ok(asked) => asked,
            // Nobody cancels these tasks: it has panicked, and so does its caller.
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
}

impl fmt::Debug for Intake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Intake").field("asks", &self.asked.is_some()).finish()
    }
}
