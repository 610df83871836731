//! A disk of a running store is replaced, and all of them are scrubbed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pegasus_base::Time;
use pegasus_disk::{Disk as _, SimDisk};
use pegasus_log::{DiskIndex, OpenOptions};

use super::{Rig, handle, name, units};
use crate::{CareStatus, Continuous, Error, Health, sample};

const CAM: &str = "/cam/door";

#[track_caller]
fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(30), "no {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn care(store: &Continuous) -> CareStatus {
    store.status().care
}

#[test]
fn a_replaced_disk_is_rebuilt_while_recording_goes_on() {
    let mut rig = Rig::small();
    rig.store.take().unwrap().close().unwrap();
    rig.store = Some(rig.open_driven());
    let footage = sample::camera(60, 3_000, 0);
    let (before, after) = footage.split_at(footage.len() / 2);
    rig.record(CAM, before, 20);
    rig.disks[2].kill();
    rig.record(CAM, after, 20);
    let store = rig.store().clone();
    let small = SimDisk::new("small", 8 << 20);
    let error = store.replace_disk(DiskIndex(2), Arc::new(small), None).unwrap_err();
    assert!(matches!(error, Error::CantReplace { .. }), "{error}");
    assert_eq!(store.status().health, Health::Degraded);
    let new = SimDisk::new("new", 64 << 20);
    store.replace_disk(DiskIndex(2), handle(&new), Some(100 << 20)).unwrap();
    rig.record("/cam/other", &sample::camera(10, 3_000, 0), 20);
    wait_for("end of the rebuild", || store.status().health == Health::Ok);
    let done = care(&store);
    assert!(done.repaired_fragments > 10 && done.lost_blocks == 0, "{done:?}");
    drop(store);
    rig.disks[2] = new;
    rig.check();
    let want = units(&rig.read(CAM, Time::MIN, None));
    assert!(want.len() > before.len());
    // Any other may go now.
    rig.store.take().unwrap().close().unwrap();
    rig.disks[0].kill();
    let disks = rig.disks.iter().map(|disk| (disk.label(), Some(handle(disk)))).collect();
    let options = OpenOptions { now: sample::now(), read_only: true };
    let (log, recovery) = pegasus_log::Log::open(disks, &options).unwrap();
    let settings = rig.settings.clone();
    let store = Continuous::open_undriven(log, recovery, settings, rig.clock.clone()).unwrap();
    rig.store = Some(store);
    assert!(units(&rig.read(CAM, Time::MIN, None)) == want, "it reads otherwise");
    std::mem::forget(rig); // it can't be closed in good order
}

#[test]
fn a_scrub_repairs_and_is_remembered() {
    let mut rig = Rig::small();
    rig.record(CAM, &sample::camera(60, 3_000, 0), 20);
    rig.store.take().unwrap().close().unwrap();
    // Slots begin at 1 MiB: somewhere in the first few there are fragments.
    for slot in 0..8_u64 {
        rig.disks[1].rot((1 << 20) + (slot << 16)..(1 << 20) + (slot << 16) + 4000, 3);
    }
    rig.store = Some(rig.open_driven());
    let store = rig.store().clone();
    store.scrub(Some(64 << 10));
    wait_for("scrub", || care(&store).work.is_some());
    store.close().unwrap();
    drop(store);
    rig.store = Some(rig.open_driven());
    let store = rig.store().clone();
    store.scrub(Some(1 << 30));
    wait_for("end of the scrub", || care(&store).scrubbed.is_some());
    assert!(care(&store).work.is_none_or(|work| work.lost_blocks == 0));
    assert_eq!(care(&store).lost_blocks, 0, "{:?}", care(&store));
    drop(store);
    rig.check();
    let scrubbed = care(rig.store()).scrubbed;
    assert_eq!(scrubbed, Some(sample::now()), "when it ended is remembered");
    assert!(rig.store().durable_end(&name(CAM)).is_some());
}

#[test]
fn a_disk_is_added_while_recording_goes_on() {
    let mut rig = Rig::small();
    rig.store.take().unwrap().close().unwrap();
    rig.store = Some(rig.open_driven());
    let footage = sample::camera(60, 3_000, 0);
    rig.record(CAM, &footage, 20);
    let store = rig.store().clone();
    let before = store.status();
    let error = store.add(handle(&SimDisk::new("small", 1 << 20))).unwrap_err();
    assert!(matches!(error, Error::CantAdd { .. }), "{error}");
    let new = SimDisk::new("new", 64 << 20);
    store.add(handle(&new)).unwrap();
    rig.record("/cam/other", &footage, 20);
    let after = store.status();
    assert_eq!(after.disks.len(), before.disks.len() + 1);
    assert!(after.capacity_bytes > before.capacity_bytes);
    assert_eq!(after.health, Health::Ok);
    assert!(after.disks.last().unwrap().written_bytes > 100_000, "{:?}", after.disks);
    let want = units(&rig.read("/cam/other", Time::MIN, None));
    drop(store);
    rig.disks.push(new);
    rig.check();
    assert!(units(&rig.read("/cam/other", Time::MIN, None)) == want, "it reads otherwise");
}

#[test]
fn a_disk_is_added_by_its_path() {
    let rig = Rig::small();
    let folder = tempfile::tempdir().unwrap();
    let store = rig.store().clone();
    let full = folder.path().join("full");
    std::fs::write(&full, vec![7; 64 << 20]).unwrap();
    let error = store.add_disk(&full, None, false).unwrap_err().to_string();
    assert!(error.contains("full can't be added") && error.contains("not blank"), "{error}");
    let small = folder.path().join("small");
    let error = store.add_disk(&small, Some(1 << 20), false).unwrap_err();
    assert!(matches!(error, Error::CantAdd { .. }), "{error}");
    assert!(!small.exists(), "what was made for it is gone");
    store.add_disk(&full, None, true).unwrap();
    store.add_disk(&small, None, false).unwrap();
    let disks = store.status().disks;
    assert_eq!(disks.len(), rig.disks.len() + 2);
    assert_eq!(disks.last().unwrap().path, small.display().to_string());
}

#[test]
fn a_spare_takes_a_failed_disks_place_by_itself() {
    let mut rig = Rig::small();
    rig.settings.spare_after = Duration::from_millis(1_500);
    rig.store.take().unwrap().close().unwrap();
    rig.store = Some(rig.open_driven());
    let footage = sample::camera(40, 3_000, 0);
    rig.record(CAM, &footage, 20);
    let want = units(&rig.read(CAM, Time::MIN, None));
    let store = rig.store().clone();
    let spares = [SimDisk::new("small", 8 << 20), SimDisk::new("spare", 64 << 20)];
    spares.iter().for_each(|spare| store.keep_spare(handle(spare)));
    assert_eq!(store.status().spares.len(), 2);
    assert_eq!(store.status().health, Health::Ok);
    let begun = Instant::now();
    rig.disks[2].kill();
    rig.record("/cam/other", &footage, 20);
    wait_for("spare", || store.status().disks[2].path == "spare");
    assert!(begun.elapsed() >= Duration::from_millis(1_500), "it was taken at once");
    wait_for("end of the rebuild", || store.status().health == Health::Ok);
    let left = store.status().spares;
    assert_eq!(left.iter().map(|spare| spare.path.as_str()).collect::<Vec<_>>(), ["small"]);
    // Another one fails, and the spare that is left is too small.
    rig.disks[0].kill();
    rig.record("/cam/third", &footage, 20);
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(store.status().disks[0].state, "failed");
    assert_eq!(store.status().spares, left);
    assert!(units(&rig.read(CAM, Time::MIN, None)) == want, "it reads otherwise");
    drop(store);
    std::mem::forget(rig); // it can't be closed in good order
}
