//! One stream's part of a commit: from pending blocks to what is put into the batch.

use std::sync::Arc;

use bytes::Bytes;
use pegasus_log::{Batch, LogError, Owner, SegmentId};

use crate::assemble::{Assembler, Pending};
use crate::draft::{Change, Draft};
use crate::error::Error;
use crate::format::block::Origin;
use crate::format::catalogue::{StreamRecord, slot_offset};
use crate::format::index::{self, Entry, IndexLen};
use crate::format::segment::{SegmentRecord, State};
use crate::geometry::Geometry;
use crate::spans::Spans;
use crate::stream::{Stream, sealed};
use crate::timeline::Timeline;

/// Kind of the pnode that is a stream's directory.
pub(crate) const KIND_SEGMENTS: u16 = 1;
/// Kind of the pnode that lists a stream's spans.
pub(crate) const KIND_SPANS: u16 = 2;
/// The committer's state of one stream.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) stream: Arc<Stream>,
    pub(crate) assembler: Assembler,
    /// Bytes a commit, averaged.
    pub(crate) commit_bytes: u64,
    /// Why nothing of it can be written, if the store's own data of it is damaged.
    pub(crate) broken: Option<String>,
}

/// Why not all could be put into the batch.
#[derive(Debug)]
pub(crate) enum Stop {
    /// No slots are left. What is drafted is good.
    Full,
    /// The batch must be dropped.
    Failed(Error),
}

impl From<LogError> for Stop {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Full { .. } => Self::Full,
            error => Self::Failed(error.into()),
        }
    }
}

impl Writer {
    pub(crate) fn new(stream: Arc<Stream>) -> Self {
        let (end, after, serial) = stream.view(|view| {
            (view.end, view.after, view.spans.last().map_or(0, |span| span.head.serial))
        });
        let origin = Origin { id: stream.id, name: stream.name.clone() };
        let assembler = Assembler::new(origin, Timeline::new(end, serial, after));
        Self { stream, assembler, commit_bytes: 0, broken: None }
    }

    /// Learns the stream's rate from what is pending for this commit.
    pub(crate) fn learn_rate(&mut self) {
        let bytes: u64 = self.assembler.ready().iter().map(|p| p.payload_len as u64).sum();
        self.commit_bytes = match self.commit_bytes {
            0 => bytes,
            before => (before * 3 + bytes) / 4,
        };
    }

    /// Puts pending blocks into `batch`, and all that must be said of them in the normal log.
    /// `slot` gives a new stream its place in the catalogue.
    pub(crate) fn stage(
        &self,
        batch: &mut Batch<'_>,
        geometry: &Geometry,
        slot: &mut impl FnMut() -> u32,
    ) -> (Draft, Option<Stop>) {
        let mut staging = Staging::new(self, batch, geometry);
        let mut stop = staging.ensure_created(slot).err();
        if stop.is_none() {
            for pending in self.assembler.ready() {
                stop = staging.block(pending).err();
                if stop.is_some() {
                    break;
                }
                staging.draft.blocks += 1;
            }
        }
        if !matches!(stop, Some(Stop::Failed(_)))
            && let Err(failed) = staging.describe()
        {
            stop = Some(failed);
        }
        (staging.draft, stop)
    }
}

impl Writer {
    /// Ends the open segment, with what is in it.
    pub(crate) fn stage_end(
        &self,
        batch: &mut Batch<'_>,
        geometry: &Geometry,
    ) -> Result<Draft, Stop> {
        let mut staging = Staging::new(self, batch, geometry);
        staging.seal()?;
        staging.describe()?;
        Ok(staging.draft)
    }
}

/// A draft in the making.
struct Staging<'a, 'b, 'log> {
    writer: &'a Writer,
    batch: &'b mut Batch<'log>,
    geometry: &'a Geometry,
    draft: Draft,
    record: Option<StreamRecord>,
    /// The segment that blocks are appended to, and whether it was open before this batch.
    current: Option<(SegmentRecord, bool)>,
    /// How long the index of `current` gets.
    index_len: IndexLen,
    /// Entries of `current` from this batch.
    entries: Vec<Entry>,
    /// Number the next record of the directory gets.
    next_index: u64,
}

impl<'a, 'b, 'log> Staging<'a, 'b, 'log> {
    fn new(writer: &'a Writer, batch: &'b mut Batch<'log>, geometry: &'a Geometry) -> Self {
        writer.stream.view(|view| Self {
            writer,
            batch,
            geometry,
            draft: Draft::default(),
            record: view.catalogued.as_ref().map(|(_, record)| record.clone()),
            current: view.open.as_ref().map(|open| (open.record.clone(), true)),
            index_len: view.open.as_ref().map_or_else(IndexLen::new, |o| o.index_len().clone()),
            entries: Vec::new(),
            next_index: view.segments.end,
        })
    }

    fn ensure_created(&mut self, slot: &mut impl FnMut() -> u32) -> Result<(), Stop> {
        if self.record.is_some() || self.writer.assembler.ready().is_empty() {
            return Ok(());
        }
        let stream = &self.writer.stream;
        let record = StreamRecord {
            id: stream.id,
            name: stream.name.clone(),
            segments: self.batch.create_pnode(KIND_SEGMENTS),
            spans: self.batch.create_pnode(KIND_SPANS),
            rule: None,
        };
        self.draft.created = Some((slot(), record.clone()));
        self.record = Some(record);
        Ok(())
    }

    fn record(&self) -> &StreamRecord {
        self.record.as_ref().expect("a stream is created before anything else of it")
    }

    fn block(&mut self, pending: &Pending) -> Result<(), Stop> {
        if !self.geometry.fits(pending.payload_len) {
            // It fitted when it was made, with a disk to spare; since then two died.
            self.draft.lost_units += pending.head.holds.units;
            return Ok(());
        }
        if self.current.as_ref().is_some_and(|(current, _)| !self.fits(current, pending)) {
            self.seal()?;
        }
        if self.current.is_none() {
            self.open(pending)?;
        }
        let id = self.current.as_ref().expect("just opened").0.segment.id;
        let map = self.batch.append(id, &pending.parts)?;
        self.index_len = self.index_len_with(pending);
        let entry = Entry { map, head: pending.head, outline: pending.outline.clone() };
        self.entries.push(entry.clone());
        self.draft.changes.push(Change::Appended(entry));
        Ok(())
    }

    /// Whether there is room for the block, and for the index after it.
    fn fits(&self, current: &SegmentRecord, pending: &Pending) -> bool {
        let width = current.segment.columns.len().saturating_sub(self.geometry.parity).max(1);
        let index = Geometry::reserve(self.index_len_with(pending).bytes, width);
        self.batch.room(current.segment.id) >= (pending.payload_len + index) as u64
    }

    fn index_len_with(&self, pending: &Pending) -> IndexLen {
        self.index_len.clone().with(pending.outline.as_ref(), self.geometry.columns)
    }

    fn open(&mut self, pending: &Pending) -> Result<(), Stop> {
        let width = self.geometry.width(pending.payload_len, self.writer.commit_bytes);
        let owner = Owner { pnode: self.record().segments, stream: self.writer.stream.id };
        let segment = self.batch.open_segment(owner, width)?;
        let record = SegmentRecord {
            segment,
            first: pending.head.first,
            before: pending.head.before,
            state: State::Open,
        };
        (self.index_len, self.entries) = (IndexLen::new(), Vec::new());
        if !self.fits(&record, pending) {
            // Fewer disks have room than it needs.
            self.batch.free_segment(&record.segment)?;
            return Err(Stop::Full);
        }
        self.draft.changes.push(Change::Opened(record.clone()));
        self.current = Some((record, false));
        Ok(())
    }

    /// Ends the current segment: writes its index into it and seals it.
    fn seal(&mut self) -> Result<(), Stop> {
        let Some((record, before)) = self.current.take() else { return Ok(()) };
        let (mut entries, mut index) = match before {
            true => self.writer.stream.view(|view| {
                let open = view.open.as_ref();
                open.map(|open| (open.entries().to_vec(), open.index.clone())).unwrap_or_default()
            }),
            false => (Vec::new(), None),
        };
        if !self.entries.is_empty() {
            entries.append(&mut self.entries);
            index = None;
        }
        let mut sealed = sealed(&record, &entries);
        sealed.index = index.or_else(|| self.write_index(record.segment.id, &entries));
        self.batch.seal_segment(record.segment.id)?;
        self.draft.changes.push(Change::Sealed(sealed));
        Ok(())
    }

    fn write_index(&mut self, id: SegmentId, entries: &[Entry]) -> Option<pegasus_log::BlockMap> {
        let payload = Bytes::from(index::emit(self.writer.stream.id, id, entries));
        match self.batch.append(id, &[payload]) {
            Ok(map) => Some(map),
            Err(error) => {
                // Room for it was kept; only disks that died under the segment can take it away.
                tracing::error!(stream = %self.writer.stream.name, %error, "{id} is left without an index");
                None
            }
        }
    }

    /// Writes what changed of catalogue, directory and spans.
    fn describe(&mut self) -> Result<(), Stop> {
        if self.draft.changes.is_empty() {
            // There was no room for its first segment: it is as if it had not been tried.
            if let Some((_, record)) = self.draft.created.take() {
                self.batch.delete_pnode(record.segments)?;
                self.batch.delete_pnode(record.spans)?;
            }
            return Ok(());
        }
        if let Some((slot, record)) = self.draft.created.clone() {
            self.batch.write(self.geometry.root, slot_offset(slot), &record.emit())?;
        }
        self.describe_segments()?;
        if self.draft.changes.iter().any(|change| matches!(change, Change::Sealed(_))) {
            let mut spans = self.writer.stream.view(|view| view.spans.tail_only());
            for change in &self.draft.changes {
                if let Change::Appended(entry) = change {
                    spans.extend(&entry.head);
                }
            }
            self.write_spans(&spans)?;
        }
        Ok(())
    }

    fn write_spans(&mut self, spans: &Spans) -> Result<(), Stop> {
        if let Some((offset, bytes)) = spans.unwritten() {
            let pnode = self.record().spans;
            self.batch.write(pnode, offset, &bytes)?;
        }
        self.draft.spans_written = true;
        Ok(())
    }

    fn describe_segments(&mut self) -> Result<(), Stop> {
        let mut current = self.writer.stream.view(|view| {
            view.open.as_ref().map(|open| (view.segments.end - 1, open.record.clone()))
        });
        let mut records = Vec::new();
        let mut next = self.next_index;
        for change in &self.draft.changes {
            match change {
                Change::Opened(record) => {
                    current = Some((next, record.clone()));
                    records.push((next, record.clone()));
                    next += 1;
                }
                Change::Sealed(sealed) => {
                    let (index, mut record) =
                        current.take().expect("only open segments are sealed");
                    record.state = State::Sealed(sealed.clone());
                    records.push((index, record));
                }
                Change::Appended(_) => {}
            }
        }
        for (index, record) in records {
            let len = self.geometry.record_len;
            let bytes = record.emit(len);
            let pnode = self.record().segments;
            self.batch.write(pnode, index * len as u64, &bytes)?;
        }
        Ok(())
    }
}
