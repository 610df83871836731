//! Parts of blocks: as of the whole, at the cost of what they lie in.

mod common;

use common::{format, open, owner, payload, seed};
use pegasus_disk::{Disk, SimDisk};
use pegasus_log::LogError;

fn read_bytes(disks: &[SimDisk]) -> u64 {
    disks.iter().map(|disk| disk.stats().read_bytes).sum()
}

#[test]
fn any_part_is_that_of_the_payload_whatever_became_of_a_disk() {
    for round in 0..12 {
        let mut rng = fastrand::Rng::with_seed(seed(1) + round);
        let (data, parity) = [(4, 1), (2, 1), (1, 1), (4, 2), (3, 0)][round as usize % 5];
        let disks = SimDisk::array(usize::from(data + parity), 16 << 20, rng.u64(..));
        format(&disks, data, parity, 64 << 10);
        let (log, _) = open(&disks).unwrap();
        let mut batch = log.batch();
        let segment = batch.open_segment(owner(1), data).unwrap();
        let blocks: Vec<_> = (0..6)
            .map(|number| {
                let bytes = payload(number, rng.usize(1..9_000));
                (batch.append(segment.id, &[&bytes]).unwrap(), bytes)
            })
            .collect();
        log.commit(batch).unwrap();
        if parity > 0 {
            let disk = &disks[rng.usize(..disks.len())];
            match round % 3 {
                0 => disk.kill(),
                1 => disk.spoil(1 << 20..16 << 20),
                _ => {}
            }
        }
        for (map, bytes) in &blocks {
            for _ in 0..10 {
                let start = rng.usize(..=bytes.len());
                let range = start..rng.usize(start..=bytes.len());
                let part = log.read_block_part(map, range.clone()).unwrap();
                assert_eq!(part, bytes[range.clone()], "{range:?} of {}", bytes.len());
            }
            let error = log.read_block_part(map, 0..bytes.len() + 1).unwrap_err();
            assert!(matches!(error, LogError::Block { .. }), "{error}");
        }
    }
}

#[test]
fn a_part_costs_the_fragments_it_lies_in() {
    let disks = SimDisk::array(5, 16 << 20, 1);
    format(&disks, 4, 1, 128 << 10);
    let (log, _) = open(&disks).unwrap();
    let mut batch = log.batch();
    let segment = batch.open_segment(owner(1), 4).unwrap();
    let bytes = payload(1, 200_000);
    let map = batch.append(segment.id, &[&bytes]).unwrap();
    log.commit(batch).unwrap();
    let fragment = u64::from(map.fragment_bytes);
    for (range, fragments) in [(0..1_000, 1), (60_000..90_000, 1), (45_000..60_000, 2), (0..0, 0)] {
        let before = read_bytes(&disks);
        assert_eq!(log.read_block_part(&map, range.clone()).unwrap(), bytes[range.clone()]);
        assert_eq!(read_bytes(&disks) - before, fragments * fragment, "{range:?}");
    }
}
