//! What a simulated disk is and does, operation by operation.

use std::collections::BTreeSet;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use rustix::io::Errno;

use super::fault::{Fault, Rules};
use super::image::bytes;
use super::media::{Media, Step, TearAt, Wrote};
use crate::request::Outcome;
use crate::{AlignedBuf, DiskError, Done, Mechanics, Op, Request, SECTOR};

/// How fast a simulated disk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SimModel {
    /// Cost, in microseconds, of an operation that does not begin where the last one ended, and of
    /// a flush.
    pub position_us: u64,
    /// Rate of transfers in bytes per second; not 0.
    pub bytes_per_s: u64,
}

impl Default for SimModel {
    /// A middling flash drive.
    fn default() -> Self {
        Self { position_us: 100, bytes_per_s: 500_000_000 }
    }
}

/// Where a simulated disk's times come from.
#[derive(Clone)]
pub(super) enum Speed {
    Model(SimModel),
    Profile(Mechanics),
}

impl Speed {
    /// What an operation takes, in nanoseconds, on a disk whose last transfer ended at `head`.
    fn cost_ns(&mut self, op: Op, offset: u64, len_bytes: u64, head: u64) -> u64 {
        match self {
            Self::Model(model) => {
                let begins = op == Op::Flush || offset != head;
                let position_ns = if begins { model.position_us * 1_000 } else { 0 };
                position_ns + len_bytes * 1_000_000_000 / model.bytes_per_s
            }
            // What is cached is written somewhere near: a turn, and no way to go.
            Self::Profile(disk) if op == Op::Flush => {
                disk.profile().overhead_ns() + disk.profile().rotation_ns()
            }
            Self::Profile(disk) => disk.serve_ns(offset, len_bytes),
        }
    }
}

/// What became of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Effect {
    /// It did what it should.
    Done,
    /// It failed, and said so.
    Failed,
    /// A write was dropped silently.
    Lost,
    /// A write was done at another place silently.
    Misdirected {
        /// Where, in bytes.
        to_offset: u64,
    },
    /// A write was done in part, silently.
    Torn,
}

/// One operation of the recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpRecord {
    /// Its number, as the disk's counter counts.
    pub number: u64,
    /// Its kind.
    pub op: Op,
    /// Where, in bytes; 0 for a flush.
    pub offset: u64,
    /// How much, in bytes; 0 for a flush.
    pub len_bytes: u64,
    /// What became of it.
    pub effect: Effect,
}

#[derive(Clone)]
struct Recording {
    base: Media,
    /// Changes, each with the number of the operation that made it.
    steps: Vec<(u64, Step)>,
    ops: Vec<OpRecord>,
}

#[derive(Clone)]
pub(super) struct State {
    pub(super) media: Media,
    pub(super) rules: Rules,
    pub(super) rng: fastrand::Rng,
    pub(super) speed: Speed,
    pub(super) dead: bool,
    /// Unreadable sectors.
    pub(super) bad: BTreeSet<u64>,
    /// Where the last operation ended, in bytes.
    head: u64,
    recording: Option<Recording>,
}

impl State {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            media: Media::default(),
            rules: Rules::default(),
            rng: fastrand::Rng::with_seed(seed),
            speed: Speed::Model(SimModel::default()),
            dead: false,
            bad: BTreeSet::new(),
            head: 0,
            recording: None,
        }
    }

    pub(super) fn alive(&self, label: &str) -> Result<(), DiskError> {
        if !self.dead {
            return Ok(());
        }
        Err(DiskError::Dead { disk: label.to_owned(), why: "it was unplugged".to_owned() })
    }

    pub(super) fn record(&mut self) {
        let base = self.media.clone();
        self.recording = Some(Recording { base, steps: Vec::new(), ops: Vec::new() });
    }

    pub(super) fn ops(&self) -> Vec<OpRecord> {
        self.recording.as_ref().map(|r| r.ops.clone()).unwrap_or_default()
    }

    /// The medium and cache as they were before operation `op`.
    pub(super) fn media_before(&self, op: u64) -> Media {
        let recording = self.recording.as_ref().expect("the disk must be recording");
        let mut media = recording.base.clone();
        for (_, step) in recording.steps.iter().take_while(|(number, _)| *number < op) {
            media.apply(step);
        }
        media
    }

    /// Changes the medium, on account of operation `number`.
    pub(super) fn apply(&mut self, number: u64, step: Step) {
        self.media.apply(&step);
        if let Some(recording) = &mut self.recording {
            recording.steps.push((number, step));
        }
    }

    /// Does one checked request; returns its outcome and its cost in virtual nanoseconds.
    pub(super) fn perform(
        &mut self,
        label: &str,
        size_bytes: u64,
        number: u64,
        request: &Request,
    ) -> (Outcome, u64) {
        let (op, offset, len) = request.span();
        let faults = self.rules.strike(op, number, &mut self.rng);
        self.dead |= faults.contains(&Fault::Death);
        let failed = || DiskError::Io {
            disk: label.to_owned(),
            op,
            offset,
            len_bytes: len as u64,
            source: Arc::new(io::Error::from(Errno::IO)),
        };
        let mut effect = Effect::Failed;
        let outcome = self.alive(label).and_then(|()| {
            let done = match request {
                Request::Read { .. } => self.read(offset, len, number, &faults),
                Request::Write { buf, .. } => {
                    let wrote = Wrote::new(offset / SECTOR as u64, buf);
                    effect = self.write(wrote, size_bytes, number, &faults);
                    (effect != Effect::Failed).then_some(Done::Written)
                }
                Request::Flush => self.flush(number, &faults),
            };
            done.ok_or_else(failed)
        });
        if outcome.is_ok() && op != Op::Write {
            effect = Effect::Done;
        }
        let record = OpRecord { number, op, offset, len_bytes: len as u64, effect };
        self.recording.iter_mut().for_each(|r| r.ops.push(record));
        (outcome, self.cost_ns(op, offset, len as u64, &faults))
    }

    /// `None` if it fails, here and below.
    fn read(&mut self, offset: u64, len: usize, number: u64, faults: &[Fault]) -> Option<Done> {
        let sectors = offset / SECTOR as u64..(offset + len as u64) / SECTOR as u64;
        if !sectors.is_empty() && faults.contains(&Fault::BadSector) {
            self.bad.insert(self.rng.u64(sectors.clone()));
        }
        if !sectors.is_empty() && faults.contains(&Fault::BitRot) {
            self.flip_bit(offset..offset + len as u64, number);
        }
        if faults.contains(&Fault::ReadError) || self.bad.range(sectors.clone()).next().is_some() {
            return None;
        }
        let mut buf = AlignedBuf::for_overwrite(len);
        self.media.current.read(sectors.start, &mut buf);
        Some(Done::Read(buf))
    }

    fn write(&mut self, wrote: Wrote, size_bytes: u64, number: u64, faults: &[Fault]) -> Effect {
        let (mut wrote, mut effect) = (wrote, Effect::Done);
        if faults.contains(&Fault::LostWrite) {
            return Effect::Lost;
        }
        if faults.contains(&Fault::MisdirectedWrite) {
            let places = size_bytes / SECTOR as u64 - wrote.pages.len() as u64 + 1;
            let to = self.rng.u64(0..places);
            if to != wrote.sector {
                effect = Effect::Misdirected { to_offset: to * SECTOR as u64 };
                wrote.sector = to;
            }
        }
        let fails = faults.contains(&Fault::WriteError);
        if fails || faults.contains(&Fault::TornWrite) {
            effect = if fails { Effect::Failed } else { Effect::Torn };
            let old = &self.media.current;
            wrote = wrote.torn_at_random(old, TearAt::Bytes512, &mut self.rng);
        }
        if !fails {
            let end = wrote.sector + wrote.pages.len() as u64;
            self.bad.retain(|s| !(wrote.sector..end).contains(s));
        }
        self.apply(number, Step::Write(wrote));
        effect
    }

    fn flush(&mut self, number: u64, faults: &[Fault]) -> Option<Done> {
        if !faults.contains(&Fault::FlushError) {
            self.apply(number, Step::Flush);
            return Some(Done::Flushed);
        }
        let rng = &mut self.rng;
        let arrived = self.media.cached.iter().filter(|_| rng.bool()).cloned().collect();
        self.apply(number, Step::FlushFailed(arrived));
        None
    }

    /// Flips one random bit of the medium in `range` (bytes, not empty).
    pub(super) fn flip_bit(&mut self, range: Range<u64>, number: u64) {
        let at = self.rng.u64(range);
        let sector = at / SECTOR as u64;
        let mut page = bytes(self.media.current.get(sector));
        page[(at % SECTOR as u64) as usize] ^= 1 << self.rng.u8(0..8);
        self.apply(number, Step::Patch(Wrote::new(sector, &page)));
    }

    fn cost_ns(&mut self, op: Op, offset: u64, len_bytes: u64, faults: &[Fault]) -> u64 {
        let mut cost_ns = self.speed.cost_ns(op, offset, len_bytes, self.head);
        if op != Op::Flush {
            self.head = offset + len_bytes;
        }
        for fault in faults {
            if let Fault::Slow { by_us } = fault {
                cost_ns += by_us * 1_000;
            }
        }
        cost_ns
    }
}
