//! Schedules on small files. What is counted is looked at; nothing is said of how quick the machine is.

mod common;

use std::fs::File;
use std::path::PathBuf;

use common::{DISKS, files, knobs, profile, shape};
use pegasus_mitra::{
    Arrivals, Degraded, Knobs, Outcome, Scheduler, Workload, Zoning, simulate, simulate_on,
};
use pegasus_trial::{RealDisks, TrialError};

fn workload(periods: u64) -> Workload {
    let arrivals = Arrivals::Closed { viewers: 12 };
    let (fails, objects, work_ahead) = (None, None, None);
    let shares = vec![2.0, 1.0];
    Workload { arrivals, shares, blocks: 5, periods, seed: 5, fails, objects, work_ahead }
}

fn run(disks: &mut RealDisks, knobs: Knobs, periods: u64) -> Outcome {
    let scheduler = Scheduler::new(shape(knobs)).unwrap();
    simulate_on(scheduler, disks, &workload(periods), |_| {})
}

fn open(paths: &[PathBuf], knobs: Knobs) -> Result<RealDisks, TrialError> {
    RealDisks::open(paths, &shape(knobs), &[profile()])
}

fn why(paths: &[PathBuf], knobs: Knobs) -> String {
    open(paths, knobs).map(drop).unwrap_err().to_string()
}

#[test]
fn everything_that_is_asked_for_is_read_and_counted() {
    let (_folder, paths) = files(DISKS);
    let mut disks = open(&paths, knobs()).unwrap();
    let found = run(&mut disks, knobs(), 30);
    assert!(found.blocks > 100, "{found:?}");
    assert_eq!((found.unread, found.unreadable), (0, 0));
    // Blocks of the wider medium are two reads.
    let reads: u64 = disks.disks().iter().map(|disk| disk.reads).sum();
    assert!(reads > found.blocks && reads < found.blocks * 2, "{reads} of {}", found.blocks);
    assert!(disks.failures().is_empty() && found.busy > 0.0);
    assert!(found.margins.of_permille(500).is_some());
}

/// The same wishes come at the same times, whatever the disks are; only who comes when somebody's last block was there may be told later.
#[test]
fn who_comes_is_who_would_have_come_in_the_simulation() {
    let (_folder, paths) = files(DISKS);
    let workload = Workload { blocks: 60, ..workload(40) };
    let scheduler = || Scheduler::new(shape(knobs())).unwrap();
    let simulated = simulate(scheduler(), &[profile()], &workload, |_| {});
    let mut disks = open(&paths, knobs()).unwrap();
    let found = simulate_on(scheduler(), &mut disks, &workload, |_| {});
    assert_eq!(found.startups_ns, simulated.startups_ns);
    assert_eq!((found.playing_max, found.admitted), (simulated.playing_max, simulated.admitted));
    assert_eq!(found.held_bytes, simulated.held_bytes);
}

#[test]
fn a_disk_that_fails_in_the_schedule_is_not_read_any_more() {
    let (_folder, paths) = files(DISKS);
    let kept = Knobs { degraded: Degraded::Keep, ..knobs() };
    let scheduler = Scheduler::new(shape(kept)).unwrap();
    let workload = Workload { fails: Some((1, 1)), ..workload(30) };
    let mut disks = open(&paths, kept).unwrap();
    let found = simulate_on(scheduler, &mut disks, &workload, |_| {});
    let reads: Vec<u64> = disks.disks().iter().map(|disk| disk.reads).collect();
    assert!(reads[1] * 5 < reads[0] && reads[1] * 5 < reads[2], "{reads:?}");
    assert_eq!((found.unread, found.shed), (0, 0));
}

#[test]
fn who_stops_it_is_told_what_was_found_so_far() {
    let (_folder, paths) = files(DISKS);
    let mut disks = open(&paths, knobs()).unwrap();
    let stopper = disks.stopper();
    // An hour, unless it is stopped.
    let workload = workload(180_000);
    let scheduler = Scheduler::new(shape(knobs())).unwrap();
    let mut calls = 0;
    let found = simulate_on(scheduler, &mut disks, &workload, |_| {
        calls += 1;
        if calls == 20 {
            stopper.stop();
        }
    });
    assert!((20..30).contains(&calls));
    assert!(found.playing_max > 0 && found.playing_mean > 0.0);
    assert!(found.blocks < 20 * 12 * 2, "{}", found.blocks);
}

#[test]
fn reads_that_fail_are_told_with_path_and_offset() {
    let (_folder, paths) = files(DISKS);
    let mut disks = open(&paths, knobs()).unwrap();
    File::options().write(true).open(&paths[1]).unwrap().set_len(0).unwrap();
    let found = run(&mut disks, knobs(), 20);
    let failed: Vec<u64> = disks.disks().iter().map(|disk| disk.failed_reads).collect();
    assert!(failed[1] > 0 && failed[0] + failed[2] == 0, "{failed:?}");
    assert!(found.unread > 0 && found.unread <= found.hiccups && found.unread < found.blocks);
    let sentence = disks.failures()[0].to_string();
    assert!(sentence.contains("disk1") && sentence.contains("at offset"), "{sentence}");
    assert!(disks.failures().len() <= 8);
}

#[test]
fn what_can_not_be_tried_is_refused_with_what_to_do() {
    let (folder, paths) = files(DISKS);
    assert!(why(&paths[..2], knobs()).contains("is for 3 disks and 2 are named"));
    let twice = [paths[0].clone(), paths[1].clone(), folder.path().join("./disk0")];
    assert!(why(&twice, knobs()).contains("named twice"));
    let of_folder = [paths[0].clone(), paths[1].clone(), folder.path().to_owned()];
    assert!(why(&of_folder, knobs()).contains("it is a folder"));
    let none = [paths[0].clone(), paths[1].clone(), folder.path().join("none")];
    assert!(why(&none, knobs()).contains("none can't be opened"));
    let long = Knobs { period_ns: 60_000_000_000, ..knobs() };
    assert!(why(&paths, long).contains("ask for shorter blocks"));
    File::options().write(true).open(&paths[2]).unwrap().set_len(1 << 20).unwrap();
    let short = why(&paths, knobs());
    assert!(short.contains("disk2") && short.contains("disk profile"), "{short}");
}

#[test]
fn who_reads_what_was_never_written_is_told_so() {
    let (_folder, paths) = files(DISKS);
    let disks = open(&paths, Knobs { zones: 1, zoning: Zoning::Fixb, ..knobs() }).unwrap();
    let remarks = disks.remarks().join("\n");
    assert!(remarks.contains("share the time"), "{remarks}");
    for path in &paths {
        std::fs::write(path, vec![1; 8 << 20]).unwrap();
        File::open(path).unwrap().sync_all().unwrap();
    }
    let written = open(&paths, knobs()).unwrap();
    assert!(written.disks().iter().all(|disk| disk.data_bytes == disk.size_bytes));
    assert!(!written.remarks().join("\n").contains("ever written"));
}
