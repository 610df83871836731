//! Reads of file disks without a thread between: whoever wants them begins them, several disks' at once, and waits for
//! them himself, each with one system call (`io_uring`). With a lane's thread, a read of a few microseconds would take two
//! wake-ups more than it has to.
//!
//! Rings lie ready for whoever comes next. Not every kernel has them, and some containers forbid them: then there is none, and
//! the lanes read.
//!
//! The only unsafe code of the crate besides the buffers'. The contract: the kernel writes into a buffer from the moment its
//! entry is pushed until its completion is seen. Until then the buffer and the file stay in [`Ring::slots`], and are given to
//! nobody; a ring that is dropped earlier leaks them.

#![allow(unsafe_code)]

use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Instant;

use io_uring::types::{Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, opcode};
use parking_lot::Mutex;
use rustix::io::Errno;

use super::lane::Body;
use crate::request::Outcome;
use crate::{AlignedBuf, Done, Op};

/// Reads under way in one ring at most.
const SLOTS: usize = 256;
/// Rings kept for later at most; more than so many at once are made anew.
const IDLE_MAX: usize = 64;

/// Rings nobody uses at present. Reads that were given up may be under way in them.
static IDLE: Mutex<Vec<Ring>> = Mutex::new(Vec::new());
/// The system has none.
static NONE: AtomicBool = AtomicBool::new(false);

/// Reads under way, of any file disks.
pub(crate) struct Ring {
    uring: IoUring,
    slots: Vec<Option<Pending>>,
    free: Vec<usize>,
    /// Reads somebody waits for.
    waited: usize,
}

/// A read under way: what the kernel uses until it is over.
struct Pending {
    body: Arc<Body>,
    buf: AlignedBuf,
    offset: u64,
    /// Bytes that are there.
    filled: usize,
    /// Which of its owner's reads it is; `None` if nobody waits for it.
    place: Option<usize>,
}

impl Ring {
    /// One that lies ready, or a new one; `None` if it can't be had.
    pub(crate) fn take() -> Option<Self> {
        if NONE.load(Relaxed) {
            return None;
        }
        let idle = IDLE.lock().pop();
        idle.or_else(|| match Self::new() {
            Ok(ring) => Some(ring),
            Err(error) => {
                let passes = matches!(
                    Errno::from_io_error(&error),
                    Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::AGAIN | Errno::INTR)
                );
                if !passes && !NONE.swap(true, Relaxed) {
                    tracing::info!(%error, "io_uring is not to be had; disks are read by threads");
                }
                None
            }
        })
    }

    fn new() -> io::Result<Self> {
        // Whoever waits is in the kernel anyway: nobody has to be interrupted for a completion.
        let uring = match IoUring::builder().setup_coop_taskrun().build(SLOTS as u32) {
            Ok(uring) => uring,
            Err(error) if Errno::from_io_error(&error) == Some(Errno::INVAL) => {
                IoUring::new(SLOTS as u32)?
            }
            Err(error) => return Err(error),
        };
        // Waiting for a bounded time; kernels from 5.11 on.
        if !uring.params().is_feature_ext_arg() {
            return Err(Errno::NOSYS.into());
        }
        let slots = (0..SLOTS).map(|_| None).collect();
        Ok(Self { uring, slots, free: (0..SLOTS).collect(), waited: 0 })
    }

    /// Nobody needs it any more; what is under way is not waited for.
    pub(crate) fn give_back(mut self) {
        for pending in self.slots.iter_mut().flatten() {
            if pending.place.take().is_some() {
                pending.body.counters.give_up();
            }
        }
        self.waited = 0;
        self.reap(&mut |_, _| {});
        let mut idle = IDLE.lock();
        if idle.len() < IDLE_MAX {
            idle.push(self);
        }
    }

    /// Begins a read with the next [`Ring::wait_until`]; whether there was room for it.
    pub(super) fn push(&mut self, body: &Arc<Body>, offset: u64, len: usize, place: usize) -> bool {
        let Some(slot) = self.free.pop() else { return false };
        let (buf, place) = (AlignedBuf::for_overwrite(len), Some(place));
        body.counters.enter();
        body.counters.begin(Op::Read);
        self.slots[slot] = Some(Pending { body: body.clone(), buf, offset, filled: 0, place });
        self.waited += 1;
        self.push_slot(slot);
        true
    }

    /// Has the kernel read what is missing in a slot.
    fn push_slot(&mut self, slot: usize) {
        let pending = self.slots[slot].as_mut().expect("what is read is in a slot");
        let rest = &mut pending.buf[pending.filled..];
        let file = Fd(pending.body.file.as_raw_fd());
        let len = u32::try_from(rest.len()).expect("requests are bounded");
        let entry = opcode::Read::new(file, rest.as_mut_ptr(), len)
            .offset(pending.offset + pending.filled as u64)
            .build()
            .user_data(slot as u64);
        // SAFETY: buffer and file stay in the slot until the completion is seen.
        let pushed = unsafe { self.uring.submission().push(&entry) };
        pushed.expect("there are as many entries as slots, and each has one at most");
    }

    /// Waits until all reads are over, at most until `deadline`, and tells of each what came of it. How many are not over.
    pub(crate) fn wait_until(
        &mut self,
        deadline: Option<Instant>,
        done: &mut dyn FnMut(usize, Outcome),
    ) -> usize {
        loop {
            self.reap(done);
            if self.waited == 0 {
                return 0;
            }
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            let outcome = match left {
                None => self.uring.submitter().submit_and_wait(self.waited),
                Some(left) => {
                    let left = Timespec::from(left);
                    let args = SubmitArgs::new().timespec(&left);
                    self.uring.submitter().submit_with_args(self.waited, &args)
                }
            };
            match outcome.map_err(|error| (Errno::from_io_error(&error), error)) {
                Ok(_) | Err((Some(Errno::INTR), _)) => {}
                // Out of memory for a moment, or too many completions not yet seen.
                Err((Some(Errno::AGAIN | Errno::BUSY), _)) => std::thread::yield_now(),
                Err((Some(Errno::TIME), _)) => {
                    self.reap(done);
                    return self.waited;
                }
                Err((_, error)) => {
                    self.fail(&error, done);
                    return 0;
                }
            }
        }
    }

    /// Ends all reads with an error. What the kernel may still write to is leaked.
    fn fail(&mut self, error: &io::Error, done: &mut dyn FnMut(usize, Outcome)) {
        tracing::error!(%error, "reading by io_uring failed");
        NONE.store(true, Relaxed);
        for pending in self.slots.iter_mut().flatten() {
            let Some(place) = pending.place.take() else { continue };
            let (body, len) = (&pending.body, pending.buf.len());
            body.counters.end(Op::Read);
            body.counters.leave(Op::Read, len as u64, false);
            let error = io::Error::from(error.kind());
            done(place, Err(body.error(Op::Read, pending.offset, len, error)));
        }
        self.waited = 0;
    }

    /// Takes note of what is over.
    fn reap(&mut self, done: &mut dyn FnMut(usize, Outcome)) {
        loop {
            let completion = self.uring.completion().next();
            let Some(completion) = completion else { return };
            let slot = completion.user_data() as usize;
            let pending = self.slots[slot].as_mut().expect("what completes is in a slot");
            let outcome = match completion.result() {
                0 => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
                read if read > 0 => {
                    pending.filled += read as usize;
                    Ok(())
                }
                error => Err(io::Error::from_raw_os_error(-error)),
            };
            let again = match &outcome {
                Ok(()) => pending.filled < pending.buf.len(),
                Err(error) => {
                    let error = Errno::from_io_error(error);
                    matches!(error, Some(Errno::INTR | Errno::AGAIN))
                }
            };
            if again && pending.place.is_some() {
                self.push_slot(slot);
                continue;
            }
            let pending = self.slots[slot].take().expect("it was there just now");
            self.free.push(slot);
            if let Some(place) = pending.place {
                self.waited -= 1;
                done(place, pending.end(outcome));
            }
        }
    }

    /// Whether reads of a file are under way.
    fn has(&self, body: &Arc<Body>) -> bool {
        self.slots.iter().flatten().any(|pending| Arc::ptr_eq(&pending.body, body))
    }
}

impl Pending {
    fn end(self, outcome: io::Result<()>) -> Outcome {
        let Self { body, buf, offset, .. } = self;
        let len = buf.len();
        body.counters.end(Op::Read);
        body.counters.leave(Op::Read, len as u64, outcome.is_ok());
        match outcome {
            Ok(()) => Ok(Done::Read(buf)),
            Err(error) => Err(body.error(Op::Read, offset, len, error)),
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // The kernel ends what is under way some time after the ring is gone.
        self.slots.iter_mut().filter_map(Option::take).for_each(std::mem::forget);
    }
}

/// Waits for reads of a file that nobody waits for any more: the file is about to be closed.
pub(super) fn finish(body: &Arc<Body>) {
    let mut idle = std::mem::take(&mut *IDLE.lock());
    for ring in &mut idle {
        while ring.has(body) {
            ring.reap(&mut |_, _| {});
            if ring.has(body) && ring.uring.submitter().submit_and_wait(1).is_err() {
                break;
            }
        }
    }
    IDLE.lock().append(&mut idle);
}
