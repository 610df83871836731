//! One suite, every disk: what the store relies on holds for the real and the simulated alike.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pegasus_disk::{
    AlignedBuf, Batch, CreateOptions, Direct, Disk, DiskError, FileDisk, OpenOptions, Reads,
    Request, SECTOR, SimDisk, TearAt, flush, read, write,
};
use tempfile::TempDir;

const S: u64 = SECTOR as u64;

/// A disk under test, which can be closed and opened again.
trait Subject {
    fn create(size_bytes: u64) -> Self;
    fn disk(&self) -> &dyn Disk;
    fn reopen(self) -> Self;
}

/// Through the page cache if `DIRECT` is false, else as the file system allows.
struct OnFile<const DIRECT: bool> {
    disk: FileDisk,
    path: PathBuf,
    dir: TempDir,
}

fn direct(wanted: bool) -> Direct {
    if wanted { Direct::Auto } else { Direct::Never }
}

impl<const DIRECT: bool> OnFile<DIRECT> {
    fn create_in(dir: TempDir, size_bytes: u64) -> Self {
        let path = dir.path().join("disk");
        let options = CreateOptions { direct: direct(DIRECT), ..CreateOptions::default() };
        let disk = FileDisk::create(&path, size_bytes, options).unwrap();
        assert!(DIRECT || !disk.is_direct());
        Self { disk, path, dir }
    }
}

impl<const DIRECT: bool> Subject for OnFile<DIRECT> {
    fn create(size_bytes: u64) -> Self {
        // Next to the build, since /tmp is often memory.
        Self::create_in(tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap(), size_bytes)
    }

    fn disk(&self) -> &dyn Disk {
        &self.disk
    }

    fn reopen(self) -> Self {
        let Self { disk, path, dir } = self;
        drop(disk);
        let disk = FileDisk::open(&path, OpenOptions { direct: direct(DIRECT) }).unwrap();
        Self { disk, path, dir }
    }
}

/// On a file system in memory, which may or may not take direct I/O.
struct InMemoryFile(OnFile<true>);

impl Subject for InMemoryFile {
    fn create(size_bytes: u64) -> Self {
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        Self(OnFile::create_in(dir, size_bytes))
    }

    fn disk(&self) -> &dyn Disk {
        &self.0.disk
    }

    fn reopen(self) -> Self {
        Self(self.0.reopen())
    }
}

/// Reopened by a power cut, which is harsher.
struct Simulated(SimDisk);

impl Subject for Simulated {
    fn create(size_bytes: u64) -> Self {
        Self(SimDisk::new("sim", size_bytes))
    }

    fn disk(&self) -> &dyn Disk {
        &self.0
    }

    fn reopen(self) -> Self {
        Self(self.0.crash(TearAt::Bytes512, &mut fastrand::Rng::with_seed(1)))
    }
}

/// Sectors all of whose bytes tell `tag`.
fn filled(sectors: usize, tag: u8) -> Arc<AlignedBuf> {
    let mut buf = AlignedBuf::for_overwrite(sectors * SECTOR);
    buf.fill(tag);
    Arc::new(buf)
}

fn starts_as_zeros<T: Subject>() {
    let subject = T::create(64 * S);
    let disk = subject.disk();
    assert_eq!(disk.size(), 64 * S);
    assert!(!disk.label().is_empty());
    assert!(read(disk, 0, 64 * SECTOR).unwrap().iter().all(|b| *b == 0));
    disk.probe().unwrap();
}

fn writes_stay_in_their_place<T: Subject>() {
    let subject = T::create(8 * S);
    let disk = subject.disk();
    for (sector, tag) in [(0, 1), (3, 2), (7, 3)] {
        write(disk, sector * S, filled(1, tag)).unwrap();
    }
    let all = read(disk, 0, 8 * SECTOR).unwrap();
    let tags: Vec<u8> = all.chunks(SECTOR).map(|c| c[0]).collect();
    assert_eq!(tags, [1, 0, 0, 2, 0, 0, 0, 3]);
    assert!(all.chunks(SECTOR).all(|c| c.iter().all(|b| *b == c[0])));
}

fn nonsense_is_refused_and_harmless<T: Subject>() {
    let subject = T::create(8 * S);
    let disk = subject.disk();
    write(disk, 0, filled(8, 9)).unwrap();
    for (offset, len) in [
        (1, SECTOR),
        (512, SECTOR),
        (0, 100),
        (8 * S, SECTOR),
        (7 * S, 2 * SECTOR),
        (u64::MAX - S + 1, SECTOR),
        (u64::MAX - 4095, 2 * SECTOR),
        (0, usize::MAX & !(SECTOR - 1)),
    ] {
        let error = read(disk, offset, len).unwrap_err();
        assert!(matches!(error, DiskError::Bounds { .. }), "{offset} {len}: {error}");
    }
    for (offset, sectors) in [(100, 1), (8 * S, 1), (7 * S, 2), (u64::MAX - 4095, 1)] {
        let error = write(disk, offset, filled(sectors, 1)).unwrap_err();
        assert!(matches!(error, DiskError::Bounds { .. }), "{offset}: {error}");
    }
    assert!(read(disk, 0, 8 * SECTOR).unwrap().iter().all(|b| *b == 9));
    assert_eq!(read(disk, 8 * S, 0).unwrap().len(), 0, "nothing, at the end, is inside");
}

fn writes_take_effect_in_order<T: Subject>() {
    let subject = T::create(1024 * S);
    let disk = subject.disk();
    let mut batch = Batch::new();
    for tag in 1..=200 {
        batch.add(disk, Request::Write { offset: 5 * S, buf: filled(2, tag) });
        // Neighbours, which a disk may put together.
        batch.add(
            disk,
            Request::Write { offset: (100 + 3 * u64::from(tag)) * S, buf: filled(3, tag) },
        );
    }
    batch.add(disk, Request::Flush);
    assert_eq!(batch.len(), 401);
    assert!(batch.wait_all().iter().all(Result::is_ok));
    assert!(read(disk, 5 * S, 2 * SECTOR).unwrap().iter().all(|b| *b == 200));
    let run = read(disk, 103 * S, 600 * SECTOR).unwrap();
    for (at, sector) in run.chunks(SECTOR).enumerate() {
        assert!(sector.iter().all(|b| usize::from(*b) == at / 3 + 1), "sector {at}");
    }
}

fn outcomes_stand_in_the_order_of_requests<T: Subject>() {
    let subject = T::create(8 * S);
    let disk = subject.disk();
    write(disk, 2 * S, filled(1, 42)).unwrap();
    let mut batch = Batch::new();
    assert_eq!(batch.add(disk, Request::Write { offset: 0, buf: filled(1, 1) }), 0);
    assert_eq!(batch.add(disk, Request::Read { offset: 9 * S, len: SECTOR }), 1);
    assert_eq!(batch.add(disk, Request::Read { offset: 2 * S, len: SECTOR }), 2);
    let mut outcomes = batch.wait_all().into_iter();
    outcomes.next().unwrap().unwrap();
    assert!(outcomes.next().unwrap().unwrap_err().to_string().contains("36864"));
    assert_eq!(outcomes.next().unwrap().unwrap().into_buf()[0], 42);
}

fn buffers_come_back<T: Subject>() {
    let subject = T::create(64 * S);
    let buf = filled(16, 5);
    for place in 0..4 {
        write(subject.disk(), place * 16 * S, buf.clone()).unwrap();
    }
    // Nobody else holds the buffer any more: it can be filled anew.
    let mut buf = Arc::try_unwrap(buf).expect("the disk let go of the buffer");
    buf.fill(6);
    write(subject.disk(), 0, buf).unwrap();
    let all = read(subject.disk(), 0, 64 * SECTOR).unwrap();
    assert_eq!((all[0], all[16 * SECTOR]), (6, 5));
}

fn flushed_data_is_there_after_reopening<T: Subject>() {
    let subject = T::create(64 * S);
    let mut batch = Batch::new();
    for sector in 0..64 {
        batch.add(
            subject.disk(),
            Request::Write { offset: sector * S, buf: filled(1, sector as u8) },
        );
    }
    batch.add(subject.disk(), Request::Flush); // without waiting for the writes
    assert!(batch.wait_all().iter().all(Result::is_ok));
    let subject = subject.reopen();
    let all = read(subject.disk(), 0, 64 * SECTOR).unwrap();
    for (sector, bytes) in all.chunks(SECTOR).enumerate() {
        assert!(bytes.iter().all(|b| usize::from(*b) == sector), "sector {sector}");
    }
}

fn threads_may_share_it<T: Subject + Sync>() {
    let subject = T::create(256 * S);
    let disk = subject.disk();
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            scope.spawn(move || {
                for round in 0..50_u8 {
                    let offset = (thread * 64 + u64::from(round) % 16 * 4) * S;
                    write(disk, offset, filled(4, round)).unwrap();
                    assert!(read(disk, offset, 4 * SECTOR).unwrap().iter().all(|b| *b == round));
                    if round % 10 == 0 {
                        flush(disk).unwrap();
                    }
                }
            });
        }
    });
}

/// By the kernel's rings where there are any, and by threads.
const WAYS: [fn() -> Reads; 2] = [Reads::new, Reads::by_threads];

fn many_are_read_together<T: Subject>() {
    let subject = T::create(512 * S);
    let tags = |sector: u64| (sector % 251) as u8;
    for sector in 0..512 {
        write(subject.disk(), sector * S, filled(1, tags(sector))).unwrap();
    }
    let mut rng = fastrand::Rng::with_seed(7);
    for way in WAYS {
        let mut reads = way();
        let wanted: Vec<(u64, u64)> = (0..700).map(|_| (rng.u64(..520), rng.u64(0..8))).collect();
        for (at, (sector, sectors)) in wanted.iter().enumerate() {
            let len = *sectors as usize * SECTOR;
            assert_eq!(reads.add(subject.disk(), sector * S, len), at);
        }
        // Some of them may be over, and nothing is lost.
        assert!(reads.wait_until(Some(Instant::now())) <= 700);
        assert_eq!(reads.wait_until(None), 0);
        for ((sector, sectors), outcome) in wanted.iter().zip(reads.into_outcomes()) {
            match outcome.expect("it was waited for") {
                Ok(buf) => {
                    assert_eq!(buf.len() as u64, sectors * S);
                    for (at, bytes) in buf.chunks(SECTOR).enumerate() {
                        let tag = tags(sector + at as u64);
                        assert!(bytes.iter().all(|byte| *byte == tag), "{sector} + {at}");
                    }
                }
                Err(error) => {
                    assert!(sector + sectors > 512, "{sector} + {sectors}: {error}");
                    assert!(matches!(error, DiskError::Bounds { .. }), "{error}");
                }
            }
        }
        assert_eq!(subject.disk().stats().queued, 0);
    }
}

fn what_nobody_waits_for_does_no_harm<T: Subject>() {
    for way in WAYS {
        let mut subject = T::create(64 * S);
        write(subject.disk(), 0, filled(64, 1)).unwrap();
        for round in 2..30 {
            let mut given_up = way();
            for sector in 0..16 {
                given_up.add(subject.disk(), sector * S, 8 * SECTOR);
            }
            if round % 2 == 0 {
                given_up.wait_until(Some(Instant::now()));
            }
            drop(given_up);
            write(subject.disk(), 0, filled(64, round)).unwrap();
            let found = read(subject.disk(), 0, 64 * SECTOR).unwrap();
            assert!(found.iter().all(|byte| *byte == round), "round {round}");
            if round % 7 == 0 {
                // It is let go of although its reads were not waited for.
                flush(subject.disk()).unwrap();
                subject = subject.reopen();
            }
        }
        // They come to an end by themselves.
        while subject.disk().stats().queued > 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

fn counters_add_up<T: Subject>() {
    let subject = T::create(64 * S);
    let disk = subject.disk();
    for sector in 0..10 {
        write(disk, sector * 2 * S, filled(2, 1)).unwrap();
    }
    for _ in 0..3 {
        let _ = read(disk, 0, 4 * SECTOR).unwrap();
    }
    flush(disk).unwrap();
    let stats = disk.stats();
    assert_eq!((stats.writes, stats.written_bytes), (10, 20 * S));
    assert_eq!((stats.reads, stats.read_bytes), (3, 12 * S));
    assert_eq!((stats.flushes, stats.errors, stats.queued), (1, 0, 0));
    assert!(stats.read_busy_ns > 0 && stats.write_busy_ns > 0);
}

/// Random work against a plain array of bytes.
fn agrees_with_an_array<T: Subject>() {
    for seed in 0..8 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut subject = T::create(128 * S);
        let mut model = vec![0_u8; 128 * SECTOR];
        for step in 0..100 {
            let from = rng.usize(0..128);
            let sectors = rng.usize(1..=(128 - from).min(20));
            let (offset, len) = (from as u64 * S, sectors * SECTOR);
            let there = from * SECTOR..from * SECTOR + len;
            match rng.u8(0..20) {
                0..10 => {
                    let mut buf = AlignedBuf::for_overwrite(len);
                    rng.fill(&mut buf);
                    model[there].copy_from_slice(&buf);
                    write(subject.disk(), offset, buf).unwrap();
                }
                10..18 => {
                    let found = read(subject.disk(), offset, len).unwrap();
                    assert!(found[..] == model[there], "seed {seed}, step {step}");
                }
                18 => flush(subject.disk()).unwrap(),
                _ => {
                    flush(subject.disk()).unwrap();
                    subject = subject.reopen();
                }
            }
        }
    }
}

macro_rules! suite {
    ($($name:ident: $subject:ty,)*) => {$(
        mod $name {
            use super::*;
            suite!(@ $subject: starts_as_zeros, writes_stay_in_their_place,
                nonsense_is_refused_and_harmless, writes_take_effect_in_order,
                outcomes_stand_in_the_order_of_requests, buffers_come_back,
                flushed_data_is_there_after_reopening, threads_may_share_it, many_are_read_together,
                what_nobody_waits_for_does_no_harm, counters_add_up,
                agrees_with_an_array);
        }
    )*};
    (@ $subject:ty: $($test:ident),*) => {$(
        #[test]
        fn $test() {
            super::$test::<$subject>();
        }
    )*};
}

suite! {
    file: OnFile<true>,
    file_buffered: OnFile<false>,
    file_in_memory: InMemoryFile,
    simulated: Simulated,
}
