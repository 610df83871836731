//! The publishing end of a stream.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use pegasus_base::StreamName;
use pegasus_media::{TrackSet, Unit};

use crate::switch::{Port, check_numbers};
use crate::{Command, Damage, SinkStatus};

/// The publisher of a stream. Dropping it makes the stream idle.
pub struct Source {
    port: Arc<Port>,
    run: u64,
}

/// The commands sinks send to a source. A handle: it may be moved to another task.
pub struct Commands {
    port: Arc<Port>,
    run: u64,
}

impl Source {
    pub(crate) fn new(port: Port, run: u64) -> Self {
        Self { port: Arc::new(port), run }
    }

    /// The stream's name.
    #[must_use]
    pub fn name(&self) -> &StreamName {
        &self.port.name
    }

    /// Sends a unit to all sinks. Never waits for one. Without effect after
    /// [`Switch::close`](crate::Switch::close).
    ///
    /// # Panics
    /// If the unit's track is not one of the stream's.
    pub fn send(&self, unit: Unit) {
        self.send_many([unit]);
    }

    /// Sends units that came together: the sinks are woken once.
    ///
    /// # Panics
    /// If a unit's track is not one of the stream's.
    pub fn send_many(&self, units: impl IntoIterator<Item = Unit>) {
        let now = self.port.now();
        let wake = self.port.circuit.lock().push(units, now);
        wake.now();
    }

    /// Counts what did not come to the source, or not whole, for status.
    pub fn damaged(&self, damage: Damage) {
        self.port.circuit.lock().damaged(damage);
    }

    /// Replaces the tracks, for the units to come.
    ///
    /// # Panics
    /// If the tracks are not numbered `0, 1, ...`.
    pub fn set_tracks(&self, tracks: TrackSet) {
        check_numbers(&tracks);
        let mut circuit = self.port.circuit.lock();
        if circuit.publisher().is_none() {
            return; // closed
        }
        let wake = circuit.set_tracks(tracks);
        drop(circuit);
        self.port.tracks_changed();
        wake.now();
    }

    /// What sinks ask for. One task at a time may wait for it.
    #[must_use]
    pub fn commands(&self) -> Commands {
        Commands { port: Arc::clone(&self.port), run: self.run }
    }

    /// Whether the switch was shut down: nothing sent arrives any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.port.circuit.lock().is_closed()
    }

    /// Those who take the stream now, with the marks they sent.
    #[must_use]
    pub fn sinks(&self) -> Vec<SinkStatus> {
        self.port.circuit.lock().sinks()
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.port.leave(|circuit| circuit.leave());
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "source of {}", self.port.name)
    }
}

impl Commands {
    /// The next command if one waits. The same command sent many times before this is called is one.
    #[must_use]
    pub fn try_next(&mut self) -> Option<Command> {
        match self.port.circuit.lock().next_command(self.run, None) {
            Poll::Ready(command) => command,
            Poll::Pending => None,
        }
    }

    /// Waits for the next command; `None` once the source is gone or the switch shut down. Cancel
    /// safe.
    pub async fn next(&mut self) -> Option<Command> {
        poll_fn(|cx| self.port.circuit.lock().next_command(self.run, Some(cx.waker()))).await
    }
}
