//! Indexes of sealed segments, read when needed, recently used ones kept.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use pegasus_log::{Log, SegmentId};

use crate::error::Error;
use crate::format::index::{self, Entry};
use crate::format::outline::Outline;
use crate::format::segment::{SegmentRecord, State};
use crate::stream::Stream;

/// Indexes kept: some MiB. Each playback that is promised has two at least.
const KEPT_MAX: usize = 1024;

/// Bytes of indexes kept with their tables: for who goes through what he was just admitted for, and who comes through a segment picture by picture.
const WHOLE_BYTES_MAX: usize = 16 << 20;

/// A cache of indexes.
#[derive(Debug, Default)]
pub(crate) struct Indexes {
    cache: Mutex<Cache>,
    whole: Mutex<Whole>,
}

/// Indexes with their tables, and how long they are; the one used last comes last.
#[derive(Debug, Default)]
struct Whole {
    kept: VecDeque<(SegmentId, usize, Arc<[Entry]>)>,
    bytes: usize,
}

impl Whole {
    fn get(&mut self, id: SegmentId) -> Option<Arc<[Entry]>> {
        let at = self.kept.iter().position(|(kept, ..)| *kept == id)?;
        let found = self.kept.remove(at)?;
        let entries = found.2.clone();
        self.kept.push_back(found);
        Some(entries)
    }

    fn keep(&mut self, id: SegmentId, bytes: usize, entries: Arc<[Entry]>) {
        self.forget(id);
        self.bytes += bytes;
        self.kept.push_back((id, bytes, entries));
        while self.bytes > WHOLE_BYTES_MAX {
            let Some((_, bytes, _)) = self.kept.pop_front() else { break };
            self.bytes -= bytes;
        }
    }

    fn forget(&mut self, id: SegmentId) {
        let at = self.kept.iter().position(|(kept, ..)| *kept == id);
        if let Some((_, bytes, _)) = at.and_then(|at| self.kept.remove(at)) {
            self.bytes -= bytes;
        }
    }
}

#[derive(Debug, Default)]
struct Cache {
    kept: HashMap<SegmentId, (u64, Arc<[Entry]>)>,
    uses: u64,
}

impl Indexes {
    /// The entries of a sealed segment, without their tables.
    ///
    /// # Errors
    /// If its index can't be read.
    pub(crate) fn get(
        &self,
        log: &Log,
        stream: &Stream,
        record: &SegmentRecord,
    ) -> Result<Arc<[Entry]>, Error> {
        let id = record.segment.id;
        if let Some(entries) = self.cached(id) {
            return Ok(entries);
        }
        let (mut entries, bytes) = read_sized(log, stream, record)?;
        // Only who goes through all of them wants the tables, and soon: often the one who is admitted now.
        self.whole.lock().keep(id, bytes, entries.clone().into());
        entries
            .iter_mut()
            .filter_map(|entry| entry.outline.as_mut())
            .for_each(Outline::forget_table);
        let entries: Arc<[Entry]> = entries.into();
        let mut cache = self.cache.lock();
        if cache.kept.len() >= KEPT_MAX {
            let oldest = cache.kept.iter().min_by_key(|(_, (used, _))| *used).map(|(&id, _)| id);
            oldest.and_then(|id| cache.kept.remove(&id));
        }
        let uses = cache.uses;
        cache.kept.insert(id, (uses, entries.clone()));
        Ok(entries)
    }

    /// The entries of a sealed segment, with their tables. They are kept a while if that `keeps` them.
    ///
    /// # Errors
    /// If its index can't be read.
    pub(crate) fn whole(
        &self,
        log: &Log,
        stream: &Stream,
        record: &SegmentRecord,
        keeps: bool,
    ) -> Result<Arc<[Entry]>, Error> {
        let id = record.segment.id;
        if let Some(entries) = self.whole.lock().get(id) {
            return Ok(entries);
        }
        let (entries, bytes) = read_sized(log, stream, record)?;
        let entries: Arc<[Entry]> = entries.into();
        if keeps {
            self.whole.lock().keep(id, bytes, entries.clone());
        }
        Ok(entries)
    }

    /// Forgets a segment that is out.
    pub(crate) fn forget(&self, id: SegmentId) {
        self.cache.lock().kept.remove(&id);
        self.whole.lock().forget(id);
    }

    fn cached(&self, id: SegmentId) -> Option<Arc<[Entry]>> {
        let mut cache = self.cache.lock();
        cache.uses += 1;
        let uses = cache.uses;
        let (used, entries) = cache.kept.get_mut(&id)?;
        *used = uses;
        Some(entries.clone())
    }
}

/// Reads the index of a sealed segment from disk, with the outlines.
///
/// # Errors
/// If it can't be read.
pub(crate) fn read(
    log: &Log,
    stream: &Stream,
    record: &SegmentRecord,
) -> Result<Vec<Entry>, Error> {
    read_sized(log, stream, record).map(|(entries, _)| entries)
}

/// As [`read`], and how many bytes it has.
fn read_sized(
    log: &Log,
    stream: &Stream,
    record: &SegmentRecord,
) -> Result<(Vec<Entry>, usize), Error> {
    let id = record.segment.id;
    let State::Sealed(sealed) = &record.state else {
        return Err(Error::Deleted { name: stream.name.clone(), at: record.first });
    };
    let Some(map) = &sealed.index else {
        return Err(Error::Unindexed { name: stream.name.clone(), segment: id });
    };
    let payload = log.read_block(map)?;
    let entries = index::parse(&payload, stream.id, id).map_err(|source| Error::Damaged {
        what: format!("the index of {id} of {}", stream.name),
        source,
    })?;
    Ok((entries, payload.len()))
}
