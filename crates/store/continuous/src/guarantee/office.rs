//! Where promises are asked for and given back: the accounts behind a lock, the clock that tells them the time, and the
//! bell of the thread that reads.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use pegasus_disk::Profile;
use pegasus_mitra::PlaybackId;

use super::admission::{Need, State};
use super::lateness::Done;
use super::rounds;
use super::status::GuaranteeStatus;
use super::terms::{Guarantee, Layout, Terms};
use crate::error::Error;
use crate::inner::Inner;

/// Admits playbacks, and keeps what was promised.
#[derive(Debug)]
pub(crate) struct Office {
    pub(super) state: Mutex<State>,
    /// Something is to be done before the next interval.
    pub(super) kicked: Condvar,
    begun: Instant,
    /// Whether a thread reads ahead.
    driven: bool,
}

impl Office {
    /// Begins to give promises for a store, with a thread that keeps them if it is to be driven.
    ///
    /// # Errors
    /// [`Error::Guarantee`].
    pub(crate) fn open(
        inner: &Inner,
        guarantee: Guarantee,
        driven: bool,
    ) -> Result<Arc<Self>, Error> {
        let status = inner.log.status();
        let layout = Layout {
            slot_bytes: u64::from(status.unit_bytes),
            columns: u64::from(status.data) + u64::from(status.parity),
            data: u64::from(status.data.max(1)),
            block: inner.commit_interval(),
        };
        let office = Arc::new(Self::new(guarantee, layout, driven)?);
        if driven {
            let own = office.clone();
            let thread = std::thread::Builder::new().name("playback".to_owned());
            let spawned = thread.spawn(move || rounds::run(&own));
            spawned.map_err(|error| Error::Guarantee { why: error.to_string() })?;
        }
        Ok(office)
    }

    fn new(guarantee: Guarantee, layout: Layout, driven: bool) -> Result<Self, Error> {
        let wrong = |error: pegasus_mitra::Error| Error::Guarantee { why: error.to_string() };
        let (terms, scheduler) = Terms::new(guarantee, layout).map_err(wrong)?;
        Ok(Self {
            state: Mutex::new(State::new(terms, scheduler)),
            kicked: Condvar::new(),
            begun: Instant::now(),
            driven,
        })
    }

    /// Nanoseconds since it began.
    pub(super) fn now_ns(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// The instant so many nanoseconds after it began.
    pub(super) fn at(&self, ns: u64) -> Instant {
        self.begun + Duration::from_nanos(ns)
    }

    /// Whether a thread of its own reads ahead.
    pub(super) fn is_driven(&self) -> bool {
        self.driven
    }

    /// A reader waits for what is not due yet: if the disks have time, it is read now.
    pub(super) fn somebody_waits(&self) {
        self.state.lock().waited_for = true;
        self.kicked.notify_all();
    }

    /// How long a reader waits for a block that is to come.
    pub(super) fn patience(&self) -> Duration {
        match self.driven {
            true => self.guarantee().period * 2,
            false => Duration::ZERO,
        }
    }

    /// Promises all of `needs` or none: the number of the promise, and the playbacks. Those `instead_of` which they are end then; if they are
    /// refused, these go on as if nothing had been asked.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub(super) fn admit(
        &self,
        needs: &[Need],
        instead_of: &[PlaybackId],
        now_ns: u64,
    ) -> Result<(u64, Vec<PlaybackId>), Error> {
        let admitted = self.state.lock().admit(needs, instead_of, now_ns);
        self.kicked.notify_all();
        admitted.map_err(|refused| Error::Refused(Box::new(refused)))
    }

    /// What it gives promises by.
    pub(super) fn guarantee(&self) -> Guarantee {
        self.state.lock().terms.guarantee().clone()
    }

    /// The disks are like `profiles`: promises are made anew by that.
    ///
    /// # Errors
    /// [`Error::Guarantee`].
    pub(crate) fn adopt(&self, profiles: &[Profile]) -> Result<(), Error> {
        let adopted = self.state.lock().adopt(profiles);
        self.kicked.notify_all();
        adopted.map_err(|error| Error::Guarantee { why: error.to_string() })
    }

    /// Whether all of `needs` would fit if nobody else played: who waits for what never fits waits in vain.
    pub(super) fn fits_when_idle(&self, needs: &[Need]) -> bool {
        self.state.lock().fits_when_idle(needs, self.now_ns())
    }

    /// The refusal of somebody whose turn it is not.
    pub(super) fn not_his_turn(&self, needs: &[Need]) -> Error {
        Error::Refused(Box::new(self.state.lock().not_his_turn(needs, self.now_ns())))
    }

    /// How long to wait before the last of these playbacks is shown so that nothing is late.
    pub(super) fn starts_in(&self, ids: &[PlaybackId]) -> Duration {
        let now_ns = self.now_ns();
        let at_ns = |at: Instant| {
            u64::try_from(at.saturating_duration_since(self.begun).as_nanos()).unwrap_or(u64::MAX)
        };
        let starts_ns = self.state.lock().starts_ns(ids, now_ns, at_ns);
        Duration::from_nanos(starts_ns.saturating_sub(now_ns))
    }

    /// Bits a second that are reserved for these playbacks.
    pub(super) fn reserved_bps(&self, ids: &[PlaybackId]) -> u64 {
        self.state.lock().reserved_bps(ids)
    }

    /// Playbacks are over.
    pub(super) fn end(&self, ids: &[PlaybackId]) {
        self.state.lock().end(ids);
    }

    /// Recordings take `share` of the disks' time now, 0 to 1. Playbacks for which nothing is left have to go, the
    /// newest first: what is not recorded is lost for ever.
    pub(crate) fn record(&self, share: f64) {
        self.state.lock().record(share);
    }

    /// How long the slowest of the disks takes at worst for so many writes of so many bytes altogether.
    pub(super) fn takes(&self, writes: u32, bytes: u64) -> Duration {
        self.state.lock().takes(writes, bytes)
    }

    /// Takes note of a batch that is over.
    pub(crate) fn note_batch(&self, done: Done) {
        self.state.lock().note_batch(done);
    }

    pub(crate) fn status(&self) -> GuaranteeStatus {
        self.state.lock().status()
    }

    /// Nobody has a promise any more; the thread ends.
    pub(crate) fn stop(&self, why: &str) {
        self.state.lock().close(why);
        self.kicked.notify_all();
    }
}
