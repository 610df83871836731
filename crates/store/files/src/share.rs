//! Lending and borrowing content.
//!
//! Content that is borrowed is never written again: it is a *body*, in an inode's pnode or in one of its
//! own, that counts who borrows it. Who wrote it borrows it too, and goes on in an empty pnode beside.
//! What nobody borrows of a body is given up as soon as one is left who borrows it, and it is known who.

use std::ops::Range;
use std::sync::Arc;

use pegasus_base::PnodeId;

use crate::cache::{Kind, Node, Stop};
use crate::extents::{BLOCK, BLOCK_PAGES, EXTENTS_INLINE, EXTENTS_MAX, Extents, Run};
use crate::format::attr::{Attr, Role};
use crate::txn::Txn;
use crate::{FilesError, Ino};

/// Fewer blocks are copied rather than borrowed.
const BLOCKS_MIN: u64 = 2;

impl Txn<'_> {
    /// Lets a file have whole blocks of another, from a block's beginning in both, by borrowing them. So
    /// many bytes; 0 if they are better copied.
    pub(crate) fn share(
        &mut self,
        (from, from_offset): (Ino, u64),
        (to, to_offset): (Ino, u64),
        len: u64,
    ) -> Result<u64, Stop> {
        let size = self.size(from)?;
        let mut end = from_offset.saturating_add(len).min(size);
        let to_end = |end: u64| to_offset + end.saturating_sub(from_offset);
        // The last block of a file is whole, as nothing is behind it; there, too, nothing may be.
        if end < size || to_end(end) < self.size(to)? {
            end -= end % BLOCK;
        }
        if end < from_offset + BLOCKS_MIN * BLOCK {
            return Ok(0);
        }
        self.check_size(to, to_end(end))?;
        let blocks = from_offset / BLOCK..end.div_ceil(BLOCK);
        let have = |txn: &Self, ino| txn.attr(ino).map(|attr| attr.sharing.extents.clone());
        let there = have(self, from)?.within(blocks.clone()).len();
        if there + have(self, to)?.len() >= EXTENTS_MAX {
            return Ok(0);
        }
        if !have(self, from)?.gaps(blocks.clone()).is_empty() {
            self.freeze(from)?;
        }
        let runs = have(self, from)?.within(blocks.clone());
        let first = to_offset / BLOCK;
        let target = first..first + (blocks.end - blocks.start);
        self.hold(&runs)?;
        let own = self.claim(to, target.start * BLOCK..target.end * BLOCK)?;
        self.raw_punch(own, target.start * BLOCK_PAGES..target.end * BLOCK_PAGES);
        let mut extents = (*have(self, to)?).clone();
        for (block, run) in &runs {
            if !extents.refers_to(run.body) {
                self.raw_attr_mut(run.body)?.sharing.lent += 1;
            }
            extents.insert(block - blocks.start + first, *run);
        }
        self.set_extents(to, extents.clone())?;
        self.release(&runs)?;
        for body in runs.iter().map(|(_, run)| run.body).filter(|_| from == to) {
            // What was in the way may have been the body's last use of a part.
            if self.attr(body)?.sharing.lent == 1 {
                let blocks = self.node(body)?.size.div_ceil(BLOCK);
                self.give_up(body, &extents, 0..blocks);
            }
        }
        let node = self.raw_node_mut(own)?;
        node.size = node.size.max(to_end(end));
        Ok(end - from_offset)
    }

    /// Keeps bodies while what refers to them changes.
    fn hold(&mut self, runs: &[(u64, Run)]) -> Result<(), Stop> {
        for (_, run) in runs {
            self.raw_attr_mut(run.body)?.sharing.lent += 1;
        }
        Ok(())
    }

    fn release(&mut self, runs: &[(u64, Run)]) -> Result<(), Stop> {
        for (_, run) in runs {
            self.raw_attr_mut(run.body)?.sharing.lent -= 1;
        }
        Ok(())
    }

    /// Lets an inode borrow what it has of its own: from now on nobody writes that, and it can be lent.
    pub(crate) fn freeze(&mut self, ino: Ino) -> Result<(), Stop> {
        let old = self.content_of(ino)?;
        let size = self.size(ino)?;
        let mut extents = (*self.attr(ino)?.sharing.extents).clone();
        let gaps = extents.gaps(0..size.div_ceil(BLOCK));
        if gaps.is_empty() {
            return Ok(());
        }
        let fresh = self.create(Kind::Body, Some(Attr::body(self.now)))?;
        self.raw_node_mut(fresh)?.size = size;
        let body = &mut self.raw_attr_mut(old)?.sharing;
        (body.lent, body.home) = (1, ino);
        for gap in gaps {
            let run = Run { count: gap.end - gap.start, body: old, at: gap.start };
            extents.insert(gap.start, run);
        }
        self.raw_attr_mut(ino)?.sharing.content = fresh.pnode();
        self.set_extents(ino, extents)?;
        self.use_sharing();
        Ok(())
    }

    /// Lets an inode without content have all that another one borrows.
    pub(crate) fn lend(&mut self, from: Ino, to: Ino) -> Result<(), Stop> {
        let extents = self.attr(from)?.sharing.extents.clone();
        for body in extents.bodies() {
            self.raw_attr_mut(body)?.sharing.lent += 1;
        }
        let size = self.size(from)?;
        self.raw_node_mut(to)?.size = size;
        self.set_extents(to, (*extents).clone())
    }

    /// An inode borrows these blocks no more.
    pub(crate) fn let_go(&mut self, ino: Ino, blocks: Range<u64>) -> Result<(), Stop> {
        let mut extents = (*self.attr(ino)?.sharing.extents).clone();
        let gone = extents.cut(blocks);
        self.set_extents(ino, extents.clone())?;
        let mut bodies: Vec<Ino> = gone.iter().map(|run| run.body).collect();
        bodies.sort_unstable();
        bodies.dedup();
        for body in bodies {
            if !extents.refers_to(body) {
                self.take_back(ino, body)?;
            } else if self.attr(body)?.sharing.lent == 1 {
                for run in gone.iter().filter(|run| run.body == body) {
                    self.give_up(body, &extents, run.blocks());
                }
            }
        }
        Ok(())
    }

    /// An inode borrows nothing of a body any more.
    pub(crate) fn take_back(&mut self, ino: Ino, body: Ino) -> Result<(), Stop> {
        let attr = self.raw_attr_mut(body)?;
        let why = "more borrow its content than it counts";
        let lent = attr.sharing.lent.checked_sub(1);
        attr.sharing.lent = lent.ok_or(FilesError::Damaged { pnode: body.pnode(), why })?;
        if attr.sharing.home == ino {
            attr.sharing.home = Ino(0);
        }
        let (lent, home, role) = (attr.sharing.lent, attr.sharing.home, attr.role);
        match lent {
            0 if role == Role::Body => self.raw_delete(body),
            0 => self.raw_clear(body),
            1 if home != Ino(0) => {
                let extents = self.attr(home)?.sharing.extents.clone();
                let blocks = self.node(body)?.size.div_ceil(BLOCK);
                self.give_up(body, &extents, 0..blocks);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Gives up blocks of a body that only one borrows, but for those it does.
    fn give_up(&mut self, body: Ino, extents: &Extents, blocks: Range<u64>) {
        for unused in extents.unused(body, blocks) {
            self.raw_punch(body, unused.start * BLOCK_PAGES..unused.end * BLOCK_PAGES);
        }
    }

    fn set_extents(&mut self, ino: Ino, extents: Extents) -> Result<(), Stop> {
        let many = extents.len() > EXTENTS_INLINE;
        let table = self.attr(ino)?.sharing.table;
        let table = match table {
            PnodeId(0) if many => self.create(Kind::Extents, None)?.pnode(),
            PnodeId(0) => PnodeId(0),
            table if !many => {
                self.raw_delete(Ino::of(table))?;
                PnodeId(0)
            }
            table => table,
        };
        let sharing = &mut self.raw_attr_mut(ino)?.sharing;
        (sharing.table, sharing.extents) = (table, Arc::new(extents));
        if many {
            let (bytes, table) = (sharing.emit_table(), Ino::of(table));
            self.raw_write(table, 0, &bytes)?;
            self.raw_truncate(table, bytes.len() as u64)?;
        }
        Ok(())
    }

    /// Deletes an inode, with all that belongs to it. Its content stays as long as others borrow it.
    pub(crate) fn delete(&mut self, ino: Ino) -> Result<(), Stop> {
        let attr = self.attr(ino)?.clone();
        for body in attr.sharing.extents.bodies() {
            self.take_back(ino, body)?;
        }
        let sharing = &attr.sharing;
        for other in [attr.dir.table, attr.xattr_pnode, sharing.table, sharing.content] {
            if other != PnodeId(0) {
                self.raw_delete(Ino::of(other))?;
            }
        }
        self.removes = true;
        let lent = self.attr(ino)?.sharing.lent;
        if lent == 0 {
            return self.raw_delete(ino);
        }
        let mut body = Attr::body(attr.btime);
        body.sharing.lent = lent;
        let node = self.raw_node_mut(ino)?;
        *node = Node { attr: Some(Arc::new(body)), ..node.clone() };
        Ok(())
    }
}
