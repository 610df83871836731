//! The way in: one recorder for each stream that is live.

use std::sync::Arc;

use pegasus_media::{TrackSet, Unit};

use crate::error::Error;
use crate::inner::Inner;
use crate::queue::Pushed;
use crate::status::RecorderStatus;
use crate::stream::Stream;
use crate::tracks::check_tracks;

/// Records one stream. Never waits for a disk; see [`Recorder::push`].
///
/// Dropping it ends the span after all that was pushed.
#[derive(Debug)]
pub struct Recorder {
    inner: Arc<Inner>,
    stream: Arc<Stream>,
}

impl Recorder {
    pub(crate) fn new(inner: Arc<Inner>, stream: Arc<Stream>) -> Self {
        Self { inner, stream }
    }

    /// Records `unit`, in decode order within its track. Returns at once; the unit is durable within
    /// [`durable_within`](crate::Settings::durable_within) while the disks keep up. When they don't,
    /// whole groups of pictures are dropped, which leaves a gap between two spans.
    ///
    /// Units of a picture track before its first key unit of a span can't be decoded and are left out.
    pub fn push(&self, unit: Arc<Unit>) -> Pushed {
        let pushed = self.stream.queue(|queue| queue.push(unit));
        if pushed == Pushed::Queued {
            self.inner.wake_committer();
        }
        pushed
    }

    /// Replaces the tracks: units pushed from now on belong to these.
    ///
    /// # Errors
    /// [`Error::Tracks`] if they can't be recorded; the former ones stay.
    pub fn set_tracks(&self, tracks: TrackSet) -> Result<(), Error> {
        check_tracks(&tracks)
            .map_err(|why| Error::Tracks { name: self.stream.name.clone(), why })?;
        self.stream.queue(|queue| queue.set_tracks(tracks));
        Ok(())
    }

    /// Says that something is missing here: the next unit begins a new span.
    pub fn gap(&self) {
        self.stream.queue(|queue| queue.gap());
    }

    /// How it is doing.
    #[must_use]
    pub fn status(&self) -> RecorderStatus {
        self.stream.queue(|queue| RecorderStatus {
            queued_bytes: queue.held_bytes(),
            dropped_units: queue.dropped_units(),
            trouble: queue.trouble().map(str::to_owned),
        })
    }

    /// Ends the recording. All that was pushed becomes durable in due course. The same as dropping.
    pub fn finish(self) {}
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.stream.queue(|queue| queue.detach());
        self.inner.wake_committer();
    }
}
