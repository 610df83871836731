//! What a checkpoint does to a pnode, in this order: detach, take blocks, place blocks, place leaves,
//! image.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::{CONTENT_BYTES, Leaf, Pnode};
use crate::LogError;
use crate::format::pnode::{Image, LogAddr};
use crate::pnodes::Load;

/// Content blocks that are in memory until the next checkpoint, and about how many bytes they have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Changed {
    pub(crate) blocks: usize,
    pub(crate) bytes: u64,
}

impl std::ops::AddAssign for Changed {
    fn add_assign(&mut self, other: Self) {
        self.blocks += other.blocks;
        self.bytes += other.bytes;
    }
}

impl std::ops::SubAssign for Changed {
    fn sub_assign(&mut self, other: Self) {
        self.blocks -= other.blocks;
        self.bytes -= other.bytes;
    }
}

impl Pnode {
    /// What a changed block holds.
    pub(crate) fn changed_block(&self, block: u64) -> Option<Bytes> {
        self.changed.get(&block).cloned()
    }

    /// Changed blocks.
    pub(crate) fn changed_size(&self) -> Changed {
        let last = self.changed.last_key_value().map_or(0, |(_, bytes)| bytes.len());
        let whole = self.changed.len().saturating_sub(1);
        Changed { blocks: self.changed.len(), bytes: (whole * CONTENT_BYTES + last) as u64 }
    }

    /// Takes the changed blocks out of the map: their old pieces and leaves are dead.
    pub(crate) fn detach_changed(&mut self, load: Load<'_>) -> Result<(), LogError> {
        let blocks: Vec<u64> = self.changed.keys().copied().collect();
        for block in blocks {
            self.detach(block, load)?;
            // The leaf will hold the new address: it is written anew.
            self.set_addr(block, None, load)?;
        }
        self.killed.extend(self.image.take());
        Ok(())
    }

    /// What died since it was last asked.
    pub(crate) fn take_killed(&mut self) -> Vec<LogAddr> {
        std::mem::take(&mut self.killed)
    }

    /// The changed blocks; they count as unchanged from now on.
    pub(crate) fn take_changed(&mut self) -> BTreeMap<u64, Bytes> {
        let mut changed = std::mem::take(&mut self.changed);
        changed.retain(|_, content| !content.is_empty());
        changed
    }

    /// A block's new place.
    pub(crate) fn place_block(&mut self, block: u64, addr: LogAddr) {
        let never: Load<'_> = &|_| unreachable!("the leaf of a changed block is in memory");
        self.set_addr(block, Some(addr), never).expect("nothing is read");
    }

    /// The leaves that have to be written; those that became empty are dropped.
    pub(crate) fn dirty_leaves(&mut self) -> Vec<(u32, Vec<u8>)> {
        let empty =
            |leaf: &Leaf| leaf.value().is_some_and(|addrs| addrs.0.iter().all(Option::is_none));
        self.leaves.retain(|_, leaf| leaf.addr.is_some() || !empty(leaf));
        self.leaves
            .iter()
            .filter(|(_, leaf)| leaf.addr.is_none())
            .filter_map(|(number, leaf)| Some((*number, leaf.value()?.emit())))
            .collect()
    }

    /// A leaf's new place.
    pub(crate) fn place_leaf(&mut self, number: u32, addr: LogAddr) {
        let leaf = self.leaves.get_mut(&number).expect("it was among the dirty ones");
        Arc::make_mut(leaf).addr = Some(addr);
    }

    pub(crate) fn to_image(&self) -> Image {
        let first_leaf = self.leaves.keys().next().copied().unwrap_or(0);
        let end = self.leaves.keys().next_back().map_or(first_leaf, |last| last + 1);
        let addr = |number| self.leaves.get(&number).and_then(|leaf| leaf.addr);
        Image {
            id: self.id,
            kind: self.kind,
            version: self.version,
            front: self.front,
            size: self.size,
            attributes: self.attributes.clone(),
            first_leaf,
            leaves: (first_leaf..end).map(addr).collect(),
        }
    }
}
