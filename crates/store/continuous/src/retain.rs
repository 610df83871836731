//! Retention: which segments go, the oldest first, and letting them go.
//!
//! Segments are freed whole, without reading or copying. The segment an active recorder appends to is
//! never among them. Those that are out are deleted by age and by the bytes of their stream, like others; but that gives no room, so
//! where room is needed, the oldest of those that have slots go, and leave a gap.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use pegasus_base::Time;

use crate::commit::Core;
use crate::error::Error;
use crate::format::catalogue::{self, slot_offset};
use crate::format::segment::{SegmentRecord, State};
use crate::inner::Inner;
use crate::settings::{Settings, StreamRetention};
use crate::stream::Stream;

/// Time between two looks at age and bytes.
const EVERY: Duration = Duration::from_secs(1);
/// Most segments freed in one batch.
const VICTIMS_MAX: usize = 256;

/// A stream's oldest segment that is not yet condemned.
struct Oldest {
    stream: Arc<Stream>,
    rule: StreamRetention,
    /// Somebody records it.
    active: bool,
    index: u64,
    /// `None` when all are condemned.
    record: Option<SegmentRecord>,
    condemned: Vec<(u64, SegmentRecord)>,
    /// Segments behind others that are out, condemned for their room, and the next of that kind.
    holes: Vec<(u64, SegmentRecord)>,
    hole: Option<(u64, SegmentRecord)>,
    /// Where the next is looked for.
    hole_from: u64,
    slot_bytes: u64,
    parity: usize,
    record_len: usize,
}

impl Core {
    /// Frees what is too old, too much for its stream, or in the way of what comes next.
    ///
    /// # Errors
    /// If a directory can't be read, or the commit fails.
    pub(crate) fn retain(&mut self, inner: &Inner, now: Time) -> Result<(), Error> {
        let settings = inner.settings();
        let status = inner.log.status();
        let target = self.free_target(inner, &settings, status.capacity_bytes);
        let looked = self.retained_at.is_some_and(|at| at <= now && now < at + EVERY);
        let free_bytes = status.free_bytes.saturating_sub(status.promised_bytes);
        if looked && free_bytes >= target {
            return Ok(());
        }
        self.retained_at = Some(now);
        let mut oldest = self.oldest(inner, &settings)?;
        for stream in &mut oldest {
            stream.condemn_by_rule(inner, now)?;
        }
        let freed: u64 = oldest.iter().map(Oldest::condemned_bytes).sum();
        condemn_for_space(inner, &mut oldest, target.saturating_sub(free_bytes + freed))?;
        self.free(inner, oldest)
    }

    /// Makes room for at least one segment of each stream that waits; false if nothing may be deleted.
    ///
    /// # Errors
    /// As [`Core::retain`].
    pub(crate) fn make_room(&mut self, inner: &Inner, now: Time) -> Result<bool, Error> {
        // What was deleted, and what waits in memory for the next checkpoint, give room only with it.
        self.checkpoint_due |= inner.checkpoint_due.swap(false, Relaxed);
        let pending = self.checkpoint_due || inner.log.status().pending_slots > 0;
        let mut condemned = 0;
        if !pending {
            let settings = inner.settings();
            let geometry = self.geometry(inner);
            let waiting = self.writers.values().filter(|w| !w.assembler.ready().is_empty());
            let wanted: u64 = waiting.map(|writer| geometry.segment_bytes(writer)).sum();
            let mut oldest = self.oldest(inner, &settings)?;
            condemn_for_space(inner, &mut oldest, wanted)?;
            let freed = |stream: &Oldest| stream.condemned.len() + stream.holes.len();
            condemned = oldest.iter().map(freed).sum();
            self.free(inner, oldest)?;
        }
        if pending || condemned > 0 {
            self.checkpoint(inner, now)?;
        }
        Ok(pending || condemned > 0)
    }

    /// Deletes all of a stream that nobody records, some segments at a time.
    ///
    /// # Errors
    /// As [`Core::retain`].
    pub(crate) fn delete_all(&mut self, inner: &Inner, stream: &Arc<Stream>) -> Result<(), Error> {
        loop {
            let settings = inner.settings();
            let all = self.oldest(inner, &settings)?;
            let Some(mut oldest) = all.into_iter().find(|o| Arc::ptr_eq(&o.stream, stream)) else {
                return Ok(());
            };
            while oldest.end().is_some() && oldest.condemned.len() < VICTIMS_MAX {
                oldest.condemn(inner)?;
            }
            if oldest.condemned.is_empty() {
                return Err(Error::Taken { name: stream.name.clone() });
            }
            self.free(inner, vec![oldest])?;
        }
    }

    /// Forgets the records at the front of a directory whose segments were freed already.
    ///
    /// # Errors
    /// As [`Core::retain`].
    pub(crate) fn trim_front(&mut self, inner: &Inner, stream: &Arc<Stream>) -> Result<(), Error> {
        let settings = inner.settings();
        let all = self.oldest(inner, &settings)?;
        let Some(mut oldest) = all.into_iter().find(|o| Arc::ptr_eq(&o.stream, stream)) else {
            return Ok(());
        };
        oldest.record = oldest.read(inner)?;
        if oldest.record.as_ref().is_some_and(|record| record.state == State::Freed) {
            oldest.condemn(inner)?;
            self.free(inner, vec![oldest])?;
        }
        Ok(())
    }

    /// How much is to be free: the share the settings say, and a segment for each active stream.
    pub(crate) fn free_target(
        &self,
        inner: &Inner,
        settings: &Settings,
        capacity_bytes: u64,
    ) -> u64 {
        let geometry = self.geometry(inner);
        let next: u64 = self.writers.values().map(|writer| geometry.segment_bytes(writer)).sum();
        settings.retention.free_bytes(capacity_bytes).max(next.min(capacity_bytes / 4))
    }

    fn oldest(&self, inner: &Inner, settings: &Settings) -> Result<Vec<Oldest>, Error> {
        let status = inner.log.status();
        let mut all = Vec::new();
        for stream in inner.all_streams() {
            let active = stream.queue(|queue| queue.is_attached() || queue.has_entries())
                || self.writers.get(&stream.name).is_some_and(|w| !w.assembler.ready().is_empty());
            let (index, record, own_rule) = stream.view(|view| {
                let record = view.front.clone().filter(|_| !view.segments.is_empty());
                let rule = view.catalogued.as_ref().and_then(|(_, record)| record.rule);
                (view.segments.start, record, rule)
            });
            if record.is_none() {
                continue;
            }
            let rule = match settings.overrides.get(&stream.name) {
                Some(&rule) => rule,
                None => own_rule.unwrap_or_else(|| settings.retention_of(&stream.name)),
            };
            all.push(Oldest {
                stream,
                rule,
                active,
                index,
                record,
                condemned: Vec::new(),
                holes: Vec::new(),
                hole: None,
                hole_from: 0,
                slot_bytes: u64::from(status.unit_bytes),
                parity: usize::from(status.parity),
                record_len: self.record_len,
            });
        }
        Ok(all)
    }

    /// Frees what is condemned, in one batch.
    fn free(&mut self, inner: &Inner, mut oldest: Vec<Oldest>) -> Result<(), Error> {
        let holes: Vec<_> = oldest
            .iter_mut()
            .filter(|stream| !stream.holes.is_empty())
            .map(|stream| (stream.stream.clone(), std::mem::take(&mut stream.holes)))
            .collect();
        self.free_front(inner, oldest)?;
        for (stream, holes) in holes {
            self.free_within(inner, &stream, &holes)?;
            let segments = holes.len();
            tracing::info!(stream = %stream.name, segments, "freed by retention, behind what is out");
        }
        Ok(())
    }

    /// Frees what is condemned at the front of directories.
    fn free_front(&mut self, inner: &Inner, oldest: Vec<Oldest>) -> Result<(), Error> {
        let oldest: Vec<Oldest> = oldest.into_iter().filter(|o| !o.condemned.is_empty()).collect();
        if oldest.is_empty() {
            return Ok(());
        }
        for stream in &oldest {
            stream.stream.load_spans(&inner.log)?;
        }
        let mut batch = inner.log.batch();
        batch.gives_room();
        for stream in &oldest {
            stream.stage(&mut batch, inner)?;
        }
        let committed = inner.log.commit(batch)?;
        self.checkpoint_due |= committed.checkpoint_due;
        for stream in oldest {
            self.freed(inner, stream);
        }
        Ok(())
    }

    fn freed(&mut self, inner: &Inner, oldest: Oldest) {
        let segments = oldest.condemned.len();
        inner.counters.freed_segments.fetch_add(segments as u64, Relaxed);
        let stream = &oldest.stream;
        tracing::info!(stream = %stream.name, segments, "freed by retention");
        inner.bury_objects(stream, oldest.condemned.iter().map(|(_, record)| record));
        let gone = oldest.is_gone();
        if gone {
            self.writers.remove(&stream.name);
            if let Some(slot) = stream.reset() {
                self.slots[slot as usize] = false;
            }
            return;
        }
        stream.view(|view| {
            view.segments.start = oldest.index;
            view.front = oldest.record.clone();
            let before = view.front.as_ref().map_or(view.after, |front| front.before);
            view.spans.trim(before);
        });
    }
}

/// Condemns the oldest segments of all streams until they make up `wanted` bytes.
fn condemn_for_space(inner: &Inner, oldest: &mut [Oldest], wanted: u64) -> Result<(), Error> {
    let (mut bytes, mut count) = (0, 0);
    while bytes < wanted && count < VICTIMS_MAX {
        let mut victim: Option<(Time, &mut Oldest)> = None;
        for stream in &mut *oldest {
            if let Some(end) = stream.room_end(inner)?
                && victim.as_ref().is_none_or(|(least, _)| end < *least)
            {
                victim = Some((end, stream));
            }
        }
        let Some((_, stream)) = victim else { break };
        bytes += stream.condemn_for_room(inner)?;
        count += 1;
    }
    Ok(())
}

impl Oldest {
    /// End of the oldest segment, if it may be deleted.
    fn end(&self) -> Option<Time> {
        match &self.record.as_ref()?.state {
            State::Sealed(sealed) | State::Out(sealed, _) => Some(sealed.end),
            State::Open if !self.active => self.stream.view(|view| view.end),
            State::Open | State::Freed => None,
        }
    }

    /// End of the oldest segment that would give room.
    fn room_end(&mut self, inner: &Inner) -> Result<Option<Time>, Error> {
        match &self.record {
            None => Ok(None),
            Some(record) if record.has_slots() => Ok(self.end()),
            Some(_) => {
                if self.hole.is_none() {
                    self.hole = self.next_hole(inner)?;
                }
                let record = self.hole.as_ref().map(|(_, record)| record);
                Ok(record.and_then(SegmentRecord::complete).map(|sealed| sealed.end))
            }
        }
    }

    /// The next sealed segment behind what is out. The last one stays: it says where the recording goes on.
    fn next_hole(&mut self, inner: &Inner) -> Result<Option<(u64, SegmentRecord)>, Error> {
        let first = self.stream.first_in(&inner.log, self.record_len)?;
        let end = self.stream.view(|view| view.segments.end.saturating_sub(1));
        for index in first.max(self.hole_from).max(self.index + 1)..end {
            self.hole_from = index + 1;
            let record = self.stream.segment(&inner.log, self.record_len, index)?;
            let sealed = |record: &SegmentRecord| matches!(record.state, State::Sealed(_));
            if let Some(record) = record.filter(sealed) {
                return Ok(Some((index, record)));
            }
        }
        Ok(None)
    }

    /// Condemns what [`room_end`](Self::room_end) told of; returns the bytes that gives.
    fn condemn_for_room(&mut self, inner: &Inner) -> Result<u64, Error> {
        match self.hole.take() {
            Some(hole) => {
                let bytes = self.bytes_of(&hole.1);
                self.holes.push(hole);
                Ok(bytes)
            }
            None => self.condemn(inner),
        }
    }

    fn condemn_by_rule(&mut self, inner: &Inner, now: Time) -> Result<(), Error> {
        while let Some(end) = self.end()
            && self.condemned.len() < VICTIMS_MAX
        {
            let too_old = self.rule.age.is_some_and(|age| end < now - age);
            if !too_old && !self.has_too_much(inner)? {
                break;
            }
            self.condemn(inner)?;
        }
        Ok(())
    }

    fn has_too_much(&self, inner: &Inner) -> Result<bool, Error> {
        let Some(limit) = self.rule.bytes else { return Ok(false) };
        let Some(record) = &self.record else { return Ok(false) };
        let most = self.stream.view(|view| view.after.since(record.before).bytes);
        if most <= limit {
            return Ok(false);
        }
        // Exactly, for what was deleted in the middle does not count.
        let spans = self.stream.spans(&inner.log, Time::MIN, Time::MAX)?;
        let kept: u64 = spans
            .iter()
            .filter(|span| span.after > record.before)
            .map(|span| span.after.since(span.head.before.max(record.before)).bytes)
            .sum();
        Ok(kept > limit)
    }

    /// Condemns the oldest segment and goes on to the next; returns the bytes that gives.
    fn condemn(&mut self, inner: &Inner) -> Result<u64, Error> {
        let record = self.record.take().expect("only what is there is condemned");
        let bytes = self.bytes_of(&record);
        self.condemned.push((self.index, record));
        let end = self.stream.view(|view| view.segments.end);
        self.index += 1;
        while self.index < end {
            let record = self.read(inner)?;
            if record.as_ref().is_some_and(|record| record.state != State::Freed) {
                self.record = record;
                break;
            }
            self.index += 1;
        }
        Ok(bytes)
    }

    fn read(&self, inner: &Inner) -> Result<Option<SegmentRecord>, Error> {
        let open = self.stream.view(|view| {
            let open = view.open.as_ref().filter(|_| self.index + 1 == view.segments.end);
            open.map(|open| open.record.clone())
        });
        match open {
            Some(record) => Ok(Some(record)),
            None => self.stream.segment(&inner.log, self.record_len, self.index),
        }
    }

    fn bytes_of(&self, record: &SegmentRecord) -> u64 {
        if !record.has_slots() {
            return 0;
        }
        let width = record.segment.columns.len().saturating_sub(self.parity).max(1);
        width as u64 * self.slot_bytes
    }

    fn condemned_bytes(&self) -> u64 {
        self.condemned.iter().map(|(_, record)| self.bytes_of(record)).sum()
    }

    /// Whether nothing of the stream is left and nobody records it.
    fn is_gone(&self) -> bool {
        self.record.is_none() && !self.active
    }

    fn stage(&self, batch: &mut pegasus_log::Batch<'_>, inner: &Inner) -> Result<(), Error> {
        for (_, record) in &self.condemned {
            if record.has_slots() {
                batch.free_segment(&record.segment)?;
            }
        }
        let (slot, catalogued, spans) = self.stream.view(|view| {
            let (slot, record) = view.catalogued.clone().expect("it has segments");
            let before = self.record.as_ref().map_or(view.after, |front| front.before);
            (slot, record, view.spans.clone().trim(before))
        });
        if self.is_gone() {
            batch.delete_pnode(catalogued.segments)?;
            batch.delete_pnode(catalogued.spans)?;
            batch.write(inner.log.root(), slot_offset(slot), &catalogue::emit_free())?;
            return Ok(());
        }
        batch.trim(catalogued.segments, self.index * self.record_len as u64)?;
        if let Some(offset) = spans {
            batch.trim(catalogued.spans, offset)?;
        }
        Ok(())
    }
}
