//! What is sealed, as the log has it at the moment: for passes over everything alive.
//!
//! Nothing that is kept in memory is asked: a segment's record and its slots change in one commit, so that
//! what is read here is listed only while it is alive.

use pegasus_base::PnodeId;
use pegasus_log::{Listed, Log, LogError, Owners, Position};

use crate::format::segment::{SegmentRecord, State};
use crate::open::{read_catalogue, records_of};

/// Records looked at in one go.
const RECORDS: u64 = 32;

/// The directories of all streams, in the order of their pnodes.
pub(crate) struct Directories {
    /// Bytes of a record.
    pub(crate) record_len: usize,
}

impl Owners for Directories {
    fn list(&self, log: &Log, from: Position) -> Result<(Vec<Listed>, Option<Position>), LogError> {
        let damaged = |error: crate::Error| match error {
            crate::Error::Log(error) => error,
            error => LogError::Damaged { what: "the catalogue".to_owned(), why: error.to_string() },
        };
        let catalogue = read_catalogue(log).map_err(damaged)?.unwrap_or_default();
        let behind = catalogue.iter().flatten().filter(|stream| stream.segments.0 >= from.list);
        let Some(stream) = behind.min_by_key(|stream| stream.segments.0) else {
            return Ok((Vec::new(), None));
        };
        let (list, whose) = (stream.segments.0, stream.name.as_str());
        let next_list = Some(Position { list: list + 1, record: 0 });
        let pnode = PnodeId(list);
        if log.pnode(pnode)?.is_none() {
            return Ok((Vec::new(), next_list)); // deleted meanwhile
        }
        let records = records_of(log, pnode, self.record_len).map_err(damaged)?;
        let wanted = if list == from.list { from.record } else { 0 };
        let first = records.start.max(wanted);
        let end = records.end.min(first + RECORDS);
        if first >= end {
            return Ok((Vec::new(), next_list));
        }
        let len = (end - first) as usize * self.record_len;
        let bytes = log.read_pnode(pnode, first * self.record_len as u64, len)?;
        let listed =
            bytes.chunks_exact(self.record_len).filter_map(|record| listed(pnode, whose, record));
        let next = match end < records.end {
            true => Some(Position { list, record: end }),
            false => next_list,
        };
        Ok((listed.collect(), next))
    }
}

/// The segment of a record, if it is sealed.
fn listed(pnode: PnodeId, whose: &str, bytes: &[u8]) -> Option<Listed> {
    if bytes.iter().all(|byte| *byte == 0) {
        return None; // trimmed away meanwhile
    }
    let record = match SegmentRecord::parse(bytes) {
        Ok(record) => record,
        Err(error) => {
            tracing::error!("a record of the directory in {pnode} is passed over: {error}");
            return None;
        }
    };
    let State::Sealed(sealed) = record.state else { return None };
    let index = sealed.index.filter(|index| index.segment == record.segment.id);
    let whose = whose.to_owned();
    Some(Listed { last: index.map(|index| index.seq), segment: record.segment, whose })
}
