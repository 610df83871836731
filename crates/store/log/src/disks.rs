//! The disks of an array: which of them live, and writing to all of them at the same time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};

use pegasus_base::DiskId;
use pegasus_disk::{AlignedBuf, Batch, Disk, DiskError, Request};

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
    pub(crate) fn submit_read(
        &self,
        disk: DiskIndex,
        offset: u64,
        len: usize,
    ) -> Option<pegasus_disk::Ticket> {
        let disk = self.entry(disk).disk.as_ref()?;
        Some(disk.submit(Request::Read { offset, len }))
    }

    /// The outcome of a read; what fails is counted.
    pub(crate) fn finish_read(
        &self,
        disk: DiskIndex,
        ticket: pegasus_disk::Ticket,
    ) -> Result<AlignedBuf, DiskError> {
        ticket.wait().map(pegasus_disk::Done::into_buf).inspect_err(|error| {
            self.count_error(disk);
            if error.is_final() {
                self.give_up(disk, error);
            }
        })
    }

    /// Writes everything, all disks at the same time, then flushes those written to, all at the same
    /// time. Says of each write whether it is durable. A disk that fails is given up: after a failed
    /// flush nobody knows what it holds.
    pub(crate) fn write_durably(&self, writes: &[Write]) -> Vec<bool> {
        let mut batch = Batch::new();
        let mut submitted = Vec::new();
        for (at, write) in writes.iter().enumerate() {
            if let (true, Some(disk)) = (self.is_ok(write.disk), self.entry(write.disk).disk()) {
                let buf = write.buf.clone();
                batch.add(&**disk, Request::Write { offset: write.offset, buf });
                submitted.push(at);
            }
        }
        let mut durable = vec![false; writes.len()];
        let mut touched = BTreeSet::new();
        for (at, outcome) in submitted.into_iter().zip(batch.wait_all()) {
            let disk = writes[at].disk;
            match outcome {
                Ok(_) => {
                    durable[at] = true;
                    touched.insert(disk);
                }
                Err(error) => self.write_failed(disk, &error),
            }
        }
        self.flush(&touched);
        for (write, durable) in writes.iter().zip(&mut durable) {
            *durable &= self.is_ok(write.disk);
        }
        durable
    }

    fn flush(&self, touched: &BTreeSet<DiskIndex>) {
        let mut batch = Batch::new();
        let mut submitted = Vec::new();
        for disk in touched {
            if let (true, Some(handle)) = (self.is_ok(*disk), self.entry(*disk).disk()) {
                batch.add(&**handle, Request::Flush);
                submitted.push(*disk);
            }
        }
        for (disk, outcome) in submitted.into_iter().zip(batch.wait_all()) {
            if let Err(error) = outcome {
                self.write_failed(disk, &error);
            }
        }
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
