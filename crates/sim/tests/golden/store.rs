//! A store on simulated disks, without threads.

use std::sync::Arc;

use pegasus_base::{ManualClock, Time};
use pegasus_continuous::{Continuous, check_store};
use pegasus_disk::{Disk, SimDisk};
use pegasus_files::Files;
use pegasus_log::{Log, OpenOptions};

/// When the stores were made.
pub(crate) const BEGIN: Time = Time::from_secs(1_700_000_000);

pub(crate) struct Store {
    pub(crate) log: Arc<Log>,
    pub(crate) store: Continuous,
    pub(crate) files: Files,
    pub(crate) clock: Arc<ManualClock>,
}

fn given(disks: &[SimDisk], missing: Option<usize>) -> Vec<(String, Option<Arc<dyn Disk>>)> {
    let one = |(at, disk): (usize, &SimDisk)| {
        (disk.label(), (Some(at) != missing).then(|| Arc::new(disk.clone()) as Arc<dyn Disk>))
    };
    disks.iter().enumerate().map(one).collect()
}

impl Store {
    pub(crate) fn open(disks: &[SimDisk], missing: Option<usize>) -> Self {
        let clock = Arc::new(ManualClock::at(BEGIN.offset_ns(3_600_000_000_000)));
        Self::open_at(disks, missing, clock)
    }

    pub(crate) fn open_at(
        disks: &[SimDisk],
        missing: Option<usize>,
        clock: Arc<ManualClock>,
    ) -> Self {
        let options = OpenOptions { now: BEGIN, read_only: false };
        let (log, recovery) = Log::open(given(disks, missing), &options).unwrap();
        let log = Arc::new(log);
        let settings = pegasus_continuous::Settings {
            seed: Some(1),
            ..pegasus_continuous::Settings::default()
        };
        let store =
            Continuous::open_undriven(log.clone(), recovery, settings, clock.clone()).unwrap();
        let settings = pegasus_files::Settings::default();
        let files =
            Files::open_undriven(log.clone(), settings, clock.clone(), Box::new(|| {})).unwrap();
        Self { log, store, files, clock }
    }

    pub(crate) fn close(&self) {
        self.files.close().unwrap();
        self.store.close().unwrap();
    }
}

/// What the offline check finds wrong.
pub(crate) fn check(disks: &[SimDisk]) -> Vec<String> {
    check_store(given(disks, None), BEGIN, pegasus_files::check).unwrap().problems
}
