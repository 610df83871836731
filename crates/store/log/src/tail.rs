//! Where what counts in a log segment or a content segment ends.
//!
//! A crash may leave a block at the end of a segment that was never made whole, and that nothing refers to. The
//! log has gone on elsewhere since. What is left of it is no damage.

use crate::array::Probe;
use crate::format::fragment::SegmentKind;
use crate::format::record::{Record, parse_payload};
use crate::scan::{Sighting, sight};
use crate::{Log, SegmentRef};

impl Log {
    /// Whether block `seq` is behind all that counts in the log segment. False if it is none, or if that
    /// can't be read.
    pub(crate) fn is_behind_records(&self, segment: &SegmentRef, seq: u32) -> bool {
        let counted = self.shared.read().log_segments.get(&segment.id).map(|log| log.written_bytes);
        let Some(counted) = counted else { return false };
        let (mut row, mut bytes) = (0, 0);
        for before in 0..seq {
            let probe = Probe { segment, row, column: None };
            let found = self.array.probe_rows(&[probe]).pop().unwrap_or_default();
            let is_next = |header: &crate::format::fragment::BlockHeader| {
                header.kind != SegmentKind::Void && header.seq == before
            };
            let mut sightings = sight(found, is_next).0.into_iter();
            let Some(sighting) = sightings.find(Sighting::is_enough) else { return false };
            let map = self.array.map_of(&sighting.header, &segment.columns);
            let Ok(payload) = self.array.read_block(&map) else { return false };
            let Some((_, records)) = parse_payload(&payload) else { return false };
            bytes += record_bytes(&records);
            row += sighting.header.sectors;
        }
        bytes >= counted
    }
}

/// Bytes of records as a segment's accounts count them.
pub(crate) fn record_bytes(records: &[Record]) -> u64 {
    let counted = records.iter().filter(|record| !matches!(record, Record::NextSegment { .. }));
    counted.map(|record| record.emit().len() as u64).sum()
}
