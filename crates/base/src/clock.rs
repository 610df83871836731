//! The clock seam. Cores take `now` as an argument; only drivers hold a [`Clock`].

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::Time;

/// Where a driver asks for the time. Cores never hold one: they are told `now`.
pub trait Clock: Send + Sync {
    /// The wall-clock time, UTC. May step if the machine's clock is stepped.
    fn now(&self) -> Time;
}

/// The machine's clock.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Time {
        // A clock set before 1970 reads as the epoch: nothing here can do better.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Time::from_ns(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
    }
}

/// A clock that tests move by hand.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock that stands at `now`.
    #[must_use]
    pub fn at(now: Time) -> Self {
        Self(AtomicI64::new(now.as_ns()))
    }

    /// Moves the clock to `now`, forwards or backwards.
    pub fn set(&self, now: Time) {
        self.0.store(now.as_ns(), Ordering::Relaxed);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Time {
        Time::from_ns(self.0.load(Ordering::Relaxed))
    }
}
