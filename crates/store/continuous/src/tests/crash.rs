//! Power cuts at any operation, dead and lying disks: what was acknowledged is there, byte by byte.
//!
//! `PEGASUS_SEED=n` replays one run.

use std::collections::BTreeMap;

use pegasus_base::{Time, TimeRange};
use pegasus_disk::{Disk, Fault, SimDisk, TearAt, Trigger};
use pegasus_media::Unit;

use super::{Rig, Size, name, plain, settings, units};
use crate::{Health, Retention, Settings, sample};

/// What was pushed of each stream, and how much of it was acknowledged before which operation.
#[derive(Default)]
struct History {
    pushed: BTreeMap<String, Vec<Unit>>,
    acknowledged: Vec<(u64, BTreeMap<String, usize>)>,
}

fn seeds(count: u64) -> std::ops::Range<u64> {
    match std::env::var("PEGASUS_SEED").ok().and_then(|seed| seed.parse().ok()) {
        Some(seed) => seed..seed + 1,
        None => 0..count,
    }
}

/// Tells the seed when a test fails.
struct Announce(u64);

impl Drop for Announce {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let seed = self.0;
            let mut err = std::io::stderr().lock();
            let _ = std::io::Write::write_fmt(
                &mut err,
                format_args!("replay this with PEGASUS_SEED={seed}\n"),
            );
        }
    }
}

/// Records three streams at different rates, committing at random.
fn record(rig: &Rig, rng: &mut fastrand::Rng, from_s: i64, seconds: i64) -> History {
    let mut history = History::default();
    let streams = [("/cam/a", 900), ("/cam/b", 3_000), ("/cam/c", 60)];
    let recorders: Vec<_> = streams.iter().map(|&(stream, _)| rig.recorder(stream)).collect();
    for second in from_s..from_s + seconds {
        rig.clock.set(sample::at(second * 1_000));
        for (&(stream, len), recorder) in streams.iter().zip(&recorders) {
            let units = sample::camera(1, len, second);
            units.iter().for_each(|unit| assert!(recorder.push(unit.clone()).is_queued()));
            history.pushed.entry(stream.to_owned()).or_default().extend(plain(&units));
            if rng.u8(..) < 100 {
                history.flush(rig);
            }
        }
        if rng.u8(..) < 8 {
            rig.store().close().unwrap();
            break;
        }
    }
    history.note(rig);
    history
}

impl History {
    fn flush(&mut self, rig: &Rig) {
        rig.store().flush().unwrap();
        self.note(rig);
    }

    /// Everything pushed is acknowledged, if nothing waits.
    fn note(&mut self, rig: &Rig) {
        if rig.store().status().ingest.queued_bytes == 0 {
            let counts = self.pushed.iter().map(|(name, units)| (name.clone(), units.len()));
            self.acknowledged.push((rig.disks[0].counter().next_op(), counts.collect()));
        }
    }

    fn acknowledged_before(&self, op: u64, stream: &str) -> usize {
        let before = self.acknowledged.iter().rev().find(|(at, _)| *at <= op);
        before.and_then(|(_, counts)| counts.get(stream).copied()).unwrap_or(0)
    }

    /// Whatever is there is the beginning of what was pushed, and all that was acknowledged.
    fn check(&self, rig: &Rig, op: u64) {
        for (stream, pushed) in &self.pushed {
            let there = match rig.store().spans(&name(stream), TimeRange::ALL) {
                Ok(_) => units(&rig.read(stream, Time::MIN, None)),
                Err(_) => Vec::new(),
            };
            let acknowledged = self.acknowledged_before(op, stream);
            assert!(
                there.len() >= acknowledged,
                "{stream}: {} units after the cut at {op}, {acknowledged} were acknowledged",
                there.len(),
            );
            assert_eq!(there, pushed[..there.len()], "{stream} after the cut at {op}");
        }
    }
}

/// The rig as a power cut before operation `op` leaves it.
fn cut(rig: &Rig, op: u64, rng: &mut fastrand::Rng) -> Rig {
    let image = |disk: &SimDisk| disk.image_at(op, TearAt::Bytes512, rng);
    Rig {
        disks: rig.disks.iter().map(image).collect(),
        clock: rig.clock.clone(),
        settings: rig.settings.clone(),
        store: None,
    }
}

#[test]
fn a_power_cut_anywhere_loses_only_what_was_not_acknowledged() {
    for seed in seeds(12) {
        let _announce = Announce(seed);
        let mut rng = fastrand::Rng::with_seed(seed);
        let rig = Rig::small();
        let begin = rig.disks[0].counter().next_op();
        rig.disks.iter().for_each(SimDisk::record);
        let history = record(&rig, &mut rng, 0, 40);
        let end = rig.disks[0].counter().next_op();
        for _ in 0..10 {
            let op = rng.u64(begin..=end);
            let mut after = cut(&rig, op, &mut rng);
            if rng.bool() {
                // A disk may be lost on top of it.
                after.disks[rng.usize(..5)].kill();
                after.open();
                history.check(&after, op);
                continue;
            }
            after.open();
            history.check(&after, op);
            // Recording goes on behind it.
            let more = sample::camera(3, 500, 100);
            after.clock.set(sample::at(103_000));
            after.record("/cam/a", &more, 50);
            let all = units(&after.read("/cam/a", Time::MIN, None));
            assert_eq!(all[all.len() - more.len()..], plain(&more));
            after.check();
            history_and_more(&history, &after, &more);
        }
    }
}

fn history_and_more(history: &History, rig: &Rig, more: &[std::sync::Arc<Unit>]) {
    let all = units(&rig.read("/cam/a", Time::MIN, None));
    let before = all.len() - more.len();
    assert_eq!(all[..before], history.pushed["/cam/a"][..before]);
}

#[test]
fn a_power_cut_during_retention_leaves_the_end_of_what_was_recorded() {
    for seed in seeds(8) {
        let _announce = Announce(seed);
        let mut rng = fastrand::Rng::with_seed(seed);
        let retention = Retention { bytes_per_stream: Some(300_000), ..Retention::default() };
        let size = Size { disk_bytes: 16 << 20, ..Size::default() };
        let rig = Rig::new(&size, Settings { retention, ..settings() });
        let begin = rig.disks[0].counter().next_op();
        rig.disks.iter().for_each(SimDisk::record);
        let history = record(&rig, &mut rng, 0, 60);
        let end = rig.disks[0].counter().next_op();
        for _ in 0..8 {
            let op = rng.u64(begin..=end);
            let mut after = cut(&rig, op, &mut rng);
            after.open();
            for (stream, pushed) in &history.pushed {
                let Ok(_) = after.store().spans(&name(stream), TimeRange::ALL) else { continue };
                let pictures = |units: &[Unit]| -> Vec<Unit> {
                    units.iter().filter(|unit| unit.track.0 == 0).cloned().collect()
                };
                let there = pictures(&units(&after.read(stream, Time::MIN, None)));
                let acknowledged = history.acknowledged_before(op, stream);
                let pushed_then = pictures(&pushed[..acknowledged]);
                let Some(first) = there.first() else { continue };
                let all = pictures(pushed);
                let at = all.iter().position(|unit| unit == first).unwrap();
                assert_eq!(there, all[at..at + there.len()], "{stream} after the cut at {op}");
                assert!(at + there.len() >= pushed_then.len(), "{stream} after the cut at {op}");
            }
            after.check();
        }
    }
}

#[test]
fn a_disk_that_dies_while_recording_costs_nothing() {
    for seed in seeds(10) {
        let _announce = Announce(seed);
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut rig = Rig::small();
        let victim = rng.usize(..5);
        let from_op = rig.disks[0].counter().next_op() + rng.u64(1..400);
        rig.disks[victim].inject(Fault::Death, Trigger::Once { from_op });
        let recorder = rig.recorder("/cam/a");
        let mut pushed = Vec::new();
        for second in 0..60 {
            rig.clock.set(sample::at(second * 1_000));
            let units = sample::camera(1, 2_000, second);
            units.iter().for_each(|unit| assert!(recorder.push(unit.clone()).is_queued()));
            pushed.extend(plain(&units));
            rig.store().flush().unwrap();
        }
        drop(recorder);
        rig.store().flush().unwrap();
        let status = rig.store().status();
        assert_eq!(status.health, Health::Degraded, "{status:?}");
        assert_eq!(status.disks[victim].state, "failed");
        assert!(status.reason.unwrap().contains(&format!("sim{victim}")));
        assert_eq!(units(&rig.read("/cam/a", Time::MIN, None)), pushed);
        // Without it, all is still there after a restart.
        rig.reopen();
        assert_eq!(units(&rig.read("/cam/a", Time::MIN, None)), pushed);
    }
}

#[test]
fn a_disk_that_lies_is_seen_through() {
    for seed in seeds(10) {
        let _announce = Announce(seed);
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut rig = Rig::small();
        let history = record(&rig, &mut rng, 0, 30);
        rig.store.take().unwrap().close().unwrap();
        let liar = rng.usize(..5);
        rig.disks[liar].rot((1 << 20)..(4 << 20), 2_000);
        // Whoever reads the recordings may not meet it: it may hold nothing but parity there.
        let report = rig.report();
        let label = Disk::label(&rig.disks[liar]);
        assert!(report.problems.iter().any(|problem| problem.contains(&label)), "nobody noticed");
        rig.open();
        history.check(&rig, u64::MAX);
    }
}

#[test]
fn too_many_dead_disks_stop_recording_but_say_so() {
    let rig = Rig::small();
    let recorder = rig.recorder("/cam/a");
    let feed = |second| {
        for unit in sample::camera(1, 100, second) {
            recorder.push(unit);
        }
    };
    feed(0);
    rig.store().flush().unwrap();
    rig.disks[..4].iter().for_each(SimDisk::kill);
    feed(1);
    let error = rig.store().flush().unwrap_err();
    assert!(!error.to_string().is_empty());
    let status = rig.store().status();
    assert_eq!(status.health, Health::Failed, "{status:?}");
    assert!(status.reason.is_some());
    feed(2);
    assert!(recorder.status().trouble.is_some());
    assert!(rig.store().flush().is_err());
}

#[test]
fn behind_a_block_that_is_lost_reading_goes_on_with_a_key_unit() {
    let rig = Rig::small();
    let pushed = sample::camera(20, 2_000, 0);
    rig.record("/cam/a", &pushed, 75);
    let inner = rig.store().inner();
    let stream = inner.stream(&name("/cam/a")).unwrap();
    let finder =
        crate::locate::Finder { inner: inner.clone(), stream, record_len: inner.record_len };
    // More fragments of one block than parity can replace; its index was read before.
    let entries = finder.entries(3).unwrap();
    let lost = entries.as_slice()[0].clone();
    for extent in lost.map.extents() {
        let disk = &rig.disks[usize::from(extent.disk.0)];
        disk.spoil(extent.offset..extent.offset + u64::from(lost.map.fragment_bytes));
    }
    let options = crate::ReadOptions::default();
    let mut reader = rig.store().read(&name("/cam/a"), Time::MIN, options).unwrap();
    let (mut errors, mut gaps, mut there) = (0, 0, Vec::new());
    loop {
        match reader.next() {
            Ok(Some(crate::Item::Unit(unit))) => there.push(unit),
            Ok(Some(crate::Item::Gap { .. })) => {
                assert_eq!(errors, 1, "the gap is where the block was");
                gaps += 1;
            }
            Ok(Some(_)) => {}
            Ok(None) => break,
            Err(error) => {
                let sentence = error.to_string();
                assert!(sentence.contains(&lost.map.segment.to_string()), "{sentence}");
                errors += 1;
            }
        }
    }
    assert_eq!((errors, gaps), (1, 1));
    let number = |unit: &Unit| pushed.iter().position(|pushed| **pushed == *unit).unwrap() as u64;
    let numbers: Vec<u64> = there.iter().map(number).collect();
    let (before, after) = (lost.head.before.units, lost.head.after().units);
    assert!(numbers.iter().take_while(|&&n| n < before).copied().eq(0..before));
    let rest: Vec<&Unit> = there[before as usize..].iter().filter(|u| u.track.0 == 0).collect();
    assert!(rest[0].key && numbers[before as usize..].iter().all(|&n| n >= after));
    let pictures = pushed.iter().filter(|unit| unit.track.0 == 0);
    let expected: Vec<Unit> =
        pictures.skip_while(|unit| ***unit != *rest[0]).map(|unit| (**unit).clone()).collect();
    assert!(rest.into_iter().eq(&expected));
}
