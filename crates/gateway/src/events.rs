//! What happened lately that somebody should know of: a bounded ring that the API, the console and
//! the log all read from.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use pegasus_base::{Clock, Time};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use utoipa::ToSchema;

/// How much an event matters.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Good to know.
    Info,
    /// Something was lost or refused; the node goes on by itself.
    Warning,
    /// Somebody must do something.
    Error,
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Report {
    /// Its number, from 1, counting on until the node stops. A repeated event gets a new number.
    pub serial: u64,
    /// When it happened (last).
    #[schema(value_type = String, format = DateTime)]
    pub time: Time,
    /// How much it matters.
    pub level: Level,
    /// What it is about: a stream's name, a disk, a peer.
    pub subject: String,
    /// What happened, as a sentence.
    pub text: String,
    /// How often it happened lately.
    pub count: u64,
}

/// The ring of events. A handle: clones are the same ring.
#[derive(Clone)]
pub struct Events {
    inner: Arc<Inner>,
}

struct Inner {
    clock: Arc<dyn Clock>,
    ring: Mutex<Ring>,
    newest: watch::Sender<u64>,
}

/// The pure part: what is held, and what is the same again.
#[derive(Debug, Default)]
struct Ring {
    reports: VecDeque<Report>,
    serial: u64,
}

/// How many events are held.
const HELD_MAX: usize = 1_000;
/// An event equal to one of so many newest ones is counted there instead of pushing others out.
const REPEAT_WITHIN: usize = 16;

impl Events {
    /// An empty ring whose events are dated by `clock`.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let newest = watch::Sender::new(0);
        Self { inner: Arc::new(Inner { clock, ring: Mutex::default(), newest }) }
    }

    /// Says that something happened to `subject`, in a sentence. It also goes to the log.
    pub fn report(&self, level: Level, subject: impl fmt::Display, text: impl fmt::Display) {
        let (subject, text) = (subject.to_string(), text.to_string());
        match level {
            Level::Info => tracing::info!(%subject, "{text}"),
            Level::Warning => tracing::warn!(%subject, "{text}"),
            Level::Error => tracing::error!(%subject, "{text}"),
        }
        let now = self.inner.clock.now();
        let serial = self.inner.ring.lock().push(now, level, subject, text);
        self.inner.newest.send_replace(serial);
    }

    /// The events with numbers above `after`, oldest first, at most the newest `limit`.
    #[must_use]
    pub fn after(&self, after: u64, limit: usize) -> Vec<Report> {
        self.inner.ring.lock().after(after, limit)
    }

    /// The number of the newest event, as it grows.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.inner.newest.subscribe()
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} events", self.inner.ring.lock().reports.len())
    }
}

impl Ring {
    fn push(&mut self, time: Time, level: Level, subject: String, text: String) -> u64 {
        self.serial += 1;
        let serial = self.serial;
        let same = |r: &Report| r.level == level && r.subject == subject && r.text == text;
        let again = self.reports.iter().rev().take(REPEAT_WITHIN).position(same);
        let count = match again {
            Some(back) => {
                let at = self.reports.len() - 1 - back;
                self.reports.remove(at).map_or(0, |report| report.count)
            }
            None => 0,
        };
        let count = count.saturating_add(1);
        self.reports.push_back(Report { serial, time, level, subject, text, count });
        if self.reports.len() > HELD_MAX {
            self.reports.pop_front();
        }
        serial
    }

    fn after(&self, after: u64, limit: usize) -> Vec<Report> {
        let from = self.reports.partition_point(|report| report.serial <= after);
        let from = from.max(self.reports.len().saturating_sub(limit));
        self.reports.range(from..).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use pegasus_base::ManualClock;

    use super::*;

    #[test]
    fn repeats_are_counted_and_move_to_the_end() {
        let clock = Arc::new(ManualClock::at(Time::from_secs(1)));
        let events = Events::new(Arc::clone(&clock) as Arc<dyn Clock>);
        events.report(Level::Warning, "/cam/door", "refused");
        events.report(Level::Info, "/cam/yard", "live");
        clock.set(Time::from_secs(9));
        events.report(Level::Warning, "/cam/door", "refused");
        let all = events.after(0, 100);
        assert_eq!(all.len(), 2);
        assert_eq!((all[1].serial, all[1].count, all[1].time), (3, 2, Time::from_secs(9)));
        assert_eq!(events.after(2, 100), all[1..]);
        assert_eq!(*events.watch().borrow(), 3);
    }

    #[test]
    fn the_ring_is_bounded() {
        let events = Events::new(Arc::new(ManualClock::default()));
        for i in 0..HELD_MAX + 50 {
            events.report(Level::Info, i, "happened");
        }
        let all = events.after(0, usize::MAX);
        assert_eq!(all.len(), HELD_MAX);
        assert_eq!(all[0].serial, 51);
        assert_eq!(events.after(0, 3).len(), 3);
        assert_eq!(events.after(0, 3)[2].serial, 1_050);
    }
}
