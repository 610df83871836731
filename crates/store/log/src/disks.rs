//! The disks of an array: which of them live, and writing to all of them at the same time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};

use pegasus_base::DiskId;
use pegasus_disk::{AlignedBuf, Disk, DiskError, Done, Request, Ticket};

use crate::{DiskIndex, DiskState};

/// All disks, in the order of the array.
#[derive(Debug)]
pub(crate) struct Disks {
    entries: Vec<Entry>,
}

pub(crate) struct Entry {
    pub(crate) id: DiskId,
    /// Its path, or where it was looked for.
    pub(crate) label: String,
    disk: Option<Arc<dyn Disk>>,
    state: AtomicU8,
    errors: AtomicU64,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({:?})", self.label, self.state())
    }
}

impl Entry {
    pub(crate) fn new(
        id: DiskId,
        label: String,
        disk: Option<Arc<dyn Disk>>,
        failed: bool,
    ) -> Self {
        let state = match &disk {
            None => DiskState::Missing,
            Some(_) if failed => DiskState::Failed,
            Some(_) => DiskState::Ok,
        };
        Self { id, label, disk, state: AtomicU8::new(state as u8), errors: AtomicU64::new(0) }
    }

    pub(crate) fn state(&self) -> DiskState {
        [DiskState::Ok, DiskState::Failed, DiskState::Missing]
            .into_iter()
            .find(|state| *state as u8 == self.state.load(Relaxed))
            .expect("only states are stored")
    }

    pub(crate) fn errors(&self) -> u64 {
        self.errors.load(Relaxed)
    }

    /// The disk, if there is one, dead or alive.
    pub(crate) fn disk(&self) -> Option<&Arc<dyn Disk>> {
        self.disk.as_ref()
    }
}

/// One thing to write.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    pub(crate) disk: DiskIndex,
    pub(crate) offset: u64,
    pub(crate) buf: Arc<AlignedBuf>,
}

/// Something a disk was asked for; without a ticket if it was given up before.
#[derive(Debug)]
pub(crate) struct Begun {
    disk: DiskIndex,
    ticket: Option<Ticket>,
}

impl Disks {
    pub(crate) fn new(entries: Vec<Entry>) -> Self {
        Self { entries }
    }

    pub(crate) fn entry(&self, disk: DiskIndex) -> &Entry {
        &self.entries[usize::from(disk.0)]
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (DiskIndex, &Entry)> {
        (0_u16..).map(DiskIndex).zip(&self.entries)
    }

    pub(crate) fn is_ok(&self, disk: DiskIndex) -> bool {
        self.entry(disk).state() == DiskState::Ok
    }

    /// The disks that are read and written.
    pub(crate) fn living(&self) -> BTreeSet<DiskIndex> {
        self.iter()
            .filter(|(_, entry)| entry.state() == DiskState::Ok)
            .map(|(index, _)| index)
            .collect()
    }

    /// Counts something bad found on a disk.
    pub(crate) fn count_error(&self, disk: DiskIndex) {
        self.entry(disk).errors.fetch_add(1, Relaxed);
    }

    /// From now on this disk is not written any more.
    pub(crate) fn give_up(&self, disk: DiskIndex, why: &DiskError) {
        let entry = self.entry(disk);
        let failed = DiskState::Failed as u8;
        if entry.state.compare_exchange(DiskState::Ok as u8, failed, Relaxed, Relaxed).is_ok() {
            tracing::error!(path = entry.label, error = %why, "disk given up");
        }
    }

    /// Reads from a disk, also from one that was given up.
    pub(crate) fn submit_read(&self, disk: DiskIndex, offset: u64, len: usize) -> Option<Ticket> {
        let disk = self.entry(disk).disk.as_ref()?;
        Some(disk.submit(Request::Read { offset, len }))
    }

    /// The outcome of a read; what fails is counted.
    pub(crate) fn finish_read(
        &self,
        disk: DiskIndex,
        ticket: Ticket,
    ) -> Result<AlignedBuf, DiskError> {
        ticket.wait().map(Done::into_buf).inspect_err(|error| {
            self.count_error(disk);
            if error.is_final() {
                self.give_up(disk, error);
            }
        })
    }

    /// Hands a write to its disk, unless that was given up.
    pub(crate) fn begin_write(&self, write: Write) -> Begun {
        let disk = self.entry(write.disk).disk().filter(|_| self.is_ok(write.disk));
        let request = Request::Write { offset: write.offset, buf: write.buf };
        Begun { disk: write.disk, ticket: disk.map(|disk| disk.submit(request)) }
    }

    /// Flushes the disks that were written to, all at the same time, each as soon as it has written
    /// what was begun. Says of each write whether it is durable. A disk that fails is given up: after a
    /// failed flush nobody knows what it holds.
    pub(crate) fn finish_writes(&self, begun: Vec<Begun>) -> Vec<bool> {
        let touched: BTreeSet<DiskIndex> =
            begun.iter().filter(|write| write.ticket.is_some()).map(|write| write.disk).collect();
        let flushes = self.begin_flushes(&touched);
        let disks: Vec<DiskIndex> = begun.iter().map(|write| write.disk).collect();
        let taken: Vec<bool> = begun.into_iter().map(|write| self.finish(write)).collect();
        for flush in flushes {
            self.finish(flush);
        }
        disks.iter().zip(taken).map(|(disk, taken)| taken && self.is_ok(*disk)).collect()
    }

    fn begin_flushes(&self, touched: &BTreeSet<DiskIndex>) -> Vec<Begun> {
        let flush = |disk: &DiskIndex| {
            let handle = self.entry(*disk).disk().filter(|_| self.is_ok(*disk))?;
            Some(Begun { disk: *disk, ticket: Some(handle.submit(Request::Flush)) })
        };
        touched.iter().filter_map(flush).collect()
    }

    /// Waits for the outcome; whether it succeeded.
    fn finish(&self, begun: Begun) -> bool {
        match begun.ticket.map(Ticket::wait) {
            Some(Ok(_)) => true,
            Some(Err(error)) => {
                self.write_failed(begun.disk, &error);
                false
            }
            None => false,
        }
    }

    /// Writes everything durably, all disks at the same time; see [`Disks::finish_writes`].
    pub(crate) fn write_durably(&self, writes: Vec<Write>) -> Vec<bool> {
        let begun = writes.into_iter().map(|write| self.begin_write(write)).collect();
        self.finish_writes(begun)
    }

    fn write_failed(&self, disk: DiskIndex, error: &DiskError) {
        self.count_error(disk);
        self.give_up(disk, error);
    }

    /// Looks whether all disks are still there; gives up those that are not.
    pub(crate) fn probe(&self) -> Vec<DiskIndex> {
        let mut lost = Vec::new();
        for (index, entry) in self.iter() {
            let Some(disk) = entry.disk.as_ref().filter(|_| entry.state() == DiskState::Ok) else {
                continue;
            };
            if let Err(error) = disk.probe() {
                self.write_failed(index, &error);
                lost.push(index);
            }
        }
        lost
    }
}
