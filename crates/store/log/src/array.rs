//! Reading blocks and pieces: verified, and rebuilt where a fragment is bad or its disk dead.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bytes::Bytes;
use pegasus_base::ArrayId;
use pegasus_disk::{AlignedBuf, SECTOR};

use crate::disks::Disks;
use crate::format::fragment::{BlockHeader, FragmentHeader, HEADER_BYTES, slice_bytes};
use crate::format::pnode::LogAddr;
use crate::geometry::Geometry;
use crate::kinds::fragment_holds;
use crate::patience::Fitness;
use crate::reading::Reading;
use crate::stripe;
use crate::{BlockMap, Column, Extent, LogError, SegmentRef};

/// An array of disks with its shape; what is needed to read from it.
#[derive(Debug)]
pub(crate) struct Array {
    pub(crate) id: ArrayId,
    pub(crate) geometry: Geometry,
    pub(crate) disks: Disks,
    rebuilt: AtomicU64,
}

/// The fragments of one block, as far as they could be had.
#[derive(Debug)]
pub(crate) struct Fragments {
    pub(crate) header: BlockHeader,
    /// By position; parity last.
    pub(crate) got: Vec<Option<AlignedBuf>>,
}

impl Fragments {
    fn count(&self) -> usize {
        self.got.iter().flatten().count()
    }

    /// Whether the payload can be had.
    pub(crate) fn suffice(&self) -> bool {
        self.count() >= usize::from(self.header.data)
    }

    /// Rebuilds what is missing; its positions.
    ///
    /// # Panics
    /// If they don't [suffice](Self::suffice).
    pub(crate) fn complete(&mut self) -> Vec<u8> {
        let missing: Vec<u8> =
            (0..self.header.fragments()).filter(|p| self.got[usize::from(*p)].is_none()).collect();
        if let [position] = missing[..] {
            let others: Vec<(u8, &[u8])> = (0_u8..)
                .zip(&self.got)
                .filter_map(|(at, buf)| Some((at, &buf.as_ref()?[..])))
                .collect();
            let rebuilt = stripe::rebuild(&self.header, &others, position);
            self.got[usize::from(position)] = Some(rebuilt);
        }
        assert!(self.got.iter().all(Option::is_some), "a block was rebuilt from too little");
        missing
    }

    /// The payload, copied; what is missing of it is rebuilt, and stays missing here.
    ///
    /// # Panics
    /// If they don't [suffice](Self::suffice).
    pub(crate) fn payload_or_rebuilt(&self) -> Vec<u8> {
        let data = usize::from(self.header.data);
        let len = self.header.payload_bytes as usize;
        let missing = self.got[..data].iter().position(Option::is_none);
        let rebuilt = missing.map(|position| {
            let others: Vec<(u8, &[u8])> = (0_u8..)
                .zip(&self.got)
                .filter_map(|(at, buf)| Some((at, &buf.as_ref()?[..])))
                .collect();
            stripe::rebuild(&self.header, &others, position as u8)
        });
        let mut payload = Vec::with_capacity(len);
        for buf in &self.got[..data] {
            let buf = buf.as_ref().or(rebuilt.as_ref()).expect("the only one missing was rebuilt");
            let slice = &buf[HEADER_BYTES..];
            payload.extend_from_slice(&slice[..slice.len().min(len - payload.len())]);
        }
        payload
    }

    /// The payload; a block of one data fragment is not copied.
    ///
    /// # Panics
    /// If they don't [suffice](Self::suffice).
    pub(crate) fn into_payload(mut self) -> Bytes {
        if self.header.data == 1
            && let Some(buf) = self.got[0].take()
        {
            let len = self.header.payload_bytes as usize;
            return Bytes::from_owner(buf).slice(HEADER_BYTES..HEADER_BYTES + len);
        }
        self.payload_or_rebuilt().into()
    }
}

impl Array {
    pub(crate) fn new(id: ArrayId, geometry: Geometry, disks: Disks) -> Self {
        Self { id, geometry, disks, rebuilt: AtomicU64::new(0) }
    }

    pub(crate) fn count_rebuilt(&self) {
        self.rebuilt.fetch_add(1, Relaxed);
    }

    pub(crate) fn rebuilt_fragments(&self) -> u64 {
        self.rebuilt.load(Relaxed)
    }

    /// The map of a block that lies in `columns`.
    pub(crate) fn map_of(&self, header: &BlockHeader, columns: &[Column]) -> BlockMap {
        let at = |position| self.geometry.extent(columns[header.column(position)], header.row);
        BlockMap {
            segment: header.segment,
            seq: header.seq,
            fragments: (0..header.data).map(at).collect(),
            parity: (header.parity == 1).then(|| at(header.data)),
            fragment_bytes: header.sectors * SECTOR as u32,
            payload_bytes: header.payload_bytes,
            crc: header.payload_crc,
        }
    }

    /// Reads one extent; says in a sentence what is wrong with it.
    pub(crate) fn read_extents(
        &self,
        extents: &[(Extent, usize)],
    ) -> Vec<Result<AlignedBuf, String>> {
        let tickets: Vec<_> = extents
            .iter()
            .map(|(extent, len)| self.disks.submit_read(extent.disk, extent.offset, *len))
            .collect();
        let finish = |((extent, _), ticket): (&(Extent, usize), Option<_>)| match ticket {
            Some(ticket) => {
                self.disks.finish_read(extent.disk, ticket).map_err(|error| error.to_string())
            }
            None => Err(self.missing(*extent)),
        };
        extents.iter().zip(tickets).map(finish).collect()
    }

    pub(crate) fn missing(&self, extent: Extent) -> String {
        format!("disk {} is missing", self.disks.entry(extent.disk).label)
    }

    /// Names the place of a fragment, for messages.
    pub(crate) fn place(&self, extent: Extent) -> String {
        format!("disk {} offset {}", self.disks.entry(extent.disk).label, extent.offset)
    }

    /// Reads a block by its map.
    pub(crate) fn read_block(&self, map: &BlockMap) -> Result<Bytes, LogError> {
        let mut reading = Reading::new(self, map)?;
        let data = map.fragments.len();
        // First what is likely to do; then parity; then what has to be waited for; then disks that were
        // given up.
        let parity = !reading.is_quick(data);
        reading.fetch(true, |at, fitness| fitness == Fitness::Quick && (at < data || parity));
        if !reading.suffice() {
            reading.fetch(true, |_, fitness| fitness == Fitness::Quick);
        }
        if !reading.suffice() {
            reading.forgive();
            reading.fetch(true, |_, fitness| fitness != Fitness::Dead);
        }
        if !reading.suffice() {
            reading.forgive();
            reading.fetch(false, |_, _| true);
        }
        reading.finish()
    }

    /// Reads all fragments of a block on disks that live, and says what is wrong with each, and what it should hold.
    pub(crate) fn read_block_fully(
        &self,
        map: &BlockMap,
    ) -> (Result<Bytes, LogError>, Vec<String>) {
        let mut reading = match Reading::new(self, map) {
            Ok(reading) => reading,
            Err(error) => return (Err(error), Vec::new()),
        };
        reading.fetch(false, |_, fitness| fitness != Fitness::Dead);
        if let Some(wrong) = reading.parity_mismatch() {
            reading.wrong.push(wrong);
        }
        let wrong = reading.wrong.clone();
        if !reading.suffice() {
            reading.fetch(false, |_, _| true);
        }
        let header = reading.header();
        let payload = reading.finish();
        let holds = |position| match (&header, &payload) {
            (Some(header), Ok(payload)) => {
                format!(": fragment {position}, {}", fragment_holds(header, payload, position))
            }
            _ => String::new(),
        };
        let wrong = wrong.into_iter().map(|(at, sentence)| sentence + &holds(at)).collect();
        (payload, wrong)
    }

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
        let (data, columns) = (usize::from(addr.data), segment.columns.len());
        let places = (0..=data).map(|position| (addr.seq as usize % columns + position) % columns);
        let quick = places
            .take(columns)
            .filter(|column| self.disks.fitness(segment.columns[*column].disk) == Fitness::Quick);
        let quick: Vec<usize> = quick.collect();
        let Some(spare) = quick.len().checked_sub(data) else { return Vec::new() };
        self.read_columns(segment, &quick, addr.row, u32::from(addr.sectors), spare, wanted)
    }

    fn damaged_piece(&self, addr: &LogAddr, why: &str) -> LogError {
        let what = format!("{} bytes in block {} of {}", addr.len_bytes, addr.seq, addr.segment);
        LogError::Damaged { what, why: why.to_owned() }
    }

    fn read_piece_directly(&self, addr: &LogAddr, segment: &SegmentRef) -> Option<Vec<u8>> {
        let (extents, cuts) = self.sectors_of(addr, segment)?;
        let mut bytes = Vec::with_capacity(addr.len_bytes as usize);
        let spare = usize::from(segment.columns.len() > usize::from(addr.data));
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
            stripe::xor_into(&mut sum, &buf.ok()?[begin..begin + part.len()]);
        }
        Some(sum)
    }

    /// Reads pieces all at the same time, each with the segment it is in; what is side by side on a disk in one go. Those
    /// that are not there right away - bad, or on a disk that is slow or gone - are left out.
    pub(crate) fn read_pieces(&self, pieces: &[(LogAddr, SegmentRef)]) -> Vec<(LogAddr, Vec<u8>)> {
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

    /// All valid fragments of `sectors` sectors at a row of a segment for which `wanted` holds, by
    /// block: after a crash there may be those of more than one.
    pub(crate) fn read_row(
        &self,
        segment: &SegmentRef,
        row: u32,
        sectors: u32,
        wanted: impl Fn(&BlockHeader) -> bool,
    ) -> Vec<Fragments> {
        let columns: Vec<usize> = (0..segment.columns.len()).collect();
        self.read_columns(segment, &columns, row, sectors, 0, wanted)
    }

    /// As [`Array::read_row`], in some columns, and without waiting for up to `spare` of them.
    fn read_columns(
        &self,
        segment: &SegmentRef,
        columns: &[usize],
        row: u32,
        sectors: u32,
        spare: usize,
        wanted: impl Fn(&BlockHeader) -> bool,
    ) -> Vec<Fragments> {
        let len = sectors as usize * SECTOR;
        let in_slot = row.checked_add(sectors).is_some_and(|end| end <= self.geometry.rows());
        if sectors == 0 || !in_slot {
            return Vec::new();
        }
        let held = |column: &usize| self.geometry.holds(segment.columns[*column]);
        let columns: Vec<usize> = columns.iter().copied().filter(held).collect();
        let extents: Vec<_> = columns
            .iter()
            .map(|column| (self.geometry.extent(segment.columns[*column], row), len))
            .collect();
        let mut blocks: Vec<Fragments> = Vec::new();
        for (column, buf) in columns.into_iter().zip(self.read_patiently(&extents, spare)) {
            let Some(Ok(buf)) = buf else { continue };
            let belongs = |header: &FragmentHeader| {
                self.belongs(header, segment, row, column) && wanted(&header.block)
            };
            if let Ok(header) = stripe::verify(&buf, belongs) {
                let at = blocks.iter().position(|block| block.header == header.block);
                let at = at.unwrap_or_else(|| {
                    let got = (0..header.block.fragments()).map(|_| None).collect();
                    blocks.push(Fragments { header: header.block, got });
                    blocks.len() - 1
                });
                blocks[at].got[usize::from(header.position)] = Some(buf);
            }
        }
        blocks
    }

    /// Whether a fragment with this header may be at `row` of column number `column` of `segment`.
    pub(crate) fn belongs(
        &self,
        header: &FragmentHeader,
        segment: &SegmentRef,
        row: u32,
        column: usize,
    ) -> bool {
        let block = &header.block;
        block.array == self.id
            && block.segment == segment.id
            && block.row == row
            && usize::from(block.columns) == segment.columns.len()
            && block.column(header.position) == column
            && row.checked_add(block.sectors).is_some_and(|end| end <= self.geometry.rows())
    }

    /// Reads the first sectors at several places at the same time; the valid headers that may be there,
    /// with their sectors.
    pub(crate) fn probe_rows(
        &self,
        places: &[Probe<'_>],
    ) -> Vec<Vec<(FragmentHeader, AlignedBuf)>> {
        let mut extents = Vec::new();
        let mut owners = Vec::new();
        for (at, place) in places.iter().enumerate() {
            for (number, column) in place.segment.columns.iter().enumerate() {
                let wanted = place.column.is_none_or(|only| only == number);
                if wanted && place.row < self.geometry.rows() && self.geometry.holds(*column) {
                    extents.push((self.geometry.extent(*column, place.row), SECTOR));
                    owners.push((at, number));
                }
            }
        }
        let mut found: Vec<Vec<_>> = places.iter().map(|_| Vec::new()).collect();
        for ((at, column), buf) in owners.into_iter().zip(self.read_extents(&extents)) {
            let Ok(buf) = buf else { continue };
            let place = &places[at];
            if let Ok(header) = stripe::verify_first(&buf)
                && self.belongs(&header, place.segment, place.row, column)
            {
                found[at].push((header, buf));
            }
        }
        found
    }
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

/// Where to look for headers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Probe<'a> {
    pub(crate) segment: &'a SegmentRef,
    pub(crate) row: u32,
    /// In this column only; in all of them if `None`.
    pub(crate) column: Option<usize>,
}
