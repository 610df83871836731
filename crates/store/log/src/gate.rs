//! Reads of others make way for a batch that was promised (Clockwise: what is not urgent goes first as long as what is urgent bears it).
//!
//! While a batch is under way its slack is known: how much earlier than it has to be it would be done. Other reads take from
//! it, and are made at once; when it is used up they wait for the end of the batch, which is at most a window of the schedule away. Between
//! batches nobody waits. So nobody starves, and nobody is late. Who holds the writer's lock does not wait: recordings would wait for it.
//!
//! Somebody who is about to begin playing has little to read, but one thing after the other, and each would wait behind all that others asked
//! for meanwhile. So as long as somebody [begins](Hurry), the rest make one read at a time.

use std::cell::Cell;
use std::marker::PhantomData;
use std::thread::ThreadId;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// What reads cost that are not promised.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    /// A read, however short.
    pub read: Duration,
    /// A mebibyte.
    pub mebibyte: Duration,
}

impl Cost {
    fn of(&self, reads: usize, bytes: usize) -> Duration {
        let moving = self.mebibyte.mul_f64(bytes as f64 / f64::from(1 << 20));
        self.read * u32::try_from(reads).unwrap_or(u32::MAX) + moving
    }
}

thread_local! {
    /// How many reasons the thread has not to wait.
    static URGENT: Cell<u32> = const { Cell::new(0) };
    /// And how many to go before others.
    static HURRIED: Cell<u32> = const { Cell::new(0) };
}

/// While it is there, the thread that made it does not wait at a gate: for who has time of the disks kept for him, or must not keep others waiting.
#[derive(Debug)]
pub struct Urgent(PhantomData<*const ()>);

impl Urgent {
    /// From now on, until it is dropped.
    #[must_use]
    pub fn begin() -> Self {
        URGENT.with(|urgent| urgent.set(urgent.get() + 1));
        Self(PhantomData)
    }
}

impl Drop for Urgent {
    fn drop(&mut self) {
        URGENT.with(|urgent| urgent.set(urgent.get() - 1));
    }
}

/// While it is there, the thread that made it goes before all others that read what was not promised: for who is about to begin playing.
#[derive(Debug)]
pub struct Hurry<'a> {
    gate: &'a Gate,
    /// It is the thread's.
    own: PhantomData<*const ()>,
}

impl Drop for Hurry<'_> {
    fn drop(&mut self) {
        HURRIED.with(|hurried| hurried.set(hurried.get() - 1));
        self.gate.state.lock().hurried -= 1;
        self.gate.over.notify_all();
    }
}

/// Where reads that are not promised pass.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    state: Mutex<State>,
    over: Condvar,
}

#[derive(Debug, Default)]
struct State {
    batch: Option<Batch>,
    /// Reads that have passed and are not over, and their bytes: a batch that begins finds them before it.
    reads: usize,
    bytes: usize,
    /// How many are in a hurry.
    hurried: usize,
    /// Calls of the rest that have passed and are not over.
    rest: usize,
}

/// Reads that have passed, until it is dropped.
#[derive(Debug)]
pub(crate) struct Passed<'a> {
    gate: &'a Gate,
    reads: usize,
    bytes: usize,
    /// Whether it makes way for who is in a hurry.
    is_rest: bool,
}

#[derive(Debug)]
struct Batch {
    /// Who reads it: what else he has to read belongs to it.
    reader: ThreadId,
    slack: Duration,
    cost: Cost,
}

/// A batch that is under way, until it is dropped.
#[derive(Debug)]
pub struct Passing<'a>(&'a Gate);

impl Gate {
    /// A batch begins, of which the calling thread makes all reads.
    pub(crate) fn begin(&self, slack: Duration, cost: Cost) -> Passing<'_> {
        let reader = std::thread::current().id();
        let mut state = self.state.lock();
        let slack = slack.saturating_sub(cost.of(state.reads, state.bytes));
        state.batch = Some(Batch { reader, slack, cost });
        Passing(self)
    }

    /// Waits until `reads` reads of `bytes` altogether hurt nobody. They are under way until what is returned is dropped.
    pub(crate) fn pass(&self, reads: usize, bytes: usize) -> Passed<'_> {
        let mut state = self.state.lock();
        let is_rest = state.is_rest();
        while !state.bears(reads, bytes, is_rest) {
            self.over.wait(&mut state);
        }
        (state.reads, state.bytes) = (state.reads + reads, state.bytes + bytes);
        state.rest += usize::from(is_rest);
        Passed { gate: self, reads, bytes, is_rest }
    }

    /// The calling thread is in a hurry until what is returned is dropped.
    pub(crate) fn hurry(&self) -> Hurry<'_> {
        HURRIED.with(|hurried| hurried.set(hurried.get() + 1));
        self.state.lock().hurried += 1;
        Hurry { gate: self, own: PhantomData }
    }
}

impl State {
    /// Whether the calling thread reads neither a batch, nor with time of its own, nor in a hurry.
    fn is_rest(&self) -> bool {
        !self.is_promised() && HURRIED.with(Cell::get) == 0
    }

    /// Whether what the calling thread reads waits for nobody.
    fn is_promised(&self) -> bool {
        let own = std::thread::current().id();
        URGENT.with(Cell::get) > 0 || self.batch.as_ref().is_some_and(|batch| batch.reader == own)
    }

    /// Whether reads may be made now; then the slack of the batch that is under way bears them.
    fn bears(&mut self, reads: usize, bytes: usize, is_rest: bool) -> bool {
        if is_rest && self.hurried > 0 && self.rest > 0 {
            return false;
        }
        let is_promised = self.is_promised();
        let Some(batch) = self.batch.as_mut().filter(|_| !is_promised) else { return true };
        let left = batch.slack.checked_sub(batch.cost.of(reads, bytes));
        batch.slack = left.unwrap_or(batch.slack);
        left.is_some()
    }
}

impl Drop for Passed<'_> {
    fn drop(&mut self) {
        let mut state = self.gate.state.lock();
        (state.reads, state.bytes) = (state.reads - self.reads, state.bytes - self.bytes);
        state.rest -= usize::from(self.is_rest);
        if self.is_rest && state.hurried > 0 {
            self.gate.over.notify_all();
        }
    }
}

impl Drop for Passing<'_> {
    fn drop(&mut self) {
        self.0.state.lock().batch = None;
        self.0.over.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use super::*;

    const COST: Cost = Cost { read: Duration::from_millis(4), mebibyte: Duration::ZERO };

    #[test]
    fn others_have_the_slack_and_then_wait_for_the_end() {
        let gate = Gate::default();
        gate.pass(1_000, 0); // nobody is there
        let passed = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            let batch = gate.begin(Duration::from_millis(10), COST);
            let pass = || {
                gate.pass(1, 0);
                passed.fetch_add(1, SeqCst);
            };
            let threads: Vec<_> = (0..5).map(|_| scope.spawn(pass)).collect();
            while passed.load(SeqCst) < 2 {
                std::thread::yield_now();
            }
            // Whoever reads the batch does not wait for himself.
            gate.pass(1_000, 0);
            let writes = || {
                let _urgent = Urgent::begin();
                gate.pass(1_000, 0);
            };
            scope.spawn(writes).join().unwrap();
            std::thread::sleep(Duration::from_millis(20));
            assert_eq!(passed.load(SeqCst), 2, "two reads of four milliseconds fit into ten");
            drop(batch);
            threads.into_iter().for_each(|thread| thread.join().unwrap());
        });
        assert_eq!(passed.load(SeqCst), 5);
    }

    #[test]
    fn while_somebody_is_in_a_hurry_the_rest_read_one_at_a_time() {
        let gate = Gate::default();
        let passed = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            let hurry = gate.hurry();
            let first = scope.spawn(|| std::mem::forget(gate.pass(1, 0)));
            first.join().unwrap();
            let second = scope.spawn(|| {
                gate.pass(1, 0);
                passed.fetch_add(1, SeqCst);
            });
            // Who is in a hurry waits for none of them.
            drop((gate.pass(1, 0), gate.pass(1, 0)));
            std::thread::sleep(Duration::from_millis(20));
            assert_eq!(passed.load(SeqCst), 0, "one is under way");
            drop(Passed { gate: &gate, reads: 1, bytes: 0, is_rest: true });
            second.join().unwrap();
            // Nobody has to wait for what is over.
            let third = scope.spawn(|| std::mem::forget(gate.pass(1, 0)));
            third.join().unwrap();
            drop(hurry);
            scope.spawn(|| drop(gate.pass(1, 0))).join().unwrap();
        });
    }

    #[test]
    fn what_is_under_way_when_a_batch_begins_takes_of_its_slack() {
        let gate = Gate::default();
        let before = gate.pass(2, 0);
        let batch = gate.begin(Duration::from_millis(10), COST);
        assert_eq!(gate.state.lock().batch.as_ref().unwrap().slack, Duration::from_millis(2));
        drop((before, batch));
        let _batch = gate.begin(Duration::from_millis(10), COST);
        assert_eq!(gate.state.lock().batch.as_ref().unwrap().slack, Duration::from_millis(10));
    }

    #[test]
    fn long_reads_cost_what_they_move() {
        let cost = Cost { read: Duration::from_millis(1), mebibyte: Duration::from_millis(8) };
        assert_eq!(cost.of(2, 1 << 19), Duration::from_millis(6));
    }
}
