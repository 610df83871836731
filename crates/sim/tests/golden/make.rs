//! Stores with something of everything in them.

use std::sync::Arc;

use bytes::Bytes;
use pegasus_base::{ManualClock, StreamName, Time, TimeRange};
use pegasus_disk::{Disk, SimDisk, TearAt};
use pegasus_files::{Allocate, Files, Ino, Limits, NewInode, RenameMode, SetAttributes, XattrMode};
use pegasus_log::{FormatOptions, Log};
use pegasus_media::{Codec, Shape, Track, TrackId, TrackSet, Unit};

use crate::store::{BEGIN, Store};

const MS: i64 = 1_000_000;

/// Their names.
pub(crate) const STORES: [&str; 6] = ["four-and-one", "cut", "mirror", "alone", "hurt", "limited"];

/// The disks of one of the stores, as they are left behind.
pub(crate) fn make(name: &str) -> Vec<SimDisk> {
    let (data, parity, disk_bytes) = match name {
        "mirror" => (1, 1, 16 << 20),
        "alone" => (2, 0, 8 << 20),
        _ => (4, 1, 8 << 20),
    };
    let mut disks = SimDisk::array(usize::from(data + parity), disk_bytes, 7);
    let options = FormatOptions {
        data,
        parity,
        unit_bytes: Some(64 << 10),
        label: format!("golden {name}"),
        now: BEGIN,
    };
    let handles: Vec<Arc<dyn Disk>> =
        disks.iter().map(|disk| Arc::new(disk.clone()) as _).collect();
    Log::format(&handles, &options, &mut fastrand::Rng::with_seed(11)).unwrap();
    let store = Store::open_at(&disks, None, Arc::new(ManualClock::at(BEGIN)));
    fill(&store);
    match name {
        "cut" => cut(&store, &disks),
        "limited" => {
            limit(&store.files);
            store.close();
            disks
        }
        "hurt" => {
            hurt(&store, &mut disks);
            disks
        }
        _ => {
            store.close();
            disks
        }
    }
}

/// Recordings and files, some of them deleted again, some committed and some in a checkpoint.
fn fill(store: &Store) {
    record(store, "/cam/door", BEGIN, 500);
    programs(&store.files);
    store.files.sync().unwrap();
    store.store.request_checkpoint();
    store.store.flush().unwrap();
    // A pause, and a second stream beside.
    let later = store.clock_at(BEGIN.offset_ns(120_000 * MS));
    record(store, "/cam/door", later, 200);
    record(store, "/lab/a.b_c-1", later, 120);
    let cut = |ms: i64| BEGIN.offset_ns(ms * MS);
    let middle = TimeRange { start: cut(10_000), end: cut(14_000) };
    store.store.delete(&"/cam/door".parse().unwrap(), Some(middle)).unwrap();
    record(store, "/gone", later, 50);
    store.store.delete(&"/gone".parse().unwrap(), None).unwrap();
    churn(&store.files);
    store.files.sync().unwrap();
    store.store.request_checkpoint();
    store.store.flush().unwrap();
    store.log.clean(1 << 20).unwrap();
    store.store.request_checkpoint();
    store.store.flush().unwrap();
    // What no checkpoint has.
    record(store, "/cam/door", store.clock_at(BEGIN.offset_ns(240_000 * MS)), 40);
    let files = &store.files;
    let note = files.make(files.root(), b"behind the checkpoint", &file()).unwrap().ino;
    files.write(note, 5, b"five zeros before").unwrap();
    files.sync().unwrap();
}

/// More of both.
pub(crate) fn more(store: &Store, name: &str) {
    record(store, "/cam/door", store.clock_at(BEGIN.offset_ns(7_200_000 * MS)), 60);
    let files = &store.files;
    let note = files.make(files.root(), name.as_bytes(), &file()).unwrap().ino;
    files.write(note, 0, &text(50_000, 3)).unwrap();
    files.sync().unwrap();
    store.store.request_checkpoint();
    store.store.flush().unwrap();
}

/// Power fails while more is written.
fn cut(store: &Store, disks: &[SimDisk]) -> Vec<SimDisk> {
    record(store, "/cam/door", store.clock_at(BEGIN.offset_ns(300_000 * MS)), 30);
    disks.iter().for_each(SimDisk::record);
    more(store, "being written");
    let ops = disks[0].counter().next_op();
    let mut rng = fastrand::Rng::with_seed(5);
    disks.iter().map(|disk| disk.image_at(ops - 9, TearAt::Bytes512, &mut rng)).collect()
}

/// Quotas on what is there and on what is not, with borrowed blocks, a snapshot and what it alone keeps.
fn limit(files: &Files) {
    let root = files.root();
    let find = |dir: Ino, name: &[u8]| files.lookup(dir, name).unwrap().ino;
    let films = find(root, b"films");
    let limits = Limits { bytes: Some(8 << 20), files: Some(50) };
    files.set_quota(films, limits).unwrap();
    files.set_quota(find(root, b"a"), Limits { bytes: None, files: Some(10) }).unwrap();
    let copy = files.make(films, b"copy", &file()).unwrap().ino;
    files.copy((find(films, b"long"), 0), (copy, 0), 400_000).unwrap();
    files.create_snapshot("kept").unwrap();
    files.write(copy, 70_000, b"its own").unwrap();
    files.unlink(films, b"long").unwrap();
    let gone = files.make(root, b"gone", &NewInode::new(0o040_700, 0, 0)).unwrap().ino;
    files.set_quota(gone, limits).unwrap();
    files.make(gone, b"not limited any more", &file()).unwrap();
    files.remove_quota(gone).unwrap();
}

/// A disk fails, another takes its place, and a sixth is added; nothing is rebuilt yet.
fn hurt(store: &Store, disks: &mut Vec<SimDisk>) {
    disks[2].kill();
    record(store, "/cam/door", store.clock_at(BEGIN.offset_ns(300_000 * MS)), 30);
    let mut rng = fastrand::Rng::with_seed(6);
    let new = SimDisk::new("sim2", 8 << 20);
    let (index, now) = (pegasus_log::DiskIndex(2), store.now());
    store.log.replace_disk(index, Arc::new(new.clone()), now, &mut rng).unwrap();
    disks[2] = new;
    let sixth = SimDisk::new("sim5", 8 << 20);
    store.log.add_disk(Arc::new(sixth.clone()), now, &mut rng).unwrap();
    disks.push(sixth);
    record(store, "/cam/door", store.clock_at(BEGIN.offset_ns(360_000 * MS)), 300);
    store.close();
}

impl Store {
    fn clock_at(&self, time: Time) -> Time {
        self.clock.set(time);
        time
    }

    fn now(&self) -> Time {
        use pegasus_base::Clock;
        self.clock.now()
    }
}

fn tracks() -> TrackSet {
    let config = Bytes::from_static(b"configuration");
    Arc::from([
        Track {
            id: TrackId(0),
            codec: Codec::H264,
            clock_rate: 90_000,
            shape: Shape::Video { width: 640, height: 360 },
            config: config.clone(),
        },
        Track {
            id: TrackId(1),
            codec: Codec::Opus,
            clock_rate: 48_000,
            shape: Shape::Audio { channels: 2, sample_rate: 48_000 },
            config,
        },
    ])
}

/// Bytes that compress well, others for each seed, and in each KiB.
fn text(len: usize, seed: u64) -> Vec<u8> {
    let line = |at: usize| format!("{:15}\n", (seed << 20) | (at as u64 / 64)).into_bytes();
    (0..).flat_map(line).take(len).collect()
}

/// So many pictures, 25 a second, with sound.
fn record(store: &Store, name: &str, from: Time, pictures: u64) {
    let name: StreamName = name.parse().unwrap();
    let recorder = store.store.recorder(&name, tracks()).unwrap();
    for picture in 0..pictures {
        let time = from.offset_ns(picture as i64 * 40 * MS);
        let key = picture.is_multiple_of(25);
        let ticks = picture as i64 * 3_600;
        let len = if key { 9_000 } else { 900 + (picture as usize * 37) % 700 };
        let unit = Unit {
            track: TrackId(0),
            pts: ticks,
            dts: ticks,
            time,
            duration: 3_600,
            key,
            data: text(len, picture).into(),
        };
        recorder.push(Arc::new(unit));
        let sound = Unit {
            track: TrackId(1),
            pts: picture as i64 * 1_920,
            dts: picture as i64 * 1_920,
            time,
            duration: 1_920,
            key: true,
            data: text(120, picture + 1).into(),
        };
        recorder.push(Arc::new(sound));
        if picture % 12 == 11 {
            store.store.flush().unwrap();
        }
    }
    drop(recorder);
    store.store.flush().unwrap();
}

fn file() -> NewInode<'static> {
    NewInode::new(0o100_640, 1000, 100)
}

fn programs(files: &Files) {
    let root = files.root();
    let dir = |at: Ino, name: &str| {
        files.make(at, name.as_bytes(), &NewInode::new(0o042_755, 1000, 100)).unwrap().ino
    };
    let write = |at: Ino, name: &str, bytes: &[u8]| {
        let ino = files.make(at, name.as_bytes(), &file()).unwrap().ino;
        files.write(ino, 0, bytes).unwrap();
        ino
    };
    let films = dir(root, "films");
    write(films, "empty", b"");
    write(films, "short", b"one line\n");
    let long = write(films, "long", &text(400_000, 1));
    files.write(long, 200_000, b"written over").unwrap();
    files.link(long, root, b"a second name").unwrap();
    let holes = write(films, "holes", &text(200_000, 2));
    files.allocate(holes, 20_000, 100_000, Allocate::Punch).unwrap();
    files.set(holes, &SetAttributes { size: Some(4 << 20), ..SetAttributes::default() }).unwrap();
    files.set_xattr(holes, b"user.short", b"value", XattrMode::Any).unwrap();
    files.set_xattr(films, b"user.long", &text(5_000, 4), XattrMode::Any).unwrap();
    let target: Vec<u8> = text(1_500, 9).into_iter().filter(|byte| *byte != b'\n').collect();
    files.make(films, b"link", &NewInode::link(b"../somewhere else", 7, 8)).unwrap();
    files.make(films, b"long link", &NewInode::link(&target, 7, 8)).unwrap();
    files.make(films, b"device", &NewInode::new(0o020_600, 0, 0).device(0x0103)).unwrap();
    files.make(films, b"pipe", &NewInode::new(0o010_600, 0, 0)).unwrap();
    let many = dir(root, "many");
    for at in 0..400 {
        write(many, &format!("a file with a name that takes room {at}"), at.to_string().as_bytes());
    }
    dir(dir(dir(root, "a"), "b"), "c");
}

/// Makes garbage, and moves things.
fn churn(files: &Files) {
    let root = files.root();
    let find = |dir: Ino, name: &[u8]| files.lookup(dir, name).unwrap().ino;
    let many = find(root, b"many");
    for at in (0..400).step_by(3) {
        let name = format!("a file with a name that takes room {at}");
        files.unlink(many, name.as_bytes()).unwrap();
    }
    for at in 0..13 {
        let name = format!("passing {at}");
        let ino = files.make(root, name.as_bytes(), &file()).unwrap().ino;
        files.write(ino, 0, &text(66_000, at)).unwrap();
        files.sync().unwrap();
        if at % 4 != 0 {
            files.unlink(root, name.as_bytes()).unwrap();
        }
    }
    let films = find(root, b"films");
    files.rename((films, b"short"), (find(root, b"a"), b"moved"), RenameMode::Replace).unwrap();
    let cut = find(root, b"passing 8");
    files.set(cut, &SetAttributes { size: Some(20_001), ..SetAttributes::default() }).unwrap();
    // Open while it is unlinked, and so an orphan on the disks.
    let open = find(root, b"passing 12");
    files.open_inode(open).unwrap();
    files.unlink(root, b"passing 12").unwrap();
}
