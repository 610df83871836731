//! A pnode's map: where its blocks are, taking them out of it, and letting them move.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::{LEAF_BLOCKS, Leaf, Pnode};
use crate::LogError;
use crate::format::pnode::{LeafAddrs, LogAddr};
use crate::pnodes::Load;

impl Pnode {
    pub(super) fn addr_of(&self, block: u64, load: Load<'_>) -> Result<Option<LogAddr>, LogError> {
        match self.leaves.get(&leaf_of(block)) {
            Some(leaf) => Ok(leaf.get(load, LeafAddrs::parse)?.0[(block % LEAF_BLOCKS) as usize]),
            None => Ok(None),
        }
    }

    /// Gives up whole blocks.
    pub(super) fn remove(&mut self, blocks: Range<u64>, load: Load<'_>) -> Result<(), LogError> {
        if blocks.is_empty() {
            return Ok(());
        }
        let gone: Vec<u64> = self.changed.range(blocks.clone()).map(|(block, _)| *block).collect();
        for block in gone {
            self.changed.remove(&block);
        }
        let numbers: Vec<u32> = self
            .leaves
            .range(leaf_of(blocks.start)..=leaf_of(blocks.end - 1))
            .map(|(number, _)| *number)
            .collect();
        for number in numbers {
            let all = u64::from(number) * LEAF_BLOCKS..(u64::from(number) + 1) * LEAF_BLOCKS;
            if blocks.start <= all.start && all.end <= blocks.end {
                let leaf = self.leaves.remove(&number).expect("it was found just now");
                self.kill_leaf(&leaf, load);
            } else {
                for block in all.start.max(blocks.start)..all.end.min(blocks.end) {
                    self.detach(block, load)?;
                }
            }
        }
        Ok(())
    }

    pub(super) fn kill_leaf(&mut self, leaf: &Leaf, load: Load<'_>) {
        self.killed.extend(leaf.addr);
        match leaf.get(load, LeafAddrs::parse) {
            Ok(addrs) => self.killed.extend(addrs.0.iter().flatten()),
            Err(error) => tracing::warn!(%error, pnode = self.id.0, "garbage can't be listed"),
        }
    }

    /// Takes a block out of its leaf.
    pub(super) fn detach(&mut self, block: u64, load: Load<'_>) -> Result<(), LogError> {
        if let Some(addr) = self.addr_of(block, load)? {
            self.killed.push(addr);
            self.set_addr(block, None, load)?;
        }
        Ok(())
    }

    pub(super) fn set_addr(
        &mut self,
        block: u64,
        addr: Option<LogAddr>,
        load: Load<'_>,
    ) -> Result<(), LogError> {
        let number = leaf_of(block);
        let mut addrs = match self.leaves.get(&number) {
            Some(leaf) => leaf.get(load, LeafAddrs::parse)?.clone(),
            None => LeafAddrs::empty(),
        };
        addrs.0[(block % LEAF_BLOCKS) as usize] = addr;
        let old = self.leaves.insert(number, Arc::new(Leaf::new(addrs)));
        self.killed.extend(old.and_then(|leaf| leaf.addr));
        Ok(())
    }

    /// Whether its map says that a block is at `addr`, and nothing changed it since.
    pub(crate) fn knows_block(
        &self,
        block: u64,
        addr: &LogAddr,
        load: Load<'_>,
    ) -> Result<bool, LogError> {
        let held = u32::try_from(block / LEAF_BLOCKS).is_ok() && !self.changed.contains_key(&block);
        Ok(held && self.addr_of(block, load)? == Some(*addr))
    }

    /// Lets the next checkpoint write a block to a new place; false if it is not at `addr` any more.
    pub(crate) fn move_block(
        &mut self,
        block: u64,
        addr: &LogAddr,
        content: Bytes,
        load: Load<'_>,
    ) -> Result<bool, LogError> {
        let known = self.knows_block(block, addr, load)?;
        if known {
            self.changed.insert(block, content);
        }
        Ok(known)
    }

    /// Lets the next checkpoint write a leaf to a new place; false if it is not at `addr` any more.
    pub(crate) fn move_leaf(
        &mut self,
        number: u64,
        addr: &LogAddr,
        load: Load<'_>,
    ) -> Result<bool, LogError> {
        let found = u32::try_from(number).ok().and_then(|n| Some((n, self.leaves.get(&n)?)));
        let Some((number, leaf)) = found.filter(|(_, leaf)| leaf.addr == Some(*addr)) else {
            return Ok(false);
        };
        let addrs = leaf.get(load, LeafAddrs::parse)?.clone();
        self.leaves.insert(number, Arc::new(Leaf::new(addrs)));
        self.killed.push(*addr);
        Ok(true)
    }
}

pub(super) fn leaf_of(block: u64) -> u32 {
    u32::try_from(block / LEAF_BLOCKS).expect("a pnode's span is checked before it grows")
}
