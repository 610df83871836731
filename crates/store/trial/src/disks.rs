//! The disks that are there, as a schedule sees them.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use pegasus_base::ByteSize;
use pegasus_disk::{Disk as _, DiskError, Profile, SECTOR, Subject, SubjectKind};
use pegasus_mitra::{Done, GRANULE, Layout, Order, Platters, Shape};

use crate::TrialError;
use crate::lane::{Batch, Event, Lane, ns};

// Blocks are whole granules and begin on sectors, so that all reads can go past the page cache.
const _: () = assert!(GRANULE == SECTOR as u64);

/// So many of the reads that failed are told.
const FAILURES_TOLD: usize = 8;

/// Files and devices under a schedule, which they keep to in real time; see the [crate](crate).
///
/// Dropping it waits for the reads that are under way.
pub struct RealDisks {
    disks: Vec<TriedDisk>,
    layout: Layout,
    lanes: Vec<Sender<Batch>>,
    threads: Vec<JoinHandle<()>>,
    events: Receiver<Event>,
    stopper: Stopper,
    /// When the schedule began, once it has.
    began: Option<Instant>,
    stopped_ns: Option<u64>,
    under_way: usize,
    done: Vec<Done>,
    busy_ns: u64,
    /// Batches before this one do not count as work.
    counted: u64,
    /// How many batches were asked for.
    asked: u64,
    asked_late_ns: u64,
    failures: Vec<DiskError>,
}

/// One of them, and what came of its reads.
#[derive(Clone, Debug)]
pub struct TriedDisk {
    /// What people call it: its path.
    pub label: String,
    /// Reads go past the page cache.
    pub is_direct: bool,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// How much of it was ever written, in bytes, as far as the file system tells.
    pub data_bytes: u64,
    /// Reads that were made.
    pub reads: u64,
    /// Of them failed.
    pub failed_reads: u64,
    /// On what it lies, if it is a file.
    device: Option<u64>,
}

/// Ends a run before its time, from any thread.
#[derive(Clone, Debug)]
pub struct Stopper {
    pub(crate) events: Sender<Event>,
    is_over: Arc<AtomicBool>,
}

impl Stopper {
    /// Nothing more is read, and the run ends with what was found.
    pub fn stop(&self) {
        self.is_over.store(true, Ordering::Relaxed);
        let _ = self.events.send(Event::Stop); // no run, nothing to stop
    }

    /// Whether somebody did so.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }
}

impl RealDisks {
    /// Opens files or devices as the disks of `shape`, which are by turns like each of `profiles`. Of a longer disk only what is as long
    /// as its profile is used.
    ///
    /// # Errors
    /// [`TrialError`], if they are not as many, can't be read, or are too short.
    ///
    /// # Panics
    /// If there are no profiles, or others than `shape` was cut for.
    pub fn open(
        paths: &[PathBuf],
        shape: &Shape,
        profiles: &[Profile],
    ) -> Result<Self, TrialError> {
        let disks = shape.knobs().disks;
        if paths.len() != disks as usize {
            return Err(TrialError::Count { paths: paths.len(), disks });
        }
        let (sender, events) = channel();
        let mut this = Self {
            disks: Vec::new(),
            layout: Layout::new(shape, profiles),
            lanes: Vec::new(),
            threads: Vec::new(),
            events,
            stopper: Stopper { events: sender, is_over: Arc::default() },
            began: None,
            stopped_ns: None,
            under_way: 0,
            done: Vec::new(),
            busy_ns: 0,
            counted: 0,
            asked: 0,
            asked_late_ns: 0,
            failures: Vec::new(),
        };
        let mut named = BTreeSet::new();
        for (number, path) in (0..).zip(paths) {
            let subject = open(path, &profiles[number as usize % profiles.len()])?;
            if !named.insert(fs::canonicalize(path).unwrap_or_else(|_| path.clone())) {
                return Err(TrialError::Twice { path: subject.disk.label() });
            }
            check_zones(shape, this.layout.zones(number), &subject.disk.label())?;
            this.start(subject, path)?;
        }
        Ok(this)
    }

    fn start(&mut self, subject: Subject, path: &Path) -> Result<(), TrialError> {
        let is_file = subject.kind == SubjectKind::File;
        let disk = TriedDisk {
            label: subject.disk.label(),
            is_direct: subject.disk.is_direct(),
            size_bytes: subject.disk.size(),
            data_bytes: subject.ground.data_bytes(),
            reads: 0,
            failed_reads: 0,
            device: fs::metadata(path).ok().filter(|_| is_file).map(|found| found.dev()),
        };
        let (lane, batches) = channel();
        let body = Lane { disk: subject.disk, batches, stopper: self.stopper.clone() };
        let thread = std::thread::Builder::new().name("trial".to_owned());
        let thread = thread.spawn(move || body.run());
        let failed = |source| TrialError::Thread { path: disk.label.clone(), source };
        self.threads.push(thread.map_err(failed)?);
        self.lanes.push(lane);
        self.disks.push(disk);
        Ok(())
    }

    /// What ends the run before its time.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// The disks, and what came of their reads.
    #[must_use]
    pub fn disks(&self) -> &[TriedDisk] {
        &self.disks
    }

    /// The first of the reads that failed, each with its path and offset.
    #[must_use]
    pub fn failures(&self) -> &[DiskError] {
        &self.failures
    }

    /// The most that a batch was asked for later than it should have been, in nanoseconds: the machine had no time for it.
    #[must_use]
    pub fn asked_late_ns(&self) -> u64 {
        self.asked_late_ns
    }

    /// Why what was found may be better, or worse, than what the disks can do: sentences for people.
    #[must_use]
    pub fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        for disk in &self.disks {
            let (label, size) = (&disk.label, ByteSize(disk.size_bytes));
            if !disk.is_direct {
                remarks.push(format!("{label}: its file system has no direct I/O, so the page cache answers what it holds: this is the speed of memory"));
            }
            if disk.data_bytes < disk.size_bytes {
                let data = ByteSize(disk.data_bytes);
                remarks.push(format!("{label}: of its {size} only {data} were ever written; the rest is answered without the medium"));
            }
        }
        let devices: Vec<_> = self.disks.iter().filter_map(|disk| disk.device).collect();
        if devices.iter().collect::<BTreeSet<_>>().len() < devices.len() {
            let what =
                "some of these are files on one file system: they share the time of what it is on";
            remarks.push(what.to_owned());
        }
        remarks
    }

    fn now_ns(&self) -> u64 {
        self.began.map_or(0, ns)
    }

    /// Takes what comes until `until_ns`, or until `is_enough`.
    fn take_until(&mut self, until_ns: u64, is_enough: impl Fn(&Self) -> bool) {
        while self.stopped_ns.is_none() && !is_enough(self) {
            let left = Duration::from_nanos(until_ns.saturating_sub(self.now_ns()));
            match self.events.recv_timeout(left) {
                Ok(event) => self.take(event),
                Err(RecvTimeoutError::Timeout) => return,
                Err(RecvTimeoutError::Disconnected) => unreachable!("the stopper is one end of it"),
            }
        }
    }

    fn take(&mut self, event: Event) {
        let Event::Over { done, batch, took_ns, error } = event else {
            self.stopped_ns = self.stopped_ns.or(Some(self.now_ns()));
            return;
        };
        let disk = &mut self.disks[done.order.disk as usize];
        disk.reads += 1;
        disk.failed_reads += u64::from(error.is_some());
        if self.failures.len() < FAILURES_TOLD {
            self.failures.extend(error);
        }
        self.under_way -= 1;
        self.busy_ns += if batch < self.counted { 0 } else { took_ns };
        self.done.push(done);
    }
}

impl Platters for RealDisks {
    fn ask(&mut self, asked_ns: u64, orders: Vec<Order>) {
        let earlier = || Instant::now().checked_sub(Duration::from_nanos(asked_ns));
        let began = *self.began.get_or_insert_with(|| earlier().unwrap_or_else(Instant::now));
        self.take_until(asked_ns, |_| false);
        if self.stopped_ns.is_some() || orders.is_empty() {
            return;
        }
        self.asked_late_ns = self.asked_late_ns.max(self.now_ns().saturating_sub(asked_ns));
        self.under_way += orders.len();
        let mut by_disk: Vec<Vec<(u64, Order)>> = vec![Vec::new(); self.lanes.len()];
        for order in orders {
            let offset = self.layout.offset(&order) / GRANULE * GRANULE;
            by_disk[order.disk as usize].push((offset, order));
        }
        for (lane, reads) in self.lanes.iter().zip(by_disk) {
            if !reads.is_empty() {
                let batch = Batch { number: self.asked, began, reads };
                lane.send(batch).expect("lanes end after what is asked of them");
            }
        }
        self.asked += 1;
    }

    fn done(&mut self) -> Vec<Done> {
        while let Ok(event) = self.events.try_recv() {
            self.take(event);
        }
        std::mem::take(&mut self.done)
    }

    fn settle(&mut self, until_ns: u64) -> Vec<Done> {
        self.take_until(until_ns, |this| this.under_way == 0);
        self.done()
    }

    fn busy_ns(&self) -> u64 {
        self.busy_ns
    }

    fn forget_busy(&mut self) {
        (self.busy_ns, self.counted) = (0, self.asked);
    }

    fn stopped_ns(&self) -> Option<u64> {
        self.stopped_ns
    }
}

impl Drop for RealDisks {
    fn drop(&mut self) {
        self.stopper.stop();
        self.lanes.clear();
        for thread in self.threads.drain(..) {
            let _ = thread.join(); // one that panicked has said so
        }
    }
}

impl std::fmt::Debug for RealDisks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RealDisks").field("disks", &self.disks).finish_non_exhaustive()
    }
}

/// Opens what is at `path` for reading alone; it has to be as long as `profile` says.
fn open(path: &Path, profile: &Profile) -> Result<Subject, TrialError> {
    if fs::metadata(path).is_ok_and(|found| found.is_dir()) {
        let why = "it is a folder; name a file in it, or the device".to_owned();
        let error = DiskError::Unsuitable { disk: path.display().to_string(), why };
        return Err(TrialError::Disk(error.into()));
    }
    let subject = Subject::open(path, 0, &mut |_| {})?;
    let (size_bytes, profile_bytes) = (subject.disk.size(), profile.capacity_bytes());
    // Both in whole sectors, as disks are.
    if size_bytes < profile_bytes / GRANULE * GRANULE {
        return Err(TrialError::Short { path: subject.disk.label(), size_bytes, profile_bytes });
    }
    Ok(subject)
}

fn check_zones(
    shape: &Shape,
    zones: &[std::ops::Range<u64>],
    path: &str,
) -> Result<(), TrialError> {
    for (number, media) in shape.media().iter().enumerate() {
        for (zone, range) in zones.iter().enumerate() {
            let fragment_bytes = shape.fragment_bytes_in(number, zone);
            let zone_bytes = range.end - range.start;
            if fragment_bytes > zone_bytes {
                let (media, path) = (media.name.clone(), path.to_owned());
                return Err(TrialError::Zone { media, fragment_bytes, path, zone_bytes });
            }
        }
    }
    Ok(())
}
