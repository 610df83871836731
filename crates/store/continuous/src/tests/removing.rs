//! A disk is removed from a store: what was on it is on the others, and nobody notices.

use std::time::{Duration, Instant};

use pegasus_base::Time;
use pegasus_disk::{Disk as _, SimDisk, TearAt};
use pegasus_log::DiskIndex;

use super::{Rig, Size, handle, plain, settings, units};
use crate::{Error, Health, ReadOptions, sample};

const CAM: &str = "/cam/door";

/// A store of 4 + 1 on six disks, with some recordings on all of them.
fn six_disks() -> Rig {
    let size = Size { disk_bytes: 24 << 20, ..Size::default() };
    let mut rig = Rig::new(&size, settings());
    let sixth = SimDisk::new("sixth", 24 << 20);
    rig.store().add(handle(&sixth)).unwrap();
    rig.disks.push(sixth);
    rig.record(CAM, &sample::camera(60, 9_000, 0), 20);
    rig.record("/cam/slow", &sample::camera(30, 400, 0), 5);
    rig
}

fn slots_used(rig: &Rig, path: &str) -> u32 {
    let disks = rig.store().inner().log.status().disks;
    let disk = disks.into_iter().find(|disk| disk.path == path).unwrap();
    disk.slots - disk.free_slots
}

#[test]
fn what_was_on_it_is_on_the_others() {
    let mut rig = six_disks();
    let label = rig.disks[2].label();
    let want = units(&rig.read(CAM, Time::MIN, None));
    let slow = units(&rig.read("/cam/slow", Time::MIN, None));
    assert!(slots_used(&rig, &label) > 20, "there is something on it");
    let before = rig.store().status();
    rig.store().remove_disk(DiskIndex(2), None).unwrap();
    assert!(rig.store().status().disks.iter().any(|disk| disk.state == "removing"));
    // One that reads meanwhile, and has looked at the index before.
    let mut reader =
        rig.store().read(&super::name(CAM), Time::MIN, ReadOptions::default()).unwrap();
    reader.next().unwrap();
    rig.store().tend().unwrap();
    let after = rig.store().status();
    assert_eq!((after.disks.len(), after.health), (5, Health::Ok));
    assert!(after.capacity_bytes < before.capacity_bytes);
    // What is freed is used again.
    rig.record("/cam/more", &sample::camera(60, 9_000, 0), 20);
    let mut read = 1;
    while reader.next().unwrap().is_some() {
        read += 1;
    }
    assert!(read > want.len(), "{read} items of {}", want.len());
    drop(reader);
    assert!(units(&rig.read(CAM, Time::MIN, None)) == want, "it reads otherwise");
    // It is blank, and nobody asks for it.
    let gone = rig.disks.remove(2);
    assert!(!pegasus_log::Log::is_member(&gone));
    rig.check();
    assert!(units(&rig.read(CAM, Time::MIN, None)) == want, "it reads otherwise");
    assert!(units(&rig.read("/cam/slow", Time::MIN, None)) == slow, "it reads otherwise");
    let health = rig.store().status().health;
    assert_eq!(health, Health::Ok);
    // Its index is not used again.
    rig.store().add(handle(&gone)).unwrap();
    assert_eq!(rig.store().inner().log.status().disks.last().unwrap().index, DiskIndex(6));
    rig.disks.push(gone);
    rig.check();
}

/// Recordings that go on while a disk leaves go on elsewhere at once, and not when their segments are full.
#[test]
fn what_goes_on_is_not_written_to_it() {
    let rig = six_disks();
    let streams = ["/cam/a", "/cam/b", "/cam/c", "/cam/d"];
    let go_on = |from_s: i64| {
        for stream in streams {
            rig.record(stream, &sample::camera(1, 100, from_s), 75);
        }
    };
    go_on(0);
    let written = || rig.disks[2].stats().written_bytes;
    let before = written();
    go_on(1);
    assert!(written() > before, "some of them are on it");
    rig.store().remove_disk(DiskIndex(2), None).unwrap();
    go_on(2); // the log has its last segments on it
    let before = written();
    (3..8).for_each(go_on);
    assert_eq!(written(), before, "it is written though it leaves");
    rig.store().tend().unwrap();
    assert_eq!(rig.store().status().disks.len(), 5);
}

#[test]
fn too_few_disks_or_too_little_room_are_refused() {
    let refused = |error: Error| {
        assert!(matches!(error, Error::CantRemove { .. }), "{error}");
        error.to_string()
    };
    let rig = Rig::small();
    let error = refused(rig.store().remove_disk(DiskIndex(0), None).unwrap_err());
    assert!(error.contains("stripes are 5 wide"), "{error}");
    refused(rig.store().remove_disk(DiskIndex(9), None).unwrap_err());
    refused(rig.store().keep_disk(DiskIndex(0)).unwrap_err());
    let rig = six_disks();
    rig.record("/cam/large", &sample::camera(700, 9_000, 0), 100);
    let error = refused(rig.store().remove_disk(DiskIndex(0), None).unwrap_err());
    assert!(error.contains("MiB free"), "{error}");
    assert_eq!(rig.store().status().disks.len(), 6);
}

#[test]
fn a_dead_disk_is_removed_by_what_parity_gives() {
    let mut rig = six_disks();
    let want = units(&rig.read(CAM, Time::MIN, None));
    rig.disks[4].kill();
    rig.record("/cam/more", &sample::camera(10, 3_000, 0), 20);
    assert_eq!(rig.store().status().health, Health::Degraded);
    rig.store().remove_disk(DiskIndex(4), None).unwrap();
    rig.store().tend().unwrap();
    assert_eq!(rig.store().status().health, Health::Ok);
    rig.disks.remove(4);
    rig.check();
    assert!(units(&rig.read(CAM, Time::MIN, None)) == want, "it reads otherwise");
    // Any other may go now.
    rig.disks[0].kill();
    assert!(units(&rig.read(CAM, Time::MIN, None)) == want, "it reads otherwise");
    std::mem::forget(rig); // it can't be closed in good order
}

#[test]
fn it_is_used_again_while_too_few_others_live() {
    let size = Size { disk_bytes: 24 << 20, parity: 2, data: 2, ..Size::default() };
    let mut rig = Rig::new(&size, settings());
    let fifth = SimDisk::new("fifth", 24 << 20);
    rig.store().add(handle(&fifth)).unwrap();
    rig.disks.push(fifth);
    rig.record(CAM, &sample::camera(30, 9_000, 0), 20);
    let want = units(&rig.read(CAM, Time::MIN, None));
    rig.store().remove_disk(DiskIndex(1), None).unwrap();
    let on_it = slots_used(&rig, &rig.disks[1].label());
    rig.record("/cam/before", &sample::camera(10, 9_000, 0), 20);
    assert!(slots_used(&rig, &rig.disks[1].label()) <= on_it, "nothing new is put on it");
    rig.disks[2].kill();
    rig.record("/cam/after", &sample::camera(10, 9_000, 0), 20);
    assert!(slots_used(&rig, &rig.disks[1].label()) > on_it, "the others are too few");
    let error = rig.store().tend().unwrap_err();
    assert!(error.to_string().contains("too few of the others work"), "{error}");
    // With another in the dead one's place it goes on, and away.
    let fresh = SimDisk::new("fresh", 24 << 20);
    rig.store().replace_disk(DiskIndex(2), handle(&fresh), None).unwrap();
    rig.store().tend().unwrap();
    assert_eq!((rig.store().status().disks.len(), rig.store().status().health), (4, Health::Ok));
    rig.disks[2] = fresh;
    rig.disks.remove(1);
    rig.check();
    assert!(units(&rig.read(CAM, Time::MIN, None)) == want, "it reads otherwise");
}

#[test]
fn it_goes_on_after_any_cut_or_ends_there() {
    let footage = sample::camera(40, 6_000, 0);
    let mut rng = fastrand::Rng::with_seed(11);
    let size = Size { disk_bytes: 16 << 20, ..Size::default() };
    let mut disks = SimDisk::array(6, size.disk_bytes, 1);
    let sixth = disks.pop().unwrap();
    let mut rig = Rig::on(disks, &size, settings());
    rig.store().add(handle(&sixth)).unwrap();
    rig.disks.push(sixth);
    rig.record(CAM, &footage, 20);
    let want = plain(&footage);
    rig.disks.iter().for_each(SimDisk::record);
    rig.store().remove_disk(DiskIndex(1), None).unwrap();
    rig.store().tend().unwrap();
    let ops: Vec<u64> = rig.disks.iter().flat_map(SimDisk::ops).map(|op| op.number).collect();
    let (first, last) = (*ops.iter().min().unwrap(), *ops.iter().max().unwrap());
    assert!(last - first > 100, "{first} to {last}");
    let disks = std::mem::take(&mut rig.disks);
    let (mut went_on, mut over) = (0, 0);
    for _ in 0..40 {
        let at = rng.u64(first..=last);
        let image = |disk: &SimDisk| disk.image_at(at, TearAt::Bytes512, &mut rng.fork());
        rig.disks = disks.iter().map(image).collect();
        std::mem::forget(rig.store.take());
        rig.open();
        let lost = rig.store().inner().log.status().poisoned;
        assert_eq!(lost, None, "cut before operation {at} of {first} to {last}");
        match rig.store().inner().log.leaving().is_empty() {
            true => over += 1,
            false => went_on += 1,
        }
        rig.store().tend().unwrap();
        let label = disks[1].label();
        if rig.store().status().disks.iter().all(|disk| disk.path != label) {
            rig.disks.remove(1);
        }
        rig.check();
        assert!(units(&rig.read(CAM, Time::MIN, None)) == want, "cut before operation {at}");
    }
    assert!(went_on > 10 && over > 0, "{went_on} went on, {over} were over or not begun");
}

#[test]
fn a_store_with_its_threads_removes_by_itself_and_may_be_told_not_to() {
    let mut rig = six_disks();
    let want = units(&rig.read(CAM, Time::MIN, None));
    rig.store.take().unwrap().close().unwrap();
    rig.store = Some(rig.open_driven());
    let store = rig.store().clone();
    let wait_for = |what: &str, condition: &dyn Fn() -> bool| {
        let begun = Instant::now();
        while !condition() {
            assert!(begun.elapsed() < Duration::from_secs(30), "no {what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    store.remove_disk(DiskIndex(5), Some(64 << 10)).unwrap();
    wait_for("removal", &|| store.status().care.work.is_some_and(|work| work.slots_total > 0));
    store.keep_disk(DiskIndex(5)).unwrap();
    wait_for("end of the removal", &|| store.status().care.work.is_none());
    assert_eq!(store.status().disks.len(), 6);
    assert!(store.status().disks.iter().all(|disk| disk.state == "ok"));
    store.remove_disk(DiskIndex(5), Some(1 << 30)).unwrap();
    rig.record("/cam/more", &sample::camera(20, 3_000, 0), 10);
    wait_for("end of the removal", &|| store.status().disks.len() == 5);
    drop(store);
    rig.disks.pop();
    rig.check();
    assert!(units(&rig.read(CAM, Time::MIN, None)) == want, "it reads otherwise");
}
