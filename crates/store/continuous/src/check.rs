//! The offline check: every record, index and block of every recording, and every slot accounted for.

use std::collections::BTreeMap;
use std::sync::Arc;

use pegasus_base::{StreamName, Time};
use pegasus_disk::Disk;
use pegasus_log::{CheckReport, Checker, Log, OpenOptions, Owner};

use crate::error::Error;
use crate::format::block::{self, Block, Totals};
use crate::format::index::{self, Entry};
use crate::format::outline::Outline;
use crate::format::segment::{SegmentRecord, State};
use crate::open;
use crate::settings::Settings;
use crate::stream::Stream;

/// Verifies every byte of a store that nobody has open. Writes nothing.
///
/// What is wrong stands in the report, a sentence each; a missing disk is wrong too. `others` says what is
/// wrong with what other services keep in the log.
///
/// # Errors
/// If `disks` can't be opened as a store at all.
pub fn check_store(
    disks: Vec<(String, Option<Arc<dyn Disk>>)>,
    now: Time,
    others: impl FnOnce(&Arc<Log>) -> Vec<String>,
) -> Result<CheckReport, Error> {
    let (log, recovery) = Log::open(disks, &OpenOptions { now, read_only: true })?;
    let log = Arc::new(log);
    let mut checker = Checker::new(&log);
    recovery.problems.iter().cloned().for_each(|problem| checker.problem(problem));
    let mut names = BTreeMap::new();
    recovery.remarks.iter().cloned().for_each(|remark| checker.remark(remark));
    match open::load(&log, recovery, &Settings::default()) {
        Ok(opened) => {
            let record_len = opened.core.record_len;
            for stream in opened.streams.values() {
                names.insert(stream.id, stream.name.clone());
                Check { log: &log, checker: &mut checker, stream, record_len, out: 0 }.stream();
            }
        }
        Err(error) => checker.problem(error.to_string()),
    }
    others(&log).into_iter().for_each(|problem| checker.problem(problem));
    let name = |owner: Owner| match names.get(&owner.stream) {
        Some(name) => name.to_string(),
        None => format!("stream {}, which the catalogue does not have", owner.stream),
    };
    Ok(checker.finish(name))
}

/// The check of one stream.
struct Check<'a, 'log> {
    log: &'a Log,
    checker: &'a mut Checker<'log>,
    stream: &'a Stream,
    record_len: usize,
    /// Segments that are out.
    out: u64,
}

impl Check<'_, '_> {
    fn stream(&mut self) {
        if let Err(error) = self.stream.check_damage() {
            return self.problem(error.to_string());
        }
        let mut after: Option<Totals> = None;
        for index in self.stream.view(|view| view.segments.clone()) {
            match self.stream.segment(self.log, self.record_len, index) {
                // Deleted within the recording: what follows need not join what is before.
                Ok(Some(SegmentRecord { state: State::Freed, .. })) => {}
                Ok(Some(record)) if !record.has_slots() => self.out(index, &record, &mut after),
                Ok(Some(record)) => self.segment(index, &record, &mut after),
                Ok(None) => self.problem(format!("record {index} of its directory is missing")),
                Err(error) => self.problem(error.to_string()),
            }
        }
        if self.out > 0 {
            let (name, out) = (self.name().clone(), self.out);
            self.checker.remark(format!("{name}: {out} segments are out and were not looked at"));
        }
        self.spans();
    }

    fn name(&self) -> &StreamName {
        &self.stream.name
    }

    fn problem(&mut self, what: String) {
        let name = self.name();
        let sentence = if what.contains(name.as_str()) { what } else { format!("{name}: {what}") };
        self.checker.problem(sentence);
    }

    fn segment(&mut self, index: u64, record: &SegmentRecord, after: &mut Option<Totals>) {
        let who = self.name().to_string();
        self.checker.claim(&record.segment, &who);
        let id = record.segment.id;
        let entries = match &record.state {
            State::Sealed(_) => self.index(record),
            _ => self.stream.view(|view| {
                let open = view.open.as_ref().filter(|open| open.record.segment.id == id);
                open.map(|open| open.entries().to_vec()).unwrap_or_default()
            }),
        };
        let begins = entries.first().map_or(record.before, |entry| entry.head.before);
        if after.is_some_and(|after| after > record.before) || begins != record.before {
            self.problem(format!("{id}, record {index}, does not join what is before it"));
        }
        if let (State::Sealed(sealed), Some(last)) = (&record.state, entries.last())
            && (sealed.after != last.head.after() || sealed.end != last.head.end)
        {
            self.problem(format!("{id} does not end where its record says"));
        }
        let mut expected = record.before;
        for entry in &entries {
            self.block(entry, expected);
            expected = entry.head.after();
        }
        *after = Some(expected);
    }

    /// A segment that is out: its object is not looked at.
    fn out(&mut self, index: u64, record: &SegmentRecord, after: &mut Option<Totals>) {
        let Some(sealed) = record.complete() else { return };
        if after.is_some_and(|after| after > record.before) {
            let id = record.segment.id;
            self.problem(format!("{id}, record {index}, does not join what is before it"));
        }
        self.out += 1;
        *after = Some(sealed.after);
    }

    /// The verified index of a sealed segment.
    fn index(&mut self, record: &SegmentRecord) -> Vec<Entry> {
        let id = record.segment.id;
        let State::Sealed(sealed) = &record.state else { return Vec::new() };
        let Some(map) = &sealed.index else {
            self.problem(format!("{id} has no index"));
            return Vec::new();
        };
        let who = format!("index of {id} of {}", self.name());
        let Some(payload) = self.checker.block(map, &who) else { return Vec::new() };
        match index::parse(&payload, self.stream.id, id) {
            Ok(entries) => entries,
            Err(error) => {
                self.problem(format!("the index of {id}: {error}"));
                Vec::new()
            }
        }
    }

    fn block(&mut self, entry: &Entry, expected: Totals) {
        let (seq, id) = (entry.map.seq, entry.map.segment);
        let who = self.name().to_string();
        let Some(payload) = self.checker.block(&entry.map, &who) else { return };
        let outline = block::parse_outline(&payload, self.stream.id);
        let wrong = match Block::parse(&payload, self.stream.id) {
            Err(error) => error.to_string(),
            Ok(block) if !is_of(entry, &block, outline.as_ref()) => {
                "its index says otherwise".to_owned()
            }
            Ok(block) if !block.agrees() => "its head says otherwise than its units".to_owned(),
            Ok(block) if block.contents.head.before < expected => {
                "its units are counted twice".to_owned()
            }
            Ok(block) => {
                self.checker.units_verified(block.contents.rows.len() as u64);
                return;
            }
        };
        self.problem(format!("block {seq} of {id}: {wrong}"));
    }

    /// The list of spans: in order, apart, and up to the end of what is recorded.
    fn spans(&mut self) {
        let spans = match self.stream.spans(self.log, Time::MIN, Time::MAX) {
            Ok(spans) => spans,
            Err(error) => return self.problem(error.to_string()),
        };
        for pair in spans.windows(2) {
            if pair[0].end > pair[1].head.start || pair[0].after > pair[1].head.before {
                self.problem(format!("the spans at {} overlap", pair[1].head.start));
            }
        }
        let (recorded, listed) = self.stream.view(|view| {
            let listed = view.spans.last().map(|last| last.after);
            (view.after, listed.unwrap_or_default())
        });
        if recorded != listed {
            self.problem(format!(
                "{} units are recorded, the list of spans ends at {}",
                recorded.units, listed.units
            ));
        }
    }
}

/// Whether the index's entry says the same as its block, which has this outline.
fn is_of(entry: &Entry, block: &Block, outline: Option<&Outline>) -> bool {
    let repeated = entry.outline.as_ref();
    block.contents.head == entry.head && repeated.is_none_or(|own| Some(own) == outline)
}
