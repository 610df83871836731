//! A pnode in memory: what the last checkpoint wrote, and what changed since.
//!
//! A pnode's content is a row of blocks. Blocks changed since the last checkpoint are held here in
//! full; the others are where the leaves of its map say. A transaction writes only the change into the
//! log; the next checkpoint writes the changed blocks, leaves and images.
//!
//! Values are shared by `Arc` and changed by copying, so that readers keep what they saw.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use pegasus_base::PnodeId;

use crate::format::pnode::{
    ATTRIBUTES_BYTES_MAX, CONTENT_BYTES, Image, LEAF_ENTRIES, LEAVES_MAX, LeafAddrs, LogAddr,
};
use crate::pnodes::{Lazy, Load};
use crate::{LogError, PnodeInfo};

mod checkpoint;
mod holes;
mod map;
#[cfg(test)]
mod tests;

pub(crate) use checkpoint::Changed;
use map::leaf_of;

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
}
