//! What we write as MP4, judged by ffmpeg and ffprobe; and what ffmpeg writes, read by us.
//!
//! Needs `ffmpeg` and `ffprobe` on the path (Debian: `apt install ffmpeg`).

mod support;

use std::path::{Path, PathBuf};

use pegasus_base::Time;
use pegasus_media::mp4::{Fragmenter, Item, Mp4File, Planner, init_segment};
use pegasus_media::{Codec, Kind, TrackSet, Unit, UnitMeta};
use support::{
    Packet, all_packets, clip, complaints, decoded, decoder_complaints, make, packets, write,
};

const START: Time = Time::from_secs(1_700_000_000);

fn read(path: &Path) -> (TrackSet, Vec<Unit>) {
    let mut file = Mp4File::open(std::fs::File::open(path).unwrap()).unwrap();
    let mut units = Vec::new();
    while let Some(item) = file.next(START).unwrap() {
        if let Item::Unit(unit) = item {
            units.push(unit);
        }
    }
    (file.tracks().clone(), units)
}

fn planned(tracks: &TrackSet, units: &[Unit]) -> Vec<u8> {
    let mut planner = Planner::new();
    planner.set_tracks(tracks);
    for unit in units {
        planner.push(&UnitMeta::from(unit)).unwrap();
    }
    let plan = planner.finish().unwrap();
    let bytes = support::assemble(&plan, units, 0..u64::MAX);
    assert_eq!(bytes.len() as u64, plan.total_len());
    bytes
}

/// Fragments of about a second, each begun at a key unit of the first track.
fn fragmented(tracks: &TrackSet, units: &[Unit]) -> Vec<u8> {
    let mut bytes = init_segment(tracks).unwrap().to_vec();
    // Room before the first picture, for the encoder delay of sound and for decoding ahead.
    let mut fragmenter = Fragmenter::new(tracks, START.offset_ns(-1_000_000_000));
    for unit in units {
        let lead = unit.track == tracks[0].id && unit.key;
        if lead && fragmenter.pending_ns() > 900_000_000 {
            let fragment = fragmenter.flush().unwrap().unwrap();
            bytes.extend_from_slice(&fragment.into_bytes());
        }
        fragmenter.push(unit).unwrap();
    }
    bytes.extend_from_slice(&fragmenter.flush().unwrap().unwrap().into_bytes());
    bytes
}

/// Checksums and sizes of the packets, in decode order.
fn content(packets: &[Packet]) -> Vec<(u64, String)> {
    packets.iter().map(|packet| (packet.len_bytes, packet.hash.clone())).collect()
}

/// Presentation times from the first one on, in nanoseconds, ascending.
fn cadence(packets: &[Packet]) -> Vec<i64> {
    let mut times: Vec<i64> = packets.iter().map(|packet| packet.pts_ns).collect();
    times.sort_unstable();
    let first = times[0];
    times.iter().map(|at| at - first).collect()
}

/// Everything a remuxed file has to keep of the file it was made from.
fn compare(source: &Path, made: &Path, tracks: &TrackSet) {
    assert_eq!(complaints(made), "", "{}", made.display());
    for (index, track) in tracks.iter().enumerate() {
        if matches!(track.codec, Codec::Pcmu | Codec::Pcma | Codec::L16) {
            // Samples have no packets; their values must be the same.
            assert_eq!(decoded(source, index), decoded(made, index), "{}", made.display());
            continue;
        }
        let (before, after) = (all_packets(source, index), packets(made, index));
        assert!(!before.is_empty());
        assert_eq!(content(&before), content(&after), "track {index} of {}", made.display());
        for (a, b) in cadence(&before).iter().zip(cadence(&after)) {
            assert!((a - b).abs() < 1_000_000, "{a} became {b} in track {index}");
        }
        assert!(after.windows(2).all(|w| w[0].dts_ns < w[1].dts_ns));
    }
}

fn both_ways(source: &Path) {
    let (tracks, units) = read(source);
    assert!(units.iter().all(|unit| unit.dts <= unit.pts));
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in
        [("planned.mp4", planned(&tracks, &units)), ("live.mp4", fragmented(&tracks, &units))]
    {
        let made = write(&folder.path().join(name), &bytes);
        compare(source, &made, &tracks);
        if name == "planned.mp4" {
            assert_eq!(decoder_complaints(&made), "");
        }
        let (tracks_again, again) = read(&made);
        assert_eq!(tracks_again, tracks, "{name}");
        assert_eq!(again.len(), units.len(), "{name}");
        for track in tracks.iter() {
            let of = |units: &[Unit]| -> Vec<Unit> {
                units.iter().filter(|unit| unit.track == track.id).cloned().collect()
            };
            for (before, after) in of(&units).iter().zip(&of(&again)) {
                assert_eq!(before.data, after.data);
                assert_eq!(before.key, after.key);
                let moved_ns =
                    before.time.ns_since(units[0].time) - after.time.ns_since(again[0].time);
                assert!(moved_ns.abs() < 1_000_000, "{name}: {moved_ns} ns");
            }
        }
    }
}

fn lavfi(name: &str, arguments: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let source = make(&folder.path().join(name), arguments);
    both_ways(&source);
}

const PICTURE: [&str; 4] =
    ["-f", "lavfi", "-i", "testsrc2=size=160x120:rate=30000/1001:duration=3"];
const TONE: [&str; 4] = ["-f", "lavfi", "-i", "sine=frequency=440:duration=3:sample_rate=48000"];

fn with<'a>(input: &[&'a str], rest: &[&'a str]) -> Vec<&'a str> {
    [input, rest].concat()
}

#[test]
fn real_clips_keep_every_packet() {
    for name in ["car-detection", "one-by-one-person-detection", "bottle-detection"] {
        both_ways(&clip(&format!("{name}.mp4")));
    }
}

#[test]
fn sound_and_pictures_stay_together() {
    let source = clip("car-detection.mp4");
    let (tracks, units) = read(&source);
    assert_eq!(tracks.len(), 2);
    // The sound begins 200 ms after the pictures.
    let late: Vec<Unit> = units
        .iter()
        .map(|unit| match tracks[usize::from(unit.track.0)].kind() {
            Kind::Audio => Unit { time: unit.time.offset_ns(200_000_000), ..unit.clone() },
            Kind::Video => unit.clone(),
        })
        .collect();
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in
        [("planned.mp4", planned(&tracks, &late)), ("live.mp4", fragmented(&tracks, &late))]
    {
        let made = write(&folder.path().join(name), &bytes);
        assert_eq!(complaints(&made), "");
        let first = |index| packets(&made, index).iter().map(|p| p.pts_ns).min().unwrap();
        let between_ns = first(1) - first(0);
        assert!((between_ns - 200_000_000).abs() < 50_000, "{name}: {between_ns}");
    }
}

#[test]
fn h264_with_reordered_pictures() {
    let codec = ["-c:v", "libx264", "-bf", "3", "-g", "15", "-x264-params", "b-pyramid=normal"];
    lavfi("a.mp4", &with(&PICTURE, &codec));
}

#[test]
fn h264_that_was_fragmented() {
    let codec = ["-c:v", "libx264", "-bf", "2", "-g", "15"];
    let flags = ["-movflags", "frag_keyframe+empty_moov+default_base_moof"];
    lavfi("a.mp4", &with(&with(&PICTURE, &codec), &flags));
    let flags = ["-movflags", "frag_keyframe+separate_moof+negative_cts_offsets"];
    let both = with(&with(&PICTURE, &TONE), &["-c:v", "libx264", "-bf", "2", "-c:a", "aac"]);
    lavfi("b.mp4", &with(&both, &flags));
}

#[test]
fn h265() {
    let codec = ["-c:v", "libx265", "-preset", "ultrafast", "-bf", "2", "-tag:v", "hvc1"];
    lavfi("a.mp4", &with(&with(&PICTURE, &codec), &["-x265-params", "log-level=none"]));
}

#[test]
fn av1() {
    let codec = ["-c:v", "libaom-av1", "-cpu-used", "8", "-usage", "realtime", "-b:v", "200k"];
    lavfi("a.mp4", &with(&PICTURE, &codec));
}

#[test]
fn vp9() {
    let codec = ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8"];
    lavfi("a.mp4", &with(&PICTURE, &codec));
}

#[test]
fn motion_jpeg() {
    lavfi("a.mp4", &with(&PICTURE, &["-c:v", "mjpeg", "-pix_fmt", "yuvj420p"]));
    lavfi("a.mov", &with(&PICTURE, &["-c:v", "mjpeg", "-pix_fmt", "yuvj420p"]));
}

#[test]
fn aac_and_opus() {
    lavfi("a.mp4", &with(&TONE, &["-c:a", "aac"]));
    lavfi("a.mov", &with(&TONE, &["-c:a", "aac"]));
    lavfi("b.mp4", &with(&TONE, &["-c:a", "libopus"]));
}

#[test]
fn sound_without_packets() {
    lavfi("a.mov", &with(&TONE, &["-c:a", "pcm_mulaw", "-ar", "8000"]));
    lavfi("b.mov", &with(&TONE, &["-c:a", "pcm_alaw", "-ar", "8000"]));
    lavfi("c.mov", &with(&TONE, &["-c:a", "pcm_s16be", "-ac", "2"]));
    lavfi("d.mov", &with(&TONE, &["-c:a", "pcm_s16le", "-ac", "2"]));
}

#[test]
fn nothing_is_lost_at_any_place_in_a_two_codec_file() {
    let both = with(&with(&PICTURE, &TONE), &["-c:v", "libx264", "-bf", "2", "-c:a", "aac"]);
    lavfi("a.mp4", &both);
}

#[test]
fn a_camera_that_changed_its_resolution_overnight() {
    let folder = tempfile::tempdir().unwrap();
    let mut parts = Vec::new();
    for (name, size) in [("a.mp4", "160x120"), ("b.mp4", "320x240")] {
        let picture = format!("testsrc2=size={size}:rate=25:duration=2");
        let input = with(&["-f", "lavfi", "-i", &picture], &TONE[..3]);
        let input = with(&input, &["sine=duration=2:sample_rate=48000"]);
        let source = make(
            &folder.path().join(name),
            &with(&input, &["-c:v", "libx264", "-bf", "2", "-c:a", "aac"]),
        );
        parts.push((source.clone(), read(&source)));
    }
    let mut planner = Planner::new();
    let mut units: Vec<Unit> = Vec::new();
    for (n, (_, (tracks, part))) in parts.iter().enumerate() {
        let night_ns = 28_800_000_000_000 * i64::try_from(n).unwrap();
        if n > 0 {
            planner.gap(START.offset_ns(night_ns));
        }
        planner.set_tracks(tracks);
        for unit in part {
            let unit = Unit { time: unit.time.offset_ns(night_ns), ..unit.clone() };
            planner.push(&(&unit).into()).unwrap();
            units.push(unit);
        }
    }
    let plan = planner.finish().unwrap();
    let made = support::assemble(&plan, &units, 0..u64::MAX);
    let made = write(&folder.path().join("both.mp4"), &made);
    assert_eq!(complaints(&made), "");
    assert_eq!(decoder_complaints(&made), "");
    for track in 0..2 {
        let before = parts.iter().flat_map(|(source, _)| content(&all_packets(source, track)));
        let after = packets(&made, track);
        assert_eq!(before.collect::<Vec<_>>(), content(&after), "track {track}");
        let lasts_ns = cadence(&after).last().copied().unwrap();
        assert!((3_900_000_000..4_100_000_000).contains(&lasts_ns), "{lasts_ns}");
    }
}

#[test]
fn unusable_tracks_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = with(&with(&PICTURE, &TONE), &["-c:v", "mpeg4", "-c:a", "aac"]);
    let source: PathBuf = make(&folder.path().join("a.mp4"), &arguments);
    let file = Mp4File::open(std::fs::File::open(source).unwrap()).unwrap();
    assert_eq!(file.tracks().len(), 1);
    assert_eq!(file.refused()[0].number, 1);
    assert!(file.refused()[0].reason.contains("0x20"), "{}", file.refused()[0].reason);
}
