//! The offline check: every byte the log knows of, and every slot accounted for.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use pegasus_disk::SECTOR;

use crate::alloc::Allocator;
use crate::array::Probe;
use crate::format::block::Column;
use crate::format::checkpoint::{LogSegment, Pointer};
use crate::format::fragment::SegmentKind;
use crate::format::pnode::{Image, LeafAddrs, LogAddr, PageAddrs};
use crate::format::record::parse_payload;
use crate::garbage::{GARBAGE_PNODE, Hole, parse_file};
use crate::geometry::POINTER_OFFSETS;
use crate::recovery::read_pointers;
use crate::scan::{Sighting, sight};
use crate::tail::record_bytes;
use crate::{BlockMap, DiskIndex, DiskState, Extent, Log, Owner, SegmentId, SegmentRef};

/// No more problems than this are listed; the rest is counted.
const PROBLEMS_MAX: usize = 200;

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct CheckReport {
    /// Whether everything is as it should be.
    pub ok: bool,
    /// Segments looked at, of the log and of recordings.
    pub segments_read: u64,
    /// Units verified, as counted by the owner of the continuous segments.
    pub units_verified: u64,
    /// What is wrong, a sentence each, naming disk and offset where it can.
    pub problems: Vec<String>,
    /// What is worth saying though nothing is wrong.
    pub remarks: Vec<String>,
}

fn place(column: &Column) -> String {
    format!("slot {} of {}", column.slot, column.disk)
}

/// "slot 1 of disk 2 is marked" or "… are marked".
fn are(places: &[String]) -> String {
    const MOST: usize = 12;
    let more = match places.len() {
        0..=MOST => String::new(),
        len => format!(" and {} more", len - MOST),
    };
    let verb = if places.len() == 1 { "is" } else { "are" };
    format!("{}{more} {verb} marked", places[..places.len().min(MOST)].join(", "))
}

/// Checks a log that nobody writes to. The log's own part is done by [`Checker::new`]; then the owner of
/// continuous segments claims each of them and has its blocks verified; [`Checker::finish`] tells of
/// slots that nobody claimed.
#[derive(Debug)]
pub struct Checker<'a> {
    log: &'a Log,
    report: CheckReport,
    unlisted: u64,
    /// Slots in use as the log counts them.
    alloc: Allocator,
    claimed: BTreeSet<Column>,
}

impl<'a> Checker<'a> {
    /// Verifies checkpoint pointers, log segments, garbage file and pnodes. What is wrong with superblocks
    /// and missing disks, [`Recovery::problems`](crate::Recovery::problems) says.
    #[must_use]
    pub fn new(log: &'a Log) -> Self {
        let alloc = log.writer.lock().alloc.clone();
        let report = CheckReport::default();
        let mut checker = Self { log, report, unlisted: 0, alloc, claimed: BTreeSet::new() };
        checker.check_disks();
        checker.check_pointers();
        let segments = log.shared.read().log_segments.clone();
        for segment in segments.values() {
            checker.claim(&segment.segment, "the log");
            if !checker.holds_content(segment) {
                checker.check_log_segment(segment);
            }
        }
        let live = checker.check_live(&segments);
        checker.check_content(&segments, &live);
        checker.check_garbage(&segments);
        checker
    }

    /// Says that `segment` is in use, by `who` (for messages). Reports slots that are marked free or
    /// claimed twice.
    pub fn claim(&mut self, segment: &SegmentRef, who: &str) {
        self.report.segments_read += 1;
        for column in &segment.columns {
            let place = format!("slot {} of {}", column.slot, column.disk);
            if !self.log.array.geometry.holds(*column) {
                self.problem(format!(
                    "{} of {who} is in {place}, which does not exist",
                    segment.id
                ));
            } else if !self.alloc.owns(&[*column]) {
                self.problem(format!(
                    "{} of {who} is in {place}, which is marked free",
                    segment.id
                ));
            } else if !self.claimed.insert(*column) {
                self.problem(format!(
                    "{} of {who} is in {place}, which is another's too",
                    segment.id
                ));
            }
        }
    }

    /// Verifies every fragment of a block, and its parity. Returns the payload if it can be read at all.
    pub fn block(&mut self, map: &BlockMap, who: &str) -> Option<Bytes> {
        let (payload, wrong) = self.log.array.read_block_fully(map);
        for (position, sentence) in wrong {
            let sentence = format!("block {} of {} of {who}: {sentence}", map.seq, map.segment);
            match self.log.torn.contains(&(map.segment, map.seq, position)) {
                true => self.remark(format!(
                    "{sentence}; from a crash, and written anew with the next start"
                )),
                false => self.problem(sentence),
            }
        }
        payload.map_err(|error| self.problem(format!("{who}: {error}"))).ok()
    }

    /// Adds what the owner found wrong.
    pub fn problem(&mut self, sentence: String) {
        if self.report.problems.len() < PROBLEMS_MAX {
            self.report.problems.push(sentence);
        } else {
            self.unlisted += 1;
        }
    }

    /// Adds what is worth saying though nothing is wrong.
    pub fn remark(&mut self, sentence: String) {
        self.report.remarks.push(sentence);
    }

    /// Counts units the owner verified.
    pub fn units_verified(&mut self, units: u64) {
        self.report.units_verified += units;
    }

    /// Accounts for all slots and sums up. `name` says whose segments are, for messages.
    #[must_use]
    pub fn finish(mut self, name: impl Fn(Owner) -> String) -> CheckReport {
        let orphans = self.log.unclaimed(&self.claimed);
        let survey = self.log.survey(&orphans, &mut |_| {});
        for segment in survey.segments {
            let places: Vec<String> = segment.columns.iter().flatten().map(place).collect();
            let (id, blocks, whose) = (segment.id, segment.blocks(), name(segment.owner));
            self.problem(format!(
                "{} in use, and nobody's: there is {id} of {whose}, of which {blocks} blocks can be read",
                are(&places)
            ));
        }
        if !survey.unknown.is_empty() {
            let places: Vec<String> = survey.unknown.iter().map(place).collect();
            self.problem(format!(
                "{} in use, and nobody's: nothing of a recording is there",
                are(&places)
            ));
        }
        if self.unlisted > 0 {
            let more = format!("{} more problems are not listed", self.unlisted);
            self.report.problems.push(more);
        }
        self.report.ok = self.report.problems.is_empty();
        self.report
    }

    fn check_disks(&mut self) {
        for disk in self.log.status().disks {
            match disk.state {
                DiskState::Failed => self.problem(format!("disk {} has failed", disk.path)),
                DiskState::Rebuilding => {
                    self.problem(format!("disk {} is not rebuilt yet", disk.path));
                }
                DiskState::Ok | DiskState::Missing | DiskState::Slow => {}
                DiskState::Leaving | DiskState::Removed => {}
            }
        }
    }

    fn check_pointers(&mut self) {
        let number = self.log.writer.lock().checkpoint;
        let pointers = read_pointers(&self.log.array);
        for disk in self.log.array.disks.living() {
            let path = self.log.array.disks.entry(disk).label.clone();
            let own = |number: u64| {
                pointers.iter().any(|(index, pointer)| (*index, pointer.number) == (disk, number))
            };
            if !own(number) {
                let at = POINTER_OFFSETS[(number % 2) as usize];
                self.problem(format!(
                    "disk {path} offset {at}: does not point to checkpoint {number}"
                ));
            }
            // The one before may not be there: the first, or a disk that is new. It is not nonsense though.
            let at = POINTER_OFFSETS[((number % 2) ^ 1) as usize];
            if !number.checked_sub(1).is_some_and(own) && !self.is_pointer(disk, at) {
                // A cut while it was written leaves that, too: it is no fault of the store.
                self.remark(format!(
                    "disk {path} offset {at}: a damaged pointer to a checkpoint, from a crash or since; a scrub \
                     writes it anew"
                ));
            }
        }
    }

    /// Whether a valid pointer of any age stands there, or nothing.
    fn is_pointer(&self, disk: DiskIndex, offset: u64) -> bool {
        let sector = self.log.array.read_extents(&[(Extent { disk, offset }, SECTOR)]).pop();
        sector.and_then(Result::ok).is_some_and(|sector| {
            sector.iter().all(|byte| *byte == 0) || Pointer::parse(&sector).is_some()
        })
    }

    /// Reads all blocks of a log segment and verifies each of their fragments.
    fn check_log_segment(&mut self, log: &LogSegment) {
        let (mut row, mut seq, mut chain, mut written) = (0, 0, None, 0);
        loop {
            let probe = Probe { segment: &log.segment, row, column: None };
            let found = self.log.array.probe_rows(&[probe]).pop().unwrap_or_default();
            let follows = |header: &crate::format::fragment::BlockHeader| {
                header.kind == SegmentKind::Log
                    && header.seq == seq
                    && chain.is_none_or(|chain| header.previous == chain)
            };
            let mut sightings = sight(found, follows).0.into_iter();
            let Some(sighting) = sightings.find(Sighting::is_enough) else { break };
            let header = sighting.header;
            if written >= log.written_bytes {
                break; // what a crash left behind
            }
            let map = self.log.array.map_of(&header, &log.segment.columns);
            let payload = self.block(&map, "the log");
            match payload.as_deref().and_then(parse_payload) {
                Some((_, records)) => written += record_bytes(&records),
                None => self.problem(format!("block {seq} of {} makes no sense", log.segment.id)),
            }
            row += header.sectors;
            seq += 1;
            chain = Some(header.chain());
        }
        if written != log.written_bytes {
            let (id, wanted) = (log.segment.id, log.written_bytes);
            self.problem(format!("{id} of the log holds {written} bytes of records, not {wanted}"));
        }
    }

    /// Whether it is a content segment.
    fn holds_content(&self, log: &LogSegment) -> bool {
        let probe = Probe { segment: &log.segment, row: 0, column: None };
        let found = self.log.array.probe_rows(&[probe]).pop().unwrap_or_default();
        found.iter().any(|(header, _)| header.block.kind == SegmentKind::Continuous)
            || self.log.shared.read().open.contains_key(&log.segment.id)
    }

    /// Verifies each block of content segments that something refers to. Others may be there that no
    /// transaction named.
    fn check_content(
        &mut self,
        segments: &BTreeMap<SegmentId, LogSegment>,
        live: &BTreeSet<LogAddr>,
    ) {
        let mut blocks: BTreeMap<SegmentId, BTreeSet<(u32, u32)>> = BTreeMap::new();
        for addr in live {
            blocks.entry(addr.segment).or_default().insert((addr.row, addr.seq));
        }
        for (id, places) in blocks {
            let Some(log) = segments.get(&id).filter(|log| self.holds_content(log)) else {
                continue;
            };
            let segment = &log.segment;
            for (row, seq) in places {
                let probe = Probe { segment, row, column: None };
                let found = self.log.array.probe_rows(&[probe]).pop().unwrap_or_default();
                let sightings = sight(found, |header| header.seq == seq).0;
                let Some(sighting) = sightings.into_iter().find(Sighting::is_enough) else {
                    self.problem(format!("block {seq} of {id}, at row {row}, is not there"));
                    continue;
                };
                let map = self.log.array.map_of(&sighting.header, &segment.columns);
                self.block(&map, "the log");
            }
        }
    }

    /// Walks everything the last checkpoint leads to, and compares with the segments' counts. Returns it.
    fn check_live(&mut self, segments: &BTreeMap<SegmentId, LogSegment>) -> BTreeSet<LogAddr> {
        let (mut live, pages) = {
            let writer = self.log.writer.lock();
            let shared = self.log.shared.read();
            let pages: Vec<_> =
                shared.pnodes.pages.iter().flatten().filter_map(|p| p.addr).collect();
            // Of what was killed since the checkpoint only the body before is reached from nowhere.
            let beside = writer.body.iter().chain(&writer.killed).chain(&writer.placed);
            let live: Vec<LogAddr> = beside.copied().collect();
            (live.into_iter().collect::<BTreeSet<_>>(), pages)
        };
        for page in pages {
            let images = self.read_piece(&page, PageAddrs::parse);
            live.insert(page);
            for image in images.into_iter().flat_map(|page| page.0).flatten() {
                self.collect_pnode(&image, &mut live);
            }
        }
        let mut counts: BTreeMap<SegmentId, u64> = BTreeMap::new();
        for addr in &live {
            *counts.entry(addr.segment).or_default() += u64::from(Hole::of(addr).len_bytes);
        }
        for log in segments.values() {
            let found = counts.remove(&log.segment.id).unwrap_or(0);
            if found != log.live_bytes {
                let (id, wanted) = (log.segment.id, log.live_bytes);
                self.problem(format!("{found} bytes of {id} of the log are in use, not {wanted}"));
            }
        }
        for id in counts.keys() {
            self.problem(format!("{id} is in use, and not among the log's"));
        }
        live
    }

    fn collect_pnode(&mut self, addr: &LogAddr, live: &mut BTreeSet<LogAddr>) {
        live.insert(*addr);
        let Some(image) = self.read_piece(addr, Image::parse) else { return };
        for leaf in image.leaves.iter().flatten() {
            live.insert(*leaf);
            let addrs = self.read_piece(leaf, LeafAddrs::parse);
            for content in addrs.into_iter().flat_map(|leaf| leaf.0).flatten() {
                live.insert(content);
                let _ = self.read_piece(&content, |bytes| Some(bytes.len()));
            }
        }
    }

    fn read_piece<T>(&mut self, addr: &LogAddr, parse: impl Fn(&[u8]) -> Option<T>) -> Option<T> {
        match self.log.load(addr) {
            Ok(bytes) => {
                let value = parse(&bytes);
                if value.is_none() {
                    let (seq, segment) = (addr.seq, addr.segment);
                    self.problem(format!("a piece in block {seq} of {segment} makes no sense"));
                }
                value
            }
            Err(error) => {
                self.problem(error.to_string());
                None
            }
        }
    }

    /// Compares the garbage file with what is in use: together they are all that was written.
    fn check_garbage(&mut self, segments: &BTreeMap<SegmentId, LogSegment>) {
        let entries = match self.garbage_entries() {
            Ok(entries) => entries,
            Err(sentence) => return self.problem(sentence),
        };
        let unsettled = self.log.writer.lock().unsettled.clone();
        for log in segments.values() {
            let id = log.segment.id;
            let mut own: Vec<&Hole> = entries.iter().filter(|hole| hole.segment == id).collect();
            own.sort_unstable();
            if own.len() as u64 != log.holes {
                let (found, wanted) = (own.len(), log.holes);
                self.problem(format!(
                    "the garbage file has {found} entries for {id}, not {wanted}"
                ));
            }
            let overlap = own.windows(2).any(|pair| {
                pair[0].row == pair[1].row && pair[0].offset + pair[0].len_bytes > pair[1].offset
            });
            if overlap {
                self.problem(format!("the garbage file's holes in {id} overlap"));
            }
            let new = unsettled.iter().filter(|hole| hole.segment == id);
            let dead: u64 = own.into_iter().chain(new).map(|hole| u64::from(hole.len_bytes)).sum();
            if dead + log.live_bytes != log.written_bytes {
                self.problem(format!(
                    "of {} bytes written to {id} of the log {} are in use and {dead} are not",
                    log.written_bytes, log.live_bytes
                ));
            }
        }
    }

    fn garbage_entries(&self) -> Result<Vec<Hole>, String> {
        let describe = |error: crate::LogError| format!("the garbage file: {error}");
        let info = self.log.pnode(GARBAGE_PNODE).map_err(describe)?;
        let size = info.map_or(0, |info| info.size) as usize;
        let bytes = self.log.read_pnode(GARBAGE_PNODE, 0, size).map_err(describe)?;
        parse_file(&bytes).ok_or_else(|| "the garbage file makes no sense".to_owned())
    }
}
