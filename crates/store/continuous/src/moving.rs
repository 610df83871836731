//! Recordings off a disk that is being removed: their segments are written anew elsewhere, one after the other.
//!
//! A segment keeps its number in the directory, and its blocks theirs in the index, so that readers find them where they
//! were; who holds an old map and is late finds the new one when his read fails. Record and slots change in one commit.

use std::sync::Arc;

use bytes::Bytes;
use pegasus_base::StreamName;
use pegasus_log::{Batch, BlockMap, LogError, Owner, SegmentRef};

use crate::commit::Core;
use crate::error::Error;
use crate::format::index::{self, Entry};
use crate::format::segment::{SegmentRecord, State};
use crate::indexes;
use crate::inner::Inner;
use crate::repair::entries_of;
use crate::stream::Stream;
use crate::writer::{Stop, Writer};

/// Records looked at in one go.
const RECORDS_AT_ONCE: u64 = 4096;

/// A segment's blocks, written once more.
pub(crate) struct Copied {
    pub(crate) segment: SegmentRef,
    pub(crate) entries: Vec<Entry>,
    pub(crate) index: BlockMap,
}

/// Writes blocks into a new segment with `width` data columns, an index behind them, and seals it.
///
/// # Errors
/// As [`Batch::open_segment`] and [`Batch::append`]; the batch is of no use then.
pub(crate) fn write_copy(
    batch: &mut Batch<'_>,
    owner: Owner,
    width: usize,
    blocks: &[(Entry, Bytes)],
) -> Result<Copied, LogError> {
    let segment = batch.open_segment(owner, width as u8)?;
    let mut entries = Vec::with_capacity(blocks.len());
    for (entry, payload) in blocks {
        let map = batch.append(segment.id, &[payload])?;
        entries.push(Entry { map, ..entry.clone() });
    }
    let payload = Bytes::from(index::emit(owner.stream, segment.id, &entries));
    let index = batch.append(segment.id, &[payload])?;
    batch.seal_segment(segment.id)?;
    Ok(Copied { segment, entries, index })
}

/// How far it is: a place in the order of streams.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Mover {
    stream: Option<StreamName>,
    record: u64,
}

impl Mover {
    /// Moves the next segment that has to be; its bytes, or `None` when all were looked at.
    ///
    /// # Errors
    /// If it can't be read, or the disks fail or are full. It may be asked again.
    pub(crate) fn step(&mut self, inner: &Inner) -> Result<Option<u64>, Error> {
        inner.core.lock().seal_what_leaves(inner)?;
        let Some(stream) = self.next_stream(inner) else { return Ok(None) };
        if self.stream.as_ref() != Some(&stream.name) {
            *self = Self { stream: Some(stream.name.clone()), record: 0 };
        }
        let segments = stream.view(|view| view.segments.clone());
        let first = self.record.max(segments.start);
        for index in first..segments.end.min(first + RECORDS_AT_ONCE) {
            self.record = index;
            let Some(record) = stream.segment(&inner.log, inner.record_len, index)? else {
                continue;
            };
            if matches!(record.state, State::Sealed(_)) && inner.log.has_to_move(&record.segment) {
                return move_with_index(inner, &stream, index, &record).map(Some);
            }
        }
        let next = first + RECORDS_AT_ONCE;
        self.record = if next < segments.end { next } else { u64::MAX };
        Ok(Some(0))
    }

    /// The stream it is at, or else the next.
    fn next_stream(&self, inner: &Inner) -> Option<Arc<Stream>> {
        let mut streams = inner.all_streams();
        streams.retain(|stream| stream.damage.is_none());
        streams.sort_by(|a, b| a.name.cmp(&b.name));
        let behind = |stream: &Arc<Stream>| match &self.stream {
            None => true,
            Some(at) if self.record == u64::MAX => stream.name > *at,
            Some(at) => stream.name >= *at,
        };
        streams.into_iter().find(behind)
    }
}

/// Moves a segment. The index of the one before may be in it: that one is moved first, and has its own then.
fn move_with_index(
    inner: &Inner,
    stream: &Arc<Stream>,
    index: u64,
    record: &SegmentRecord,
) -> Result<u64, Error> {
    let moved = move_index_before(inner, stream, index, record)?;
    Ok(moved + move_one(inner, stream, index, record)?)
}

/// Moves the segment before, if its index is in this one; its bytes.
///
/// # Errors
/// As [`Mover::step`].
pub(crate) fn move_index_before(
    inner: &Inner,
    stream: &Arc<Stream>,
    index: u64,
    record: &SegmentRecord,
) -> Result<u64, Error> {
    if let Some(before) = index.checked_sub(1)
        && let Some(former) = stream.segment(&inner.log, inner.record_len, before)?
        && let State::Sealed(sealed) = &former.state
        && sealed.index.as_ref().is_some_and(|map| map.segment == record.segment.id)
    {
        return move_one(inner, stream, before, &former);
    }
    Ok(0)
}

/// Reads a segment, holding up nobody, and writes it anew.
fn move_one(
    inner: &Inner,
    stream: &Arc<Stream>,
    index: u64,
    record: &SegmentRecord,
) -> Result<u64, Error> {
    let State::Sealed(sealed) = &record.state else { return Ok(0) };
    let entries = match sealed.index {
        Some(_) => indexes::read(&inner.log, stream, record)?,
        None => entries_of(&inner.log, stream.id, &record.segment),
    };
    let mut blocks = Vec::with_capacity(entries.len());
    for entry in entries {
        let payload = inner.log.read_block(&entry.map)?;
        blocks.push((entry, payload));
    }
    let bytes = blocks.iter().map(|(_, payload)| payload.len() as u64).sum();
    let mut core = inner.core.lock();
    let mut outcome = core.replace_segment(inner, stream, index, record, &blocks);
    if let Err(Error::Log(LogError::Full { after_checkpoint: true, .. })) = outcome {
        core.checkpoint(inner, inner.clock.now())?;
        outcome = core.replace_segment(inner, stream, index, record, &blocks);
    }
    match outcome {
        Ok(()) => Ok(bytes),
        // Or fewer disks have room than it is wide.
        Err(Error::Log(LogError::Full { .. } | LogError::SegmentFull { .. })) => Err(Error::Full),
        Err(error) => Err(error),
    }
}

impl Core {
    /// Puts a copy in a segment's place, unless it is gone meanwhile.
    fn replace_segment(
        &mut self,
        inner: &Inner,
        stream: &Arc<Stream>,
        index: u64,
        old: &SegmentRecord,
        blocks: &[(Entry, Bytes)],
    ) -> Result<(), Error> {
        inner.check_failed()?;
        let now = stream.segment(&inner.log, self.record_len, index)?;
        let directory = stream.view(|view| view.catalogued.as_ref().map(|(_, r)| r.segments));
        let (Some(directory), true) = (directory, now.as_ref() == Some(old)) else { return Ok(()) };
        let State::Sealed(sealed) = &old.state else { return Ok(()) };
        let parity = usize::from(inner.log.shape().1);
        let width = old.segment.columns.len().saturating_sub(parity).max(1);
        let owner = Owner { pnode: directory, stream: stream.id };
        let mut batch = inner.log.batch();
        let copied = write_copy(&mut batch, owner, width, blocks)?;
        let mut sealed = sealed.clone();
        sealed.index = Some(copied.index);
        let record =
            SegmentRecord { segment: copied.segment, state: State::Sealed(sealed), ..old.clone() };
        let bytes = record.emit(self.record_len);
        batch.write(directory, index * self.record_len as u64, &bytes)?;
        batch.free_segment(&old.segment)?;
        let committed = inner.log.commit(batch)?;
        self.checkpoint_due |= committed.checkpoint_due;
        stream.record_changed(index, record);
        Ok(())
    }

    /// Ends open segments that have to move: they are moved like others then.
    fn seal_what_leaves(&mut self, inner: &Inner) -> Result<(), Error> {
        for stream in inner.all_streams() {
            let leaves = stream.view(|view| {
                view.open.as_ref().is_some_and(|open| inner.log.has_to_move(&open.record.segment))
            });
            if leaves && stream.damage.is_none() {
                self.seal_open(inner, &stream)?;
            }
        }
        Ok(())
    }

    /// Ends a stream's open segment; what is recorded next goes to another.
    ///
    /// # Errors
    /// [`Error::Full`], or the log's.
    pub(crate) fn seal_open(&mut self, inner: &Inner, stream: &Arc<Stream>) -> Result<(), Error> {
        let geometry = self.geometry(inner);
        let name = stream.name.clone();
        let writer =
            self.writers.entry(name.clone()).or_insert_with(|| Writer::new(stream.clone()));
        let mut batch = inner.log.batch();
        match writer.stage_end(&mut batch, &geometry) {
            Ok(draft) => self.finish(inner, batch, vec![(name, draft)]),
            Err(Stop::Full) => Err(Error::Full),
            Err(Stop::Failed(error)) => Err(error),
        }
    }
}
