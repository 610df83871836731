//! Indexes of sealed segments, read when needed, recently used ones kept.

use std::collections::HashMap;
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

/// A cache of indexes.
#[derive(Debug, Default)]
pub(crate) struct Indexes {
    cache: Mutex<Cache>,
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
        let mut entries = read(log, stream, record)?;
        // Only who goes through all of them wants the tables, and only once.
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

    /// Forgets a segment that is out.
    pub(crate) fn forget(&self, id: SegmentId) {
        self.cache.lock().kept.remove(&id);
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
    let id = record.segment.id;
    let State::Sealed(sealed) = &record.state else {
        return Err(Error::Deleted { name: stream.name.clone(), at: record.first });
    };
    let Some(map) = &sealed.index else {
        return Err(Error::Unindexed { name: stream.name.clone(), segment: id });
    };
    let payload = log.read_block(map)?;
    index::parse(&payload, stream.id, id).map_err(|source| Error::Damaged {
        what: format!("the index of {id} of {}", stream.name),
        source,
    })
}
