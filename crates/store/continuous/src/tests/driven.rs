//! The thread, on real files: durable in time, also in the face of the end.

use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use pegasus_base::{Clock, SystemClock, Time};
use pegasus_disk::{CreateOptions, Disk, FileDisk, OpenOptions as DiskOptions};
use pegasus_log::{FormatOptions, Log, OpenOptions};
use pegasus_media::Unit;

use super::{name, settings};
use crate::{Continuous, Item, ReadOptions, Settings, sample};

const CAM: &str = "/cam/door";

struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let files = Self { folder };
        let create = |i: usize| -> Arc<dyn Disk> {
            let options = CreateOptions::default();
            Arc::new(FileDisk::create(files.path(i), 32 << 20, options).unwrap())
        };
        let disks: Vec<Arc<dyn Disk>> = (0..3).map(create).collect();
        let options = FormatOptions {
            data: 2,
            parity: 1,
            unit_bytes: Some(1 << 20),
            label: String::new(),
            now: SystemClock.now(),
        };
        Log::format(&disks, &options, &mut fastrand::Rng::with_seed(1)).unwrap();
        files
    }

    fn path(&self, i: usize) -> std::path::PathBuf {
        self.folder.path().join(format!("disk{i}"))
    }

    fn open(&self, settings: Settings) -> Continuous {
        let open = |i: usize| -> (String, Option<Arc<dyn Disk>>) {
            let disk = FileDisk::open(self.path(i), DiskOptions::default()).unwrap();
            (self.path(i).display().to_string(), Some(Arc::new(disk)))
        };
        let options = OpenOptions { now: SystemClock.now(), read_only: false };
        let (log, recovery) = Log::open((0..3).map(open).collect(), &options).unwrap();
        Continuous::open(log, recovery, settings, Arc::new(SystemClock)).unwrap()
    }
}

/// A second of footage that ends now.
fn footage() -> Vec<Arc<Unit>> {
    let now = SystemClock.now();
    let shift_ns = now.ns_since(sample::at(1_000));
    let shifted =
        |unit: Arc<Unit>| Arc::new(Unit { time: unit.time.offset_ns(shift_ns), ..(*unit).clone() });
    sample::camera(1, 500, 0).into_iter().map(shifted).collect()
}

#[test]
fn what_is_pushed_becomes_durable_by_itself() {
    let files = Files::new();
    let durable_within = Duration::from_millis(200);
    let store = files.open(Settings { durable_within, ..settings() });
    let (told, durable) = mpsc::channel();
    let _watch = store.watch(move |durable| told.send(durable.clone()).unwrap_or_default());
    let recorder = store.recorder(&name(CAM), sample::tracks()).unwrap();
    for _ in 0..2 {
        // The second time shows that the thread wakes again.
        footage().into_iter().for_each(|unit| assert!(recorder.push(unit).is_queued()));
        let durable = durable.recv_timeout(Duration::from_secs(20)).unwrap();
        assert_eq!(durable.name, name(CAM));
        assert_eq!(store.durable_end(&durable.name), Some(durable.end));
    }
}

#[test]
fn closing_by_dropping_keeps_everything() {
    let files = Files::new();
    let pushed = footage();
    let store = files.open(settings());
    let recorder = store.recorder(&name(CAM), sample::tracks()).unwrap();
    pushed.iter().for_each(|unit| assert!(recorder.push(unit.clone()).is_queued()));
    drop(store);
    assert_eq!(recorder.push(pushed[0].clone()), crate::Pushed::Refused);
    drop(recorder);
    let store = files.open(settings());
    let mut reader = store.read(&name(CAM), Time::MIN, ReadOptions::default()).unwrap();
    let mut units = 0;
    while let Some(item) = reader.next().unwrap() {
        units += usize::from(matches!(item, Item::Unit(_)));
    }
    assert_eq!(units, pushed.len());
}

#[test]
fn a_follower_is_woken() {
    let files = Files::new();
    let durable_within = Duration::from_millis(100);
    let store = files.open(Settings { durable_within, ..settings() });
    let recorder = store.recorder(&name(CAM), sample::tracks()).unwrap();
    let pushed = footage();
    recorder.push(pushed[0].clone());
    store.flush().unwrap();
    let options = ReadOptions { until: None, follow: Some(Duration::from_secs(20)) };
    let mut reader = store.read(&name(CAM), Time::MIN, options).unwrap();
    let follower = std::thread::spawn(move || {
        let mut units = 0;
        let begun = Instant::now();
        while units < 75 && begun.elapsed() < Duration::from_secs(20) {
            units += usize::from(matches!(reader.next().unwrap(), Some(Item::Unit(_))));
        }
        units
    });
    pushed[1..].iter().for_each(|unit| assert!(recorder.push(unit.clone()).is_queued()));
    assert_eq!(follower.join().unwrap(), 75);
}
