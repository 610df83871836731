//! Writing anew what lists recordings. The catalogue's entry comes last: until then a crash leaves what was there.

use std::collections::BTreeMap;

use pegasus_base::StreamId;
use pegasus_log::{Batch, Column, DiskIndex, Log, Owner, SegmentId, SegmentRef};

use crate::error::Error;
use crate::format::catalogue::{self, SLOT_LEN, StreamRecord, slot_offset};
use crate::format::index::Entry;
use crate::format::segment::{SegmentRecord, State};
use crate::moving::{Copied, write_copy};
use crate::spans::Spans;
use crate::stream::sealed;
use crate::writer::{KIND_SEGMENTS, KIND_SPANS};

use super::Progress;
use super::assess::{Assessment, Unindexed};
use super::found::{Finds, FoundSegment, FoundStream, entries};

/// Records of a directory that are written in one batch.
const RECORDS_AT_ONCE: usize = 4096;

/// Does all that was planned.
///
/// # Errors
/// If disks fail, or there is no room.
pub(crate) fn write(
    log: &Log,
    assessment: &Assessment,
    finds: &Finds,
    progress: Progress<'_>,
) -> Result<(), Error> {
    let steps = (finds.streams.len() + assessment.unindexed.len()) as u64;
    let mut catalogue = Catalogue::of(log, assessment)?;
    for (at, stream) in finds.streams.iter().enumerate() {
        progress("listing what was found", at as u64, steps);
        catalogue.list(log, assessment.record_len, stream)?;
    }
    for (at, unindexed) in assessment.unindexed.iter().enumerate() {
        progress("writing indexes", (finds.streams.len() + at) as u64, steps);
        write_anew(log, assessment.record_len, unindexed)?;
    }
    for broken in assessment.broken.iter() {
        // Nothing of it is left: its place in the catalogue is free.
        if !finds.streams.iter().any(|stream| stream.id == broken.record.id) {
            catalogue.forget(log, broken.slot)?;
        }
    }
    give_back(log, finds)
}

/// The catalogue, as it is being written anew.
struct Catalogue {
    /// Places that are taken.
    taken: Vec<bool>,
}

impl Catalogue {
    /// The one that is there; an empty one if it can't be read.
    fn of(log: &Log, assessment: &Assessment) -> Result<Self, Error> {
        let slots = match &assessment.catalogue {
            Ok(slots) => slots.iter().map(Option::is_some).collect(),
            Err(_) => Vec::new(),
        };
        if slots.is_empty() {
            let mut batch = log.batch();
            batch.truncate(log.root(), 0)?;
            batch.write(log.root(), 0, &catalogue::emit_head())?;
            log.commit(batch)?;
        }
        Ok(Self { taken: slots })
    }

    /// Lists a stream: its directory and its spans in pnodes of their own, then its entry.
    fn list(&mut self, log: &Log, record_len: usize, stream: &FoundStream) -> Result<(), Error> {
        let mut batch = log.batch();
        let record = StreamRecord {
            id: stream.id,
            name: stream.name.clone(),
            segments: batch.create_pnode(KIND_SEGMENTS),
            spans: batch.create_pnode(KIND_SPANS),
            rule: stream.before.as_ref().and_then(|(_, before)| before.rule),
        };
        let mut spans = Spans::new(0..0, None);
        let heads = stream.segments.iter().flat_map(|found| &found.entries);
        heads.for_each(|entry| spans.extend(&entry.head));
        let mut freed = Vec::new();
        let count = stream.segments.len();
        for (at, found) in stream.segments.iter().enumerate() {
            if at > 0 && at % RECORDS_AT_ONCE == 0 {
                log.commit(batch)?;
                batch = log.batch();
            }
            let segment = match (&found.index, found.open && at + 1 == count) {
                (None, false) => {
                    log.commit(batch)?;
                    batch = log.batch();
                    freed.push(found.segment.clone());
                    copied(&mut batch, log, record.segments, stream.id, found)?
                }
                _ => described(found, at + 1 == count),
            };
            let bytes = segment.emit(record_len);
            batch.write(record.segments, (at * record_len) as u64, &bytes)?;
        }
        if let Some((offset, bytes)) = spans.unwritten() {
            batch.write(record.spans, offset, &bytes)?;
        }
        let slot = match &stream.before {
            Some((slot, _)) => *slot,
            None => self.place(),
        };
        batch.write(log.root(), slot_offset(slot), &record.emit())?;
        for segment in &freed {
            batch.free_segment(segment)?;
        }
        log.commit(batch)?;
        stream.before.iter().for_each(|(_, before)| drop_pnodes(log, before));
        Ok(())
    }

    fn place(&mut self) -> u32 {
        let free = self.taken.iter().position(|taken| !taken);
        let at = free.unwrap_or(self.taken.len());
        self.taken.resize(self.taken.len().max(at + 1), false);
        self.taken[at] = true;
        at as u32
    }

    fn forget(&mut self, log: &Log, slot: u32) -> Result<(), Error> {
        let mut batch = log.batch();
        assert_eq!(catalogue::emit_free().len(), SLOT_LEN, "places have a fixed length");
        batch.write(log.root(), slot_offset(slot), &catalogue::emit_free())?;
        log.commit(batch)?;
        Ok(())
    }
}

/// Deletes the pnodes that listed a stream, where they can still be understood.
fn drop_pnodes(log: &Log, record: &StreamRecord) {
    for pnode in [record.segments, record.spans] {
        let mut batch = log.batch();
        let deleted = batch.delete_pnode(pnode);
        if let Err(error) = deleted.and_then(|()| log.commit(batch).map(drop)) {
            tracing::warn!(%pnode, %error, "what listed {} can't be deleted", record.name);
        }
    }
}

/// The record of a segment that stays where it is.
fn described(found: &FoundSegment, last: bool) -> SegmentRecord {
    let first = &found.entries[0].head;
    let mut record = SegmentRecord {
        segment: found.segment.clone(),
        first: first.first,
        before: first.before,
        state: State::Open,
    };
    if !(found.open && last) {
        let mut sealed = sealed(&record, &found.entries);
        sealed.index.clone_from(&found.index);
        record.state = State::Sealed(sealed);
    }
    record
}

/// Writes the blocks of a segment once more, with an index behind them.
fn copied(
    batch: &mut Batch<'_>,
    log: &Log,
    owner: pegasus_base::PnodeId,
    stream: StreamId,
    found: &FoundSegment,
) -> Result<SegmentRecord, Error> {
    let columns = found.segment.columns.len();
    let width = columns.saturating_sub(usize::from(log.shape().1)).max(1);
    let block = |entry: &Entry| Ok((entry.clone(), log.read_block(&entry.map)?));
    let blocks = found.entries.iter().map(block).collect::<Result<Vec<_>, Error>>()?;
    let Copied { segment, entries, index } =
        write_copy(batch, Owner { pnode: owner, stream }, width, &blocks)?;
    Ok(described(&FoundSegment { segment, entries, index: Some(index), open: false }, false))
}

/// Writes a segment of a stream that is listed as it should be once more, with an index.
fn write_anew(log: &Log, record_len: usize, unindexed: &Unindexed) -> Result<(), Error> {
    let Unindexed { stream, index, record, .. } = unindexed;
    let segment = &record.segment;
    let (entries, found_index) = surveyed(log, stream.id, segment);
    if entries.is_empty() {
        tracing::error!(stream = %stream.name, "nothing of {} is left", segment.id);
        return Ok(());
    }
    let found = FoundSegment { segment: segment.clone(), entries, index: found_index, open: false };
    let mut batch = log.batch();
    let new = match found.index {
        Some(_) => described(&found, false),
        None => {
            batch.free_segment(segment)?;
            copied(&mut batch, log, stream.segments, stream.id, &found)?
        }
    };
    batch.write(stream.segments, index * record_len as u64, &new.emit(record_len))?;
    log.commit(batch)?;
    Ok(())
}

/// What is in a segment, and where its index is, by what is on the disks alone.
fn surveyed(
    log: &Log,
    stream: StreamId,
    segment: &SegmentRef,
) -> (Vec<Entry>, Option<pegasus_log::BlockMap>) {
    let survey = log.survey(&segment.columns, &mut |_| {});
    let found = survey.segments.iter().find(|found| found.id == segment.id);
    let maps = found.map(|found| log.maps(found, segment)).unwrap_or_default();
    entries(log, segment, stream, &maps)
}

/// The blocks of a segment that has no index.
pub(crate) fn entries_of(log: &Log, stream: StreamId, segment: &SegmentRef) -> Vec<Entry> {
    surveyed(log, stream, segment).0
}

/// Gives back slots that hold nothing.
fn give_back(log: &Log, finds: &Finds) -> Result<(), Error> {
    let mut by_disk: BTreeMap<DiskIndex, Vec<Column>> = BTreeMap::new();
    for column in &finds.empty {
        by_disk.entry(column.disk).or_default().push(*column);
    }
    let mut batch = log.batch();
    for open in &finds.open_empty {
        batch.free_segment(open)?;
    }
    // As if they were segments: their columns are on different disks.
    while by_disk.values().any(|columns| !columns.is_empty()) {
        let columns: Vec<Column> = by_disk.values_mut().filter_map(Vec::pop).collect();
        batch.free_segment(&SegmentRef { id: SegmentId(0), columns })?;
    }
    log.commit(batch)?;
    Ok(())
}
