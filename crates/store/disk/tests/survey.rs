//! A simulated disk is surveyed, and its profile has to be found again.

use std::os::unix::fs::FileExt as _;

use pegasus_disk::{
    CreateOptions, Direct, Disk, Fault, FileDisk, Ground, Profile, SECTOR, Seek, SimDisk, Subject,
    Survey, SurveyError, SurveyOptions, Trigger, Zone, survey,
};
use proptest::prelude::*;

fn look(disk: &SimDisk, options: SurveyOptions) -> Survey {
    survey(disk, &Ground::whole(disk.size()), &options, &mut |_| {}).unwrap()
}

fn simulated(truth: &Profile, seed: u64) -> SimDisk {
    SimDisk::new("sim", truth.capacity_bytes()).with_profile(truth.clone(), seed)
}

/// Zones that differ by a tenth at least, the slowest 10 MB/s at least.
fn zones() -> impl Strategy<Value = Vec<Zone>> {
    let zone = (4_000_u32..30_000, 1.1..1.7_f64);
    (10.0..60.0_f64, prop::collection::vec(zone, 1..=6)).prop_map(|(slowest_mb, steps)| {
        let mut rate = slowest_mb * 8e6;
        let mut zones: Vec<Zone> = steps
            .iter()
            .map(|&(cylinders, factor)| {
                let zone = Zone { cylinders, rate_bps: rate as u64 };
                rate = (rate * factor).min(300.0 * 8e6);
                zone
            })
            .collect();
        zones.reverse();
        // Where the fastest are held back, they are alike.
        zones.dedup_by(|inner, outer| outer.rate_bps as f64 / (inner.rate_bps as f64) < 1.09);
        zones
    })
}

/// A settling time, then as an arm moves: first faster than the distance, later in proportion to it.
fn truths() -> impl Strategy<Value = Profile> {
    let turns = prop_oneof![1 => Just(0.0), 3 => 4.0..12.0_f64];
    let arm = (0.5..3.0_f64, 1.0..6.0_f64, 1.0..10.0_f64);
    (zones(), turns, arm, 0.05..1.0_f64, 30_u64..1_000)
        .prop_map(|(zones, turn_ms, (settle, early, late), overhead_ms, gib)| {
            let all: u32 = zones.iter().map(|zone| zone.cylinders).sum();
            let seek = [(1, settle), (all / 8, settle + early), (all, settle + early + late)];
            let seek = Seek::new(&seek).unwrap();
            let disk = Profile::new(gib << 30, turn_ms, seek, zones).unwrap();
            disk.with_overhead(overhead_ms).unwrap()
        })
        .prop_filter("zones that can be seen", |disk| smallest_zone(disk) > 0.06)
}

/// The smallest zone's share of the disk.
fn smallest_zone(disk: &Profile) -> f64 {
    let len = |at| disk.zone_range(at).end - disk.zone_range(at).start;
    let least = (0..disk.zones().len()).map(len).min().unwrap_or(0);
    least as f64 / disk.capacity_bytes() as f64
}

/// How long it takes to begin after a move over this share of the disk's cylinders, without the turn, in milliseconds.
fn begin_ms(profile: &Profile, share: f64) -> f64 {
    let cylinders = (f64::from(profile.cylinders()) * share).round() as u32;
    (profile.overhead_ns() + profile.seek().ns(cylinders)) as f64 / 1e6
}

fn assert_alike(truth: &Profile, found: &Profile) {
    let told = || format!("{}\nof\n{}", found.to_toml(), truth.to_toml());
    assert_eq!(found.zones().len(), truth.zones().len(), "{}", told());
    for number in 0..truth.zones().len() {
        let rates = [found, truth].map(|disk| disk.zones()[number].rate_bps as f64);
        assert!((rates[0] / rates[1] - 1.0).abs() < 0.03, "rate of zone {number}: {}", told());
        let ends = [found, truth].map(|disk| disk.zone_range(number).end as f64);
        let off = (ends[0] - ends[1]).abs() / truth.capacity_bytes() as f64;
        assert!(off < 0.025, "end of zone {number}: {}", told());
    }
    let turns = [found, truth].map(|disk| disk.rotation_ns() as f64 / 1e6);
    assert!((turns[0] - turns[1]).abs() <= 0.1 * turns[1], "turn: {}", told());
    for share in [0.001, 0.01, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.93] {
        let [found_ms, true_ms] = [found, truth].map(|disk| begin_ms(disk, share));
        let tolerance = 0.15 * turns[1] + 0.05 * true_ms + 0.05;
        assert!((found_ms - true_ms).abs() < tolerance, "seek over {share}: {}", told());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn a_profile_is_found_again(truth in truths(), seed: u64) {
        let found = look(&simulated(&truth, seed), SurveyOptions { seed, ..SurveyOptions::default() });
        assert_alike(&truth, &found.profile);
    }

    #[test]
    fn a_profile_is_found_again_though_one_read_in_ten_is_held_up(
        // Of few reads in a small zone the held up ones may be too many: one of 7 % was missed once.
        truth in truths().prop_filter("zones large enough", |disk| smallest_zone(disk) > 0.1),
        seed: u64,
        by_us in 20_000_u64..200_000,
    ) {
        let disk = simulated(&truth, seed).with_seed(seed);
        disk.inject(Fault::Slow { by_us }, Trigger::Chance { per_million: 100_000 });
        let found = look(&disk, SurveyOptions { seed, ..SurveyOptions::default() });
        assert_alike(&truth, &found.profile);
    }

    #[test]
    fn flash_is_one_zone_without_heads(
        overhead_us in 20_u64..400,
        rate_mb in 100_u64..3_000,
        seed: u64,
        held_up in prop_oneof![Just(0), Just(100_000)],
    ) {
        let truth = Profile::flash(64 << 30, overhead_us, rate_mb * 8_000_000);
        let disk = simulated(&truth, seed).with_seed(seed);
        disk.inject(Fault::Slow { by_us: 5_000 }, Trigger::Chance { per_million: held_up });
        let found = look(&disk, SurveyOptions { seed, ..SurveyOptions::quick() }).profile;
        prop_assert_eq!(found.zones().len(), 1);
        prop_assert_eq!((found.rotation_ns(), found.seek().points()), (0, &[(0, 0)][..]));
        let off = |found: u64, truth: u64| (found as f64 / truth as f64 - 1.0).abs();
        prop_assert!(off(found.zones()[0].rate_bps, rate_mb * 8_000_000) < 0.03);
        prop_assert!(off(found.overhead_ns(), overhead_us * 1_000) < 0.03, "{}", found.to_toml());
    }
}

/// Seagate's Barracuda of 1994, as Mitra had it, a thousand times as large and ten times as fast.
fn barracuda() -> Profile {
    "capacity_bytes = 1052266987520
     rotation_ms = 8.33
     overhead_ms = 0.3
     seek = [ [1, 1.0], [400, 5.0], [2697, 16.1] ]
     zones = [ { cylinders = 1200, rate_bps = 347000000 }, { cylinders = 1497, rate_bps = 180000000 } ]"
        .parse()
        .unwrap()
}

#[test]
fn little_time_still_tells_zones_and_turn() {
    let truth = barracuda();
    for seed in 0..8 {
        let disk = simulated(&truth, seed);
        let found = look(&disk, SurveyOptions { seed, ..SurveyOptions::quick() }).profile;
        let toml = found.to_toml();
        assert_eq!(found.zones().len(), 2, "{toml}");
        let border = [&found, &truth].map(|disk| disk.zone_range(0).end as f64);
        assert!((border[0] / border[1] - 1.0).abs() < 0.06, "{toml}");
        let turn = found.rotation_ns() as f64 / truth.rotation_ns() as f64;
        assert!((turn - 1.0).abs() < 0.2, "{toml}");
        let busy_s = disk.stats().read_busy_ns as f64 / 1e9;
        assert!((3.0..8.0).contains(&busy_s), "{busy_s} s");
    }
}

#[test]
fn it_takes_the_time_it_is_given_and_says_how_far_it_is() {
    let disk = simulated(&barracuda(), 1);
    let mut told = Vec::new();
    let options = SurveyOptions::default();
    let found = survey(&disk, &Ground::whole(disk.size()), &options, &mut |at| told.push(at));
    let found = found.unwrap();
    let busy_s = disk.stats().read_busy_ns as f64 / 1e9;
    assert!((25.0..33.0).contains(&busy_s), "{busy_s} s");
    assert!(told.is_sorted_by(|a, b| a.share <= b.share));
    assert_eq!(told.last().unwrap().share, 1.0);
    assert!(told.len() > 100 && told[0].share < 0.01);
    let (profile, stats) = (found.profile, disk.stats());
    assert_eq!((stats.writes, stats.flushes, stats.errors), (0, 0, 0), "it only reads");
    let depths: Vec<u32> = profile.queue.iter().map(|queue| queue.depth).collect();
    assert_eq!(depths, [1, 2, 4, 8, 16, 32]);
    let blocks: Vec<u64> = profile.service.iter().map(|times| times.block_bytes).collect();
    assert_eq!(blocks, [4_096, 65_536, 262_144, 1 << 20, 4 << 20]);
    for times in &profile.service {
        assert!(times.p50_ms < times.p99_ms && times.p99_ms <= times.p999_ms, "{times:?}");
    }
    // A third of the disk away on average, and half a turn.
    let want = 1e3 / (0.3 + 8.33 / 2.0 + 8.5);
    let reads_per_s = profile.queue[0].reads_per_s;
    assert!((reads_per_s / want - 1.0).abs() < 0.2, "{reads_per_s}, not {want}");
    assert_eq!(profile.to_toml().parse::<Profile>().unwrap(), profile);
}

#[test]
fn a_few_unreadable_sectors_are_passed_over_and_many_are_an_error() {
    let disk = simulated(&barracuda(), 1);
    disk.inject(Fault::ReadError, Trigger::Chance { per_million: 3_000 });
    let found = look(&disk, SurveyOptions::quick());
    assert!(found.failed_reads > 0, "{}", found.failed_reads);
    assert_eq!(found.profile.zones().len(), 2);
    disk.inject(Fault::ReadError, Trigger::Always { from_op: 0 });
    let ground = Ground::whole(disk.size());
    let outcome = survey(&disk, &ground, &SurveyOptions::quick(), &mut |_| {});
    assert!(matches!(outcome, Err(SurveyError::Disk(_))));
    disk.kill();
    let outcome = survey(&disk, &ground, &SurveyOptions::quick(), &mut |_| {});
    assert!(matches!(outcome, Err(SurveyError::Disk(error)) if error.is_final()));
}

#[test]
fn only_data_is_read() {
    let disk = simulated(&barracuda(), 1);
    let third = disk.size() / 3 / 4_096 * 4_096;
    let ground = Ground::new(vec![0..third, 2 * third..disk.size()]);
    disk.record();
    let found = survey(&disk, &ground, &SurveyOptions::quick(), &mut |_| {}).unwrap();
    for op in disk.ops() {
        let inside = |part: &std::ops::Range<u64>| {
            part.start <= op.offset && op.offset + op.len_bytes <= part.end
        };
        assert!(ground.ranges().iter().any(inside), "{op:?}");
    }
    assert!(found.profile.rotation_ns() > 7_000_000, "{}", found.profile.to_toml());
}

#[test]
fn too_little_to_read_is_an_error_that_says_so() {
    let tiny = SimDisk::new("tiny", 1 << 20);
    let outcome = survey(&tiny, &Ground::whole(1 << 20), &SurveyOptions::quick(), &mut |_| {});
    assert!(matches!(outcome, Err(SurveyError::TooSmall { size_bytes: 1_048_576, .. })));
    let large = SimDisk::new("holes", 1 << 30);
    let ground = Ground::new(std::iter::once(0..1 << 20).collect());
    let outcome = survey(&large, &ground, &SurveyOptions::quick(), &mut |_| {});
    let error = outcome.unwrap_err().to_string();
    assert!(error.contains("sparse") && error.contains("1048576"), "{error}");
}

#[test]
fn a_small_disk_can_be_measured_too() {
    for mib in [4, 5, 16, 65] {
        let disk = SimDisk::new("small", mib << 20)
            .with_profile(Profile::flash(mib << 20, 100, 1_600_000_000), 1);
        let found = look(&disk, SurveyOptions::quick()).profile;
        assert_eq!((found.zones().len(), found.capacity_bytes()), (1, mib << 20));
        assert!((95_000..105_000).contains(&found.overhead_ns()), "{}", found.to_toml());
    }
}

fn folder() -> tempfile::TempDir {
    // Next to the build, since /tmp is often memory.
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

#[test]
fn a_disk_in_use_is_measured_beside_its_owner_and_left_as_it_is() {
    let (dir, size) = (folder(), 32 << 20);
    let path = dir.path().join("disk");
    let owner = FileDisk::create(&path, size, CreateOptions::default()).unwrap();
    let mut data = pegasus_disk::AlignedBuf::zeroed(size as usize);
    fastrand::Rng::with_seed(1).fill(&mut data);
    pegasus_disk::write(&owner, 0, data).unwrap();
    pegasus_disk::flush(&owner).unwrap();
    let before = std::fs::read(&path).unwrap();
    let subject = Subject::open(&path, 0, &mut |_| {}).unwrap();
    assert_eq!(subject.ground, Ground::whole(size));
    let options = SurveyOptions { time: std::time::Duration::from_millis(300), seed: 1 };
    let found = survey(&subject.disk, &subject.ground, &options, &mut |_| {}).unwrap();
    assert_eq!((found.failed_reads, found.blank_reads), (0, 0));
    let nothing = pegasus_disk::AlignedBuf::zeroed(SECTOR);
    assert!(pegasus_disk::write(&subject.disk, 0, nothing).is_err(), "it is open for reading");
    owner.probe().unwrap();
    assert!(std::fs::read(&path).unwrap() == before);
    drop(owner);
    assert!(
        FileDisk::open(&path, pegasus_disk::OpenOptions::default()).is_ok(),
        "nothing is locked"
    );
}

#[test]
fn what_a_file_does_not_hold_is_not_measured() {
    let dir = folder();
    let path = dir.path().join("sparse");
    let file = std::fs::File::create_new(&path).unwrap();
    file.set_len(1 << 30).unwrap();
    file.write_all_at(&vec![1; 1 << 20], 8 << 20).unwrap();
    file.sync_all().unwrap();
    let subject = Subject::open(&path, 0, &mut |_| {}).unwrap();
    if subject.ground == Ground::whole(1 << 30) {
        return; // a file system that can't tell
    }
    let outcome = survey(&subject.disk, &subject.ground, &SurveyOptions::quick(), &mut |_| {});
    assert!(matches!(outcome, Err(SurveyError::Sparse { data_bytes: 1_048_576, .. })));
}

#[test]
fn a_folder_is_measured_and_left_empty() {
    let dir = folder();
    let mut told = Vec::new();
    let subject = Subject::open(dir.path(), 24 << 20, &mut |at| told.push(at.share)).unwrap();
    assert!(told.is_sorted() && told.len() > 3);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    let options = SurveyOptions { time: std::time::Duration::from_millis(300), seed: 1 };
    let found = survey(&subject.disk, &subject.ground, &options, &mut |_| {}).unwrap();
    assert_eq!(found.profile.capacity_bytes(), 24 << 20);
    assert_eq!(found.blank_reads, 0, "it is not filled with zeros");
}

#[test]
fn what_is_no_disk_is_refused() {
    let dir = folder();
    let error = FileDisk::open_reading("/dev/null", Direct::Auto).unwrap_err();
    assert!(error.to_string().contains("neither a regular file nor a block device"), "{error}");
    let error = Subject::open(dir.path().join("none"), 0, &mut |_| {}).unwrap_err();
    assert!(error.to_string().contains("No such file"), "{error}");
}
