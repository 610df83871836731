//! What is recorded, read ahead of a player and given out when it is due.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pegasus_base::{StreamName, Time, TimeRange};
use pegasus_continuous::{Continuous, Error, Item, ReadOptions, Reader};
use pegasus_media::{TrackSet, Unit};
use tokio::task::JoinHandle;

use super::dialogue::Refusal;
use super::message::Status;
use super::pace::Pacer;
use super::range::PlayLine;

/// How much is read at a time, and how much may wait for the player beside it.
const BATCH_ITEMS: usize = 64;
const BATCH_BYTES: usize = 1 << 20;

/// How long a reader that has caught up with the recorder waits in one go.
const FOLLOW: Duration = Duration::from_millis(500);

/// What comes out.
#[derive(Debug)]
pub(super) enum RecordedEvent {
    /// The next unit; it is due.
    Unit(Arc<Unit>),
    /// The units that follow belong to these tracks.
    Tracks(TrackSet),
    /// Nothing is recorded between these times.
    Gap(Time, Time),
    /// That was all, because of this.
    End(String),
}

/// One playback of a recording. Reads on its own threads, in batches, one batch ahead.
pub(super) struct Recorded {
    reader: Option<Reader>,
    fetching: Option<JoinHandle<Batch>>,
    queue: VecDeque<Item>,
    end: Option<String>,
    pacer: Pacer,
    /// Whether there is more to come when all that is recorded has been read.
    live: Box<dyn Fn() -> bool + Send>,
    /// Capture time of the first unit, then of the last one given out.
    position: Time,
}

struct Batch {
    reader: Reader,
    items: Vec<Item>,
    /// Why nothing follows.
    end: Option<String>,
}

impl Recorded {
    /// Opens `name` from the key unit at or before `from`, or from the next span if `from` is in a
    /// gap. Without an `until` it goes on for as long as `live` says that more is being recorded.
    ///
    /// # Errors
    /// If there is nothing to play from there, or the store fails.
    pub(super) async fn open(
        store: &Continuous,
        name: &StreamName,
        from: Time,
        until: Option<Time>,
        live: impl Fn() -> bool + Send + 'static,
    ) -> Result<Self, Refusal> {
        let follow = (until.is_none() && live()).then_some(FOLLOW);
        let options = ReadOptions { until, follow };
        let (store, stream) = (store.clone(), name.clone());
        let first = blocking(move || store.read(&stream, from, options).map(fetch))
            .await
            .map_err(refuse)?;
        let position = first.items.iter().find_map(|item| match item {
            Item::Unit(unit) => Some(unit.time),
            _ => None,
        });
        let Some(position) = position else {
            let why = format!("nothing of {name} can be played from {from}");
            return Err(Refusal::new(Status::INVALID_RANGE, why));
        };
        let mut recorded = Self {
            reader: None,
            fetching: None,
            queue: VecDeque::new(),
            end: None,
            pacer: Pacer::default(),
            live: Box::new(live),
            position,
        };
        recorded.accept(first);
        Ok(recorded)
    }

    /// Capture time of the first unit to come, or of the last given out.
    pub(super) fn position(&self) -> Time {
        self.position
    }

    /// Goes on after a pause.
    pub(super) fn resume(&mut self) {
        self.pacer.restart();
    }

    /// Waits for the next thing that is due. Cancel safe.
    pub(super) async fn next(&mut self) -> RecordedEvent {
        loop {
            self.read_ahead();
            if let Some(Item::Unit(unit)) = self.queue.front() {
                let due = self.pacer.due(unit.time, Instant::now());
                tokio::time::sleep_until(due.into()).await;
            }
            match self.queue.pop_front() {
                Some(Item::Unit(unit)) => {
                    self.position = unit.time;
                    return RecordedEvent::Unit(Arc::new(unit));
                }
                Some(Item::Tracks(tracks)) => return RecordedEvent::Tracks(tracks),
                Some(Item::Gap { from, to }) => {
                    self.pacer.skip(from, to);
                    return RecordedEvent::Gap(from, to);
                }
                Some(Item::Waiting) if (self.live)() => {}
                Some(Item::Waiting) => return RecordedEvent::End("all is played".to_owned()),
                None => match (&mut self.fetching, &self.end) {
                    (Some(fetching), _) => {
                        let batch = fetching.await;
                        self.fetching = None;
                        match batch {
                            Ok(batch) => self.accept(batch),
                            Err(error) => std::panic::resume_unwind(error.into_panic()),
                        }
                    }
                    (None, end) => {
                        let all = || "all is played".to_owned();
                        return RecordedEvent::End(end.clone().unwrap_or_else(all));
                    }
                },
            }
        }
    }

    fn read_ahead(&mut self) {
        if self.queue.len() > BATCH_ITEMS / 2 {
            return;
        }
        if let Some(reader) = self.reader.take() {
            self.fetching = Some(tokio::task::spawn_blocking(move || fetch(reader)));
        }
    }

    fn accept(&mut self, batch: Batch) {
        self.queue.extend(batch.items);
        self.reader = batch.end.is_none().then_some(batch.reader);
        self.end = batch.end;
    }
}

impl std::fmt::Debug for Recorded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "recorded playback at {}", self.position)
    }
}

/// Reads the next batch. Blocks on disks.
fn fetch(mut reader: Reader) -> Batch {
    let mut items = Vec::with_capacity(BATCH_ITEMS);
    let (mut len_bytes, mut end) = (0, None);
    while items.len() < BATCH_ITEMS && len_bytes < BATCH_BYTES {
        match reader.next() {
            Ok(Some(item)) => {
                let waiting = item == Item::Waiting;
                if let Item::Unit(unit) = &item {
                    len_bytes += unit.data.len();
                }
                items.push(item);
                if waiting {
                    break;
                }
            }
            Ok(None) => {
                end = Some("all is played".to_owned());
                break;
            }
            Err(error) => {
                end = Some(error.to_string());
                break;
            }
        }
    }
    Batch { reader, items, end }
}

/// What is recorded of `name` within `range`; empty if nothing is.
///
/// # Errors
/// If the store fails.
pub(super) async fn line(
    store: &Continuous,
    name: &StreamName,
    range: TimeRange,
) -> Result<PlayLine, Refusal> {
    let (store, name) = (store.clone(), name.clone());
    match blocking(move || store.spans(&name, range)).await {
        Ok(spans) => Ok(PlayLine::new(
            spans.iter().map(|span| TimeRange::new(span.start, span.end).intersect(&range)),
        )),
        Err(Error::UnknownStream { .. }) => Ok(PlayLine::default()),
        Err(error) => Err(refuse(error)),
    }
}

/// The tracks recorded of `name` at `at`.
///
/// # Errors
/// If there are none, or the store fails.
pub(super) async fn tracks(
    store: &Continuous,
    name: &StreamName,
    at: Time,
) -> Result<TrackSet, Refusal> {
    let (store, name) = (store.clone(), name.clone());
    blocking(move || store.tracks(&name, at)).await.map_err(refuse)
}

/// Runs `work` where it may block.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

fn refuse(error: Error) -> Refusal {
    let status = match error {
        Error::UnknownStream { .. } | Error::Deleted { .. } => Status::NOT_FOUND,
        Error::Closed => Status::UNAVAILABLE,
        _ => Status::INTERNAL,
    };
    Refusal::new(status, error)
}
