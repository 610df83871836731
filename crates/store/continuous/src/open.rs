//! Opening: the catalogue, and for each stream the ends of its directory and its spans. Nothing else is
//! read, so the time does not depend on how much is recorded.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

use pegasus_base::{PnodeId, StreamName};
use pegasus_log::{BlockMap, Log, Recovered, Recovery, SegmentId};

use crate::commit::Core;
use crate::error::Error;
use crate::format::FormatError;
use crate::format::block::{self, Totals};
use crate::format::catalogue::{self, SLOT_LEN, StreamRecord};
use crate::format::index::{self, Entry};
use crate::format::segment::{SegmentRecord, State, record_len};
use crate::format::span::RECORD_LEN;
use crate::queue::Queue;
use crate::settings::Settings;
use crate::spans::{self, Spans};
use crate::stream::{OpenSegment, Stream, View};

/// What was found.
pub(crate) struct Opened {
    pub(crate) core: Core,
    pub(crate) streams: BTreeMap<StreamName, Arc<Stream>>,
}

/// Reads what is needed to go on.
///
/// # Errors
/// [`Error::Damaged`] if the catalogue is, or the log's. A stream that is damaged says so itself.
pub(crate) fn load(log: &Log, recovery: Recovery, settings: &Settings) -> Result<Opened, Error> {
    let status = log.status();
    let record_len = record_len(usize::from(status.data) + usize::from(status.parity));
    let mut recovered: HashMap<SegmentId, Recovered> =
        recovery.open_segments.into_iter().map(|open| (open.segment.id, open)).collect();
    let slots = read_catalogue(log)?;
    let mut streams = BTreeMap::new();
    for (slot, record) in slots.iter().flatten().enumerate() {
        let Some(record) = record else { continue };
        let (name, id) = (record.name.clone(), record.id);
        let stream = match load_stream(log, slot as u32, record, record_len, &mut recovered) {
            Ok(view) => Stream::new(name, id, Queue::new(settings.queue_bytes_max), view),
            Err(error) => {
                // The others are not to suffer for it.
                tracing::error!(stream = %name, %error, "its recording can't be opened");
                Stream::damaged(name, id, error.to_string())
            }
        };
        if streams.insert(record.name.clone(), Arc::new(stream)).is_some() {
            let source = FormatError::Field { field: "names (one stands twice)" };
            return Err(Error::Damaged { what: "the catalogue".to_owned(), source });
        }
    }
    for orphan in recovered.values() {
        // Opening a segment and writing its record are one commit, so this is a fault of ours.
        tracing::error!(owner = %orphan.owner.pnode, "{} belongs to no recording", orphan.segment.id);
    }
    let core = Core {
        writers: BTreeMap::new(),
        head_written: slots.is_some(),
        slots: slots.into_iter().flatten().map(|slot| slot.is_some()).collect(),
        record_len,
        checkpoint_due: false,
        retained_at: None,
    };
    Ok(Opened { core, streams })
}

/// The places of the catalogue; `None` if nothing was ever recorded.
pub(crate) fn read_catalogue(log: &Log) -> Result<Option<Vec<Option<StreamRecord>>>, Error> {
    let damaged = |source| Error::Damaged { what: "the catalogue".to_owned(), source };
    let size = size_of(log, log.root())?.end;
    if size == 0 {
        return Ok(None);
    }
    let bytes = log.read_pnode(log.root(), 0, size as usize)?;
    let mut slots = bytes.chunks_exact(SLOT_LEN);
    let head = slots.next().ok_or_else(|| damaged(FormatError::Short { at: 0 }))?;
    catalogue::check_head(head).map_err(damaged)?;
    slots.map(|slot| StreamRecord::parse(slot).map_err(damaged)).collect::<Result<_, _>>().map(Some)
}

/// Where the content of a pnode begins and ends.
pub(crate) fn size_of(log: &Log, pnode: PnodeId) -> Result<Range<u64>, Error> {
    let info = log.pnode(pnode)?.ok_or(pegasus_log::LogError::NoPnode { pnode })?;
    Ok(info.front..info.size)
}

/// Numbers of the records in a pnode with records of `len` bytes.
pub(crate) fn records_of(log: &Log, pnode: PnodeId, len: usize) -> Result<Range<u64>, Error> {
    let size = size_of(log, pnode)?;
    Ok(size.start / len as u64..size.end / len as u64)
}

/// A stream as its directory and its spans tell.
pub(crate) fn load_stream(
    log: &Log,
    slot: u32,
    record: &StreamRecord,
    record_len: usize,
    recovered: &mut HashMap<SegmentId, Recovered>,
) -> Result<View, Error> {
    let span_records = records_of(log, record.spans, RECORD_LEN)?;
    let last_span = match span_records.end.checked_sub(1) {
        Some(last) if last >= span_records.start => {
            spans::read(log, record.spans, last..span_records.end)?.pop()
        }
        _ => None,
    };
    let mut view = View::new();
    view.catalogued = Some((slot, record.clone()));
    view.spans = Spans::new(span_records, last_span);
    view.segments = records_of(log, record.segments, record_len)?;
    let read = |index| read_segment(log, record, record_len, index);
    view.front = match view.segments.is_empty() {
        true => None,
        false => Some(read(view.segments.start)?),
    };
    load_end(log, record, &mut view, &read, recovered)?;
    Ok(view)
}

/// Finds where the recording ended: in the open segment, or behind the last sealed one.
fn load_end(
    log: &Log,
    record: &StreamRecord,
    view: &mut View,
    read: &dyn Fn(u64) -> Result<SegmentRecord, Error>,
    recovered: &mut HashMap<SegmentId, Recovered>,
) -> Result<(), Error> {
    for index in view.segments.clone().rev() {
        let last = read(index)?;
        match &last.state {
            State::Freed => continue,
            State::Sealed(sealed) | State::Out(sealed, _) => {
                view.end = Some(sealed.end);
                view.after = sealed.after;
            }
            State::Open => {
                let (entries, index) = match recovered.remove(&last.segment.id) {
                    Some(found) => {
                        let entries = entries_of(record, &found)?;
                        let index = index_of(log, record, &found, &entries);
                        (entries, index)
                    }
                    None => {
                        tracing::error!(stream = %record.name, "the log lost {}", last.segment.id);
                        (Vec::new(), None)
                    }
                };
                let before = view.spans.last().map(|span| span.end).into_iter();
                let ends = entries.iter().map(|entry| entry.head.end).chain(before);
                view.end = ends.max().or(Some(last.first));
                view.after = entries.last().map_or(last.before, |entry| entry.head.after());
                // What was said of its spans on disk stands: of these, some may have been deleted since.
                let known = view.spans.last().map_or(Totals::default(), |span| span.after);
                let later = entries.iter().filter(|entry| entry.head.after() > known);
                later.for_each(|entry| view.spans.extend(&entry.head));
                let mut open = OpenSegment::new(last);
                entries.into_iter().for_each(|entry| open.push(entry));
                open.index = index;
                view.open = Some(open);
            }
        }
        break;
    }
    // All of its segments were freed while it was being recorded: it goes on behind its last span.
    if let (None, Some(last)) = (view.end, view.spans.last()) {
        (view.end, view.after) = (Some(last.end), last.after);
    }
    Ok(())
}

/// The entries of a segment that was open, from the heads of its blocks. An outline that is longer than
/// what recovery hands over stays in its block.
fn entries_of(record: &StreamRecord, found: &Recovered) -> Result<Vec<Entry>, Error> {
    let mut entries: Vec<Entry> = Vec::with_capacity(found.blocks.len());
    for block in &found.blocks {
        let head = block::parse_head(&block.head, record.id).map_err(|source| {
            let (seq, id) = (block.map.seq, found.segment.id);
            Error::Damaged { what: format!("block {seq} of {id} of {}", record.name), source }
        })?;
        if let Some(head) = head {
            let mut outline = block::parse_outline(&block.head, record.id);
            let before = entries.last().and_then(|entry| entry.outline.as_ref());
            if let (Some(outline), Some(before)) = (&mut outline, before)
                && outline.tracks == before.tracks
            {
                outline.tracks = before.tracks.clone(); // one copy in memory
            }
            entries.push(Entry { map: block.map.clone(), head, outline });
        }
    }
    Ok(entries)
}

/// The index a segment ends with although it is open: there may be no room for another.
fn index_of(
    log: &Log,
    record: &StreamRecord,
    found: &Recovered,
    entries: &[Entry],
) -> Option<BlockMap> {
    let map = &found.blocks.last()?.map;
    if entries.last().is_some_and(|last| last.map.seq == map.seq) {
        return None;
    }
    let payload = log.read_block(map).ok()?;
    let indexed = index::parse(&payload, record.id, found.segment.id).ok()?;
    let same = indexed.iter().map(|entry| &entry.map).eq(entries.iter().map(|entry| &entry.map));
    same.then(|| map.clone())
}

/// Record number `index` of a stream's directory.
pub(crate) fn read_segment(
    log: &Log,
    record: &StreamRecord,
    record_len: usize,
    index: u64,
) -> Result<SegmentRecord, Error> {
    let bytes = log.read_pnode(record.segments, index * record_len as u64, record_len)?;
    SegmentRecord::parse(&bytes).map_err(|source| Error::Damaged {
        what: format!("record {index} of the directory of {}", record.name),
        source,
    })
}
