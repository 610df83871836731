//! Retention and deletion.

use std::time::Duration;

use pegasus_base::{Time, TimeRange};
use pegasus_media::Unit;
use proptest::prelude::*;

use super::{Rig, Size, name, plain, settings, units};
use crate::{Error, Item, Retention, Settings, StreamRetention, sample};

const CAM: &str = "/cam/door";

fn bytes_of(units: &[Unit]) -> u64 {
    units.iter().map(|unit| unit.data.len() as u64).sum()
}

/// Records `seconds` of footage with a commit each second, the clock keeping pace.
fn run(rig: &Rig, stream: &str, from_s: i64, seconds: i64, len: usize) -> Vec<Unit> {
    let recorder = rig.recorder(stream);
    let mut pushed = Vec::new();
    for second in from_s..from_s + seconds {
        let units = sample::camera(1, len, second);
        units.iter().for_each(|unit| assert!(recorder.push(unit.clone()).is_queued()));
        pushed.extend(plain(&units));
        rig.clock.set(sample::at((second + 1) * 1_000));
        rig.store().flush().unwrap();
    }
    drop(recorder);
    rig.store().flush().unwrap();
    pushed
}

/// What is kept must be the end of what was recorded, from a key unit on.
fn check_suffix(rig: &Rig, stream: &str, recorded: &[Unit]) -> usize {
    let kept = units(&rig.read(stream, Time::MIN, None));
    assert!(kept[0].key || kept.len() == recorded.len());
    assert_eq!(kept.last(), recorded.last());
    let pictures = |units: &[Unit]| -> Vec<Unit> {
        units.iter().filter(|unit| unit.track.0 == 0).cloned().collect()
    };
    let (kept_pictures, all) = (pictures(&kept), pictures(recorded));
    assert_eq!(kept_pictures, all[all.len() - kept_pictures.len()..]);
    kept.len()
}

#[test]
fn by_age() {
    let retention = Retention { age: Some(Duration::from_secs(60)), ..Retention::default() };
    let mut rig = Rig::new(&Size::default(), Settings { retention, ..settings() });
    let recorded = run(&rig, CAM, 0, 300, 2_000);
    check_suffix(&rig, CAM, &recorded);
    let spans = rig.store().spans(&name(CAM), TimeRange::ALL).unwrap();
    assert_eq!(spans.len(), 1);
    let age = sample::at(300_000).since(spans[0].start);
    // Whole segments go, and only once their last unit is too old.
    assert!(age >= Duration::from_secs(59) && age < Duration::from_secs(70), "{age:?}");
    let before = spans;
    rig.check();
    assert_eq!(rig.store().spans(&name(CAM), TimeRange::ALL).unwrap(), before);
    check_suffix(&rig, CAM, &recorded);
    // When the last of it is too old, nothing is left of the stream.
    rig.clock.set(sample::at(1_000_000));
    rig.store().flush().unwrap();
    assert!(rig.store().streams().unwrap().is_empty());
    rig.check();
    assert!(rig.store().streams().unwrap().is_empty());
    // And it may be recorded again.
    let again = run(&rig, CAM, 1_000, 3, 100);
    assert_eq!(units(&rig.read(CAM, Time::MIN, None)), again);
}

#[test]
fn by_bytes_of_each_stream_with_an_exception() {
    let mut settings = settings();
    settings.retention.bytes_per_stream = Some(1_000_000);
    let rule = StreamRetention { age: None, bytes: Some(3_000_000) };
    settings.overrides.insert(name("/cam/yard"), rule);
    let rig = Rig::new(&Size::default(), settings);
    for (stream, limit) in [(CAM, 1_000_000), ("/cam/yard", 3_000_000)] {
        let recorded = run(&rig, stream, 0, 120, 2_000);
        assert!(bytes_of(&recorded) > 2 * limit);
        check_suffix(&rig, stream, &recorded);
        let streams = rig.store().streams().unwrap();
        let listed = streams.iter().find(|listed| listed.name == name(stream)).unwrap();
        assert!(listed.bytes <= limit && listed.bytes > limit * 6 / 10, "{}", listed.bytes);
    }
}

#[test]
fn a_rule_of_its_own_outlives_a_restart() {
    let mut rig = Rig::small();
    run(&rig, CAM, 0, 60, 2_000);
    let rule = StreamRetention { age: None, bytes: Some(500_000) };
    rig.store().set_stream_retention(&name(CAM), Some(rule)).unwrap();
    rig.reopen();
    rig.store().flush().unwrap();
    assert!(rig.store().streams().unwrap()[0].bytes <= 500_000);
}

#[test]
fn by_space_the_oldest_of_all_streams_go_first() {
    let size = Size { disk_bytes: 8 << 20, ..Size::default() };
    let retention = Retention { keep_free_percent: 30, ..Retention::default() };
    let mut rig = Rig::new(&size, Settings { retention, ..settings() });
    let old = run(&rig, "/cam/old", 0, 60, 2_000);
    let new = run(&rig, "/cam/new", 1_000, 700, 2_000);
    rig.check();
    let status = rig.store().status();
    assert!(status.used_bytes <= status.capacity_bytes / 100 * 75, "{status:?}");
    assert!(bytes_of(&old) + bytes_of(&new) > status.capacity_bytes);
    let streams = rig.store().streams().unwrap();
    assert!(streams.iter().all(|listed| listed.name != name("/cam/old")), "the old went first");
    check_suffix(&rig, "/cam/new", &new);
}

#[test]
fn all_of_a_stream() {
    let mut rig = Rig::small();
    let recorder = rig.recorder(CAM);
    recorder.push(std::sync::Arc::new(sample::picture(0, true, 10)));
    rig.store().flush().unwrap();
    assert!(matches!(rig.store().delete(&name(CAM), None), Err(Error::Taken { .. })));
    drop(recorder);
    rig.store().flush().unwrap();
    run(&rig, CAM, 10, 100, 3_000);
    let kept = run(&rig, "/cam/yard", 10, 10, 3_000);
    let mut reader =
        rig.store().read(&name(CAM), Time::MIN, crate::ReadOptions::default()).unwrap();
    reader.next().unwrap();
    rig.store().delete(&name(CAM), None).unwrap();
    // A reader under way comes to an end.
    while let Some(item) = reader.next().unwrap() {
        assert!(matches!(item, Item::Unit(_)));
    }
    assert!(matches!(rig.store().delete(&name(CAM), None), Err(Error::UnknownStream { .. })));
    rig.check();
    assert_eq!(rig.store().streams().unwrap().len(), 1);
    assert_eq!(units(&rig.read("/cam/yard", Time::MIN, None)), kept);
}

/// Where the log takes nothing more of anybody else, deleting goes on: with the room that is kept for it.
#[test]
fn deleting_goes_on_where_the_log_is_full() {
    let size = Size { disk_bytes: 8 << 20, ..Size::default() };
    let mut rig = Rig::new(&size, settings());
    run(&rig, "/cam/old", 0, 60, 2_000);
    let kept = run(&rig, CAM, 100, 10, 2_000);
    fill_the_log(&rig.store().inner().log);
    rig.store().delete(&name("/cam/old"), None).unwrap();
    rig.check();
    assert_eq!(rig.store().streams().unwrap().len(), 1);
    assert_eq!(units(&rig.read(CAM, Time::MIN, None)), kept);
}

/// Commits until nothing goes in any more, small as it is.
fn fill_the_log(log: &pegasus_log::Log) {
    let mut pnode = None;
    for bytes in [100_000, 10_000, 1_000, 1] {
        loop {
            let mut batch = log.batch();
            let file = *pnode.get_or_insert_with(|| batch.create_pnode(77));
            let written = batch.write(file, 0, &vec![7; bytes]);
            match written.and_then(|()| log.commit(batch)) {
                Ok(_) => {}
                Err(pegasus_log::LogError::Full { .. }) => break,
                Err(other) => panic!("{other}"),
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_range_is_gone_to_whole_groups_and_nothing_else(
        ranges in proptest::collection::vec((-3_000i64..45_000, 1i64..20_000), 1..4),
        active: bool,
        reopen: bool,
    ) {
        let mut rig = Rig::small();
        let mut recorded = run(&rig, CAM, 0, 40, 2_000);
        let recorder = active.then(|| rig.recorder(CAM));
        let mut hidden = Vec::new();
        for (from_ms, len_ms) in ranges {
            let range = TimeRange::new(sample::at(from_ms), sample::at(from_ms + len_ms));
            match rig.store().delete(&name(CAM), Some(range)) {
                Ok(()) => hidden.push(range),
                Err(Error::UnknownStream { .. }) => {}
                Err(other) => panic!("{other}"),
            }
        }
        rig.clock.set(sample::at(73_000));
        if let Some(recorder) = recorder {
            for unit in sample::camera(3, 2_000, 70) {
                assert!(recorder.push(unit.clone()).is_queued());
                recorded.push((*unit).clone());
            }
            rig.store().flush().unwrap();
            drop(recorder);
            rig.store().flush().unwrap();
        }
        if reopen {
            rig.check();
        }
        let kept = match rig.store().spans(&name(CAM), TimeRange::ALL) {
            Ok(_) => units(&rig.read(CAM, Time::MIN, None)),
            Err(_) => Vec::new(),
        };
        // In the order of recording, and byte by byte what it was.
        let mut rest = recorded.iter();
        for unit in &kept {
            prop_assert!(rest.any(|recorded| recorded == unit), "{unit:?}");
        }
        let deleted = |t: Time| hidden.iter().any(|range| range.contains(t));
        for unit in kept.iter().filter(|unit| unit.track.0 == 0) {
            prop_assert!(!deleted(unit.time), "{:?} is still there", unit.time);
        }
        // A whole group away from any deleted instant, everything is there.
        let near = |t: Time| hidden.iter().any(|range| {
            let group = Duration::from_millis(1_100);
            TimeRange::new(range.start - group, range.end + group).contains(t)
        });
        for unit in recorded.iter().filter(|unit| !near(unit.time)) {
            prop_assert!(kept.contains(unit), "{:?} of track {} is gone", unit.time, unit.track.0);
        }
    }
}
