//! Waiting for a promise: until somebody gives his back, and it is one's turn.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use super::line::{Line, Ticket};
use super::promise::{Promise, Wish};
use crate::error::Error;
use crate::store::Continuous;

/// Most that wait at once.
const WAITING_MAX: usize = 256;

type Wake = Arc<dyn Fn() + Send + Sync>;

/// The line, and how those in it are told. Locked before an office's state.
#[derive(Default)]
pub(crate) struct Waiters {
    line: Mutex<Line>,
    wakes: Mutex<BTreeMap<Ticket, Wake>>,
}

impl Waiters {
    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.line.lock().len()
    }

    pub(super) fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock()
    }

    /// There may be time for the next: he is told.
    pub(crate) fn wake(&self) {
        let first = self.line.lock().first();
        let wake = first.and_then(|first| self.wakes.lock().get(&first).cloned());
        if let Some(wake) = wake {
            wake();
        }
    }

    fn leave(&self, ticket: Ticket) {
        self.wakes.lock().remove(&ticket);
        self.line.lock().leave(ticket);
        self.wake();
    }
}

impl fmt::Debug for Waiters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Waiters").field(&self.line).finish()
    }
}

/// What became of somebody who is ready to wait.
#[derive(Debug)]
pub enum InLine {
    /// There was nothing to wait for.
    Promised(Promise),
    /// He waits.
    Waiting(Waiting),
}

/// A place in the line of those who wait for a promise. Dropping it leaves the line.
pub struct Waiting {
    store: Continuous,
    wishes: Vec<Wish>,
    ticket: Ticket,
}

impl Waiting {
    /// Asks again. To be called when one was woken, and now and then besides: what somebody gives back is free when the period is over in which
    /// it was promised.
    ///
    /// # Errors
    /// [`Error::Refused`] if it is not one's turn yet, or there is no time for it; as [`Continuous::promise`].
    pub fn ask(&self) -> Result<Promise, Error> {
        Promise::patiently(&self.store, &self.wishes, Some(self.ticket))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.store.inner().waiters.leave(self.ticket);
    }
}

impl fmt::Debug for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiting").field("wishes", &self.wishes).finish_non_exhaustive()
    }
}

impl Continuous {
    /// As [`Continuous::promise`], but who does not fit now may wait in line; `wake` is called when it may be his turn, by whoever made room: it
    /// must be quick, and not call back.
    ///
    /// Those who wait are served in the order in which they came. Who does not wait may overtake the next of them eight times; then what is given
    /// back is kept for him.
    ///
    /// # Errors
    /// [`Error::Refused`] if it would not fit though nobody played; as [`Continuous::promise`], which it is if 256 wait already.
    pub fn promise_in_line(
        &self,
        wishes: &[Wish],
        wake: impl Fn() + Send + Sync + 'static,
    ) -> Result<InLine, Error> {
        let waiters = &self.inner().waiters;
        let nobody_waits = waiters.len() == 0;
        // Who is ready to wait does not overtake those who do.
        if nobody_waits {
            match Promise::patiently(self, wishes, None) {
                Ok(promise) => return Ok(InLine::Promised(promise)),
                Err(Error::Refused(refused)) if !refused.never => {}
                Err(other) => return Err(other),
            }
        }
        let ticket = {
            let mut line = waiters.line();
            (line.len() < WAITING_MAX).then(|| line.join())
        };
        let Some(ticket) = ticket else { return self.promise(wishes).map(InLine::Promised) };
        waiters.wakes.lock().insert(ticket, Arc::new(wake));
        let waiting = Waiting { store: self.clone(), wishes: wishes.to_vec(), ticket };
        // Somebody may have left meanwhile.
        waiters.wake();
        Ok(InLine::Waiting(waiting))
    }
}
