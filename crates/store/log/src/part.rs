//! Reading a part of a block: only the fragments that hold it, where these can be had at once.

use std::ops::Range;

use bytes::{Bytes, BytesMut};

use crate::array::Array;
use crate::format::fragment::HEADER_BYTES;
use crate::patience::Fitness;
use crate::reading::Reading;
use crate::{BlockMap, Log, LogError};

impl Log {
    /// Reads the bytes `range` of a block's payload, verified. Costs the fragments they lie in; where one of
    /// these is bad, or its disk slow or dead, all that [`Log::read_block`] costs.
    ///
    /// # Errors
    /// [`LogError::Block`]; also if the payload does not reach so far.
    pub fn read_block_part(&self, map: &BlockMap, range: Range<usize>) -> Result<Bytes, LogError> {
        self.array.read_block_part(map, range)
    }
}

impl Array {
    fn read_block_part(&self, map: &BlockMap, range: Range<usize>) -> Result<Bytes, LogError> {
        if range.start > range.end || range.end > map.payload_bytes as usize {
            let why = format!("its payload has no bytes {} to {}", range.start, range.end);
            return Err(LogError::Block { map: Box::new(map.clone()), why });
        }
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let mut reading = Reading::new(self, map)?;
        let held = fragments_of(map, &range);
        reading.fetch(true, |at, fitness| held.contains(&at) && fitness == Fitness::Quick);
        match part(&reading, map, &range) {
            Some(part) => Ok(part),
            None => Ok(self.read_block(map)?.slice(range)),
        }
    }
}

/// The data fragments in which `range` of the payload lies.
fn fragments_of(map: &BlockMap, range: &Range<usize>) -> Range<usize> {
    let slice = slice_bytes(map);
    range.start / slice..range.end.div_ceil(slice)
}

/// Bytes of the payload in each fragment.
fn slice_bytes(map: &BlockMap) -> usize {
    (map.fragment_bytes as usize).saturating_sub(HEADER_BYTES).max(1)
}

/// The range put together, if all fragments it lies in were read.
fn part(reading: &Reading<'_>, map: &BlockMap, range: &Range<usize>) -> Option<Bytes> {
    let slice = slice_bytes(map);
    let mut out = BytesMut::with_capacity(range.len());
    for at in fragments_of(map, range) {
        let data = reading.data(at)?.get(HEADER_BYTES..)?;
        let start = range.start.saturating_sub(at * slice);
        let end = (range.end - at * slice).min(slice);
        out.extend_from_slice(data.get(start..end)?);
    }
    Some(out.freeze())
}
