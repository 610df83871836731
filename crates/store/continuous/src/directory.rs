//! Reading a stream's directory: a page of records at a time, recently used pages kept.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use pegasus_base::PnodeId;
use pegasus_log::Log;

use crate::error::Error;
use crate::format::segment::SegmentRecord;

/// Records read at once.
const PAGE: u64 = 32;
/// Pages kept of each stream.
const PAGES_MAX: usize = 32;

/// A cache of records. Holds no lock while the log reads.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    cache: Mutex<Cache>,
}

#[derive(Debug, Default)]
struct Cache {
    pages: BTreeMap<u64, (u64, Arc<Vec<SegmentRecord>>)>,
    uses: u64,
    /// Counts changes: a page read before one and kept after it would be stale.
    changes: u64,
}

impl Directory {
    /// Record number `index` of the pnode `segments`, whose records have `record_len` bytes.
    ///
    /// # Errors
    /// If it can't be read. `None` if it is not there (any more).
    pub(crate) fn get(
        &self,
        log: &Log,
        segments: PnodeId,
        record_len: usize,
        index: u64,
    ) -> Result<Option<SegmentRecord>, Error> {
        let (page, place) = (index / PAGE, (index % PAGE) as usize);
        let changes = match self.cached(page) {
            Ok(records) => return Ok(records.get(place).cloned()),
            Err(changes) => changes,
        };
        let records = Arc::new(read_page(log, segments, record_len, page)?);
        let record = records.get(place).cloned();
        let mut cache = self.cache.lock();
        if cache.changes == changes {
            cache.keep(page, records);
        }
        Ok(record)
    }

    fn cached(&self, page: u64) -> Result<Arc<Vec<SegmentRecord>>, u64> {
        let mut cache = self.cache.lock();
        cache.uses += 1;
        let (uses, changes) = (cache.uses, cache.changes);
        let (used, records) = cache.pages.get_mut(&page).ok_or(changes)?;
        *used = uses;
        Ok(records.clone())
    }

    /// Record number `index` has changed or was added.
    pub(crate) fn changed(&self, index: u64) {
        let mut cache = self.cache.lock();
        cache.changes += 1;
        cache.pages.remove(&(index / PAGE));
    }

    /// All records are gone.
    pub(crate) fn clear(&self) {
        let mut cache = self.cache.lock();
        cache.changes += 1;
        cache.pages.clear();
    }
}

impl Cache {
    fn keep(&mut self, page: u64, records: Arc<Vec<SegmentRecord>>) {
        if self.pages.len() >= PAGES_MAX {
            let oldest =
                self.pages.iter().min_by_key(|(_, (used, _))| *used).map(|(&page, _)| page);
            oldest.and_then(|page| self.pages.remove(&page));
        }
        self.pages.insert(page, (self.uses, records));
    }
}

/// Reads a page. Records that were trimmed away are there as freed ones, so that places stay right.
fn read_page(
    log: &Log,
    segments: PnodeId,
    record_len: usize,
    page: u64,
) -> Result<Vec<SegmentRecord>, Error> {
    let offset = page * PAGE * record_len as u64;
    let bytes = log.read_pnode(segments, offset, PAGE as usize * record_len)?;
    let record = |bytes: &[u8]| match SegmentRecord::parse(bytes) {
        Ok(record) => Ok(record),
        Err(_) if bytes.iter().all(|&byte| byte == 0) => Ok(SegmentRecord::trimmed()),
        Err(source) => Err(Error::Damaged { what: format!("the directory in {segments}"), source }),
    };
    bytes.chunks_exact(record_len).map(record).collect()
}
