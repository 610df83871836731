//! After a power cut at any operation the store is what it was at some moment, and everything
//! acknowledged is before that moment.
//!
//! A random workload runs on simulated disks that record every operation. Then for many operations the
//! disks are put into a state that a cut just there might leave - unflushed writes there, missing or
//! torn - and the store is opened and compared with what the model was.

mod common;

use std::sync::Arc;

use common::model::{Model, SegmentModel};
use common::{format, open, report, seed};
use pegasus_base::Time;
use pegasus_disk::{Disk, Op, SimDisk, TearAt};
use pegasus_log::{BlockMap, DiskState, Log, Recovered, Recovery};

/// A model and the operation by which it was acknowledged.
struct Moment {
    acknowledged_op: u64,
    model: Model,
}

/// What happened to a log.
struct History {
    moments: Vec<Moment>,
    /// What the model would have been after batches that were dropped: a block of theirs may be found
    /// where nothing was written since.
    strays: Vec<Model>,
}

impl std::ops::Deref for History {
    type Target = [Moment];

    fn deref(&self) -> &[Moment] {
        &self.moments
    }
}

/// Runs `commits` random commits, and drops some batches between them.
fn run(
    log: &Log,
    disks: &[SimDisk],
    model: Model,
    commits: usize,
    rng: &mut fastrand::Rng,
) -> History {
    let counter = disks[0].counter().clone();
    let mut moments = vec![Moment { acknowledged_op: counter.next_op(), model }];
    let mut strays = Vec::new();
    for _ in 0..commits {
        let mut model = moments.last().unwrap().model.clone();
        let mut batch = log.batch();
        if rng.u8(..4) == 0 {
            let mut stray = model.clone();
            stray.change(&mut batch, rng);
            strays.push(stray);
            drop(batch);
            batch = log.batch();
        }
        model.change(&mut batch, rng);
        log.commit(batch).unwrap();
        moments.push(Moment { acknowledged_op: counter.next_op(), model });
        if rng.u8(..4) == 0 {
            log.checkpoint(Time::from_secs(1_700_000_100)).unwrap();
        }
        if moments[0].model.bulk && rng.u8(..3) == 0 {
            log.clean(rng.u64(..200_000)).unwrap();
        }
    }
    History { moments, strays }
}

/// The disks as a cut before `op` might leave them.
fn cut(disks: &[SimDisk], op: u64, rng: &mut fastrand::Rng) -> Vec<SimDisk> {
    let tear = if rng.bool() { TearAt::Bytes512 } else { TearAt::Bytes4096 };
    let counter = pegasus_disk::OpCounter::new();
    disks.iter().map(|disk| disk.image_at(op, tear, rng).counted_by(&counter)).collect()
}

/// Asserts that what was recovered is one of the moments the cut at `op` allows; that one.
#[track_caller]
fn assert_moment(log: &Log, recovery: &Recovery, history: &History, op: u64) -> Model {
    let moments = &history.moments;
    let last = moments.iter().rposition(|moment| moment.acknowledged_op <= op).unwrap();
    let (before, after) = (&moments[last], moments.get(last + 1));
    let differs = before.model.pnodes_differ(log);
    // Where only blocks were on their way, the pnodes are the same before and after.
    let mut model =
        match (&differs, after.map(|after| (&after.model, after.model.pnodes_differ(log)))) {
            (None, _) => before.model.clone(),
            (Some(_), Some((after, None))) => after.clone(),
            (_, after) => {
                let after = after.map(|(_, differs)| differs);
                panic!("cut at {op}: neither before ({differs:?}) nor after ({after:?})")
            }
        };
    let after = after.map(|moment| &moment.model);
    adopt_tails(log, recovery, &mut model, after, &history.strays);
    model.assert_blocks(log);
    model
}

impl SegmentModel {
    /// Whether this is what became of `before`, and some of it was found.
    fn may_become(&self, before: &Self, found: &Recovered) -> bool {
        let mut pairs = found.blocks.iter().zip(&self.blocks);
        self.segment == before.segment
            && self.blocks.starts_with(&before.blocks)
            && found.blocks.len() <= self.blocks.len()
            && pairs.all(|(block, (map, _))| block.map == *map)
    }
}

/// Asserts that the open segments are the model's, with at least its blocks, and at most those that were
/// on their way, or were once and are not overwritten; takes over the latter.
#[track_caller]
fn adopt_tails(
    log: &Log,
    recovery: &Recovery,
    model: &mut Model,
    after: Option<&Model>,
    strays: &[Model],
) {
    let open: Vec<_> = model.segments.values().filter(|s| s.open).map(|s| s.segment.id).collect();
    let found: Vec<_> = recovery.open_segments.iter().map(|found| found.segment.id).collect();
    assert_eq!(open, found, "other segments are open");
    for found in &recovery.open_segments {
        let segment = model.segments.get_mut(&found.segment.id).unwrap();
        assert_eq!(found.segment, segment.segment);
        assert_eq!(found.owner, common::owner(segment.owner));
        assert!(found.blocks.len() >= segment.blocks.len(), "a durable block is missing");
        let id = segment.segment.id;
        let futures: Vec<&Model> = after.into_iter().chain(strays).collect();
        let mut coming = futures.iter().filter_map(|model| model.segments.get(&id));
        let coming = coming.find(|coming| coming.may_become(segment, found));
        let Some(coming) = coming else {
            if found.blocks.len() > segment.blocks.len() {
                // It was being freed; whatever was appended to it just before may be there.
                let freed = futures.iter().any(|model| !model.segments.contains_key(&id));
                assert!(freed, "a block is there that nobody appended");
            }
            let read = |map: &BlockMap| (map.clone(), log.read_block(map).unwrap().to_vec());
            let more = found.blocks[segment.blocks.len()..].iter().map(|block| read(&block.map));
            segment.blocks.extend(more);
            continue;
        };
        let coming = coming.blocks.clone();
        for (block, (map, bytes)) in found.blocks.iter().zip(&coming) {
            assert_eq!(block.map, *map);
            assert_eq!(block.head, bytes[..bytes.len().min(Log::HEAD_BYTES)]);
        }
        segment.blocks = coming[..found.blocks.len()].to_vec();
    }
}

/// A workload on a new array, in the middle of which as many disks are `added`. All of them record it.
fn run_anew(
    (data, parity, added): (u8, u8, usize),
    bulk: bool,
    commits: usize,
    rng: &mut fastrand::Rng,
) -> (Vec<SimDisk>, History) {
    let count = usize::from(data + parity);
    let disks = SimDisk::array(count + added, 12 << 20, rng.u64(..));
    format(&disks[..count], data, parity, 64 << 10);
    let (log, _) = open(&disks[..count]).unwrap();
    disks.iter().for_each(SimDisk::record);
    let model = Model { bulk, ..Model::new(&log) };
    if added == 0 {
        let history = run(&log, &disks, model, commits, rng);
        return (disks, history);
    }
    let mut history = run(&log, &disks, model, commits / 3, rng);
    for disk in &disks[count..] {
        log.add_disk(Arc::new(disk.clone()), Time::from_secs(1_700_000_001), rng).unwrap();
    }
    let model = history.last().unwrap().model.clone();
    let later = run(&log, &disks, model, commits - commits / 3, rng);
    history.moments.extend(later.moments);
    history.strays.extend(later.strays);
    (disks, history)
}

/// One workload, and cuts all over it.
fn torture(seed: u64, shape: (u8, u8, usize), bulk: bool, cuts: usize) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let (disks, moments) = run_anew(shape, bulk, 30, &mut rng);
    let (first, end) = (moments[0].acknowledged_op, disks[0].counter().next_op());
    for at in 0..cuts {
        let case = seed.wrapping_mul(1_000).wrapping_add(at as u64);
        let mut rng = fastrand::Rng::with_seed(case);
        let op = rng.u64(first..=end);
        let images = cut(&disks, op, &mut rng);
        if at % 5 == 0 {
            check_untouched(&images, &moments, op);
        }
        // The recovery itself is cut too, and once more the one after that.
        let images = recut(&images, &mut rng);
        let (log, recovery) =
            open(&images).unwrap_or_else(|e| panic!("cut at {op}, case {case}: {e}"));
        let model = assert_moment(&log, &recovery, &moments, op);
        let whole = check_recovered(&log, &model);
        if at % 4 == 0 && whole {
            go_on(&log, &images, model, &mut rng);
        }
    }
}

/// What a cut left is sound even before it is opened for writing.
fn check_untouched(images: &[SimDisk], history: &History, op: u64) {
    let (log, recovery) = common::open_read_only(images).unwrap();
    let model = assert_moment(&log, &recovery, history, op);
    let (segments, _) = model.claims();
    let report = common::report(&log, &segments, &[]);
    // Fragments that the cut tore are written anew by the opening, and say so until then.
    let problems = report.problems.iter();
    let wrong: Vec<&String> = problems.filter(|problem| problem.contains("in use")).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Opens the disks and cuts that short, at most twice.
fn recut(images: &[SimDisk], rng: &mut fastrand::Rng) -> Vec<SimDisk> {
    let mut images = images.to_vec();
    for _ in 0..rng.u8(..3) {
        let first = images[0].counter().next_op();
        images.iter().for_each(SimDisk::record);
        drop(open(&images).unwrap());
        let op = rng.u64(first..=images[0].counter().next_op());
        images = cut(&images, op, rng);
    }
    images
}

/// More commits after a recovery, and one more cut.
fn go_on(log: &Log, images: &[SimDisk], model: Model, rng: &mut fastrand::Rng) {
    let first = images[0].counter().next_op();
    images.iter().for_each(SimDisk::record);
    let moments = run(log, images, model, 4, rng);
    let op = rng.u64(first..=images[0].counter().next_op());
    let images = cut(images, op, rng);
    let (log, recovery) = open(&images).unwrap();
    let model = assert_moment(&log, &recovery, &moments, op);
    check_recovered(&log, &model);
}

/// A check finds nothing wrong, except that openings which were cut one after the other, while they wrote
/// superblocks, may leave disks that count as having been away.
fn check_recovered(log: &Log, model: &Model) -> bool {
    let (segments, blocks) = model.claims();
    let report = report(log, &segments, &blocks);
    let mut problems = report.problems.iter();
    let sound = problems.all(|problem| problem.ends_with("is not rebuilt yet"));
    assert!(sound, "{:#?}", report.problems);
    report.ok
}

#[test]
fn any_cut_leaves_some_moment_five_disks() {
    let seed = seed(1);
    for round in 0..6 {
        torture(seed + round, (4, 1, 0), false, 60);
    }
}

#[test]
fn any_cut_leaves_some_moment_mirror() {
    let seed = seed(100);
    for round in 0..5 {
        torture(seed + round, (1, 1, 0), false, 60);
    }
}

#[test]
fn any_cut_leaves_some_moment_without_parity() {
    let seed = seed(200);
    for round in 0..3 {
        torture(seed + round, (3, 0, 0), false, 40);
    }
}

/// Disks are added in the middle, and the cut may come while they are.
#[test]
fn any_cut_leaves_some_moment_while_disks_are_added() {
    let seed = seed(600);
    for (round, shape) in (0..).zip([(4, 1, 1), (1, 1, 1), (2, 1, 2), (3, 0, 1), (1, 1, 2)]) {
        torture(seed + round, shape, round % 2 == 1, 60);
    }
}

/// After the cut as many disks as there is parity are gone, or full of lies: what was acknowledged is there
/// all the same.
fn bad_disks(seed: u64, shape: (u8, u8, usize), bulk: bool) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let (disks, moments) = run_anew(shape, bulk, 25, &mut rng);
    for _ in 0..25 {
        // Between commits: one that is under way may be torn where the disk is bad.
        let moment = &moments[rng.usize(..moments.len())];
        let op = moment.acknowledged_op;
        let mut images = cut(&disks, op, &mut rng);
        let mut bad: Vec<usize> = (0..images.len()).collect();
        while bad.len() > usize::from(shape.1) {
            bad.swap_remove(rng.usize(..bad.len()));
        }
        let mut gone = Vec::new();
        // Often both of them at the same time.
        let earlier = rng.u64(moments[0].acknowledged_op..=op);
        for bad in bad.iter().copied() {
            match rng.u8(..4) {
                0 => gone.push(bad),
                1 => images[bad].spoil(1 << 20..images[bad].size()),
                2 => {
                    // As it was some time before.
                    let again = rng.bool().then(|| rng.u64(moments[0].acknowledged_op..=op));
                    let earlier = again.filter(|_| shape.1 > 1).unwrap_or(earlier);
                    images[bad] = cut(&disks, earlier, &mut rng).swap_remove(bad);
                }
                _ => {
                    let len = 2 << 20;
                    let at = rng.u64(256..(images[bad].size() - len) / 4096) * 4096;
                    images[bad].overwrite(at, &common::payload(rng.u64(..), len as usize));
                }
            }
        }
        let mut given = common::given(&images);
        gone.iter().for_each(|gone| given[*gone].1 = None);
        let (log, recovery) = common::open_given(given, false).unwrap();
        let model = assert_moment(&log, &recovery, &moments, op);
        // What is lost may be missed, but nothing else.
        let (segments, blocks) = model.claims();
        let report = report(&log, &segments, &blocks);
        let labels: Vec<String> = bad.iter().map(|bad| images[*bad].label()).collect();
        assert!(
            report.problems.iter().all(|p| labels.iter().any(|label| p.contains(label))),
            "{labels:?} {:#?}",
            report.problems
        );
    }
}

#[test]
fn a_cut_and_one_bad_disk() {
    let seed = seed(300);
    for round in 0..8 {
        bad_disks(seed + round, (if round % 2 == 0 { 4 } else { 2 }, 1, 0), false);
    }
}

/// It spoke alone for a block that was taken back, and that another had replaced since.
#[test]
fn a_disk_that_went_back_in_time_is_not_trusted_alone() {
    bad_disks(2740, (2, 1, 0), false);
}

/// It kept, alone, a block that was taken back.
#[test]
fn a_disk_that_went_back_in_time_revives_nothing() {
    bad_disks(50, (4, 1, 0), false);
}

/// With long writes, which go into content segments, and the cleaner at work.
#[test]
fn any_cut_leaves_some_moment_with_content_and_cleaning() {
    let seed = seed(400);
    for (round, (data, parity)) in (0..).zip([(4, 1), (1, 1), (2, 1), (3, 0), (4, 2), (1, 2)]) {
        torture(seed + round, (data, parity, 0), true, 50);
    }
}

#[test]
fn a_cut_and_one_bad_disk_with_content_and_cleaning() {
    let seed = seed(500);
    for round in 0..8 {
        bad_disks(seed + round, (if round % 2 == 0 { 4 } else { 2 }, 1, 0), true);
    }
}

#[test]
fn a_cut_and_one_bad_disk_while_disks_are_added() {
    let seed = seed(700);
    for round in 0..8 {
        let data = [4, 2, 1][round as usize % 3];
        bad_disks(seed + round, (data, 1, 1 + round as usize % 2), round % 2 == 0);
    }
}

const TWO_PARITIES: [(u8, u8, usize); 3] = [(4, 2, 0), (2, 2, 0), (1, 2, 0)];

#[test]
fn any_cut_leaves_some_moment_with_two_parities() {
    let seed = seed(800);
    for (round, shape) in (0..).zip(TWO_PARITIES) {
        torture(seed + round, shape, round == 0, 60);
    }
}

#[test]
fn a_cut_and_two_bad_disks() {
    let seed = seed(900);
    for (round, shape) in (0..).zip(TWO_PARITIES.into_iter().cycle().take(9)) {
        bad_disks(seed + round, shape, round >= 6);
    }
}

#[test]
fn a_cut_and_two_bad_disks_while_disks_are_added() {
    let seed = seed(1_000);
    for (round, (data, parity, _)) in (0..).zip(TWO_PARITIES) {
        bad_disks(seed + round, (data, parity, 1 + round as usize % 2), round == 1);
    }
}

/// Openings are cut one after the other while they write their first superblocks: no epoch of theirs began, and
/// no disk was away.
#[test]
fn openings_that_came_to_nothing_leave_no_disk_behind() {
    let seed = seed(1_100);
    for round in 0..20 {
        let mut rng = fastrand::Rng::with_seed(seed + round);
        let (data, parity) = [(4, 1), (2, 2), (1, 1)][round as usize % 3];
        let mut disks = SimDisk::array(usize::from(data + parity), 8 << 20, rng.u64(..));
        format(&disks, data, parity, 64 << 10);
        let (log, _) = open(&disks).unwrap();
        let mut model = Model::new(&log);
        let mut batch = log.batch();
        model.change(&mut batch, &mut rng);
        log.commit(batch).unwrap();
        drop(log);
        for _ in 0..4 {
            disks.iter().for_each(SimDisk::record);
            drop(open(&disks).unwrap());
            let ops: Vec<_> = disks.iter().flat_map(SimDisk::ops).collect();
            let first =
                |op: Op| ops.iter().filter(|record| record.op == op).map(|r| r.number).min();
            let (from, to) = (first(Op::Write).unwrap(), first(Op::Flush).unwrap());
            disks = cut(&disks, rng.u64(from..=to), &mut rng);
        }
        let (log, recovery) = open(&disks).unwrap();
        let states: Vec<_> = log.status().disks.iter().map(|disk| disk.state).collect();
        assert!(states.iter().all(|s| *s == DiskState::Ok), "{states:?}: {:?}", recovery.problems);
        assert_eq!(model.pnodes_differ(&log), None);
    }
}
