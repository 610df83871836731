//! The threads that do a file disk's work.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};
use rustix::io::Errno;

use super::identity::Identity;
use crate::request::{Outcome, Promise};
use crate::stats::Counters;
use crate::{AlignedBuf, DiskError, Done, Op, Request, Ticket};

/// Adjacent writes go to the kernel as one, up to this many buffers.
const MERGE_BUFS_MAX: usize = 64;
/// … and up to this many bytes.
const MERGE_BYTES_MAX: usize = 16 << 20;

/// What both lanes of a disk share.
pub(super) struct Body {
    file: File,
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

    fn error(&self, op: Op, offset: u64, len: usize, source: io::Error) -> DiskError {
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

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    stopping: bool,
}

/// One queue and the thread that empties it.
#[derive(Default)]
pub(super) struct Lane {
    queue: Mutex<Queue>,
    filled: Condvar,
}

impl Lane {
    pub(super) fn push(&self, request: Request) -> Ticket {
        let (ticket, promise) = Ticket::pending();
        self.queue.lock().jobs.push_back(Job { request, promise });
        self.filled.notify_one();
        ticket
    }

    /// Lets [`Lane::run`] return once the queue is empty.
    pub(super) fn stop(&self) {
        self.queue.lock().stopping = true;
        self.filled.notify_one();
    }

    /// The thread's loop.
    pub(super) fn run(&self, body: &Body) {
        while let Some(jobs) = self.next() {
            perform(body, jobs);
        }
    }

    /// Waits for the next job, with the writes that continue it where it ends; `None` to stop.
    fn next(&self) -> Option<Vec<Job>> {
        let mut queue = self.queue.lock();
        while queue.jobs.is_empty() {
            if queue.stopping {
                return None;
            }
            self.filled.wait(&mut queue);
        }
        let first = queue.jobs.pop_front()?;
        let (op, offset, len) = first.request.span();
        let mut jobs = vec![first];
        let mut merged = len;
        while op == Op::Write && jobs.len() < MERGE_BUFS_MAX {
            let Some(follower) = queue.jobs.front() else { break };
            let (op, at, len) = follower.request.span();
            let adjacent = op == Op::Write && at == offset + merged as u64;
            if !adjacent || merged + len > MERGE_BYTES_MAX {
                break;
            }
            merged += len;
            jobs.extend(queue.jobs.pop_front());
        }
        Some(jobs)
    }
}

/// Does one request, or several adjacent writes, and says so to whoever waits.
fn perform(body: &Body, jobs: Vec<Job>) {
    let (op, offset, _) = jobs[0].request.span();
    let started = Instant::now();
    let outcome = match &jobs[0].request {
        Request::Read { offset, len } => body.read(*offset, *len),
        Request::Flush => body.flush(),
        Request::Write { .. } => {
            let bufs: Vec<_> = jobs.iter().filter_map(|j| j.request.buf().cloned()).collect();
            body.write(offset, &bufs).map(|()| Done::Written)
        }
    };
    let ns = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
    body.counters.busy(op, ns);
    // Merged writes fail together: which of them met the fault is not known.
    let failed = outcome.as_ref().err().cloned();
    let mut first = Some(outcome);
    for Job { request, promise } in jobs {
        let len_bytes = request.span().2 as u64;
        drop(request); // before the waiter goes on, so that it may find its buffer unshared
        body.counters.leave(op, len_bytes, failed.is_none());
        let same = || failed.clone().map_or(Ok(Done::Written), Err);
        promise.fulfil(first.take().unwrap_or_else(same));
    }
}
