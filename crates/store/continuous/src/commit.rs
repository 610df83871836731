//! The committer: the single owner of everything that changes on disk.
//!
//! A tick gathers what all recorders pushed, puts it into one batch of the log, makes it durable, makes
//! it visible, and then lets retention have its turn. It is given `now` and runs on the caller's thread;
//! the thread that calls it in time is in `driver`.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;

use pegasus_base::{StreamName, Time};
use pegasus_log::{Batch, LogError};

use crate::draft::Draft;
use crate::error::Error;
use crate::format::catalogue;
use crate::geometry::Geometry;
use crate::inner::Inner;
use crate::store::Durable;
use crate::writer::{Stop, Writer};

/// How often room is made and the commit tried again before the blocks wait for the next tick.
const ROUNDS_MAX: usize = 4;

/// See the module.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) writers: BTreeMap<StreamName, Writer>,
    /// Places of the catalogue in use, up to the last.
    pub(crate) slots: Vec<bool>,
    /// The catalogue has its head.
    pub(crate) head_written: bool,
    pub(crate) record_len: usize,
    /// A checkpoint should follow.
    pub(crate) checkpoint_due: bool,
    /// When retention last looked at age and bytes.
    pub(crate) retained_at: Option<Time>,
}

impl Core {
    /// Commits all that waits, then deletes what may not be kept.
    ///
    /// # Errors
    /// [`Error::Full`] or the log's: what waited still waits, unless the store has failed for good.
    pub(crate) fn tick(&mut self, inner: &Inner, now: Time) -> Result<(), Error> {
        inner.check_failed()?;
        self.gather(inner, now);
        let mut done = self.commit_and_retain(inner, now);
        if let Err(Error::Log(LogError::Full { after_checkpoint: true, .. })) = done {
            // The log itself had no room, and slots wait for a checkpoint.
            done = self.checkpoint(inner, now).and_then(|()| self.commit_and_retain(inner, now));
        }
        self.forget_idle(inner);
        match &done {
            Ok(()) => inner.set_trouble(None),
            Err(error) => self.judge(inner, error),
        }
        done
    }

    fn commit_and_retain(&mut self, inner: &Inner, now: Time) -> Result<(), Error> {
        self.commit(inner, now)?;
        self.retain(inner, now)?;
        self.checkpoint_if_due(inner, now)
    }

    /// Takes what the recorders pushed.
    fn gather(&mut self, inner: &Inner, now: Time) {
        let geometry = self.geometry(inner);
        for stream in inner.all_streams() {
            let (entries, dropped) = stream.queue(|queue| (queue.take(), queue.take_uncounted()));
            inner.counters.dropped_units.fetch_add(dropped, Relaxed);
            if entries.is_empty() && !self.writers.contains_key(&stream.name) {
                continue;
            }
            let writer = self
                .writers
                .entry(stream.name.clone())
                .or_insert_with(|| Writer::new(stream.clone()));
            for entry in entries {
                writer.assembler.take(entry, now, geometry.payload_max());
            }
            writer.assembler.close();
            writer.settle(inner);
        }
    }

    /// What the array is like at present.
    pub(crate) fn geometry(&self, inner: &Inner) -> Geometry {
        Geometry::of(&inner.log.status(), self.record_len, inner.log.root())
    }

    fn commit(&mut self, inner: &Inner, now: Time) -> Result<(), Error> {
        self.writers.values_mut().for_each(Writer::learn_rate);
        for _ in 0..ROUNDS_MAX {
            match self.round(inner)? {
                Round::Done => return Ok(()),
                Round::Again => {}
                Round::Full => {
                    if !self.make_room(inner, now)? {
                        return Err(Error::Full);
                    }
                }
            }
        }
        Err(Error::Full)
    }

    /// One batch with as much as it takes.
    fn round(&mut self, inner: &Inner) -> Result<Round, Error> {
        let geometry = self.geometry(inner);
        let mut batch = inner.log.batch();
        let mut slots = FreeSlots::new(&self.slots);
        let mut drafts: Vec<(StreamName, Draft)> = Vec::new();
        let mut full = false;
        for (name, writer) in &mut self.writers {
            if writer.assembler.ready().is_empty() {
                continue;
            }
            let (draft, stop) = writer.stage(&mut batch, &geometry, &mut || slots.next());
            match stop {
                None => {}
                Some(Stop::Full) => full = true,
                Some(Stop::Failed(error)) => {
                    if !is_damage(&error) {
                        return Err(error);
                    }
                    drop(batch);
                    writer.give_up(inner, &error);
                    return Ok(Round::Again);
                }
            }
            drafts.push((name.clone(), draft));
        }
        if drafts.iter().all(|(_, draft)| draft.is_empty()) {
            return Ok(if full { Round::Full } else { Round::Done });
        }
        match self.finish(inner, batch, drafts) {
            Ok(()) if !full => Ok(Round::Done),
            // Or there was no room for the log itself, and nothing has changed.
            Ok(()) | Err(Error::Log(LogError::Full { .. })) => Ok(Round::Full),
            Err(error) => Err(error),
        }
    }

    /// Commits the batch and makes the drafts visible.
    pub(crate) fn finish(
        &mut self,
        inner: &Inner,
        mut batch: Batch<'_>,
        drafts: Vec<(StreamName, Draft)>,
    ) -> Result<(), Error> {
        let new_stream = drafts.iter().any(|(_, draft)| draft.slot().is_some());
        if new_stream && !self.head_written {
            batch.write(inner.log.root(), 0, &catalogue::emit_head())?;
        }
        let committed = inner.log.commit(batch)?;
        self.head_written |= new_stream;
        self.checkpoint_due |= committed.checkpoint_due;
        inner.counters.commits.fetch_add(1, Relaxed);
        inner.counters.written_bytes.fetch_add(committed.written_bytes, Relaxed);
        inner.counters.parity_bytes.fetch_add(committed.parity_bytes, Relaxed);
        let mut grown = Vec::new();
        for (name, draft) in drafts {
            if let Some(slot) = draft.slot() {
                self.take_slot(slot);
            }
            let writer = self.writers.get_mut(&name).expect("drafts come from writers");
            inner.counters.dropped_units.fetch_add(draft.lost_units, Relaxed);
            writer.committed(inner, draft.blocks);
            if let Some(end) = draft.apply(&writer.stream) {
                grown.push(Durable { name, end });
            }
        }
        inner.announce(&grown);
        Ok(())
    }

    fn take_slot(&mut self, slot: u32) {
        let slot = slot as usize;
        if self.slots.len() <= slot {
            self.slots.resize(slot + 1, false);
        }
        self.slots[slot] = true;
    }

    /// Writes a checkpoint if the log asked for one.
    fn checkpoint_if_due(&mut self, inner: &Inner, now: Time) -> Result<(), Error> {
        self.checkpoint_due |= inner.checkpoint_due.swap(false, Relaxed);
        if self.checkpoint_due { self.checkpoint(inner, now) } else { Ok(()) }
    }

    /// Writes a checkpoint.
    pub(crate) fn checkpoint(&mut self, inner: &Inner, now: Time) -> Result<(), Error> {
        inner.log.checkpoint(now)?;
        self.checkpoint_due = false;
        Ok(())
    }

    /// Drops the state of streams nobody records and nothing is pending of.
    fn forget_idle(&mut self, inner: &Inner) {
        self.writers.retain(|_, writer| {
            !writer.assembler.ready().is_empty()
                || writer.stream.queue(|queue| queue.is_attached() || queue.has_entries())
        });
        inner.forget_unrecorded();
    }

    /// Tells recorders and status what an error means for them.
    fn judge(&mut self, inner: &Inner, error: &Error) {
        let trouble = error.to_string();
        if inner.log.status().poisoned.is_some() {
            inner.fail(&trouble);
        }
        for writer in self.writers.values() {
            writer.stream.queue(|queue| queue.set_trouble(Some(trouble.clone())));
        }
        inner.set_trouble(Some(error));
    }
}

/// Whether the error is about what is on disk of one stream, and will be the same next time.
fn is_damage(error: &Error) -> bool {
    matches!(
        error,
        Error::Damaged { .. }
            | Error::Log(
                LogError::Damaged { .. }
                    | LogError::Block { .. }
                    | LogError::NoPnode { .. }
                    | LogError::TooLong { .. }
            )
    )
}

/// What became of a batch.
enum Round {
    /// All is durable.
    Done,
    /// One stream had to be left out; try again.
    Again,
    /// Some blocks found no room.
    Full,
}

/// Places of the catalogue that are free, the lowest first.
struct FreeSlots<'a> {
    slots: &'a [bool],
    next: usize,
}

impl<'a> FreeSlots<'a> {
    fn new(slots: &'a [bool]) -> Self {
        Self { slots, next: 0 }
    }

    fn next(&mut self) -> u32 {
        while self.slots.get(self.next).is_some_and(|&used| used) {
            self.next += 1;
        }
        self.next += 1;
        u32::try_from(self.next - 1).expect("streams are fewer than 2^32")
    }
}

impl Writer {
    /// Accounts for what was left out while units were taken in.
    pub(crate) fn settle(&mut self, inner: &Inner) {
        let noted = self.assembler.take_noted();
        let released = self.assembler.take_dropped_cost();
        let name = &self.stream.name;
        inner.counters.late_units.fetch_add(noted.late_units, Relaxed);
        inner.counters.dropped_units.fetch_add(noted.oversize_units, Relaxed);
        if noted.oversize_units > 0 {
            let units = noted.oversize_units;
            tracing::warn!(stream = %name, units, "units larger than a segment can't be recorded");
        }
        if noted.shifted {
            tracing::warn!(
                stream = %name,
                "its clock went back, or is ahead: a span is recorded with shifted times"
            );
        }
        self.stream.queue(|queue| queue.release(released));
        if self.broken.is_some() {
            self.drop_pending(inner);
        }
    }

    /// `blocks` pending ones are durable.
    fn committed(&mut self, inner: &Inner, blocks: usize) {
        let done = self.assembler.ready().iter().take(blocks);
        let (mut cost, mut units, mut bytes) = (0, 0, 0);
        for pending in done {
            cost += pending.cost_bytes;
            units += pending.head.holds.units;
            bytes += pending.head.holds.bytes;
        }
        self.assembler.done(blocks);
        inner.counters.units.fetch_add(units, Relaxed);
        inner.counters.bytes.fetch_add(bytes, Relaxed);
        let per_s = self.commit_bytes as f64 / inner.commit_interval().as_secs_f64();
        self.stream.queue(|queue| {
            queue.release(cost);
            queue.set_rate(per_s as u64);
            queue.set_trouble(None);
        });
    }

    /// Nothing of this stream can be written, because of what is on disk of it.
    fn give_up(&mut self, inner: &Inner, error: &Error) {
        let why = error.to_string();
        tracing::error!(stream = %self.stream.name, error = why, "it can't be recorded");
        self.stream.queue(|queue| queue.set_trouble(Some(why.clone())));
        self.broken = Some(why);
        self.drop_pending(inner);
    }

    pub(crate) fn drop_pending(&mut self, inner: &Inner) {
        let pending = self.assembler.ready();
        let cost = pending.iter().map(|block| block.cost_bytes).sum();
        let units = pending.iter().map(|block| block.head.holds.units).sum();
        self.assembler.done(pending.len());
        inner.counters.dropped_units.fetch_add(units, Relaxed);
        self.stream.queue(|queue| queue.release(cost));
    }
}
