//! The state a checkpoint tells of, and what the log says happened since.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use pegasus_base::PnodeId;

use crate::alloc::Allocator;
use crate::array::Array;
use crate::code::PARITY_MAX;
use crate::format::checkpoint::{Body, LogSegment, OpenSegment, Pointer};
use crate::format::pnode::LogAddr;
use crate::format::record::Record;
use crate::garbage::Hole;
use crate::pnode::Pnode;
use crate::pnodes::Pnodes;
use crate::recovery::{body_addrs, fits};
use crate::writer::{Shared, Usage};
use crate::{LogError, Owner, SegmentId, SegmentRef};

/// The state while it is being put together.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) alloc: Allocator,
    pub(crate) open: BTreeMap<SegmentId, OpenSegment>,
    pub(crate) log_segments: BTreeMap<SegmentId, LogSegment>,
    pub(crate) pnodes: Pnodes,
    pub(crate) next_segment: u64,
    pub(crate) next_pnode: u64,
    pub(crate) unsettled: Vec<Hole>,
    pub(crate) placed: Vec<LogAddr>,
    pub(crate) killed: Vec<LogAddr>,
    pub(crate) dirty: BTreeSet<PnodeId>,
}

fn damaged(what: impl Into<String>, why: &str) -> LogError {
    LogError::Damaged { what: what.into(), why: why.to_owned() }
}

impl State {
    /// What the checkpoint says.
    pub(crate) fn restore(array: &Array, pointer: &Pointer, body: Body) -> Result<Self, LogError> {
        let senseless = |why| damaged(format!("checkpoint {}", pointer.number), why);
        let alloc = Allocator::restore(&array.geometry, &body.slots)
            .ok_or_else(|| senseless("it tells of other disks"))?;
        let log_columns = body.log_segments.iter().map(|log| &log.segment);
        let open_columns = body.open_segments.iter().map(|open| &open.cursor.segment);
        if !log_columns.chain(open_columns).all(|s| fits(array, s) && alloc.owns(&s.columns)) {
            return Err(senseless("it tells of segments in slots that are free"));
        }
        if !body.open_segments.iter().all(|open| is_possible(&open.cursor.segment, open.data)) {
            return Err(senseless("it tells of segments with impossible columns"));
        }
        let mut state = Self {
            alloc,
            open: body.open_segments.into_iter().map(|o| (o.cursor.segment.id, o)).collect(),
            log_segments: body.log_segments.into_iter().map(|l| (l.segment.id, l)).collect(),
            pnodes: Pnodes::restore(&body.pages),
            next_segment: body.next_segment,
            next_pnode: body.next_pnode,
            unsettled: Vec::new(),
            placed: Vec::new(),
            killed: body.dying,
            dirty: BTreeSet::new(),
        };
        // The body's counts are from before it was itself written.
        for addr in body_addrs(pointer) {
            let len = u64::from(Hole::of(&addr).len_bytes);
            let log = state.log_segments.get_mut(&addr.segment);
            let log = log.ok_or_else(|| senseless("it does not know the segment it is in"))?;
            log.written_bytes += len;
            log.live_bytes += len;
        }
        Ok(state)
    }

    /// The segment a record opens.
    pub(crate) fn opened(record: &Record) -> Option<OpenSegment> {
        match record {
            Record::SegmentOpened { segment, owner, data } => (usize::from(*data)
                <= segment.columns.len())
            .then(|| OpenSegment::new(segment.clone(), *owner, *data)),
            _ => None,
        }
    }

    /// Replays a block of the log; `hole` is where its records are.
    pub(crate) fn replay(
        &mut self,
        array: &Array,
        hole: Hole,
        records: &[Record],
    ) -> Result<(), LogError> {
        if let Some(log) = self.log_segments.get_mut(&hole.segment) {
            log.written_bytes += u64::from(hole.len_bytes);
        }
        self.unsettled.push(hole);
        for record in records {
            self.apply(array, record)?;
        }
        Ok(())
    }

    fn apply(&mut self, array: &Array, record: &Record) -> Result<(), LogError> {
        match record {
            // A checkpoint that was not finished, and what only the end of recovery needs.
            Record::Piece { .. } | Record::Blocks { .. } => {}
            Record::NextSegment { segment } => self.announce(segment)?,
            Record::SegmentOpened { segment, owner, .. } => {
                self.claim(segment)?;
                if *owner == Owner::default() {
                    self.log_segments.insert(segment.id, LogSegment::new(segment.clone()));
                }
                let open = Self::opened(record)
                    .ok_or_else(|| damaged(segment.id.to_string(), "it has too few columns"))?;
                self.open.insert(segment.id, open);
            }
            Record::SegmentSealed { segment } => {
                self.open.remove(segment);
            }
            Record::SegmentFreed { segment } => {
                if !fits(array, segment) || !self.alloc.owns(&segment.columns) {
                    return Err(damaged(segment.id.to_string(), "it was freed twice"));
                }
                self.open.remove(&segment.id);
                self.alloc.retire(&segment.columns);
            }
            Record::Create { pnode, kind } => {
                self.next_pnode = self.next_pnode.max(pnode.0 + 1);
                self.dirty.insert(*pnode);
                self.pnodes.known.insert(*pnode, Some(Arc::new(Pnode::new(*pnode, *kind))));
            }
            Record::Placed { pnode, addrs, .. } => {
                for addr in addrs {
                    let log = self.log_segments.get_mut(&addr.segment);
                    let what = || damaged(pnode.to_string(), "its content is in no segment");
                    log.ok_or_else(what)?.placed(addr);
                    self.placed.push(*addr);
                }
                self.change(array, *pnode, record)?;
            }
            Record::Write { pnode, .. }
            | Record::SetAttributes { pnode, .. }
            | Record::Trim { pnode, .. }
            | Record::Truncate { pnode, .. }
            | Record::Punch { pnode, .. }
            | Record::Delete { pnode } => self.change(array, *pnode, record)?,
        }
        Ok(())
    }

    fn claim(&mut self, segment: &SegmentRef) -> Result<(), LogError> {
        if !self.alloc.claim(&segment.columns) {
            return Err(damaged(segment.id.to_string(), "it was given slots that are in use"));
        }
        self.next_segment = self.next_segment.max(segment.id.0 + 1);
        Ok(())
    }

    /// The segment the log goes on in was announced; the checkpoint knows of its own.
    fn announce(&mut self, segment: &SegmentRef) -> Result<(), LogError> {
        if self.log_segments.contains_key(&segment.id) {
            return Ok(());
        }
        self.claim(segment)?;
        self.log_segments.insert(segment.id, LogSegment::new(segment.clone()));
        Ok(())
    }

    fn change(&mut self, array: &Array, id: PnodeId, record: &Record) -> Result<(), LogError> {
        let segments = &self.log_segments;
        let load = |addr: &LogAddr| {
            load_piece(array, segments.get(&addr.segment).map(|log| &log.segment), addr)
        };
        let found = self.pnodes.get(id, &load)?;
        let found = found.ok_or_else(|| damaged(id.to_string(), "it is changed, and not there"))?;
        let mut pnode = Arc::unwrap_or_clone(found);
        match record {
            Record::Write { offset, bytes, .. } => pnode.write(*offset, bytes, &load)?,
            Record::Placed { first, addrs, .. } => pnode.place(*first, addrs, &load)?,
            Record::SetAttributes { bytes, .. } => pnode.set_attributes(bytes)?,
            Record::Trim { upto, .. } => pnode.trim(*upto, &load)?,
            Record::Truncate { size, .. } => pnode.truncate(*size, &load)?,
            Record::Punch { offset, len, .. } => pnode.punch(*offset..offset + len, &load)?,
            _ => pnode.clear(&load),
        }
        let deleted = matches!(record, Record::Delete { .. });
        if deleted {
            self.killed.append(&mut pnode.take_killed());
        }
        self.dirty.insert(id);
        self.pnodes.known.insert(id, (!deleted).then(|| Arc::new(pnode)));
        Ok(())
    }

    /// The part of the state that readers see.
    pub(crate) fn take_shared(&mut self) -> Shared {
        Shared {
            pnodes: std::mem::take(&mut self.pnodes),
            log_segments: std::mem::take(&mut self.log_segments),
            open: std::mem::take(&mut self.open),
            usage: Usage::default(),
        }
    }
}

/// Whether a segment may have so many data columns: all, or all but those of parity.
fn is_possible(segment: &SegmentRef, data: u8) -> bool {
    let parity = segment.columns.len().checked_sub(usize::from(data));
    parity.is_some_and(|parity| parity <= usize::from(PARITY_MAX))
}

/// Reads a piece from the segment that holds it, if there is one.
pub(crate) fn load_piece(
    array: &Array,
    segment: Option<&SegmentRef>,
    addr: &LogAddr,
) -> Result<Vec<u8>, LogError> {
    match segment {
        Some(segment) => array.read_piece(addr, segment),
        None => Err(damaged(
            format!("{} bytes in block {} of {}", addr.len_bytes, addr.seq, addr.segment),
            "there is no such segment",
        )),
    }
}
