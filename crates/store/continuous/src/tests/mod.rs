//! The whole store on simulated disks: what is read is compared with a plain model.

mod beginning;
mod crash;
mod disks;
mod driven;
mod groups;
mod keys;
mod listing;
mod model;
mod places;
mod promised;
mod racing;
mod reading;
mod removing;
mod reopening;
mod repair;
mod retention;
mod tier;
mod tier_crash;
mod writing;

use std::sync::Arc;

use pegasus_base::{ManualClock, StreamName, Time};
use pegasus_disk::{Disk, SimDisk};
use pegasus_log::{FormatOptions, Log, OpenOptions, Recovery};
use pegasus_media::{TrackSet, Unit};

use crate::{Continuous, Item, ReadOptions, Settings};
use crate::{Recorder, sample};

/// A store on simulated disks that can be closed, crashed and opened again.
pub(super) struct Rig {
    pub(super) disks: Vec<SimDisk>,
    pub(super) clock: Arc<ManualClock>,
    pub(super) settings: Settings,
    pub(super) store: Option<Continuous>,
}

pub(super) struct Size {
    pub(super) data: u8,
    pub(super) parity: u8,
    pub(super) unit_bytes: u32,
    pub(super) disk_bytes: u64,
}

impl Default for Size {
    fn default() -> Self {
        Self { data: 4, parity: 1, unit_bytes: 64 << 10, disk_bytes: 64 << 20 }
    }
}

impl Rig {
    pub(super) fn new(size: &Size, settings: Settings) -> Self {
        let count = usize::from(size.data + size.parity);
        Self::on(SimDisk::array(count, size.disk_bytes, 1), size, settings)
    }

    /// A new store on these disks.
    pub(super) fn on(disks: Vec<SimDisk>, size: &Size, settings: Settings) -> Self {
        let options = FormatOptions {
            data: size.data,
            parity: size.parity,
            unit_bytes: Some(size.unit_bytes),
            label: "test".to_owned(),
            now: sample::now(),
        };
        let handles: Vec<Arc<dyn Disk>> = disks.iter().map(handle).collect();
        Log::format(&handles, &options, &mut fastrand::Rng::with_seed(1)).unwrap();
        let clock = Arc::new(ManualClock::at(sample::now()));
        let mut rig = Self { disks, clock, settings, store: None };
        rig.open();
        rig
    }

    pub(super) fn small() -> Self {
        Self::new(&Size::default(), settings())
    }

    /// Opens the store on its disks as they are.
    pub(super) fn open(&mut self) {
        let (log, recovery) = self.log();
        let (settings, clock) = (self.settings.clone(), self.clock.clone());
        self.store = Some(Continuous::open_undriven(log, recovery, settings, clock).unwrap());
    }

    /// Opens the store with its thread.
    pub(super) fn open_driven(&self) -> Continuous {
        let (log, recovery) = self.log();
        Continuous::open(log, recovery, self.settings.clone(), self.clock.clone()).unwrap()
    }

    fn log(&self) -> (Log, Recovery) {
        let disks = self.disks.iter().map(|disk| (disk.label(), Some(handle(disk)))).collect();
        let options = OpenOptions { now: sample::now(), read_only: false };
        Log::open(disks, &options).unwrap()
    }

    pub(super) fn store(&self) -> &Continuous {
        self.store.as_ref().expect("it is open")
    }

    /// Closes and opens again.
    pub(super) fn reopen(&mut self) {
        self.store.take().expect("it is open").close().unwrap();
        self.open();
    }

    /// Closes, verifies every byte, and opens again; returns the units verified.
    pub(super) fn check(&mut self) -> u64 {
        self.store.take().expect("it is open").close().unwrap();
        let units = self.check_closed();
        self.open();
        units
    }

    /// Verifies every byte of the closed store.
    pub(super) fn report(&self) -> crate::CheckReport {
        let disks = self.disks.iter().map(|disk| (disk.label(), Some(handle(disk)))).collect();
        crate::check_store(disks, sample::now(), |_| Vec::new()).unwrap()
    }

    /// Verifies every byte of the closed store, and asserts that all is well.
    pub(super) fn check_closed(&self) -> u64 {
        let report = self.report();
        assert!(report.ok && report.problems.is_empty(), "{:#?}", report.problems);
        report.units_verified
    }

    pub(super) fn recorder(&self, stream: &str) -> Recorder {
        self.store().recorder(&name(stream), sample::tracks()).unwrap()
    }

    /// Records `units` in order, committing after every `batch` of them.
    pub(super) fn record(&self, stream: &str, units: &[Arc<Unit>], batch: usize) {
        let recorder = self.recorder(stream);
        for units in units.chunks(batch) {
            for unit in units {
                assert_eq!(recorder.push(unit.clone()), crate::Pushed::Queued);
            }
            self.store().flush().unwrap();
        }
        drop(recorder);
        self.store().flush().unwrap();
    }

    pub(super) fn read(&self, stream: &str, from: Time, until: Option<Time>) -> Vec<Item> {
        let options = ReadOptions { until, follow: None };
        let mut reader = self.store().read(&name(stream), from, options).unwrap();
        let mut items = Vec::new();
        while let Some(item) = reader.next().unwrap() {
            items.push(item);
        }
        items
    }
}

fn handle(disk: &SimDisk) -> Arc<dyn Disk> {
    Arc::new(disk.clone())
}

/// Small limits, fixed identities.
pub(super) fn settings() -> Settings {
    Settings { seed: Some(3), ..Settings::default() }
}

pub(super) fn name(text: &str) -> StreamName {
    text.parse().unwrap()
}

/// The units among `items`.
pub(super) fn units(items: &[Item]) -> Vec<Unit> {
    items
        .iter()
        .filter_map(|item| match item {
            Item::Unit(unit) => Some(unit.clone()),
            _ => None,
        })
        .collect()
}

pub(super) fn plain(units: &[Arc<Unit>]) -> Vec<Unit> {
    units.iter().map(|unit| (**unit).clone()).collect()
}

/// What items must begin with.
pub(super) fn tracks_first(items: &[Item], tracks: &TrackSet) {
    assert_eq!(items.first(), Some(&Item::Tracks(tracks.clone())));
}
