//! A pnode in memory: what the last checkpoint wrote, and what changed since.
//!
//! A pnode's content is a row of blocks. Blocks changed since the last checkpoint are held here in
//! full; the others are where the leaves of its map say. A transaction writes only the change into the
//! log; the next checkpoint writes the changed blocks, leaves and images.
//!
//! Values are shared by `Arc` and changed by copying, so that readers keep what they saw.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use pegasus_base::PnodeId;

use crate::format::pnode::{
    ATTRIBUTES_BYTES_MAX, CONTENT_BYTES, Image, LEAF_ENTRIES, LEAVES_MAX, LeafAddrs, LogAddr,
};
use crate::pnodes::{Lazy, Load};
use crate::{LogError, PnodeInfo};

const CONTENT: u64 = CONTENT_BYTES as u64;
const LEAF_BLOCKS: u64 = LEAF_ENTRIES as u64;

type Leaf = Lazy<LeafAddrs>;

/// A pnode.
#[derive(Clone, Debug)]
pub(crate) struct Pnode {
    pub(crate) id: PnodeId,
    pub(crate) kind: u16,
    pub(crate) version: u64,
    pub(crate) front: u64,
    pub(crate) size: u64,
    pub(crate) attributes: Bytes,
    /// Where its image is, unless there is none yet.
    pub(crate) image: Option<LogAddr>,
    leaves: BTreeMap<u32, Arc<Leaf>>,
    /// Blocks changed since the last checkpoint; bytes behind their end are zeros.
    changed: BTreeMap<u64, Bytes>,
    /// Pieces that died since the last checkpoint.
    killed: Vec<LogAddr>,
}

impl Pnode {
    pub(crate) fn new(id: PnodeId, kind: u16) -> Self {
        Self {
            id,
            kind,
            version: 1,
            front: 0,
            size: 0,
            attributes: Bytes::new(),
            image: None,
            leaves: BTreeMap::new(),
            changed: BTreeMap::new(),
            killed: Vec::new(),
        }
    }

    pub(crate) fn from_image(image: Image, addr: LogAddr) -> Self {
        let leaves = (image.first_leaf..)
            .zip(image.leaves)
            .filter_map(|(number, leaf)| Some((number, Arc::new(Leaf::at(leaf?)))))
            .collect();
        Self {
            id: image.id,
            kind: image.kind,
            version: image.version,
            front: image.front,
            size: image.size,
            attributes: image.attributes,
            image: Some(addr),
            leaves,
            changed: BTreeMap::new(),
            killed: Vec::new(),
        }
    }

    pub(crate) fn info(&self) -> PnodeInfo {
        PnodeInfo {
            id: self.id,
            version: self.version,
            kind: self.kind,
            front: self.front,
            size: self.size,
            attributes: self.attributes.clone(),
        }
    }

    /// Reads up to `len` bytes from `offset` on; fewer only at the end. Zeros before the front.
    pub(crate) fn read(
        &self,
        offset: u64,
        len: usize,
        load: Load<'_>,
    ) -> Result<Vec<u8>, LogError> {
        let end = offset.saturating_add(len as u64).min(self.size);
        let mut out = vec![0; end.saturating_sub(offset) as usize];
        let start = offset.max(self.front);
        if start >= end {
            return Ok(out);
        }
        for block in start / CONTENT..end.div_ceil(CONTENT) {
            let content = self.block(block, load)?;
            let base = block * CONTENT;
            let from = start.max(base);
            let to = end.min(base + content.len() as u64);
            if from < to {
                out[(from - offset) as usize..(to - offset) as usize]
                    .copy_from_slice(&content[(from - base) as usize..(to - base) as usize]);
            }
        }
        Ok(out)
    }

    /// One content block; bytes behind its end are zeros.
    fn block(&self, block: u64, load: Load<'_>) -> Result<Bytes, LogError> {
        if let Some(content) = self.changed.get(&block) {
            return Ok(content.clone());
        }
        match self.addr_of(block, load)? {
            Some(addr) => load(&addr).map(Bytes::from),
            None => Ok(Bytes::new()),
        }
    }

    /// Where a content block stands on the disks, if that is where it is to be read.
    pub(crate) fn stored(&self, block: u64, load: Load<'_>) -> Result<Option<LogAddr>, LogError> {
        if self.changed.contains_key(&block) { Ok(None) } else { self.addr_of(block, load) }
    }

    fn addr_of(&self, block: u64, load: Load<'_>) -> Result<Option<LogAddr>, LogError> {
        match self.leaves.get(&leaf_of(block)) {
            Some(leaf) => Ok(leaf.get(load, LeafAddrs::parse)?.0[(block % LEAF_BLOCKS) as usize]),
            None => Ok(None),
        }
    }

    pub(crate) fn write(
        &mut self,
        offset: u64,
        bytes: &[u8],
        load: Load<'_>,
    ) -> Result<(), LogError> {
        let end = offset.checked_add(bytes.len() as u64).ok_or_else(|| self.too_long())?;
        if bytes.is_empty() {
            return Ok(());
        }
        self.check_span(end.max(self.size))?;
        // What lies before the front reads as zeros whatever is written there.
        let skipped = self.front.saturating_sub(offset).min(bytes.len() as u64);
        let mut at = offset + skipped;
        let mut rest = &bytes[skipped as usize..];
        while !rest.is_empty() {
            let (block, from) = (at / CONTENT, (at % CONTENT) as usize);
            let (now, later) = rest.split_at(rest.len().min(CONTENT_BYTES - from));
            // What is overwritten whole need not be read.
            let whole =
                from == 0 && (now.len() == CONTENT_BYTES || at + now.len() as u64 >= self.size);
            let mut content: Vec<u8> =
                if whole { Vec::new() } else { self.block(block, load)?.into() };
            let filled = content.len().max(from + now.len());
            content.resize(filled, 0);
            content[from..from + now.len()].copy_from_slice(now);
            self.changed.insert(block, content.into());
            at += now.len() as u64;
            rest = later;
        }
        self.size = self.size.max(end);
        self.version += 1;
        Ok(())
    }

    /// Takes over whole blocks that were written where they stay, from number `first` on.
    pub(crate) fn place(
        &mut self,
        first: u64,
        addrs: &[LogAddr],
        load: Load<'_>,
    ) -> Result<(), LogError> {
        let end = (first + addrs.len() as u64) * CONTENT;
        self.check_span(end.max(self.size))?;
        let mut rest = addrs;
        let mut block = first;
        while !rest.is_empty() {
            let (number, from) = (leaf_of(block), (block % LEAF_BLOCKS) as usize);
            let (now, later) = rest.split_at(rest.len().min(LEAF_ENTRIES - from));
            let mut entries = match self.leaves.get(&number) {
                Some(leaf) => leaf.get(load, LeafAddrs::parse)?.clone(),
                None => LeafAddrs::empty(),
            };
            for (entry, addr) in entries.0[from..].iter_mut().zip(now) {
                self.killed.extend(entry.replace(*addr));
            }
            let old = self.leaves.insert(number, Arc::new(Leaf::new(entries)));
            self.killed.extend(old.and_then(|leaf| leaf.addr));
            rest = later;
            block += now.len() as u64;
        }
        for block in first..block {
            self.changed.remove(&block);
        }
        self.size = self.size.max(end);
        self.version += 1;
        Ok(())
    }

    pub(crate) fn set_attributes(&mut self, bytes: &[u8]) -> Result<(), LogError> {
        if bytes.len() > ATTRIBUTES_BYTES_MAX {
            let why = "its attributes would be longer than 4096 bytes";
            return Err(LogError::TooLong { pnode: self.id, why });
        }
        self.attributes = Bytes::copy_from_slice(bytes);
        self.version += 1;
        Ok(())
    }

    /// Gives up everything before `upto`.
    pub(crate) fn trim(&mut self, upto: u64, load: Load<'_>) -> Result<(), LogError> {
        let front = upto.min(self.size).max(self.front);
        self.remove(self.front / CONTENT..front / CONTENT, load)?;
        self.front = front;
        self.version += 1;
        Ok(())
    }

    pub(crate) fn truncate(&mut self, size: u64, load: Load<'_>) -> Result<(), LogError> {
        self.check_span(size)?;
        if size < self.size {
            let keep = (size % CONTENT) as usize;
            if keep > 0 {
                let mut content = self.block(size / CONTENT, load)?;
                content.truncate(keep);
                self.changed.insert(size / CONTENT, content);
            }
            self.remove(size.div_ceil(CONTENT)..self.size.div_ceil(CONTENT), load)?;
        }
        self.size = size;
        self.front = self.front.min(size);
        self.version += 1;
        Ok(())
    }

    /// Gives up everything, for a pnode that is deleted. What of its map can't be read stays counted as
    /// in use.
    pub(crate) fn clear(&mut self, load: Load<'_>) {
        self.changed.clear();
        while let Some((_, leaf)) = self.leaves.pop_first() {
            self.kill_leaf(&leaf, load);
        }
        self.killed.extend(self.image.take());
    }

    /// Gives up whole blocks.
    fn remove(&mut self, blocks: Range<u64>, load: Load<'_>) -> Result<(), LogError> {
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

    fn kill_leaf(&mut self, leaf: &Leaf, load: Load<'_>) {
        self.killed.extend(leaf.addr);
        match leaf.get(load, LeafAddrs::parse) {
            Ok(addrs) => self.killed.extend(addrs.0.iter().flatten()),
            Err(error) => tracing::warn!(%error, pnode = self.id.0, "garbage can't be listed"),
        }
    }

    /// Takes a block out of its leaf.
    fn detach(&mut self, block: u64, load: Load<'_>) -> Result<(), LogError> {
        if let Some(addr) = self.addr_of(block, load)? {
            self.killed.push(addr);
            self.set_addr(block, None, load)?;
        }
        Ok(())
    }

    fn set_addr(
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

    fn check_span(&self, end: u64) -> Result<(), LogError> {
        self.check_leaves(end, LEAVES_MAX)
    }

    /// Whether it may reach from its front to `end` with at most so many leaves.
    pub(crate) fn check_leaves(&self, end: u64, leaves_max: u64) -> Result<(), LogError> {
        let first = self.front / CONTENT / LEAF_BLOCKS;
        let last = end.div_ceil(CONTENT).div_ceil(LEAF_BLOCKS);
        if last.saturating_sub(first) > leaves_max || last > u64::from(u32::MAX) {
            return Err(self.too_long());
        }
        Ok(())
    }

    fn too_long(&self) -> LogError {
        let why = "it would be longer than this store's slots allow for (32 GiB at most)";
        LogError::TooLong { pnode: self.id, why }
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
}

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

/// What a checkpoint does to a pnode, in this order: detach, take blocks, place blocks, place leaves,
/// image.
impl Pnode {
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

fn leaf_of(block: u64) -> u32 {
    u32::try_from(block / LEAF_BLOCKS).expect("a pnode's span is checked before it grows")
}

mod holes;
#[cfg(test)]
mod tests;
