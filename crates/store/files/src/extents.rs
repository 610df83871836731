//! What a file borrows: runs of blocks of other pnodes' content.
//!
//! Counted in blocks of the log's content, which are kept or given up whole.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use pegasus_log::Log;

use crate::Ino;
use crate::format::Fields;
use crate::page::PAGE;

/// Bytes of a block.
pub(crate) const BLOCK: u64 = Log::CONTENT_BYTES as u64;
/// Pages of a block.
pub(crate) const BLOCK_PAGES: u64 = BLOCK / PAGE as u64;
/// Most extents that stand in an inode's attributes.
pub(crate) const EXTENTS_INLINE: usize = 16;
/// Nothing more is borrowed by a file with so many.
pub(crate) const EXTENTS_MAX: usize = 32 << 10;
/// From so many on a file takes larger pieces for its own, so that they do not become many more.
const EXTENTS_MANY: usize = 8 << 10;
const BLOCKS_OF_MANY: u64 = 64;

/// A run of borrowed blocks, apart from where it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) count: u64,
    /// Whose content it is.
    pub(crate) body: Ino,
    /// The first block there.
    pub(crate) at: u64,
}

impl Run {
    fn skip(self, blocks: u64) -> Self {
        Self { count: self.count - blocks, at: self.at + blocks, ..self }
    }

    /// The blocks of the body.
    pub(crate) fn blocks(self) -> Range<u64> {
        self.at..self.at + self.count
    }
}

/// All that a file borrows, by its own blocks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extents(BTreeMap<u64, Run>);

impl Extents {
    /// Bytes of one on disk.
    #[cfg(test)]
    pub(crate) const ONE_BYTES: usize = 20;

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// In order, each with the file's block it begins at.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, Run)> {
        self.0.iter().map(|(first, run)| (*first, *run))
    }

    /// What is borrowed from `block` on, if it is borrowed.
    pub(crate) fn find(&self, block: u64) -> Option<Run> {
        let (first, run) = self.0.range(..=block).next_back()?;
        (block - first < run.count).then(|| run.skip(block - first))
    }

    /// The first borrowed block behind `block`.
    pub(crate) fn next(&self, block: u64) -> Option<u64> {
        self.0.range(block + 1..).next().map(|(first, _)| *first)
    }

    /// What is borrowed of a range.
    pub(crate) fn within(&self, range: Range<u64>) -> Vec<(u64, Run)> {
        let begins = self.0.range(..range.start).next_back().into_iter();
        begins
            .chain(self.0.range(range.clone()))
            .filter_map(|(first, run)| {
                let from = range.start.max(*first);
                let to = range.end.min(first + run.count);
                let part =
                    Run { at: run.at + (from - first), count: to.saturating_sub(from), ..*run };
                (part.count > 0).then_some((from, part))
            })
            .collect()
    }

    /// What is not borrowed of a range.
    pub(crate) fn gaps(&self, range: Range<u64>) -> Vec<Range<u64>> {
        let mut at = range.start;
        let mut gaps = Vec::new();
        for (first, run) in self.within(range.clone()) {
            if at < first {
                gaps.push(at..first);
            }
            at = first + run.count;
        }
        if at < range.end {
            gaps.push(at..range.end);
        }
        gaps
    }

    /// Takes a range out; what it was.
    pub(crate) fn cut(&mut self, range: Range<u64>) -> Vec<Run> {
        let gone = self.within(range.clone());
        for (first, part) in &gone {
            let (start, whole) = self.0.range(..=*first).next_back().expect("it was found there");
            let (start, whole) = (*start, *whole);
            self.0.remove(&start);
            let end = first + part.count;
            if start < *first {
                self.0.insert(start, Run { count: first - start, ..whole });
            }
            if end < start + whole.count {
                self.0.insert(end, whole.skip(end - start));
            }
        }
        gone.into_iter().map(|(_, run)| run).collect()
    }

    /// Enters a run where nothing is borrowed.
    pub(crate) fn insert(&mut self, first: u64, mut run: Run) {
        debug_assert!(self.within(first..first + run.count).is_empty(), "nothing is there");
        let mut start = first;
        if let Some((before, left)) = self.0.range(..first).next_back() {
            let joins = before + left.count == first && left.body == run.body;
            if joins && left.at + left.count == run.at {
                (start, run.at, run.count) = (*before, left.at, left.count + run.count);
            }
        }
        if let Some(right) = self.0.get(&(start + run.count)).copied()
            && right.body == run.body
            && run.at + run.count == right.at
        {
            self.0.remove(&(start + run.count));
            run.count += right.count;
        }
        self.0.insert(start, run);
    }

    /// Everyone who lends.
    pub(crate) fn bodies(&self) -> BTreeSet<Ino> {
        self.0.values().map(|run| run.body).collect()
    }

    pub(crate) fn refers_to(&self, body: Ino) -> bool {
        self.0.values().any(|run| run.body == body)
    }

    /// The blocks of `range` of a body that are not borrowed here.
    pub(crate) fn unused(&self, body: Ino, range: Range<u64>) -> Vec<Range<u64>> {
        let mut used: Vec<Range<u64>> =
            self.0.values().filter(|run| run.body == body).map(|run| run.blocks()).collect();
        used.sort_by_key(|blocks| blocks.start);
        let (mut at, mut unused) = (range.start, Vec::new());
        for blocks in used {
            if at < blocks.start.min(range.end) {
                unused.push(at..blocks.start.min(range.end));
            }
            at = at.max(blocks.end);
        }
        if at < range.end {
            unused.push(at..range.end);
        }
        unused
    }

    /// The blocks a file takes for its own when `range` of its bytes is written.
    pub(crate) fn blocks_of(&self, range: &Range<u64>) -> Range<u64> {
        let blocks = if self.len() < EXTENTS_MANY { 1 } else { BLOCKS_OF_MANY };
        let unit = blocks * BLOCK;
        let end = range.end.div_ceil(unit).saturating_mul(blocks);
        range.start / unit * blocks..end
    }

    pub(crate) fn emit(&self, out: &mut Vec<u8>) {
        for (first, run) in &self.0 {
            for number in [*first, run.count, run.at] {
                out.extend((number as u32).to_le_bytes()); // a file has at most 2^32 blocks
            }
            out.extend(run.body.0.to_le_bytes());
        }
    }

    /// So many extents; `None` if they are not in order.
    pub(crate) fn parse(fields: &mut Fields<'_>, count: usize) -> Option<Self> {
        let (mut extents, mut end) = (BTreeMap::new(), 0);
        for _ in 0..count {
            let mut number = || fields.u32().map(u64::from);
            let (first, count, at) = (number()?, number()?, number()?);
            let body = Ino(fields.u64()?);
            if first < end || count == 0 || body == Ino(0) {
                return None;
            }
            end = first + count;
            extents.insert(first, Run { count, body, at });
        }
        Some(Self(extents))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_is_a_table_of_blocks(
            steps in prop::collection::vec((0_u64..60, 1_u64..12, 0_u64..40, 0_u64..3), 0..30),
        ) {
            let mut extents = Extents::default();
            let mut plain: Vec<Option<(Ino, u64)>> = vec![None; 80];
            for (first, count, at, body) in steps {
                let range = first as usize..(first + count) as usize;
                let had: Vec<_> = plain[range.clone()].iter().flatten().copied().collect();
                let cut = extents.cut(first..first + count);
                let gone: Vec<_> =
                    cut.iter().flat_map(|run| run.blocks().map(|at| (run.body, at))).collect();
                prop_assert_eq!(gone, had);
                plain[range].fill(None);
                if body > 0 {
                    extents.insert(first, Run { count, body: Ino(body), at });
                    for block in 0..count {
                        plain[(first + block) as usize] = Some((Ino(body), at + block));
                    }
                }
            }
            for block in 0..80 {
                let found = extents.find(block).map(|run| (run.body, run.at));
                prop_assert_eq!(found, plain[block as usize], "block {}", block);
            }
            let gaps: Vec<u64> = extents.gaps(0..80).into_iter().flatten().collect();
            let free: Vec<u64> = (0..80).filter(|at| plain[*at as usize].is_none()).collect();
            prop_assert_eq!(gaps, free);
            let unused: Vec<u64> = extents.unused(Ino(1), 0..60).into_iter().flatten().collect();
            let rest: Vec<u64> = (0..60).filter(|at| !plain.contains(&Some((Ino(1), *at)))).collect();
            prop_assert_eq!(unused, rest);
            let mut bytes = Vec::new();
            extents.emit(&mut bytes);
            let parsed = Extents::parse(&mut Fields(&bytes), extents.len());
            prop_assert_eq!(parsed, Some(extents));
        }
    }
}
