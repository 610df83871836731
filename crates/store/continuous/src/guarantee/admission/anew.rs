//! What becomes of promises when the disks have more or less time than they had: recordings take it, or disks are not what they seemed.

use std::time::Duration;

use pegasus_disk::Profile;
use pegasus_mitra::PlaybackId;

use super::{KEPT_MAX, State};
use crate::guarantee::lateness::{Done, Lateness};

/// A change of what recordings take that is worth promising anew.
const SHARE_STEP: f64 = 0.02;

impl State {
    /// Recordings take `share` of the disks' time now, 0 to 1.
    pub(in crate::guarantee) fn record(&mut self, share: f64) {
        if (share - self.recordings).abs() > SHARE_STEP || (share == 0.0 && self.recordings > 0.0) {
            self.recordings = share.clamp(0.0, KEPT_MAX);
            self.promise_anew("recordings need the disks' time");
        }
    }

    /// How long the slowest of the disks takes at worst for so many writes of so many bytes altogether.
    pub(in crate::guarantee) fn takes(&self, writes: u32, bytes: u64) -> Duration {
        match self.terms.shape(self.lateness.slowdown(), 0.0) {
            Ok(shape) => Duration::from_nanos(shape.worst_ns(0, writes, bytes)),
            Err(_) => Duration::ZERO,
        }
    }

    /// Takes note of a batch that is over.
    pub(in crate::guarantee) fn note_batch(&mut self, done: Done) {
        self.figures.batches += 1;
        self.figures.late_batches += u64::from(done.late_ns > 0);
        let before = self.lateness.slowdown();
        if self.lateness.note(done) {
            let (why, slowdown) =
                ("the disks are slower than their profile says", self.lateness.slowdown());
            match slowdown > before {
                true => tracing::warn!(slowdown, "{why}"),
                false => tracing::info!(slowdown, "the disks are faster than they were lately"),
            }
            self.promise_anew(why);
        }
    }

    /// The disks have more or less time than they had: those for whom it does not suffice are told `why`. First go those that are not read ahead, as they
    /// take most; of them, and of the others, the newest.
    fn promise_anew(&mut self, why: &str) {
        loop {
            let kept = self.recordings + self.aside;
            let fits = |state: &Self| {
                let mut tried = state.scheduler.clone();
                let shape = state.terms.shape(state.lateness.slowdown(), kept);
                kept <= KEPT_MAX && shape.is_ok_and(|shape| tried.reshape(shape).is_empty())
            };
            let mut aside = self.shares.iter().filter(|(_, share)| share.aside > 0.0);
            // Their numbers fall.
            match aside.next().map(|(id, _)| *id).filter(|_| !fits(self)) {
                Some(newest) => self.withdraw(newest, why),
                None => break,
            }
        }
        self.cut_anew(why);
    }

    /// Cuts the disks' time as things are; who has to go for it is told `why`.
    pub(super) fn cut_anew(&mut self, why: &str) {
        match self.terms.shape(self.lateness.slowdown(), self.recordings + self.aside) {
            Ok(shape) => {
                for id in self.scheduler.reshape(shape) {
                    self.withdraw(id, why);
                }
            }
            Err(error) => tracing::error!(%error, "promises can't be made anew"),
        }
    }

    fn withdraw(&mut self, id: PlaybackId, why: &str) {
        let Some(share) = self.remove(id) else { return };
        let stream = &share.stock.finder.stream.name;
        tracing::warn!(%stream, why, "a playback's promise is taken back");
        share.stock.withdraw(why);
        self.figures.withdrawn += 1;
    }

    /// The disks are like `profiles`, if promises can be made anew by that.
    pub(in crate::guarantee) fn adopt(
        &mut self,
        profiles: &[Profile],
    ) -> Result<(), pegasus_mitra::Error> {
        (self.terms, self.lateness) = (self.terms.with(profiles)?, Lateness::default());
        self.promise_anew("the disks were measured anew, and are slower than was thought");
        Ok(())
    }
}
