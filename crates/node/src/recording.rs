//! Recording what goes live: from each stream's circuit into its recorder.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use pegasus_base::StreamName;
use pegasus_circuit::{Event, Sink, Start, Switch, SwitchEvent};
use pegasus_continuous::{Continuous, Pushed, Recorder};
use pegasus_gateway::{Events, Level};
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Recording;

/// Units taken from a circuit at once.
const BATCH_UNITS: usize = 512;

/// What the recording tasks share.
#[derive(Clone)]
pub(crate) struct Recorders {
    pub(crate) switch: Switch,
    pub(crate) store: Continuous,
    pub(crate) events: Events,
    pub(crate) rules: Arc<Recording>,
    /// How long a batch may gather before it is taken: fewer wake-ups, well inside `durable_within`.
    pub(crate) gather: Duration,
    pub(crate) tasks: TaskTracker,
    pub(crate) stop: CancellationToken,
}

impl Recorders {
    /// Records every stream the rules want, from when it first goes live until stopped.
    pub(crate) async fn run(self) {
        let mut watch = self.switch.watch();
        let mut seen = HashSet::new();
        loop {
            for status in self.switch.streams() {
                if status.live && self.rules.wants(&status.name) && seen.insert(status.name.clone())
                {
                    self.tasks.spawn(self.clone().record(status.name));
                }
            }
            tokio::select! {
                event = watch.recv() => match event {
                    Ok(SwitchEvent::Live { .. }) | Err(RecvError::Lagged(_)) => {}
                    Ok(_) => continue,
                    Err(RecvError::Closed) => return,
                },
                () = self.stop.cancelled() => return,
            }
        }
    }

    /// Records one stream through all its publishers.
    async fn record(self, name: StreamName) {
        let mut sink = self.switch.subscribe(&name, Start::Held).label("recorder");
        let mut events = Vec::with_capacity(BATCH_UNITS);
        let (mut recorder, mut behind) = (None, false);
        let mut stopping = false;
        while !stopping {
            tokio::select! {
                _ = sink.next_many(&mut events, BATCH_UNITS) => {}
                () = self.stop.cancelled() => {
                    // What has arrived is recorded before the node ends.
                    events.extend(std::iter::from_fn(|| sink.try_next()).take_while(|e| *e != Event::Closed));
                    stopping = true;
                }
            }
            for event in events.drain(..) {
                stopping |= event == Event::Closed;
                self.handle(&name, &mut recorder, &mut behind, event);
            }
            self.report(&name, &sink);
            if !stopping {
                tokio::select! {
                    () = tokio::time::sleep(self.gather) => {}
                    () = self.stop.cancelled() => {}
                }
            }
        }
    }

    fn handle(
        &self,
        name: &StreamName,
        recorder: &mut Option<Recorder>,
        behind: &mut bool,
        event: Event,
    ) {
        match event {
            Event::Live(tracks) => {
                let result = match recorder {
                    Some(recorder) => recorder.set_tracks(tracks),
                    None => self.store.recorder(name, tracks).map(|new| *recorder = Some(new)),
                };
                if let Err(error) = result {
                    *recorder = None;
                    self.events.report(
                        Level::Error,
                        name.as_str(),
                        format!("not recorded: {error}"),
                    );
                }
            }
            Event::Unit(unit) => {
                if let Some(recorder) = recorder {
                    let was_behind =
                        std::mem::replace(behind, recorder.push(unit) == Pushed::Behind);
                    if *behind && !was_behind {
                        let text = "the disks don't keep up: part of the stream is not recorded";
                        self.events.report(Level::Error, name.as_str(), text.to_owned());
                    }
                }
            }
            Event::Lost(loss) => {
                if let Some(recorder) = recorder {
                    recorder.gap();
                }
                let text = format!("the recorder lost {} units from {}", loss.units, loss.from);
                self.events.report(Level::Error, name.as_str(), text);
            }
            Event::Idle | Event::Closed => *recorder = None,
        }
    }

    /// Tells the source, over the control stream, up to when its units are durable.
    fn report(&self, name: &StreamName, sink: &Sink) {
        if let Some(end) = self.store.durable_end(name) {
            sink.mark(end);
        }
    }
}
