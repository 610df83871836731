//! Many blocks read at once give what they give one by one, in fewer reads, whatever disks do.

mod common;

use std::time::{Duration, Instant};

use common::{format, open, owner, payload, seed};
use pegasus_disk::{Disk as _, Fault, SimDisk, Trigger};
use pegasus_log::{BlockMap, Log, Sweep};

/// A segment full of blocks of many lengths.
fn filled(log: &Log, data: u8, rng: &mut fastrand::Rng) -> (Vec<BlockMap>, Vec<Vec<u8>>) {
    let (mut maps, mut payloads) = (Vec::new(), Vec::new());
    for number in 0..3 {
        let mut batch = log.batch();
        let segment = batch.open_segment(owner(number), data).unwrap();
        loop {
            let room = batch.room(segment.id);
            let bytes = payload(rng.u64(..), rng.usize(1..30_000));
            if (bytes.len() as u64) > room {
                break;
            }
            maps.push(batch.append(segment.id, &[&bytes]).unwrap());
            payloads.push(bytes);
        }
        batch.seal_segment(segment.id).unwrap();
        log.commit(batch).unwrap();
    }
    (maps, payloads)
}

fn reads(disks: &[SimDisk]) -> u64 {
    disks.iter().map(|disk| disk.stats().reads).sum()
}

fn assert_all(log: &Log, maps: &[BlockMap], payloads: &[Vec<u8>], how: Sweep) {
    let read = log.read_blocks(maps, how);
    assert_eq!(read.len(), payloads.len());
    for (got, want) in read.into_iter().zip(payloads) {
        assert!(got.unwrap() == *want, "a block reads otherwise");
    }
}

#[test]
fn they_are_what_they_are_one_by_one() {
    let seed = seed(1);
    for round in 0..12 {
        let mut rng = fastrand::Rng::with_seed(seed + round);
        let shapes = [(4_u8, 1_u8), (1, 1), (2, 1), (4, 2), (1, 2), (2, 2)];
        let (data, parity) = shapes[round as usize % shapes.len()];
        let disks = SimDisk::array(usize::from(data + parity), 16 << 20, rng.u64(..));
        format(&disks, data, parity, 256 << 10);
        let (log, _) = open(&disks).unwrap();
        let (maps, payloads) = filled(&log, data, &mut rng);
        assert!(maps.len() > 20);
        let lone: u64 = maps.iter().map(|map| map.fragments.len() as u64).sum();
        let before = reads(&disks);
        assert_all(&log, &maps, &payloads, Sweep::default());
        let near = reads(&disks) - before;
        assert!(near <= lone, "{near} reads instead of {lone}");
        let before = reads(&disks);
        assert_all(&log, &maps, &payloads, Sweep { gap_bytes: 1 << 20, deadline: None });
        let far = reads(&disks) - before;
        assert!(far <= 3 * disks.len() as u64, "{far} reads: a segment has a run on each disk");
        assert!(far < lone, "{far} reads instead of {lone}");
        // One that lies, one that is slow, one that is dead, as many as parity bears.
        let harmed = &disks[rng.usize(..disks.len())];
        match round % 3 {
            0 => harmed.inject(Fault::BitRot, Trigger::Chance { per_million: 500_000 }),
            1 => harmed.inject(Fault::Slow { by_us: 400_000 }, Trigger::Always { from_op: 0 }),
            _ => harmed.kill(),
        }
        let deadline = Some(Instant::now() + Duration::from_millis(50));
        assert_all(&log, &maps, &payloads, Sweep { gap_bytes: 64 << 10, deadline });
    }
}

#[test]
fn what_can_not_be_had_is_an_error_of_its_own() {
    let mut rng = fastrand::Rng::with_seed(seed(2));
    let disks = SimDisk::array(5, 16 << 20, 1);
    format(&disks, 4, 1, 256 << 10);
    let (log, _) = open(&disks).unwrap();
    let (mut maps, payloads) = filled(&log, 4, &mut rng);
    maps[3].crc ^= 1;
    let read = log.read_blocks(&maps, Sweep::default());
    let bad: Vec<usize> = (0..maps.len()).filter(|at| read[*at].is_err()).collect();
    assert_eq!(bad, [3]);
    assert!(read[4].as_ref().is_ok_and(|bytes| *bytes == payloads[4]));
    assert!(log.read_blocks(&[], Sweep::default()).is_empty());
}
