//! Driving ffmpeg and ffprobe, and putting planned files together.
#![allow(dead_code)] // each test file uses its own part

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use pegasus_base::Time;
use pegasus_media::mp4::{Item, Mp4File, Piece, Plan};
use pegasus_media::{Codec, Shape, Track, TrackId, TrackSet, Unit};

/// A packet as ffmpeg copies it out of a file.
#[derive(Debug)]
pub(crate) struct Packet {
    pub(crate) dts_ns: i64,
    pub(crate) pts_ns: i64,
    pub(crate) len_bytes: u64,
    pub(crate) hash: String,
}

pub(crate) fn clip(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/media").join(name)
}

pub(crate) fn write(path: &Path, bytes: &[u8]) -> PathBuf {
    std::fs::write(path, bytes).unwrap();
    path.to_owned()
}

fn run(tool: &str, arguments: &[&str]) -> Output {
    let output = Command::new(tool).args(arguments).output();
    output.unwrap_or_else(|error| panic!("this test needs {tool} (apt install ffmpeg): {error}"))
}

fn ffmpeg(arguments: &[&str]) -> String {
    let output = run("ffmpeg", &[&["-nostdin", "-v", "error"], arguments].concat());
    let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "ffmpeg {arguments:?}: {complaints}");
    String::from_utf8(output.stdout).unwrap()
}

/// Makes a file with ffmpeg.
pub(crate) fn make(path: &Path, arguments: &[&str]) -> PathBuf {
    ffmpeg(&[arguments, &["-y", path.to_str().unwrap()]].concat());
    path.to_owned()
}

/// What ffprobe has to say against a file, having read all packets.
pub(crate) fn complaints(path: &Path) -> String {
    let path = path.to_str().unwrap();
    said(&run("ffprobe", &["-v", "warning", "-show_streams", "-show_packets", path]))
}

/// What a decoder has to say against the content of a file.
pub(crate) fn decoder_complaints(path: &Path) -> String {
    let path = path.to_str().unwrap();
    let decode = ["-nostdin", "-v", "warning", "-i", path, "-map", "0", "-f", "null", "-"];
    said(&run("ffmpeg", &decode))
}

fn said(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    // MP4 says how many channels plain PCM has, not which.
    let against = said.lines().filter(|line| !line.contains("Guessed Channel Layout"));
    against.collect::<Vec<_>>().join("\n")
}

/// The packets of one track that are presented.
pub(crate) fn packets(path: &Path, track: usize) -> Vec<Packet> {
    copied(&[], path, track)
}

/// All packets of one track, also those that the file's edit list leaves out.
pub(crate) fn all_packets(path: &Path, track: usize) -> Vec<Packet> {
    copied(&["-ignore_editlist", "1"], path, track)
}

fn copied(options: &[&str], path: &Path, track: usize) -> Vec<Packet> {
    let (path, map) = (path.to_str().unwrap(), format!("0:{track}"));
    let copy = ["-i", path, "-map", &map, "-c", "copy", "-f", "framehash", "-"];
    parse(&ffmpeg(&[options, &copy].concat()))
}

fn parse(text: &str) -> Vec<Packet> {
    let mut base = (1_i64, 1_i64);
    let mut packets = Vec::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("#tb 0: ") {
            let (n, d) = rest.split_once('/').unwrap();
            base = (n.parse().unwrap(), d.parse().unwrap());
        }
        if line.starts_with('#') {
            continue;
        }
        let fields: Vec<&str> = line.split(',').map(str::trim).collect();
        if let [_, dts, pts, _, len, hash, ..] = fields[..] {
            let ns = |text: &str| {
                let ticks: i64 = text.parse().unwrap();
                i64::try_from(i128::from(ticks * base.0) * 1_000_000_000 / i128::from(base.1))
                    .unwrap()
            };
            packets.push(Packet {
                dts_ns: ns(dts),
                pts_ns: ns(pts),
                len_bytes: len.parse().unwrap(),
                hash: hash.to_owned(),
            });
        }
    }
    packets
}

/// A checksum of a track's decoded samples.
pub(crate) fn decoded(path: &Path, track: usize) -> String {
    let map = format!("0:{track}");
    ffmpeg(&["-i", path.to_str().unwrap(), "-map", &map, "-f", "hash", "-"])
}

/// The bytes of a range of a planned file.
pub(crate) fn assemble(plan: &Plan, units: &[Unit], range: Range<u64>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for piece in plan.slice(range) {
        match piece {
            Piece::Head(head) => bytes.extend_from_slice(&head),
            Piece::Unit { index, skip, len } => {
                let data = &units[usize::try_from(index).unwrap()].data;
                bytes.extend_from_slice(&data[skip as usize..(skip + len) as usize]);
            }
        }
    }
    bytes
}

/// When made-up films begin.
pub(crate) const START: Time = Time::from_secs(1_700_000_000);

/// Time between the pictures of a made-up film.
pub(crate) const FRAME_NS: i64 = 40_000_000;

/// The pictures of a made-up film.
pub(crate) fn video() -> Track {
    Track {
        id: TrackId(0),
        codec: Codec::H264,
        clock_rate: 90_000,
        shape: Shape::Video { width: 640, height: 360 },
        config: vec![1, 0x64, 0, 0x1f, 0xff, 0xe0, 0].into(),
    }
}

/// Its sound.
pub(crate) fn sound() -> Track {
    Track {
        id: TrackId(1),
        codec: Codec::Aac,
        clock_rate: 48_000,
        shape: Shape::Audio { channels: 2, sample_rate: 48_000 },
        config: vec![0x11, 0x90].into(),
    }
}

/// Random pictures in decode order I P B B (25 a second, I P B B P B B ...) with random sound,
/// as a recorder holds them.
pub(crate) fn film(seed: u64, pictures: usize) -> (Vec<Track>, Vec<Unit>) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut units = Vec::new();
    let origin = rng.i64(-1_000_000..1_000_000);
    let bytes = |rng: &mut fastrand::Rng, max| -> bytes::Bytes {
        (0..rng.usize(1..max)).map(|_| rng.u8(..)).collect()
    };
    for n in 0..i64::try_from(pictures).unwrap() {
        // Decode order 0 3 1 2 6 4 5 ...; the last group may be cut.
        let shown = match (n, n % 3) {
            (0, _) => 0,
            (_, 1) => n + 2,
            _ => n - 1,
        };
        units.push(Unit {
            track: TrackId(0),
            pts: origin + shown * 3_600,
            dts: origin + (n - 1) * 3_600,
            time: START.offset_ns(shown * FRAME_NS),
            duration: 0,
            key: n == 0 || n % 30 == 1,
            data: bytes(&mut rng, 900),
        });
    }
    let packets = i64::try_from(pictures).unwrap() * FRAME_NS * 48 / 1_024_000_000;
    for n in 0..packets {
        units.push(Unit {
            track: TrackId(1),
            pts: n * 1_024,
            dts: n * 1_024,
            time: START.offset_ns(n * 1_024_000_000 / 48),
            duration: 1_024,
            key: true,
            data: bytes(&mut rng, 200),
        });
    }
    let decoded = |unit: &Unit| match unit.track {
        TrackId(0) => (unit.dts - origin) * 100 / 9,
        _ => unit.dts * 1_000 / 48,
    };
    units.sort_by_key(|unit| (decoded(unit), unit.track));
    (vec![video(), sound()], units)
}

/// All units of a file, and the tracks it begins with.
pub(crate) fn read_all(bytes: Vec<u8>) -> (TrackSet, Vec<Unit>) {
    let mut file = Mp4File::open(std::io::Cursor::new(bytes)).unwrap();
    let tracks = file.tracks().clone();
    let mut units = Vec::new();
    while let Some(item) = file.next(START).unwrap() {
        if let Item::Unit(unit) = item {
            units.push(unit);
        }
    }
    (tracks, units)
}
