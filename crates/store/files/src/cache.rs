//! The volume in memory: what changed and is not on disk yet, over what was read. Pure: it is told the
//! time, reads no disk, and says what it lacks.
//!
//! Changes collect in the current *wave*. [`Cache::freeze`] closes it and hands out everything in it
//! for one batch of the log; while that is on its way changes go into the next. Readers look through
//! both, then through pages that were read, and then need the disk.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use pegasus_base::{PnodeId, Time};

use crate::format::attr::Attr;
use crate::format::quota::Record;
use crate::format::volume::Head;
use crate::page::{Extent, Found, Layer, PAGE, Page, remove_pages};
use crate::snapshot::Known;
use crate::{FilesError, Ino, quota};

/// Clean pages kept in memory: 64 MiB.
const CLEAN_PAGES_MAX: usize = 16 << 10;
/// Pnodes kept in memory that nobody has open and nobody changed.
const CLEAN_NODES_MAX: usize = 64 << 10;
/// What a changed pnode costs in memory and in the log beside its pages, in bytes.
pub(crate) const NODE_BYTES: u64 = 512;

/// What a pnode of the volume is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The volume's head.
    Volume,
    /// A file, directory, link or special file.
    Inode,
    /// A directory's table.
    Table,
    /// Extended attributes that do not fit their inode.
    Xattrs,
    /// What an inode borrows, where that does not fit it.
    Extents,
    /// Content apart from its inode's pnode.
    Body,
    /// What a tree may hold.
    Quota,
}

impl Kind {
    pub(crate) const ALL: [Self; 7] = [
        Self::Volume,
        Self::Inode,
        Self::Table,
        Self::Xattrs,
        Self::Extents,
        Self::Body,
        Self::Quota,
    ];

    /// The pnode's kind on disk. Recordings use the lower ones.
    pub(crate) fn code(self) -> u16 {
        16 + self as u16
    }

    pub(crate) fn of(code: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }
}

/// A pnode but for its content.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    /// Of an inode, or of content apart from one.
    pub(crate) attr: Option<Arc<Attr>>,
    /// Of a quota.
    pub(crate) quota: Option<Record>,
    /// Bytes of content.
    pub(crate) size: u64,
}

impl Node {
    /// What stands in the attributes of its pnode.
    pub(crate) fn attributes(&self) -> Option<Vec<u8>> {
        let attr = self.attr.as_ref().map(|attr| attr.emit());
        attr.or_else(|| self.quota.map(|record| record.emit()))
    }

    /// Whether it is an inode of the tree without a name.
    pub(crate) fn is_orphan(&self) -> bool {
        self.attr.as_ref().is_some_and(|attr| attr.nlink == 0)
    }
}

/// What can't be answered from memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// A pnode's attributes and size.
    Node(Ino),
    /// Pages of a pnode's content: first and count.
    Pages(Ino, u64, u64),
    /// Numbers for new pnodes.
    Numbers,
}

/// Why an operation does not come to its end.
#[derive(Debug)]
pub(crate) enum Stop {
    /// It wants this read first, and then to be tried again.
    Need(Need),
    /// It failed.
    Error(FilesError),
}

impl From<FilesError> for Stop {
    fn from(error: FilesError) -> Self {
        Self::Error(error)
    }
}

/// A pnode in memory.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) node: Node,
    /// Its size on disk; what is behind it need not be read.
    pub(crate) disk_size: u64,
    /// Neither the disk nor the frozen wave knows it.
    pub(crate) born: bool,
    /// Attributes or size changed in the current wave.
    pub(crate) changed: bool,
    pub(crate) current: Layer,
    pub(crate) frozen: Option<Arc<Layer>>,
    pub(crate) clean: BTreeMap<u64, Arc<Page>>,
    /// Open handles.
    pub(crate) opens: u32,
    /// The newest snapshot when it was known that all of them have what they need of it.
    pub(crate) kept_for: Ino,
}

impl Entry {
    pub(crate) fn new(node: Node, born: bool) -> Self {
        let disk_size = if born { 0 } else { node.size };
        Self {
            node,
            disk_size,
            born,
            changed: born,
            current: Layer::default(),
            frozen: None,
            clean: BTreeMap::new(),
            opens: 0,
            kept_for: Ino(0),
        }
    }

    /// A page as far as memory knows it; below everything is the disk.
    pub(crate) fn find(&self, page: u64) -> Found {
        let frozen = || self.frozen.as_ref().map_or(Found::Below, |layer| layer.find(page));
        let below = |found| if matches!(found, Found::Below) { None } else { Some(found) };
        let known = below(self.current.find(page)).or_else(|| below(frozen()));
        known.unwrap_or_else(|| match self.clean.get(&page) {
            Some(clean) => Found::Page(clean.clone()),
            None if page * PAGE as u64 >= self.disk_size => Found::Zeros,
            None => Found::Below,
        })
    }

    /// Whether a page is something as far as memory knows, and up to which page the same can be said.
    pub(crate) fn extent(&self, page: u64) -> (Extent, u64) {
        let (found, mut end) = self.current.extent(page);
        if found != Extent::Below {
            return (found, end);
        }
        if let Some(frozen) = &self.frozen {
            let (found, upto) = frozen.extent(page);
            end = end.min(upto);
            if found != Extent::Below {
                return (found, end);
            }
        }
        match self.disk_size.div_ceil(PAGE as u64) {
            behind if page >= behind => (Extent::Hole, end),
            behind => (Extent::Below, end.min(behind)),
        }
    }

    fn is_idle(&self) -> bool {
        !self.changed && self.opens == 0 && self.frozen.is_none() && self.current.is_empty()
    }
}

/// One pnode's part of a wave.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) ino: Ino,
    pub(crate) node: Node,
    pub(crate) create: bool,
    pub(crate) layer: Arc<Layer>,
    /// Its size on disk before.
    pub(crate) disk_size: u64,
}

/// A closed wave: what one batch makes durable.
#[derive(Clone, Debug)]
pub(crate) struct Frozen {
    pub(crate) number: u64,
    pub(crate) items: Vec<Item>,
    pub(crate) deleted: Vec<Ino>,
    pub(crate) spent: Vec<Ino>,
    /// The list of orphans, if it changed.
    pub(crate) orphans: Option<Vec<Ino>>,
    /// The volume's head, if it changed.
    pub(crate) head: Option<Head>,
    pub(crate) bytes: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    /// Most bytes of a file's content: what the log takes for one pnode.
    pub(crate) size_max: u64,
    pub(crate) entries: BTreeMap<Ino, Entry>,
    /// Pnodes changed in the current wave.
    pub(crate) dirty: BTreeSet<Ino>,
    /// Pnodes on disk, or frozen, that were deleted in the current wave.
    pub(crate) deleted: BTreeSet<Ino>,
    /// Numbers of quotas that came and went in the current wave, which stamps of others may bear.
    spent: BTreeSet<Ino>,
    pub(crate) orphans: BTreeSet<Ino>,
    orphans_changed: bool,
    pub(crate) head: Head,
    head_changed: bool,
    /// In the order in which they were made, which is that of their numbers.
    pub(crate) snapshots: Vec<Known>,
    pub(crate) quotas: BTreeMap<Ino, quota::Known>,
    /// Numbers for new pnodes, in order.
    pub(crate) numbers: std::collections::VecDeque<PnodeId>,
    /// The last one that was taken.
    last_number: PnodeId,
    /// Number of the current wave.
    pub(crate) wave: u64,
    pub(crate) frozen: Option<Arc<Frozen>>,
    /// When the oldest change of the current wave was made.
    pub(crate) dirty_since: Option<Time>,
    /// Bytes the current wave holds.
    pub(crate) dirty_bytes: u64,
    clean_pages: usize,
    hand: Ino,
    /// Counts what makes a page read meanwhile worthless.
    pub(crate) epoch: u64,
}

impl Cache {
    /// The pnode, if it is in memory.
    pub(crate) fn entry(&self, ino: Ino) -> Result<&Entry, Stop> {
        if self.is_deleted(ino) {
            return Err(FilesError::NoInode { ino }.into());
        }
        self.entries.get(&ino).ok_or(Stop::Need(Need::Node(ino)))
    }

    /// Changes when a wave is closed and when it is durable: what was read from the disks in between may be of
    /// either time.
    pub(crate) fn stamp(&self) -> (u64, u64) {
        (self.epoch, self.wave)
    }

    pub(crate) fn is_deleted(&self, ino: Ino) -> bool {
        let frozen = self.frozen.as_ref().is_some_and(|f| f.deleted.binary_search(&ino).is_ok());
        frozen || self.deleted.contains(&ino)
    }

    /// Bytes that are not on disk yet.
    pub(crate) fn pending_bytes(&self) -> u64 {
        self.dirty_bytes + self.frozen.as_ref().map_or(0, |frozen| frozen.bytes)
    }

    pub(crate) fn is_dirty(&self) -> bool {
        self.dirty_since.is_some()
    }

    /// Something changed.
    pub(crate) fn touch(&mut self, now: Time, bytes: u64) {
        self.dirty_since.get_or_insert(now);
        self.dirty_bytes += bytes;
    }

    /// Marks a pnode as one whose attributes or size changed.
    pub(crate) fn mark(&mut self, ino: Ino, now: Time) {
        let bytes = if self.dirty.insert(ino) { NODE_BYTES } else { 0 };
        self.touch(now, bytes);
    }

    pub(crate) fn set_orphan(&mut self, ino: Ino, orphan: bool) {
        let changed = if orphan { self.orphans.insert(ino) } else { self.orphans.remove(&ino) };
        self.orphans_changed |= changed;
    }

    pub(crate) fn set_head(&mut self, head: Head, now: Time) {
        self.head = head;
        self.head_changed = true;
        self.touch(now, NODE_BYTES);
    }

    /// The newest snapshot; 0 if there is none.
    pub(crate) fn newest_snapshot(&self) -> Ino {
        self.snapshots.last().map_or(Ino(0), |snapshot| snapshot.ino)
    }

    /// Takes in numbers for new pnodes. They are used in order, so that what was made before a snapshot has
    /// a smaller number than it: those that come too late for that are left.
    pub(crate) fn add_numbers(&mut self, more: std::ops::Range<PnodeId>) {
        let first = more.start.0.max(self.last_number.0 + 1);
        self.numbers.extend((first..more.end.0).map(PnodeId));
        self.numbers.make_contiguous().sort_unstable();
    }

    pub(crate) fn take_numbers(&mut self, count: usize) {
        if let Some(last) = self.numbers.drain(..count).next_back() {
            self.last_number = last;
        }
    }

    /// Takes in a pnode that was read, unless it became known meanwhile.
    pub(crate) fn learn_node(&mut self, ino: Ino, node: Node) {
        if !self.is_deleted(ino) {
            self.entries.entry(ino).or_insert_with(|| Entry::new(node, false));
        }
        self.drop_idle();
    }

    /// Takes in pages that were read.
    pub(crate) fn learn_pages(&mut self, ino: Ino, first: u64, bytes: &[u8]) {
        self.drop_clean();
        let Some(entry) = self.entries.get_mut(&ino) else { return };
        for (page, bytes) in (first..).zip(bytes.chunks(PAGE)) {
            let new = entry.clean.insert(page, Arc::new(Page::clean(bytes))).is_none();
            self.clean_pages += usize::from(new);
        }
    }

    /// Closes the current wave; `None` if there is nothing in it.
    ///
    /// # Panics
    /// If the one before is still there.
    pub(crate) fn freeze(&mut self) -> Option<Arc<Frozen>> {
        assert!(self.frozen.is_none(), "one wave is written at a time");
        self.dirty_since.take()?;
        let mut items = Vec::with_capacity(self.dirty.len());
        for ino in std::mem::take(&mut self.dirty) {
            let Some(entry) = self.entries.get_mut(&ino) else { continue };
            let layer = Arc::new(std::mem::take(&mut entry.current));
            entry.frozen = Some(layer.clone());
            entry.changed = false;
            let (node, disk_size) = (entry.node.clone(), entry.disk_size);
            let create = std::mem::take(&mut entry.born);
            items.push(Item { ino, node, create, layer, disk_size });
        }
        let orphans = std::mem::take(&mut self.orphans_changed);
        let frozen = Arc::new(Frozen {
            number: self.wave,
            items,
            deleted: std::mem::take(&mut self.deleted).into_iter().collect(),
            spent: std::mem::take(&mut self.spent).into_iter().collect(),
            orphans: orphans.then(|| self.orphans.iter().copied().collect()),
            head: std::mem::take(&mut self.head_changed).then_some(self.head),
            bytes: std::mem::take(&mut self.dirty_bytes),
        });
        self.wave += 1;
        self.frozen = Some(frozen.clone());
        Some(frozen)
    }

    /// The frozen wave is durable.
    pub(crate) fn settle(&mut self) {
        let Some(frozen) = self.frozen.take() else { return };
        self.epoch += 1;
        for item in &frozen.items {
            let Some(entry) = self.entries.get_mut(&item.ino) else { continue };
            entry.frozen = None;
            entry.disk_size = item.node.size;
            let mut added = 0;
            for hole in item.layer.holes.iter() {
                self.clean_pages -= remove_pages(&mut entry.clean, &hole);
            }
            for (page, changed) in &item.layer.pages {
                added += usize::from(entry.clean.insert(*page, changed.clone()).is_none());
            }
            self.clean_pages += added;
        }
        self.drop_clean();
        self.drop_idle();
    }

    /// Forgets clean pages when there are too many: those of one pnode after the other, in turn.
    fn drop_clean(&mut self) {
        while self.clean_pages > CLEAN_PAGES_MAX {
            let hand = self.hand;
            let next = self.entries.range_mut(hand..).find(|(_, entry)| !entry.clean.is_empty());
            match next {
                Some((ino, entry)) => {
                    self.clean_pages -= std::mem::take(&mut entry.clean).len();
                    self.hand = Ino(ino.0 + 1);
                }
                None if hand == Ino(0) => return,
                None => self.hand = Ino(0),
            }
        }
    }

    fn drop_idle(&mut self) {
        let frozen = self.frozen.as_ref().map_or(0, |frozen| frozen.items.len());
        if self.entries.len() <= CLEAN_NODES_MAX + self.dirty.len() + frozen {
            return;
        }
        let mut keep = CLEAN_NODES_MAX / 2;
        let mut dropped = 0;
        self.entries.retain(|_, entry| {
            let idle = entry.is_idle();
            if idle && keep == 0 {
                dropped += entry.clean.len();
                return false;
            }
            keep -= usize::from(idle);
            true
        });
        self.clean_pages -= dropped;
    }

    /// Takes an entry out for good.
    pub(crate) fn remove(&mut self, ino: Ino, now: Time) {
        let Some(entry) = self.entries.remove(&ino) else { return };
        self.clean_pages -= entry.clean.len();
        self.dirty_bytes = self.dirty_bytes.saturating_sub(entry.current.bytes());
        if self.dirty.remove(&ino) {
            self.dirty_bytes = self.dirty_bytes.saturating_sub(NODE_BYTES);
        }
        if !entry.born {
            self.deleted.insert(ino);
            self.touch(now, NODE_BYTES);
        } else if entry.node.kind == Kind::Quota {
            self.spent.insert(ino);
            self.touch(now, NODE_BYTES);
        }
        self.set_orphan(ino, false);
    }
}
