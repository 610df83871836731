//! What the parts of the tier share: where it is, what is to be moved, what was measured.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use pegasus_base::{StreamName, Time};
use pegasus_log::SegmentId;
use pegasus_tier::Tier;

use super::come::Arrival;
use super::pipeline::Rate;
use super::shelf::Shelf;
use super::status::StageStatus;
use super::uses::Uses;
use crate::error::Error;
use crate::format::object::Origin;
use crate::format::segment::{self, SegmentRecord};
use crate::inner::Inner;
use crate::stream::Stream;

/// How long the first failure is waited for, and the longest.
const BACKOFF_MIN: Duration = Duration::from_secs(2);
const BACKOFF_MAX: Duration = Duration::from_secs(300);

/// When segments go out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TierRule {
    /// Move out what is older. `None`, the default: only where room is needed.
    pub after: Option<Duration>,
    /// Exceptions for single streams; `None` in it: by age never.
    pub overrides: BTreeMap<StreamName, Option<Duration>>,
    /// Share of the store to be kept free by moving out, in percent, 0 to 90; to be of use, more than retention keeps free.
    /// Default 20.
    pub free_percent: u8,
    /// How long a segment stays in after it was played; if it was played more often, up to eight times as long. Default a day.
    pub keep_played: Duration,
}

impl Default for TierRule {
    fn default() -> Self {
        Self {
            after: None,
            overrides: BTreeMap::new(),
            free_percent: 20,
            keep_played: Duration::from_secs(86_400),
        }
    }
}

/// The tertiary tier of a store.
#[derive(Debug, Clone)]
pub struct TierOptions {
    /// Where objects go.
    pub tier: Tier,
    /// When segments go out.
    pub rule: TierRule,
    /// Most bytes a second in each direction. `None`, the default: as many as there are.
    pub bytes_per_s_max: Option<u64>,
}

/// See the module. Its locks are held for moments only, and one at a time.
#[derive(Debug)]
pub(crate) struct Tiering {
    pub(super) options: TierOptions,
    /// The store's identity.
    pub(super) array: u128,
    pub(super) label: String,
    pub(super) shelf: Mutex<Shelf>,
    pub(super) arrivals: Mutex<HashMap<SegmentId, Arc<Arrival>>>,
    pub(super) uses: Mutex<Uses>,
    pub(super) state: Mutex<State>,
    pub(super) changed: Condvar,
    pub(super) read_blocks: AtomicU64,
}

/// A segment that is to be moved.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) stream: Arc<Stream>,
    /// Its record in the directory, within an epoch.
    pub(super) index: u64,
    pub(super) epoch: u64,
    /// The block that is wanted first.
    pub(super) block: usize,
    pub(super) bytes: u64,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) stop: bool,
    pub(super) out: Direction,
    pub(super) back: Direction,
    /// Objects to be deleted: nothing refers to them any more.
    pub(super) dead: BTreeSet<String>,
    pub(super) deleted: u64,
    /// Segments out, and bytes of them, from the time they were counted.
    pub(super) counted: Option<(u64, u64)>,
    pub(super) unknown: u64,
    pub(super) missing: u64,
    pub(super) swept: Option<Time>,
    pub(super) trouble: Option<String>,
    /// It did not answer: until then it is not asked again by readers, and why.
    pub(super) down: Option<(Instant, String)>,
    /// The store's mark was seen in the tier.
    pub(super) marked: bool,
}

/// One direction.
#[derive(Debug, Default)]
pub(super) struct Direction {
    pub(super) waiting: VecDeque<Wanted>,
    moving: Option<Wanted>,
    pub(super) rate: Rate,
    segments: u64,
    bytes: u64,
    failures: u64,
    trouble: Option<String>,
    /// Nothing is tried before, and how long it was waited for last.
    pub(super) not_before: Option<Instant>,
    backoff: Duration,
}

impl Tiering {
    pub(super) fn new(options: TierOptions, inner: &Inner) -> Self {
        let status = inner.log.status();
        Self {
            options,
            array: status.array.0,
            label: status.label,
            shelf: Mutex::default(),
            arrivals: Mutex::default(),
            uses: Mutex::default(),
            state: Mutex::default(),
            changed: Condvar::new(),
            read_blocks: AtomicU64::new(0),
        }
    }

    pub(super) fn tier(&self) -> &Tier {
        &self.options.tier
    }

    /// What an object of this stream's segment says of itself.
    pub(super) fn origin(&self, stream: &Stream, record: &SegmentRecord) -> Origin {
        let (name, segment) = (stream.name.clone(), record.segment.id);
        Origin { array: self.array, stream: stream.id, name, segment }
    }

    /// The object of this stream's segment.
    pub(super) fn name_of(&self, stream: &Stream, record: &SegmentRecord) -> String {
        self.origin(stream, record).object_name(record.first)
    }

    /// Bytes a second at which segments come back.
    pub(super) fn back_rate(&self) -> Option<u64> {
        self.state.lock().back.rate.bytes_per_s(self.options.bytes_per_s_max)
    }

    /// Bytes that wait to be brought back.
    pub(super) fn back_queue(&self) -> u64 {
        self.state.lock().back.waiting_bytes()
    }

    /// An object to which nothing refers any more is to be deleted.
    pub(super) fn bury(&self, names: impl IntoIterator<Item = String>) {
        let mut state = self.state.lock();
        state.dead.extend(names);
        self.changed.notify_all();
    }

    /// So many segments more, or less, are out.
    pub(super) fn count(&self, segments: i64, bytes: i64) {
        if let Some((counted, total)) = &mut self.state.lock().counted {
            *counted = counted.saturating_add_signed(segments);
            *total = total.saturating_add_signed(bytes);
        }
    }

    pub(super) fn stop(&self) {
        self.state.lock().stop = true;
        self.tier().give_up();
        self.changed.notify_all();
    }
}

impl Wanted {
    pub(super) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.stream, &other.stream)
            && (self.index, self.epoch) == (other.index, other.epoch)
    }

    /// Whether the number means what it meant.
    pub(super) fn is_current(&self) -> bool {
        self.stream.view(|view| view.epoch) == self.epoch
    }
}

impl Direction {
    /// Queues it, unless it is: then it may move to the front.
    pub(super) fn want(&mut self, wanted: Wanted, first: bool) {
        if self.moving.as_ref().is_some_and(|moving| moving.is_same(&wanted)) {
            return;
        }
        let queued = self.waiting.iter().position(|other| other.is_same(&wanted));
        match (queued, first) {
            (Some(_), false) => return,
            (Some(at), true) => drop(self.waiting.remove(at)),
            (None, _) => {}
        }
        match first {
            true => self.waiting.push_front(wanted),
            false => self.waiting.push_back(wanted),
        }
    }

    pub(super) fn begin(&mut self, wanted: &Wanted) {
        self.moving = Some(wanted.clone());
    }

    pub(super) fn moved(&mut self, bytes: u64) {
        self.moving = None;
        (self.trouble, self.not_before, self.backoff) = (None, None, Duration::ZERO);
        if bytes > 0 {
            self.segments += 1;
            self.bytes += bytes;
        }
    }

    /// It failed: nothing is tried for a while, each time longer.
    pub(super) fn failed(&mut self, why: String, now: Instant) {
        self.moving = None;
        self.failures += 1;
        if self.trouble.as_ref() != Some(&why) {
            tracing::warn!(why, "the tier can't be used at present");
        }
        self.trouble = Some(why);
        self.backoff = (self.backoff * 2).clamp(BACKOFF_MIN, BACKOFF_MAX);
        self.not_before = Some(now + self.backoff);
    }

    pub(super) fn waiting_bytes(&self) -> u64 {
        self.waiting.iter().chain(&self.moving).map(|wanted| wanted.bytes).sum()
    }

    pub(super) fn status(&self, limit: Option<u64>) -> StageStatus {
        StageStatus {
            waiting_segments: self.waiting.len() as u64,
            waiting_bytes: self.waiting_bytes(),
            moving: self.moving.as_ref().map(|wanted| wanted.stream.name.clone()),
            segments: self.segments,
            bytes: self.bytes,
            bytes_per_s: self.rate.bytes_per_s(limit),
            failures: self.failures,
            trouble: self.trouble.clone(),
        }
    }
}

impl Inner {
    /// These segments are deleted: the objects of those that were out are to go. Without a tier they stay until there is one.
    pub(crate) fn bury_objects<'a>(
        &self,
        stream: &Stream,
        records: impl Iterator<Item = &'a SegmentRecord>,
    ) {
        let Some(tiering) = self.tiering() else { return };
        for record in records {
            if let segment::State::Out(_, object) = &record.state {
                tiering.bury([tiering.name_of(stream, record)]);
                tiering.count(-1, -(object.bytes as i64));
            }
        }
    }

    /// The tier, which has to be there to read a segment that is out.
    ///
    /// # Errors
    /// [`Error::Away`] if none is set up.
    pub(crate) fn tier_of(
        &self,
        stream: &Stream,
        record: &SegmentRecord,
    ) -> Result<Arc<Tiering>, Error> {
        self.tiering().ok_or_else(|| Error::Away {
            name: stream.name.clone(),
            at: record.first,
            why: "no tier is set up".to_owned(),
        })
    }
}
