//! Reading blocks and pieces: verified, and rebuilt where a fragment is bad or its disk dead.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bytes::Bytes;
use pegasus_base::ArrayId;
use pegasus_disk::{AlignedBuf, Reads, SECTOR};

use crate::disks::Disks;
use crate::format::fragment::{BlockHeader, FragmentHeader, HEADER_BYTES};
use crate::gate::Gate;
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
    pub(crate) rebuilt: AtomicU64,
    pub(crate) gate: Gate,
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
        if !missing.is_empty() {
            let rebuilt = stripe::rebuild(&self.header, &stripe::present(&self.got), &missing);
            for (position, buf) in missing.iter().zip(rebuilt) {
                self.got[usize::from(*position)] = Some(buf);
            }
        }
        missing
    }

    /// The payload, copied; what is missing of it is rebuilt, and stays missing here.
    ///
    /// # Panics
    /// If they don't [suffice](Self::suffice).
    pub(crate) fn payload_or_rebuilt(&self) -> Vec<u8> {
        let data = usize::from(self.header.data);
        let len = self.header.payload_bytes as usize;
        let missing: Vec<u8> = (0_u8..)
            .zip(&self.got[..data])
            .filter_map(|(at, buf)| buf.is_none().then_some(at))
            .collect();
        let rebuilt = match missing.is_empty() {
            true => Vec::new(),
            false => stripe::restore(&self.header, &stripe::present(&self.got), &missing),
        };
        let mut rebuilt = rebuilt.iter();
        let mut payload = Vec::with_capacity(len);
        for buf in &self.got[..data] {
            let slice = match buf {
                Some(buf) => &buf[HEADER_BYTES..],
                None => rebuilt.next().expect("what was missing was rebuilt"),
            };
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
        Self { id, geometry, disks, rebuilt: AtomicU64::new(0), gate: Gate::default() }
    }

    /// As [`Disks::fewest`].
    pub(crate) fn fewest(&self) -> usize {
        self.disks.fewest(self.geometry.parity)
    }

    /// What a read took so far, on the average of all disks, in microseconds.
    pub(crate) fn read_time_us(&self) -> u64 {
        let disks = self.disks.iter().filter_map(|(_, entry)| Some(entry.disk()?.stats()));
        let sums =
            disks.fold((0, 0), |(ns, reads), stats| (ns + stats.read_busy_ns, reads + stats.reads));
        sums.0 / sums.1.max(1) / 1_000
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
            parity: (header.data..header.fragments()).map(at).collect(),
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
        let bytes = extents.iter().map(|(_, len)| len).sum();
        let _passed = self.gate.pass(extents.len(), bytes);
        let mut reads = Reads::new();
        let began = self.disks.add_reads(&mut reads, extents);
        reads.wait_until(None);
        let mut done = reads.into_outcomes();
        let outcome = |((extent, _), read): (&(Extent, usize), Option<usize>)| {
            let read = read.ok_or_else(|| self.missing(*extent))?;
            let ended = done[read].take().expect("all were waited for");
            self.disks.ended_read(extent.disk, ended).map_err(|error| error.to_string())
        };
        extents.iter().zip(began).map(outcome).collect()
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
        let first = reading.first_choice();
        reading.fetch(true, |at, fitness| fitness == Fitness::Quick && at < first);
        reading.complete()
    }

    /// Reads all fragments of a block on disks that live, and says what is wrong with each, by its position, and what it
    /// should hold.
    pub(crate) fn read_block_fully(
        &self,
        map: &BlockMap,
    ) -> (Result<Bytes, LogError>, Vec<(u8, String)>) {
        let mut reading = match Reading::new(self, map) {
            Ok(reading) => reading,
            Err(error) => return (Err(error), Vec::new()),
        };
        reading.fetch(false, |_, fitness| fitness != Fitness::Dead);
        let mut mismatches = reading.parity_mismatches();
        reading.wrong.append(&mut mismatches);
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
        let wrong = wrong.into_iter().map(|(at, sentence)| (at, sentence + &holds(at))).collect();
        (payload, wrong)
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
    pub(crate) fn read_columns(
        &self,
        segment: &SegmentRef,
        columns: &[usize],
        row: u32,
        sectors: u32,
        spare: usize,
        wanted: impl Fn(&BlockHeader) -> bool,
    ) -> Vec<Fragments> {
        self.read_columns_by(segment, columns, row, sectors, wanted, |extents| {
            let late = || Err("not waited for".to_owned());
            let read = self.read_patiently(extents, spare);
            read.into_iter().map(|outcome| outcome.unwrap_or_else(late)).collect()
        })
    }

    /// As [`Array::read_row`], in some columns, which `read` reads.
    pub(crate) fn read_columns_by(
        &self,
        segment: &SegmentRef,
        columns: &[usize],
        row: u32,
        sectors: u32,
        wanted: impl Fn(&BlockHeader) -> bool,
        read: impl FnOnce(&[(Extent, usize)]) -> Vec<Result<AlignedBuf, String>>,
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
        for (column, buf) in columns.into_iter().zip(read(&extents)) {
            let Ok(buf) = buf else { continue };
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
        self.probe_rows_by(places, |extents| self.read_extents(extents))
    }

    /// As [`Array::probe_rows`], of sectors that `read` reads.
    pub(crate) fn probe_rows_by(
        &self,
        places: &[Probe<'_>],
        read: impl FnOnce(&[(Extent, usize)]) -> Vec<Result<AlignedBuf, String>>,
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
        for ((at, column), buf) in owners.into_iter().zip(read(&extents)) {
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

/// Where to look for headers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Probe<'a> {
    pub(crate) segment: &'a SegmentRef,
    pub(crate) row: u32,
    /// In this column only; in all of them if `None`.
    pub(crate) column: Option<usize>,
}
