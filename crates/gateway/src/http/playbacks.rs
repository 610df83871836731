//! Playbacks that browsers and programs have a promise for.
//!
//! Over HTTP nobody notices that a viewer is gone, so a promise is a lease: it ends unless it is renewed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use pegasus_continuous::{Continuous, Error, Promise, Wish};

/// How long a promise lasts that nobody renews.
pub(crate) const EXPIRES: Duration = Duration::from_secs(30);
/// Most promises at once.
const LEASES_MAX: usize = 1_000;

/// The promises, by number.
#[derive(Debug, Default)]
pub(crate) struct Playbacks {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    leases: BTreeMap<u64, Lease>,
}

#[derive(Debug, Clone)]
pub(crate) struct Lease {
    pub(crate) promise: Arc<Promise>,
    pub(crate) wishes: Vec<Wish>,
    expires: Instant,
}

/// Why there is no such playback.
#[derive(Debug)]
pub(crate) enum Absent {
    /// Nobody has this number, or nobody has any more.
    Unknown,
    /// It was ended, because of this.
    Withdrawn(String),
    /// The disks have no time for what was asked for, or something else failed.
    Store(Error),
    /// There are as many as there may be.
    TooMany,
}

impl From<Error> for Absent {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

impl Playbacks {
    /// Asks for a promise. Waits for disks.
    pub(crate) fn begin(
        &self,
        store: &Continuous,
        wishes: Vec<Wish>,
    ) -> Result<(u64, Lease), Absent> {
        self.check_room()?;
        self.keep(store.promise(&wishes)?, wishes)
    }

    /// Refuses more than there may be.
    pub(crate) fn check_room(&self) -> Result<(), Absent> {
        if self.sweep(Instant::now()) >= LEASES_MAX { Err(Absent::TooMany) } else { Ok(()) }
    }

    /// Keeps a promise that was given.
    pub(crate) fn keep(&self, promise: Promise, wishes: Vec<Wish>) -> Result<(u64, Lease), Absent> {
        let lease = Lease { promise: promise.into(), wishes, expires: Instant::now() + EXPIRES };
        let mut state = self.state.lock();
        state.next += 1;
        let id = state.next;
        state.leases.insert(id, lease.clone());
        Ok((id, lease))
    }

    /// Renews a promise, and has it changed by `change` if that says so. What can't be promised leaves it as it was.
    /// Waits for disks.
    pub(crate) fn renew(
        &self,
        store: &Continuous,
        id: u64,
        change: impl Fn(&mut Wish) -> bool,
    ) -> Result<Lease, Absent> {
        let lease = self.get(id)?;
        let mut wishes = lease.wishes.clone();
        // All of them have to be asked.
        let changes = wishes.iter_mut().map(change).fold(false, |any, changed| any | changed);
        if !changes {
            return Ok(lease);
        }
        let promise = Arc::new(store.promise_instead(&lease.promise, &wishes)?);
        let lease = Lease { promise, wishes, expires: Instant::now() + EXPIRES };
        // Who gave it back meanwhile has not got it any more.
        match self.state.lock().leases.get_mut(&id) {
            Some(known) => known.clone_from(&lease),
            None => return Err(Absent::Unknown),
        }
        Ok(lease)
    }

    /// A promise, which is renewed by being used.
    pub(crate) fn get(&self, id: u64) -> Result<Lease, Absent> {
        let now = Instant::now();
        self.sweep(now);
        let mut state = self.state.lock();
        let lease = state.leases.get_mut(&id).ok_or(Absent::Unknown)?;
        if let Some(why) = lease.promise.withdrawn() {
            state.leases.remove(&id);
            return Err(Absent::Withdrawn(why));
        }
        lease.expires = now + EXPIRES;
        Ok(lease.clone())
    }

    /// Gives a promise back; whether there was one.
    pub(crate) fn end(&self, id: u64) -> bool {
        self.state.lock().leases.remove(&id).is_some()
    }

    /// Those that have not expired.
    pub(crate) fn all(&self) -> Vec<(u64, Lease)> {
        self.sweep(Instant::now());
        let state = self.state.lock();
        state.leases.iter().map(|(id, lease)| (*id, lease.clone())).collect()
    }

    /// Ends what nobody has renewed; how many are left.
    pub(crate) fn sweep(&self, now: Instant) -> usize {
        let mut state = self.state.lock();
        let gone: Vec<Lease> =
            state.leases.extract_if(.., |_, lease| lease.expires <= now).map(|(_, l)| l).collect();
        let left = state.leases.len();
        drop(state);
        // Giving back takes another lock.
        drop(gone);
        left
    }
}
