//! Power cuts while segments go out and come back: whatever the cut, all that was recorded is there, on the disks or in the
//! tier, and what is left over in the tier is found.
//!
//! `PEGASUS_SEED=n` replays one run.

use std::path::{Path, PathBuf};

use pegasus_base::Time;
use pegasus_disk::{SimDisk, TearAt};
use pegasus_media::Unit;

use super::tier::{Tiered, collect};
use super::{Rig, Size, name, settings, units};
use crate::sample;

const CAM: &str = "/cam/door";

/// What the folder held, from an operation of the disks on. Objects are deleted behind all commits of a turn, so that a cut within one
/// meets what was there before and what was written since.
struct Moment {
    op: u64,
    objects: PathBuf,
}

fn copy(from: &Path, to: &Path) {
    let mut files = Vec::new();
    collect(from, &mut files);
    std::fs::create_dir_all(to).unwrap();
    for file in files {
        let target = to.join(file.strip_prefix(from).unwrap());
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::copy(&file, &target).unwrap();
    }
}

fn seeds(count: u64) -> std::ops::Range<u64> {
    match std::env::var("PEGASUS_SEED").ok().and_then(|seed| seed.parse().ok()) {
        Some(seed) => seed..seed + 1,
        None => 0..count,
    }
}

fn next_op(rig: &Rig) -> u64 {
    rig.disks[0].counter().next_op()
}

/// Moves segments about at random, and keeps what the folder held in between.
fn shuffle(tiered: &Tiered, rng: &mut fastrand::Rng) -> Vec<Moment> {
    let mut moments = Vec::new();
    let mut note = |op| {
        let objects = tiered.folder.path().join(format!("moment{}", moments.len()));
        copy(&tiered.objects(), &objects);
        moments.push(Moment { op, objects });
    };
    let store = tiered.rig.store();
    note(next_op(&tiered.rig));
    for turn in 0..8 {
        let from = rng.i64(0..40_000);
        let range = pegasus_base::TimeRange::new(sample::at(from), sample::at(from + 25_000));
        if rng.bool() {
            store.stage_out(&name(CAM), Some(range)).unwrap();
        } else {
            store.stage_in(&name(CAM), Some(range)).unwrap();
        }
        if turn == 3 {
            store.request_checkpoint();
        }
        store.tend_tier().unwrap();
        note(next_op(&tiered.rig));
        store.flush().unwrap();
    }
    moments
}

/// The rig as a power cut before operation `op` leaves it, with the folder as it was.
fn cut(tiered: &Tiered, moments: &[Moment], op: u64, rng: &mut fastrand::Rng) -> Tiered {
    let image = |disk: &SimDisk| disk.image_at(op, TearAt::Bytes512, rng);
    let rig = Rig {
        disks: tiered.rig.disks.iter().map(image).collect(),
        clock: tiered.rig.clock.clone(),
        settings: tiered.rig.settings.clone(),
        store: None,
    };
    let folder = tempfile::tempdir().unwrap();
    let behind = moments.partition_point(|moment| moment.op <= op);
    for moment in &moments[behind.saturating_sub(1)..moments.len().min(behind + 1)] {
        copy(&moment.objects, &folder.path().join("objects"));
    }
    let (rule, bytes_per_s_max) = (tiered.rule.clone(), None);
    Tiered { rig, folder, rule, bytes_per_s_max }
}

#[test]
fn a_power_cut_while_segments_are_moved_loses_nothing() {
    for seed in seeds(6) {
        let mut rng = fastrand::Rng::with_seed(seed);
        let tiered = Tiered::new(&Size::default(), settings());
        tiered.rig.record(CAM, &sample::camera(60, 2_000, 0), 50);
        let recorded: Vec<Unit> = units(&tiered.rig.read(CAM, Time::MIN, None));
        let begin = next_op(&tiered.rig);
        tiered.rig.disks.iter().for_each(SimDisk::record);
        let moments = shuffle(&tiered, &mut rng);
        let end = next_op(&tiered.rig);
        for _ in 0..12 {
            let op = rng.u64(begin..=end);
            let mut after = cut(&tiered, &moments, op, &mut rng);
            after.rig.open();
            after.set_up();
            let there = units(&after.rig.read(CAM, Time::MIN, None));
            assert!(there == recorded, "seed {seed}, cut at {op}: {} units", there.len());
            // Reading has asked for all that is out; with that back, no object is needed any more.
            let store = after.rig.store();
            store.stage_in(&name(CAM), None).unwrap();
            store.tend_tier().unwrap();
            let status = store.tier_status().unwrap();
            assert_eq!((status.missing_objects, status.unknown_objects), (0, 0), "seed {seed}");
            let mut left = Vec::new();
            collect(&after.objects(), &mut left);
            left.retain(|file| file.extension().is_some_and(|end| end == "pgs"));
            assert_eq!(left, [] as [PathBuf; 0], "seed {seed}, cut at {op}");
            after.rig.store.take().unwrap().close().unwrap();
            let report = after.rig.report();
            assert!(report.problems.is_empty(), "seed {seed}, cut at {op}: {:#?}", report.problems);
        }
    }
}
