//! One operation on the volume: it reads through the cache, collects what it changes, and takes effect
//! whole or not at all.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use pegasus_base::{PnodeId, Time};
use pegasus_log::Log;
use rustix::io::Errno;

use crate::cache::{Cache, Entry, Kind, NODE_BYTES, Need, Node, Stop};
use crate::format::attr::Attr;
use crate::page::{Found, Holes, PAGE, Page, page_of, remove_pages};
use crate::{FilesError, Ino};

/// Pages of a block of the log's content, which is kept or given up whole.
const BLOCK_PAGES: u64 = (Log::CONTENT_BYTES / PAGE) as u64;
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
    removes: bool,
}

impl<'a> Txn<'a> {
    pub(crate) fn new(cache: &'a Cache, now: Time) -> Self {
        let (nodes, contents) = (BTreeMap::new(), BTreeMap::new());
        Self { cache, now, nodes, contents, numbers: 0, removes: false }
    }

    pub(crate) fn into_changes(self) -> Changes {
        let Self { nodes, contents, numbers, removes, .. } = self;
        Changes { nodes, contents, numbers, removes }
    }

    pub(crate) fn node(&self, ino: Ino) -> Result<&Node, Stop> {
        match self.nodes.get(&ino) {
            Some(Some(node)) => Ok(node),
            Some(None) => Err(FilesError::NoInode { ino }.into()),
            None => Ok(&self.cache.entry(ino)?.node),
        }
    }

    fn node_mut(&mut self, ino: Ino) -> Result<&mut Node, Stop> {
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

    pub(crate) fn attr_mut(&mut self, ino: Ino) -> Result<&mut Attr, Stop> {
        let attr = self.node_mut(ino)?.attr.as_mut();
        attr.map(Arc::make_mut).ok_or_else(|| FilesError::NoInode { ino }.into())
    }

    /// Notes that content changed.
    pub(crate) fn touch_content(&mut self, ino: Ino) -> Result<(), Stop> {
        let now = self.now;
        let attr = self.attr_mut(ino)?;
        (attr.mtime, attr.ctime) = (now, now);
        Ok(())
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
        self.nodes.insert(ino, Some(Node { kind, attr: attr.map(Arc::new), size: 0 }));
        Ok(ino)
    }

    /// Deletes a pnode, with those that belong to it.
    pub(crate) fn delete(&mut self, ino: Ino) -> Result<(), Stop> {
        if let Some(attr) = self.node(ino)?.attr.clone() {
            for other in [attr.dir.table, attr.xattr_pnode] {
                if other != PnodeId(0) {
                    self.node(Ino::of(other))?; // it has to be known to be deleted
                    self.delete(Ino::of(other))?;
                }
            }
        }
        self.nodes.insert(ino, None);
        self.contents.remove(&ino);
        Ok(())
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

    /// A page; `upto` says how far the caller means to go on.
    fn page(&self, ino: Ino, page: u64, upto: u64) -> Result<Option<Arc<Page>>, Stop> {
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

    /// Content from `range`, which may reach beyond the end: zeros there.
    pub(crate) fn read(&self, ino: Ino, range: Range<u64>) -> Result<Vec<u8>, Stop> {
        self.node(ino)?;
        let mut out = vec![0; (range.end - range.start) as usize];
        for (page, within, place) in pieces(range.clone()) {
            if let Some(found) = self.page(ino, page, page_of(range.end) + 1)? {
                out[place..place + within.len()].copy_from_slice(&found.bytes[within]);
            }
        }
        Ok(out)
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

    /// Writes content; the pnode grows as needed.
    pub(crate) fn write(&mut self, ino: Ino, offset: u64, bytes: &[u8]) -> Result<(), Stop> {
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
        let node = self.node_mut(ino)?;
        node.size = node.size.max(end);
        Ok(())
    }

    /// Writes zeros within the present size.
    pub(crate) fn zero(&mut self, ino: Ino, range: Range<u64>) -> Result<(), Stop> {
        for (page, within, _) in pieces(range.clone()) {
            if !matches!(self.find(ino, page)?, Found::Zeros) {
                self.page_mut(ino, page, page_of(range.end) + 1)?.fill_zeros(within);
            }
        }
        Ok(())
    }

    /// Makes a range nothing, as far as the file goes.
    pub(crate) fn punch(&mut self, ino: Ino, range: Range<u64>) -> Result<(), Stop> {
        let size = self.node(ino)?.size;
        // Behind the end there is nothing: a last block that goes so far goes whole.
        let behind = size.next_multiple_of(BLOCK_PAGES * PAGE as u64);
        let end = if range.end >= size { behind } else { range.end };
        if range.start >= size {
            return Ok(());
        }
        let (first, last) = (range.start.div_ceil(PAGE as u64), page_of(end));
        if first >= last {
            return self.zero(ino, range.start..end.min(size));
        }
        self.zero(ino, range.start..first * PAGE as u64)?;
        self.zero(ino, last * PAGE as u64..end)?;
        self.contents.entry(ino).or_default().punch(first..last);
        Ok(())
    }

    /// Sets the size.
    pub(crate) fn truncate(&mut self, ino: Ino, size: u64) -> Result<(), Stop> {
        self.check_size(ino, size)?;
        let old = self.node(ino)?.size;
        if size < old {
            let within = (size % PAGE as u64) as usize;
            let page = page_of(size);
            if within > 0 && !matches!(self.find(ino, page)?, Found::Zeros) {
                self.page_mut(ino, page, page + 1)?.fill_zeros(within..PAGE);
            }
            let cut = size.div_ceil(PAGE as u64);
            self.contents.entry(ino).or_default().punch(cut..Holes::END);
        }
        self.node_mut(ino)?.size = size;
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
        self.nodes.is_empty() && self.contents.is_empty()
    }

    /// Bytes the current wave grows by, at most.
    pub(crate) fn bytes(&self) -> u64 {
        let bytes = |content: &Content| (content.pages.len() * PAGE) as u64 + content.holes.bytes();
        let contents: u64 = self.contents.values().map(bytes).sum();
        contents + self.nodes.len() as u64 * NODE_BYTES
    }

    /// Whether nothing of it takes room but what deleting takes. A hole gives more than it takes if there
    /// are at least as many whole blocks in it as at its ends.
    pub(crate) fn frees(&self) -> bool {
        self.removes
            || self.nodes.values().any(Option::is_none)
            || self.nodes.values().flatten().any(|n| n.attr.as_ref().is_some_and(|a| a.nlink == 0))
            || self.contents.values().flat_map(|content| content.holes.iter()).any(|hole| {
                let first = hole.start.div_ceil(BLOCK_PAGES);
                hole.end / BLOCK_PAGES >= first + 2
            })
    }

    /// Carries it out.
    pub(crate) fn apply(self, cache: &mut Cache, now: Time) {
        if self.is_empty() {
            return;
        }
        cache.numbers.drain(..self.numbers);
        for (ino, node) in self.nodes {
            match node {
                None => cache.remove(ino, now),
                Some(node) => {
                    let orphan = node.attr.as_ref().is_some_and(|attr| attr.nlink == 0);
                    cache.set_orphan(ino, orphan);
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
