//! What the tests of files share.
#![allow(dead_code)] // not every test binary uses everything

pub(crate) mod model;

use std::sync::Arc;

use pegasus_base::{Clock, ManualClock, Time};
use pegasus_disk::{Disk, SimDisk};
use pegasus_files::{Files, Settings};
use pegasus_log::{FormatOptions, Log, OpenOptions};

/// The time in all tests.
pub(crate) const NOW: Time = Time::from_secs(1_700_000_000);

/// The seed of a test: `PEGASUS_SEED` if it is set. Printed, so that a failure can be repeated.
#[allow(clippy::print_stderr)]
pub(crate) fn seed(default: u64) -> u64 {
    let seed = std::env::var("PEGASUS_SEED").ok().and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or(default);
    eprintln!("PEGASUS_SEED={seed}");
    seed
}

pub(crate) fn format(disks: &[SimDisk], unit_bytes: u32) {
    let arcs: Vec<Arc<dyn Disk>> = disks.iter().map(|d| Arc::new(d.clone()) as _).collect();
    let parity = u8::from(disks.len() > 1);
    let options = FormatOptions {
        data: disks.len() as u8 - parity,
        parity,
        unit_bytes: Some(unit_bytes),
        label: "test".to_owned(),
        now: NOW,
    };
    Log::format(&arcs, &options, &mut fastrand::Rng::with_seed(7)).unwrap();
}

pub(crate) fn open_log(disks: &[SimDisk]) -> Arc<Log> {
    let given = disks
        .iter()
        .map(|disk| (disk.label(), Some(Arc::new(disk.clone()) as Arc<dyn Disk>)))
        .collect();
    Arc::new(Log::open(given, &OpenOptions { now: NOW, read_only: false }).unwrap().0)
}

pub(crate) fn open_with(log: &Arc<Log>, settings: Settings) -> Files {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(NOW));
    Files::open_undriven(log.clone(), settings, clock, Box::new(|| {})).unwrap()
}

pub(crate) fn open(log: &Arc<Log>) -> Files {
    open_with(log, Settings::default())
}

/// A small volume on simulated disks.
pub(crate) fn volume(disks: usize, size_bytes: u64) -> (Vec<SimDisk>, Arc<Log>, Files) {
    let disks = SimDisk::array(disks, size_bytes, 1);
    format(&disks, 256 << 10);
    let log = open_log(&disks);
    let files = open(&log);
    (disks, log, files)
}

/// All names of a directory but `.` and `..`, read entry by entry.
pub(crate) fn names(files: &Files, dir: pegasus_files::Ino) -> Vec<Vec<u8>> {
    names_by(|cookie| files.list(dir, cookie).unwrap())
}

pub(crate) fn names_by(list: impl Fn(u64) -> Vec<pegasus_files::Listed>) -> Vec<Vec<u8>> {
    let (mut cookie, mut names) = (2, Vec::new());
    while let Some(first) = list(cookie).into_iter().next() {
        cookie = first.cookie;
        names.push(first.name);
    }
    names
}
