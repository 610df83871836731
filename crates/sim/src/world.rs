//! The store on its simulated disks: opened, closed, and cut off.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use pegasus_base::{Clock, ManualClock, Time};
use pegasus_continuous::{CheckReport, Continuous, check_store};
use pegasus_disk::{Disk, OpCounter, SimDisk};
use pegasus_files::Files;
use pegasus_log::{DiskStatus, FormatOptions, Log, OpenOptions};

use crate::plan::Plan;
use crate::{Finding, must};

/// When all runs begin.
const BEGIN: Time = Time::from_secs(1_700_000_000);

/// The disks, and the store that is open on them.
pub(crate) struct World {
    pub(crate) plan: Plan,
    /// By their numbers in the array. The last may be one that is just being added.
    pub(crate) disks: Vec<SimDisk>,
    /// Those of them that are no part of the array any more.
    pub(crate) removed: BTreeSet<usize>,
    /// Disks that were to be added, and were not.
    pub(crate) strangers: Vec<SimDisk>,
    /// Whether the store is opened with those, too, which it has to leave out.
    pub(crate) shows_all: bool,
    pub(crate) clock: Arc<ManualClock>,
    open: Option<Open>,
    /// Openings so far; keeps identities apart.
    openings: u64,
}

/// An open store.
pub(crate) struct Open {
    pub(crate) log: Arc<Log>,
    pub(crate) store: Continuous,
    pub(crate) files: Files,
    checkpoint_due: Arc<AtomicBool>,
}

impl World {
    /// A fresh store.
    pub(crate) fn new(plan: Plan, rng: &mut fastrand::Rng) -> Result<Self, Finding> {
        let disks = SimDisk::array(plan.disks(), plan.disk_bytes, rng.u64(..));
        let disks: Vec<SimDisk> =
            disks.into_iter().map(|disk| disk.with_model(plan.model)).collect();
        let handles: Vec<Arc<dyn Disk>> =
            disks.iter().map(|disk| Arc::new(disk.clone()) as _).collect();
        let options = FormatOptions {
            data: plan.data,
            parity: plan.parity,
            unit_bytes: Some(plan.unit_bytes),
            label: "sim".to_owned(),
            now: BEGIN,
        };
        must("formatting", Log::format(&handles, &options, rng))?;
        let clock = Arc::new(ManualClock::at(BEGIN));
        let (removed, strangers) = (BTreeSet::new(), Vec::new());
        let mut world = Self {
            plan,
            disks,
            removed,
            strangers,
            shows_all: false,
            clock,
            open: None,
            openings: 0,
        };
        world.open(&[])?;
        Ok(world)
    }

    /// The same disks in another state, nothing open on them.
    pub(crate) fn on(&self, disks: Vec<SimDisk>) -> Self {
        let counter = OpCounter::new();
        let disks = disks.into_iter().map(|disk| disk.counted_by(&counter)).collect();
        Self {
            plan: self.plan,
            disks,
            removed: self.removed.clone(),
            strangers: self.strangers.clone(),
            shows_all: self.shows_all,
            clock: self.clock.clone(),
            open: None,
            openings: self.openings,
        }
    }

    /// Opens the store, without some of its disks if so.
    pub(crate) fn open(&mut self, without: &[usize]) -> Result<(), Finding> {
        self.openings += 1;
        let options = OpenOptions { now: self.now(), read_only: false };
        let (log, recovery) =
            must("opening the log", Log::open(self.given(without, self.shows_all), &options))?;
        let (log, clock) = (Arc::new(log), self.clock.clone() as Arc<dyn Clock>);
        let settings = pegasus_continuous::Settings {
            seed: Some(self.openings),
            ..pegasus_continuous::Settings::default()
        };
        let store = Continuous::open_undriven(log.clone(), recovery, settings, clock.clone());
        let store = must("opening the recordings", store)?;
        let settings = pegasus_files::Settings {
            pending_bytes_max: self.plan.pending_bytes,
            ..pegasus_files::Settings::default()
        };
        let checkpoint_due = Arc::new(AtomicBool::new(false));
        let due = checkpoint_due.clone();
        let note = Box::new(move || due.store(true, Relaxed));
        let files = Files::open_undriven(log.clone(), settings, clock, note);
        let files = must("opening the files", files)?;
        self.open = Some(Open { log, store, files, checkpoint_due });
        Ok(())
    }

    /// The disks to open the store with, and, if `all`, such as do not belong to it.
    fn given(&self, without: &[usize], all: bool) -> Vec<(String, Option<Arc<dyn Disk>>)> {
        let disks = self.disks.iter().enumerate();
        let disks = disks.filter(|(at, _)| all || !self.removed.contains(at));
        let arc = |disk: &SimDisk| Arc::new(disk.clone()) as Arc<dyn Disk>;
        let given = disks.map(|(at, d)| (d.label(), (!without.contains(&at)).then(|| arc(d))));
        let strangers = self.strangers.iter().filter(|_| all).map(|d| (d.label(), Some(arc(d))));
        given.chain(strangers).collect()
    }

    /// The open store.
    ///
    /// # Panics
    /// If it is closed.
    pub(crate) fn store(&self) -> &Open {
        self.open.as_ref().expect("the store is open")
    }

    /// Closes the store in good order.
    pub(crate) fn close(&mut self) -> Result<(), Finding> {
        let open = self.open.take().expect("the store is open");
        must("closing the files", open.files.close())?;
        must("closing the recordings", open.store.close())
    }

    /// The node is gone. Its disks, which nobody looks at any more, take nothing of what it still does.
    pub(crate) fn abandon(mut self) {
        self.disks.iter().for_each(SimDisk::kill);
        drop(self.open.take());
    }

    /// Verifies every byte of the store, which must be closed.
    pub(crate) fn check(&self) -> Result<CheckReport, Finding> {
        must(
            "the offline check",
            check_store(self.given(&[], false), self.now(), pegasus_files::check),
        )
    }

    pub(crate) fn now(&self) -> Time {
        self.clock.now()
    }

    pub(crate) fn next_op(&self) -> u64 {
        self.disks[0].counter().next_op()
    }

    pub(crate) fn disk_status(&self) -> Vec<DiskStatus> {
        self.store().log.status().disks
    }
}

impl Open {
    /// Commits what recorders have pushed, and writes a checkpoint if files asked for one.
    pub(crate) fn tick(&self) -> Result<(), pegasus_continuous::Error> {
        if self.checkpoint_due.swap(false, Relaxed) {
            self.store.request_checkpoint();
        }
        self.store.flush()
    }
}
