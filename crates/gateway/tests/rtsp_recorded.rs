//! Recorded play by RTSP, from a store on disk files.

mod rtsp_support;

use std::time::{Duration, Instant};

use bytes::Bytes;
use pegasus_base::{Time, TimeRange};
use pegasus_gateway::rtsp::message::{Method, Request, Response};
use pegasus_gateway::rtsp::range::{Npt, Range};
use pegasus_media::mp4::{Item, Mp4File};
use pegasus_media::rtp::{Packet, Rtcp};
use pegasus_media::{Codec, Shape, Track, TrackId, TrackSet, Unit};
use rtsp_support::{Door, client::Client, clip, ffmpeg, name_of};

/// A stream of sound whose units say in their first four bytes which they are.
fn tracks() -> TrackSet {
    [Track {
        id: TrackId(0),
        codec: Codec::Pcmu,
        clock_rate: 8_000,
        shape: Shape::Audio { channels: 1, sample_rate: 8_000 },
        config: Bytes::new(),
    }]
    .into()
}

fn unit(number: u32, start: Time) -> Unit {
    let mut data = number.to_be_bytes().to_vec();
    data.resize(160, 0);
    let pts = i64::from(number) * 160;
    let time = start + Duration::from_millis(20) * number;
    let data = data.into();
    Unit { track: TrackId(0), pts, dts: pts, time, duration: 160, key: true, data }
}

fn number(packet: &Packet) -> u32 {
    u32::from_be_bytes(packet.payload[..4].try_into().unwrap())
}

/// Two spans, ten seconds of units each, with a gap of ten minutes between: units 0..500 and
/// 500..1000. Yields when they begin.
async fn record(door: &Door, name: &str) -> [Time; 2] {
    let now = door.services.clock.now();
    let starts = [now - Duration::from_secs(1_000), now - Duration::from_secs(390)];
    let (store, name) = (door.services.store.clone(), name_of(name));
    tokio::task::spawn_blocking(move || {
        for (span, start) in starts.iter().enumerate() {
            let recorder = store.recorder(&name, tracks()).unwrap();
            let first = span as u32 * 500;
            for number in first..first + 500 {
                let mut unit = unit(number, *start);
                unit.time = *start + Duration::from_millis(20) * (number - first);
                recorder.push(unit.into());
            }
            recorder.finish();
            store.flush().unwrap();
        }
        assert_eq!(store.spans(&name, TimeRange::ALL).unwrap().len(), 2);
    })
    .await
    .unwrap();
    starts
}

fn clock(from: Time, to: Option<Time>) -> String {
    Range::Clock { start: from, end: to }.to_string()
}

fn range_of(response: &Response) -> Range {
    Range::parse(response.headers.get("Range").unwrap()).unwrap()
}

/// Waits for the goodbye on channel 1. Yields the numbers of the units that came before.
async fn rest(client: &mut Client) -> Vec<u32> {
    while !client.rtcp(1).await.iter().any(|packet| matches!(packet, Rtcp::Bye(_))) {}
    let packets = std::mem::take(&mut client.packets);
    packets
        .into_iter()
        .filter(|(channel, _)| *channel == 0)
        .map(|(_, data)| number(&Packet::parse(data).unwrap()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_range_plays_just_that_in_real_time() {
    let door = Door::open().await;
    let [first, _] = record(&door, "/mic").await;
    let (from, to) = (first + Duration::from_secs(2), first + Duration::from_secs(4));
    let mut client = Client::connect(door.address).await;
    let began = Instant::now();
    let response = client.play(&door.url("/mic"), 1, Some(&clock(from, Some(to)))).await;
    let Range::Clock { start, end } = range_of(&response) else { panic!("not as it was asked") };
    assert_eq!((start, end), (from, Some(to)));
    let Rtcp::Sender(report) = client.rtcp(1).await.remove(0) else { panic!("no sender report") };
    assert!(report.ntp.to_time().ns_since(from).abs() < 1_000, "{}", report.ntp.to_time());
    assert_eq!(rest(&mut client).await, (100..200).collect::<Vec<_>>());
    let took = began.elapsed();
    assert!(took > Duration::from_millis(1_900), "two seconds were played in {took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gap_is_played_straight_across_and_the_capture_time_jumps() {
    let door = Door::open().await;
    let [first, second] = record(&door, "/mic").await;
    let url = format!(
        "{}?from={}&to={}",
        door.url("/mic"),
        first + Duration::from_millis(9_500),
        second + Duration::from_millis(500),
    );
    let mut client = Client::connect(door.address).await;
    let describe = client.must(Request::new(Method::Describe, &url)).await;
    let sdp = String::from_utf8(describe.body.to_vec()).unwrap();
    assert!(sdp.contains("a=range:npt=0.000000-1.000000"), "{sdp}");
    client.play(&url, 1, Some("npt=0.000-")).await;
    let mut reports = Vec::new();
    let mut packets = Vec::new();
    while packets.len() < 50 {
        packets.push(client.rtp(0).await);
    }
    while reports.len() < 2 {
        if let Rtcp::Sender(report) = client.rtcp(1).await.remove(0) {
            reports.push(report);
        }
    }
    let numbers: Vec<u32> = packets.iter().map(number).collect();
    assert_eq!(numbers, (475..525).collect::<Vec<_>>());
    let steps = packets.windows(2).map(|pair| pair[1].timestamp.wrapping_sub(pair[0].timestamp));
    assert!(steps.clone().all(|step| step == 160), "{:?}", steps.collect::<Vec<_>>());
    assert!(reports[0].ntp.to_time().ns_since(first + Duration::from_millis(9_500)).abs() < 1_000);
    assert!(reports[1].ntp.to_time().ns_since(second).abs() < 1_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn play_can_be_held_moved_and_ended() {
    let door = Door::open().await;
    let [_, second] = record(&door, "/mic").await;
    let url = door.url("/mic");
    let mut client = Client::connect(door.address).await;
    let response = client.play(&url, 1, Some("npt=5-")).await;
    assert_eq!(
        range_of(&response),
        Range::Npt { start: Npt::At(Duration::from_secs(5)), end: None }
    );
    assert_eq!(number(&client.rtp(0).await), 250);

    client.must(Request::new(Method::Pause, &url)).await;
    let packets = std::mem::take(&mut client.packets);
    let last = packets.iter().rfind(|(channel, _)| *channel == 0);
    let last = last.map_or(250, |(_, data)| number(&Packet::parse(data.clone()).unwrap()));
    tokio::time::sleep(Duration::from_millis(300)).await;
    client.must(Request::new(Method::Play, &url)).await;
    assert_eq!(number(&client.rtp(0).await), last + 1, "it goes on where it was held");

    let seek = Request::new(Method::Play, &url).with("Range", "npt=19.8-");
    client.must(seek).await;
    client.packets.clear();
    let packet = client.rtp(0).await;
    assert!((990..1_000).contains(&number(&packet)), "{}", number(&packet));
    rest(&mut client).await;

    let from = clock(second + Duration::from_millis(9_900), None);
    let again = client.must(Request::new(Method::Play, &url).with("Range", from)).await;
    assert!(again.headers.get("Range").unwrap().starts_with("clock="));
    assert_eq!(rest(&mut client).await, (995..1_000).collect::<Vec<_>>());

    for (range, status) in [("npt=20-", 457), ("clock=20990101T000000Z-", 457), ("npt=x-", 457)] {
        let response = client.ask(Request::new(Method::Play, &url).with("Range", range)).await;
        assert_eq!(response.status.0, status, "{range}: {}", response.reason);
    }
    let response = client.ask(Request::new(Method::Play, &url)).await;
    assert_eq!(response.status.0, 404, "it is not live: {}", response.reason);
    assert!(response.reason.contains("recorded is"), "{}", response.reason);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_being_recorded_is_followed() {
    let door = Door::open().await;
    let name = name_of("/mic");
    let source = door.services.switch.publish(&name, "a test", tracks()).unwrap();
    let recorder = door.services.store.recorder(&name, tracks()).unwrap();
    let start = door.services.clock.now() - Duration::from_secs(4);
    for number in 0..100 {
        recorder.push(unit(number, start).into());
    }
    let store = door.services.store.clone();
    tokio::task::spawn_blocking(move || store.flush().unwrap()).await.unwrap();
    let mut client = Client::connect(door.address).await;
    let range = clock(start + Duration::from_millis(1_900), None);
    client.play(&door.url("/mic"), 1, Some(&range)).await;
    for expected in 95..100 {
        assert_eq!(number(&client.rtp(0).await), expected);
    }
    for number in 100..110 {
        recorder.push(unit(number, start).into());
    }
    for expected in 100..110 {
        assert_eq!(number(&client.rtp(0).await), expected);
    }
    drop(source);
    assert!(rest(&mut client).await.is_empty());
}

/// Records a clip as if it had been captured some time ago. Yields when it began and how long it is.
async fn record_clip(door: &Door, name: &str, file: &str) -> (Time, Duration) {
    let (store, name) = (door.services.store.clone(), name_of(name));
    let start = door.services.clock.now() - Duration::from_secs(3_600);
    let file = std::fs::File::open(clip(file)).unwrap();
    let length = tokio::task::spawn_blocking(move || {
        let mut mp4 = Mp4File::open(std::io::BufReader::new(file)).unwrap();
        let recorder = store.recorder(&name, mp4.tracks().clone()).unwrap();
        while let Some(item) = mp4.next(start).unwrap() {
            if let Item::Unit(unit) = item {
                recorder.push(unit.into());
            }
        }
        recorder.finish();
        store.flush().unwrap();
        let spans = store.spans(&name, TimeRange::ALL).unwrap();
        assert_eq!(spans.len(), 1, "{spans:?}");
        spans[0].end.since(spans[0].start)
    })
    .await
    .unwrap();
    (start, length)
}

#[tokio::test(flavor = "multi_thread")]
async fn ffmpeg_plays_from_an_instant_to_another() {
    let door = Door::open().await;
    let (start, _) = record_clip(&door, "/cam/door", "car-detection.mp4").await;
    let whole = ffmpeg::packet_hashes(&["-i", ffmpeg::text(&clip("car-detection.mp4"))]).await;
    let from = start + Duration::from_secs(20);
    for transport in ["tcp", "udp"] {
        let url = format!("{}?from={from}&to=%2B3s", door.url("/cam/door"));
        let played = ffmpeg::packet_hashes(&["-rtsp_transport", transport, "-i", &url]).await;
        assert_eq!(played.len(), 2);
        // Three seconds, and what lies between the key unit before and the instant asked for.
        assert!(played[0].len() >= 36, "{} pictures over {transport}", played[0].len());
        let sound = &played[1];
        assert!((135..=220).contains(&sound.len()), "{} of sound over {transport}", sound.len());
        let mut windows = whole[1].windows(sound.len());
        assert!(windows.any(|window| window == sound), "sound comes whole and in order");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ffmpeg_seeks_in_a_recorded_range() {
    let door = Door::open().await;
    let (start, length) = record_clip(&door, "/cam/door", "car-detection.mp4").await;
    let url = format!("{}?from={start}", door.url("/cam/door"));
    let tail = length - Duration::from_secs(2);
    let seek = format!("{:.3}", tail.as_secs_f64());
    let errors =
        ffmpeg::spawn(&["-ss", &seek, "-rtsp_transport", "tcp", "-i", &url, "-f", "null", "-"])
            .wait_with_output();
    let began = Instant::now();
    let output = tokio::time::timeout(rtsp_support::PATIENCE, errors).await.unwrap().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(began.elapsed() < Duration::from_secs(20), "only the end of {length:?} is played");
}
