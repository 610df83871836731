//! Disks that are slow, or answer nothing for a while: nobody waits for them, and they come back.

mod common;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::model::{Model, assert_is};
use common::{format, given, open, open_given, owner, payload, seed};
use pegasus_disk::{
    Disk, DiskError, DiskStats, Fault, Op, Promise, Request, SimDisk, Ticket, Trigger,
};
use pegasus_log::{BlockMap, DiskIndex, DiskState, Log, Sweep};

const ALWAYS: Trigger = Trigger::Always { from_op: 0 };

fn filled(log: &Log, rng: &mut fastrand::Rng) -> Model {
    let mut model = Model::new(log);
    for _ in 0..40 {
        let mut batch = log.batch();
        model.change(&mut batch, rng);
        if log.commit(batch).unwrap().checkpoint_due {
            log.checkpoint(common::NOW).unwrap();
        }
    }
    log.checkpoint(common::NOW).unwrap();
    model
}

fn states(log: &Log) -> Vec<DiskState> {
    log.status().disks.iter().map(|disk| disk.state).collect()
}

/// Reads everything, then lets a second pass; how many reads each disk was asked for, and what changed.
fn second(
    log: &Log,
    model: &Model,
    disks: &[SimDisk],
    now: &mut u64,
) -> (Vec<u64>, Vec<(DiskIndex, bool)>) {
    let before: Vec<u64> = disks.iter().map(|disk| disk.stats().reads).collect();
    assert_is(log, model);
    *now += 1;
    let changes = log.rate_disks(Duration::from_secs(*now));
    let reads = disks.iter().zip(before).map(|(disk, before)| disk.stats().reads - before);
    (reads.collect(), changes)
}

#[test]
fn a_slow_disk_is_spared_and_is_used_again_when_it_is_quick() {
    let seed = seed(1);
    for round in 0..8 {
        let mut rng = fastrand::Rng::with_seed(seed + round);
        let shapes = [(4, 1), (1, 1), (2, 1), (4, 2), (1, 2), (2, 2)];
        let (data, parity) = shapes[(round + rng.u64(..2) * 3) as usize % shapes.len()];
        let disks = SimDisk::array(usize::from(data + parity), 16 << 20, rng.u64(..));
        format(&disks, data, parity, 64 << 10);
        let (log, _) = open(&disks).unwrap();
        let model = filled(&log, &mut rng);
        let (at, mut now) = (rng.usize(..disks.len()), 0);
        second(&log, &model, &disks, &mut now); // what stays in memory is there now
        let (usual, changes) = second(&log, &model, &disks, &mut now);
        assert_eq!(changes, []);

        disks[at].inject(Fault::Slow { by_us: 300_000 }, ALWAYS);
        let mut becomes = Vec::new();
        for _ in 0..6 {
            becomes.extend(second(&log, &model, &disks, &mut now).1);
        }
        assert_eq!(becomes, [(DiskIndex(at as u16), true)]);
        assert_eq!(states(&log)[at], DiskState::Slow);
        let mut reads = 0;
        for _ in 0..10 {
            let (spared, changes) = second(&log, &model, &disks, &mut now);
            assert_eq!(changes, []);
            reads += spared[at];
        }
        assert!(
            reads < usual[at] * 10 / 8,
            "{reads} in ten seconds instead of {} in one",
            usual[at]
        );
        assert!(log.status().disks[at].shed_reads > 0);

        disks[at].heal();
        let healed = now;
        let mut becomes = Vec::new();
        while becomes.is_empty() {
            becomes = second(&log, &model, &disks, &mut now).1;
            assert!(now < healed + 120, "it does not come back");
        }
        assert_eq!(becomes, [(DiskIndex(at as u16), false)]);
        let (again, _) = second(&log, &model, &disks, &mut now);
        assert!(again[at] * 2 > usual[at], "{} instead of {} reads", again[at], usual[at]);
        assert!(states(&log).iter().all(|state| *state == DiskState::Ok));
    }
}

#[test]
fn a_slow_disk_is_still_written_and_stands_in_for_a_dead_one() {
    let mut rng = fastrand::Rng::with_seed(seed(2));
    let disks = SimDisk::array(5, 16 << 20, rng.u64(..));
    format(&disks, 4, 1, 64 << 10);
    let (log, _) = open(&disks).unwrap();
    let mut model = filled(&log, &mut rng);
    disks[1].inject(Fault::Slow { by_us: 300_000 }, ALWAYS);
    let mut now = 0;
    while states(&log)[1] != DiskState::Slow {
        second(&log, &model, &disks, &mut now);
        assert!(now < 60, "it is not noticed");
    }
    let writes = disks[1].stats().writes;
    let mut batch = log.batch();
    let segment = batch.open_segment(owner(1), 4).unwrap();
    let map = batch.append(segment.id, &[payload(1, 40_000)]).unwrap();
    model.change(&mut batch, &mut rng);
    log.commit(batch).unwrap();
    assert!(disks[1].stats().writes > writes, "a new segment has a column on it");
    disks[3].kill();
    log.probe();
    assert_eq!(log.read_block(&map).unwrap(), payload(1, 40_000));
    assert_is(&log, &model);
}

#[test]
fn noise_makes_no_disk_slow() {
    let seed = seed(3);
    for round in 0..4 {
        let mut rng = fastrand::Rng::with_seed(seed + round);
        let disks = SimDisk::array(5, 8 << 20, rng.u64(..));
        format(&disks, 4, 1, 64 << 10);
        let (log, _) = open(&disks).unwrap();
        let model = filled(&log, &mut rng);
        for disk in &disks {
            disk.inject(Fault::Slow { by_us: 20_000 }, Trigger::Chance { per_million: 200_000 });
            disk.inject(Fault::Slow { by_us: 400_000 }, Trigger::Chance { per_million: 5_000 });
        }
        let mut now = 0;
        for _ in 0..100 {
            assert_eq!(second(&log, &model, &disks, &mut now).1, []);
        }
    }
}

/// Reads that are held up, while any are to be.
type Held = Option<Vec<(Request, Promise)>>;

/// A disk whose reads can be held up.
#[derive(Clone)]
struct Stalling {
    disk: SimDisk,
    held: Arc<Mutex<Held>>,
}

impl Stalling {
    fn release(&self) {
        for (request, promise) in self.held.lock().unwrap().take().unwrap_or_default() {
            promise.fulfil(self.disk.submit(request).wait());
        }
    }

    fn held(&self) -> usize {
        self.held.lock().unwrap().as_ref().map_or(0, Vec::len)
    }
}

impl Disk for Stalling {
    fn label(&self) -> String {
        self.disk.label()
    }

    fn size(&self) -> u64 {
        self.disk.size()
    }

    fn submit(&self, request: Request) -> Ticket {
        if let (Op::Read, Some(held)) = (request.span().0, &mut *self.held.lock().unwrap()) {
            let (ticket, promise) = Ticket::pending();
            held.push((request, promise));
            return ticket;
        }
        self.disk.submit(request)
    }

    fn stats(&self) -> DiskStats {
        self.disk.stats()
    }

    fn probe(&self) -> Result<(), DiskError> {
        self.disk.probe()
    }
}

#[test]
fn nobody_waits_for_disks_that_answer_nothing() {
    let seed = seed(4);
    for (round, data, parity) in [(0, 4, 1), (1, 1, 1), (2, 4, 2), (3, 1, 2)] {
        let mut rng = fastrand::Rng::with_seed(seed + round);
        let disks = SimDisk::array(usize::from(data + parity), 16 << 20, rng.u64(..));
        format(&disks, data, parity, 64 << 10);
        let mut at: Vec<usize> = (0..disks.len()).collect();
        rng.shuffle(&mut at);
        at.truncate(parity.into());
        let stall = |at: &usize| Stalling { disk: disks[*at].clone(), held: Arc::default() };
        let stalling: Vec<Stalling> = at.iter().map(stall).collect();
        let mut given = given(&disks);
        for (at, stalling) in at.iter().zip(&stalling) {
            given[*at].1 = Some(Arc::new(stalling.clone()));
        }
        let (log, _) = open_given(given, false).unwrap();
        let mut batch = log.batch();
        let segment = batch.open_segment(owner(1), data).unwrap();
        let contents: Vec<Vec<u8>> =
            (0..12).map(|block| payload(block, 3_000 * usize::from(data))).collect();
        let mut append = |bytes: &Vec<u8>| batch.append(segment.id, &[bytes]).unwrap();
        let maps: Vec<BlockMap> = contents.iter().map(&mut append).collect();
        log.commit(batch).unwrap();

        log.rate_disks(Duration::ZERO);
        stalling.iter().for_each(|disk| *disk.held.lock().unwrap() = Some(Vec::new()));
        let begun = Instant::now();
        // A whole batch at once: the rest comes from parity when its time is over.
        let deadline = Some(Instant::now() + Duration::from_millis(100));
        let batch = log.read_blocks(&maps, Sweep { gap_bytes: 0, deadline });
        assert!(batch.iter().zip(&contents).all(|(got, want)| got.as_ref().unwrap() == want));
        for _ in 0..20 {
            for (map, bytes) in maps.iter().zip(&contents) {
                assert_eq!(log.read_block(map).unwrap(), *bytes);
            }
        }
        // Once somebody lost patience with them, they are spared: hundreds of reads take no longer than one.
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
        assert!(stalling.iter().all(|disk| disk.held() > 0), "one was never asked");
        for second in 1..6 {
            log.rate_disks(Duration::from_secs(second));
        }
        assert!(at.iter().all(|at| states(&log)[*at] == DiskState::Slow), "{:?}", states(&log));

        stalling.iter().for_each(Stalling::release);
        let mut now = 6;
        while states(&log).contains(&DiskState::Slow) {
            for (map, bytes) in maps.iter().zip(&contents) {
                assert_eq!(log.read_block(map).unwrap(), *bytes);
            }
            now += 1;
            log.rate_disks(Duration::from_secs(now));
            assert!(now < 120, "it does not come back");
        }
        assert!(states(&log).iter().all(|state| *state == DiskState::Ok));
    }
}
