//! A disk is replaced and rebuilt, damage is found and repaired, and a disk that was away catches up.

mod common;

use std::sync::{Arc, Mutex};

use common::model::{Model, assert_whole, commit_some};
use common::{format, given, open, open_given, owner, payload, seed};
use pegasus_base::Time;
use pegasus_disk::{Disk, DiskError, DiskStats, Op, Request, SimDisk, TearAt, Ticket};
use pegasus_log::{
    DiskIndex, DiskState, Listed, Log, LogError, Mended, Owners, Pass, Position, Scope,
};

/// The sealed segments of a model, as if its owner kept them in the log.
struct Sealed<'a>(&'a Mutex<Model>);

impl Owners for Sealed<'_> {
    fn list(&self, _: &Log, from: Position) -> Result<(Vec<Listed>, Option<Position>), LogError> {
        let model = self.0.lock().unwrap();
        let sealed = model.segments.values().filter(|segment| !segment.open);
        let mut behind = sealed.filter(|segment| segment.segment.id.0 >= from.record);
        let listed = behind.by_ref().take(3).map(|segment| Listed {
            segment: segment.segment.clone(),
            whose: "a test".to_owned(),
            last: segment.blocks.last().map(|(map, _)| map.seq),
        });
        let listed: Vec<Listed> = listed.collect();
        let next = behind.next().map(|next| Position { list: 0, record: next.segment.id.0 });
        Ok((listed, next))
    }
}

/// Goes over everything at once.
fn mend(log: &Log, model: &Mutex<Model>, scope: Scope) -> Mended {
    let mut pass = Pass::new(scope);
    while !pass.is_over() {
        pass.step(log, &Sealed(model), &mut |_| true).unwrap();
    }
    pass.mended().clone()
}

/// Rebuilds what has to be, with commits between the steps.
fn rebuild(log: &Log, model: &Mutex<Model>, commits: usize, rng: &mut fastrand::Rng) -> Mended {
    let disks = log.rebuilding();
    let mut pass = Pass::new(Scope::Disks(disks.iter().map(|(index, _)| *index).collect()));
    while !pass.is_over() {
        pass.step(log, &Sealed(model), &mut |_| true).unwrap();
        commit_some(log, &mut model.lock().unwrap(), commits, rng);
    }
    log.rebuilt(&disks).unwrap();
    pass.mended().clone()
}

fn states(log: &Log) -> Vec<DiskState> {
    log.status().disks.iter().map(|disk| disk.state).collect()
}

/// Rebuilds and replaces under load, `count` disks that went one after the other.
fn replace_under_load(data: u8, parity: u8, count: usize, rng: &mut fastrand::Rng) {
    let mut disks = SimDisk::array(usize::from(data + parity), 12 << 20, rng.u64(..));
    format(&disks, data, parity, 64 << 10);
    let (log, _) = open(&disks).unwrap();
    let model = Mutex::new(Model::new(&log));
    commit_some(&log, &mut model.lock().unwrap(), 20, rng);
    let mut gone: Vec<usize> = (0..disks.len()).collect();
    rng.shuffle(&mut gone);
    let left = gone.split_off(count);
    for at in &gone {
        disks[*at].kill();
        if rng.bool() {
            log.probe();
            commit_some(&log, &mut model.lock().unwrap(), 4, rng);
        }
    }
    log.probe();
    commit_some(&log, &mut model.lock().unwrap(), 8, rng);
    let mut together = rng.bool();
    let mut unprotected = 0;
    for at in &gone {
        let new = SimDisk::new(&format!("new{at}"), (12 << 20) + rng.u64(..3) * 4096);
        let new = new.counted_by(disks[0].counter());
        replace(&log, *at, &new, rng).unwrap();
        disks[*at] = new;
        assert_eq!(states(&log)[*at], DiskState::Rebuilding);
        together &= at != gone.last().unwrap();
        if together {
            continue;
        }
        let mended = rebuild(&log, &model, 2, rng);
        assert_eq!((mended.lost, mended.refused), (0, 0), "{:?}", mended.problems);
        unprotected = mended.unprotected;
    }
    let model = model.into_inner().unwrap();
    assert!(states(&log).iter().all(|state| *state == DiskState::Ok));
    assert_whole(&log, &model);
    drop(log);
    if usize::from(data + parity) - count <= usize::from(parity) {
        // What was taken with too few disks has less parity to this day, and is counted.
        assert!(unprotected > 0 || data > 1);
        return;
    }
    assert_eq!(unprotected, 0);
    // Now any others may go.
    let mut given = given(&disks);
    left.iter().chain(&gone).take(parity.into()).for_each(|at| given[*at].1 = None);
    let (log, _) = open_given(given, true).unwrap();
    assert_eq!(model.pnodes_differ(&log), None);
    model.assert_blocks(&log);
}

fn replace(log: &Log, at: usize, disk: &SimDisk, rng: &mut fastrand::Rng) -> Result<(), LogError> {
    let index = DiskIndex(at as u16);
    // Another time than that of any opening, by which the two are told apart.
    let now = Time::from_secs(1_700_000_001);
    log.replace_disk(index, Arc::new(disk.clone()), now, rng).map(|_| ())
}

#[test]
fn a_replaced_disk_is_rebuilt_under_load() {
    let seed = seed(1);
    for round in 0..24 {
        let mut rng = fastrand::Rng::with_seed(seed + round);
        let (data, parity) = [(4, 1), (1, 1), (2, 1)][rng.usize(..3)];
        replace_under_load(data, parity, 1, &mut rng);
    }
}

#[test]
fn two_disks_are_replaced_and_rebuilt_under_load() {
    let seed = seed(101);
    for round in 0..18 {
        let mut rng = fastrand::Rng::with_seed(seed + round);
        let (data, parity) = [(4, 2), (1, 2), (2, 2)][round as usize % 3];
        replace_under_load(data, parity, 2, &mut rng);
    }
}

#[test]
fn a_crash_while_a_disk_is_replaced_or_rebuilt_leaves_the_old_or_the_new() {
    let seed = seed(2);
    for round in 0..6 {
        let mut rng = fastrand::Rng::with_seed(seed + round);
        let disks = SimDisk::array(4, 8 << 20, rng.u64(..));
        format(&disks[..3], 2, 1, 64 << 10);
        let (log, _) = open(&disks[..3]).unwrap();
        let model = Mutex::new(Model::new(&log));
        commit_some(&log, &mut model.lock().unwrap(), 12, &mut rng);
        let at = rng.usize(..3);
        disks[at].kill();
        log.probe();
        log.checkpoint(common::NOW).unwrap();
        let living = disks.iter().filter(|disk| disk.label() != disks[at].label());
        let living: Vec<SimDisk> = living.cloned().collect();
        living.iter().for_each(SimDisk::record);
        let from = disks[0].counter().next_op();
        replace(&log, at, &disks[3], &mut rng).unwrap();
        rebuild(&log, &model, 0, &mut rng);
        let to = disks[0].counter().next_op();
        drop(log);
        for _ in 0..25 {
            let op = rng.u64(from..=to);
            let counter = pegasus_disk::OpCounter::new();
            let image =
                |disk: &SimDisk| disk.image_at(op, TearAt::Bytes512, &mut rng).counted_by(&counter);
            let cut: Vec<SimDisk> = living.iter().map(image).collect();
            let mut offered = given(&cut);
            offered.push((disks[at].label(), None));
            let (log, _) = open_given(offered, false).unwrap();
            let mut seen = model.lock().unwrap().clone();
            assert_eq!(seen.pnodes_differ(&log), None, "cut at {op}");
            seen.assert_blocks(&log);
            let vacant = [DiskState::Failed, DiskState::Missing].contains(&states(&log)[at]);
            if vacant {
                replace(&log, at, &SimDisk::new("another", 8 << 20).counted_by(&counter), &mut rng)
                    .unwrap();
            }
            commit_some(&log, &mut seen, 2, &mut rng);
            let seen = Mutex::new(seen);
            rebuild(&log, &seen, 1, &mut rng);
            assert!(states(&log).iter().all(|state| *state == DiskState::Ok), "cut at {op}");
            assert_whole(&log, &seen.into_inner().unwrap());
        }
    }
}

#[test]
fn a_rebuild_that_was_under_way_is_remembered_and_the_old_disk_refused() {
    let mut rng = fastrand::Rng::with_seed(3);
    let mut disks = SimDisk::array(3, 8 << 20, 3);
    format(&disks, 2, 1, 64 << 10);
    let (log, _) = open(&disks).unwrap();
    let model = Mutex::new(Model::new(&log));
    commit_some(&log, &mut model.lock().unwrap(), 20, &mut rng);
    let old = disks[1].fork();
    disks[1].kill();
    log.probe();
    let small = SimDisk::new("small", 4 << 20);
    for (disk, at) in [(&small, 1), (&disks[0].fork(), 0), (&small, 7)] {
        let error = replace(&log, at, disk, &mut rng).unwrap_err();
        assert!(matches!(error, LogError::CantReplace { .. }), "{error}");
    }
    let new = SimDisk::new("new", 8 << 20);
    replace(&log, 1, &new, &mut rng).unwrap();
    let mut pass = Pass::new(Scope::Disks([DiskIndex(1)].into()));
    pass.step(&log, &Sealed(&model), &mut |_| true).unwrap();
    drop(log);
    disks[1] = new;
    let mut offered = given(&disks);
    offered.insert(0, ("old".to_owned(), Some(Arc::new(old.clone()))));
    let (log, recovery) = open_given(offered, false).unwrap();
    assert!(recovery.remarks.iter().any(|r| r.contains("disk old was replaced")), "{recovery:?}");
    assert_eq!(states(&log), [DiskState::Ok, DiskState::Rebuilding, DiskState::Ok]);
    rebuild(&log, &model, 1, &mut rng);
    assert_whole(&log, &model.lock().unwrap());
    drop(log);
    // Alone with the others it is no member any more either, and not taken for one that was away.
    let mut without_new = given(&disks);
    without_new[1] = ("old".to_owned(), Some(Arc::new(old)));
    let (log, _) = open_given(without_new, true).unwrap();
    assert_eq!(states(&log)[1], DiskState::Missing);
}

#[test]
fn a_disk_that_was_away_catches_up() {
    let mut rng = fastrand::Rng::with_seed(4);
    let disks = SimDisk::array(3, 12 << 20, 4);
    format(&disks, 2, 1, 64 << 10);
    let (log, _) = open(&disks).unwrap();
    let model = Mutex::new(Model::new(&log));
    commit_some(&log, &mut model.lock().unwrap(), 15, &mut rng);
    drop(log);
    let mut offered = given(&disks);
    offered[2].1 = None;
    let (log, _) = open_given(offered, false).unwrap();
    commit_some(&log, &mut model.lock().unwrap(), 15, &mut rng);
    drop(log);
    let (log, _) = open(&disks).unwrap();
    assert_eq!(states(&log)[2], DiskState::Rebuilding);
    let mended = rebuild(&log, &model, 1, &mut rng);
    assert_eq!(mended.lost, 0, "{mended:?}");
    assert_whole(&log, &model.lock().unwrap());
    drop(log);
    assert!(open(&disks).unwrap().1.problems.is_empty());
}

/// Flips each kind of bit there is, and scrubs.
#[test]
fn scrubbing_repairs_every_kind_of_damage() {
    let mut rng = fastrand::Rng::with_seed(5);
    let disks = SimDisk::array(5, 16 << 20, 5);
    format(&disks, 4, 1, 64 << 10);
    let (log, _) = open(&disks).unwrap();
    let model = Mutex::new(Model::new(&log));
    let mut batch = log.batch();
    let segment = batch.open_segment(owner(1), 4).unwrap();
    let map = batch.append(segment.id, &[payload(1, 90_000)]).unwrap();
    batch.write(log.root(), 0, &payload(2, 30_000)).unwrap();
    batch.seal_segment(segment.id).unwrap();
    log.commit(batch).unwrap();
    log.checkpoint(common::NOW).unwrap();
    {
        let mut model = model.lock().unwrap();
        model.pnodes.get_mut(&log.root()).unwrap().content = payload(2, 30_000);
        let blocks = vec![(map.clone(), payload(1, 90_000))];
        let segment = common::model::SegmentModel { segment, owner: 1, open: false, blocks };
        model.segments.insert(segment.segment.id, segment);
        commit_some(&log, &mut model, 5, &mut rng);
    }
    log.checkpoint(common::NOW).unwrap();
    assert_eq!(mend(&log, &model, Scope::Everything).repaired, 0, "nothing is wrong yet");
    let place =
        |extent: &pegasus_log::Extent, at: u64| (usize::from(extent.disk.0), extent.offset + at);
    let data = place(&map.fragments[1], 5_000);
    let header = place(&map.fragments[2], 50);
    let parity = place(&map.parity[0], 9_000);
    let mut kinds = vec![data, header, parity];
    kinds.extend([0, 64 << 10].map(|superblock| (3, superblock + 40)));
    kinds.push((2, disks[2].size() - 4096));
    kinds.extend([(1, (128 << 10) + 33), (4, (192 << 10) + 33)]);
    kinds.extend(
        log_blocks(&disks).into_iter().flat_map(|(disk, at)| [(disk, at + 20), (disk, at + 200)]),
    );
    for (disk, offset) in kinds {
        disks[disk].rot(offset..offset + 1, 1);
        let mended = mend(&log, &model, Scope::Everything);
        assert_eq!((mended.repaired, mended.lost), (1, 0), "disk {disk} at {offset}: {mended:?}");
        assert_eq!(mended.problems.len(), 1, "{mended:?}");
        assert_eq!(mend(&log, &model, Scope::Everything).repaired, 0);
        assert_whole(&log, &model.lock().unwrap());
    }
    // Two fragments of a block are too many, and said so.
    for fragment in &map.fragments[..2] {
        disks[usize::from(fragment.disk.0)].rot(fragment.offset + 40..fragment.offset + 41, 1);
    }
    let mended = mend(&log, &model, Scope::Everything);
    assert_eq!((mended.repaired, mended.lost), (0, 1), "{mended:?}");
}

/// A disk and offset of some living log blocks' fragments.
fn log_blocks(disks: &[SimDisk]) -> Vec<(usize, u64)> {
    let mut newest: Vec<(u64, usize, u64)> = Vec::new();
    for (at, disk) in disks.iter().enumerate() {
        for offset in (1_u64 << 20..disk.size() - (64 << 10)).step_by(4096) {
            let sector = pegasus_disk::read(disk, offset, 4096).unwrap();
            if sector[..4] == *b"PGfr" && sector[5] == 1 {
                let commit = u64::from_le_bytes(sector[96..104].try_into().unwrap());
                newest.push((commit, at, offset));
            }
        }
    }
    newest.sort_unstable();
    newest.into_iter().rev().take(2).map(|(_, disk, offset)| (disk, offset)).collect()
}

type Hook = Box<dyn FnOnce() + Send>;

/// A disk on which something happens right after a long read.
struct Hooked {
    disk: SimDisk,
    hook: Arc<Mutex<Option<(u64, Hook)>>>,
}

impl Disk for Hooked {
    fn label(&self) -> String {
        self.disk.label()
    }

    fn size(&self) -> u64 {
        self.disk.size()
    }

    fn submit(&self, request: Request) -> Ticket {
        let (op, offset, len) = request.span();
        let ticket = self.disk.submit(request);
        let due = |hook: &mut (u64, Hook)| op == Op::Read && offset == hook.0 && len > 4096;
        let hook = self.hook.lock().unwrap().take_if(due);
        if let Some((_, hook)) = hook {
            hook();
        }
        ticket
    }

    fn stats(&self) -> DiskStats {
        self.disk.stats()
    }

    fn probe(&self) -> Result<(), DiskError> {
        self.disk.probe()
    }
}

/// Between the moment a bad fragment is read and the moment it is to be repaired, its segment is freed
/// and another one's block comes to lie there.
#[test]
fn nothing_is_repaired_in_a_slot_that_became_anothers() {
    for seed in 0..8 {
        let disks = SimDisk::array(3, 4 << 20, seed);
        format(&disks, 2, 1, 64 << 10);
        let hook = Arc::new(Mutex::new(None));
        let hooked = |disk: &SimDisk| -> (String, Option<Arc<dyn Disk>>) {
            (disk.label(), Some(Arc::new(Hooked { disk: disk.clone(), hook: hook.clone() })))
        };
        let (log, _) = open_given(disks.iter().map(hooked).collect(), false).unwrap();
        let log = Arc::new(log);
        let mut batch = log.batch();
        let segment = batch.open_segment(owner(1), 2).unwrap();
        let map = batch.append(segment.id, &[payload(seed, 60_000)]).unwrap();
        batch.seal_segment(segment.id).unwrap();
        // Some more, because the last slots are the log's reserve.
        let more: Vec<_> = (0..8).map(|_| batch.open_segment(owner(1), 2).unwrap()).collect();
        log.commit(batch).unwrap();
        let bad = map.fragments[0];
        disks[usize::from(bad.disk.0)].rot(bad.offset + 300..bad.offset + 5000, 9);
        let maps = Arc::new(Mutex::new(Vec::new()));
        let (other, old, found) = (log.clone(), segment.clone(), maps.clone());
        let reuse = move || {
            let mut batch = other.batch();
            batch.free_segment(&old).unwrap();
            more.iter().for_each(|segment| batch.free_segment(segment).unwrap());
            other.commit(batch).unwrap();
            other.checkpoint(common::NOW).unwrap();
            // All slots there are, so that those are among them.
            loop {
                let mut batch = other.batch();
                let Ok(new) = batch.open_segment(owner(2), 2) else { break };
                let bytes = payload(new.id.0, 60_000);
                found.lock().unwrap().push((batch.append(new.id, &[&bytes]).unwrap(), bytes));
                batch.seal_segment(new.id).unwrap();
                if other.commit(batch).unwrap().checkpoint_due {
                    other.checkpoint(common::NOW).unwrap();
                }
            }
        };
        *hook.lock().unwrap() = Some((bad.offset, Box::new(reuse) as Hook));
        let mending = log.mending().unwrap();
        let listed = Listed { segment, last: Some(0), whose: "a test".to_owned() };
        let mended = mending.segment(&listed, &Scope::Everything, &mut |_| true);
        drop(mending);
        assert!(hook.lock().unwrap().is_none(), "the segment was read");
        assert_eq!((mended.repaired, mended.lost), (0, 0), "{mended:?}");
        let maps = maps.lock().unwrap();
        let reused = maps.iter().flat_map(|(map, _)| map.extents());
        assert!({ reused }.any(|extent| extent == bad), "the slot was used again");
        for (map, bytes) in maps.iter() {
            assert_eq!(log.read_block(map).unwrap(), bytes[..]);
        }
        assert_eq!(log.status().rebuilt_fragments, 0, "and no fragment was spoiled");
    }
}
