//! Reading ahead what a batch of many small writes needs to know.
//!
//! Who writes a part of a content block has to know the rest. A batch asks for it block by block, holding the writer's
//! lock, so that a thousand small writes at random would wait for a disk a thousand times, and everybody else with them. What
//! was read ahead, many pieces at a time and with no lock, a batch finds here. A piece's address says which segment
//! it is in, whose number is never used again: what was read at it is right for ever.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use pegasus_base::PnodeId;

use crate::format::pnode::{CONTENT_BYTES, LogAddr};
use crate::{Batch, Log};

/// Pieces read ahead of one batch at most: 128 MiB of content blocks.
const PIECES_MAX: usize = 8192;
/// So many blocks changed in part are worth being placed.
const MERGED_MIN: usize = 64;
/// Pieces asked for at the same time.
const AT_ONCE: usize = 256;

/// Pieces that were read ahead.
#[derive(Debug, Default)]
pub struct Preloaded(BTreeMap<LogAddr, Vec<u8>>);

impl Log {
    /// Reads those content blocks of which these ranges of pnodes cover a part, as they are committed now. What can't be
    /// read, or changes meanwhile, the batch reads for itself.
    ///
    /// Waits for the disks, which are asked for many pieces at a time; keeps up to 128 MiB.
    pub fn preload(&self, ranges: impl IntoIterator<Item = (PnodeId, Range<u64>)>) -> Preloaded {
        let mut wanted = BTreeSet::new();
        for (pnode, range) in ranges {
            if wanted.len() >= PIECES_MAX {
                break;
            }
            let partly = partly_covered(&range);
            if partly.iter().all(Option::is_none) {
                continue;
            }
            let Ok(Some(found)) = self.find_pnode(pnode) else { continue };
            for block in partly.into_iter().flatten() {
                wanted.extend(found.stored(block, &|addr| self.load(addr)).ok().flatten());
            }
        }
        self.fetch(wanted)
    }

    /// Reads all content blocks of a range at once, if they are more than one.
    pub(crate) fn read_ahead(&self, pnode: PnodeId, range: Range<u64>) -> Preloaded {
        let content = CONTENT_BYTES as u64;
        let blocks = range.start / content..range.end.div_ceil(content);
        let count = blocks.end.saturating_sub(blocks.start);
        let mut wanted = BTreeSet::new();
        if (2..=PIECES_MAX as u64).contains(&count)
            && let Ok(Some(found)) = self.find_pnode(pnode)
        {
            let stored = |block| found.stored(block, &|addr| self.load(addr)).ok().flatten();
            wanted.extend(blocks.filter_map(stored));
        }
        self.fetch(wanted)
    }

    fn fetch(&self, wanted: BTreeSet<LogAddr>) -> Preloaded {
        let wanted: Vec<LogAddr> = wanted.into_iter().collect();
        let mut found = BTreeMap::new();
        for addrs in wanted.chunks(AT_ONCE) {
            let segments = {
                let shared = self.shared.read();
                let segment = |addr: &LogAddr| shared.log_segments.get(&addr.segment);
                let known = addrs.iter().filter_map(|addr| Some((*addr, segment(addr)?)));
                known.map(|(addr, log)| (addr, log.segment.clone())).collect::<Vec<_>>()
            };
            found.extend(self.array.read_pieces(&segments));
        }
        Preloaded(found)
    }
}

/// The first and the last content block of a range, where it covers only a part of them.
fn partly_covered(range: &Range<u64>) -> [Option<u64>; 2] {
    let content = CONTENT_BYTES as u64;
    let (first, last) = (range.start / content, range.end / content);
    let begins = !range.start.is_multiple_of(content);
    let ends = !range.end.is_multiple_of(content) && (last != first || !begins);
    [begins.then_some(first), ends.then_some(last)]
}

impl Batch<'_> {
    /// Has it find here what was read ahead. If that is many blocks, then those that it changes in part are not logged but
    /// placed with what else is in them: written once with parity, they cost half of what a change in the log costs and
    /// a copy of the block by the next checkpoint.
    pub fn use_preloaded(&mut self, preloaded: Preloaded) {
        self.merges = preloaded.0.len() >= MERGED_MIN;
        self.preloaded = preloaded;
    }
}

impl Preloaded {
    pub(crate) fn get(&self, addr: &LogAddr) -> Option<&Vec<u8>> {
        self.0.get(addr)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_blocks_covered_in_part_are_read() {
        let block = CONTENT_BYTES as u64;
        assert_eq!(partly_covered(&(0..block)), [None, None]);
        assert_eq!(partly_covered(&(0..10)), [None, Some(0)]);
        assert_eq!(partly_covered(&(5..10)), [Some(0), None]);
        assert_eq!(partly_covered(&(5..block)), [Some(0), None]);
        assert_eq!(partly_covered(&(block - 1..2 * block + 1)), [Some(0), Some(2)]);
        assert_eq!(partly_covered(&(block..3 * block + 4096)), [None, Some(3)]);
    }
}
