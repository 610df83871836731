//! Disks are added: new stripes use them, and a crash leaves the array with the disk or without it.

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;

use common::model::{Model, assert_whole, commit_some};
use common::{format, given, open, open_given, owner, seed};
use pegasus_base::Time;
use pegasus_disk::{Fault, OpCounter, SimDisk, TearAt, Trigger};
use pegasus_log::{DiskIndex, DiskState, Log, LogError, Recovery};

fn add(log: &Log, disk: &SimDisk, rng: &mut fastrand::Rng) -> Result<DiskIndex, LogError> {
    // Another time than that of any opening, by which the two are told apart.
    log.add_disk(Arc::new(disk.clone()), Time::from_secs(1_700_000_001), rng)
}

fn free_slots(log: &Log) -> Vec<u32> {
    log.status().disks.iter().map(|disk| disk.free_slots).collect()
}

#[test]
fn new_stripes_use_an_added_disk_and_as_many_may_still_be_lost() {
    let seed = seed(1);
    for round in 0..10 {
        let mut rng = fastrand::Rng::with_seed(seed + round);
        let shapes = [(4, 1), (1, 1), (2, 1), (4, 2), (1, 2), (2, 2)];
        let (data, parity) = shapes[round as usize % shapes.len()];
        let mut disks = SimDisk::array(usize::from(data + parity), 12 << 20, rng.u64(..));
        format(&disks, data, parity, 64 << 10);
        let (log, _) = open(&disks).unwrap();
        let mut model = Model::new(&log);
        commit_some(&log, &mut model, 20, &mut rng);
        for number in 0..rng.usize(1..4) {
            let before = log.status();
            let size = (8 << 20) + rng.u64(..8) * (1 << 20);
            let new = SimDisk::new(&format!("new{number}"), size).counted_by(disks[0].counter());
            let index = add(&log, &new, &mut rng).unwrap();
            disks.push(new);
            assert_eq!(usize::from(index.0), disks.len() - 1);
            let after = log.status();
            assert!(after.capacity_bytes > before.capacity_bytes);
            assert!(after.free_bytes > before.free_bytes);
            assert_eq!((after.data, after.parity), (data, parity), "stripes are as wide as before");
            commit_some(&log, &mut model, 10, &mut rng);
        }
        assert_whole(&log, &model);
        drop(log);
        go_on(&disks, &mut model, &mut rng);
        let (log, _) = open(&disks).unwrap();
        assert_whole(&log, &model);
        // Segments go to the emptiest disks, so that all fill evenly.
        let mut batch = log.batch();
        let mut used = BTreeSet::new();
        for _ in 0..disks.len() {
            let segment = batch.open_segment(owner(1), data).unwrap();
            assert_eq!(segment.columns.len(), usize::from(data + parity));
            used.extend(segment.columns.iter().map(|column| column.disk));
        }
        drop(batch);
        let most = free_slots(&log).into_iter().enumerate().max_by_key(|(_, free)| *free);
        assert!(used.contains(&DiskIndex(most.unwrap().0 as u16)));
        drop(log);
        for lost in 0..disks.len() {
            let mut given = given(&disks);
            given[lost].1 = None;
            if parity == 2 {
                given[(lost + 1 + rng.usize(..2)) % disks.len()].1 = None;
            }
            let (log, _) = open_given(given, true).unwrap();
            assert_eq!(model.pnodes_differ(&log), None);
            model.assert_blocks(&log);
        }
    }
}

/// Opens the array with its disks in another order, and goes on.
fn go_on(disks: &[SimDisk], model: &mut Model, rng: &mut fastrand::Rng) {
    let mut offered = given(disks);
    rng.shuffle(&mut offered);
    let (log, recovery) = open_given(offered, false).unwrap();
    assert_eq!(recovery.problems, [""; 0]);
    assert!(log.status().disks.iter().all(|disk| disk.state == DiskState::Ok));
    commit_some(&log, model, 5, rng);
}

#[test]
fn an_added_disk_that_dies_is_replaced_like_any() {
    let mut rng = fastrand::Rng::with_seed(seed(2));
    let mut disks = SimDisk::array(3, 8 << 20, rng.u64(..));
    format(&disks, 2, 1, 64 << 10);
    let (log, _) = open(&disks).unwrap();
    let mut model = Model::new(&log);
    commit_some(&log, &mut model, 8, &mut rng);
    let new = SimDisk::new("new", 8 << 20).counted_by(disks[0].counter());
    add(&log, &new, &mut rng).unwrap();
    commit_some(&log, &mut model, 8, &mut rng);
    new.kill();
    log.probe();
    assert_eq!(log.status().disks[3].state, DiskState::Failed);
    commit_some(&log, &mut model, 8, &mut rng);
    assert_eq!(model.pnodes_differ(&log), None);
    model.assert_blocks(&log);
    let other = SimDisk::new("other", 8 << 20).counted_by(disks[0].counter());
    log.replace_disk(DiskIndex(3), Arc::new(other.clone()), common::NOW, &mut rng).unwrap();
    disks.push(other);
    drop(log);
    let (log, _) = open(&disks).unwrap();
    assert_eq!(log.status().disks[3].state, DiskState::Rebuilding);
    assert_eq!(model.pnodes_differ(&log), None);
    model.assert_blocks(&log);
}

#[test]
fn what_can_not_be_added_changes_nothing() {
    let mut rng = fastrand::Rng::with_seed(3);
    let disks = SimDisk::array(3, 8 << 20, 3);
    format(&disks, 2, 1, 64 << 10);
    let (log, _) = open(&disks).unwrap();
    let mut model = Model::new(&log);
    commit_some(&log, &mut model, 8, &mut rng);
    let dead = SimDisk::new("dead", 8 << 20);
    dead.inject(Fault::WriteError, Trigger::Once { from_op: 5 });
    for disk in [&SimDisk::new("small", 1 << 20), &dead] {
        let error = add(&log, disk, &mut rng).unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, LogError::CantAdd { .. }), "{text}");
        assert!(text.contains(if std::ptr::eq(disk, &dead) { "dead" } else { "small" }), "{text}");
    }
    assert_eq!(log.status().disks.len(), 3);
    commit_some(&log, &mut model, 2, &mut rng);
    assert_whole(&log, &model);
}

/// Opens what a cut left, with or without the new disk.
fn reopen(cut: &[SimDisk], with_new: bool) -> (Log, Recovery) {
    let count = if with_new { cut.len() } else { cut.len() - 1 };
    open(&cut[..count]).unwrap()
}

#[test]
fn a_crash_while_a_disk_is_added_leaves_the_array_with_it_or_without() {
    let seed = seed(4);
    for (round, parity) in [(0, 1), (1, 2), (2, 0)] {
        let mut rng = fastrand::Rng::with_seed(seed + round);
        let disks = SimDisk::array(4, 8 << 20, rng.u64(..));
        format(&disks[..3], 3 - parity, parity, 64 << 10);
        let (log, _) = open(&disks[..3]).unwrap();
        let mut model = Model::new(&log);
        commit_some(&log, &mut model, 8, &mut rng);
        disks.iter().for_each(SimDisk::record);
        let from = disks[0].counter().next_op();
        add(&log, &disks[3], &mut rng).unwrap();
        let to = disks[0].counter().next_op();
        drop(log);
        let mut sizes = BTreeSet::new();
        for op in from..=to {
            for with_new in [true, false] {
                let counter = OpCounter::new();
                let image = |disk: &SimDisk| {
                    disk.image_at(op, TearAt::Bytes512, &mut rng).counted_by(&counter)
                };
                let cut: Vec<SimDisk> = disks.iter().map(image).collect();
                // Without parity an array can't do without one that it knows of.
                let may_fail = parity == 0 && !with_new;
                if may_fail && open(&cut[..3]).is_err() {
                    assert!(open(&cut).unwrap().0.status().disks.len() == 4, "cut at {op}");
                    continue;
                }
                let (log, _) = reopen(&cut, with_new);
                let count = log.status().disks.len();
                sizes.insert(count);
                let mut seen = model.clone();
                assert_eq!(seen.pnodes_differ(&log), None, "cut at {op}");
                seen.assert_blocks(&log);
                commit_some(&log, &mut seen, 2, &mut rng);
                drop(log);
                // What was decided stays so, whatever the disk that was half added says.
                let (log, recovery) = reopen(&cut, true);
                assert_eq!(log.status().disks.len(), count, "cut at {op}: {:?}", recovery.problems);
                assert_eq!(seen.pnodes_differ(&log), None, "cut at {op}");
                seen.assert_blocks(&log);
                if count == 3 {
                    add(&log, &cut[3], &mut rng).unwrap();
                }
                commit_some(&log, &mut seen, 2, &mut rng);
                assert_eq!(seen.pnodes_differ(&log), None, "cut at {op}");
                drop(log);
                let (log, _) = reopen(&cut, true);
                assert_eq!(log.status().disks.len(), 4);
                assert_eq!(seen.pnodes_differ(&log), None, "cut at {op}");
                seen.assert_blocks(&log);
            }
        }
        assert_eq!(sizes.len(), 2, "both outcomes are met");
    }
}
