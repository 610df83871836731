//! The threads: one moves segments out and deletes objects, the other brings segments back, so that nobody who plays waits for what
//! goes. Recording waits for neither.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use pegasus_base::StreamId;

use super::tiering::{Direction, State, Tiering, Wanted};
use crate::error::Error;
use crate::inner::Inner;

/// How often the rules are looked at, and how long a thread sleeps at most.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How often listing and directories are compared.
const SWEEP_EVERY: Duration = Duration::from_secs(3_600);
/// How long a failure to compare or to delete is waited for.
const AGAIN_AFTER: Duration = Duration::from_secs(60);

/// The threads.
#[derive(Debug)]
pub(crate) struct Stagers {
    tiering: Arc<Tiering>,
    threads: [JoinHandle<()>; 2],
}

impl Stagers {
    pub(crate) fn start(inner: &Arc<Inner>, tiering: Arc<Tiering>) -> Self {
        let thread = |name: &str, run: fn(&Inner, &Tiering)| {
            let (inner, tiering) = (inner.clone(), tiering.clone());
            let named = std::thread::Builder::new().name(name.to_owned());
            named.spawn(move || run(&inner, &tiering)).expect("the system can start a thread")
        };
        let threads = [thread("stage out", run_out), thread("stage in", run_in)];
        Self { tiering, threads }
    }

    pub(crate) fn stop(self) {
        self.tiering.stop();
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a thread of the tier panicked: this is a fault of ours");
            }
        }
    }
}

/// What the thread that moves out knows beside the queue.
#[derive(Debug, Default)]
struct Leaving {
    due: VecDeque<Wanted>,
    looked: Option<Instant>,
    swept: Option<Instant>,
    not_before: Option<Instant>,
    /// Segments that can't be read: they stay, until the store is opened again.
    refused: HashSet<(StreamId, u64)>,
}

/// Which direction of the state a thread works in.
type Choose = fn(&mut State) -> &mut Direction;

fn run_out(inner: &Inner, tiering: &Tiering) {
    let mut leaving = Leaving::default();
    while rest(tiering, |state| &mut state.out, |state| !state.dead.is_empty()) {
        while !tiering.state.lock().stop && leaving.step(inner, tiering).unwrap_or(false) {}
    }
}

fn run_in(inner: &Inner, tiering: &Tiering) {
    while rest(tiering, |state| &mut state.back, |_| false) {
        while !tiering.state.lock().stop && come_one(inner, tiering).unwrap_or(false) {}
    }
}

/// Sleeps until there is something to do, or for a while; false if the thread is to stop.
fn rest(tiering: &Tiering, choose: Choose, also: impl Fn(&State) -> bool) -> bool {
    let until = Instant::now() + LOOK_EVERY;
    let mut state = tiering.state.lock();
    while !state.stop {
        let direction = choose(&mut state);
        let may = direction.not_before.is_none_or(|at| at <= Instant::now());
        if may && !direction.waiting.is_empty() {
            break;
        }
        // What is dead is seen to at the next look, if it failed before.
        let dead = also(&state) && state.trouble.is_none();
        if dead || tiering.changed.wait_until(&mut state, until).timed_out() {
            break;
        }
    }
    !state.stop
}

/// Takes what waits first, if anything may be tried.
fn next(tiering: &Tiering, choose: Choose) -> Option<Wanted> {
    let mut state = tiering.state.lock();
    let direction = choose(&mut state);
    if direction.not_before.is_some_and(|at| at > Instant::now()) {
        return None;
    }
    let wanted = direction.waiting.pop_front()?;
    direction.begin(&wanted);
    Some(wanted)
}

/// Brings one segment back; false if there is nothing to bring, or it has to wait.
fn come_one(inner: &Inner, tiering: &Tiering) -> Result<bool, Error> {
    let choose: Choose = |state| &mut state.back;
    let Some(wanted) = next(tiering, choose) else { return Ok(false) };
    let outcome = tiering.come(inner, &wanted);
    let again = matches!(outcome, Err(Error::Away { .. }));
    settle(tiering, choose, &wanted, &outcome, again);
    outcome.map(|_| true)
}

/// Takes note of what became of a segment.
fn settle(
    tiering: &Tiering,
    choose: Choose,
    wanted: &Wanted,
    outcome: &Result<u64, Error>,
    again: bool,
) {
    let mut state = tiering.state.lock();
    let direction = choose(&mut state);
    match outcome {
        Ok(bytes) => direction.moved(*bytes),
        Err(error) => {
            direction.failed(error.to_string(), Instant::now());
            if again {
                direction.want(wanted.clone(), true);
            }
        }
    }
}

impl Leaving {
    /// Does one thing; false if there is nothing to do, or it has to wait.
    fn step(&mut self, inner: &Inner, tiering: &Tiering) -> Result<bool, Error> {
        let choose: Choose = |state| &mut state.out;
        if let Some(wanted) = next(tiering, choose) {
            return self.leave(inner, tiering, &wanted, true);
        }
        if let Some(wanted) = self.next_due(inner, tiering)? {
            tiering.state.lock().out.begin(&wanted);
            return self.leave(inner, tiering, &wanted, false);
        }
        let now = Instant::now();
        if self.not_before.is_some_and(|at| at > now) {
            return Ok(false);
        }
        let tidied = match self.swept.is_none_or(|at| now >= at + SWEEP_EVERY) {
            true => tiering.sweep(inner).map(|()| true),
            false => tiering.delete_dead(),
        };
        tiering.state.lock().trouble = tidied.as_ref().err().map(ToString::to_string);
        match tidied {
            Ok(_) => self.swept = self.swept.filter(|at| now < *at + SWEEP_EVERY).or(Some(now)),
            Err(_) => self.not_before = Some(now + AGAIN_AFTER),
        }
        tidied
    }

    /// What a rule sends out next. The rules are looked at now and then, or when all that was due has gone.
    fn next_due(&mut self, inner: &Inner, tiering: &Tiering) -> Result<Option<Wanted>, Error> {
        let now = Instant::now();
        if tiering.state.lock().out.not_before.is_some_and(|at| at > now) {
            return Ok(None);
        }
        if self.due.is_empty() && self.looked.is_none_or(|at| now >= at + LOOK_EVERY) {
            let due = tiering.due(inner, inner.clock.now())?;
            let stays = |wanted: &Wanted| self.refused.contains(&(wanted.stream.id, wanted.index));
            self.due = due.into_iter().filter(|wanted| !stays(wanted)).collect();
            self.looked = Some(now);
        }
        Ok(self.due.pop_front())
    }

    fn leave(
        &mut self,
        inner: &Inner,
        tiering: &Tiering,
        wanted: &Wanted,
        asked: bool,
    ) -> Result<bool, Error> {
        let choose: Choose = |state| &mut state.out;
        let begun = Instant::now();
        let outcome = tiering.leave(inner, wanted);
        let away = matches!(outcome, Err(Error::Away { .. }));
        settle(tiering, choose, wanted, &outcome, away && asked);
        match outcome {
            Ok(bytes) => tiering.pace(bytes, begun.elapsed()).map(|()| true),
            Err(error) if away => {
                // The rules are asked again when the tier is back.
                self.due.clear();
                Err(error)
            }
            Err(error) => {
                tracing::warn!(stream = %wanted.stream.name, %error, "a segment can't be moved out");
                self.refused.insert((wanted.stream.id, wanted.index));
                Err(error)
            }
        }
    }
}

/// All that there is to do, in the caller's thread.
///
/// # Errors
/// The first that was met.
pub(super) fn tend(inner: &Inner, tiering: &Tiering) -> Result<(), Error> {
    let mut first = Ok(());
    let mut note = |outcome: Result<bool, Error>| match outcome {
        Ok(more) => more,
        Err(error) => {
            if first.is_ok() {
                first = Err(error);
            }
            false
        }
    };
    // Whoever calls it wants it tried now.
    let ready = || {
        let mut state = tiering.state.lock();
        (state.out.not_before, state.back.not_before) = (None, None);
    };
    ready();
    while note(come_one(inner, tiering)) {}
    let mut leaving = Leaving::default();
    while note(leaving.step(inner, tiering)) {}
    first
}
