//! Live streams that somebody watches by HLS: one task each, from the first request until nobody has
//! asked for a while.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use pegasus_base::StreamName;
use pegasus_circuit::{Event, Sink, Start, Switch};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::segmenter::Segmenter;
use super::window::Window;
use crate::http::error::ApiError;

/// A feed that nobody asked for so long stops.
const UNUSED_MAX: Duration = Duration::from_secs(30);
/// A stream that has been idle so long is told to players to have ended.
const IDLE_MAX: Duration = Duration::from_secs(20);
/// How often both are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Events taken at once.
const BATCH: usize = 256;

/// The feeds of a node. A handle: clones are the same feeds.
#[derive(Clone)]
pub(crate) struct Feeds {
    inner: Arc<Inner>,
}

struct Inner {
    switch: Switch,
    stop: CancellationToken,
    feeds: Mutex<HashMap<StreamName, Arc<Feed>>>,
}

/// One stream, cut into segments.
pub(crate) struct Feed {
    segmenter: Mutex<Segmenter>,
    /// Counts changes of the window.
    version: watch::Sender<u64>,
    asked: Mutex<Instant>,
}

impl Feeds {
    pub(crate) fn new(switch: Switch, stop: CancellationToken) -> Self {
        Self { inner: Arc::new(Inner { switch, stop, feeds: Mutex::default() }) }
    }

    /// How many streams are being cut.
    pub(crate) fn len(&self) -> usize {
        self.inner.feeds.lock().len()
    }

    /// The feed of a stream; begun if the stream is live.
    pub(crate) fn get(&self, name: &StreamName) -> Result<Arc<Feed>, ApiError> {
        let mut feeds = self.inner.feeds.lock();
        if let Some(feed) = feeds.get(name) {
            *feed.asked.lock() = Instant::now();
            return Ok(Arc::clone(feed));
        }
        let live = self.inner.switch.status(name).is_some_and(|status| status.live);
        if !live {
            return Err(ApiError::not_live(name));
        }
        let feed = Arc::new(Feed {
            segmenter: Mutex::default(),
            version: watch::Sender::new(0),
            asked: Mutex::new(Instant::now()),
        });
        feeds.insert(name.clone(), Arc::clone(&feed));
        let sink = self.inner.switch.subscribe(name, Start::KeyUnit).label("hls");
        tokio::spawn(self.clone().run(Arc::clone(&feed), sink));
        Ok(feed)
    }

    async fn run(self, feed: Arc<Feed>, mut sink: Sink) {
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut events = Vec::with_capacity(BATCH);
        let mut idle_since = None;
        loop {
            tokio::select! {
                _ = sink.next_many(&mut events, BATCH) => {
                    idle_since = match events.last() {
                        Some(Event::Idle) => Some(Instant::now()),
                        Some(Event::Closed) => break,
                        _ => None,
                    };
                    feed.handle(&mut events);
                }
                _ = look.tick() => {
                    let idle = idle_since.map_or(Duration::ZERO, |since: Instant| since.elapsed());
                    if idle > IDLE_MAX {
                        feed.end();
                    }
                    if self.forget(sink.name(), idle) {
                        break;
                    }
                }
                () = self.inner.stop.cancelled() => break,
            }
        }
        feed.end();
        self.inner.feeds.lock().retain(|_, other| !Arc::ptr_eq(other, &feed));
    }

    /// Takes the feed off the list if nobody asked for it lately, or it ended long ago. Under the
    /// lock, so that nobody gets hold of a feed that stops.
    fn forget(&self, name: &StreamName, idle: Duration) -> bool {
        let mut feeds = self.inner.feeds.lock();
        let unused = feeds.get(name).is_none_or(|feed| feed.asked.lock().elapsed() > UNUSED_MAX);
        let over = unused || idle > IDLE_MAX + UNUSED_MAX;
        if over {
            feeds.remove(name);
        }
        over
    }
}

impl Feed {
    fn handle(&self, events: &mut Vec<Event>) {
        let mut segmenter = self.segmenter.lock();
        let mut changed = false;
        for event in events.drain(..) {
            changed |= segmenter.handle(&event);
        }
        drop(segmenter);
        if changed {
            self.version.send_modify(|version| *version += 1);
        }
    }

    fn end(&self) {
        if self.segmenter.lock().end() {
            self.version.send_modify(|version| *version += 1);
        }
    }

    /// Looks at the window.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&Window) -> T) -> T {
        look(self.segmenter.lock().window())
    }

    /// Looks at the window whenever it changes, until there is an answer or `within` has passed.
    pub(crate) async fn wait<T>(
        &self,
        within: Duration,
        mut look: impl FnMut(&Window) -> Option<T>,
    ) -> Option<T> {
        let mut version = self.version.subscribe();
        let waiting = async {
            loop {
                version.borrow_and_update();
                if let Some(found) = self.look(&mut look) {
                    return Some(found);
                }
                version.changed().await.ok()?;
            }
        };
        tokio::time::timeout(within, waiting).await.ok().flatten()
    }
}
