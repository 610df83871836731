//! Recordings by key units against the model, and what that costs.

use std::time::Duration;

use pegasus_base::{Time, TimeRange};
use pegasus_disk::{Disk as _, Fault, Trigger};
use pegasus_media::{TrackId, Unit};
use proptest::prelude::*;

use super::groups::{Expected, first_at, groups_of, thinned};
use super::reading::{any_footage, record};
use super::{Rig, Size, name, settings, tracks_first, units};
use crate::{Direction, Item, KeyOptions, KeyReader, sample};

const CAM: &str = "/cam/door";

fn items(reader: &mut KeyReader) -> Vec<Item> {
    std::iter::from_fn(|| reader.next().unwrap()).collect()
}

fn read(rig: &Rig, from: Time, options: KeyOptions) -> Vec<Item> {
    items(&mut rig.store().read_keys(&name(CAM), from, options).unwrap())
}

fn backward(every: Duration) -> KeyOptions {
    KeyOptions { direction: Direction::Backward, every, ..KeyOptions::default() }
}

/// The key units of those groups.
fn keys<'a>(groups: impl IntoIterator<Item = &'a Expected>) -> Vec<Unit> {
    groups.into_iter().map(|group| group.units[0].clone()).collect()
}

/// As [`thinned`], from the last to the first.
fn thinned_back(groups: &[Expected], every: Duration) -> Vec<&Expected> {
    let mut thinned: Vec<&Expected> = Vec::new();
    for group in groups.iter().rev() {
        if thinned.last().is_none_or(|last| group.time() <= last.time() - every) {
            thinned.push(group);
        }
    }
    thinned
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn both_ways_from_anywhere_however_sparsely(
        footage in any_footage(),
        seeks in proptest::collection::vec((-2_000i64..200_000, 0u64..9_000, 0u64..40_000), 1..10),
        reopen: bool,
    ) {
        let mut rig = Rig::small();
        let model = record(&rig, &footage);
        if reopen {
            rig.reopen();
        }
        let groups = groups_of(&model);
        for (from_ms, every_ms, length_ms) in seeks {
            let (from, every) = (sample::at(from_ms), Duration::from_millis(every_ms));
            let length = Duration::from_millis(length_ms);
            let forward = KeyOptions { every, ..KeyOptions::default() };
            let wanted = keys(thinned(&groups[first_at(&groups, from)..], every));
            prop_assert_eq!(units(&read(&rig, from, forward)), wanted.clone());
            let until = Some(from + length);
            let some = units(&read(&rig, from, KeyOptions { until, ..forward }));
            let wanted = wanted.into_iter().take_while(|unit| unit.time < from + length);
            prop_assert_eq!(some, wanted.collect::<Vec<_>>());

            let earlier = groups.partition_point(|group| group.time() <= from);
            let wanted = keys(thinned_back(&groups[..earlier], every));
            prop_assert_eq!(units(&read(&rig, from, backward(every))), wanted.clone());
            let until = Some(from - length);
            let some = units(&read(&rig, from, KeyOptions { until, ..backward(every) }));
            let wanted = wanted.into_iter().take_while(|unit| unit.time >= from - length);
            prop_assert_eq!(some, wanted.collect::<Vec<_>>());
        }
    }
}

#[test]
fn gaps_and_tracks_are_told_both_ways() {
    let rig = Rig::small();
    rig.record(CAM, &sample::camera(3, 100, 0), 30);
    rig.record(CAM, &sample::camera(3, 100, 60), 30);
    let spans = rig.store().spans(&name(CAM), TimeRange::ALL).unwrap();
    for items in [
        read(&rig, Time::MIN, KeyOptions::default()),
        read(&rig, Time::MAX, backward(Duration::ZERO)),
    ] {
        tracks_first(&items, &sample::tracks());
        assert_eq!(items.len(), 8, "{items:?}");
        assert_eq!(items[4], Item::Gap { from: spans[0].end, to: spans[1].start });
    }

    // Another configuration, in the middle of a span.
    let recorder = rig.recorder("/cam/yard");
    let pushed = sample::camera(2, 100, 0);
    pushed[..75].iter().for_each(|unit| assert!(recorder.push(unit.clone()).is_queued()));
    let mut tracks = sample::tracks().to_vec();
    tracks[0].config = bytes::Bytes::from_static(b"another");
    recorder.set_tracks(tracks.clone().into()).unwrap();
    pushed[75..].iter().for_each(|unit| assert!(recorder.push(unit.clone()).is_queued()));
    rig.store().flush().unwrap();
    let back = backward(Duration::ZERO);
    let mut reader = rig.store().read_keys(&name("/cam/yard"), Time::MAX, back).unwrap();
    let told: Vec<Item> = items(&mut reader);
    let (first, second) = (Item::Unit((*pushed[0]).clone()), Item::Unit((*pushed[75]).clone()));
    let (old, new) = (Item::Tracks(sample::tracks()), Item::Tracks(tracks.into()));
    assert_eq!(told, [new, second, old, first]);
}

#[test]
fn what_is_being_recorded_is_followed_forwards_and_left_backwards() {
    let rig = Rig::small();
    let pushed = sample::camera(4, 100, 0);
    let recorder = rig.recorder(CAM);
    pushed[..150].iter().for_each(|unit| assert!(recorder.push(unit.clone()).is_queued()));
    rig.store().flush().unwrap();
    let follow = Some(Duration::from_millis(1));
    let options = KeyOptions { follow, ..KeyOptions::default() };
    let mut reader = rig.store().read_keys(&name(CAM), Time::MIN, options).unwrap();
    let mut seen = Vec::new();
    let mut drain = |seen: &mut Vec<Unit>| loop {
        match reader.next().unwrap() {
            Some(Item::Unit(unit)) => seen.push(unit),
            Some(Item::Waiting) | None => break,
            Some(_) => {}
        }
    };
    drain(&mut seen);
    assert_eq!(seen.len(), 2);
    let mut back = rig.store().read_keys(&name(CAM), Time::MAX, backward(Duration::ZERO)).unwrap();
    pushed[150..].iter().for_each(|unit| assert!(recorder.push(unit.clone()).is_queued()));
    rig.store().flush().unwrap();
    drain(&mut seen);
    let expected: Vec<Unit> = pushed.iter().step_by(75).map(|unit| (**unit).clone()).collect();
    assert_eq!(seen, expected);
    let back = units(&items(&mut back));
    assert!(back.iter().eq(expected.iter().rev()), "it begins when it is first asked");
    rig.store().close().unwrap();
    drain(&mut seen);
    assert_eq!(seen.len(), 4);
}

#[test]
fn what_is_deleted_is_passed_over() {
    let mut rig = Rig::small();
    rig.record(CAM, &sample::camera(60, 2_000, 0), 60);
    let all = units(&read(&rig, Time::MIN, KeyOptions::default()));
    let options = KeyOptions::default();
    let mut halfway = rig.store().read_keys(&name(CAM), sample::at(5_000), options).unwrap();
    halfway.next().unwrap().expect("something is there");
    let deleted = TimeRange::new(sample::at(10_000), sample::at(40_000));
    rig.store().delete(&name(CAM), Some(deleted)).unwrap();
    // What the range was widened to is a group at most on either side.
    let gone = TimeRange::new(sample::at(11_500), sample::at(38_500));
    assert!(units(&items(&mut halfway)).iter().all(|unit| !gone.contains(unit.time)));
    for _ in 0..2 {
        let left = units(&read(&rig, Time::MIN, KeyOptions::default()));
        assert!(left.len() > 25 && left.len() < 32, "{}", left.len());
        assert!(left.iter().all(|unit| all.contains(unit)));
        let back = units(&read(&rig, Time::MAX, backward(Duration::ZERO)));
        assert!(back.iter().eq(left.iter().rev()));
        rig.reopen();
    }
}

#[test]
fn only_key_units_are_read() {
    let size = Size { unit_bytes: 1 << 20, disk_bytes: 256 << 20, ..Size::default() };
    let mut rig = Rig::new(&size, settings());
    // 8 Mb/s, a commit every half second.
    rig.record(CAM, &sample::camera(120, 35_000, 0), 38);
    let media = rig.store().spans(&name(CAM), TimeRange::ALL).unwrap()[0].bytes;
    let bytes = |rig: &Rig| rig.disks.iter().map(|disk| disk.stats().read_bytes).sum::<u64>();
    let seconds = Duration::from_secs;
    for (every, share) in [(seconds(0), 3), (seconds(4), 12), (seconds(8), 24)] {
        for (from, direction) in [(Time::MIN, Direction::Forward), (Time::MAX, Direction::Backward)]
        {
            rig.reopen();
            let before = bytes(&rig);
            let options = KeyOptions { direction, every, ..KeyOptions::default() };
            let keys = units(&read(&rig, from, options));
            let read = bytes(&rig) - before;
            assert_eq!(keys.len() as u64, 120 / every.as_secs().max(1));
            assert!(keys.iter().all(|unit| unit.key && unit.track == TrackId(0)));
            assert!(read < media / share, "{read} of {media} bytes, {every:?} {direction:?}");
        }
    }
}

#[test]
fn a_dead_disk_is_made_up_for_and_damage_is_told_once() {
    let rig = Rig::small();
    rig.record(CAM, &sample::camera(20, 2_000, 0), 75);
    let all = units(&read(&rig, Time::MIN, KeyOptions::default()));
    rig.disks[1].inject(Fault::ReadError, Trigger::Always { from_op: 0 });
    assert_eq!(units(&read(&rig, Time::MIN, KeyOptions::default())), all);
    rig.disks[1].heal();

    let mut scan = crate::scan::Scan::new(
        rig.store().inner().clone(),
        rig.store().inner().stream(&name(CAM)).unwrap(),
    )
    .unwrap();
    let lost = scan.key_until(sample::at(10_500), u64::MAX).unwrap().unwrap();
    let map = scan.entry(lost.place).unwrap().unwrap().map;
    for extent in map.extents() {
        let disk = &rig.disks[usize::from(extent.disk.0)];
        disk.spoil(extent.offset..extent.offset + u64::from(map.fragment_bytes));
    }
    for options in [KeyOptions::default(), backward(Duration::ZERO)] {
        let from = if options.direction == Direction::Forward { Time::MIN } else { Time::MAX };
        let mut reader = rig.store().read_keys(&name(CAM), from, options).unwrap();
        let (mut found, mut errors) = (0, 0);
        loop {
            match reader.next() {
                Ok(Some(Item::Unit(_))) => found += 1,
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(_) => errors += 1,
            }
        }
        assert_eq!((found, errors), (all.len() - 1, 1));
    }
}
