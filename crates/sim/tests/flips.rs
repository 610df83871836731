//! A bit is flipped in every kind of thing there is on the disks. The check and a scrub must each notice, name
//! disk, place, thing and owner; and after the scrub all is as it was.
//!
//! The kinds are those of the format itself: a kind that the store made here does not have fails the test.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use pegasus_base::{Clock, ManualClock, Time, TimeRange};
use pegasus_continuous::{Continuous, Pushed, check_store};
use pegasus_disk::{Disk, SECTOR, SimDisk};
use pegasus_files::{Allocate, Files, Ino, NewInode, SetAttributes};
use pegasus_log::{FormatOptions, Kind, Log, OpenOptions, Part, Place};
use pegasus_media::{Codec, Shape, Track, TrackId, TrackSet, Unit};

const BEGIN: Time = Time::from_secs(1_700_000_000);
const DISKS: usize = 5;
/// Of each kind and part so many are damaged.
const EACH: usize = 3;

fn seed() -> u64 {
    std::env::var("PEGASUS_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// A store with something of everything in it, still open.
struct Rig {
    disks: Vec<SimDisk>,
    clock: Arc<ManualClock>,
    log: Arc<Log>,
    store: Continuous,
    files: Files,
    /// When the next picture is taken.
    time: Time,
}

fn given(disks: &[SimDisk]) -> Vec<(String, Option<Arc<dyn Disk>>)> {
    disks.iter().map(|disk| (disk.label(), Some(Arc::new(disk.clone()) as Arc<dyn Disk>))).collect()
}

fn tracks() -> TrackSet {
    Arc::from([Track {
        id: TrackId(0),
        codec: Codec::H264,
        clock_rate: 90_000,
        shape: Shape::Video { width: 640, height: 360 },
        config: bytes::Bytes::from_static(b"configuration"),
    }])
}

impl Rig {
    fn new() -> Self {
        let disks = SimDisk::array(DISKS, 12 << 20, 1);
        let handles: Vec<Arc<dyn Disk>> = disks.iter().map(|d| Arc::new(d.clone()) as _).collect();
        let label = "flips".to_owned();
        let options =
            FormatOptions { data: 4, parity: 1, unit_bytes: Some(64 << 10), label, now: BEGIN };
        Log::format(&handles, &options, &mut fastrand::Rng::with_seed(1)).unwrap();
        let clock = Arc::new(ManualClock::at(BEGIN));
        let options = OpenOptions { now: BEGIN, read_only: false };
        let (log, recovery) = Log::open(given(&disks), &options).unwrap();
        let log = Arc::new(log);
        let settings = pegasus_continuous::Settings { seed: Some(1), ..Default::default() };
        let seam = clock.clone() as Arc<dyn Clock>;
        let store =
            Continuous::open_undriven(log.clone(), recovery, settings, seam.clone()).unwrap();
        let files = Files::open_undriven(
            log.clone(),
            pegasus_files::Settings::default(),
            seam,
            Box::new(|| ()),
        );
        let files = files.unwrap();
        Self { disks, clock, log, store, files, time: BEGIN }
    }

    fn file(&self, name: &str, bytes: &[u8]) -> Ino {
        let root = self.files.root();
        let ino =
            self.files.make(root, name.as_bytes(), &NewInode::new(0o100_644, 0, 0)).unwrap().ino;
        self.files.write(ino, 0, bytes).unwrap();
        ino
    }

    fn record(&mut self, name: &str, pictures: usize) {
        let recorder = self.store.recorder(&name.parse().unwrap(), tracks()).unwrap();
        for number in 0..pictures {
            let ticks = self.time.as_ns() / 1_000_000 * 90;
            let unit = Unit {
                track: TrackId(0),
                pts: ticks,
                dts: ticks,
                time: self.time,
                duration: 0,
                key: number % 10 == 0,
                data: vec![number as u8; 9_000].into(),
            };
            assert_eq!(recorder.push(Arc::new(unit)), Pushed::Queued);
            self.time = self.time.offset_ns(40_000_000);
            if number % 10 == 9 {
                self.clock.set(self.time);
                self.store.flush().unwrap();
            }
        }
        drop(recorder);
        self.store.flush().unwrap();
    }

    fn checkpoint(&self) {
        self.files.sync().unwrap();
        self.store.request_checkpoint();
        self.store.flush().unwrap();
    }

    /// Makes some of everything; then, with no checkpoint behind it, every change there is.
    fn fill(&mut self) {
        let noise = |len: usize| fastrand::Rng::with_seed(len as u64).u8s(len);
        self.record("/cam/old", 120);
        let small = self.file("small", &noise(5_000));
        let bulk = self.file("bulk", &noise(300_000));
        self.file("gone", &noise(40_000));
        self.checkpoint();
        // What is written over makes holes, which the garbage file names.
        for round in 0..4 {
            self.files.write(small, 100 * round, b"otherwise").unwrap();
            self.checkpoint();
        }
        self.record("/cam/door", 60);
        self.file("more", &noise(200_000));
        self.files.write(small, 0, b"again").unwrap();
        self.files.sync().unwrap();
        let size = Some(2_000);
        self.files.set(small, &SetAttributes { size, ..Default::default() }).unwrap();
        self.files.allocate(bulk, 32 << 10, 64 << 10, Allocate::Punch).unwrap();
        self.files.sync().unwrap();
        self.files.unlink(self.files.root(), b"gone").unwrap();
        self.files.sync().unwrap();
        let begin = TimeRange { start: Time::MIN, end: BEGIN.offset_ns(3_000_000_000) };
        self.store.delete(&"/cam/old".parse().unwrap(), Some(begin)).unwrap();
        self.record("/cam/yard", 40);
    }

    fn fork(&self) -> Vec<SimDisk> {
        self.disks.iter().map(SimDisk::fork).collect()
    }
}

trait Noise {
    fn u8s(self, len: usize) -> Vec<u8>;
}

impl Noise for fastrand::Rng {
    fn u8s(mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.fill(&mut bytes);
        bytes
    }
}

/// What is damaged: a bit of a place.
struct Flip<'a> {
    place: &'a Place,
    at: u64,
    bit: u8,
}

impl Flip<'_> {
    fn apply(&self, disks: &[SimDisk]) {
        let disk = &disks[usize::from(self.place.disk.0)];
        let sector = self.at - self.at % SECTOR as u64;
        let mut bytes = pegasus_disk::read(disk, sector, SECTOR).unwrap().to_vec();
        bytes[(self.at - sector) as usize] ^= 1 << self.bit;
        disk.overwrite(sector, &bytes);
    }

    fn what(&self) -> String {
        let Place { kind, part, disk, block, .. } = self.place;
        format!("{kind:?}, {part:?}, {disk}, {block:?}: bit {} of byte {}", self.bit, self.at)
    }

    /// Whether a sentence names disk and place of what holds this, and what it is.
    fn is_named_in(&self, sentence: &str, disks: &[SimDisk]) -> bool {
        let label = disks[usize::from(self.place.disk.0)].label();
        let place = format!("disk {label} offset {}", self.place.begins);
        let thing = match (self.place.kind, self.place.part) {
            (Kind::Superblock, Part::Copy(copy)) => format!("copy {copy} of its superblock"),
            (Kind::Pointer, _) => "point".to_owned(),
            _ => {
                let (segment, block) = self.place.block.expect("it is in a block");
                format!("block {block} of {segment}")
            }
        };
        sentence.contains(&place) && sentence.contains(&thing)
    }
}

/// Words by which a kind is known in a sentence about a fragment that holds it.
fn words(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Superblock => &["superblock"],
        Kind::Pointer => &["checkpoint"],
        // It stands in front of whatever else is in its fragment.
        Kind::Head => &["block"],
        Kind::Created => &["created"],
        Kind::Written => &["written"],
        Kind::AttributesSet => &["attributes"],
        Kind::Trimmed => &["trimmed"],
        Kind::Truncated => &["truncated"],
        Kind::Deleted => &["deleted"],
        Kind::Punched => &["punched"],
        Kind::SegmentOpened => &["opened"],
        Kind::SegmentSealed => &["sealed"],
        Kind::SegmentFreed => &["freed"],
        Kind::NextSegment => &["the log goes on"],
        Kind::Placed => &["written in bulk"],
        Kind::Blocks => &["a commit's blocks"],
        Kind::Content | Kind::Bulk => &["content block", "pnode"],
        Kind::Garbage => &["content block", "garbage file"],
        Kind::Image => &["image of", "pnode"],
        Kind::Leaf => &["leaf", "pnode"],
        Kind::Page => &["page"],
        Kind::Body => &["body of checkpoint"],
        Kind::Owned => &["/cam/"],
    }
}

/// Some places of each kind and part, and a bit in each.
fn flips<'a>(places: &'a [Place], rng: &mut fastrand::Rng) -> Vec<Flip<'a>> {
    let mut sorted: BTreeMap<(Kind, Part, bool), Vec<&Place>> = BTreeMap::new();
    let last: BTreeMap<_, _> = places.iter().filter_map(|place| place.block).collect();
    for place in places {
        let part = match place.part {
            Part::Data(_) => Part::Data(0),
            part => part,
        };
        // The last block of a stream's segment is its index.
        let is_last = place.block.is_some_and(|(segment, block)| last[&segment] == block);
        sorted
            .entry((place.kind, part, place.kind == Kind::Owned && is_last))
            .or_default()
            .push(place);
    }
    let mut found = Vec::new();
    for mut same in sorted.into_values() {
        rng.shuffle(&mut same);
        for place in same.into_iter().take(EACH) {
            found.push(Flip { place, at: rng.u64(place.range.clone()), bit: rng.u8(..8) });
        }
    }
    found
}

/// Places that count: what is in blocks that are alive, by what the check reads.
fn living(rig: &Rig) -> Vec<Place> {
    let places = rig.log.places();
    let kinds: BTreeSet<Kind> = places.iter().map(|place| place.kind).collect();
    let missing: Vec<_> = Kind::ALL.iter().filter(|kind| !kinds.contains(kind)).collect();
    assert!(missing.is_empty(), "the store made here has none of {missing:?}");
    let parts: BTreeSet<(Kind, Part)> =
        places.iter().map(|place| (place.kind, place.part)).collect();
    for copy in 0..4 {
        assert!(parts.contains(&(Kind::Superblock, Part::Copy(copy))), "superblock {copy}");
    }
    for slot in 0..2 {
        assert!(parts.contains(&(Kind::Pointer, Part::Copy(slot))), "pointer {slot}");
    }
    places
}

fn check(disks: &[SimDisk]) -> Vec<String> {
    let report = check_store(given(disks), BEGIN, pegasus_files::check).unwrap();
    assert_eq!(report.ok, report.problems.is_empty());
    // Of two pointers one may be damaged after a crash: that is said, and is no problem.
    report.problems.into_iter().chain(report.remarks).collect()
}

#[test]
fn the_check_names_every_flipped_bit() {
    let mut rng = fastrand::Rng::with_seed(seed());
    let mut rig = Rig::new();
    rig.fill();
    assert_eq!(check(&rig.fork()), [""; 0], "before anything is damaged");
    let places = living(&rig);
    let mut indexes = 0;
    for flip in flips(&places, &mut rng) {
        let disks = rig.fork();
        flip.apply(&disks);
        let problems = check(&disks);
        let named = problems.iter().find(|sentence| flip.is_named_in(sentence, &disks));
        let Some(sentence) = named else {
            panic!("seed {}: not named: {}; but {problems:#?}", seed(), flip.what());
        };
        for word in words(flip.place.kind) {
            let said = sentence.contains(word) || sentence.contains("more");
            assert!(said, "seed {}: {} is not said to be that: {sentence}", seed(), flip.what());
        }
        indexes += u32::from(sentence.contains("index of"));
        let label = disks[usize::from(flip.place.disk.0)].label();
        let others: Vec<_> = problems.iter().filter(|problem| !problem.contains(&label)).collect();
        assert_eq!(others, Vec::<&String>::new(), "another disk is blamed");
    }
    assert!(indexes > 0, "no index was damaged");
}

#[test]
fn a_scrub_names_and_repairs_every_flipped_bit() {
    let mut rng = fastrand::Rng::with_seed(seed() + 1);
    for disk in 0..DISKS {
        let mut rig = Rig::new();
        rig.fill();
        let places = living(&rig);
        let own: Vec<Place> =
            places.into_iter().filter(|p| usize::from(p.disk.0) == disk).collect();
        // As many as are kept in words; a bit for each fragment, so that none is undone by another.
        let mut seen = BTreeSet::new();
        let mut chosen = flips(&own, &mut rng);
        rng.shuffle(&mut chosen);
        chosen.retain(|flip| seen.insert(flip.place.begins));
        chosen.truncate(40);
        chosen.iter().for_each(|flip| flip.apply(&rig.disks));
        rig.store.scrub(None);
        rig.store.tend().unwrap();
        let care = rig.store.status().care;
        assert_eq!((care.lost_blocks, care.refused_repairs), (0, 0), "{:#?}", care.problems);
        for flip in &chosen {
            let named = care.problems.iter().any(|sentence| flip.is_named_in(sentence, &rig.disks));
            assert!(named, "not named: {}; but {:#?}", flip.what(), care.problems);
        }
        assert!(care.repaired_fragments >= chosen.len() as u64);
        rig.store.scrub(None);
        rig.store.tend().unwrap();
        assert_eq!(rig.store.status().care.problems, [""; 0], "a second one finds nothing");
        rig.files.close().unwrap();
        rig.store.close().unwrap();
        assert_eq!(check(&rig.disks), [""; 0], "and all is well");
    }
}
