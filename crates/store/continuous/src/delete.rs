//! Deleting on request, and rules for single streams.
//!
//! Deleting a range cuts the list of spans, so that readers pass over it at once, and frees the segments
//! that hold nothing else. What lies in segments that hold more stays on disk, hidden, until they go.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use pegasus_base::{Time, TimeRange};
use pegasus_log::Batch;

use crate::assemble::PayloadMax;
use crate::commit::Core;
use crate::error::Error;
use crate::format::block::{self, Contents, Totals};
use crate::format::catalogue::slot_offset;
use crate::format::segment::{SegmentRecord, State};
use crate::format::span::{RECORD_LEN, SpanRecord};
use crate::inner::Inner;
use crate::locate::{Finder, Place};
use crate::settings::StreamRetention;
use crate::step::Step;
use crate::stream::Stream;
use crate::writer::Writer;

/// A key unit at which a span is cut.
#[derive(Debug, Clone, Copy)]
struct Cut {
    time: Time,
    /// Totals before it.
    before: Totals,
}

impl Core {
    /// Deletes `range` of a stream, or all of it. What is read of segments that are out should have been looked for before
    /// ([`look_where_cut`]): recording waits for this.
    ///
    /// # Errors
    /// [`Error::Taken`], or the disks fail.
    pub(crate) fn delete(
        &mut self,
        inner: &Arc<Inner>,
        stream: &Arc<Stream>,
        range: Option<TimeRange>,
    ) -> Result<(), Error> {
        match range {
            Some(range) => self.delete_range(inner, stream, range),
            None if stream.queue(|queue| queue.is_attached()) => {
                Err(Error::Taken { name: stream.name.clone() })
            }
            None => {
                let waiting = stream.queue(|queue| queue.take());
                let writer = self.writers.remove(&stream.name);
                let mut writer = writer.unwrap_or_else(|| Writer::new(stream.clone()));
                for entry in waiting {
                    writer.assembler.take(entry, Time::MIN, PayloadMax::ANY);
                }
                writer.assembler.close();
                writer.settle(inner);
                writer.drop_pending(inner);
                self.delete_all(inner, stream)
            }
        }
    }

    fn delete_range(
        &mut self,
        inner: &Arc<Inner>,
        stream: &Arc<Stream>,
        range: TimeRange,
    ) -> Result<(), Error> {
        if range.is_empty() {
            return Ok(());
        }
        let finder =
            Finder { inner: inner.clone(), stream: stream.clone(), record_len: self.record_len };
        let mut kept = Vec::new();
        for span in stream.spans(&inner.log, Time::MIN, Time::MAX)? {
            let part = range.intersect(&TimeRange::new(span.head.start, span.end));
            if part.is_empty() {
                kept.push(span);
                continue;
            }
            kept.extend(cut(&finder, &span, part)?);
        }
        // The last record must reach to the end of what is recorded, empty as it may be: from it a
        // restart knows what of the open segment is accounted for.
        let last = stream.view(|view| view.spans.last().copied());
        kept.extend(last.filter(|last| kept.last().is_none_or(|kept| kept.after < last.after)));
        let freed = self.covered(&finder, &kept)?;
        let mut batch = inner.log.batch();
        batch.gives_room();
        self.stage_cut(&mut batch, stream, &kept, &freed)?;
        let committed = inner.log.commit(batch)?;
        self.checkpoint_due |= committed.checkpoint_due;
        inner.counters.freed_segments.fetch_add(freed.len() as u64, Relaxed);
        freed.iter().for_each(|(index, _)| stream.segment_changed(*index));
        inner.bury_objects(stream, freed.iter().map(|(_, record)| record));
        stream.view(|view| {
            view.spans.replace(kept);
            view.spans.written();
        });
        self.trim_front(inner, stream)
    }

    /// The sealed segments that hold nothing of `kept`.
    fn covered(
        &self,
        finder: &Finder,
        kept: &[SpanRecord],
    ) -> Result<Vec<(u64, SegmentRecord)>, Error> {
        let segments = finder.stream.view(|view| view.segments.clone());
        let mut covered = Vec::new();
        let mut last_index = None;
        for index in segments {
            let Some(record) = finder.record(index)? else { continue };
            let Some(sealed) = record.complete() else { continue };
            let holds = record.before.units..sealed.after.units;
            let needed = kept
                .iter()
                .any(|span| span.head.before.units < holds.end && holds.start < span.after.units);
            // It may hold the index of the one before, if disks died when that was sealed.
            let holds_index = last_index == Some(record.segment.id);
            last_index = sealed.index.as_ref().map(|map| map.segment);
            if !needed && !holds_index {
                covered.push((index, record));
            }
        }
        Ok(covered)
    }

    fn stage_cut(
        &self,
        batch: &mut Batch<'_>,
        stream: &Stream,
        kept: &[SpanRecord],
        freed: &[(u64, SegmentRecord)],
    ) -> Result<(), Error> {
        let (catalogued, front) = stream.view(|view| {
            let catalogued = view.catalogued.clone().expect("something is recorded of it");
            (catalogued.1, view.spans.front())
        });
        let mut bytes = Vec::with_capacity(kept.len() * RECORD_LEN);
        kept.iter().for_each(|span| span.emit(&mut bytes));
        let offset = front * RECORD_LEN as u64;
        batch.write(catalogued.spans, offset, &bytes)?;
        batch.truncate(catalogued.spans, offset + bytes.len() as u64)?;
        for (index, record) in freed {
            if record.has_slots() {
                batch.free_segment(&record.segment)?;
            }
            let record = SegmentRecord { state: State::Freed, ..record.clone() };
            let at = index * self.record_len as u64;
            batch.write(catalogued.segments, at, &record.emit(self.record_len))?;
        }
        Ok(())
    }

    /// Frees sealed segments in the middle of a recording, for their room. Their neighbours are out and may be out of reach, so
    /// spans are cut where the segments begin and end, not at groups.
    ///
    /// # Errors
    /// If a directory can't be read, or the commit fails.
    pub(crate) fn free_within(
        &mut self,
        inner: &Inner,
        stream: &Arc<Stream>,
        freed: &[(u64, SegmentRecord)],
    ) -> Result<(), Error> {
        let mut kept = stream.spans(&inner.log, Time::MIN, Time::MAX)?;
        let last = stream.view(|view| view.spans.last().copied());
        for (index, record) in freed {
            let start = self.begins(inner, stream, index + 1)?;
            let hole = |span: &SpanRecord| without(span, record, start, last.as_ref());
            kept = kept.iter().flat_map(hole).collect();
        }
        kept.extend(last.filter(|last| kept.last().is_none_or(|kept| kept.after < last.after)));
        let mut batch = inner.log.batch();
        batch.gives_room();
        self.stage_cut(&mut batch, stream, &kept, freed)?;
        let committed = inner.log.commit(batch)?;
        self.checkpoint_due |= committed.checkpoint_due;
        inner.counters.freed_segments.fetch_add(freed.len() as u64, Relaxed);
        freed.iter().for_each(|(index, _)| stream.segment_changed(*index));
        stream.view(|view| {
            view.spans.replace(kept);
            view.spans.written();
        });
        Ok(())
    }

    /// Time of the first key unit, or else the first unit, of a segment.
    fn begins(&self, inner: &Inner, stream: &Stream, index: u64) -> Result<Option<Time>, Error> {
        let open = stream.view(|view| {
            let open = view.open.as_ref().filter(|_| index + 1 == view.segments.end);
            open.map(|open| open.sealed().mark.unwrap_or(open.record.first))
        });
        if open.is_some() {
            return Ok(open);
        }
        let record = stream.segment(&inner.log, self.record_len, index)?;
        let mark = |record: &SegmentRecord| record.complete().and_then(|sealed| sealed.mark);
        Ok(record.map(|record| mark(&record).unwrap_or(record.first)))
    }

    /// Gives one stream its own rule of retention.
    ///
    /// # Errors
    /// If the commit fails.
    pub(crate) fn set_rule(
        &self,
        inner: &Inner,
        stream: &Stream,
        rule: Option<StreamRetention>,
    ) -> Result<(), Error> {
        let catalogued = stream.view(|view| view.catalogued.clone());
        let unknown = || Error::UnknownStream { name: stream.name.clone() };
        let (slot, mut record) = catalogued.ok_or_else(unknown)?;
        record.rule = rule;
        let mut batch = inner.log.batch();
        batch.write(inner.log.root(), slot_offset(slot), &record.emit())?;
        inner.log.commit(batch)?;
        stream.view(|view| view.catalogued = Some((slot, record)));
        Ok(())
    }
}

/// Looks for what [`Core::delete`] reads, while nobody waits for it.
///
/// # Errors
/// If it can't be read, because it is out and the tier can't be reached for one.
pub(crate) fn look_where_cut(
    inner: &Arc<Inner>,
    stream: &Arc<Stream>,
    range: TimeRange,
) -> Result<(), Error> {
    let record_len = inner.record_len;
    let finder = Finder { inner: inner.clone(), stream: stream.clone(), record_len };
    for span in stream.spans(&inner.log, range.start, range.end)? {
        let part = range.intersect(&TimeRange::new(span.head.start, span.end));
        if !part.is_empty() {
            cut(&finder, &span, part)?;
        }
    }
    Ok(())
}

/// What is left of `span` without `part` of it, widened to whole groups of pictures.
fn cut(finder: &Finder, span: &SpanRecord, part: TimeRange) -> Result<Vec<SpanRecord>, Error> {
    let mut left = Vec::new();
    let found = finder.find(span, part.start)?;
    if let Some(key) = found.and_then(|found| found.key)
        && let Some(cut) = key_in(finder, key, span, |time| time <= part.start)?
        && cut.before > span.head.before
        && part.start > span.head.start
    {
        left.push(SpanRecord { end: cut.time.min(span.end), after: cut.before, ..*span });
    }
    let end = match part.end < span.end {
        true => first_key_from(finder, span, part.end)?,
        false => None,
    };
    // A span that goes on growing does so behind what was deleted of it.
    let end = end.unwrap_or(Cut { time: span.end, before: span.after });
    let last = finder.stream.view(|view| view.spans.last().map(|last| last.head.serial));
    if end.before < span.after || last == Some(span.head.serial) {
        let mut right = *span;
        right.head.before = end.before;
        right.head.start = end.time;
        left.push(right);
    }
    Ok(left)
}

/// What is left of `span` without the units of a segment; what is behind them begins at `start`.
fn without(
    span: &SpanRecord,
    record: &SegmentRecord,
    start: Option<Time>,
    last: Option<&SpanRecord>,
) -> Vec<SpanRecord> {
    let Some(sealed) = record.complete() else { return vec![*span] };
    if span.after <= record.before || span.head.before >= sealed.after {
        return vec![*span];
    }
    let mut left = Vec::new();
    if span.head.before < record.before {
        let end = record.first.clamp(span.head.start, span.end);
        left.push(SpanRecord { end, after: record.before, ..*span });
    }
    // A span that goes on growing does so behind the gap.
    let grows =
        last.is_some_and(|last| last.head.serial == span.head.serial && last.after == span.after);
    if sealed.after < span.after || grows {
        let mut right = *span;
        right.head.before = sealed.after.min(span.after);
        let start = start.unwrap_or(sealed.end);
        right.head.start = start.clamp(span.head.start, span.end);
        left.push(right);
    }
    left
}

/// The last key unit in the block at `place` whose time is `wanted`.
fn key_in(
    finder: &Finder,
    place: Place,
    span: &SpanRecord,
    wanted: impl Fn(Time) -> bool,
) -> Result<Option<Cut>, Error> {
    Ok(keys(finder, place, span)?.into_iter().rev().find(|cut| wanted(cut.time)))
}

/// The first key unit of `span` at or after `from`.
fn first_key_from(finder: &Finder, span: &SpanRecord, from: Time) -> Result<Option<Cut>, Error> {
    let Some(found) = finder.find(span, from)? else { return Ok(None) };
    let mut place = found.key.unwrap_or(found.from);
    loop {
        match finder.entry(place)? {
            Step::End => return Ok(None),
            Step::Skip(next) => place = next,
            Step::Block(entry) => {
                if entry.head.before >= span.after {
                    return Ok(None);
                }
                if entry.head.mark.is_some() {
                    let found = keys(finder, place, span)?.into_iter().find(|k| k.time >= from);
                    if found.is_some() {
                        return Ok(found);
                    }
                }
                place.block += 1;
            }
        }
    }
}

/// The key units of `span` in the block at `place`.
fn keys(finder: &Finder, place: Place, span: &SpanRecord) -> Result<Vec<Cut>, Error> {
    let Step::Block(entry) = finder.entry(place)? else { return Ok(Vec::new()) };
    let Contents { head, tracks, rows } = finder.contents(&entry)?;
    let anchor = block::anchor(&tracks);
    let units: Range<u64> = span.head.before.units..span.after.units;
    let mut before = head.before;
    let mut keys = Vec::new();
    for row in rows.iter() {
        if row.track == anchor && row.key && units.contains(&before.units) {
            keys.push(Cut { time: row.time, before });
        }
        before = before.plus(1, row.len as u64);
    }
    Ok(keys)
}
