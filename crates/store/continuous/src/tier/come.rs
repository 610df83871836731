//! Bringing a segment back: its blocks come in order, from the one that is wanted first, and readers have each as soon as it
//! is there. When all are, one commit writes them into a segment of the log and says that it is in.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use pegasus_log::{LogError, Owner};

use super::shelf::Object;
use super::tiering::{Tiering, Wanted};
use crate::commit::Core;
use crate::error::Error;
use crate::format::index::Entry;
use crate::format::segment::{SegmentRecord, State};
use crate::inner::Inner;
use crate::moving::write_copy;

/// A block that is so many before the one wanted is waited for; for others a reader asks the tier himself.
const AHEAD_MAX: usize = 4;

/// The blocks of a segment that is coming.
#[derive(Debug)]
pub(super) struct Arrival {
    state: Mutex<Arriving>,
    changed: Condvar,
}

#[derive(Debug)]
struct Arriving {
    blocks: Vec<Option<Bytes>>,
    /// The block that comes next; `None` when no more come.
    next: Option<usize>,
}

impl Arrival {
    fn new(blocks: usize, from: usize) -> Self {
        let state = Arriving { blocks: vec![None; blocks], next: Some(from) };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    fn put(&self, at: usize, payload: Bytes, next: Option<usize>) {
        let mut state = self.state.lock();
        state.blocks[at] = Some(payload);
        state.next = next;
        self.changed.notify_all();
    }

    fn is_over(&self) {
        self.state.lock().next = None;
        self.changed.notify_all();
    }

    /// Block number `at`, if it is here or about to come.
    pub(super) fn wait(&self, at: usize) -> Option<Bytes> {
        let mut state = self.state.lock();
        loop {
            match state.blocks.get(at)? {
                Some(payload) => return Some(payload.clone()),
                None => {
                    let next = state.next?;
                    if at < next || at - next > AHEAD_MAX {
                        return None;
                    }
                    self.changed.wait(&mut state);
                }
            }
        }
    }
}

/// Ends an arrival however it ends, so that nobody waits for it.
struct Landing<'a> {
    tiering: &'a Tiering,
    object: &'a Object,
    arrival: Arc<Arrival>,
}

impl Drop for Landing<'_> {
    fn drop(&mut self) {
        self.arrival.is_over();
        self.tiering.arrivals.lock().remove(&self.object.segment);
    }
}

impl Tiering {
    /// Brings a segment back; its bytes, 0 if there is nothing to bring any more.
    ///
    /// # Errors
    /// If the tier or the disks fail, or there is no room: nothing is deleted for it. It may be tried again.
    pub(super) fn come(&self, inner: &Inner, wanted: &Wanted) -> Result<u64, Error> {
        let stream = &wanted.stream;
        let Some(record) = stream.segment(&inner.log, inner.record_len, wanted.index)? else {
            return Ok(0);
        };
        let State::Out(_, reference) = &record.state else { return Ok(0) };
        if !wanted.is_current() {
            return Ok(0);
        }
        inner.core.lock().check_room_for(inner, &record)?;
        let bytes = reference.bytes;
        let object = self.object(stream, &record)?;
        // Until it is on disk, readers have what came from memory.
        let (blocks, _landing) = self.gather(wanted, &object)?;
        let done = inner.core.lock().come(inner, wanted, &record, &blocks)?;
        // What has come is on disk, or was deleted: either way nothing refers to the object.
        self.bury([object.name.clone()]);
        if done {
            self.uses.lock().note(stream.id, wanted.index, inner.clock.now());
            self.count(-1, -(bytes as i64));
            tracing::debug!(name = object.name, "brought back");
        }
        Ok(if done { bytes } else { 0 })
    }

    /// All blocks of an object, from the wanted one on and then those before it.
    fn gather<'a>(
        &'a self,
        wanted: &Wanted,
        object: &'a Object,
    ) -> Result<(Vec<(Entry, Bytes)>, Landing<'a>), Error> {
        let count = object.places.len();
        let first = wanted.block.min(count.saturating_sub(1));
        let arrival = Arc::new(Arrival::new(count, first));
        self.arrivals.lock().insert(object.segment, arrival.clone());
        let landing = Landing { tiering: self, object, arrival };
        let order: Vec<usize> = (first..count).chain(0..first).collect();
        for (done, at) in order.iter().enumerate() {
            let begun = Instant::now();
            let payload = self.fetch(&wanted.stream, object, *at)?;
            let bytes = payload.len() as u64;
            landing.arrival.put(*at, payload, order.get(done + 1).copied());
            self.pace(bytes, begun.elapsed())?;
        }
        let payloads = landing.arrival.state.lock().blocks.clone();
        let blocks = object.entries.iter().cloned().zip(payloads.into_iter().flatten());
        Ok((blocks.collect(), landing))
    }

    /// Keeps to the limit; an error if the store is being closed.
    pub(super) fn pace(&self, bytes: u64, took: Duration) -> Result<(), Error> {
        let limit = self.options.bytes_per_s_max;
        let least = limit.map_or(Duration::ZERO, |limit| super::pipeline::takes(bytes, limit));
        let until = Instant::now() + least.saturating_sub(took);
        let mut state = self.state.lock();
        while !state.stop && Instant::now() < until {
            self.changed.wait_until(&mut state, until);
        }
        if state.stop { Err(Error::Closed) } else { Ok(()) }
    }
}

impl Core {
    /// What comes back must not push out others: retention would delete for it.
    fn check_room_for(&self, inner: &Inner, record: &SegmentRecord) -> Result<(), Error> {
        let status = inner.log.status();
        let free = status.free_bytes.saturating_sub(status.promised_bytes);
        let target = self.free_target(inner, &inner.settings(), status.capacity_bytes);
        let columns = record.segment.columns.len();
        let width = columns.saturating_sub(usize::from(status.parity)).max(1) as u64;
        match free >= target + width * u64::from(status.unit_bytes) {
            true => Ok(()),
            false => Err(Error::NoRoomToReturn),
        }
    }

    /// Puts a copy of `blocks` where the segment's record is, unless it is not what it was; whether it is there.
    fn come(
        &mut self,
        inner: &Inner,
        wanted: &Wanted,
        old: &SegmentRecord,
        blocks: &[(Entry, Bytes)],
    ) -> Result<bool, Error> {
        let mut outcome = self.try_come(inner, wanted, old, blocks);
        if let Err(Error::Log(LogError::Full { after_checkpoint: true, .. })) = outcome {
            self.checkpoint(inner, inner.clock.now())?;
            outcome = self.try_come(inner, wanted, old, blocks);
        }
        match outcome {
            // Or fewer disks have room than it is wide.
            Err(Error::Log(LogError::Full { .. } | LogError::SegmentFull { .. })) => {
                Err(Error::NoRoomToReturn)
            }
            other => other,
        }
    }

    fn try_come(
        &mut self,
        inner: &Inner,
        wanted: &Wanted,
        old: &SegmentRecord,
        blocks: &[(Entry, Bytes)],
    ) -> Result<bool, Error> {
        inner.check_failed()?;
        let stream = &wanted.stream;
        let now = stream.segment(&inner.log, self.record_len, wanted.index)?;
        let directory = stream.view(|view| view.catalogued.as_ref().map(|(_, r)| r.segments));
        let unchanged = wanted.is_current() && now.as_ref() == Some(old);
        let (Some(directory), true) = (directory, unchanged) else { return Ok(false) };
        let State::Out(sealed, _) = &old.state else { return Ok(false) };
        let parity = usize::from(inner.log.shape().1);
        let width = old.segment.columns.len().saturating_sub(parity).max(1);
        let owner = Owner { pnode: directory, stream: stream.id };
        let mut batch = inner.log.batch();
        let copied = write_copy(&mut batch, owner, width, blocks)?;
        let mut sealed = sealed.clone();
        (sealed.index, sealed.asked) = (Some(copied.index), Some(inner.clock.now()));
        let record =
            SegmentRecord { segment: copied.segment, state: State::Sealed(sealed), ..old.clone() };
        let bytes = record.emit(self.record_len);
        batch.write(directory, wanted.index * self.record_len as u64, &bytes)?;
        let committed = inner.log.commit(batch)?;
        self.checkpoint_due |= committed.checkpoint_due;
        stream.record_changed(wanted.index, record);
        stream.view(|view| view.first_in = view.first_in.min(wanted.index));
        Ok(true)
    }
}
