//! Where a pnode's content is, and making it nothing again.

use std::ops::Range;

use super::{CONTENT, LEAF_BLOCKS, Leaf, Pnode, leaf_of};
use crate::LogError;
use crate::format::pnode::LeafAddrs;
use crate::pnodes::Load;

impl Pnode {
    /// Makes a range zeros, as far as the content goes. Blocks that hold nothing else are given up.
    pub(crate) fn punch(&mut self, range: Range<u64>, load: Load<'_>) -> Result<(), LogError> {
        let (start, end) = (range.start.max(self.front), range.end.min(self.size));
        if start >= end {
            return Ok(());
        }
        // Behind the end nothing is kept: the last block counts as whole.
        let upto = if end == self.size { end.next_multiple_of(CONTENT) } else { end };
        let (first, last) = (start.div_ceil(CONTENT), upto / CONTENT);
        if first > last {
            self.blank(start / CONTENT, start..end, load)?;
        } else {
            if start < first * CONTENT {
                self.blank(first - 1, start..first * CONTENT, load)?;
            }
            if last * CONTENT < end {
                self.blank(last, last * CONTENT..end, load)?;
            }
            self.remove(first..last, load)?;
        }
        self.version += 1;
        Ok(())
    }

    /// Makes a part of one block zeros.
    fn blank(&mut self, block: u64, part: Range<u64>, load: Load<'_>) -> Result<(), LogError> {
        let content = self.block(block, load)?;
        let place = |at: u64| content.len().min((at - block * CONTENT) as usize);
        let within = place(part.start)..place(part.end);
        let is_nothing = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
        // Nobody sees what was trimmed.
        let front = place(self.front.clamp(block * CONTENT, part.start));
        if is_nothing(&content[front..within.start]) && is_nothing(&content[within.end..]) {
            return self.remove(block..block + 1, load);
        }
        if !is_nothing(&content[within.clone()]) {
            let mut content = Vec::from(content);
            content[within].fill(0);
            self.changed.insert(block, content.into());
        }
        Ok(())
    }

    /// The first bytes from `offset` on that a block is kept for; there may be more right behind them.
    pub(crate) fn content_from(
        &self,
        offset: u64,
        load: Load<'_>,
    ) -> Result<Option<Range<u64>>, LogError> {
        let start = offset.max(self.front);
        let Some(first) = self.kept_from(start / CONTENT, load)? else { return Ok(None) };
        let leaf_end = (first / LEAF_BLOCKS + 1) * LEAF_BLOCKS;
        let mut end = first + 1;
        while end < leaf_end && self.is_kept(end, load)? {
            end += 1;
        }
        let range = start.max(first * CONTENT)..self.size.min(end * CONTENT);
        Ok(Some(range).filter(|range| !range.is_empty()))
    }

    /// The first block from `block` on that is kept.
    fn kept_from(&self, block: u64, load: Load<'_>) -> Result<Option<u64>, LogError> {
        let changed = self.changed.range(block..).next().map(|(block, _)| *block);
        if block >= self.size.div_ceil(CONTENT) {
            return Ok(None);
        }
        for (number, leaf) in self.leaves.range(leaf_of(block)..) {
            let base = u64::from(*number) * LEAF_BLOCKS;
            if changed.is_some_and(|changed| changed < base) {
                break;
            }
            if let Some(place) = first_in(leaf, block.saturating_sub(base) as usize, load)? {
                let found = base + place as u64;
                return Ok(Some(changed.map_or(found, |changed| changed.min(found))));
            }
        }
        Ok(changed)
    }

    fn is_kept(&self, block: u64, load: Load<'_>) -> Result<bool, LogError> {
        Ok(self.changed.contains_key(&block) || self.addr_of(block, load)?.is_some())
    }
}

/// The first place of a leaf, from `from` on, with an address.
fn first_in(leaf: &Leaf, from: usize, load: Load<'_>) -> Result<Option<usize>, LogError> {
    let addrs = &leaf.get(load, LeafAddrs::parse)?.0;
    Ok((from..addrs.len()).find(|place| addrs[*place].is_some()))
}
