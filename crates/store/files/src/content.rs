//! Content of inodes: their own, and what they borrow.
//!
//! What an inode's extents cover is read where it is borrowed; everything else from its own content, in its
//! own pnode or one beside it. Before anything is changed it becomes its own: [`Txn::claim`].

use std::ops::Range;

use pegasus_base::PnodeId;

use crate::Ino;
use crate::cache::Stop;
use crate::extents::{BLOCK, BLOCK_PAGES};
use crate::page::{Holes, PAGE, page_of};
use crate::txn::{Txn, pieces};

/// Where a page of an inode is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) pnode: Ino,
    pub(crate) page: u64,
    /// So many pages from there on are beside each other.
    pub(crate) count: u64,
}

impl Place {
    /// Nowhere: the next page is to be looked for.
    pub(crate) const UNKNOWN: Self = Self { pnode: Ino(0), page: 0, count: 0 };

    /// Where the page behind it is.
    pub(crate) fn next(self) -> Self {
        Self { page: self.page + 1, count: self.count - 1, ..self }
    }
}

impl Txn<'_> {
    /// The pnode that an inode's own content is in.
    pub(crate) fn content_of(&self, ino: Ino) -> Result<Ino, Stop> {
        let own = self.node(ino)?.attr.as_ref().map_or(PnodeId(0), |attr| attr.sharing.content);
        Ok(if own == PnodeId(0) { ino } else { Ino::of(own) })
    }

    /// Bytes of content.
    pub(crate) fn size(&self, ino: Ino) -> Result<u64, Stop> {
        Ok(self.node(self.content_of(ino)?)?.size)
    }

    /// Where a page is.
    pub(crate) fn place(&self, ino: Ino, page: u64) -> Result<Place, Stop> {
        let pnode = self.content_of(ino)?;
        let own = |count| Ok(Place { pnode, page, count });
        let Some(attr) = self.node(ino)?.attr.as_ref() else { return own(u64::MAX) };
        let extents = &attr.sharing.extents;
        if extents.is_empty() {
            return own(u64::MAX);
        }
        let (block, within) = (page / BLOCK_PAGES, page % BLOCK_PAGES);
        if let Some(run) = extents.find(block) {
            let page = run.at * BLOCK_PAGES + within;
            return Ok(Place { pnode: run.body, page, count: run.count * BLOCK_PAGES - within });
        }
        own(extents.next(block).map_or(u64::MAX, |next| next * BLOCK_PAGES - page))
    }

    /// Content from `range`, which may reach beyond the end: zeros there.
    pub(crate) fn read(&self, ino: Ino, range: Range<u64>) -> Result<Vec<u8>, Stop> {
        self.node(ino)?;
        let mut out = vec![0; (range.end - range.start) as usize];
        let mut place = Place::UNKNOWN;
        for (page, within, at) in pieces(range.clone()) {
            if place.count == 0 {
                place = self.place(ino, page)?;
            }
            let more = (page_of(range.end) + 1 - page).min(place.count);
            if let Some(found) =
                self.page(place.pnode, place.page, place.page.saturating_add(more))?
            {
                out[at..at + within.len()].copy_from_slice(&found.bytes[within]);
            }
            place = place.next();
        }
        Ok(out)
    }

    /// Writes content; it grows as needed.
    pub(crate) fn write(&mut self, ino: Ino, offset: u64, bytes: &[u8]) -> Result<(), Stop> {
        let end = self.check_size(ino, offset.saturating_add(bytes.len() as u64))?;
        let own = self.claim(ino, offset..end)?;
        self.raw_write(own, offset, bytes)
    }

    /// Makes a range nothing, as far as the file goes.
    pub(crate) fn punch(&mut self, ino: Ino, range: Range<u64>) -> Result<(), Stop> {
        let size = self.size(ino)?;
        if range.start >= size {
            return Ok(());
        }
        // Behind the end there is nothing: a last block that goes so far goes whole.
        let end = if range.end >= size { size.next_multiple_of(BLOCK) } else { range.end };
        let own = self.claim(ino, range.start..end)?;
        let (first, last) = (range.start.div_ceil(PAGE as u64), page_of(end));
        if first >= last {
            return self.raw_zero(own, range.start..end.min(size));
        }
        self.raw_zero(own, range.start..first * PAGE as u64)?;
        self.raw_zero(own, last * PAGE as u64..end)?;
        self.raw_punch(own, first..last);
        Ok(())
    }

    /// Sets the size.
    pub(crate) fn truncate(&mut self, ino: Ino, size: u64) -> Result<(), Stop> {
        self.check_size(ino, size)?;
        self.keep(ino)?;
        let shrinks = size < self.size(ino)?;
        let own = if shrinks { self.claim(ino, size..u64::MAX)? } else { self.content_of(ino)? };
        self.raw_truncate(own, size)
    }

    /// Makes a range of an inode its own, because it is about to be overwritten: what it borrows there is
    /// let go, but for the rest of blocks that are overwritten in part, which is copied. Returns the pnode
    /// to write into.
    pub(crate) fn claim(&mut self, ino: Ino, range: Range<u64>) -> Result<Ino, Stop> {
        self.keep(ino)?;
        let own = self.content_of(ino)?;
        let Some(attr) = self.node(ino)?.attr.as_ref() else { return Ok(own) };
        let extents = attr.sharing.extents.clone();
        if extents.is_empty() {
            return Ok(own);
        }
        let blocks = extents.blocks_of(&range);
        if extents.within(blocks.clone()).is_empty() {
            return Ok(own);
        }
        let size = self.size(ino)?;
        let head = blocks.start * BLOCK..range.start.min(size);
        let tail = range.end..blocks.end.saturating_mul(BLOCK).min(size);
        for rest in [head, tail] {
            let touched = rest.start / BLOCK..rest.end.div_ceil(BLOCK);
            if rest.start < rest.end && !extents.within(touched).is_empty() {
                let bytes = self.read(ino, rest.clone())?;
                self.raw_write(own, rest.start, &bytes)?;
            }
        }
        self.let_go(ino, blocks)?;
        Ok(own)
    }

    /// Copies what an inode holds into a pnode that is empty. Pages of nothing stay nothing.
    pub(crate) fn copy_into(&mut self, from: Ino, to: Ino) -> Result<(), Stop> {
        let size = self.size(from)?;
        for page in 0..size.div_ceil(PAGE as u64) {
            let place = self.place(from, page)?;
            let more = (size.div_ceil(PAGE as u64) - page).min(place.count);
            let found = self.page(place.pnode, place.page, place.page.saturating_add(more))?;
            if let Some(found) = found {
                let offset = page * PAGE as u64;
                let len = (size - offset).min(PAGE as u64) as usize;
                self.raw_write(to, offset, &found.bytes[..len])?;
            }
        }
        self.raw_truncate(to, size)
    }

    /// Gives up all of a pnode's own content.
    pub(crate) fn raw_clear(&mut self, pnode: Ino) -> Result<(), Stop> {
        self.raw_punch(pnode, 0..Holes::END);
        self.raw_node_mut(pnode)?.size = 0;
        Ok(())
    }
}
