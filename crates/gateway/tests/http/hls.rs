//! HLS: lists and segments as players fetch them.

use std::sync::Arc;

use axum::http::StatusCode;
use pegasus_base::{Clock as _, SystemClock, Time};
use pegasus_continuous::Pushed;
use pegasus_media::TrackId;

use crate::support::{
    Node, Publisher, arg, assert_same_packets, clip, clip_hashes, name_of, packet_hashes, run,
    units,
};

const START: Time = Time::from_secs(1_763_600_000);

#[tokio::test(flavor = "multi_thread")]
async fn a_recorded_range_plays_across_a_gap() {
    let node = Node::open();
    let (tracks, early) = units(&clip("car-detection.mp4"), START);
    let hour = START.offset_ns(3_600_000_000_000);
    let (_, late) = units(&clip("car-detection.mp4"), hour);
    node.record("/cam/door", &tracks, &early);
    node.record("/cam/door", &tracks, &late);

    let index = node.get(&format!("/hls/cam/door/index.m3u8?from={START}&to=+2h")).await;
    assert_eq!(index.status, StatusCode::OK, "{}", index.text());
    assert!(index.text().contains("CODECS=\"avc1."), "{}", index.text());
    assert!(index.text().contains("mp4a.40.2\",RESOLUTION=768x432"), "{}", index.text());
    let list = index.text().lines().last().unwrap().to_owned();
    let list = node.get(&format!("/hls/cam/door/{list}")).await;
    assert_eq!(list.text().matches("#EXT-X-DISCONTINUITY\n").count(), 1, "{}", list.text());
    assert_eq!(list.text().matches("#EXT-X-MAP").count(), 2);
    assert_eq!(list.text().matches("#EXT-X-PROGRAM-DATE-TIME").count(), 2);

    let address = node.serve().await;
    let url = format!("http://{address}/hls/cam/door/index.m3u8?from={START}&to=+2h");
    let shown = packet_hashes(&["-i", &url]).await;
    let original = clip_hashes("car-detection.mp4").await;
    let twice = |packets: &Vec<String>| packets.iter().chain(packets).cloned().collect();
    let twice: Vec<Vec<String>> = original.iter().map(twice).collect();
    assert_same_packets("across a gap", &shown, &twice);
}

#[tokio::test(flavor = "multi_thread")]
async fn reordered_pictures_are_cut_without_loss() {
    let node = Node::open();
    for file in ["bottle-detection.mp4", "one-by-one-person-detection.mp4"] {
        let (tracks, units) = units(&clip(file), START);
        let name = format!("/clips/{}", file.replace(".mp4", ""));
        node.record(&name, &tracks, &units);
        let address = node.serve().await;
        let url = format!("http://{address}/hls{name}/index.m3u8?from={START}&to=+10m");
        let original = clip_hashes(file).await;
        assert_same_packets(file, &packet_hashes(&["-i", &url]).await, &original);
    }
}

/// Records clips behind each other as one span: a camera that is set to another picture size.
fn record_as_one(node: &Node, files: &[&str]) {
    let store = &node.services.store;
    let (tracks, _) = units(&clip(files[0]), START);
    let recorder = store.recorder(&name_of("/cam/door"), tracks).unwrap();
    let mut start = START;
    for file in files {
        let (tracks, units) = units(&clip(file), start);
        start = units.iter().map(|unit| unit.time).max().unwrap().offset_ns(40_000_000);
        recorder.set_tracks(tracks).unwrap();
        for (index, unit) in units.into_iter().enumerate() {
            assert_eq!(recorder.push(Arc::new(unit)), Pushed::Queued);
            if index % 50 == 49 {
                store.flush().unwrap();
            }
        }
    }
    recorder.finish();
    store.flush().unwrap();
}

/// What a list names from one initialisation segment to the next, put together.
async fn parts(node: &Node, list: &str) -> Vec<Vec<u8>> {
    let mut parts: Vec<Vec<u8>> = Vec::new();
    for line in list.lines() {
        let map = line.strip_prefix("#EXT-X-MAP:URI=\"").map(|uri| uri.trim_end_matches('"'));
        if map.is_some() {
            parts.push(Vec::new());
        }
        if let Some(file) = map.or((!line.starts_with('#')).then_some(line)) {
            let answer = node.get(&format!("/hls/cam/door/{file}")).await;
            assert_eq!(answer.status, StatusCode::OK, "{file}");
            parts.last_mut().expect("a map comes first").extend_from_slice(&answer.body);
        }
    }
    parts
}

#[tokio::test(flavor = "multi_thread")]
async fn other_tracks_are_another_initialisation_and_so_are_the_former_when_they_return() {
    let node = Node::open();
    let files = ["bottle-detection.mp4", "one-by-one-person-detection.mp4", "bottle-detection.mp4"];
    record_as_one(&node, &files);
    let list = node.get(&format!("/hls/cam/door/vod.m3u8?from={START}&to=+1h")).await;
    assert_eq!(list.text().matches("#EXT-X-DISCONTINUITY\n").count(), 2, "{}", list.text());
    // ffmpeg can't change a codec's parameters midway, browsers can: each part is looked at by itself.
    let parts = parts(&node, list.text()).await;
    assert_eq!(parts.len(), 3);
    let folder = tempfile::tempdir().unwrap();
    for (part, file) in parts.iter().zip(files) {
        let out = folder.path().join(file);
        std::fs::write(&out, part).unwrap();
        let shown = packet_hashes(&["-i", arg(&out)]).await;
        assert_same_packets(file, &shown, &clip_hashes(file).await);
        run("ffmpeg", &["-nostdin", "-v", "error", "-i", arg(&out), "-f", "null", "-"]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_segment_is_not_sent_for_another_initialisation() {
    let node = Node::open();
    record_as_one(&node, &["bottle-detection.mp4"]);
    let list = node.get(&format!("/hls/cam/door/vod.m3u8?from={START}&to=+1h")).await;
    let segment = list.text().lines().find(|line| line.ends_with(".m4s")).unwrap();
    let (stem, tracks) = segment.trim_end_matches(".m4s").rsplit_once('-').unwrap();
    let other = tracks.parse::<u32>().unwrap() ^ 1;
    let refused = node.get(&format!("/hls/cam/door/{stem}-{other}.m4s")).await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    assert!(refused.error().contains("other tracks"), "{}", refused.error());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_says_so() {
    let node = Node::open();
    let (tracks, units) = units(&clip("car-detection.mp4"), START);
    node.record("/cam/door", &tracks, &units);
    let cases = [
        ("/hls/cam/door/index.m3u8", "/cam/door is not live; add ?from=&to= for what is recorded"),
        ("/hls/cam/door/live.m3u8", "/cam/door is not live"),
        ("/hls/cam/roof/index.m3u8?from=-1h", "nothing is recorded of /cam/roof"),
        ("/hls/cam/door/film.mkv", "there is no file film.mkv of /cam/door"),
        ("/hls/cam/door/vod-5-4-3.m4s", "/cam/door has no such segment"),
    ];
    for (uri, sentence) in cases {
        let answer = node.get(uri).await;
        assert_eq!(
            (answer.status, answer.error().as_str()),
            (StatusCode::NOT_FOUND, sentence),
            "{uri}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_stream_is_cut_while_somebody_asks() {
    let node = Node::open();
    let (tracks, units) = units(&clip("bottle-detection.mp4"), SystemClock.now());
    let switch = &node.services.switch;
    let source = switch.publish(&name_of("/cam/door"), "a test", Arc::clone(&tracks)).unwrap();
    let units: Vec<_> = units.into_iter().filter(|unit| unit.track == TrackId(0)).collect();
    let publisher = Publisher::start(source, units);

    let index = node.get("/hls/cam/door/index.m3u8").await;
    assert!(index.text().ends_with("\nlive.m3u8\n"), "{}", index.text());
    let list = node.get("/hls/cam/door/live.m3u8").await;
    assert_eq!(list.status, StatusCode::OK, "{}", list.text());
    let hint = |text: &str| -> String {
        let line = text.lines().find(|line| line.starts_with("#EXT-X-PRELOAD-HINT"));
        line.and_then(|line| line.split('"').nth(1)).expect("a hint").to_owned()
    };
    // The part that is hinted at, and the list that shows it, are waited for.
    let part = hint(list.text());
    let numbers: Vec<u64> = part
        .trim_start_matches("part-")
        .trim_end_matches(".m4s")
        .split('-')
        .map(|number| number.parse().unwrap())
        .collect();
    let (number, index) = (numbers[0], numbers[1]);
    let part_uri = format!("/hls/cam/door/{part}");
    let list_uri = format!("/hls/cam/door/live.m3u8?_HLS_msn={number}&_HLS_part={index}");
    let (body, next) = tokio::join!(node.get(&part_uri), node.get(&list_uri));
    assert_eq!(body.status, StatusCode::OK);
    assert_eq!(&body.body[4..8], b"moof");
    assert!(next.text().contains(&format!("URI=\"{part}\"")), "{}", next.text());
    assert_ne!(hint(next.text()), part);
    let far = format!("/hls/cam/door/live.m3u8?_HLS_msn={}", number + 9);
    assert_eq!(node.get(&far).await.status, StatusCode::BAD_REQUEST);
    let labels = node.services.switch.status(&name_of("/cam/door")).unwrap().sinks;
    assert!(labels.iter().any(|sink| sink.label == "hls"));

    let address = node.serve().await;
    let url = format!("http://{address}/hls/cam/door/index.m3u8");
    let frames = "stream=codec_name,nb_read_frames";
    let probe = ["-v", "error", "-read_intervals", "%+3", "-count_frames", "-show_entries", frames];
    let probed = run("ffprobe", &[&probe[..], &["-of", "csv=p=0", &url]].concat()).await;
    let (codec, count) = probed.lines().next().unwrap().split_once(',').unwrap();
    assert_eq!(codec, "h264");
    assert!(count.parse::<u32>().unwrap() > 30, "{probed}");
    drop(publisher);
}
