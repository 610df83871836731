//! Stores that have lost what lists their recordings, beyond what parity gives: what the segments themselves
//! tell is listed again.

use pegasus_base::{PnodeId, Time};
use pegasus_disk::{Disk, SimDisk, TearAt};
use pegasus_log::{Log, OpenOptions};
use pegasus_media::Unit;

use super::{Rig, Size, handle, name, settings, units};
use crate::format::segment::State;
use crate::repair::Disks;
use crate::{Repair, RepairOptions, RepairPlan, sample};

const STREAMS: [&str; 2] = ["/cam/door", "/lab/b"];

/// A closed store with several segments of two streams, a pause in each, and something deleted.
fn store() -> (Rig, Vec<Vec<Unit>>) {
    let mut rig = Rig::new(&Size { disk_bytes: 16 << 20, ..Size::default() }, settings());
    for (stream, len) in STREAMS.into_iter().zip([3_000, 900]) {
        rig.record(stream, &sample::camera(12, len, 0), 40);
        rig.record(stream, &sample::camera(6, len, 60), 40);
    }
    rig.record("/gone", &sample::camera(3, 500, 0), 40);
    rig.store().delete(&name("/gone"), None).unwrap();
    let there = recorded(&rig);
    rig.store.take().unwrap().close().unwrap();
    (rig, there)
}

fn recorded(rig: &Rig) -> Vec<Vec<Unit>> {
    STREAMS.iter().map(|stream| units(&rig.read(stream, Time::MIN, None))).collect()
}

fn given(disks: &[SimDisk]) -> Disks {
    disks.iter().map(|disk| (disk.label(), Some(handle(disk)))).collect()
}

/// Changes pnodes behind the recordings' back.
fn spoil(rig: &Rig, what: impl FnOnce(&Log, &mut dyn FnMut(PnodeId, u64))) {
    let options = OpenOptions { now: sample::now(), read_only: false };
    let (log, _) = Log::open(given(&rig.disks), &options).unwrap();
    what(&log, &mut |pnode, offset| {
        let mut batch = log.batch();
        batch.write(pnode, offset, &[0xa5; 100]).unwrap();
        log.commit(batch).unwrap();
    });
    log.checkpoint(sample::now()).unwrap();
}

fn options(writable: bool, accept_loss: bool) -> RepairOptions {
    RepairOptions { now: sample::now(), writable, accept_loss }
}

fn assess(rig: &Rig, writable: bool) -> Repair {
    let options = options(writable, false);
    Repair::assess(given(&rig.disks), options, &mut |_, _, _| {}).unwrap()
}

/// Repairs, and looks again: nothing is left to do, every byte verifies, and recording goes on.
fn repaired(mut rig: Rig) -> (RepairPlan, Rig) {
    let read_only = assess(&rig, false).plan().clone();
    let repair = assess(&rig, true);
    let plan = repair.plan().clone();
    assert_eq!(plan, read_only, "looking alone tells the same");
    repair.apply(&mut |_, _, _| {}).unwrap();
    let after = assess(&rig, true);
    assert_eq!(after.plan(), &RepairPlan::default());
    after.scrub().unwrap();
    let mut problems = rig.report().problems;
    // A block of the log of which nothing is needed any more.
    problems.retain(|problem| !problem.contains("of the log holds"));
    assert_eq!(problems, Vec::<String>::new());
    rig.open();
    (plan, rig)
}

fn goes_on(rig: Rig, mut expected: Vec<Vec<Unit>>) {
    assert_eq!(recorded(&rig), expected);
    for (stream, there) in STREAMS.into_iter().zip(&mut expected) {
        rig.record(stream, &sample::camera(3, 900, 120), 40);
        there.extend(units(&rig.read(stream, sample::at(119_000), None)));
    }
    assert_eq!(recorded(&rig), expected);
}

#[test]
fn a_whole_store_needs_nothing() {
    let (rig, there) = store();
    let (plan, rig) = repaired(rig);
    assert_eq!(plan, RepairPlan::default());
    goes_on(rig, there);
}

#[test]
fn a_catalogue_that_makes_no_sense_is_made_anew_with_the_names() {
    let (rig, there) = store();
    spoil(&rig, |log, write| write(log.root(), 0));
    let report = rig.report();
    assert!(!report.ok);
    // Each orphan is explained.
    let explained = |p: &&String| p.contains("nobody's: there is segment");
    assert!(report.problems.iter().filter(explained).count() > 10, "{:#?}", report.problems);
    let (plan, rig) = repaired(rig);
    assert!(plan.findings[0].starts_with("the catalogue can't be read"), "{plan:#?}");
    for stream in STREAMS {
        let listed = |action: &String| action.ends_with(&format!("as {stream}"));
        assert!(plan.actions.iter().any(listed), "{plan:#?}");
    }
    goes_on(rig, there);
}

#[test]
fn a_catalogue_that_no_disk_can_give_is_made_anew() {
    let (rig, there) = store();
    // Both copies of what holds the names, wherever it stands.
    let mut hits = 0;
    for disk in &rig.disks {
        let bytes = pegasus_disk::read(disk, 0, disk.size() as usize).unwrap();
        for at in 0..bytes.len() - 4 {
            if &bytes[at..at + 4] == b"PgCa" {
                disk.rot(at as u64..at as u64 + 4, 1);
                hits += 1;
            }
        }
    }
    assert!(hits >= 2, "{hits}");
    let (plan, rig) = repaired(rig);
    assert!(plan.findings[0].starts_with("the catalogue can't be read"), "{plan:#?}");
    goes_on(rig, there);
}

/// Pnodes of a stream's directory and spans.
fn pnodes(rig: &Rig, stream: &str) -> (PnodeId, PnodeId) {
    let options = OpenOptions { now: sample::now(), read_only: true };
    let (log, _) = Log::open(given(&rig.disks), &options).unwrap();
    let records = crate::open::read_catalogue(&log).unwrap().unwrap();
    let record = records.into_iter().flatten().find(|r| r.name == name(stream)).unwrap();
    (record.segments, record.spans)
}

#[test]
fn a_directory_or_list_of_spans_is_made_anew_and_the_others_stay() {
    for spans in [false, true] {
        let (rig, there) = store();
        let (segments, listed) = pnodes(&rig, STREAMS[0]);
        spoil(&rig, |_, write| if spans { write(listed, 16) } else { write(segments, 256) });
        let (plan, rig) = repaired(rig);
        let name = STREAMS[0];
        assert!(plan.findings.iter().any(|f| f.contains(name)), "{plan:#?}");
        assert!(!plan.findings.iter().any(|f| f.contains(STREAMS[1])), "{plan:#?}");
        goes_on(rig, there);
    }
}

#[test]
fn a_segment_whose_index_is_lost_gets_another() {
    let (rig, there) = store();
    let (directory, _) = pnodes(&rig, STREAMS[0]);
    let options = OpenOptions { now: sample::now(), read_only: true };
    let (log, _) = Log::open(given(&rig.disks), &options).unwrap();
    let bytes = log.read_pnode(directory, 256, 256).unwrap();
    drop(log);
    let record = crate::format::segment::SegmentRecord::parse(&bytes).unwrap();
    let State::Sealed(sealed) = &record.state else { panic!("{record:?}") };
    let index = sealed.index.clone().unwrap();
    for extent in index.fragments.iter().chain(&index.parity) {
        rig.disks[usize::from(extent.disk.0)].spoil(extent.offset..extent.offset + 4096);
    }
    let (plan, rig) = repaired(rig);
    assert!(plan.actions[0].contains("with an index"), "{plan:#?}");
    goes_on(rig, there);
}

#[test]
fn a_repair_that_is_cut_short_is_made_again() {
    let mut rng = fastrand::Rng::with_seed(7);
    let (rig, there) = store();
    spoil(&rig, |log, write| write(log.root(), 0));
    rig.disks.iter().for_each(SimDisk::record);
    let first = rig.disks[0].counter().next_op();
    assess(&rig, true).apply(&mut |_, _, _| {}).unwrap();
    let last = rig.disks[0].counter().next_op();
    assert!(last > first + 20);
    for _ in 0..12 {
        let op = rng.u64(first..=last);
        let cut = rig.disks.iter().map(|disk| disk.image_at(op, TearAt::Bytes512, &mut rng));
        let (disks, clock) = (cut.collect(), rig.clock.clone());
        let cut = Rig { disks, clock, settings: settings(), store: None };
        let (_, cut) = repaired(cut);
        goes_on(cut, there.clone());
    }
}

#[test]
fn nothing_is_repaired_while_a_disk_is_away() {
    let (rig, _) = store();
    spoil(&rig, |log, write| write(log.root(), 0));
    let mut disks = given(&rig.disks);
    disks[3].1 = None;
    let repair = Repair::assess(disks, options(true, false), &mut |_, _, _| {}).unwrap();
    assert!(repair.plan().hindrance.as_ref().is_some_and(|why| why.contains("sim3")));
    assert!(repair.apply(&mut |_, _, _| {}).is_err());
}

#[test]
fn slots_that_nothing_explains_are_given_back() {
    let (rig, there) = store();
    let used = {
        let options = OpenOptions { now: sample::now(), read_only: false };
        let (log, _) = Log::open(given(&rig.disks), &options).unwrap();
        let used = log.status().used_bytes;
        let owner = pegasus_log::Owner { pnode: log.root(), stream: pegasus_base::StreamId(5) };
        let mut batch = log.batch();
        batch.open_segment(owner, 4).unwrap();
        let sealed = batch.open_segment(owner, 4).unwrap();
        batch.append(sealed.id, &[vec![7; 100_000]]).unwrap();
        batch.seal_segment(sealed.id).unwrap();
        log.commit(batch).unwrap();
        log.checkpoint(sample::now()).unwrap();
        used
    };
    let (plan, rig) = repaired(rig);
    assert!(plan.actions.iter().any(|a| a == "give back 10 slots"), "{plan:#?}");
    let now = rig.store().inner().log.status().used_bytes;
    assert!(now < used + (300 << 10), "{now} bytes in use, {used} before");
    goes_on(rig, there);
}

/// Makes one block of the log unreadable on all disks, so many before the last one.
fn spoil_log_block(rig: &Rig, before_last: usize) {
    let header = |sector: &[u8]| {
        (&sector[..4] == b"PGfr" && sector[5] == 1).then(|| {
            let number = |at: usize, len: usize| {
                sector[at..at + len]
                    .iter()
                    .rev()
                    .fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte))
            };
            (number(96, 8), number(32, 8), number(12, 4)) // commit, segment, block
        })
    };
    let mut found = std::collections::BTreeMap::<_, Vec<(usize, u64)>>::new();
    for (at, disk) in rig.disks.iter().enumerate() {
        let bytes = pegasus_disk::read(disk, 0, disk.size() as usize).unwrap();
        for (row, sector) in bytes.chunks_exact(4096).enumerate() {
            if let Some(key) = header(sector) {
                found.entry(key).or_default().push((at, row as u64 * 4096));
            }
        }
    }
    let (_, places) = found.iter().rev().nth(before_last).unwrap();
    for (disk, offset) in places {
        rig.disks[*disk].rot(*offset..*offset + 4096, 64);
    }
}

#[test]
fn a_newer_state_that_can_not_be_read_is_not_written_over() {
    let mut rig = Rig::new(&Size { disk_bytes: 16 << 20, ..Size::default() }, settings());
    rig.record(STREAMS[0], &sample::camera(6, 3_000, 0), 40);
    let first = units(&rig.read(STREAMS[0], Time::MIN, None));
    rig.store().request_checkpoint();
    rig.store().flush().unwrap();
    // Commits behind the checkpoint, each of which opens segments.
    for round in 1..6 {
        rig.record(STREAMS[0], &sample::camera(6, 3_000, round * 10), 40);
    }
    let disks: Vec<SimDisk> = rig.disks.iter().map(SimDisk::fork).collect();
    drop(std::mem::replace(&mut rig.disks, disks));
    std::mem::forget(rig.store.take()); // the node is gone, without a word
    spoil_log_block(&rig, 3);
    let before: Vec<Vec<u8>> = images(&rig);
    rig.open();
    let read = units(&rig.read(STREAMS[0], Time::MIN, None));
    assert!(read.len() >= first.len() && read.starts_with(&first), "reading goes on");
    let refused = rig.store().recorder(&name(STREAMS[1]), sample::tracks());
    assert!(refused.unwrap_err().to_string().contains("it is lost"));
    drop(rig.store.take());
    assert_eq!(images(&rig), before, "nothing was written");
    let hindered = assess(&rig, true);
    assert!(hindered.plan().hindrance.is_some(), "{:#?}", hindered.plan());
    assert!(hindered.apply(&mut |_, _, _| {}).is_err());
    let accepted = Repair::assess(given(&rig.disks), options(true, true), &mut |_, _, _| {});
    let accepted = accepted.unwrap();
    assert_eq!(accepted.plan().actions[0], "go on without what is lost");
    accepted.apply(&mut |_, _, _| {}).unwrap();
    rig.open();
    rig.record(STREAMS[1], &sample::camera(2, 900, 90), 40);
    let read = units(&rig.read(STREAMS[0], Time::MIN, None));
    assert!(read.starts_with(&first));
}

fn images(rig: &Rig) -> Vec<Vec<u8>> {
    let image =
        |disk: &SimDisk| pegasus_disk::read(disk, 0, disk.size() as usize).unwrap().to_vec();
    rig.disks.iter().map(image).collect()
}
