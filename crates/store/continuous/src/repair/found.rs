//! What lies in slots that nothing lists: streams, put together again by what their blocks say of themselves.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use pegasus_base::{StreamId, StreamName};
use pegasus_log::{BlockMap, Column, Log, Owner, SegmentRef, Surveyed};

use crate::error::Error;
use crate::format::block::{self, Totals};
use crate::format::catalogue::StreamRecord;
use crate::format::index::{self, Entry};

use super::assess::Assessment;
use super::{Progress, RepairPlan};

/// Streams and slots that nothing lists.
#[derive(Debug, Default)]
pub(crate) struct Finds {
    pub(crate) streams: Vec<FoundStream>,
    /// Slots in which nothing of a recording can be read.
    pub(crate) empty: Vec<Column>,
    /// Open segments without a block.
    pub(crate) open_empty: Vec<SegmentRef>,
    /// Blocks of which too little is left.
    lost_blocks: u64,
}

/// A stream that is to be listed anew.
#[derive(Debug)]
pub(crate) struct FoundStream {
    pub(crate) name: StreamName,
    pub(crate) id: StreamId,
    /// Its place in the catalogue, and what stood there.
    pub(crate) before: Option<(u32, StreamRecord)>,
    /// In the order of their units.
    pub(crate) segments: Vec<FoundSegment>,
}

/// A segment, as it was found.
#[derive(Debug)]
pub(crate) struct FoundSegment {
    pub(crate) segment: SegmentRef,
    /// Its blocks of units.
    pub(crate) entries: Vec<Entry>,
    /// Its index, which tells of just these.
    pub(crate) index: Option<BlockMap>,
    /// Whether the log has it open.
    pub(crate) open: bool,
}

impl Finds {
    /// Looks into all slots in use that nothing lists.
    pub(crate) fn find(
        log: &Log,
        assessment: &Assessment,
        progress: Progress<'_>,
    ) -> Result<Self, Error> {
        let open = &assessment.open;
        let mut known = assessment.claimed.clone();
        known.extend(open.values().flat_map(|open| &open.columns));
        let slots = log.unclaimed(&known);
        let (all, mut done) = (slots.len() as u64 * u64::from(log.status().unit_bytes), 0);
        let survey = log.survey(&slots, &mut |bytes| {
            done += bytes;
            progress("looking into slots that nothing lists", done, all);
        });
        let mut finds = Self { empty: survey.unknown, ..Self::default() };
        let mut surveyed = survey.segments;
        for segment in open.values() {
            let found = log.survey(&segment.columns, &mut |_| {}).segments.into_iter();
            match found.into_iter().find(|found| found.id == segment.id) {
                Some(found) => surveyed.push(found),
                None => finds.open_empty.push(segment.clone()),
            }
        }
        let mut streams: BTreeMap<u128, (Vec<FoundSegment>, Option<StreamName>)> = BTreeMap::new();
        for surveyed in &surveyed {
            let (found, name) = finds.segment(log, assessment, surveyed)?;
            let Some(found) = found else { continue };
            let stream = streams.entry(surveyed.owner.stream.0).or_default();
            stream.0.push(found);
            stream.1 = stream.1.take().or(name);
        }
        finds.name_streams(assessment, streams);
        Ok(finds)
    }

    /// A segment with what its blocks tell, and its stream's name if they know it.
    fn segment(
        &mut self,
        log: &Log,
        assessment: &Assessment,
        surveyed: &Surveyed,
    ) -> Result<(Option<FoundSegment>, Option<StreamName>), Error> {
        let open = assessment.open.get(&surveyed.id);
        let segment = match open {
            Some(open) => Some(open.clone()),
            None if surveyed.owner == Owner::default() => None,
            None => surveyed.complete(&mut self.empty),
        };
        let Some(segment) = segment else {
            self.empty.extend(surveyed.columns.iter().flatten());
            return Ok((None, None));
        };
        self.lost_blocks += surveyed.lost;
        let maps = log.maps(surveyed, &segment);
        let stream = surveyed.owner.stream;
        let (entries, index) = entries(log, &segment, stream, &maps);
        let name = entries.first().and_then(|entry| {
            let payload = log.read_block(&entry.map).ok()?;
            block::parse_origin(&payload).ok()?.1
        });
        if entries.is_empty() {
            match open {
                Some(open) => self.open_empty.push(open.clone()),
                None => self.empty.extend(&segment.columns),
            }
            return Ok((None, None));
        }
        Ok((Some(FoundSegment { segment, entries, index, open: open.is_some() }), name))
    }

    /// Puts each stream's segments in order, and finds a name and a place for it.
    fn name_streams(
        &mut self,
        assessment: &Assessment,
        streams: BTreeMap<u128, (Vec<FoundSegment>, Option<StreamName>)>,
    ) {
        let mut taken: BTreeSet<StreamName> =
            assessment.whole().map(|record| record.name.clone()).collect();
        for (id, (mut segments, name)) in streams {
            let id = StreamId(id);
            segments.sort_by_key(|found| (found.entries[0].head.before, found.segment.id));
            let mut behind = Totals::default();
            let (segments, twice): (Vec<_>, Vec<_>) = segments.into_iter().partition(|found| {
                let follows = found.entries[0].head.before >= behind;
                if follows {
                    behind = found.entries[found.entries.len() - 1].head.after();
                }
                follows
            });
            // What was recorded twice was written anew by a repair, and is there already.
            self.empty.extend(twice.iter().flat_map(|found| &found.segment.columns));
            let broken = assessment.broken.iter().find(|broken| broken.record.id == id);
            let before = broken.map(|broken| (broken.slot, broken.record.clone()));
            let known = before.as_ref().map(|(_, record)| record.name.clone());
            let wanted = known.or(name).filter(|name| !taken.contains(name));
            let name = wanted.unwrap_or_else(|| unused(id, &taken));
            taken.insert(name.clone());
            self.streams.push(FoundStream { name, id, before, segments });
        }
    }

    pub(crate) fn describe(&self, plan: &mut RepairPlan) {
        for stream in &self.streams {
            let heads = || stream.segments.iter().flat_map(|found| &found.entries);
            let units: u64 = heads().map(|entry| entry.head.holds.units).sum();
            let (first, last) = (heads().next(), heads().last());
            let (Some(first), Some(last)) = (first, last) else { continue };
            let (name, count) = (&stream.name, stream.segments.len());
            plan.findings.push(format!(
                "{count} segments of stream {} are listed nowhere: {units} units from {} to {}",
                stream.id, first.head.first, last.head.end
            ));
            plan.actions.push(format!("list {count} segments as {name}"));
        }
        if self.lost_blocks > 0 {
            let lost = self.lost_blocks;
            plan.findings.push(format!("of {lost} blocks in them too little is left"));
        }
        let empty =
            self.empty.len() + self.open_empty.iter().map(|open| open.columns.len()).sum::<usize>();
        if empty > 0 {
            plan.findings.push(format!("{empty} slots are marked in use, and hold nothing listed"));
            plan.actions.push(format!("give back {empty} slots"));
        }
    }
}

/// A name for a stream that has lost its own.
fn unused(id: StreamId, taken: &BTreeSet<StreamName>) -> StreamName {
    let name = |suffix: &str| -> StreamName {
        format!("/lost/{:032x}{suffix}", id.0).parse().expect("digits make a name")
    };
    let numbered = (2..).map(|number| name(&format!("-{number}")));
    let mut names = std::iter::once(name("")).chain(numbered);
    names.find(|name| !taken.contains(name)).expect("there is no end of names")
}

/// What a segment's blocks hold, by its index, else by the blocks; and the index if it tells of all of them.
pub(crate) fn entries(
    log: &Log,
    segment: &SegmentRef,
    stream: StreamId,
    maps: &[BlockMap],
) -> (Vec<Entry>, Option<BlockMap>) {
    let indexed = maps.last().and_then(|map| {
        let payload = log.read_block(map).ok()?;
        index::parse(&payload, stream, segment.id).ok()
    });
    if let Some(entries) = indexed {
        return (entries, maps.last().cloned());
    }
    let entry = |map: &BlockMap| -> Option<Entry> {
        let payload: Bytes = log.read_block(map).ok()?;
        let head = block::parse_head(&payload, stream).ok()??;
        Some(Entry { map: map.clone(), head, outline: block::parse_outline(&payload, stream) })
    };
    (maps.iter().filter_map(entry).collect(), None)
}
