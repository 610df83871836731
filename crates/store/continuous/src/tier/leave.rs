//! Moving a segment out: the object is written and read back, then one commit says that the segment is out and gives its
//! slots back. Before that commit nothing has changed, after it nothing is missing.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use pegasus_base::Time;

use super::policy::{Candidate, Judge};
use super::tiering::{Tiering, Wanted};
use crate::commit::Core;
use crate::error::Error;
use crate::format::index::Entry;
use crate::format::object;
use crate::format::segment::{ObjectRef, Sealed, SegmentRecord, State};
use crate::indexes;
use crate::inner::Inner;
use crate::moving::move_index_before;
use crate::repair::entries_of;
use crate::stream::Stream;

/// Read back in pieces of that size.
const PIECE_BYTES: u64 = 4 << 20;
/// Segments of a stream that a look weighs, from the first that is not out.
const LOOK_MAX: u64 = 256;

impl Tiering {
    /// Moves a segment out; its bytes, 0 if there is nothing to move any more.
    ///
    /// # Errors
    /// If it can't be read, or the tier or the disks fail. It may be tried again.
    pub(super) fn leave(&self, inner: &Inner, wanted: &Wanted) -> Result<u64, Error> {
        let stream = &wanted.stream;
        let Some(record) = stream.segment(&inner.log, inner.record_len, wanted.index)? else {
            return Ok(0);
        };
        if !wanted.is_current() || !matches!(record.state, State::Sealed(_)) {
            return Ok(0);
        }
        self.mark(inner, record.first, stream)?;
        move_index_before(inner, stream, wanted.index, &record)?;
        let State::Sealed(sealed) = &record.state else { return Ok(0) };
        let blocks = read_segment(inner, stream, &record, sealed)?;
        let origin = self.origin(stream, &record);
        let (bytes, reference) = object::emit(&origin, &record, sealed, &blocks);
        drop(blocks);
        self.put(stream, &record, &bytes)?;
        let done = inner.core.lock().leave(inner, wanted, &record, sealed, reference)?;
        let name = origin.object_name(record.first);
        match done {
            true => {
                inner.indexes.forget(record.segment.id);
                self.count(1, bytes.len() as i64);
                tracing::debug!(name, "moved out");
                Ok(bytes.len() as u64)
            }
            // Deleted meanwhile.
            false => {
                self.bury([name]);
                Ok(0)
            }
        }
    }

    /// Writes the object, and reads it back: what a store says of its checksums means something else in each.
    fn put(&self, stream: &Stream, record: &SegmentRecord, bytes: &Bytes) -> Result<(), Error> {
        let name = self.name_of(stream, record);
        let failed = |error| super::shelf::away(stream, record.first, &error);
        let (begun, len) = (Instant::now(), bytes.len() as u64);
        self.tier().put(&name, bytes.clone()).map_err(failed)?;
        self.state.lock().out.rate.note(len, begun.elapsed());
        for from in (0..len).step_by(PIECE_BYTES as usize) {
            let range = from..len.min(from + PIECE_BYTES);
            let begun = Instant::now();
            let back = self.tier().get(&name, range.clone()).map_err(failed)?;
            self.state.lock().back.rate.note(back.len() as u64, begun.elapsed());
            if back != bytes[range.start as usize..range.end as usize] {
                let why = format!("{name} is read back as something else than was written");
                return Err(Error::Away { name: stream.name.clone(), at: record.first, why });
            }
        }
        Ok(())
    }

    /// Makes sure that this is the place where this store's objects are: a folder may be that of a disk that isn't
    /// mounted. A mark is written once, as long as nothing is out.
    fn mark(&self, inner: &Inner, at: Time, stream: &Stream) -> Result<(), Error> {
        if self.state.lock().marked {
            return Ok(());
        }
        let name = format!("{}/store.txt", object::folder_of(self.array));
        let failed = |error| super::shelf::away(stream, at, &error);
        if self.tier().len_of(&name).map_err(failed)?.is_none() {
            if self.count_all(inner)?.0 > 0 {
                let why = format!(
                    "{} has no objects of this store, though segments are out: is it another one?",
                    self.tier().place()
                );
                return Err(Error::Away { name: stream.name.clone(), at, why });
            }
            let text =
                format!("objects of the Pegasus store {:?}, {:032x}\n", self.label, self.array);
            self.tier().put(&name, text.into()).map_err(failed)?;
        }
        self.state.lock().marked = true;
        Ok(())
    }

    /// What the rules send out now, in that order.
    ///
    /// # Errors
    /// If a directory can't be read.
    pub(super) fn due(&self, inner: &Inner, now: Time) -> Result<Vec<Wanted>, Error> {
        let status = inner.log.status();
        let rule = &self.options.rule;
        let share = u64::from(rule.free_percent.min(90));
        let judge = Judge {
            now,
            free_bytes: status.free_bytes.saturating_sub(status.promised_bytes),
            wanted_bytes: status.capacity_bytes / 100 * share,
            keep: rule.keep_played,
        };
        let slot_bytes = u64::from(status.unit_bytes);
        let parity = usize::from(status.parity);
        let (mut all, mut candidates) = (Vec::new(), Vec::new());
        for stream in inner.all_streams() {
            let after = rule.overrides.get(&stream.name).copied().unwrap_or(rule.after);
            if let Some(after) = after {
                super::store::seal_if_idle(inner, &stream, now - after)?;
            }
            let first = stream.first_in(&inner.log, inner.record_len)?;
            let (end, epoch) = stream.view(|view| (view.segments.end, view.epoch));
            for index in first..end.min(first + LOOK_MAX) {
                let record = stream.segment(&inner.log, inner.record_len, index)?;
                let Some(record) = record else { continue };
                let State::Sealed(sealed) = &record.state else { continue };
                let width = record.segment.columns.len().saturating_sub(parity).max(1);
                let bytes = width as u64 * slot_bytes;
                let played = self.uses.lock().of(stream.id, index);
                let asked = sealed.asked.max(played.map(|(last, _)| last));
                let plays = played.map_or(u32::from(sealed.asked.is_some()), |(_, plays)| plays);
                candidates.push(Candidate { end: sealed.end, bytes, asked, plays, after });
                all.push(Wanted { stream: stream.clone(), index, epoch, block: 0, bytes });
            }
        }
        Ok(judge.choose(&candidates).into_iter().map(|at| all[at].clone()).collect())
    }
}

/// All of a segment's blocks, in memory.
pub(super) fn read_segment(
    inner: &Inner,
    stream: &Stream,
    record: &SegmentRecord,
    sealed: &Sealed,
) -> Result<Vec<(Entry, Bytes)>, Error> {
    let entries = match sealed.index {
        Some(_) => indexes::read(&inner.log, stream, record)?,
        None => entries_of(&inner.log, stream.id, &record.segment),
    };
    let read = |entry: Entry| {
        let payload = inner.log.read_block(&entry.map)?;
        Ok((entry, payload))
    };
    entries.into_iter().map(read).collect()
}

impl Core {
    /// Says that a segment is out, unless it is not what it was; whether it is.
    fn leave(
        &mut self,
        inner: &Inner,
        wanted: &Wanted,
        old: &SegmentRecord,
        sealed: &Sealed,
        object: ObjectRef,
    ) -> Result<bool, Error> {
        inner.check_failed()?;
        let stream: &Arc<Stream> = &wanted.stream;
        let now = stream.segment(&inner.log, self.record_len, wanted.index)?;
        let directory = stream.view(|view| view.catalogued.as_ref().map(|(_, r)| r.segments));
        let unchanged = wanted.is_current() && now.as_ref() == Some(old);
        let (Some(directory), true) = (directory, unchanged) else { return Ok(false) };
        let sealed = Sealed { index: None, ..sealed.clone() };
        let record = SegmentRecord { state: State::Out(sealed, object), ..old.clone() };
        let mut batch = inner.log.batch();
        batch.gives_room();
        let bytes = record.emit(self.record_len);
        batch.write(directory, wanted.index * self.record_len as u64, &bytes)?;
        batch.free_segment(&old.segment)?;
        let committed = inner.log.commit(batch)?;
        self.checkpoint_due |= committed.checkpoint_due;
        stream.record_changed(wanted.index, record);
        Ok(true)
    }
}
