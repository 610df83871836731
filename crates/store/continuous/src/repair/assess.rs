//! What of the catalogue, the directories and the indexes can be read, and what it claims.

use std::collections::{BTreeSet, HashMap};

use pegasus_base::StreamName;
use pegasus_log::{Column, Log, Recovery, SegmentId};

use crate::error::Error;
use crate::format::catalogue::StreamRecord;
use crate::format::segment::{SegmentRecord, State, record_len};
use crate::format::span::RECORD_LEN;
use crate::open::{load_stream, read_catalogue, records_of};
use crate::queue::Queue;
use crate::stream::{Stream, View};
use crate::{indexes, spans};

use super::{Progress, RepairPlan};

/// The state of what lists recordings.
#[derive(Debug)]
pub(crate) struct Assessment {
    /// The catalogue's places; `Err` says why it can't be read.
    pub(crate) catalogue: Result<Vec<Option<StreamRecord>>, String>,
    /// Bytes of a record of a directory.
    pub(crate) record_len: usize,
    /// Streams whose directory or list of spans can't be used.
    pub(crate) broken: Vec<Broken>,
    /// Segments of other streams that can't be read for want of an index.
    pub(crate) unindexed: Vec<Unindexed>,
    /// Slots of what is listed.
    pub(crate) claimed: BTreeSet<Column>,
    /// Segments that were open, and are not listed.
    pub(crate) open: HashMap<SegmentId, pegasus_log::SegmentRef>,
}

/// A stream that has to be listed anew.
#[derive(Clone, Debug)]
pub(crate) struct Broken {
    /// Its place in the catalogue.
    pub(crate) slot: u32,
    pub(crate) record: StreamRecord,
    why: String,
}

/// A segment that has to be written anew, with an index.
#[derive(Clone, Debug)]
pub(crate) struct Unindexed {
    pub(crate) stream: StreamRecord,
    /// Its place in the directory.
    pub(crate) index: u64,
    pub(crate) record: SegmentRecord,
    why: String,
}

impl Assessment {
    pub(crate) fn of(log: &Log, recovery: &Recovery, progress: Progress<'_>) -> Self {
        let status = log.status();
        let record_len = record_len(usize::from(status.data) + usize::from(status.parity));
        let catalogue = read_catalogue(log).map(Option::unwrap_or_default);
        let mut assessment = Self {
            catalogue: catalogue.map_err(|error| error.to_string()),
            record_len,
            broken: Vec::new(),
            unindexed: Vec::new(),
            claimed: BTreeSet::new(),
            open: HashMap::new(),
        };
        let open = recovery.open_segments.iter();
        assessment.open.extend(open.map(|open| (open.segment.id, open.segment.clone())));
        let records = assessment.catalogue.clone().unwrap_or_default();
        let count = records.len() as u64;
        for (slot, record) in records.into_iter().enumerate() {
            let Some(record) = record else { continue };
            progress("reading indexes", slot as u64, count);
            if let Err(error) = assessment.stream(log, recovery, &record) {
                let why = error.to_string();
                assessment.broken.push(Broken { slot: slot as u32, record, why });
            }
        }
        assessment
    }

    /// Reads all that lists a stream's segments, and claims them.
    fn stream(
        &mut self,
        log: &Log,
        recovery: &Recovery,
        record: &StreamRecord,
    ) -> Result<(), Error> {
        let own = recovery.open_segments.iter().filter(|open| open.owner.stream == record.id);
        let mut recovered = own.map(|open| (open.segment.id, open.clone())).collect();
        load_stream(log, 0, record, self.record_len, &mut recovered)?;
        let listed = records_of(log, record.spans, RECORD_LEN)?;
        spans::read(log, record.spans, listed)?;
        let (mut claimed, mut unindexed) = (Vec::new(), Vec::new());
        for index in records_of(log, record.segments, self.record_len)? {
            let found = crate::open::read_segment(log, record, self.record_len, index)?;
            if !found.has_slots() {
                continue;
            }
            claimed.push(found.segment.clone());
            if matches!(found.state, State::Sealed(_))
                && let Err(error) = read_index(log, record, &found)
            {
                let (stream, why) = (record.clone(), error.to_string());
                unindexed.push(Unindexed { stream, index, record: found, why });
            }
        }
        for segment in claimed {
            self.claimed.extend(&segment.columns);
            self.open.remove(&segment.id);
        }
        self.unindexed.extend(unindexed);
        Ok(())
    }

    /// Streams that are listed as they should be.
    pub(crate) fn whole(&self) -> impl Iterator<Item = &StreamRecord> {
        let records = self.catalogue.as_ref().map(Vec::as_slice).unwrap_or_default();
        let broken =
            |name: &StreamName| self.broken.iter().any(|broken| broken.record.name == *name);
        records.iter().flatten().filter(move |record| !broken(&record.name))
    }

    pub(crate) fn describe(&self, plan: &mut RepairPlan) {
        if let Err(why) = &self.catalogue {
            plan.findings.push(format!("the catalogue can't be read: {why}"));
            plan.actions.push("write a catalogue of what is found on the disks".to_owned());
        }
        for Broken { record, why, .. } in &self.broken {
            plan.findings.push(format!("what lists {} can't be used: {why}", record.name));
        }
        for Unindexed { stream, record, why, .. } in &self.unindexed {
            let (id, name) = (record.segment.id, &stream.name);
            plan.findings.push(format!("{id} of {name} can't be read by time: {why}"));
            plan.actions.push(format!("write {id} of {name} anew, with an index"));
        }
    }
}

fn read_index(log: &Log, record: &StreamRecord, segment: &SegmentRecord) -> Result<(), Error> {
    let stream = Stream::new(record.name.clone(), record.id, Queue::new(None), View::new());
    indexes::read(log, &stream, segment).map(drop)
}
