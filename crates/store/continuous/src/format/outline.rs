//! What a block says of its units, without their data. The index of a segment repeats it for each of its
//! blocks, so that a long recording can be gone through unit by unit and no media is read.

use std::sync::Arc;

use bytes::Bytes;
use pegasus_media::TrackSet;

use super::block::{Contents, Head};
use super::bytes::FormatError;
use super::{table, tracks};

/// Larger ones stand in their block alone: what an index takes must have a bound, so that room for it
/// can be kept. A block of half a second has some hundred bytes.
pub(crate) const OUTLINE_BYTES_MAX: usize = 8 << 10;

/// The tracks of a block, and its table of units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outline {
    pub(crate) tracks: TrackSet,
    /// As it is coded in the block, which is never empty. Empty in memory where only the tracks are kept.
    pub(crate) table: Bytes,
}

impl Outline {
    /// A copy of both; `None` if they take more than [`OUTLINE_BYTES_MAX`].
    pub(crate) fn new(tracks: &TrackSet, table: &[u8]) -> Option<Self> {
        let fits = tracks::coded_len(tracks) + table.len() <= OUTLINE_BYTES_MAX;
        fits.then(|| Self { tracks: Arc::clone(tracks), table: Bytes::copy_from_slice(table) })
    }

    /// Gives up the table.
    pub(crate) fn forget_table(&mut self) {
        self.table = Bytes::new();
    }

    pub(crate) fn has_table(&self) -> bool {
        !self.table.is_empty()
    }

    /// What is in the block that has this `head`.
    pub(crate) fn contents(&self, head: &Head) -> Result<Contents, FormatError> {
        let rows = table::parse(&self.table, &head.holds, &self.tracks)?;
        Ok(Contents { head: *head, tracks: Arc::clone(&self.tracks), rows: rows.into() })
    }
}
