//! What was read ahead for one playback: the schedule fills it, its reader takes from it.

mod lead;

use std::collections::VecDeque;
use std::sync::Weak;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::{Condvar, Mutex, MutexGuard};
use pegasus_log::Urgent;

use super::ahead;
use super::curve::{Pace, held_by_blocks};
use super::office::Office;
use crate::error::Error;
use crate::format::index::Entry;
use crate::locate::{Finder, Place, Reach};
use crate::step::Step;

/// Blocks kept that were taken already: a reader begins some blocks before the key unit, and the next one where the last ended.
const KEPT: usize = 4;

/// How many segments ahead indexes are looked for.
const KNOWN_AHEAD: u64 = 3;

/// One playback's blocks.
#[derive(Debug)]
pub(crate) struct Stock {
    pub(crate) finder: Finder,
    /// How long a reader waits for a block that is to come; after that it reads for itself.
    patience: Duration,
    /// Who reads for it, and is told when somebody waits.
    office: Weak<Office>,
    state: Mutex<State>,
    changed: Condvar,
    blocks: AtomicU64,
    late_blocks: AtomicU64,
}

#[derive(Debug)]
struct State {
    /// The block to be asked for next.
    next: Place,
    budget: Budget,
    /// How much it holds at most.
    most_bytes: u64,
    /// Blocks that were asked for, in order.
    blocks: VecDeque<Held>,
    /// How many of these were taken.
    taken: usize,
    /// Counts the times the reader went elsewhere: what was asked for before is not wanted any more.
    moves: u64,
    /// When it went there, or when this began; and how often it was read for since.
    since: Instant,
    services: u64,
    /// The last time there was no more to be read.
    is_over: bool,
    withdrawn: Option<String>,
    /// Readers that wait for a block.
    waiting: usize,
    /// The last segment whose index was looked for ahead of time.
    known_segment: u64,
}

/// What is read for it, and how.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Budget {
    /// Bytes that may be read in a period; the last block may go beyond.
    pub(crate) bytes: u64,
    pub(crate) period_ns: u64,
    /// How much earlier at most something is read than it would be if it were read just when it has to be there; in the recording's time.
    pub(crate) early_ns: u64,
    /// Whether a period's reads end with a segment.
    pub(crate) stops: bool,
    /// The greatest block that was seen, and the greatest part of its curve, which far ahead is a segment.
    pub(crate) largest_block: u64,
    /// See `largest_block`.
    pub(crate) largest_part: u64,
    /// Whether blocks are read ahead: not if it is shown by key units, or backwards.
    pub(crate) ahead: bool,
}

#[derive(Debug)]
struct Held {
    place: Place,
    entry: Entry,
    bytes: u64,
    arrived: Arrived,
}

#[derive(Debug)]
enum Arrived {
    NotYet,
    Here(Bytes),
    /// It could not be read: the reader finds out why.
    Not,
}

/// A block that is to be read for a stock.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) place: Place,
    pub(crate) entry: Entry,
}

/// What a stock has at a place.
#[derive(Debug)]
pub(crate) enum Taken {
    /// The payload of the block there.
    Here(Entry, Bytes),
    /// What is there is not in the stock; who wants it reads for himself.
    Step(Step),
}

/// What a stock tells of itself.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Figures {
    pub(crate) held_bytes: u64,
    pub(crate) blocks: u64,
    pub(crate) late_blocks: u64,
}

impl Stock {
    pub(crate) fn new(
        finder: Finder,
        from: Place,
        patience: Duration,
        office: Weak<Office>,
    ) -> Self {
        let state = State {
            next: from,
            budget: Budget { ahead: true, ..Budget::default() },
            most_bytes: 0,
            blocks: VecDeque::new(),
            taken: 0,
            moves: 0,
            since: Instant::now(),
            services: 0,
            is_over: false,
            withdrawn: None,
            waiting: 0,
            known_segment: from.segment,
        };
        Self {
            finder,
            patience,
            office,
            state: Mutex::new(state),
            changed: Condvar::new(),
            blocks: AtomicU64::new(0),
            late_blocks: AtomicU64::new(0),
        }
    }

    /// Says what may be read for it.
    pub(crate) fn set_budget(&self, budget: Budget) {
        let from = {
            let mut state = self.state.lock();
            state.budget = budget;
            state.next
        };
        self.hold_enough(from, from.segment);
    }

    /// Holds no more than what is to come in the segments up to `until` takes. The budget is enough in any case for who holds two
    /// of the greatest part; but that may be a segment, and few recordings are so uneven.
    fn hold_enough(&self, from: Place, until: u64) {
        let near = ahead::near(&self.finder, from, until);
        let mut state = self.state.lock();
        let Budget { bytes, period_ns, early_ns, stops, largest_block, largest_part, .. } =
            state.budget;
        let period_ns = period_ns.max(1);
        let pace = Pace { budget: bytes, period_ns, largest: largest_block, stops };
        let largest = if near.is_in_time(&pace) { largest_block } else { largest_part };
        // What is not shown yet when it is read, and would be if it were read later.
        state.most_bytes = held_by_blocks(bytes, largest).saturating_add(near.most_in(early_ns));
    }

    /// A period begins: the blocks to be read in it. What of its time isn't used is lost.
    pub(crate) fn next_period(&self) -> Vec<Wanted> {
        let (mut place, budget, mut held, most, moves) = {
            let state = self.state.lock();
            if !state.budget.ahead || state.withdrawn.is_some() {
                return Vec::new();
            }
            (state.next, state.budget, state.held_bytes(), state.most_bytes, state.moves)
        };
        let (mut wanted, mut read, mut is_over) = (Vec::<Wanted>::new(), 0, false);
        while read < budget.bytes && held < most {
            match self.finder.entry_within(place, Reach::Disks) {
                Ok(Step::Block(entry)) => {
                    let begun = wanted.first().map_or(place.segment, |one| one.place.segment);
                    if budget.stops && place.segment != begun {
                        break;
                    }
                    let bytes = on_disk(&entry);
                    (read, held) = (read + bytes, held + bytes);
                    wanted.push(Wanted { place, entry });
                    place.block += 1;
                }
                Ok(Step::Skip(next)) => place = next,
                // The reader finds out, when he comes there; what is out he has from the tier.
                Ok(Step::End) | Err(_) => {
                    is_over = true;
                    break;
                }
            }
        }
        let mut state = self.state.lock();
        if state.moves != moves {
            return Vec::new();
        }
        state.next = place;
        state.services += 1;
        state.is_over = is_over;
        let held = |one: &Wanted| Held {
            place: one.place,
            entry: one.entry.clone(),
            bytes: on_disk(&one.entry),
            arrived: Arrived::NotYet,
        };
        state.blocks.extend(wanted.iter().map(held));
        wanted
    }

    /// A block that was wanted has been read, or not.
    pub(crate) fn put(&self, wanted: &Wanted, payload: Option<Bytes>) {
        let mut state = self.state.lock();
        let held = state.blocks.iter_mut().find(|held| held.place == wanted.place);
        if let Some(held) = held {
            held.arrived = payload.map_or(Arrived::Not, Arrived::Here);
            self.changed.notify_all();
        }
    }

    /// The promise does not hold any more: readers are told why.
    pub(crate) fn withdraw(&self, why: &str) {
        self.state.lock().withdrawn = Some(why.to_owned());
        self.changed.notify_all();
    }

    /// Why the promise does not hold any more.
    pub(crate) fn withdrawn(&self) -> Option<String> {
        self.state.lock().withdrawn.clone()
    }

    /// The block at `place`, which is waited for if it is about to come.
    ///
    /// # Errors
    /// [`Error::Withdrawn`], or if what is there can't be found out.
    pub(crate) fn take(&self, place: Place) -> Result<Taken, Error> {
        let mut state = self.state.lock();
        let mut waits = false;
        let taken = self.take_or_wait(&mut state, place, &mut waits);
        state.waiting -= usize::from(waits);
        taken
    }

    fn take_or_wait(
        &self,
        state: &mut MutexGuard<'_, State>,
        place: Place,
        waits: &mut bool,
    ) -> Result<Taken, Error> {
        let until = Instant::now() + self.patience;
        let mut exists = false;
        loop {
            state.check(&self.finder)?;
            let known = state.blocks.iter().position(|held| held.place == place);
            if let Some(taken) = known.and_then(|at| state.arrived(at)) {
                self.blocks.fetch_add(u64::from(matches!(taken, Taken::Here(..))), Relaxed);
                return Ok(taken);
            }
            if known.is_none() && !exists {
                let step = MutexGuard::unlocked(state, || self.finder.entry(place))?;
                let Step::Block(entry) = &step else { return Ok(Taken::Step(step)) };
                if entry.is_out() || state.next != place || !state.budget.ahead {
                    state.go(place);
                    MutexGuard::unlocked(state, || self.tell());
                    return Ok(Taken::Step(step));
                }
                exists = true;
            } else if !*waits {
                *waits = true;
                state.waiting += 1;
                MutexGuard::unlocked(state, || self.tell());
            } else if self.changed.wait_until(state, until).timed_out() {
                self.late_blocks.fetch_add(1, Relaxed);
                state.go(place);
                return MutexGuard::unlocked(state, || self.finder.entry(place)).map(Taken::Step);
            }
        }
    }

    /// What is not read ahead has a share of the disks' time: the calling thread need not wait for batches while it reads it.
    ///
    /// # Errors
    /// [`Error::Withdrawn`].
    pub(crate) fn urgent(&self) -> Result<Option<Urgent>, Error> {
        let state = self.state.lock();
        state.check(&self.finder)?;
        Ok((!state.budget.ahead).then(Urgent::begin))
    }

    /// Tells who reads ahead that somebody waits; that takes locks of its own.
    fn tell(&self) {
        if let Some(office) = self.office.upgrade().filter(|_| self.patience > Duration::ZERO) {
            office.somebody_waits();
        }
    }

    /// The segment whose index is needed next and was not looked for yet.
    pub(crate) fn next_segment(&self) -> Option<u64> {
        let mut state = self.state.lock();
        let (now, known) = (state.next.segment, state.known_segment);
        if !(now..now + KNOWN_AHEAD).contains(&known) {
            state.known_segment = now; // the reader went elsewhere
        }
        let next = state.known_segment + 1;
        (state.budget.ahead && next < now + KNOWN_AHEAD).then_some(next)
    }

    /// Looks for the index of a segment, so that it is in memory when the segment's turn comes.
    pub(crate) fn learn(&self, segment: u64) {
        // Whoever needs it finds out what is wrong with it.
        let _ = self.finder.entries_within(segment, Reach::Disks);
        let next = {
            let mut state = self.state.lock();
            state.known_segment = state.known_segment.max(segment);
            state.next
        };
        self.hold_enough(next, segment);
    }

    pub(crate) fn figures(&self) -> Figures {
        Figures {
            held_bytes: self.state.lock().held_bytes(),
            blocks: self.blocks.load(Relaxed),
            late_blocks: self.late_blocks.load(Relaxed),
        }
    }
}

impl State {
    /// Whether the promise still holds.
    fn check(&self, finder: &Finder) -> Result<(), Error> {
        match &self.withdrawn {
            Some(why) => {
                let name = finder.stream.name.clone();
                Err(Error::Withdrawn { name, why: why.clone() })
            }
            None => Ok(()),
        }
    }

    /// Bytes that are asked for and not taken.
    fn held_bytes(&self) -> u64 {
        self.blocks.iter().skip(self.taken).map(|held| held.bytes).sum()
    }

    /// The block at `at` among those that were asked for, if it has been read, or can't be.
    fn arrived(&mut self, at: usize) -> Option<Taken> {
        let Held { entry, arrived, .. } = &self.blocks[at];
        let taken = match arrived {
            Arrived::NotYet => return None,
            Arrived::Here(payload) => Taken::Here(entry.clone(), payload.clone()),
            Arrived::Not => Taken::Step(Step::Block(entry.clone())),
        };
        self.was_taken(at);
        Some(taken)
    }

    fn was_taken(&mut self, at: usize) {
        self.taken = self.taken.max(at + 1);
        let over = self.taken.saturating_sub(KEPT);
        self.blocks.drain(..over);
        self.taken -= over;
    }

    /// The reader reads the block at `place` for himself; what follows is to be read ahead.
    fn go(&mut self, place: Place) {
        self.next = Place { block: place.block + 1, ..place };
        self.blocks.clear();
        self.taken = 0;
        self.moves += 1;
        (self.since, self.services, self.is_over) = (Instant::now(), 0, false);
    }
}

/// What reading a block takes from the disks, parity apart.
pub(crate) fn on_disk(entry: &Entry) -> u64 {
    match entry.is_out() {
        true => u64::from(entry.map.payload_bytes),
        false => u64::from(entry.map.fragment_bytes) * entry.map.fragments.len() as u64,
    }
}
