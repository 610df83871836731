//! What is recorded, read ahead of a player and given out when it is due.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pegasus_base::{StreamName, Time, TimeRange};
use pegasus_continuous::{
    Continuous, Direction, Error, Item, KeyOptions, KeyReader, Promise, ReadOptions, Reader, Wish,
};
use pegasus_media::{TrackSet, Unit};
use tokio::task::JoinHandle;

use super::dialogue::Refusal;
use super::message::Status;
use super::pace::Pacer;
use super::range::PlayLine;
use super::rate::{Matter, Rate};
use super::retime::Retime;

/// How much is read at a time, and how much may wait for the player beside it.
const BATCH_ITEMS: usize = 64;
const BATCH_BYTES: usize = 1 << 20;

/// Key pictures are shown for long, and lie far apart: few are enough, and the first comes soon.
const BATCH_KEYS: usize = 4;

/// How often it is looked whether enough was read ahead to begin before the schedule says.
const STARTS_EVERY: Duration = Duration::from_millis(20);

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

/// What to play.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    /// Where to begin; the key unit at or before it is the first.
    pub(super) from: Time,
    /// Where to stop; none is the end of what is recorded.
    pub(super) until: Option<Time>,
    /// How fast, and which way.
    pub(super) rate: Rate,
}

/// One playback of a recording. Reads on its own threads, in batches, one batch ahead.
pub(super) struct Recorded {
    reader: Option<Feeder>,
    fetching: Option<JoinHandle<Batch>>,
    queue: VecDeque<Item>,
    end: Option<String>,
    pacer: Pacer,
    retime: Retime,
    /// The tracks of the units that come next.
    tracks: TrackSet,
    until: Option<Time>,
    /// Whether there is more to come when all that is recorded has been read.
    live: Box<dyn Fn() -> bool + Send>,
    /// Capture time of the first unit, then of the last one given out.
    position: Time,
    /// What makes sure that it is in time.
    promise: Arc<Promise>,
    /// Whether enough was read for units to be sent so that none is late.
    has_begun: bool,
}

/// What reads: everything, or key units.
enum Feeder {
    All(Box<Reader>),
    Keys(Box<KeyReader>),
}

struct Batch {
    reader: Feeder,
    items: Vec<Item>,
    /// Why nothing follows.
    end: Option<String>,
}

impl Recorded {
    /// Opens `name` from the key unit at or before the start, or from the next span if that is in a
    /// gap. Without an end it goes on for as long as `live` says that more is being recorded; fast forwards
    /// it ends where the recording does. A `promise` that was given for the same stream at the same pace is used on; without, one is asked for.
    ///
    /// # Errors
    /// If there is nothing to play from there, the disks have no time for it, or the store fails.
    pub(super) async fn open(
        store: &Continuous,
        name: &StreamName,
        wanted: Wanted,
        promise: Option<Arc<Promise>>,
        live: impl Fn() -> bool + Send + 'static,
    ) -> Result<Self, Refusal> {
        let Wanted { from, until, rate } = wanted;
        let follow = (until.is_none() && live()).then_some(FOLLOW);
        let (store, stream) = (store.clone(), name.clone());
        let open = move || {
            let wish = Wish { name: stream.clone(), from, until, scale: rate.pace() };
            let promise = match promise {
                Some(promise) => promise,
                None => Arc::new(store.promise(&[wish])?),
            };
            let feeder = Feeder::open(&promise, &stream, wanted, follow)?;
            Ok((fetch(feeder), promise))
        };
        let (first, promise) = blocking(open).await.map_err(refuse)?;
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
            pacer: Pacer::new(rate),
            retime: Retime::new(rate),
            tracks: TrackSet::from([]),
            until,
            live: Box::new(live),
            position,
            promise,
            has_begun: false,
        };
        recorded.accept(first);
        Ok(recorded)
    }

    /// Capture time of the first unit to come, or of the last given out.
    pub(super) fn position(&self) -> Time {
        self.position
    }

    /// How it plays.
    pub(super) fn rate(&self) -> Rate {
        self.retime.rate()
    }

    /// What makes sure that it is in time.
    pub(super) fn promise(&self) -> &Arc<Promise> {
        &self.promise
    }

    /// Where it stops.
    pub(super) fn until(&self) -> Option<Time> {
        self.until
    }

    /// Goes on at `rate`, after a pause or at once: with the next unit where that is what is read already.
    /// False if it must be opened anew.
    pub(super) fn go_on(&mut self, rate: Rate) -> bool {
        if rate != self.rate() {
            if [rate.matter(), self.rate().matter()].contains(&Matter::Keys) {
                return false;
            }
            self.pacer = Pacer::new(rate);
        }
        // The units that follow begin a play of their own.
        self.retime = Retime::new(rate);
        self.pacer.restart();
        true
    }

    /// Waits for the next thing that is due. Cancel safe.
    pub(super) async fn next(&mut self) -> RecordedEvent {
        while !self.has_begun {
            let starts_in = self.promise.starts_in();
            self.has_begun = starts_in.is_zero();
            tokio::time::sleep(starts_in.min(STARTS_EVERY)).await;
        }
        loop {
            self.read_ahead();
            self.pass_over();
            if let Some(Item::Unit(unit)) = self.queue.front() {
                let due = self.pacer.due(self.retime.shown(unit.time), Instant::now());
                tokio::time::sleep_until(due.into()).await;
            }
            match self.queue.pop_front() {
                Some(Item::Unit(unit)) => {
                    self.position = unit.time;
                    let track = &self.tracks[usize::from(unit.track.0)];
                    return RecordedEvent::Unit(Arc::new(self.retime.unit(unit, track)));
                }
                Some(Item::Tracks(tracks)) => {
                    self.tracks = tracks.clone();
                    return RecordedEvent::Tracks(tracks);
                }
                Some(Item::Gap { from, to }) => {
                    let (from, to) = self.retime.gap(from, to);
                    self.pacer.skip(from, to);
                    return RecordedEvent::Gap(from, to);
                }
                Some(Item::Waiting) if (self.live)() => {}
                Some(Item::Waiting) => return RecordedEvent::End(all_is_played()),
                None => {
                    if let Some(why) = self.arrival().await {
                        return RecordedEvent::End(why);
                    }
                }
            }
        }
    }

    /// Drops the units at the front that are not shown at this rate.
    fn pass_over(&mut self) {
        while let Some(Item::Unit(unit)) = self.queue.front() {
            let track = self.tracks.get(usize::from(unit.track.0));
            if track.is_some_and(|track| self.retime.shows(track)) {
                return;
            }
            self.queue.pop_front();
        }
    }

    /// Waits for what is being read; why nothing comes, if nothing does. Cancel safe.
    async fn arrival(&mut self) -> Option<String> {
        let Some(fetching) = &mut self.fetching else {
            return Some(self.end.clone().unwrap_or_else(all_is_played));
        };
        let batch = fetching.await;
        self.fetching = None;
        match batch {
            Ok(batch) => self.accept(batch),
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
        None
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

impl Feeder {
    /// Blocks on disks.
    fn open(
        promise: &Promise,
        name: &StreamName,
        wanted: Wanted,
        follow: Option<Duration>,
    ) -> Result<Self, Error> {
        let Wanted { from, until, rate } = wanted;
        if rate.matter() != Matter::Keys {
            let reader = promise.read(name, from, ReadOptions { until, follow })?;
            return Ok(Self::All(Box::new(reader)));
        }
        let direction = match rate.is_backward() {
            true => Direction::Backward,
            false => Direction::Forward,
        };
        let options = KeyOptions { direction, every: rate.every(), until, follow: None };
        Ok(Self::Keys(Box::new(promise.read_keys(name, from, options)?)))
    }

    fn next(&mut self) -> Result<Option<Item>, Error> {
        match self {
            Self::All(reader) => reader.next(),
            Self::Keys(reader) => reader.next(),
        }
    }

    /// How many items are read at a time.
    fn batch_items(&self) -> usize {
        match self {
            Self::All(_) => BATCH_ITEMS,
            Self::Keys(_) => BATCH_KEYS,
        }
    }
}

/// Reads the next batch. Blocks on disks.
fn fetch(mut reader: Feeder) -> Batch {
    let most = reader.batch_items();
    let mut items = Vec::with_capacity(most);
    let (mut len_bytes, mut end) = (0, None);
    while items.len() < most && len_bytes < BATCH_BYTES {
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
                end = Some(all_is_played());
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

fn all_is_played() -> String {
    "all is played".to_owned()
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
        Error::Closed | Error::Out { .. } | Error::Away { .. } => Status::UNAVAILABLE,
        Error::Refused(_) | Error::Withdrawn { .. } => Status::NOT_ENOUGH_BANDWIDTH,
        _ => Status::INTERNAL,
    };
    Refusal::new(status, error)
}
