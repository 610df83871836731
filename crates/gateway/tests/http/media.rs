//! Exports: bit-exact, in one piece or in many.

use std::ops::Range;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use bytes::Bytes;
use futures_util::StreamExt as _;
use pegasus_base::{Time, TimeRange};
use pegasus_media::{Codec, Shape, Track, TrackId, TrackSet, Unit};
use tower::ServiceExt as _;

use crate::support::{
    Answer, Node, arg, assert_same_packets, clip, clip_hashes, name_of, packet_hashes, run, units,
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

/// The pictures of a clip with sound that comes late: behind a key picture there are packets captured
/// before it, which nobody who begins with that picture would hear.
fn with_late_sound(file: &str) -> (TrackSet, Vec<Unit>) {
    let (pictures, units) = units(&clip(file), START);
    let sound = Track {
        id: TrackId(1),
        codec: Codec::Pcmu,
        clock_rate: 8_000,
        shape: Shape::Audio { channels: 1, sample_rate: 8_000 },
        config: Bytes::new(),
    };
    let mut mixed = Vec::new();
    for (n, picture) in (0..).zip(units) {
        let time = picture.time.offset_ns(if n > 3 { -50_000_000 } else { 0 });
        let data = vec![n as u8; 100 + n as usize % 60].into();
        let (track, pts) = (sound.id, n * 320);
        mixed.push(picture);
        mixed.push(Unit { track, pts, dts: pts, time, duration: 320, key: true, data });
    }
    ([pictures[0].clone(), sound].into(), mixed)
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_are_those_of_the_whole() {
    let (tracks, units) = units(&clip("car-detection.mp4"), START);
    parts_of_the_whole(&tracks, &units).await;
    let (tracks, units) = with_late_sound("car-detection.mp4");
    parts_of_the_whole(&tracks, &units).await;
}

async fn parts_of_the_whole(tracks: &TrackSet, units: &[Unit]) {
    let node = Node::open();
    node.record("/cam/door", tracks, units);
    let uri = format!("{FILE}{}", range_of(units));
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
async fn media_that_is_damaged_or_deleted_meanwhile_ends_the_answer() {
    let get = |uri: &str| Request::get(uri).body(Body::empty()).unwrap();
    for damaged in [true, false] {
        let node = Node::open();
        let (tracks, units) = units(&clip("car-detection.mp4"), START);
        node.record("/cam/door", &tracks, &units);
        let uri = format!("{FILE}{}", range_of(&units));
        let whole = node.get(&uri).await;
        // Planned from tables, and begun, before anything is wrong with the media.
        let answer = node.router.clone().oneshot(get(&uri)).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        if damaged {
            node.spoil();
        } else {
            let middle = units[units.len() / 2].time;
            let rest = TimeRange::new(middle, Time::MAX);
            node.services.store.delete(&name_of("/cam/door"), Some(rest)).unwrap();
        }
        let mut body = answer.into_body().into_data_stream();
        let mut bytes = Vec::new();
        let failed = loop {
            match body.next().await {
                Some(Ok(piece)) => bytes.extend_from_slice(&piece),
                Some(Err(error)) => break Some(error),
                None => break None,
            }
        };
        assert!(failed.is_some(), "{} of {} bytes", bytes.len(), whole.body.len());
        assert!(bytes.len() < whole.body.len() && whole.body.starts_with(&bytes));
    }
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
    // Who has a promise keeps it on the way.
    let asked = Request::post("/api/v1/playbacks").header("content-type", "application/json");
    let promised = node.ask(asked.body(Body::from(r#"{"streams": ["/cam/door"]}"#)).unwrap()).await;
    let id = promised.json()["id"].as_u64().unwrap();
    let promised = part(&node, &format!("{FILE}?playback={id}"), "bytes=0-9", &[]).await;
    assert_eq!(promised.status, StatusCode::TEMPORARY_REDIRECT);
    let there = promised.header("location").to_owned();
    assert!(there.ends_with(&format!("&playback={id}")), "{there}");
    assert_eq!(part(&node, &there, "bytes=0-9", &[]).await.status, StatusCode::PARTIAL_CONTENT);
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
