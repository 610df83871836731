//! Timed reads within a time that is given, and how far it has come.

use std::ops::RangeInclusive;

use super::SurveyOptions;
use crate::{Disk, DiskError, SECTOR};

/// How far a measurement has come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// What is measured at present.
    pub what: &'static str,
    /// How much of all is done, 0 to 1; never falls.
    pub share: f64,
}

/// So many reads may fail.
const FAILED_MAX: u64 = 32;

/// A disk that is measured.
pub(super) struct Bench<'a> {
    pub(super) disk: &'a dyn Disk,
    pub(super) rng: fastrand::Rng,
    progress: &'a mut dyn FnMut(Progress),
    time_ns: f64,
    phase: Phase,
    reads: u64,
    failed_reads: u64,
    blank_reads: u64,
}

/// What is measured at present.
struct Phase {
    what: &'static str,
    /// The share of all that was done before.
    from: f64,
    /// Its own share.
    part: f64,
    since_ns: u64,
    /// What was told last.
    told: f64,
}

impl<'a> Bench<'a> {
    pub(super) fn new(
        disk: &'a dyn Disk,
        options: &SurveyOptions,
        progress: &'a mut dyn FnMut(Progress),
    ) -> Self {
        Self {
            disk,
            rng: fastrand::Rng::with_seed(options.seed),
            progress,
            time_ns: options.time.as_nanos() as f64,
            phase: Phase { what: "", from: 0.0, part: 0.0, since_ns: 0, told: 0.0 },
            reads: 0,
            failed_reads: 0,
            blank_reads: 0,
        }
    }

    /// Goes on to measure `what`, for `part` of the time, 0 to 1.
    pub(super) fn begin(&mut self, what: &'static str, part: f64) {
        let from = self.phase.from + self.phase.part;
        let since_ns = self.disk.stats().read_busy_ns;
        self.phase = Phase { what, from, part, since_ns, told: self.phase.told };
        self.tell(0.0);
    }

    /// The time of this phase, in nanoseconds.
    pub(super) fn phase_ns(&self) -> f64 {
        self.time_ns * self.phase.part
    }

    /// How much of the time of this phase is gone: 1 when it is over.
    fn spent(&self) -> f64 {
        let ns = self.disk.stats().read_busy_ns - self.phase.since_ns;
        ns as f64 / self.phase_ns().max(1.0)
    }

    /// Whether to go on after `done` samples: until there are as many as there should be at least, and then while there is
    /// time and there are not as many as there should be at most.
    pub(super) fn goes_on(&mut self, done: usize, wanted: RangeInclusive<usize>) -> bool {
        let (least, most) = wanted.into_inner();
        let counted = done as f64 / most.max(1) as f64;
        let spent = self.spent();
        let least_share = done as f64 / least.max(1) as f64;
        self.tell(counted.max(spent.min(least_share)).min(1.0));
        done < least || (done < most && spent < 1.0)
    }

    fn tell(&mut self, share: f64) {
        let share = (self.phase.from + self.phase.part * share).clamp(self.phase.told, 1.0);
        self.phase.told = share;
        (self.progress)(Progress { what: self.phase.what, share });
    }

    /// Reads, and says how long the disk was busy with it, in nanoseconds; `None` if it failed, as single sectors may.
    pub(super) fn read_ns(&mut self, offset: u64, len: u64) -> Result<Option<u64>, DiskError> {
        let before_ns = self.disk.stats().read_busy_ns;
        let outcome = crate::read(self.disk, offset, len as usize);
        let took_ns = self.disk.stats().read_busy_ns - before_ns;
        self.reads += 1;
        match outcome {
            Ok(buf) => {
                self.blank_reads += u64::from(buf[..SECTOR.min(buf.len())].iter().all(|b| *b == 0));
                Ok(Some(took_ns))
            }
            Err(DiskError::Io { .. }) if self.failed_reads < FAILED_MAX => {
                self.failed_reads += 1;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Ends: how many reads there were, how many failed, and how many found zeros.
    pub(super) fn end(mut self) -> (u64, u64, u64) {
        self.phase.told = 1.0;
        self.tell(1.0);
        (self.reads, self.failed_reads, self.blank_reads)
    }
}
