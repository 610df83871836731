//! The spans of a stream in memory: the growing end always, the rest once somebody asked for it.

use std::ops::Range;

use pegasus_base::{PnodeId, Time};
use pegasus_log::Log;

use crate::error::Error;
use crate::format::block::{Head, Totals};
use crate::format::span::{RECORD_LEN, SpanRecord};
use crate::status::Span;

/// Records `records.start..` of the spans pnode, and those that are yet to be written.
#[derive(Debug, Clone)]
pub(crate) struct Spans {
    /// Number of the first record kept.
    front: u64,
    /// Records `front..` up to the first of `tail`, if they were read.
    old: Option<Vec<SpanRecord>>,
    /// Number of the first record of `tail`.
    tail_start: u64,
    tail: Vec<SpanRecord>,
    /// Records before this one are on disk as they are here.
    clean: u64,
}

/// Where what is kept of a stream begins, when retention has cut into a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Front {
    /// Time of the first key unit kept, or else of the first unit.
    pub(crate) start: Time,
    /// Totals before the first unit kept.
    pub(crate) before: Totals,
}

impl Spans {
    /// The spans of a stream that has `records` on disk, the last of which is `last`.
    pub(crate) fn new(records: Range<u64>, last: Option<SpanRecord>) -> Self {
        let tail: Vec<SpanRecord> = last.into_iter().collect();
        let tail_start = records.end - tail.len() as u64;
        Self {
            front: records.start,
            old: (records.start == tail_start).then(Vec::new),
            tail_start,
            tail,
            clean: records.end,
        }
    }

    /// A copy for trying out what follows: without the older spans.
    pub(crate) fn tail_only(&self) -> Self {
        Self { old: None, tail: self.tail.clone(), ..*self }
    }

    /// The span that grew last.
    pub(crate) fn last(&self) -> Option<&SpanRecord> {
        self.tail.last()
    }

    /// Takes in a block that is durable.
    pub(crate) fn extend(&mut self, head: &Head) {
        let at = self.tail_start + self.tail.len() as u64;
        match self.tail.last_mut() {
            Some(last) if last.head.serial == head.span.serial => {
                // A span whose beginning was deleted keeps its later start.
                if last.head.before == head.span.before {
                    last.head.start = last.head.start.min(head.span.start);
                }
                last.end = last.end.max(head.end);
                last.after = last.after.max(head.after());
                self.clean = self.clean.min(at - 1);
            }
            _ => {
                self.tail.push(SpanRecord { head: head.span, end: head.end, after: head.after() });
                self.clean = self.clean.min(at);
            }
        }
    }

    /// What is to be written so that the disk has all of them: where in the pnode, and the bytes.
    pub(crate) fn unwritten(&self) -> Option<(u64, Vec<u8>)> {
        let dirty = &self.tail[(self.clean.max(self.tail_start) - self.tail_start) as usize..];
        let mut out = Vec::with_capacity(dirty.len() * RECORD_LEN);
        dirty.iter().for_each(|record| record.emit(&mut out));
        (!dirty.is_empty()).then_some((self.clean.max(self.tail_start) * RECORD_LEN as u64, out))
    }

    /// What [`Spans::unwritten`] said is on disk.
    pub(crate) fn written(&mut self) {
        self.clean = self.end();
    }

    fn end(&self) -> u64 {
        self.tail_start + self.tail.len() as u64
    }

    /// The older records to be read by [`read`] and handed to [`Spans::set_old`], if any.
    pub(crate) fn missing(&self) -> Option<Range<u64>> {
        self.old.is_none().then_some(self.front..self.tail_start)
    }

    /// Takes in what was read of `records`. Others may have been trimmed meanwhile, or all replaced.
    pub(crate) fn set_old(&mut self, records: Range<u64>, mut read: Vec<SpanRecord>) {
        if self.old.is_none() && records.end == self.tail_start {
            read.drain(..(self.front.max(records.start) - records.start) as usize);
            self.old = Some(read);
        }
    }

    /// Spans with an instant in `start..end`, or touching it if it is empty, clipped to what is kept.
    pub(crate) fn within(&self, start: Time, end: Time, front: Option<Front>) -> Vec<SpanRecord> {
        let pieces = [self.old.as_deref().unwrap_or_default(), &self.tail];
        let mut found = Vec::new();
        for piece in pieces {
            let from = piece.partition_point(|span| span.end <= start);
            let spans = piece[from..].iter().take_while(|span| span.head.start < end);
            found.extend(spans.filter_map(|span| clip(span, front)));
        }
        found.retain(|span: &SpanRecord| span.end > start && span.after > span.head.before);
        found
    }

    /// Spans with units numbered in `units`, clipped to what is kept.
    pub(crate) fn with_units(&self, units: Range<u64>, front: Option<Front>) -> Vec<SpanRecord> {
        let pieces = [self.old.as_deref().unwrap_or_default(), &self.tail];
        let mut found = Vec::new();
        for piece in pieces {
            let from = piece.partition_point(|span| span.after.units <= units.start);
            let spans = piece[from..].iter();
            let spans = spans.take_while(|span| span.head.before.units < units.end);
            found.extend(spans.filter_map(|span| clip(span, front)));
        }
        found
    }

    /// Forgets the spans that hold nothing behind `before`; returns where the pnode may be trimmed.
    ///
    /// # Panics
    /// If older records are [missing](Self::missing).
    pub(crate) fn trim(&mut self, before: Totals) -> Option<u64> {
        let was = self.front;
        let old = self.old.as_mut().expect("the older records were read before");
        let dead = old.iter().take_while(|span| span.after <= before).count();
        old.drain(..dead);
        self.front += dead as u64;
        if old.is_empty() {
            // The last one stays: it says which serial comes next.
            let most = self.tail.len().saturating_sub(1);
            let dead = self.tail[..most].iter().take_while(|span| span.after <= before).count();
            self.tail.drain(..dead);
            self.tail_start += dead as u64;
            self.front = self.tail_start;
        }
        (self.front > was).then_some(self.front * RECORD_LEN as u64)
    }

    /// Replaces all spans; all records from [`front`](Self::front) on are to be written anew.
    pub(crate) fn replace(&mut self, spans: Vec<SpanRecord>) {
        self.old = Some(Vec::new());
        self.tail_start = self.front;
        self.tail = spans;
        self.clean = self.front;
    }

    /// Number of the first record kept.
    pub(crate) fn front(&self) -> u64 {
        self.front
    }
}

/// The part of `span` that is kept.
fn clip(span: &SpanRecord, front: Option<Front>) -> Option<SpanRecord> {
    let mut span = *span;
    if let Some(front) = front {
        if span.after <= front.before {
            return None;
        }
        if span.head.before < front.before {
            span.head.before = front.before;
            span.head.start = span.head.start.max(front.start).min(span.end);
        }
    }
    Some(span)
}

/// Reads `records` of the spans pnode.
///
/// # Errors
/// If they can't be read.
pub(crate) fn read(
    log: &Log,
    pnode: PnodeId,
    records: Range<u64>,
) -> Result<Vec<SpanRecord>, Error> {
    let offset = records.start * RECORD_LEN as u64;
    let bytes =
        log.read_pnode(pnode, offset, (records.end - records.start) as usize * RECORD_LEN)?;
    let damaged = |source| Error::Damaged { what: format!("the list of spans in {pnode}"), source };
    bytes.chunks_exact(RECORD_LEN).map(|b| SpanRecord::parse(b).map_err(damaged)).collect()
}

/// What users see of `records`.
pub(crate) fn shown(records: &[SpanRecord]) -> Vec<Span> {
    records.iter().map(SpanRecord::span).collect()
}
