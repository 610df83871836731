//! Reading pieces of blocks: no more sectors than hold them, where the disks are well.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::atomic::Ordering::Relaxed;

use pegasus_disk::SECTOR;

use crate::array::{Array, Fragments};
use crate::code::xor_into;
use crate::format::fragment::{BlockHeader, HEADER_BYTES, slice_bytes};
use crate::format::pnode::LogAddr;
use crate::patience::Fitness;
use crate::{Extent, LogError, SegmentId, SegmentRef};

/// So many pieces that have to be computed are worth reading their block whole.
const REBUILT_MIN: usize = 4;

impl Array {
    /// Reads a piece of a log block in `segment`, as few sectors as hold it; or the whole block, to
    /// rebuild it.
    pub(crate) fn read_piece(
        &self,
        addr: &LogAddr,
        segment: &SegmentRef,
    ) -> Result<Vec<u8>, LogError> {
        if segment.columns.len() < usize::from(addr.data) {
            return Err(self.damaged_piece(addr, "its address does not fit its segment"));
        }
        if let Some(bytes) = self.read_piece_directly(addr, segment) {
            return Ok(bytes);
        }
        if let Some(bytes) = self.read_piece_by_parity(addr, segment) {
            self.count_rebuilt();
            return Ok(bytes);
        }
        let range = addr.offset as usize..addr.offset as usize + addr.len_bytes as usize;
        let whole = |blocks: Vec<Fragments>| {
            let whole = blocks.into_iter().filter(Fragments::suffice);
            let pieces = whole.filter_map(|fragments| {
                fragments.into_payload().get(range.clone()).map(<[u8]>::to_vec)
            });
            pieces.into_iter().find(|bytes| crc32c::crc32c(bytes) == addr.crc)
        };
        let wanted = |header: &BlockHeader| header.seq == addr.seq && header.data == addr.data;
        let sectors = u32::from(addr.sectors);
        whole(self.read_block_quickly(addr, segment, wanted))
            .or_else(|| whole(self.read_row(segment, addr.row, sectors, wanted)))
            .inspect(|_| {
                self.rebuilt.fetch_add(1, Relaxed);
            })
            .ok_or_else(|| {
                self.damaged_piece(addr, "neither its fragments nor their parity hold it")
            })
    }

    /// The fragments of a block that disks hold which are not slow.
    fn read_block_quickly(
        &self,
        addr: &LogAddr,
        segment: &SegmentRef,
        wanted: impl Fn(&BlockHeader) -> bool,
    ) -> Vec<Fragments> {
        let Some((quick, spare)) = self.quick_columns(addr, segment) else { return Vec::new() };
        self.read_columns(segment, &quick, addr.row, u32::from(addr.sectors), spare, wanted)
    }

    /// The columns with fragments of a block on disks that are not slow, and how many more than it takes; `None` if they are
    /// fewer.
    fn quick_columns(&self, addr: &LogAddr, segment: &SegmentRef) -> Option<(Vec<usize>, usize)> {
        let (data, columns) = (usize::from(addr.data), segment.columns.len());
        let in_slot = addr.row.checked_add(u32::from(addr.sectors))? <= self.geometry.rows();
        let fragments = data + self.geometry.parity_of(columns);
        let places = (0..fragments).map(|at| (addr.seq as usize % columns + at) % columns);
        let is_quick = |column: &usize| {
            let column = segment.columns[*column];
            self.geometry.holds(column) && self.disks.fitness(column.disk) == Fitness::Quick
        };
        let quick: Vec<usize> = places.take(columns).filter(is_quick).collect();
        let spare = quick.len().checked_sub(data)?;
        (in_slot && addr.sectors > 0).then_some((quick, spare))
    }

    fn damaged_piece(&self, addr: &LogAddr, why: &str) -> LogError {
        let what = format!("{} bytes in block {} of {}", addr.len_bytes, addr.seq, addr.segment);
        LogError::Damaged { what, why: why.to_owned() }
    }

    fn read_piece_directly(&self, addr: &LogAddr, segment: &SegmentRef) -> Option<Vec<u8>> {
        let (extents, cuts) = self.sectors_of(addr, segment)?;
        let mut bytes = Vec::with_capacity(addr.len_bytes as usize);
        let spare = self.geometry.parity_of(segment.columns.len());
        for (buf, (from, len)) in self.read_patiently(&extents, spare).into_iter().zip(cuts) {
            bytes.extend_from_slice(&buf?.ok()?[from..from + len]);
        }
        if crc32c::crc32c(&bytes) == addr.crc {
            return Some(bytes);
        }
        extents.iter().for_each(|(extent, _)| self.disks.count_error(extent.disk));
        None
    }

    /// Reads a piece of which a part is on a disk that is not quick: that part is the exclusive-or of the same bytes
    /// of the block's other fragments, of which no more is read than that.
    fn read_piece_by_parity(&self, addr: &LogAddr, segment: &SegmentRef) -> Option<Vec<u8>> {
        if self.geometry.parity != 1 || segment.columns.len() <= usize::from(addr.data) {
            return None;
        }
        let slice = slice_bytes(u32::from(addr.sectors));
        let (mut at, mut left) = (addr.offset as usize, addr.len_bytes as usize);
        let mut bytes = Vec::with_capacity(left);
        while left > 0 {
            let (position, from) = (at / slice, at % slice);
            let here = left.min(slice - from);
            bytes.extend(self.read_slice_part(addr, segment, position, from..from + here)?);
            at += here;
            left -= here;
        }
        (crc32c::crc32c(&bytes) == addr.crc).then_some(bytes)
    }

    /// Bytes of the slice at `position` of a block, from its disk or, if that is not quick, from all others.
    fn read_slice_part(
        &self,
        addr: &LogAddr,
        segment: &SegmentRef,
        position: usize,
        part: Range<usize>,
    ) -> Option<Vec<u8>> {
        let data = usize::from(addr.data);
        let columns = &segment.columns;
        let column = |position: usize| {
            columns[(addr.seq as usize % columns.len() + position) % columns.len()]
        };
        let is_quick =
            |position: usize| self.disks.fitness(column(position).disk) == Fitness::Quick;
        let from: Vec<usize> = match position < data && is_quick(position) {
            true => vec![position],
            false => (0..=data).filter(|other| *other != position).collect(),
        };
        if position >= data || !from.iter().all(|position| is_quick(*position)) {
            return None;
        }
        let first = (HEADER_BYTES + part.start) / SECTOR;
        let end = (HEADER_BYTES + part.end).div_ceil(SECTOR);
        let extent =
            |position: usize| self.geometry.extent(column(position), addr.row + first as u32);
        let extents: Vec<_> =
            from.into_iter().map(|position| (extent(position), (end - first) * SECTOR)).collect();
        let begin = HEADER_BYTES + part.start - first * SECTOR;
        let mut sum = vec![0; part.len()];
        for buf in self.read_extents(&extents) {
            xor_into(&mut sum, &buf.ok()?[begin..begin + part.len()]);
        }
        Some(sum)
    }

    /// Reads pieces all at the same time, each with the segment it is in; what is side by side on a disk in one go. Blocks of
    /// which several are on a disk that is slow or gone are read whole. Those that are not there right away are left out.
    pub(crate) fn read_pieces(&self, pieces: &[(LogAddr, SegmentRef)]) -> Vec<(LogAddr, Vec<u8>)> {
        let whole = self.blocks_to_rebuild(pieces);
        let (of_whole, single): (Vec<_>, Vec<_>) =
            pieces.iter().partition(|(addr, _)| whole.contains(&block_of(addr)));
        let mut read = self.read_single_pieces(&single);
        read.extend(self.read_pieces_of_blocks(of_whole));
        read
    }

    /// Blocks of which so many pieces are on disks that are not quick that the other fragments give them at once.
    fn blocks_to_rebuild(&self, pieces: &[(LogAddr, SegmentRef)]) -> BTreeSet<(SegmentId, u32)> {
        let mut lost: BTreeMap<_, usize> = BTreeMap::new();
        for (addr, segment) in pieces {
            let fits = segment.columns.len() >= usize::from(addr.data);
            if fits && self.sectors_of(addr, segment).is_none() {
                *lost.entry(block_of(addr)).or_default() += 1;
            }
        }
        lost.into_iter().filter(|(_, lost)| *lost >= REBUILT_MIN).map(|(block, _)| block).collect()
    }

    /// Pieces of blocks, by all of their fragments there are, which are read all at the same time.
    fn read_pieces_of_blocks(
        &self,
        mut pieces: Vec<&(LogAddr, SegmentRef)>,
    ) -> Vec<(LogAddr, Vec<u8>)> {
        pieces.sort_by_key(|(addr, _)| block_of(addr));
        let blocks: Vec<_> = pieces.chunk_by(|a, b| block_of(&a.0) == block_of(&b.0)).collect();
        let columns =
            |block: &[&(LogAddr, SegmentRef)]| self.quick_columns(&block[0].0, &block[0].1);
        let columns: Vec<(Vec<usize>, usize)> =
            blocks.iter().map(|block| columns(block).unwrap_or_default()).collect();
        let mut extents = Vec::new();
        for (block, (columns, _)) in blocks.iter().zip(&columns) {
            let (addr, segment) = block[0];
            let extent = |column: &usize| self.geometry.extent(segment.columns[*column], addr.row);
            let len = usize::from(addr.sectors) * SECTOR;
            extents.extend(columns.iter().map(|column| (extent(column), len)));
        }
        let of_disk = |extent: &(Extent, usize)| {
            extents.iter().filter(|other| other.0.disk == extent.0.disk).count()
        };
        // A disk's, if all blocks can do without it.
        let spare = columns.iter().map(|(_, spare)| *spare).min().unwrap_or(0);
        let spare = spare * extents.iter().map(of_disk).max().unwrap_or(0);
        let mut read = self.read_patiently(&extents, spare).into_iter();
        let late = || Err("not waited for".to_owned());
        let mut found = Vec::new();
        for (block, (columns, _)) in blocks.into_iter().zip(columns) {
            let own = read.by_ref().take(columns.len());
            let own: Vec<_> = own.map(|outcome| outcome.unwrap_or_else(late)).collect();
            let (first, segment) = block[0];
            let wanted =
                |header: &BlockHeader| header.seq == first.seq && header.data == first.data;
            let sectors = u32::from(first.sectors);
            let blocks =
                self.read_columns_by(segment, &columns, first.row, sectors, wanted, |_| own);
            if let Some(whole) = blocks.into_iter().find(Fragments::suffice) {
                self.count_rebuilt();
                found.extend(cut(&whole.into_payload(), block));
            }
        }
        found
    }

    fn read_single_pieces(&self, pieces: &[&(LogAddr, SegmentRef)]) -> Vec<(LogAddr, Vec<u8>)> {
        let mut parts = Vec::new();
        for (addr, segment) in pieces {
            let fits = segment.columns.len() >= usize::from(addr.data);
            if let Some((extents, cuts)) = fits.then(|| self.sectors_of(addr, segment)).flatten() {
                parts.push((*addr, extents, cuts));
            }
        }
        let runs = joined(parts.iter().flat_map(|(_, extents, _)| extents.iter().copied()));
        let of_disk =
            |run: &(Extent, usize)| runs.iter().filter(|r| r.0.disk == run.0.disk).count();
        let spare = runs.iter().map(of_disk).max().unwrap_or(0);
        let read = self.read_patiently(&runs, spare);
        let sectors = |(extent, len): &(Extent, usize)| {
            let at = runs
                .partition_point(|run| (run.0.disk, run.0.offset) <= (extent.disk, extent.offset));
            let (run, buf) = (runs[at - 1].0, read[at - 1].as_ref()?.as_ref().ok()?);
            let from = (extent.offset - run.offset) as usize;
            Some(&buf[from..from + len])
        };
        let whole = |(addr, extents, cuts): (LogAddr, Sectors, Vec<(usize, usize)>)| {
            let mut bytes = Vec::with_capacity(addr.len_bytes as usize);
            for (extent, (from, len)) in extents.iter().zip(cuts) {
                bytes.extend_from_slice(&sectors(extent)?[from..from + len]);
            }
            (crc32c::crc32c(&bytes) == addr.crc).then_some((addr, bytes))
        };
        parts.into_iter().filter_map(whole).collect()
    }

    /// The sectors that hold a piece, and what of each of these runs is the piece's; `None` if a disk is not quick.
    fn sectors_of(
        &self,
        addr: &LogAddr,
        segment: &SegmentRef,
    ) -> Option<(Sectors, Vec<(usize, usize)>)> {
        let slice = slice_bytes(u32::from(addr.sectors));
        let (mut at, mut left) = (addr.offset as usize, addr.len_bytes as usize);
        let (mut extents, mut cuts) = (Vec::new(), Vec::new());
        while left > 0 {
            let (position, from) = (at / slice, at % slice);
            let here = left.min(slice - from);
            let columns = segment.columns.len();
            if position >= usize::from(addr.data) {
                return None;
            }
            let column = segment.columns[(addr.seq as usize % columns + position) % columns];
            let first = (HEADER_BYTES + from) / SECTOR;
            let end = (HEADER_BYTES + from + here).div_ceil(SECTOR);
            let extent = self.geometry.extent(column, addr.row + first as u32);
            match self.disks.fitness(column.disk) {
                Fitness::Quick => {}
                Fitness::Slow => {
                    self.disks.shed(extent, (end - first) * SECTOR);
                    return None;
                }
                Fitness::Dead => return None,
            }
            extents.push((extent, (end - first) * SECTOR));
            cuts.push((HEADER_BYTES + from - first * SECTOR, here));
            at += here;
            left -= here;
        }
        Some((extents, cuts))
    }
}

/// Pieces of a block's payload that are what they should be.
fn cut<'a>(
    payload: &'a [u8],
    pieces: &'a [&(LogAddr, SegmentRef)],
) -> impl Iterator<Item = (LogAddr, Vec<u8>)> + 'a {
    pieces.iter().filter_map(|(addr, _)| {
        let bytes = payload.get(addr.offset as usize..)?.get(..addr.len_bytes as usize)?;
        (crc32c::crc32c(bytes) == addr.crc).then(|| (*addr, bytes.to_vec()))
    })
}

/// The block a piece is in.
fn block_of(addr: &LogAddr) -> (SegmentId, u32) {
    (addr.segment, addr.row)
}

/// The same sectors in as few runs as there are, by disk and place.
fn joined(extents: impl Iterator<Item = (Extent, usize)>) -> Vec<(Extent, usize)> {
    let mut sorted: Vec<(Extent, usize)> = extents.collect();
    sorted.sort_by_key(|(extent, _)| (extent.disk, extent.offset));
    let mut runs: Vec<(Extent, usize)> = Vec::with_capacity(sorted.len());
    for (extent, len) in sorted {
        let end = extent.offset + len as u64;
        match runs.last_mut() {
            Some((run, run_len))
                if run.disk == extent.disk && extent.offset <= run.offset + *run_len as u64 =>
            {
                *run_len = (*run_len).max((end - run.offset) as usize);
            }
            _ => runs.push((extent, len)),
        }
    }
    runs
}

/// Runs of sectors, each with its length in bytes.
type Sectors = Vec<(Extent, usize)>;
