//! The simulated disk does what it says: faults strike as told, and a power cut leaves what it may.

use pegasus_disk::{
    AlignedBuf, Disk, DiskError, Effect, Fault, Op, Profile, SECTOR, SimDisk, SimModel, TearAt,
    Trigger, flush, read, write,
};
use proptest::prelude::*;

const S: u64 = SECTOR as u64;
const NEXT: Trigger = Trigger::Once { from_op: 0 };

fn filled(sectors: usize, tag: u8) -> AlignedBuf {
    let mut buf = AlignedBuf::for_overwrite(sectors * SECTOR);
    buf.fill(tag);
    buf
}

fn contents(disk: &SimDisk) -> Vec<u8> {
    read(disk, 0, disk.size() as usize).unwrap().to_vec()
}

/// A disk of eight sectors of ones, flushed, recording.
fn ones() -> SimDisk {
    let disk = SimDisk::new("sim", 8 * S).with_seed(3);
    write(&disk, 0, filled(8, 1)).unwrap();
    flush(&disk).unwrap();
    disk.record();
    disk
}

#[test]
fn a_read_error_passes_a_bad_sector_stays_until_written() {
    let disk = ones();
    disk.inject(Fault::ReadError, NEXT);
    let error = read(&disk, 0, SECTOR).unwrap_err();
    assert!(matches!(error, DiskError::Io { op: Op::Read, .. }) && !error.is_final());
    assert!(read(&disk, 0, SECTOR).is_ok());

    disk.inject(Fault::BadSector, NEXT);
    assert!(read(&disk, 2 * S, SECTOR).is_err());
    assert!(read(&disk, 2 * S, SECTOR).is_err());
    assert!(read(&disk, 0, 8 * SECTOR).is_err());
    assert!(read(&disk, 3 * S, SECTOR).is_ok());
    write(&disk, 2 * S, filled(1, 5)).unwrap();
    assert_eq!(read(&disk, 2 * S, SECTOR).unwrap()[0], 5);

    disk.spoil(S..S + 1);
    assert!(read(&disk, S, SECTOR).is_err());
    disk.heal();
    assert_eq!(read(&disk, S, SECTOR).unwrap()[0], 1);
}

#[test]
fn bits_rot_for_good() {
    let wrong_bits = |d: &SimDisk| contents(d).iter().map(|b| (b ^ 1).count_ones()).sum::<u32>();
    let disk = ones();
    disk.inject(Fault::BitRot, NEXT);
    assert_eq!(wrong_bits(&disk), 1);
    assert_eq!(wrong_bits(&disk.crash(TearAt::Bytes512, &mut fastrand::Rng::with_seed(0))), 1);
    disk.rot(S..2 * S, 3);
    assert!([2, 4].contains(&wrong_bits(&disk)), "three flips more, two of which may cancel");

    // Rot under an unflushed write is not undone by the flush.
    let disk = ones();
    write(&disk, 0, filled(1, 1)).unwrap();
    disk.rot(0..S, 1);
    flush(&disk).unwrap();
    let after = disk.crash(TearAt::Bytes512, &mut fastrand::Rng::with_seed(0));
    assert_eq!((wrong_bits(&disk), wrong_bits(&after)), (1, 1));
}

#[test]
fn writes_get_lost_misdirected_torn_or_fail() {
    let tags = |disk: &SimDisk| contents(disk).chunks(512).map(|c| c[0]).collect::<Vec<_>>();
    let twos = |disk: &SimDisk| tags(disk).iter().filter(|t| **t == 2).count();

    let disk = ones();
    disk.inject(Fault::LostWrite, NEXT);
    write(&disk, 0, filled(1, 2)).unwrap();
    assert_eq!(twos(&disk), 0);
    assert_eq!(disk.ops()[0].effect, Effect::Lost);

    let disk = ones();
    disk.inject(Fault::MisdirectedWrite, NEXT);
    write(&disk, 0, filled(2, 2)).unwrap();
    let Effect::Misdirected { to_offset } = disk.ops()[0].effect else {
        panic!("{:?}", disk.ops())
    };
    assert_ne!(to_offset, 0);
    assert_eq!(twos(&disk), 16);
    assert_eq!(tags(&disk)[(to_offset / 512) as usize], 2);

    let torn = (0..50).map(|seed| {
        let disk = ones().with_seed(seed);
        disk.inject(Fault::TornWrite, NEXT);
        write(&disk, 0, filled(2, 2)).unwrap();
        assert_eq!(disk.ops()[0].effect, Effect::Torn);
        twos(&disk)
    });
    assert!(torn.filter(|n| *n != 0 && *n != 16).count() > 25, "most are torn in the middle");

    let disk = ones();
    disk.inject(Fault::WriteError, NEXT);
    let error = write(&disk, S, filled(1, 2)).unwrap_err().to_string();
    assert!(error.starts_with("disk sim: write of 4096 bytes at offset 4096 failed"), "{error}");
    write(&disk, S, filled(1, 2)).unwrap();
    assert_eq!((twos(&disk), disk.stats().errors), (8, 1));
}

#[test]
fn after_a_failed_flush_a_later_one_proves_nothing() {
    let lost = (0..40).filter(|seed| {
        let disk = ones().with_seed(*seed);
        write(&disk, 0, filled(1, 2)).unwrap();
        disk.inject(Fault::FlushError, NEXT);
        assert!(flush(&disk).is_err());
        assert_eq!(read(&disk, 0, SECTOR).unwrap()[0], 2, "the cache still shows it");
        flush(&disk).unwrap();
        let after = disk.crash(TearAt::Bytes512, &mut fastrand::Rng::with_seed(*seed));
        read(&after, 0, SECTOR).unwrap()[0] == 1
    });
    assert!((5..35).contains(&lost.count()));
}

#[test]
fn a_dead_disk_says_so_and_returns_stale() {
    let disk = ones();
    disk.inject(Fault::Death, Trigger::Once { from_op: disk.counter().next_op() + 1 });
    write(&disk, 0, filled(1, 2)).unwrap();
    let error = write(&disk, S, filled(1, 2)).unwrap_err();
    assert!(error.is_final() && error.disk() == "sim", "{error}");
    assert!(flush(&disk).is_err() && read(&disk, 0, SECTOR).is_err() && disk.probe().is_err());
    disk.revive();
    disk.probe().unwrap();
    assert_eq!((contents(&disk)[0], contents(&disk)[SECTOR]), (2, 1));
    disk.kill();
    assert!(disk.clone().probe().is_err(), "a clone is the same disk");
}

#[test]
fn triggers_count_over_the_whole_array() {
    let disks = SimDisk::array(3, 8 * S, 11);
    for disk in &disks {
        disk.inject(Fault::Death, Trigger::Once { from_op: 7 }); // a power cut
    }
    let written = (0..20).take_while(|i| write(&disks[i % 3], 0, filled(1, 1)).is_ok()).count();
    assert_eq!(written, 7);
    assert!(disks.iter().all(|d| flush(d).is_err()));

    let disk = &disks[0];
    disk.revive();
    disk.inject(Fault::LostWrite, Trigger::Always { from_op: 0 });
    disk.inject(Fault::ReadError, Trigger::Chance { per_million: 250_000 });
    write(disk, 0, filled(1, 9)).unwrap();
    write(disk, 0, filled(1, 9)).unwrap();
    let failed = (0..400).filter(|_| read(disk, 0, SECTOR).is_err()).count();
    assert!((60..140).contains(&failed), "{failed} of 400 reads failed");
    disk.heal();
    assert_eq!(read(disk, 0, SECTOR).unwrap()[0], 1);
}

#[test]
fn time_is_counted_not_spent() {
    let model = SimModel { position_us: 1_000, bytes_per_s: 1_000_000 };
    let disk = SimDisk::new("slow", 1 << 20).with_model(model);
    write(&disk, 0, filled(1, 1)).unwrap(); // begins where the head is
    write(&disk, S, filled(1, 1)).unwrap(); // goes on there
    assert_eq!(disk.stats().write_busy_ns, 2 * 4_096_000);
    disk.inject(Fault::Slow { by_us: 3_600_000_000 }, NEXT);
    let _ = read(&disk, 0, SECTOR).unwrap();
    assert_eq!(disk.stats().read_busy_ns, 3_600_000_000_000 + 1_000_000 + 4_096_000);
}

#[test]
fn times_may_come_from_a_profile() {
    let profile: Profile = "
        capacity_bytes = 1048576
        rotation_ms = 0.0
        overhead_ms = 1.0
        seek = [ [1, 2.0], [10, 2.0] ]
        zones = [ { cylinders = 10, rate_bps = 8000000 } ]
    "
    .parse()
    .unwrap();
    let disk = SimDisk::new("zones", 1 << 20).with_profile(profile, 1);
    let mut before_ns = 0;
    let mut took_ns = |disk: &SimDisk, offset| {
        let _ = read(disk, offset, SECTOR).unwrap();
        let now_ns = disk.stats().read_busy_ns;
        std::mem::replace(&mut before_ns, now_ns).abs_diff(now_ns)
    };
    assert_eq!(took_ns(&disk, 0), 1_000_000 + 4_096_000, "the heads are there");
    assert_eq!(took_ns(&disk, S), 4_096_000, "it goes straight on");
    assert_eq!(took_ns(&disk, 128 * S), 1_000_000 + 2_000_000 + 4_096_000);
    flush(&disk).unwrap();
    assert_eq!(disk.stats().write_busy_ns, 1_000_000);
    let after = disk.crash(TearAt::Bytes512, &mut fastrand::Rng::with_seed(1));
    let _ = read(&after, 0, SECTOR).unwrap();
    assert_eq!(after.stats().read_busy_ns, 3_000_000 + 4_096_000, "a crash changes no speed");
}

#[test]
fn a_fork_goes_its_own_way() {
    let disk = ones();
    let fork = disk.fork();
    write(&fork, 0, filled(8, 2)).unwrap();
    fork.kill();
    assert!(contents(&disk).iter().all(|b| *b == 1));
    assert_eq!((fork.unflushed_writes(), disk.unflushed_writes()), (1, 0));
}

#[test]
fn a_terabyte_of_headers_is_small() {
    let disk = SimDisk::new("tb", 1 << 40);
    for i in 0..10_000 {
        write(&disk, i * (100 << 20), AlignedBuf::from_slice(b"header")).unwrap();
    }
    assert_eq!(disk.used_bytes(), 10_000 * S);
    let forks: Vec<_> = (0..100).map(|_| disk.fork()).collect();
    for fork in &forks {
        assert_eq!(&read(fork, 9_999 * (100 << 20), SECTOR).unwrap()[..6], b"header");
    }
}

/// A step of the model test.
#[derive(Clone, Debug)]
enum Step {
    Write { sector: u64, sectors: usize, tag: u8 },
    Flush,
    Crash { seed: u64, tear: TearAt },
}

const SECTORS: u64 = 12;

fn step() -> impl Strategy<Value = Step> {
    let tear = prop_oneof![Just(TearAt::Bytes512), Just(TearAt::Bytes4096)];
    prop_oneof![
        6 => (0..SECTORS, 1_usize..5, any::<u8>()).prop_map(|(sector, sectors, tag)| Step::Write {
            sector,
            sectors: sectors.min((SECTORS - sector) as usize),
            tag
        }),
        2 => Just(Step::Flush),
        1 => (any::<u64>(), tear).prop_map(|(seed, tear)| Step::Crash { seed, tear }),
    ]
}

/// What a piece of 512 bytes may hold after a power cut, by the tag that fills it: what was
/// flushed, or anything written since.
struct Model {
    current: Vec<u8>,
    allowed: Vec<Vec<u8>>,
}

impl Model {
    fn new(pieces: Vec<u8>) -> Self {
        Self { allowed: pieces.iter().map(|p| vec![*p]).collect(), current: pieces }
    }

    /// Whether the pieces of `sector` may all be of one age.
    fn may_be_whole(&self, sector: usize, tags: &[u8]) -> bool {
        let allowed = &self.allowed[sector * 8..][..8];
        (0..allowed[0].len()).any(|age| allowed.iter().zip(tags).all(|(a, tag)| a[age] == *tag))
    }
}

/// The tags of a disk's pieces, each of which must be whole.
fn pieces(disk: &SimDisk) -> Vec<u8> {
    let tags = contents(disk);
    tags.chunks(512)
        .map(|c| {
            assert!(c.iter().all(|b| *b == c[0]), "a piece of 512 bytes is torn");
            c[0]
        })
        .collect()
}

proptest! {
    /// Before a cut reads see the last write; after it, nothing flushed is lost and nothing is
    /// invented. A recording gives the same image as the cut itself.
    #[test]
    fn a_power_cut_leaves_what_it_may(steps in proptest::collection::vec(step(), 1..60)) {
        let mut disk = SimDisk::new("sim", SECTORS * S);
        disk.record();
        let mut model = Model::new(vec![0; SECTORS as usize * 8]);
        for step in steps {
            match step {
                Step::Write { sector, sectors, tag } => {
                    write(&disk, sector * S, filled(sectors, tag)).unwrap();
                    for piece in sector as usize * 8..(sector as usize + sectors) * 8 {
                        model.current[piece] = tag;
                        model.allowed[piece].push(tag);
                    }
                }
                Step::Flush => {
                    flush(&disk).unwrap();
                    model = Model::new(model.current);
                }
                Step::Crash { seed, tear } => {
                    let rng = || fastrand::Rng::with_seed(seed);
                    let op = disk.counter().next_op();
                    let after = disk.crash(tear, &mut rng());
                    let replayed = disk.image_at(op, tear, &mut rng());
                    let found = pieces(&after);
                    prop_assert_eq!(&found, &pieces(&replayed));
                    for (piece, tag) in found.iter().enumerate() {
                        prop_assert!(model.allowed[piece].contains(tag), "piece {} is {}", piece, tag);
                    }
                    if tear == TearAt::Bytes4096 {
                        for (sector, tags) in found.chunks(8).enumerate() {
                            let whole = model.may_be_whole(sector, tags);
                            prop_assert!(whole, "sector {} is torn", sector);
                        }
                    }
                    model = Model::new(found);
                    disk = after;
                    disk.record();
                }
            }
            prop_assert_eq!(&pieces(&disk), &model.current);
        }
    }

    /// What was flushed before operation n is in every image at n or later, unless overwritten.
    #[test]
    fn every_cut_of_a_recording_keeps_what_was_flushed(
        steps in proptest::collection::vec(step(), 1..40),
        seed in any::<u64>(),
    ) {
        let disk = SimDisk::new("sim", SECTORS * S);
        disk.record();
        let mut model = Model::new(vec![0; SECTORS as usize * 8]);
        let mut allowed_before = vec![model.allowed.clone()];
        for step in steps {
            match step {
                Step::Write { sector, sectors, tag } => {
                    write(&disk, sector * S, filled(sectors, tag)).unwrap();
                    for piece in sector as usize * 8..(sector as usize + sectors) * 8 {
                        model.current[piece] = tag;
                        model.allowed[piece].push(tag);
                    }
                }
                Step::Flush | Step::Crash { .. } => {
                    flush(&disk).unwrap();
                    model = Model::new(model.current);
                }
            }
            allowed_before.push(model.allowed.clone());
        }
        let rng = &mut fastrand::Rng::with_seed(seed);
        for (op, allowed) in allowed_before.iter().enumerate() {
            let found = pieces(&disk.image_at(op as u64, TearAt::Bytes512, rng));
            for (piece, tag) in found.iter().enumerate() {
                prop_assert!(allowed[piece].contains(tag), "op {}, piece {} is {}", op, piece, tag);
            }
        }
        prop_assert_eq!(disk.ops().len() + 1, allowed_before.len());
    }
}
