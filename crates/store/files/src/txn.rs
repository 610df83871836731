//! One operation on the volume: it reads through the cache, collects what it changes, and takes effect
//! whole or not at all.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use pegasus_base::Time;
use rustix::io::Errno;

use crate::cache::{Cache, Entry, Kind, NODE_BYTES, Need, Node, Stop};
use crate::extents::BLOCK_PAGES;
use crate::format::attr::Attr;
use crate::format::volume::Head;
use crate::page::{Found, Holes, PAGE, Page, page_of, remove_pages};
use crate::snapshot::Known;
use crate::{FilesError, Ino, quota};

/// Most pages asked for at once.
const AHEAD: u64 = 256;

/// See the module.
#[derive(Debug)]
pub(crate) struct Txn<'a> {
    pub(crate) cache: &'a Cache,
    pub(crate) now: Time,
    nodes: BTreeMap<Ino, Option<Node>>,
    contents: BTreeMap<Ino, Content>,
    numbers: usize,
    /// A name was removed.
    pub(crate) removes: bool,
    /// Bytes are written that take room, whatever else is given back.
    pub(crate) writes: bool,
    /// Inodes of which all snapshots have what they need.
    pub(crate) kept: BTreeSet<Ino>,
    pub(crate) head: Option<Head>,
    pub(crate) snapshots: Option<Vec<Known>>,
    /// Quotas that changed or, with `None`, are gone.
    pub(crate) quotas: BTreeMap<Ino, Option<quota::Known>>,
}

#[derive(Debug, Default)]
struct Content {
    holes: Holes,
    pages: BTreeMap<u64, Page>,
}

impl Content {
    fn punch(&mut self, range: Range<u64>) {
        remove_pages(&mut self.pages, &range);
        self.holes.insert(range);
    }
}

/// What an operation changes, apart from the cache it saw.
#[derive(Debug)]
pub(crate) struct Changes {
    nodes: BTreeMap<Ino, Option<Node>>,
    contents: BTreeMap<Ino, Content>,
    numbers: usize,
    frees: bool,
    kept: BTreeSet<Ino>,
    head: Option<Head>,
    snapshots: Option<Vec<Known>>,
    quotas: BTreeMap<Ino, Option<quota::Known>>,
}

impl<'a> Txn<'a> {
    pub(crate) fn new(cache: &'a Cache, now: Time) -> Self {
        Self {
            cache,
            now,
            nodes: BTreeMap::new(),
            contents: BTreeMap::new(),
            numbers: 0,
            removes: false,
            writes: false,
            kept: BTreeSet::new(),
            head: None,
            snapshots: None,
            quotas: BTreeMap::new(),
        }
    }

    pub(crate) fn into_changes(self) -> Changes {
        let frees = self.frees();
        let Self { nodes, contents, numbers, kept, head, snapshots, quotas, .. } = self;
        Changes { nodes, contents, numbers, frees, kept, head, snapshots, quotas }
    }

    /// Whether nothing of it takes room but what deleting takes. A hole gives more than it takes if there
    /// are at least as many whole blocks in it as at its ends.
    fn frees(&self) -> bool {
        let holes = || {
            self.contents.values().flat_map(|content| content.holes.iter()).any(|hole| {
                let first = hole.start.div_ceil(BLOCK_PAGES);
                hole.end / BLOCK_PAGES >= first + 2
            })
        };
        let mut nodes = self.nodes.values();
        !self.writes
            && (self.removes
                || nodes.any(Option::is_none)
                || self.nodes.values().flatten().any(Node::is_orphan)
                || holes())
    }

    pub(crate) fn node(&self, ino: Ino) -> Result<&Node, Stop> {
        match self.nodes.get(&ino) {
            Some(Some(node)) => Ok(node),
            Some(None) => Err(FilesError::NoInode { ino }.into()),
            None => Ok(&self.cache.entry(ino)?.node),
        }
    }

    /// A pnode to be changed, apart from what anyone sees of it.
    pub(crate) fn raw_node_mut(&mut self, ino: Ino) -> Result<&mut Node, Stop> {
        if !self.nodes.contains_key(&ino) {
            let node = self.cache.entry(ino)?.node.clone();
            self.nodes.insert(ino, Some(node));
        }
        let staged = self.nodes.get_mut(&ino).and_then(Option::as_mut);
        staged.ok_or_else(|| FilesError::NoInode { ino }.into())
    }

    pub(crate) fn attr(&self, ino: Ino) -> Result<&Arc<Attr>, Stop> {
        let attr = self.node(ino)?.attr.as_ref();
        attr.ok_or_else(|| FilesError::NoInode { ino }.into())
    }

    /// Attributes that programs see, to be changed.
    pub(crate) fn attr_mut(&mut self, ino: Ino) -> Result<&mut Attr, Stop> {
        self.keep(ino)?;
        self.raw_attr_mut(ino)
    }

    /// Attributes to be changed in what nobody sees.
    pub(crate) fn raw_attr_mut(&mut self, ino: Ino) -> Result<&mut Attr, Stop> {
        let attr = self.raw_node_mut(ino)?.attr.as_mut();
        attr.map(Arc::make_mut).ok_or_else(|| FilesError::NoInode { ino }.into())
    }

    /// Notes that content changed.
    pub(crate) fn touch_content(&mut self, ino: Ino) -> Result<(), Stop> {
        let now = self.now;
        let attr = self.attr_mut(ino)?;
        (attr.mtime, attr.ctime) = (now, now);
        self.drop_capabilities(ino)
    }

    pub(crate) fn touch_attr(&mut self, ino: Ino) -> Result<(), Stop> {
        let now = self.now;
        self.attr_mut(ino)?.ctime = now;
        Ok(())
    }

    /// Makes a pnode.
    pub(crate) fn create(&mut self, kind: Kind, attr: Option<Attr>) -> Result<Ino, Stop> {
        let number = self.cache.numbers.get(self.numbers).ok_or(Stop::Need(Need::Numbers))?;
        self.numbers += 1;
        let ino = Ino::of(*number);
        self.nodes.insert(ino, Some(Node { kind, attr: attr.map(Arc::new), quota: None, size: 0 }));
        Ok(ino)
    }

    /// Deletes a pnode alone.
    pub(crate) fn raw_delete(&mut self, ino: Ino) -> Result<(), Stop> {
        self.node(ino)?; // it has to be known to be deleted
        self.nodes.insert(ino, None);
        self.contents.remove(&ino);
        Ok(())
    }

    /// Whether it was made in this operation.
    pub(crate) fn is_new(&self, ino: Ino) -> bool {
        self.nodes.contains_key(&ino) && !self.cache.entries.contains_key(&ino)
    }

    /// The pnodes that were touched, as they are now; `None` for those that are gone.
    pub(crate) fn staged(&self) -> impl Iterator<Item = (Ino, Option<&Node>)> {
        self.nodes.iter().map(|(ino, node)| (*ino, node.as_ref()))
    }

    pub(crate) fn opens(&self, ino: Ino) -> u32 {
        self.cache.entries.get(&ino).map_or(0, |entry| entry.opens)
    }

    /// What memory knows of a page.
    fn find(&self, ino: Ino, page: u64) -> Result<Found, Stop> {
        if let Some(content) = self.contents.get(&ino) {
            if let Some(found) = content.pages.get(&page) {
                return Ok(Found::Page(Arc::new(found.clone())));
            }
            if content.holes.contains(page) {
                return Ok(Found::Zeros);
            }
        }
        match self.cache.entries.get(&ino) {
            Some(entry) => Ok(entry.find(page)),
            None if self.nodes.contains_key(&ino) => Ok(Found::Zeros), // it was made just now
            None => Err(Stop::Need(Need::Node(ino))),
        }
    }

    /// A page of a pnode; `upto` says how far the caller means to go on.
    pub(crate) fn page(&self, ino: Ino, page: u64, upto: u64) -> Result<Option<Arc<Page>>, Stop> {
        match self.find(ino, page)? {
            Found::Page(found) => Ok(Some(found)),
            Found::Zeros => Ok(None),
            Found::Below => {
                let missing = |next: &u64| matches!(self.find(ino, *next), Ok(Found::Below));
                let end = upto.clamp(page + 1, page + AHEAD);
                let count = (page..end).take_while(missing).count() as u64;
                Err(Stop::Need(Need::Pages(ino, page, count)))
            }
        }
    }

    /// A page to be changed.
    fn page_mut(&mut self, ino: Ino, page: u64, upto: u64) -> Result<&mut Page, Stop> {
        let staged = self.contents.get(&ino).is_some_and(|c| c.pages.contains_key(&page));
        let fresh = if staged { None } else { Some(self.open_page(ino, page, upto)?) };
        let pages = &mut self.contents.entry(ino).or_default().pages;
        Ok(pages.entry(page).or_insert_with(|| fresh.expect("it is made when it is not there")))
    }

    /// A copy of a page. What the current wave changed in it is still to be written.
    fn open_page(&self, ino: Ino, page: u64, upto: u64) -> Result<Page, Stop> {
        let Some(found) = self.page(ino, page, upto)? else {
            return Ok(Page::clean(&[]));
        };
        let here = |entry: &Entry| entry.current.pages.contains_key(&page);
        let current = self.cache.entries.get(&ino).is_some_and(here);
        let changed = if current { found.changed.clone() } else { 0..0 };
        Ok(Page { bytes: found.bytes.clone(), changed })
    }

    /// Writes into a pnode, which grows as needed.
    pub(crate) fn raw_write(&mut self, ino: Ino, offset: u64, bytes: &[u8]) -> Result<(), Stop> {
        let end = self.check_size(ino, offset.saturating_add(bytes.len() as u64))?;
        self.node(ino)?;
        let last = page_of(end) + 1;
        for (page, within, place) in pieces(offset..end) {
            let piece = &bytes[place..place + within.len()];
            if within.len() == PAGE {
                let whole = Page { bytes: piece.into(), changed: 0..PAGE };
                self.contents.entry(ino).or_default().pages.insert(page, whole);
            } else {
                self.page_mut(ino, page, last)?.write(within.start, piece);
            }
        }
        let node = self.raw_node_mut(ino)?;
        node.size = node.size.max(end);
        Ok(())
    }

    /// Writes zeros within the present size of a pnode.
    pub(crate) fn raw_zero(&mut self, ino: Ino, range: Range<u64>) -> Result<(), Stop> {
        for (page, within, _) in pieces(range.clone()) {
            if !matches!(self.find(ino, page)?, Found::Zeros) {
                self.page_mut(ino, page, page_of(range.end) + 1)?.fill_zeros(within);
            }
        }
        Ok(())
    }

    /// Makes pages of a pnode nothing.
    pub(crate) fn raw_punch(&mut self, ino: Ino, pages: Range<u64>) {
        self.contents.entry(ino).or_default().punch(pages);
    }

    /// Sets the size of a pnode.
    pub(crate) fn raw_truncate(&mut self, ino: Ino, size: u64) -> Result<(), Stop> {
        self.check_size(ino, size)?;
        let old = self.node(ino)?.size;
        if size < old {
            let within = (size % PAGE as u64) as usize;
            let page = page_of(size);
            if within > 0 && !matches!(self.find(ino, page)?, Found::Zeros) {
                self.page_mut(ino, page, page + 1)?.fill_zeros(within..PAGE);
            }
            self.raw_punch(ino, size.div_ceil(PAGE as u64)..Holes::END);
        }
        self.raw_node_mut(ino)?.size = size;
        Ok(())
    }

    pub(crate) fn check_size(&self, ino: Ino, end: u64) -> Result<u64, Stop> {
        if end > self.cache.size_max {
            return Err(FilesError::refused(ino, Errno::FBIG, "it would be too large").into());
        }
        Ok(end)
    }
}

impl Changes {
    pub(crate) fn is_empty(&self) -> bool {
        self.nodes.is_empty() && self.contents.is_empty() && self.head.is_none()
    }

    /// Bytes the current wave grows by, at most.
    pub(crate) fn bytes(&self) -> u64 {
        let bytes = |content: &Content| (content.pages.len() * PAGE) as u64 + content.holes.bytes();
        let contents: u64 = self.contents.values().map(bytes).sum();
        contents + self.nodes.len() as u64 * NODE_BYTES
    }

    /// Whether nothing of it takes room but what deleting takes.
    pub(crate) fn frees(&self) -> bool {
        self.frees
    }

    /// Carries it out.
    pub(crate) fn apply(mut self, cache: &mut Cache, now: Time) {
        for (ino, known) in std::mem::take(&mut self.quotas) {
            match known {
                Some(known) => cache.quotas.insert(ino, known),
                None => cache.quotas.remove(&ino),
            };
        }
        if self.is_empty() {
            return;
        }
        cache.take_numbers(self.numbers);
        if let Some(head) = self.head {
            cache.set_head(head, now);
        }
        if let Some(snapshots) = self.snapshots {
            cache.snapshots = snapshots;
        }
        for (ino, node) in self.nodes {
            match node {
                None => cache.remove(ino, now),
                Some(node) => {
                    cache.set_orphan(ino, node.is_orphan());
                    match cache.entries.get_mut(&ino) {
                        Some(entry) => (entry.node, entry.changed) = (node, true),
                        None => {
                            cache.entries.insert(ino, Entry::new(node, true));
                        }
                    }
                    cache.mark(ino, now);
                }
            }
        }
        for (ino, content) in self.contents {
            apply_content(cache, ino, content, now);
        }
        let newest = cache.newest_snapshot();
        for ino in self.kept {
            if let Some(entry) = cache.entries.get_mut(&ino) {
                entry.kept_for = newest;
            }
        }
    }
}

fn apply_content(cache: &mut Cache, ino: Ino, content: Content, now: Time) {
    let Some(entry) = cache.entries.get_mut(&ino) else { return };
    let before = entry.current.bytes();
    content.holes.iter().for_each(|hole| entry.current.punch(hole));
    for (number, page) in content.pages {
        entry.current.pages.insert(number, Arc::new(page));
    }
    let after = entry.current.bytes();
    cache.dirty_bytes = cache.dirty_bytes.saturating_sub(before.saturating_sub(after));
    cache.mark(ino, now);
    cache.touch(now, after.saturating_sub(before));
}

/// The parts of a range that lie in one page each: page, bytes within it, where in the range.
pub(crate) fn pieces(range: Range<u64>) -> impl Iterator<Item = (u64, Range<usize>, usize)> {
    let Range { start, end } = range;
    let pages = if start < end { page_of(start)..page_of(end - 1) + 1 } else { 0..0 };
    pages.map(move |page| {
        let base = page * PAGE as u64;
        let (from, to) = (start.max(base), end.min(base + PAGE as u64));
        (page, (from - base) as usize..(to - base) as usize, (from - start) as usize)
    })
}
