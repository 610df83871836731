//! Exports: bit-exact, in one piece or in many.

use std::ops::Range;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use pegasus_base::Time;
use pegasus_media::Unit;

use crate::support::{
    Answer, Node, arg, assert_same_packets, clip, clip_hashes, packet_hashes, run, units,
};

const START: Time = Time::from_secs(1_763_600_000);
const FILE: &str = "/api/v1/streams/cam/door/media.mp4";

async fn part(node: &Node, uri: &str, range: &str, more: &[(&str, &str)]) -> Answer {
    let request = Request::get(uri).header("range", range);
    let request = more.iter().fold(request, |request, (key, value)| request.header(*key, *value));
    node.ask(request.body(Body::empty()).unwrap()).await
}

fn range_of(units: &[Unit]) -> String {
    let last = units.iter().map(|unit| unit.time).max().unwrap();
    format!("?from={}&to={}", units[0].time, last.offset_ns(1_000_000_000))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_packet_of_every_clip_comes_back() {
    for file in ["bottle-detection.mp4", "car-detection.mp4", "one-by-one-person-detection.mp4"] {
        let node = Node::open();
        let (tracks, units) = units(&clip(file), START);
        node.record("/cam/door", &tracks, &units);
        let whole = node.get(&format!("{FILE}{}", range_of(&units))).await;
        assert_eq!(whole.status, StatusCode::OK, "{file}");
        assert_eq!(whole.header("content-length"), whole.body.len().to_string());
        let disposition = whole.header("content-disposition");
        assert!(disposition.starts_with("attachment; filename=\"cam-door-2025"), "{disposition}");
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out.mp4");
        std::fs::write(&out, &whole.body).unwrap();
        run("ffprobe", &["-v", "error", "-show_packets", arg(&out)]).await;
        let original = clip_hashes(file).await;
        assert_same_packets(file, &packet_hashes(&["-i", arg(&out)]).await, &original);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_are_those_of_the_whole() {
    let node = Node::open();
    let (tracks, units) = units(&clip("car-detection.mp4"), START);
    node.record("/cam/door", &tracks, &units);
    let uri = format!("{FILE}{}", range_of(&units));
    let whole = node.get(&uri).await;
    let len = whole.body.len();
    let mut rng = fastrand::Rng::with_seed(11);
    let mut parts: Vec<Range<usize>> = vec![0..1, 0..len, len - 1..len, len / 2..len / 2 + 70_000];
    for _ in 0..30 {
        let start = rng.usize(..len);
        parts.push(start..rng.usize(start + 1..=len));
    }
    for wanted in parts {
        let range = format!("bytes={}-{}", wanted.start, wanted.end - 1);
        let answer = part(&node, &uri, &range, &[]).await;
        assert_eq!(answer.status, StatusCode::PARTIAL_CONTENT, "{range}");
        assert_eq!(answer.header("etag"), whole.header("etag"));
        let said = format!("bytes {}-{}/{len}", wanted.start, wanted.end - 1);
        assert_eq!(answer.header("content-range"), said);
        assert_eq!(answer.header("content-length"), wanted.len().to_string());
        assert!(answer.body == whole.body[wanted], "seed 11, {range}");
    }
    let beyond = part(&node, &uri, &format!("bytes={len}-"), &[]).await;
    assert_eq!(beyond.status, StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(beyond.header("content-range"), format!("bytes */{len}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_and_heads() {
    let node = Node::open();
    let (tracks, units) = units(&clip("car-detection.mp4"), START);
    node.record("/cam/door", &tracks, &units);
    let uri = format!("{FILE}{}", range_of(&units));
    let head = node.ask(Request::head(&uri).body(Body::empty()).unwrap()).await;
    assert_eq!((head.status, head.body.len()), (StatusCode::OK, 0));
    assert_eq!(head.header("accept-ranges"), "bytes");
    assert!(head.header("content-length").parse::<usize>().unwrap() > 2_000_000);
    let tag = head.header("etag").to_owned();

    let same = part(&node, &uri, "bytes=0-9", &[("if-range", &tag)]).await;
    assert_eq!((same.status, same.body.len()), (StatusCode::PARTIAL_CONTENT, 10));
    let other = part(&node, &uri, "bytes=0-9", &[("if-range", "\"other\"")]).await;
    assert_eq!(other.status, StatusCode::OK, "the file has changed: all of it");
    let known = Request::get(&uri).header("if-none-match", &tag).body(Body::empty()).unwrap();
    assert_eq!(node.ask(known).await.status, StatusCode::NOT_MODIFIED);

    let shorter = node.get(&format!("{FILE}?from={START}&to=+5s")).await;
    assert_ne!(shorter.header("etag"), tag);
    let relative = part(&node, FILE, "bytes=0-9", &[]).await;
    assert_eq!(relative.status, StatusCode::TEMPORARY_REDIRECT);
    let fixed = part(&node, relative.header("location"), "bytes=0-9", &[]).await;
    assert_eq!(fixed.status, StatusCode::PARTIAL_CONTENT);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gap_is_skipped_and_a_range_begins_at_a_key_unit() {
    let node = Node::open();
    let (tracks, early) = units(&clip("car-detection.mp4"), START);
    let hour = START.offset_ns(3_600_000_000_000);
    let (_, late) = units(&clip("car-detection.mp4"), hour);
    node.record("/cam/door", &tracks, &early);
    node.record("/cam/door", &tracks, &late);
    let middle = node
        .get(&format!(
            "{FILE}?from={}&to={}",
            START.offset_ns(20_500_000_000),
            hour.offset_ns(5_000_000_000)
        ))
        .await;
    assert_eq!(middle.status, StatusCode::OK);
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.mp4");
    std::fs::write(&out, &middle.body).unwrap();
    let entries = "stream=codec_type,duration";
    let probe = ["-v", "error", "-show_entries", entries, "-of", "csv=p=0", arg(&out)];
    for line in run("ffprobe", &probe).await.lines() {
        let (_, duration) = line.split_once(',').unwrap();
        let duration: f64 = duration.parse().unwrap();
        assert!((14.0..20.0).contains(&duration), "ten seconds and five, and a lead: {line}");
    }
    // Every picture can be decoded: it begins with a key unit.
    run("ffmpeg", &["-nostdin", "-v", "error", "-i", arg(&out), "-f", "null", "-"]).await;

    let nothing =
        node.get(&format!("{FILE}?from={}&to=+10s", START.offset_ns(600_000_000_000))).await;
    assert_eq!(nothing.status, StatusCode::NOT_FOUND);
    assert_eq!(nothing.error(), "nothing is recorded of /cam/door in that range");
}
