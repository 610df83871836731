//! What a log should hold, kept as plainly as can be, and random batches that change both alike.

use std::collections::BTreeMap;

use pegasus_base::PnodeId;
use pegasus_log::{Batch, BlockMap, Log, LogError, SegmentId, SegmentRef};

use super::{NOW, check, owner, payload};

/// A pnode.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PnodeModel {
    pub(crate) content: Vec<u8>,
    pub(crate) front: usize,
    pub(crate) attributes: Vec<u8>,
}

/// A continuous segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SegmentModel {
    pub(crate) segment: SegmentRef,
    pub(crate) owner: u64,
    pub(crate) open: bool,
    pub(crate) blocks: Vec<(BlockMap, Vec<u8>)>,
}

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Model {
    pub(crate) pnodes: BTreeMap<PnodeId, PnodeModel>,
    pub(crate) segments: BTreeMap<SegmentId, SegmentModel>,
    /// Whether some writes are long.
    pub(crate) bulk: bool,
}

impl PnodeModel {
    /// A byte that is not zero, where the log says that nothing is kept.
    fn missed(&self, log: &Log, id: PnodeId) -> Option<usize> {
        let mut at = 0;
        loop {
            let kept = log.content_from(id, at as u64).unwrap();
            let next = kept.as_ref().map_or(self.content.len(), |kept| kept.start as usize);
            if let Some(byte) = (at..next).find(|at| self.content[*at] != 0) {
                return Some(byte);
            }
            at = kept?.end as usize;
        }
    }
}

impl Model {
    /// A fresh log.
    pub(crate) fn new(log: &Log) -> Self {
        let pnodes = [(log.root(), PnodeModel::default())].into();
        Self { pnodes, segments: BTreeMap::new(), bulk: false }
    }

    fn any_pnode(&self, rng: &mut fastrand::Rng) -> PnodeId {
        let at = rng.usize(..self.pnodes.len());
        *self.pnodes.keys().nth(at).unwrap()
    }

    fn any_open(&self, rng: &mut fastrand::Rng) -> Option<SegmentId> {
        let open: Vec<_> = self.segments.values().filter(|segment| segment.open).collect();
        (!open.is_empty()).then(|| open[rng.usize(..open.len())].segment.id)
    }

    /// Puts a few random changes into `batch` and into the model. A full store is not an error.
    ///
    /// If the batch has anything but appended blocks, it leaves a mark in the attributes of the root
    /// pnode, so that one can tell afterwards whether it happened.
    pub(crate) fn change(&mut self, batch: &mut Batch<'_>, rng: &mut fastrand::Rng) {
        let mut appends_only = true;
        for _ in 0..rng.usize(1..5) {
            let what = rng.u8(..16);
            appends_only &= what < 6;
            match what {
                0..6 => self.append(batch, rng),
                6 | 7 => self.open(batch, rng),
                8 => {
                    if let Some(id) = self.any_open(rng) {
                        batch.seal_segment(id).unwrap();
                        self.segments.get_mut(&id).unwrap().open = false;
                    }
                }
                9 if self.segments.len() > 4 => self.free(batch, rng),
                _ => self.change_pnode(batch, rng),
            }
        }
        if !appends_only {
            let (root, pnode) = self.pnodes.iter_mut().next().unwrap();
            pnode.attributes = payload(rng.u64(..), 16);
            batch.set_attributes(*root, &pnode.attributes).unwrap();
        }
    }

    fn open(&mut self, batch: &mut Batch<'_>, rng: &mut fastrand::Rng) {
        let number = rng.u64(..100);
        let segment = match batch.open_segment(owner(number), rng.u8(1..5)) {
            Ok(segment) => segment,
            Err(LogError::Full { .. }) => return,
            Err(error) => panic!("{error}"),
        };
        let model = SegmentModel {
            segment: segment.clone(),
            owner: number,
            open: true,
            blocks: Vec::new(),
        };
        self.segments.insert(segment.id, model);
        if rng.bool() {
            self.append_to(segment.id, batch, rng);
        }
    }

    fn append(&mut self, batch: &mut Batch<'_>, rng: &mut fastrand::Rng) {
        if let Some(id) = self.any_open(rng) {
            self.append_to(id, batch, rng);
        }
    }

    fn append_to(&mut self, id: SegmentId, batch: &mut Batch<'_>, rng: &mut fastrand::Rng) {
        let room = batch.room(id);
        if room == 0 {
            return;
        }
        let most = if rng.u8(..4) == 0 { room } else { room.min(20_000) };
        let bytes = payload(rng.u64(..), rng.u64(1..=most) as usize);
        let cut = rng.usize(0..=bytes.len());
        let map = batch.append(id, &[&bytes[..cut], &bytes[cut..]]).unwrap();
        self.segments.get_mut(&id).unwrap().blocks.push((map, bytes));
    }

    fn free(&mut self, batch: &mut Batch<'_>, rng: &mut fastrand::Rng) {
        let at = rng.usize(..self.segments.len());
        let id = *self.segments.keys().nth(at).unwrap();
        let model = self.segments.remove(&id).unwrap();
        batch.free_segment(&model.segment).unwrap();
    }

    fn change_pnode(&mut self, batch: &mut Batch<'_>, rng: &mut fastrand::Rng) {
        let id = self.any_pnode(rng);
        let deletable = self.pnodes.len() > 3 && id.0 >= 16;
        let pnode = self.pnodes.get_mut(&id).unwrap();
        let at = rng.usize(..60_000);
        match rng.u8(..13) {
            12 => {
                let end = (at + rng.usize(..60_000)).min(pnode.content.len());
                batch.punch(id, at as u64..end as u64).unwrap();
                pnode.content[at.min(end)..end].fill(0);
            }
            0 => {
                let id = batch.create_pnode(3);
                self.pnodes.insert(id, PnodeModel::default());
            }
            1 if deletable => {
                batch.delete_pnode(id).unwrap();
                self.pnodes.remove(&id);
            }
            2 => {
                batch.trim(id, at as u64).unwrap();
                pnode.front = pnode.front.max(at.min(pnode.content.len()));
            }
            3 => {
                batch.truncate(id, at as u64).unwrap();
                pnode.content.resize(at, 0);
                pnode.front = pnode.front.min(at);
            }
            4 => {
                let bytes = payload(rng.u64(..), rng.usize(..4_096));
                batch.set_attributes(id, &bytes).unwrap();
                pnode.attributes = bytes;
            }
            what => {
                let at = if what < 8 { pnode.content.len().min(300_000) } else { at };
                let long = rng.u8(..6) == 0;
                let most = if long && self.bulk && rng.bool() { 250_000 } else { 40_000 };
                let most = if long { most } else { 300 };
                let bytes = payload(rng.u64(..), rng.usize(1..most));
                batch.write(id, at as u64, &bytes).unwrap();
                let end = at + bytes.len();
                pnode.content.resize(pnode.content.len().max(end), 0);
                pnode.content[at..end].copy_from_slice(&bytes);
            }
        }
        for pnode in self.pnodes.values_mut() {
            let front = pnode.front;
            pnode.content[..front].fill(0);
        }
    }

    /// Whether the log's pnodes are these; says where not.
    pub(crate) fn pnodes_differ(&self, log: &Log) -> Option<String> {
        for (id, model) in &self.pnodes {
            let Some(info) = log.pnode(*id).unwrap() else {
                return Some(format!("{id} is missing"));
            };
            if info.size != model.content.len() as u64 || info.attributes != model.attributes {
                return Some(format!("{id} has another size or other attributes"));
            }
            if log.read_pnode(*id, 0, usize::MAX >> 1).unwrap() != model.content {
                return Some(format!("{id} has another content"));
            }
            if let Some(at) = model.missed(log, *id) {
                return Some(format!("byte {at} of {id} is something, and said to be nothing"));
            }
        }
        let most = self.pnodes.keys().next_back().unwrap().0 + 20;
        (16..most)
            .map(PnodeId)
            .find(|id| !self.pnodes.contains_key(id) && log.pnode(*id).unwrap().is_some())
            .map(|id| format!("{id} should not be there"))
    }

    /// Asserts that all blocks can be read.
    #[track_caller]
    pub(crate) fn assert_blocks(&self, log: &Log) {
        for (map, bytes) in self.segments.values().flat_map(|segment| &segment.blocks) {
            let read = log.read_block(map).unwrap_or_else(|error| panic!("{error}"));
            assert!(read == bytes[..], "block {} of {} differs", map.seq, map.segment);
        }
    }

    /// All segments, and all blocks.
    pub(crate) fn claims(&self) -> (Vec<SegmentRef>, Vec<BlockMap>) {
        let segments = self.segments.values();
        (
            segments.clone().map(|segment| segment.segment.clone()).collect(),
            segments.flat_map(|segment| &segment.blocks).map(|(map, _)| map.clone()).collect(),
        )
    }
}

/// Commits so many random batches, with a checkpoint now and then.
pub(crate) fn commit_some(log: &Log, model: &mut Model, commits: usize, rng: &mut fastrand::Rng) {
    for _ in 0..commits {
        let mut batch = log.batch();
        model.change(&mut batch, rng);
        let committed = log.commit(batch).unwrap();
        if committed.checkpoint_due || rng.u8(..6) == 0 {
            log.checkpoint(NOW).unwrap();
        }
    }
}

/// Asserts that the log holds what the model does.
#[track_caller]
pub(crate) fn assert_is(log: &Log, model: &Model) {
    assert_eq!(model.pnodes_differ(log), None);
    model.assert_blocks(log);
}

/// Asserts the same, and that a check finds nothing wrong.
#[track_caller]
pub(crate) fn assert_whole(log: &Log, model: &Model) {
    assert_is(log, model);
    let (segments, blocks) = model.claims();
    check(log, &segments, &blocks);
}
