//! Content in memory: pages, and what changed since the last flush.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// Length of a page in bytes.
pub(crate) const PAGE: usize = 4096;

/// A page of content, and which of its bytes changed.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    pub(crate) bytes: Box<[u8]>,
    pub(crate) changed: Range<usize>,
}

impl Page {
    /// A page as it is on disk; what is missing at its end is zeros.
    pub(crate) fn clean(bytes: &[u8]) -> Self {
        let mut page = vec![0; PAGE];
        page[..bytes.len()].copy_from_slice(bytes);
        Self { bytes: page.into(), changed: 0..0 }
    }

    pub(crate) fn write(&mut self, at: usize, bytes: &[u8]) {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
        self.touch(at..at + bytes.len());
    }

    pub(crate) fn fill_zeros(&mut self, range: Range<usize>) {
        self.bytes[range.clone()].fill(0);
        self.touch(range);
    }

    fn touch(&mut self, range: Range<usize>) {
        self.changed = match self.changed.is_empty() {
            true => range,
            false => self.changed.start.min(range.start)..self.changed.end.max(range.end),
        };
    }
}

/// What changed in a pnode's content since a moment. Pages here hide those below; so does `cut`.
#[derive(Clone, Debug)]
pub(crate) struct Layer {
    pub(crate) pages: BTreeMap<u64, Arc<Page>>,
    /// Pages from this one on were cut off: what is below them counts no more.
    pub(crate) cut: u64,
}

impl Default for Layer {
    fn default() -> Self {
        Self { pages: BTreeMap::new(), cut: u64::MAX }
    }
}

impl Layer {
    pub(crate) fn is_empty(&self) -> bool {
        self.pages.is_empty() && self.cut == u64::MAX
    }

    /// Gives up all pages from `cut` on. Returns how many were in memory.
    pub(crate) fn cut(&mut self, cut: u64) -> usize {
        self.cut = self.cut.min(cut);
        self.pages.split_off(&cut).len()
    }

    /// What it says of a page.
    pub(crate) fn find(&self, page: u64) -> Found {
        match self.pages.get(&page) {
            Some(found) => Found::Page(found.clone()),
            None if page >= self.cut => Found::Zeros,
            None => Found::Below,
        }
    }
}

/// What a layer says of a page.
#[derive(Clone, Debug)]
pub(crate) enum Found {
    /// It is this.
    Page(Arc<Page>),
    /// It is all zeros.
    Zeros,
    /// Nothing: the layer below is to be asked.
    Below,
}

/// Number of the page with byte `offset`.
pub(crate) fn page_of(offset: u64) -> u64 {
    offset / PAGE as u64
}
