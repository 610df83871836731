//! The tier: what is out is there, comes back, and goes by its rules.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use pegasus_base::{Time, TimeRange};
use pegasus_disk::Profile;
use pegasus_media::Unit;
use pegasus_tier::Tier;

use super::{Rig, Size, name, plain, settings, units};
use crate::{
    Error, Guarantee, OutRange, Retention, Settings, TierOptions, TierRule, TierStatus, Wish,
    sample,
};

const CAM: &str = "/cam/door";

/// A rig with a folder for what is out.
pub(super) struct Tiered {
    pub(super) rig: Rig,
    pub(super) folder: tempfile::TempDir,
    pub(super) rule: TierRule,
    pub(super) bytes_per_s_max: Option<u64>,
}

impl Tiered {
    /// One that moves out only what it is told to.
    pub(super) fn new(size: &Size, settings: Settings) -> Self {
        Self::with(size, settings, TierRule { free_percent: 0, ..TierRule::default() })
    }

    fn with(size: &Size, settings: Settings, rule: TierRule) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("objects")).unwrap();
        let rig = Rig::new(size, settings);
        let tiered = Self { rig, folder, rule, bytes_per_s_max: None };
        tiered.set_up();
        tiered
    }

    pub(super) fn objects(&self) -> PathBuf {
        self.folder.path().join("objects")
    }

    pub(super) fn set_up(&self) {
        let tier = Tier::folder(&self.objects()).unwrap();
        let (rule, bytes_per_s_max) = (self.rule.clone(), self.bytes_per_s_max);
        self.rig.store().set_tier(Some(TierOptions { tier, rule, bytes_per_s_max }));
    }

    fn tend(&self) {
        self.rig.store().tend_tier().unwrap();
        self.rig.store().flush().unwrap();
    }

    fn status(&self) -> TierStatus {
        self.rig.store().tier_status().unwrap()
    }

    fn out(&self) -> Vec<OutRange> {
        self.rig.store().out(&name(CAM), TimeRange::ALL).unwrap()
    }

    fn segments_out(&self) -> u64 {
        self.out().iter().map(|run| run.segments).sum()
    }

    fn all(&self) -> Vec<Unit> {
        units(&self.rig.read(CAM, Time::MIN, None))
    }

    /// Without the mark of the store.
    fn files(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        collect(&self.objects(), &mut files);
        files.retain(|file| file.extension().is_some_and(|end| end == "pgs"));
        files
    }

    fn check(&mut self) {
        self.rig.store.take().unwrap().close().unwrap();
        let report = self.rig.report();
        assert!(report.problems.is_empty(), "{:#?}", report.problems);
        self.rig.open();
        self.set_up();
    }

    /// Records `seconds` with a commit each, the clock keeping pace.
    fn run(&self, stream: &str, from_s: i64, seconds: i64, len: usize) -> Vec<Unit> {
        let recorder = self.rig.recorder(stream);
        let mut pushed = Vec::new();
        for second in from_s..from_s + seconds {
            let units = sample::camera(1, len, second);
            units.iter().for_each(|unit| assert!(recorder.push(unit.clone()).is_queued()));
            pushed.extend(plain(&units));
            self.rig.clock.set(sample::at((second + 1) * 1_000));
            self.rig.store().flush().unwrap();
            // It may fail: recording goes on.
            let _ = self.rig.store().tend_tier();
        }
        pushed
    }
}

pub(super) fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { collect(&path, files) } else { files.push(path) }
    }
}

fn seconds(from: i64, to: i64) -> TimeRange {
    TimeRange::new(sample::at(from * 1_000), sample::at(to * 1_000))
}

#[test]
fn what_is_out_is_read_listed_and_brought_back_as_it_was() {
    let mut tiered = Tiered::new(&Size::default(), settings());
    tiered.rig.record(CAM, &sample::camera(60, 2_000, 0), 50);
    tiered.rig.reopen();
    tiered.set_up();
    let recorded = tiered.all();
    let store = tiered.rig.store();
    let spans = store.spans(&name(CAM), TimeRange::ALL).unwrap();
    let marks = store.marks(&name(CAM), TimeRange::ALL).unwrap();
    let used = store.status().used_bytes;
    let staged = store.stage_out(&name(CAM), Some(seconds(10, 40))).unwrap();
    assert!(staged.segments > 3, "{staged:?}");
    tiered.tend();
    assert_eq!(tiered.segments_out(), staged.segments);
    assert_eq!(tiered.files().len() as u64, staged.segments);
    let out = tiered.out();
    assert_eq!(out.len(), 1);
    assert!(out[0].start >= sample::at(10_000) && out[0].end <= sample::at(40_000), "{out:?}");
    assert!(out[0].back_in_ms.is_some(), "its rate was measured when it was read back");
    for _ in 0..2 {
        let store = tiered.rig.store();
        assert_eq!(store.spans(&name(CAM), TimeRange::ALL).unwrap(), spans);
        assert_eq!(store.marks(&name(CAM), TimeRange::ALL).unwrap(), marks);
        assert_eq!(tiered.all(), recorded);
        assert!(tiered.status().read_blocks > 0);
        tiered.check(); // closes and opens
    }
    let store = tiered.rig.store();
    store.flush().unwrap();
    store.request_checkpoint();
    store.flush().unwrap();
    assert!(store.status().used_bytes < used, "its slots were given back");
    store.stage_in(&name(CAM), None).unwrap();
    tiered.tend();
    assert_eq!((tiered.segments_out(), tiered.files().len()), (0, 0));
    assert_eq!(tiered.all(), recorded);
    tiered.check();
    assert_eq!(tiered.all(), recorded);
    assert_eq!(tiered.status().read_blocks, 0);
}

#[test]
fn what_is_played_comes_back_and_stays() {
    let rule = TierRule {
        after: Some(Duration::from_secs(30)),
        free_percent: 0,
        keep_played: Duration::from_secs(3_600),
        ..TierRule::default()
    };
    let mut tiered = Tiered::with(&Size::default(), settings(), rule);
    let recorded = tiered.run(CAM, 0, 120, 2_000);
    let before = tiered.segments_out();
    assert!(before > 8, "{before}");
    assert!(tiered.out()[0].end < sample::at(91_000));
    assert_eq!(tiered.all(), recorded);
    tiered.tend();
    assert_eq!(tiered.segments_out(), 0, "all was played");
    tiered.tend();
    assert_eq!(tiered.segments_out(), 0, "and stays");
    // Also after a restart: when it came back is in the records.
    tiered.check();
    tiered.tend();
    assert_eq!(tiered.segments_out(), 0);
    tiered.rig.clock.set(sample::at(120_000) + Duration::from_secs(3_700));
    tiered.tend();
    assert!(tiered.segments_out() >= before);
    // A listing plays nothing.
    let mut listing = tiered.rig.store().list(&name(CAM), TimeRange::ALL).unwrap();
    while listing.next().unwrap().is_some() {}
    tiered.tend();
    assert!(tiered.segments_out() >= before);
}

#[test]
fn where_room_is_needed_nothing_is_deleted_that_can_go_out() {
    let size = Size { disk_bytes: 8 << 20, ..Size::default() };
    let rule = TierRule { free_percent: 40, ..TierRule::default() };
    let mut tiered = Tiered::with(&size, settings(), rule);
    let capacity = tiered.rig.store().status().capacity_bytes;
    let recorded = tiered.run(CAM, 0, 300, 8_000);
    let bytes: u64 = recorded.iter().map(|unit| unit.data.len() as u64).sum();
    assert!(bytes > capacity * 2, "{bytes} of {capacity}");
    assert_eq!(tiered.all().len(), recorded.len());
    assert_eq!(tiered.rig.store().status().ingest.dropped_units, 0);
    tiered.check();
    assert!(tiered.all() == recorded);
}

#[test]
fn a_tier_out_of_reach_holds_up_nothing() {
    let size = Size { disk_bytes: 8 << 20, ..Size::default() };
    let rule = TierRule { free_percent: 40, ..TierRule::default() };
    let mut tiered = Tiered::with(&size, settings(), rule);
    let mut recorded = tiered.run(CAM, 0, 100, 8_000);
    let out = tiered.segments_out();
    assert!(out > 0);
    let aside = tiered.folder.path().join("aside");
    std::fs::rename(tiered.objects(), &aside).unwrap();
    // A file in the way: a folder would be made anew.
    std::fs::write(tiered.objects(), b"").unwrap();
    recorded.extend(tiered.run(CAM, 100, 200, 8_000));
    let status = tiered.status();
    assert!(status.out.trouble.is_some() && status.out.failures > 0, "{status:?}");
    let store = tiered.rig.store();
    assert_eq!(store.status().ingest.dropped_units, 0);
    assert_eq!(store.status().health, crate::Health::Ok);
    assert!(store.status().ingest.freed_segments > 0, "retention went on as without a tier");
    assert_eq!(tiered.segments_out(), out, "and deleted nothing that is out");
    // What is out is an error, what is in is read; the time line has a gap where retention was.
    let options = crate::ReadOptions::default();
    let read = store.read(&name(CAM), Time::MIN, options);
    assert!(matches!(read, Err(Error::Away { .. })), "{read:?}");
    let spans = store.spans(&name(CAM), TimeRange::ALL).unwrap();
    assert!(spans.len() >= 2, "{spans:?}");
    assert!(!tiered.rig.read(CAM, spans[spans.len() - 1].start, None).is_empty());
    std::fs::remove_file(tiered.objects()).unwrap();
    std::fs::rename(&aside, tiered.objects()).unwrap();
    tiered.check();
    tiered.tend();
    assert_eq!(tiered.status().out.trouble, None);
    assert!(tiered.status().missing_objects == 0);
    let there = tiered.all();
    let pictures = |units: &[Unit]| units.iter().filter(|unit| unit.track.0 == 0).count();
    assert!(pictures(&there) < pictures(&recorded));
    assert!(there.iter().all(|unit| recorded.contains(unit)), "nothing is made up");
    assert_eq!(there[0], recorded[0], "the oldest is still there");
    assert_eq!(there.last(), recorded.last());
}

#[test]
fn what_is_deleted_goes_from_the_tier_too() {
    let retention = Retention { age: Some(Duration::from_secs(100)), ..Retention::default() };
    let rule =
        TierRule { after: Some(Duration::from_secs(20)), free_percent: 0, ..TierRule::default() };
    let settings = Settings { retention, ..settings() };
    let mut tiered = Tiered::with(&Size::default(), settings, rule);
    tiered.run(CAM, 0, 200, 2_000);
    tiered.tend();
    let out = tiered.out();
    assert!(out[0].start > sample::at(80_000), "older ones were deleted by age: {out:?}");
    assert_eq!(tiered.files().len() as u64, tiered.segments_out());
    // In the middle.
    tiered.rig.store().delete(&name(CAM), Some(seconds(120, 150))).unwrap();
    tiered.tend();
    assert_eq!(tiered.files().len() as u64, tiered.segments_out());
    assert!(tiered.segments_out() > 0);
    tiered.check();
    let kept = tiered.all();
    assert!(kept.iter().all(|unit| !(120_500..149_500).any(|ms| unit.time == sample::at(ms))));
    // All of it.
    tiered.rig.store().delete(&name(CAM), None).unwrap();
    tiered.tend();
    assert_eq!(tiered.files(), [] as [PathBuf; 0]);
    assert_eq!(tiered.status().out_segments, Some(0));
}

#[test]
fn objects_nothing_refers_to_are_deleted_and_strangers_left_alone() {
    let mut tiered = Tiered::new(&Size::default(), settings());
    tiered.rig.record(CAM, &sample::camera(60, 2_000, 0), 50);
    let store = tiered.rig.store();
    store.stage_out(&name(CAM), Some(seconds(0, 30))).unwrap();
    tiered.tend();
    let files = tiered.files();
    let (one, other) = (&files[0], &files[1]);
    // As after a stop between writing it and saying so, or between saying and deleting.
    let stale = one.with_file_name("000000999999-20231114T221320Z.pgs");
    std::fs::copy(one, &stale).unwrap();
    let strange = one.parent().unwrap().with_file_name("yard");
    std::fs::create_dir(&strange).unwrap();
    let strange = strange.join("000000000001-20231114T221320Z.pgs");
    std::fs::copy(one, &strange).unwrap();
    std::fs::remove_file(other).unwrap();
    tiered.check();
    tiered.tend();
    assert!(one.exists() && strange.exists() && !stale.exists());
    let status = tiered.status();
    assert_eq!((status.unknown_objects, status.missing_objects), (1, 1), "{status:?}");
    // Somebody deleted an object: its segment is lost, and says so; the others are there.
    let options = crate::ReadOptions::default();
    let mut reader = tiered.rig.store().read(&name(CAM), Time::MIN, options).unwrap();
    let (mut lost, mut read) = (0, 0);
    loop {
        match reader.next() {
            Ok(Some(_)) => read += 1,
            Ok(None) => break,
            Err(Error::ObjectMissing { .. }) => lost += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(lost == 1 && read > 1_000, "{lost} {read}");
}

#[test]
fn an_object_that_is_not_what_was_written_is_an_error() {
    let mut tiered = Tiered::new(&Size::default(), settings());
    tiered.rig.record(CAM, &sample::camera(30, 2_000, 0), 50);
    tiered.rig.store().stage_out(&name(CAM), None).unwrap();
    tiered.tend();
    let mut rng = fastrand::Rng::with_seed(5);
    let files = tiered.files();
    for file in &files {
        let mut bytes = std::fs::read(file).unwrap();
        let at = rng.usize(..bytes.len());
        bytes[at] ^= 0x40;
        std::fs::write(file, bytes).unwrap();
    }
    tiered.check();
    let store = tiered.rig.store();
    store.stage_in(&name(CAM), None).unwrap();
    let brought = store.tend_tier();
    assert!(matches!(brought, Err(Error::Damaged { .. })), "{brought:?}");
    while store.tend_tier().is_err() {}
    assert_eq!(
        tiered.segments_out(),
        files.len() as u64,
        "nothing of it is taken for the recording"
    );
    assert_eq!(tiered.files().len(), files.len());
}

#[test]
fn another_place_is_not_taken_for_the_tier() {
    let mut tiered = Tiered::new(&Size::default(), settings());
    tiered.rig.record(CAM, &sample::camera(60, 2_000, 0), 50);
    tiered.rig.store().stage_out(&name(CAM), Some(seconds(0, 30))).unwrap();
    tiered.tend();
    let out = tiered.segments_out();
    // As if the disk with the folder were not mounted.
    std::fs::rename(tiered.objects(), tiered.folder.path().join("aside")).unwrap();
    std::fs::create_dir(tiered.objects()).unwrap();
    tiered.check();
    tiered.rig.store().stage_out(&name(CAM), None).unwrap();
    let refused = tiered.rig.store().tend_tier();
    assert!(
        refused.as_ref().is_err_and(|error| error.to_string().contains("another one")),
        "{refused:?}"
    );
    assert_eq!((tiered.segments_out(), tiered.files().len()), (out, 0));
    tiered.rig.store().set_tier(None);
    assert!(matches!(tiered.rig.store().stage_out(&name(CAM), None), Err(Error::NoTier)));
    let read = tiered.rig.store().read(&name(CAM), Time::MIN, crate::ReadOptions::default());
    assert!(matches!(read, Err(Error::Away { .. })), "{read:?}");
}

#[test]
fn what_comes_back_pushes_nothing_out() {
    let size = Size { disk_bytes: 8 << 20, ..Size::default() };
    let mut tiered = Tiered::new(&size, settings());
    tiered.rig.record(CAM, &sample::camera(30, 8_000, 0), 50);
    tiered.rig.store().stage_out(&name(CAM), None).unwrap();
    tiered.tend();
    let out = tiered.segments_out();
    assert!(out > 0);
    tiered.run("/cam/yard", 30, 300, 8_000);
    let freed = tiered.rig.store().status().ingest.freed_segments;
    assert!(freed > 0, "the disks are full");
    tiered.rig.store().stage_in(&name(CAM), None).unwrap();
    let refused = tiered.rig.store().tend_tier();
    assert!(matches!(refused, Err(Error::NoRoomToReturn)), "{refused:?}");
    // One that is narrow may just find room.
    let still = tiered.segments_out();
    assert!(still + 3 > out, "{still} of {out}");
    assert_eq!(tiered.files().len() as u64, still, "who has not come back has its object");
    assert_eq!(tiered.rig.store().status().ingest.freed_segments, freed);
    tiered.check();
}

#[test]
fn a_playback_waits_for_a_slow_tier_and_begins_at_once_with_a_quick_one() {
    let size = Size { disk_bytes: 256 << 20, unit_bytes: 256 << 10, ..Size::default() };
    let mut tiered = Tiered::new(&size, settings());
    tiered.rig.record(CAM, &sample::camera(120, 8_000, 0), 50);
    tiered.rig.store().stage_out(&name(CAM), None).unwrap();
    tiered.tend();
    let bytes: u64 = tiered.out().iter().map(|run| run.bytes).sum();
    // A quarter of the recording's rate.
    tiered.bytes_per_s_max = Some(bytes / 480);
    tiered.set_up();
    let store = tiered.rig.store();
    let disks = Profile::flash(1 << 40, 3_000, 100_000_000);
    store.guarantee(Some(Guarantee { others_percent: 0, ..Guarantee::on(vec![disks]) })).unwrap();
    let wish = Wish { name: name(CAM), from: Time::MIN, until: None, scale: 1.0 };
    let refused = store.promise(std::slice::from_ref(&wish));
    let Err(Error::Out { back_in: Some(back_in), .. }) = refused else { panic!("{refused:?}") };
    // Three quarters of 480 s, and the part that is shown last comes as a whole.
    assert!((355..=385).contains(&back_in.as_secs()), "{back_in:?}");
    assert!(store.tier_status().unwrap().back.waiting_segments > 3, "it comes from now on");
    // As fast as the disk with the folder.
    tiered.bytes_per_s_max = None;
    tiered.set_up();
    let promise = store.promise(std::slice::from_ref(&wish)).unwrap();
    assert!(promise.starts_in() < Duration::from_secs(11));
    let mut reader = promise.read(&name(CAM), Time::MIN, crate::ReadOptions::default()).unwrap();
    let first = reader.next().unwrap();
    assert!(first.is_some(), "while it is out");
    drop((reader, promise));
    tiered.tend();
    assert_eq!(tiered.segments_out(), 0);
    let store = tiered.rig.store();
    assert_eq!(store.promise(&[wish]).unwrap().streams().count(), 1);
}

#[test]
fn an_index_in_the_next_segment_is_no_obstacle() {
    // As when disks die while a segment is sealed: see the tests of removing.
    let tiered = Tiered::new(&Size::default(), settings());
    tiered.rig.record(CAM, &sample::camera(40, 2_000, 0), 50);
    tiered.rig.disks[2].kill();
    tiered.rig.record(CAM, &sample::camera(40, 2_000, 40), 50);
    let recorded = tiered.all();
    tiered.rig.store().stage_out(&name(CAM), None).unwrap();
    tiered.tend();
    assert!(tiered.segments_out() > 8);
    assert_eq!(tiered.all(), recorded);
    tiered.tend();
    assert_eq!(tiered.all(), recorded);
}

#[test]
fn moving_and_reading_at_once() {
    let mut tiered = Tiered::new(&Size::default(), settings());
    tiered.rig.record(CAM, &sample::camera(60, 2_000, 0), 50);
    let recorded = tiered.all();
    tiered.rig.store.take().unwrap().close().unwrap();
    tiered.rig.store = Some(tiered.rig.open_driven());
    tiered.set_up();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..10 {
                let store = tiered.rig.store();
                store.stage_out(&name(CAM), None).unwrap();
                std::thread::sleep(Duration::from_millis(30));
                store.stage_in(&name(CAM), None).unwrap();
                std::thread::sleep(Duration::from_millis(30));
            }
            over.store(true, Relaxed);
        });
        for _ in 0..2 {
            scope.spawn(|| {
                while !over.load(Relaxed) {
                    assert!(tiered.all() == recorded);
                }
            });
        }
    });
    // All that was asked for is done in the end.
    let store = tiered.rig.store();
    store.stage_in(&name(CAM), None).unwrap();
    let done = |status: &TierStatus| status.back.waiting_bytes + status.out.waiting_bytes == 0;
    for _ in 0..600 {
        if done(&tiered.status()) && tiered.segments_out() == 0 && tiered.files().is_empty() {
            break;
        }
        let _ = store.stage_in(&name(CAM), None);
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!((tiered.segments_out(), tiered.files().len()), (0, 0), "{:?}", tiered.status());
    assert!(tiered.all() == recorded);
    tiered.check();
}
