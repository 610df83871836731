//! The offline check: every byte the log knows of, and every slot accounted for.

use bytes::Bytes;

use crate::{BlockMap, Log, SegmentRef};

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct CheckReport {
    /// Whether everything is as it should be.
    pub ok: bool,
    /// Segments looked at, of the log and of recordings.
    pub segments_read: u64,
    /// Units verified, as counted by the owner of the continuous segments.
    pub units_verified: u64,
    /// What is wrong, a sentence each, naming disk and offset where it can.
    pub problems: Vec<String>,
}

/// Checks a log that nobody writes to. The log's own part is done by [`Checker::new`]; then the owner of
/// continuous segments claims each of them and has its blocks verified; [`Checker::finish`] tells of
/// slots that nobody claimed.
#[derive(Debug)]
pub struct Checker<'a> {
    log: &'a Log,
}

impl<'a> Checker<'a> {
    /// Verifies superblocks, checkpoint, log segments, garbage file and pnodes.
    #[must_use]
    pub fn new(log: &'a Log) -> Self {
        Self { log }
    }

    /// Says that `segment` is in use, by `who` (for messages). Reports slots that are marked free or
    /// claimed twice.
    pub fn claim(&mut self, segment: &SegmentRef, who: &str) {
        unimplemented!("{segment:?} {who} {:p}", self.log)
    }

    /// Verifies every fragment of a block, and its parity. Returns the payload if it can be read at all.
    pub fn block(&mut self, map: &BlockMap, who: &str) -> Option<Bytes> {
        unimplemented!("{map:?} {who}")
    }

    /// Adds what the owner found wrong.
    pub fn problem(&mut self, sentence: String) {
        unimplemented!("{sentence}")
    }

    /// Counts units the owner verified.
    pub fn units_verified(&mut self, units: u64) {
        unimplemented!("{units}")
    }

    /// Accounts for all slots and sums up.
    #[must_use]
    pub fn finish(self) -> CheckReport {
        unimplemented!()
    }
}
