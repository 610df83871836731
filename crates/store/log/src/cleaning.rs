//! The cleaner at work: reading segments, and making owners write anew what is alive in them.
//!
//! A pass reads without any lock. Content it moves by a batch, as a client would that wrote the same once
//! more; leaves, images and pages it marks, and the next checkpoint moves them. A crash leaves all where it
//! was or where it is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use pegasus_base::PnodeId;
use pegasus_disk::{AlignedBuf, SECTOR};

use crate::array::Fragments;
use crate::cleaner::{Cleaner, Victim, choose, rank};
use crate::format::bytes::Fields;
use crate::format::checkpoint::LogSegment;
use crate::format::fragment::{BlockHeader, FragmentHeader, SegmentKind};
use crate::format::pnode::{CONTENT_BYTES, LogAddr};
use crate::format::record::{HEAD_BYTES, PIECE_HEAD_BYTES, PieceKind, Record, parse_payload};
use crate::garbage::{ENTRY_BYTES, GARBAGE_PNODE, Hole};
use crate::log::{Log, usable};
use crate::log_plan::LOG_DATA;
use crate::writer::{Shared, Writer};
use crate::{DiskIndex, LogError, SegmentId, SegmentRef, stripe};

/// Bytes of the garbage file read at once.
const GARBAGE_READ_BYTES: usize = 1 << 20;
/// Garbage below so many segments' worth is left alone while there is room.
const GARBAGE_SEGMENTS_MIN: u64 = 16;
/// With less than one slot of so many free, cleaning can't wait.
const URGENT_SHARE: u64 = 33;
/// With less than one slot of so many free, garbage should not be what takes the room.
const SCARCE_SHARE: u64 = 10;
/// More entries than these are not left alone, whatever they amount to.
const ENTRIES_MAX: u64 = 4 << 20;
/// What a pass moves is so many times what the checkpoint after it writes whatever was changed, within
/// bounds: time for whoever waits for the writer, and memory.
const PASS_FACTOR: u64 = 10;
const PASS_BYTES: (u64, u64) = (4 << 20, 32 << 20);
/// Fewer content blocks than these are left to the checkpoint.
const PLACED_PIECES_MIN: usize = 16;

/// What a cleaning pass did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cleaned {
    /// Segments looked through.
    pub segments: u64,
    /// Bytes that the next checkpoint moves. Segments become free with it.
    pub moved_bytes: u64,
}

/// How badly cleaning is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cleaning {
    /// There is room and little garbage.
    NotNeeded,
    /// Half of the log is garbage: at leisure.
    Worthwhile,
    /// Slots run short: now.
    Urgent,
}

/// A piece that may be alive.
struct Piece {
    kind: PieceKind,
    index: u64,
    addr: LogAddr,
    bytes: Bytes,
}

/// Pieces by their owner: a pnode, or the table of pages.
type Pieces = BTreeMap<u64, Vec<Piece>>;

impl Log {
    /// Whether a pass is worth its while.
    #[must_use]
    pub fn cleaning(&self) -> Cleaning {
        let shared = self.shared.read();
        let (all, live) = self.log_bytes(&shared);
        let entries: u64 = shared.log_segments.values().map(|log| log.holes).sum();
        let dead = all.saturating_sub(live);
        let capacity = u64::from(self.array.geometry.unit_bytes);
        let slots = self.staying_slots();
        let staying = self.array.disks.staying();
        let usage = &shared.usage;
        let free = staying.iter().map(|disk| usize::from(disk.0));
        let free: u64 = free.map(|at| u64::from(usage.free[at] + usage.pending[at])).sum();
        drop(shared);
        let enough = dead >= GARBAGE_SEGMENTS_MIN * capacity;
        match () {
            () if self.read_only || self.poison.get().is_some() => Cleaning::NotNeeded,
            () if dead <= 4 * capacity => Cleaning::NotNeeded,
            () if free * URGENT_SHARE < slots => Cleaning::Urgent,
            // Retention begins to delete here; but what is nearly full is better left to empty more.
            () if free * SCARCE_SHARE < slots && dead * 4 > all => Cleaning::Urgent,
            () if (enough && dead > live) || entries > ENTRIES_MAX => Cleaning::Worthwhile,
            () => Cleaning::NotNeeded,
        }
    }

    /// Bytes that can be written anew at present, what is kept for deleting included.
    fn room_to_move(&self, shared: &Shared) -> u64 {
        let (usage, geometry) = (&shared.usage, &self.array.geometry);
        let free = |disk: DiskIndex| {
            u64::from(usage.free[usize::from(disk.0)].saturating_sub(usage.aside))
        };
        let free: Vec<u64> = self.array.disks.taking().into_iter().map(free).collect();
        // As if all went into the log, which takes most: as many copies as there is parity, and one.
        let width = geometry.parity_of(free.len()) as u64 + 1;
        usable(&free, width) / width * u64::from(geometry.unit_bytes) * 7 / 8
    }

    /// What the segments of the log and of content hold, parity apart, and how much of it is alive.
    pub(crate) fn log_bytes(&self, shared: &Shared) -> (u64, u64) {
        let segments = shared.log_segments.values();
        let bytes = segments.map(|log| (self.capacity_bytes(&log.segment), log.live_bytes));
        bytes.fold((0, 0), |(all, live), (more, alive)| (all + more, live + alive))
    }

    /// How much a pass should move while there is room, so that the checkpoint after it, which has a bit for
    /// each slot of the array, hardly counts.
    #[must_use]
    pub fn pass_bytes(&self) -> u64 {
        let geometry = &self.array.geometry;
        let slots: u64 = geometry.slots.iter().map(u64::from).sum();
        let written = slots / 8 * u64::from(LOG_DATA + geometry.parity);
        (PASS_FACTOR * written).clamp(PASS_BYTES.0, PASS_BYTES.1)
    }

    /// What a segment of the log or of content holds, parity apart.
    fn capacity_bytes(&self, segment: &SegmentRef) -> u64 {
        let parity = self.array.geometry.parity_of(segment.columns.len());
        u64::from(self.array.geometry.unit_bytes) * (segment.columns.len() - parity) as u64
    }

    /// One pass: marks what is alive in some segments of the log to be written anew, up to `budget_bytes`
    /// of it; they are free after the next checkpoint, which is the caller's. Others go on meanwhile.
    ///
    /// Reads all columns but parity's number for each segment, and, when a new run begins, the garbage file once for
    /// many passes: the cost depends on the garbage, not on the store.
    ///
    /// # Errors
    /// If the garbage file or the map of an owner can't be read; [`LogError::ReadOnly`],
    /// [`LogError::Poisoned`].
    pub fn clean(&self, budget_bytes: u64) -> Result<Cleaned, LogError> {
        self.check_writable()?;
        let mut cleaner = self.cleaner.lock();
        if cleaner.is_idle() {
            let segments = self.shared.read().log_segments.clone();
            cleaner.forget(|id| segments.contains_key(&id));
            let kept = self.log_ends();
            let capacity = |log: &LogSegment| self.capacity_bytes(&log.segment);
            let candidates = cleaner.candidates(segments.values(), &kept, capacity);
            let next = kept.iter().map(|id| id.0).max().unwrap_or(0) + 1;
            let ranked = rank(candidates, next);
            let entries = segments.values().map(|log| log.holes).sum();
            let chosen = choose(&ranked, entries, budget_bytes);
            let order = ranked.iter().filter(|candidate| chosen.contains(&candidate.id));
            let refs = order.map(|candidate| segments[&candidate.id].segment.clone()).collect();
            self.begin_run(&mut cleaner, refs)?;
        }
        self.clean_some(&mut cleaner, budget_bytes)
    }

    /// Begins a run over these segments.
    pub(crate) fn begin_run(
        &self,
        cleaner: &mut Cleaner,
        segments: Vec<SegmentRef>,
    ) -> Result<(), LogError> {
        let chosen = segments.iter().map(|segment| segment.id).collect();
        let (holes, entries) = self.holes_of(&chosen)?;
        cleaner.begin(segments, &holes);
        let mut cleaned = self.cleaned.lock();
        cleaned.runs += 1;
        cleaned.entries_read += entries;
        Ok(())
    }

    /// Goes on with a run: up to `budget_bytes` of what is alive.
    pub(crate) fn clean_some(
        &self,
        cleaner: &mut Cleaner,
        budget_bytes: u64,
    ) -> Result<Cleaned, LogError> {
        let victims = {
            let shared = self.shared.read();
            let live = |id| shared.log_segments.get(&id).map(|log| log.live_bytes);
            cleaner.take(budget_bytes, self.room_to_move(&shared), live)
        };
        let mut pieces = Pieces::new();
        let mut read_bytes = 0;
        for victim in &victims {
            read_bytes += self.read_victim(victim, &mut pieces);
        }
        let (moved_pieces, moved_bytes) = self.move_pieces(pieces)?;
        let mut cleaned = self.cleaned.lock();
        cleaned.segments += victims.len() as u64;
        cleaned.read_bytes += read_bytes;
        cleaned.moved_pieces += moved_pieces;
        cleaned.moved_bytes += moved_bytes;
        Ok(Cleaned { segments: victims.len() as u64, moved_bytes })
    }

    /// The segments that the log is being written to: they are not cleaned.
    pub(crate) fn log_ends(&self) -> Vec<SegmentId> {
        let writer = self.writer.lock();
        [writer.cursor.segment.id, writer.next.id].into_iter().chain(writer.content).collect()
    }

    /// The holes listed for some segments, and how many entries were read to find them.
    fn holes_of(&self, chosen: &BTreeSet<SegmentId>) -> Result<(Vec<Hole>, u64), LogError> {
        let mut holes = Vec::new();
        let mut offset = 0;
        let chunk = GARBAGE_READ_BYTES / ENTRY_BYTES * ENTRY_BYTES;
        if chosen.is_empty() {
            return Ok((holes, 0));
        }
        loop {
            let bytes = self.read_pnode(GARBAGE_PNODE, offset, chunk)?;
            let mut fields = Fields::new(&bytes);
            while let Some(hole) = Hole::take(&mut fields) {
                if chosen.contains(&hole.segment) {
                    holes.push(hole);
                }
            }
            offset += bytes.len() as u64;
            if bytes.len() < chunk {
                return Ok((holes, offset / ENTRY_BYTES as u64));
            }
        }
    }

    /// Collects the pieces of a segment that are no holes; how many bytes were read for that. What can't
    /// be read stays where it is.
    fn read_victim(&self, victim: &Victim, pieces: &mut Pieces) -> u64 {
        let array = &self.array;
        let columns = &victim.segment.columns;
        let len = array.geometry.unit_bytes as usize;
        // As many columns as there is data are enough; of a log segment that is one.
        let spare = array.geometry.parity_of(columns.len());
        let first = victim.column + spare;
        let read: Vec<usize> =
            (spare..columns.len()).map(|at| (first + at - spare) % columns.len()).collect();
        let extents: Vec<_> =
            read.iter().map(|at| (array.geometry.extent(columns[*at], 0), len)).collect();
        let bufs: Vec<(usize, AlignedBuf)> = read
            .into_iter()
            .zip(array.read_extents(&extents))
            .filter_map(|(at, buf)| Some((at, buf.ok()?)))
            .collect();
        let mut row = 0;
        while row < array.geometry.rows() {
            let Some(fragments) = self.fragments_at(victim, &bufs, row) else { break };
            let header = fragments.header;
            row += header.sectors;
            if fragments.suffice() {
                collect(victim, &header, &fragments.payload_or_rebuilt(), pieces);
            }
        }
        bufs.iter().map(|(_, buf)| buf.len() as u64).sum()
    }

    /// The fragments of the block at a row, out of whole columns; those that are valid.
    fn fragments_at(
        &self,
        victim: &Victim,
        bufs: &[(usize, AlignedBuf)],
        row: u32,
    ) -> Option<Fragments> {
        let from = row as usize * SECTOR;
        let headers = bufs.iter().filter_map(|(column, buf)| {
            let header = FragmentHeader::parse(&buf[from..])?;
            let belongs = self.array.belongs(&header, &victim.segment, row, *column);
            (belongs && header.block.kind != SegmentKind::Void).then_some(header.block)
        });
        // Of several the newest: another was given up, and this one written in its place.
        let block = headers.max_by_key(|block| block.commit)?;
        let mut got: Vec<Option<AlignedBuf>> = (0..block.fragments()).map(|_| None).collect();
        for (_, buf) in bufs {
            let bytes = &buf[from..from + block.sectors as usize * SECTOR];
            if let Ok(header) = stripe::verify(bytes, |header| header.block == block) {
                got[usize::from(header.position)] = Some(AlignedBuf::from_slice(bytes));
            }
        }
        Some(Fragments { header: block, got })
    }

    /// Makes the owners of pieces write them anew if they still know them by these addresses. How many,
    /// and their bytes.
    fn move_pieces(&self, mut pieces: Pieces) -> Result<(u64, u64), LogError> {
        let load = |addr: &LogAddr| self.load(addr);
        // What has to be read for it is read before the lock is taken.
        for (owner, pieces) in &pieces {
            if let Some(pnode) = self.find_pnode(PnodeId(*owner))? {
                for piece in pieces.iter().filter(|piece| piece.kind == PieceKind::Content) {
                    pnode.knows_block(piece.index, &piece.addr, &load)?;
                }
            }
        }
        let (mut moved_pieces, mut moved_bytes) = self.place_anew(&mut pieces)?;
        for (owner, pieces) in pieces {
            let mut writer = self.writer.lock();
            self.check_writable()?;
            for piece in self.mark(&mut writer, PnodeId(owner), pieces)? {
                moved_pieces += 1;
                moved_bytes += u64::from(piece.len_bytes);
            }
        }
        Ok((moved_pieces, moved_bytes))
    }

    /// Moves whole content blocks, if they are many, into a content segment, at once; takes them out of
    /// `pieces`.
    fn place_anew(&self, pieces: &mut Pieces) -> Result<(u64, u64), LogError> {
        let whole =
            |piece: &Piece| piece.kind == PieceKind::Content && piece.bytes.len() == CONTENT_BYTES;
        let count = pieces.values().flatten().filter(|piece| whole(piece)).count();
        if count < PLACED_PIECES_MIN {
            return Ok((0, 0));
        }
        let mut batch = self.batch();
        batch.gives_room();
        let mut moved = 0;
        for (owner, pieces) in pieces {
            let content = pieces.extract_if(.., |piece| whole(piece));
            let content: Vec<_> = content.map(|p| (p.index, p.addr, p.bytes)).collect();
            if !content.is_empty() {
                moved += batch.move_content(PnodeId(*owner), content)? as u64;
            }
        }
        self.commit(batch)?;
        Ok((moved, moved * CONTENT_BYTES as u64))
    }

    /// Marks the pieces of one owner; returns those that were alive.
    fn mark(
        &self,
        writer: &mut Writer,
        owner: PnodeId,
        pieces: Vec<Piece>,
    ) -> Result<Vec<LogAddr>, LogError> {
        let load = |addr: &LogAddr| self.load(addr);
        if owner == PnodeId(0) {
            let shared = self.shared.read();
            let alive = pieces.iter().filter(|piece| mark_page(writer, &shared, piece));
            return Ok(alive.map(|piece| piece.addr).collect());
        }
        let Some(found) = self.find_pnode(owner)? else { return Ok(Vec::new()) };
        let mut pnode = (*found).clone();
        let mut marked = Vec::new();
        for Piece { kind, index, addr, bytes } in pieces {
            let alive = match kind {
                PieceKind::Content => pnode.move_block(index, &addr, bytes, &load)?,
                PieceKind::Leaf => pnode.move_leaf(index, &addr, &load)?,
                PieceKind::Image => pnode.image == Some(addr),
                PieceKind::Page | PieceKind::Body => false,
            };
            if alive {
                marked.push(addr);
            }
        }
        if !marked.is_empty() {
            writer.dirty.insert(owner);
            writer.changed += pnode.changed_size();
            writer.changed -= found.changed_size();
            self.shared.write().pnodes.known.insert(owner, Some(Arc::new(pnode)));
        }
        Ok(marked)
    }
}

fn mark_page(writer: &mut Writer, shared: &Shared, piece: &Piece) -> bool {
    let number = usize::try_from(piece.index).ok().filter(|_| piece.kind == PieceKind::Page);
    let page = number.and_then(|number| shared.pnodes.pages.get(number)?.as_ref());
    let alive = page.is_some_and(|page| page.addr == Some(piece.addr));
    if let (true, Some(number)) = (alive, number) {
        writer.dirty_pages.insert(number);
    }
    alive
}

/// Adds the pieces of a block that are no holes. Transactions hold none; parts of a checkpoint's body
/// die by themselves.
fn collect(victim: &Victim, block: &BlockHeader, payload: &[u8], pieces: &mut Pieces) {
    let Some((head, records)) = parse_payload(payload).filter(|(head, _)| head.pieces) else {
        return;
    };
    debug_assert!(!head.last, "pieces are no transaction");
    let mut offset = HEAD_BYTES as u32;
    for record in records {
        let Record::Piece { kind, owner, index, bytes } = record else {
            offset += record.emit().len() as u32;
            continue;
        };
        let len_bytes = bytes.len() as u32;
        let at = offset;
        offset += PIECE_HEAD_BYTES as u32 + len_bytes;
        if kind == PieceKind::Body || victim.is_hole(block.row, at) {
            continue;
        }
        let addr = LogAddr {
            segment: block.segment,
            row: block.row,
            seq: block.seq,
            data: block.data,
            sectors: block.sectors as u16, // at most a slot's
            offset: at + PIECE_HEAD_BYTES as u32,
            len_bytes,
            crc: crc32c::crc32c(&bytes),
        };
        pieces.entry(owner).or_default().push(Piece { kind, index, addr, bytes: bytes.into() });
    }
}
