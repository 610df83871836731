//! Random operations against a plain model, with flushes and crashes between them.

mod common;

use common::model::{Model, is_moment, step};
use common::{format, open_log, open_with, seed};
use pegasus_disk::{SimDisk, TearAt};
use pegasus_files::{Settings, check};

/// Settings under which much is flushed by pressure.
fn tight() -> Settings {
    Settings { pending_bytes_max: 300 << 10, ..Settings::default() }
}

#[test]
fn a_volume_does_what_the_model_does_and_survives_crashes() {
    let seed = seed(1);
    for seed in seed..seed + 12 {
        run(seed);
    }
}

fn run(seed: u64) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut disks = SimDisk::array(3, 48 << 20, seed);
    format(&disks, 256 << 10);
    let mut log = open_log(&disks);
    let mut files = open_with(&log, tight());
    let mut model = Model::new(files.root());
    for round in 0..6 {
        // What the volume may be found as: as it was at the last sync, or after any operation since.
        let mut since = vec![model.clone()];
        for _ in 0..rng.usize(20..150) {
            step(&files, &mut model, &mut rng);
            since.push(model.clone());
            match rng.u8(..40) {
                0 => {
                    files.sync().unwrap();
                    since = vec![model.clone()];
                }
                1 => log.checkpoint(common::NOW).unwrap(),
                _ => {}
            }
        }
        assert_eq!(Model::read(&files), model, "seed {seed}, round {round}");
        let crashed: Vec<SimDisk> =
            disks.iter().map(|disk| disk.crash(TearAt::Bytes512, &mut rng)).collect();
        disks = crashed;
        std::mem::forget(files); // it must not flush any more
        log = open_log(&disks);
        files = open_with(&log, tight());
        if rng.bool() {
            files.finish_removals().unwrap(); // of snapshots
        }
        files.finish_counting().unwrap(); // for quotas
        let found = Model::read(&files);
        assert!(is_moment(&since, &found), "seed {seed}, round {round}: the state of no moment");
        files.sync().unwrap();
        assert_eq!(check(&log), Vec::<String>::new(), "seed {seed}, round {round}");
        model = found;
    }
}

/// Power is cut in the middle of flushes and checkpoints: before any request to any disk.
#[test]
fn a_cut_at_any_request_leaves_the_state_of_some_moment() {
    let seed = seed(50);
    for seed in seed..seed + 4 {
        cut(seed);
    }
}

fn cut(seed: u64) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let disks = SimDisk::array(3, 48 << 20, seed);
    format(&disks, 256 << 10);
    let log = open_log(&disks);
    let files = open_with(&log, tight());
    let mut model = Model::new(files.root());
    disks.iter().for_each(SimDisk::record);
    let requests = || disks[0].counter().next_op();
    let first = requests();
    // The state after each operation, and of those that were synced when: their number and the request
    // that came next.
    let (mut states, mut synced) = (vec![model.clone()], vec![(0, first)]);
    for _ in 0..200 {
        step(&files, &mut model, &mut rng);
        states.push(model.clone());
        match rng.u8(..12) {
            0 => {
                files.sync().unwrap();
                synced.push((states.len() - 1, requests()));
            }
            1 => log.checkpoint(common::NOW).unwrap(),
            _ => {}
        }
    }
    let last = requests();
    for _ in 0..25 {
        let at = rng.u64(first..=last);
        let found: Vec<SimDisk> =
            disks.iter().map(|disk| disk.image_at(at, TearAt::Bytes512, &mut rng)).collect();
        let log = open_log(&found);
        let files = open_with(&log, tight());
        files.finish_counting().unwrap();
        let (oldest, _) = *synced.iter().rev().find(|(_, request)| *request <= at).unwrap();
        let read = Model::read(&files);
        assert_eq!(check(&log), Vec::<String>::new(), "seed {seed}, request {at}");
        assert!(is_moment(&states[oldest..], &read), "seed {seed}, request {at}: no such moment");
    }
}
