//! The switch: all streams of a node by name.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use pegasus_base::StreamName;
use pegasus_media::{Track, TrackSet};
use tokio::sync::broadcast;

use crate::circuit::{Circuit, Wake};
use crate::{Limits, Sink, Source, Start, StreamStatus, SwitchEvent};

/// All streams of a node by name. A handle: clones are the same switch.
///
/// ```
/// use pegasus_circuit::{Event, Limits, Start, Switch};
/// let switch = Switch::new(Limits::default());
/// let name = "/cam/door".parse().unwrap();
/// let mut sink = switch.subscribe(&name, Start::KeyUnit); // before anybody publishes it
/// assert_eq!(sink.try_next(), None);
/// let source = switch.publish(&name, "an example", Vec::new().into()).unwrap();
/// assert!(switch.publish(&name, "another", Vec::new().into()).is_err());
/// assert!(matches!(sink.try_next(), Some(Event::Live(_))));
/// drop(source);
/// assert_eq!(sink.try_next(), Some(Event::Idle));
/// ```
#[derive(Clone)]
pub struct Switch {
    inner: Arc<Inner>,
}

/// Why a stream can't be published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// Somebody else publishes it.
    #[error("{name} is already published by {publisher}")]
    Taken {
        /// The stream.
        name: StreamName,
        /// Who publishes it.
        publisher: String,
    },
    /// The switch has been shut down.
    #[error("{name} can't be published: the node is stopping")]
    Closed {
        /// The stream.
        name: StreamName,
    },
}

pub(crate) struct Inner {
    limits: Limits,
    /// Zero of the clock the cores are told.
    began: Instant,
    registry: Mutex<Registry>,
    events: broadcast::Sender<SwitchEvent>,
}

#[derive(Default)]
struct Registry {
    streams: BTreeMap<StreamName, Arc<Mutex<Circuit>>>,
    closed: bool,
}

/// A source's or sink's end: the stream and the switch it belongs to.
#[derive(Clone)]
pub(crate) struct Port {
    pub(crate) name: StreamName,
    pub(crate) circuit: Arc<Mutex<Circuit>>,
    switch: Arc<Inner>,
}

/// Events that a watcher may be behind before it loses some.
const EVENTS_HELD: usize = 1_024;

impl Switch {
    /// A switch without streams, each of which will be bounded by `limits`.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let inner = Inner {
            limits,
            began: Instant::now(),
            registry: Mutex::default(),
            events: broadcast::Sender::new(EVENTS_HELD),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Begins to publish the stream `name`. `publisher` says who does, for status and messages, such
    /// as `rtsp 127.0.0.1:5555`. The stream is live until the [`Source`] is dropped.
    ///
    /// # Errors
    /// [`PublishError::Taken`] if another publishes it, [`PublishError::Closed`] after
    /// [`Switch::close`].
    ///
    /// # Panics
    /// If the tracks are not numbered `0, 1, ...`.
    pub fn publish(
        &self,
        name: &StreamName,
        publisher: &str,
        tracks: TrackSet,
    ) -> Result<Source, PublishError> {
        check_numbers(&tracks);
        let mut registry = self.inner.registry.lock();
        if registry.closed {
            return Err(PublishError::Closed { name: name.clone() });
        }
        let port = self.inner.port(&mut registry, name);
        let mut circuit = port.circuit.lock();
        if let Some(publisher) = circuit.publisher() {
            let publisher = publisher.to_owned();
            return Err(PublishError::Taken { name: name.clone(), publisher });
        }
        let (run, wake) = circuit.publish(publisher, tracks);
        drop(circuit);
        self.inner.announce(SwitchEvent::Live { name: name.clone() });
        drop(registry);
        wake.now();
        Ok(Source::new(port, run))
    }

    /// Begins to take the stream `name`, live or not: an idle stream's sink waits.
    #[must_use]
    pub fn subscribe(&self, name: &StreamName, start: Start) -> Sink {
        let mut registry = self.inner.registry.lock();
        let closed = registry.closed;
        let port = self.inner.port(&mut registry, name);
        let mut circuit = port.circuit.lock();
        if closed {
            circuit.close().now(); // made just now, nobody waits for it
        }
        let (id, wake) = circuit.attach(start);
        drop(circuit);
        drop(registry);
        wake.now();
        Sink::new(port, id)
    }

    /// Every stream that is live or has sinks, by name.
    #[must_use]
    pub fn streams(&self) -> Vec<StreamStatus> {
        let streams: Vec<_> = {
            let registry = self.inner.registry.lock();
            registry.streams.iter().map(|(name, c)| (name.clone(), Arc::clone(c))).collect()
        };
        let now = self.inner.now();
        streams.into_iter().map(|(name, circuit)| status(name, &circuit, now)).collect()
    }

    /// How the stream `name` is, if it is live or has sinks.
    #[must_use]
    pub fn status(&self, name: &StreamName) -> Option<StreamStatus> {
        let circuit = self.inner.registry.lock().streams.get(name).cloned()?;
        Some(status(name.clone(), &circuit, self.inner.now()))
    }

    /// What happens to the streams from now on. A watcher that falls 1024 events behind is told that
    /// it lagged, and should look at [`Switch::streams`].
    #[must_use]
    pub fn watch(&self) -> broadcast::Receiver<SwitchEvent> {
        self.inner.events.subscribe()
    }

    /// Shuts the switch down: sources end, and sinks get [`Event::Closed`](crate::Event::Closed)
    /// once they have taken what was sent.
    pub fn close(&self) {
        let mut registry = self.inner.registry.lock();
        registry.closed = true;
        let mut wakes = Vec::new();
        for (name, circuit) in &registry.streams {
            let mut circuit = circuit.lock();
            if circuit.publisher().is_some() {
                self.inner.announce(SwitchEvent::Idle { name: name.clone() });
            }
            wakes.push(circuit.close());
        }
        drop(registry);
        wakes.into_iter().for_each(Wake::now);
    }
}

impl Inner {
    /// Time on the cores' clock.
    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn announce(&self, event: SwitchEvent) {
        let _ = self.events.send(event); // nobody need be watching
    }

    fn port(self: &Arc<Self>, registry: &mut Registry, name: &StreamName) -> Port {
        let new = || Arc::new(Mutex::new(Circuit::new(self.limits)));
        let circuit = Arc::clone(registry.streams.entry(name.clone()).or_insert_with(new));
        Port { name: name.clone(), circuit, switch: Arc::clone(self) }
    }
}

impl Port {
    /// Time on the cores' clock.
    pub(crate) fn now(&self) -> Duration {
        self.switch.now()
    }

    pub(crate) fn tracks_changed(&self) {
        self.switch.announce(SwitchEvent::Tracks { name: self.name.clone() });
    }

    pub(crate) fn status(&self) -> StreamStatus {
        status(self.name.clone(), &self.circuit, self.now())
    }

    /// Takes this end off the stream by `leave`, and the stream off the switch if it was the last.
    pub(crate) fn leave(&self, leave: impl FnOnce(&mut Circuit) -> Wake) {
        let mut registry = self.switch.registry.lock();
        let mut circuit = self.circuit.lock();
        let was_live = circuit.publisher().is_some();
        let wake = leave(&mut circuit);
        if was_live && circuit.publisher().is_none() {
            self.switch.announce(SwitchEvent::Idle { name: self.name.clone() });
        }
        if circuit.is_unused() {
            registry.streams.remove(&self.name);
        }
        drop(circuit);
        drop(registry);
        wake.now();
    }
}

/// Asserts what [`TrackSet`] promises.
pub(crate) fn check_numbers(tracks: &[Track]) {
    for (i, track) in tracks.iter().enumerate() {
        assert_eq!(usize::from(track.id.0), i, "tracks are numbered in order");
    }
}

fn status(name: StreamName, circuit: &Mutex<Circuit>, now: Duration) -> StreamStatus {
    let mut circuit = circuit.lock();
    let live = circuit.publisher().is_some();
    StreamStatus {
        name,
        live,
        publisher: circuit.publisher().map(str::to_owned),
        tracks: circuit.tracks().cloned().unwrap_or_else(|| Vec::new().into()),
        bitrate_bps: if live { circuit.rate_bps(now) } else { 0 },
        units: circuit.units(),
        lost_units: circuit.lost_units(),
        damage: circuit.damage(),
        sinks: circuit.sinks(),
        since: circuit.since().filter(|_| live),
        mark: circuit.mark().filter(|_| live),
    }
}
