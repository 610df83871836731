//! Writing a checkpoint.
//!
//! In this order: what changed in pnodes, then the leaves of their maps, their images, the pages of
//! images, and the body; each into the log behind the last transaction. When all of it is durable, the
//! pointer is written into one of two slots on every disk, in turn, and made durable. Only then are
//! slots that were freed before it used again. A crash anywhere leaves the checkpoint before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use pegasus_base::{PnodeId, Time};
use pegasus_disk::AlignedBuf;

use crate::alloc::Purpose;
use crate::disks::Write;
use crate::format::checkpoint::{Body, LogSegment, Pointer};
use crate::format::pnode::{LogAddr, PageAddrs};
use crate::format::record::{PieceKind, Record};
use crate::garbage::{Accounts, GARBAGE_PNODE, Hole, parse_file};
use crate::gate::Urgent;
use crate::geometry::POINTER_OFFSETS;
use crate::log::Log;
use crate::log_plan::{LogPlan, Means, Planned};
use crate::pnode::{Changed, Pnode};
use crate::pnodes::{Page, page_of};
use crate::writer::{Shared, Writer};
use crate::{Column, LogError, SegmentId, SegmentRef};

/// More pnodes than these are not kept in memory when nothing changed in them.
const KNOWN_MAX: usize = 1 << 16;

/// What a checkpoint is about to make true; nothing of it is, until it is written.
struct Draft {
    /// Changed pnodes as they will be.
    pnodes: BTreeMap<PnodeId, Pnode>,
    /// Changed pages as they will be.
    pages: BTreeMap<usize, PageAddrs>,
    accounts: Accounts,
    /// Log segments that are free after it.
    dead: Vec<LogSegment>,
}

/// The checkpoint on its way into the log.
struct Placing<'a> {
    plan: LogPlan,
    means: Means<'a>,
    /// Log segments allocated for it that the accounts know already.
    known: usize,
}

/// A body in the log, and what its pointer says of it.
struct PlacedBody {
    parts: Vec<LogAddr>,
    crc: u32,
}

impl Log {
    /// Writes a checkpoint; in a fresh segment if `relocate`.
    pub(crate) fn write_checkpoint(
        &self,
        writer: &mut Writer,
        now: Time,
        relocate: bool,
    ) -> Result<(), LogError> {
        let _urgent = Urgent::begin();
        self.check_writable()?;
        let living = self.array.disks.living();
        let mut alloc = writer.alloc.clone();
        let commit = writer.commit + 1;
        let purpose = Purpose::Checkpoint;
        let mut means = self.means(&mut alloc, writer.next_segment, commit, purpose);
        let plan = if relocate {
            LogPlan::fresh(&mut means)?
        } else {
            LogPlan::at(writer.cursor.clone(), writer.next.clone())
        };
        let mut kept = vec![plan.cursor.segment.id, plan.chain[0].id];
        kept.extend(writer.content);
        let mut draft = self.draft(writer, &kept)?;
        let mut placing = Placing { plan, means, known: 0 };
        let images = draft.place_pnodes(&mut placing)?;
        let pages = draft.place_pages(&mut placing, images, &self.shared.read())?;
        let placed = self.place_body(writer, &mut draft, &mut placing, &pages)?;
        let Placing { plan, means, .. } = placing;
        let next_segment = means.next_segment;
        // From here on it is written, and either becomes the state or poisons the log.
        self.write_blocks(&plan.blocks)?;
        self.write_pointer(writer, now, commit, &plan, &placed)?;
        alloc.release_pending();
        for log in &draft.dead {
            alloc.release(&log.segment.columns);
        }
        writer.alloc = alloc;
        writer.next_segment = next_segment;
        writer.now = now;
        writer.living = living;
        writer.settled_by(commit, plan, placed.parts);
        let freed = draft.dead.len() as u64;
        let mut shared = self.shared.write();
        draft.apply(&mut shared, pages);
        self.note_usage(writer, &mut shared);
        self.count_checkpoint(freed);
        Ok(())
    }

    /// Takes together what changed, and closes the accounts of the segments.
    fn draft(&self, writer: &Writer, kept: &[SegmentId]) -> Result<Draft, LogError> {
        let load = |addr: &LogAddr| self.load(addr);
        let segments = self.shared.read().log_segments.clone();
        let accounts = Accounts { segments };
        let mut killed = writer.killed.clone();
        let mut pnodes = BTreeMap::new();
        let mut pages = BTreeMap::new();
        let mut dirty = writer.dirty.clone();
        dirty.insert(GARBAGE_PNODE);
        for id in &dirty {
            if let Some(pnode) = self.find_pnode(*id)? {
                let mut pnode = (*pnode).clone();
                pnode.detach_changed(&load)?;
                killed.append(&mut pnode.take_killed());
                pnodes.insert(*id, pnode);
            }
        }
        let numbers =
            dirty.iter().map(|id| page_of(*id).0).chain(writer.dirty_pages.iter().copied());
        for number in numbers.collect::<BTreeSet<_>>() {
            let page = self.page(number);
            killed.extend(page.as_ref().and_then(|page| page.addr));
            let addrs = match page {
                Some(page) => page.get(&load, PageAddrs::parse)?.clone(),
                None => PageAddrs::empty(),
            };
            pages.insert(number, addrs);
        }
        for (number, place) in dirty.iter().map(|id| page_of(*id)) {
            pages.get_mut(&number).expect("it was put in just now").0[place] = None;
        }
        let mut draft = Draft { pnodes, pages, accounts, dead: Vec::new() };
        killed.iter().for_each(|addr| draft.accounts.died(addr));
        draft.dead = draft.accounts.take_dead(kept);
        let mut holes: Vec<Hole> = killed.iter().map(Hole::of).collect();
        holes.extend(&writer.unsettled);
        self.write_garbage(&mut draft, holes)?;
        Ok(draft)
    }

    fn page(&self, number: usize) -> Option<Arc<Page>> {
        self.shared.read().pnodes.pages.get(number).cloned().flatten()
    }

    /// Appends the holes to the garbage file. That makes holes too, all of which are known as soon as
    /// the file's last block is due to be written anew.
    fn write_garbage(&self, draft: &mut Draft, holes: Vec<Hole>) -> Result<(), LogError> {
        let load = |addr: &LogAddr| self.load(addr);
        let file = draft.pnodes.get_mut(&GARBAGE_PNODE).expect("the garbage file always exists");
        let accounts = &mut draft.accounts;
        let mut entries = Vec::new();
        let mut end = file.size;
        if accounts.should_compact(file.size) {
            let bytes = file.read(0, file.size as usize, &load)?;
            let old = parse_file(&bytes).ok_or_else(|| LogError::Damaged {
                what: "the garbage file".to_owned(),
                why: "its entries make no sense".to_owned(),
            })?;
            accounts.segments.values_mut().for_each(|log| log.holes = 0);
            entries = accounts.enter(&old);
            file.truncate(0, &load)?;
            end = 0;
        }
        entries.extend(accounts.enter(&holes));
        while !entries.is_empty() {
            file.write(end, &entries, &load)?;
            end += entries.len() as u64;
            file.detach_changed(&load)?;
            let killed = file.take_killed();
            killed.iter().for_each(|addr| accounts.died(addr));
            entries = accounts.enter(&killed.iter().map(Hole::of).collect::<Vec<_>>());
        }
        Ok(())
    }

    /// Puts the body behind everything else. It tells of the segments it is itself put into, so those
    /// are allocated first.
    fn place_body(
        &self,
        writer: &Writer,
        draft: &mut Draft,
        placing: &mut Placing<'_>,
        pages: &[Option<Arc<Page>>],
    ) -> Result<PlacedBody, LogError> {
        let rows = placing.means.rows;
        let freed: Vec<Column> =
            draft.dead.iter().flat_map(|log| &log.segment.columns).copied().collect();
        loop {
            placing.settle_segments(&mut draft.accounts);
            let body = Body {
                next_segment: placing.means.next_segment,
                next_pnode: writer.next_pnode,
                slots: placing.means.alloc.snapshot(&freed),
                log_segments: draft.accounts.segments.values().cloned().collect(),
                open_segments: self.shared.read().open.values().cloned().collect(),
                pages: pages.iter().map(|page| page.as_ref().and_then(|page| page.addr)).collect(),
                dying: writer.body.clone(),
            };
            let bytes = body.emit();
            let (cuts, moves) = placing.plan.cut(rows, self.array.geometry.parity, bytes.len());
            if placing.plan.chain.len() > moves {
                let mut pieces = Vec::new();
                let mut rest = &bytes[..];
                for (index, cut) in (0..).zip(cuts) {
                    let (piece, later) = rest.split_at(cut);
                    let owner = writer.checkpoint + 1;
                    pieces.push((PieceKind::Body, owner, index, piece.to_vec()));
                    rest = later;
                }
                let parts = placing.place(&mut draft.accounts, pieces)?;
                assert_eq!(placing.plan.chain.len(), 1, "the body went on as far as was planned");
                return Ok(PlacedBody { parts, crc: crc32c::crc32c(&bytes) });
            }
            placing.plan.ensure_chain(&mut placing.means, moves + 1)?;
        }
    }

    /// Points to the body from all disks: the checkpoint is made when this is durable.
    fn write_pointer(
        &self,
        writer: &Writer,
        now: Time,
        commit: u64,
        plan: &LogPlan,
        body: &PlacedBody,
    ) -> Result<(), LogError> {
        let number = writer.checkpoint + 1;
        let columns = |addr: &LogAddr| -> SegmentRef {
            let block = plan.blocks.iter().find(|block| block.segment.id == addr.segment);
            block.expect("the body is in the plan's blocks").segment.clone()
        };
        let pointer = Pointer {
            array: self.array.id,
            number,
            commit,
            time: now,
            body_crc: body.crc,
            cursor: plan.cursor.clone(),
            next: plan.chain[0].clone(),
            parts: body.parts.iter().map(|addr| (*addr, columns(addr))).collect(),
        };
        let Some(sector) = pointer.emit() else {
            return Err(
                self.poison("the checkpoint has more parts than can be pointed to".to_owned())
            );
        };
        let buf = Arc::new(AlignedBuf::from_slice(&sector));
        let offset = POINTER_OFFSETS[(number % 2) as usize];
        let disks = self.array.disks.living();
        let writes: Vec<Write> =
            disks.into_iter().map(|disk| Write { disk, offset, buf: buf.clone() }).collect();
        if self.array.disks.write_durably(writes).contains(&true) {
            return Ok(());
        }
        Err(self.poison("no disk takes the checkpoint".to_owned()))
    }
}

impl Writer {
    /// A checkpoint is durable: nothing was changed since.
    fn settled_by(&mut self, commit: u64, mut plan: LogPlan, body: Vec<LogAddr>) {
        self.commit = commit;
        self.settled = commit;
        self.checkpoint += 1;
        self.next = plan.chain.pop_front().expect("the next segment is always known");
        self.cursor = plan.cursor;
        // The body before this one was kept in case this one's pointer had not arrived.
        self.killed = std::mem::replace(&mut self.body, body);
        self.unsettled.clear();
        self.placed.clear();
        self.dirty.clear();
        self.dirty_pages.clear();
        self.log_bytes = 0;
        self.changed = Changed::default();
    }
}

impl Draft {
    /// Places content, leaves and images; where the images are.
    fn place_pnodes(
        &mut self,
        placing: &mut Placing<'_>,
    ) -> Result<Vec<(PnodeId, LogAddr)>, LogError> {
        let mut pieces = Vec::new();
        for pnode in self.pnodes.values_mut() {
            for (block, content) in pnode.take_changed() {
                pieces.push((PieceKind::Content, pnode.id.0, block, content.to_vec()));
            }
        }
        let owners: Vec<_> = pieces.iter().map(|(_, owner, block, _)| (*owner, *block)).collect();
        for ((owner, block), addr) in
            owners.into_iter().zip(placing.place(&mut self.accounts, pieces)?)
        {
            self.pnode(owner).place_block(block, addr);
        }
        let mut pieces = Vec::new();
        for pnode in self.pnodes.values_mut() {
            for (number, bytes) in pnode.dirty_leaves() {
                pieces.push((PieceKind::Leaf, pnode.id.0, u64::from(number), bytes));
            }
        }
        let owners: Vec<_> = pieces.iter().map(|(_, owner, leaf, _)| (*owner, *leaf)).collect();
        for ((owner, leaf), addr) in
            owners.into_iter().zip(placing.place(&mut self.accounts, pieces)?)
        {
            self.pnode(owner).place_leaf(leaf as u32, addr);
        }
        let images = self
            .pnodes
            .values()
            .map(|pnode| (PieceKind::Image, pnode.id.0, pnode.version, pnode.to_image().emit()));
        let addrs = placing.place(&mut self.accounts, images.collect())?;
        let mut images = Vec::new();
        for (pnode, addr) in self.pnodes.values_mut().zip(addrs) {
            pnode.image = Some(addr);
            images.push((pnode.id, addr));
        }
        Ok(images)
    }

    fn pnode(&mut self, id: u64) -> &mut Pnode {
        self.pnodes.get_mut(&PnodeId(id)).expect("the piece came from it")
    }

    /// Places the changed pages; all pages as they will be.
    fn place_pages(
        &mut self,
        placing: &mut Placing<'_>,
        images: Vec<(PnodeId, LogAddr)>,
        shared: &Shared,
    ) -> Result<Vec<Option<Arc<Page>>>, LogError> {
        for (id, addr) in images {
            let (number, place) = page_of(id);
            let page = self.pages.get_mut(&number).expect("the pages of changed pnodes are here");
            page.0[place] = Some(addr);
        }
        let mut pages = shared.pnodes.pages.clone();
        let (mut pieces, mut full) = (Vec::new(), Vec::new());
        for (number, addrs) in &self.pages {
            pages.resize(pages.len().max(number + 1), None);
            pages[*number] = None;
            if addrs.0.iter().any(Option::is_some) {
                pieces.push((PieceKind::Page, 0, *number as u64, addrs.emit()));
                full.push((*number, addrs.clone()));
            }
        }
        let addrs = placing.place(&mut self.accounts, pieces)?;
        for ((number, page), addr) in full.into_iter().zip(addrs) {
            pages[number] = Some(Arc::new(Page::placed(page, addr)));
        }
        Ok(pages)
    }

    /// The checkpoint is durable: makes it the state.
    fn apply(self, shared: &mut Shared, pages: Vec<Option<Arc<Page>>>) {
        shared.pnodes.pages = pages;
        if shared.pnodes.known.len() > KNOWN_MAX {
            shared.pnodes.known.clear(); // all of it is on the disks now
        }
        shared.pnodes.known.retain(|_, known| known.is_some());
        for (id, pnode) in self.pnodes {
            shared.pnodes.known.insert(id, Some(Arc::new(pnode)));
        }
        shared.log_segments = self.accounts.segments;
    }
}

impl Placing<'_> {
    /// Puts pieces into the log and counts them.
    fn place(
        &mut self,
        accounts: &mut Accounts,
        pieces: Vec<(PieceKind, u64, u64, Vec<u8>)>,
    ) -> Result<Vec<LogAddr>, LogError> {
        let first = self.plan.blocks.len();
        let mut bytes = Vec::with_capacity(pieces.len());
        let mut records = Vec::with_capacity(pieces.len());
        for (kind, owner, index, piece) in pieces {
            let record = Record::Piece { kind, owner, index, bytes: piece };
            records.push(record.emit());
            let Record::Piece { bytes: piece, .. } = record else { unreachable!("just made") };
            bytes.push(piece);
        }
        let places = self.plan.append(&mut self.means, true, &records)?;
        self.settle_segments(accounts);
        let addrs: Vec<LogAddr> =
            places.iter().zip(&bytes).map(|(place, piece)| self.plan.addr(*place, piece)).collect();
        self.plan.blocks[first..]
            .iter()
            .map(Planned::records)
            .for_each(|hole| accounts.written(&hole));
        addrs.iter().for_each(|addr| accounts.born(addr));
        Ok(addrs)
    }

    /// Makes the accounts know of all segments that were allocated.
    fn settle_segments(&mut self, accounts: &mut Accounts) {
        for segment in &self.plan.allocated[self.known..] {
            accounts.segments.insert(segment.id, LogSegment::new(segment.clone()));
        }
        self.known = self.plan.allocated.len();
    }
}
