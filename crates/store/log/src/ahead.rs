//! Reading ahead in slots: blocks follow each other there, and only each of them tells where the next one begins.
//!
//! At recovery that would be two positionings for each transaction behind the checkpoint, and as many as there are columns for
//! each block of an open segment: many seconds with hard disks. Nothing is written meanwhile, so what was read ahead stays
//! true. How far it pays depends on the disks: as far as passes by while one gets to a place.

use std::collections::BTreeMap;

use pegasus_disk::{AlignedBuf, SECTOR};

use crate::array::{Array, Fragments, Probe};
use crate::format::fragment::{BlockHeader, FragmentHeader};
use crate::{DiskIndex, Extent, SegmentRef};

/// What is read of the log's slots at first, whatever the disks: it has to be read one behind the other.
const LOG_BYTES: usize = 256 << 10;
/// What is kept of all slots together.
const KEPT_BYTES: usize = 64 << 20;
/// Bytes a disk reads in a microsecond, or more.
const RATE_BYTES_PER_US: u64 = 100;

/// Reads from an array, a good deal more than was asked for each time.
pub(crate) struct Ahead<'a> {
    array: &'a Array,
    /// How much is read of a slot that was not read from before; and then.
    first_bytes: usize,
    more_bytes: usize,
    /// By disk and where the slot begins there.
    windows: BTreeMap<(DiskIndex, u64), Window>,
    kept_bytes: usize,
}

/// A part of a slot.
struct Window {
    offset: u64,
    buf: AlignedBuf,
}

impl Window {
    fn get(&self, offset: u64, len: usize) -> Option<&[u8]> {
        let from = usize::try_from(offset.checked_sub(self.offset)?).ok()?;
        self.buf.get(from..from.checked_add(len)?)
    }
}

impl<'a> Ahead<'a> {
    /// Along the log.
    pub(crate) fn in_log(array: &'a Array) -> Self {
        Self::new(array, LOG_BYTES, usize::MAX)
    }

    /// In many segments at the same time; in how many at most, for the memory.
    pub(crate) fn in_segments(array: &'a Array) -> (Self, usize) {
        let passes = array.read_time_us() * RATE_BYTES_PER_US / SECTOR as u64 * SECTOR as u64;
        let bytes = passes.clamp(SECTOR as u64, u64::from(array.geometry.unit_bytes)) as usize;
        let columns = usize::from(array.geometry.data + array.geometry.parity);
        (Self::new(array, bytes, bytes), (KEPT_BYTES / (bytes * columns)).max(1))
    }

    fn new(array: &'a Array, first_bytes: usize, more_bytes: usize) -> Self {
        Self { array, first_bytes, more_bytes, windows: BTreeMap::new(), kept_bytes: 0 }
    }

    /// As [`Array::probe_rows`].
    pub(crate) fn probe_rows(
        &mut self,
        places: &[Probe<'_>],
    ) -> Vec<Vec<(FragmentHeader, AlignedBuf)>> {
        self.array.probe_rows_by(places, |extents| self.read(extents))
    }

    /// As [`Array::read_row`].
    pub(crate) fn read_row(
        &mut self,
        segment: &SegmentRef,
        row: u32,
        sectors: u32,
        wanted: impl Fn(&BlockHeader) -> bool,
    ) -> Vec<Fragments> {
        let columns: Vec<usize> = (0..segment.columns.len()).collect();
        let array = self.array;
        array.read_columns_by(segment, &columns, row, sectors, wanted, |extents| self.read(extents))
    }

    /// As [`Array::read_extents`].
    fn read(&mut self, extents: &[(Extent, usize)]) -> Vec<Result<AlignedBuf, String>> {
        self.fetch(extents);
        let known = |(extent, len): &(Extent, usize)| {
            let window = self.windows.get(&(extent.disk, self.slot(*extent)?.0))?;
            Some(AlignedBuf::from_slice(window.get(extent.offset, *len)?))
        };
        let mut outcomes: Vec<_> = extents.iter().map(|extent| known(extent).map(Ok)).collect();
        // What can't be read with all that is behind it may be read alone.
        let lacking: Vec<usize> = (0..extents.len()).filter(|at| outcomes[*at].is_none()).collect();
        let alone: Vec<_> = lacking.iter().map(|at| extents[*at]).collect();
        for (at, outcome) in lacking.into_iter().zip(self.array.read_extents(&alone)) {
            outcomes[at] = Some(outcome);
        }
        outcomes.into_iter().map(|outcome| outcome.expect("all that lacked was read")).collect()
    }

    /// Reads what is not there of some extents, and ahead of them, all at the same time.
    fn fetch(&mut self, extents: &[(Extent, usize)]) {
        let mut wanted: BTreeMap<(DiskIndex, u64), (Extent, usize)> = BTreeMap::new();
        for (extent, len) in extents {
            let Some((slot, end)) = self.slot(*extent) else { continue };
            let key = (extent.disk, slot);
            let before = self.windows.get(&key);
            if before.is_some_and(|window| window.get(extent.offset, *len).is_some()) {
                continue;
            }
            let left = usize::try_from(end.saturating_sub(extent.offset)).unwrap_or(usize::MAX);
            let ahead = if before.is_some() { self.more_bytes } else { self.first_bytes };
            let ahead = ahead.max(*len).min(left);
            if ahead > *len {
                wanted.entry(key).or_insert((*extent, ahead));
            }
        }
        let places: Vec<_> = wanted.values().copied().collect();
        for ((key, (extent, _)), read) in wanted.into_iter().zip(self.array.read_extents(&places)) {
            let Ok(buf) = read else { continue };
            if self.kept_bytes + buf.len() > KEPT_BYTES {
                self.windows.clear();
                self.kept_bytes = 0;
            }
            self.kept_bytes += buf.len();
            let window = Window { offset: extent.offset, buf };
            if let Some(old) = self.windows.insert(key, window) {
                self.kept_bytes -= old.buf.len();
            }
        }
    }

    /// Where the slot begins that an extent is in, and where it ends.
    fn slot(&self, extent: Extent) -> Option<(u64, u64)> {
        let geometry = &self.array.geometry;
        let begin = extent.offset - u64::from(geometry.row_at(extent.offset)?) * SECTOR as u64;
        Some((begin, begin + u64::from(geometry.unit_bytes)))
    }
}
