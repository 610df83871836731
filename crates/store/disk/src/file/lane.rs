//! The queues of a file disk, and the threads that empty them.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use rustix::io::Errno;

use super::identity::Identity;
use crate::request::{Outcome, Promise};
use crate::stats::Counters;
use crate::{AlignedBuf, DiskError, Done, Op, Request, Ticket};

/// Adjacent writes go to the kernel as one, up to this many buffers.
const MERGE_BUFS_MAX: usize = 64;
/// … and up to this many bytes.
const MERGE_BYTES_MAX: u64 = 16 << 20;

/// What both lanes of a disk share.
pub(super) struct Body {
    pub(super) file: File,
    path: PathBuf,
    pub(super) label: String,
    pub(super) identity: Identity,
    pub(super) direct: bool,
    pub(super) counters: Counters,
    /// Why nothing more is written, once that is so.
    ended: Mutex<Option<DiskError>>,
}

impl Body {
    pub(super) fn new(
        file: File,
        path: PathBuf,
        label: String,
        identity: Identity,
        direct: bool,
    ) -> Self {
        let (counters, ended) = (Counters::default(), Mutex::new(None));
        Self { file, path, label, identity, direct, counters, ended }
    }

    /// Refuses if the disk has ended, or finds now that it has.
    pub(super) fn alive(&self) -> Result<(), DiskError> {
        self.not_ended()?;
        let change = self.identity.change(&self.file, &self.path).map_err(|e| {
            self.end(DiskError::Dead { disk: self.label.clone(), why: e.to_string() })
        })?;
        match change {
            None => Ok(()),
            Some(change) => Err(self.end(DiskError::Changed { disk: self.label.clone(), change })),
        }
    }

    fn not_ended(&self) -> Result<(), DiskError> {
        self.ended.lock().clone().map_or(Ok(()), Err)
    }

    /// Ends all writing because of `why`; the first reason stays.
    fn end(&self, why: DiskError) -> DiskError {
        let mut ended = self.ended.lock();
        if ended.is_none() {
            tracing::error!(disk = self.label, "nothing more is written: {why}");
        }
        ended.get_or_insert(why).clone()
    }

    pub(super) fn error(&self, op: Op, offset: u64, len: usize, source: io::Error) -> DiskError {
        let (disk, len_bytes) = (self.label.clone(), len as u64);
        match Errno::from_io_error(&source) {
            Some(Errno::NOSPC | Errno::DQUOT) => DiskError::Full { disk, needed_bytes: len_bytes },
            _ => DiskError::Io { disk, op, offset, len_bytes, source: Arc::new(source) },
        }
    }

    fn read(&self, offset: u64, len: usize) -> Outcome {
        let mut buf = AlignedBuf::for_overwrite(len);
        self.file
            .read_exact_at(&mut buf, offset)
            .map(|()| Done::Read(buf))
            .map_err(|e| self.error(Op::Read, offset, len, e))
    }

    /// Writes `bufs` one after the other from `offset` on.
    fn write(&self, offset: u64, bufs: &[Arc<AlignedBuf>]) -> Result<(), DiskError> {
        self.not_ended()?;
        let len = bufs.iter().map(|b| b.len()).sum();
        let mut slices: Vec<_> = bufs.iter().map(|b| IoSlice::new(b)).collect();
        let mut rest = &mut slices[..];
        let mut at = offset;
        while rest.iter().any(|s| !s.is_empty()) {
            match rustix::io::pwritev(&self.file, rest, at) {
                Ok(0) => {
                    let none = io::Error::from(io::ErrorKind::WriteZero);
                    return Err(self.error(Op::Write, offset, len, none));
                }
                Ok(written) => {
                    at += written as u64;
                    IoSlice::advance_slices(&mut rest, written);
                }
                Err(Errno::INTR) => {}
                Err(e) => return Err(self.error(Op::Write, offset, len, e.into())),
            }
        }
        Ok(())
    }

    fn flush(&self) -> Outcome {
        self.not_ended()?;
        self.file.sync_data().map_err(|e| {
            let why = format!("a flush failed ({e}), so what it should have kept is unknown");
            self.end(DiskError::Dead { disk: self.label.clone(), why });
            self.error(Op::Flush, 0, 0, e)
        })?;
        self.alive()?;
        Ok(Done::Flushed)
    }
}

struct Job {
    request: Request,
    promise: Promise,
}

/// What one thread is at.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Span {
    op: Op,
    offset: u64,
    end: u64,
}

impl Span {
    fn of(request: &Request) -> Self {
        let (op, offset, len) = request.span();
        Self { op, offset, end: offset + len as u64 }
    }

    /// Whether this must wait for `earlier`, which is under way.
    fn waits_for(&self, earlier: &Self) -> bool {
        match (self.op, earlier.op) {
            (Op::Flush, Op::Write) => true,
            (Op::Write, Op::Write) => self.offset < earlier.end && earlier.offset < self.end,
            _ => false,
        }
    }
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    /// What the threads are at.
    running: Vec<Span>,
    stopping: bool,
}

impl Queue {
    /// Whether the first job can begin now. Nothing overtakes it.
    fn may_begin(&self) -> bool {
        self.jobs.front().is_some_and(|job| self.is_free(&Span::of(&job.request)))
    }

    fn is_free(&self, span: &Span) -> bool {
        !self.running.iter().any(|earlier| span.waits_for(earlier))
    }

    /// Takes the first job, with the writes that continue it where it ends.
    fn begin(&mut self) -> (Vec<Job>, Span) {
        let first = self.jobs.pop_front().expect("a job may begin");
        let mut span = Span::of(&first.request);
        let mut jobs = vec![first];
        while span.op == Op::Write && jobs.len() < MERGE_BUFS_MAX {
            let Some(follower) = self.jobs.front() else { break };
            let next = Span::of(&follower.request);
            let adjacent = next.op == Op::Write && next.offset == span.end;
            let fits = || next.end - span.offset <= MERGE_BYTES_MAX;
            if !adjacent || !fits() || !self.is_free(&next) {
                break;
            }
            span.end = next.end;
            jobs.extend(self.jobs.pop_front());
        }
        self.running.push(span);
        (jobs, span)
    }

    /// Ends what was begun.
    fn end(&mut self, span: Span) {
        let at = self.running.iter().position(|running| *running == span);
        self.running.swap_remove(at.expect("it was begun"));
    }
}

/// One queue and the threads that empty it. They begin requests in the order given; several may be under
/// way at the same time, but none that would change what another comes to.
#[derive(Default)]
pub(super) struct Lane {
    queue: Mutex<Queue>,
    changed: Condvar,
}

impl Lane {
    pub(super) fn push(&self, request: Request) -> Ticket {
        let (ticket, promise) = Ticket::pending();
        self.queue.lock().jobs.push_back(Job { request, promise });
        self.changed.notify_one();
        ticket
    }

    /// Lets [`Lane::run`] return once the queue is empty.
    pub(super) fn stop(&self) {
        self.queue.lock().stopping = true;
        self.changed.notify_all();
    }

    /// A thread's loop.
    pub(super) fn run(&self, body: &Body) {
        while let Some((jobs, span)) = self.next() {
            body.counters.begin(span.op);
            let done = perform(body, jobs.as_slice(), span.offset);
            body.counters.end(span.op);
            self.finish(span);
            fulfil(body, jobs, done);
        }
    }

    /// Waits for what can be done next; `None` to stop.
    fn next(&self) -> Option<(Vec<Job>, Span)> {
        let mut queue = self.queue.lock();
        while !queue.may_begin() {
            if queue.stopping && queue.jobs.is_empty() {
                return None;
            }
            self.changed.wait(&mut queue);
        }
        let work = queue.begin();
        if queue.may_begin() {
            self.changed.notify_one();
        }
        Some(work)
    }

    fn finish(&self, span: Span) {
        let mut queue = self.queue.lock();
        queue.end(span);
        // Something may have waited for this one; and a thread that waited with it may stop now.
        if queue.may_begin() || queue.stopping {
            self.changed.notify_all();
        }
    }
}

/// Does one request, or several adjacent writes from `offset` on.
fn perform(body: &Body, jobs: &[Job], offset: u64) -> Outcome {
    match &jobs[0].request {
        Request::Read { offset, len } => body.read(*offset, *len),
        Request::Flush => body.flush(),
        Request::Write { .. } => {
            let bufs: Vec<_> = jobs.iter().filter_map(|j| j.request.buf().cloned()).collect();
            body.write(offset, &bufs).map(|()| Done::Written)
        }
    }
}

/// Tells whoever waits what came of it.
fn fulfil(body: &Body, jobs: Vec<Job>, outcome: Outcome) {
    // Merged writes fail together: which of them met the fault is not known.
    let failed = outcome.as_ref().err().cloned();
    let mut first = Some(outcome);
    for Job { request, promise } in jobs {
        let (op, _, len) = request.span();
        drop(request); // before the waiter goes on, so that it may find its buffer unshared
        body.counters.leave(op, len as u64, failed.is_none());
        let same = || failed.clone().map_or(Ok(Done::Written), Err);
        promise.fulfil(first.take().unwrap_or_else(same));
    }
}
