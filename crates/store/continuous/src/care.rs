//! What is to be done for the disks, and how far it is. Pure: time is told.

use std::time::Duration;

use pegasus_base::Time;
use pegasus_log::{Mended, Position};
use serde::{Deserialize, Serialize};

const MAGIC: [u8; 4] = *b"PGsc";
const VERSION: u32 = 1;
/// Bytes of a [`Memo`].
const MEMO_LEN: usize = 56;
/// Longest rest between two blocks: a request to stop is noticed after it.
const REST_MAX: Duration = Duration::from_secs(1);

/// What is being done for the disks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum WorkKind {
    /// A new disk, or one that was away, gets what it lacks.
    Rebuild,
    /// Everything is read, verified and repaired.
    Scrub,
    /// What is on a disk that is to be removed is moved to the others.
    Removal,
}

/// How far it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkStatus {
    /// What is being done.
    pub kind: WorkKind,
    /// Slots gone over.
    pub slots_done: u64,
    /// Slots to go over, as far as is known.
    pub slots_total: u64,
    /// Bytes read for it.
    pub read_bytes: u64,
    /// Fragments written anew.
    pub repaired_fragments: u64,
    /// Bytes of them.
    pub repaired_bytes: u64,
    /// Blocks of which too little is left.
    pub lost_blocks: u64,
    /// Repairs that a disk refused or did not keep.
    pub refused_repairs: u64,
    /// Seconds it has been going on.
    pub elapsed_s: u64,
    /// Seconds it will take at this pace, if that can be told.
    pub eta_s: Option<u64>,
}

/// What was done for the disks since the store was opened, and is being done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CareStatus {
    /// What is being done now.
    pub work: Option<WorkStatus>,
    /// End of the last scrub that went over everything.
    pub scrubbed: Option<Time>,
    /// Fragments written anew.
    pub repaired_fragments: u64,
    /// Blocks of which too little was left.
    pub lost_blocks: u64,
    /// Repairs that a disk refused or did not keep.
    pub refused_repairs: u64,
    /// Segments met in the last pass that have less parity than the store: written when too few disks lived.
    pub unprotected_segments: u64,
    /// What was found in the last pass, a sentence each: the first of them.
    pub problems: Vec<String>,
    /// Why the last attempt was given up, to be tried again.
    pub trouble: Option<String>,
}

/// What is remembered of a scrub over a restart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Memo {
    /// Whether one is under way.
    pub(crate) running: bool,
    /// Where it was.
    pub(crate) at: Option<Position>,
    /// Slots gone over until then.
    pub(crate) slots: u64,
    /// Bytes a second it may take; 0: half of the time.
    pub(crate) rate: u64,
    /// When the last one ended.
    pub(crate) scrubbed: Option<Time>,
}

impl Memo {
    pub(crate) fn emit(&self) -> Vec<u8> {
        let at = self.at.unwrap_or_default();
        let mut out = MAGIC.to_vec();
        out.extend(VERSION.to_le_bytes());
        let flags = u32::from(self.running) | u32::from(self.at.is_some()) << 1;
        out.extend(flags.to_le_bytes());
        out.extend([0; 4]);
        for number in [at.list, at.record, self.slots, self.rate] {
            out.extend(number.to_le_bytes());
        }
        out.extend(self.scrubbed.map_or(0, Time::as_ns).to_le_bytes());
        assert_eq!(out.len(), MEMO_LEN, "the length is fixed");
        out
    }

    /// What was remembered; nothing if it makes no sense, as it is no loss.
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let number = |at: usize| {
            let field = bytes.get(at..at + 8).and_then(|field| field.first_chunk());
            field.map_or(0, |field| u64::from_le_bytes(*field))
        };
        let known = bytes.len() == MEMO_LEN
            && bytes.starts_with(&MAGIC)
            && bytes[4..8] == VERSION.to_le_bytes();
        if !known {
            return Self::default();
        }
        let scrubbed = Time::from_ns(number(48).cast_signed());
        Self {
            running: bytes[8] & 1 != 0,
            at: (bytes[8] & 2 != 0).then(|| Position { list: number(16), record: number(24) }),
            slots: number(32),
            rate: number(40),
            scrubbed: (number(48) != 0).then_some(scrubbed),
        }
    }
}

/// Keeps a pass from taking the disks from everybody else.
#[derive(Debug)]
pub(crate) struct Pacer {
    rate: Option<u64>,
    /// When the bytes so far are paid for.
    due: Duration,
}

impl Pacer {
    /// At most `rate` bytes a second, or, if there is none, half of the time.
    pub(crate) fn new(rate: Option<u64>) -> Self {
        Self { rate: rate.filter(|rate| *rate > 0), due: Duration::ZERO }
    }

    /// How long to rest at `now`, having worked for `worked` and moved `bytes`.
    pub(crate) fn rest(&mut self, now: Duration, worked: Duration, bytes: u64) -> Duration {
        let Some(rate) = self.rate else { return worked.min(REST_MAX) };
        // What was not used up earlier is not saved.
        let cost = Duration::from_secs_f64(bytes as f64 / rate as f64);
        self.due = self.due.max(now.saturating_sub(worked)) + cost;
        self.due.saturating_sub(now)
    }
}

impl WorkStatus {
    pub(crate) fn new(
        kind: WorkKind,
        mended: &Mended,
        before: u64,
        total: u64,
        elapsed: Duration,
    ) -> Self {
        let total = total.max(before + mended.slots);
        let left = total - before - mended.slots;
        let eta = (mended.slots > 0)
            .then(|| (elapsed.as_secs_f64() * left as f64 / mended.slots as f64) as u64);
        Self {
            kind,
            slots_done: before + mended.slots,
            slots_total: total,
            read_bytes: mended.read_bytes,
            repaired_fragments: mended.repaired,
            repaired_bytes: mended.repaired_bytes,
            lost_blocks: mended.lost,
            refused_repairs: mended.refused,
            elapsed_s: elapsed.as_secs(),
            eta_s: eta,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_read_again() {
        let memo = Memo {
            running: true,
            at: Some(Position { list: 17, record: 4 }),
            slots: 9,
            rate: 1 << 20,
            scrubbed: Some(Time::from_secs(1_700_000_000)),
        };
        for memo in [memo, Memo { at: None, scrubbed: None, ..memo }, Memo::default()] {
            assert_eq!(Memo::parse(&memo.emit()), memo);
        }
        assert_eq!(Memo::parse(b"something else"), Memo::default());
    }

    #[test]
    fn the_pace_is_kept() {
        let mut pacer = Pacer::new(Some(1_000_000));
        let ms = Duration::from_millis;
        assert_eq!(pacer.rest(ms(10), ms(10), 100_000), ms(90));
        assert_eq!(pacer.rest(ms(110), ms(10), 100_000), ms(90));
        assert_eq!(pacer.rest(ms(900), ms(10), 1_000), Duration::ZERO, "nothing is saved up");
        assert_eq!(pacer.rest(ms(901), ms(1), 100_000), ms(99));
        assert_eq!(Pacer::new(None).rest(ms(10), ms(10), 1 << 30), ms(10));
    }
}
