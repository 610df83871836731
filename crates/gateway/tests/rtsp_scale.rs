//! `Scale` and `Speed`: recordings played fast, slowly and backwards.

mod rtsp_support;

use std::time::{Duration, Instant};

use pegasus_base::{Time, TimeRange};
use pegasus_gateway::rtsp::message::{Method, Request, Response};
use pegasus_gateway::rtsp::range::{Npt, Range};
use pegasus_media::mp4::{Item, Mp4File};
use pegasus_media::rtp::{Packet, Rtcp};
use rtsp_support::{Door, client::Client, clip, name_of};

const CAM: &str = "/cam/door";

/// A picture as it came: when, its timestamp, and whether it is a key picture.
#[derive(Debug, Clone, Copy)]
struct Picture {
    came: Instant,
    timestamp: u32,
    key: bool,
}

/// Records a clip as if it had been captured `ago`. Yields the times of its pictures, and which are
/// key pictures.
async fn record(door: &Door, file: &str, ago: Duration) -> Vec<(Time, bool)> {
    let (store, name) = (door.services.store.clone(), name_of(CAM));
    let start = door.services.clock.now() - ago;
    let file = std::fs::File::open(clip(file)).unwrap();
    tokio::task::spawn_blocking(move || {
        let mut mp4 = Mp4File::open(std::io::BufReader::new(file)).unwrap();
        let recorder = store.recorder(&name, mp4.tracks().clone()).unwrap();
        let mut pictures = Vec::new();
        while let Some(item) = mp4.next(start).unwrap() {
            let Item::Unit(unit) = item else { continue };
            if unit.track.0 == 0 {
                pictures.push((unit.time, unit.key));
            }
            recorder.push(unit.into());
            if pictures.len() % 8 == 0 {
                store.flush().unwrap();
            }
        }
        recorder.finish();
        store.flush().unwrap();
        pictures
    })
    .await
    .unwrap()
}

fn keys(pictures: &[(Time, bool)]) -> Vec<Time> {
    pictures.iter().filter(|(_, key)| *key).map(|(time, _)| *time).collect()
}

fn clock(from: Time, to: Time) -> String {
    Range::Clock { start: from, end: Some(to) }.to_string()
}

fn play(url: &str, headers: &[(&str, &str)]) -> Request {
    let play = Request::new(Method::Play, url);
    headers.iter().fold(play, |play, (name, value)| play.with(name, *value))
}

/// Sets up the first `tracks` tracks, each in the connection.
async fn set_up(door: &Door, url: &str, tracks: usize) -> Client {
    let mut client = Client::connect(door.address).await;
    client.must(Request::new(Method::Describe, url).with("Accept", "application/sdp")).await;
    for track in 0..tracks {
        let setup = Request::new(Method::Setup, &format!("{url}/trackID={track}"));
        let transport = format!("RTP/AVP/TCP;unicast;interleaved={}-{}", 2 * track, 2 * track + 1);
        client.must(setup.with("Transport", transport)).await;
    }
    client
}

/// `rtptime` and `seq` of the first track.
fn info(response: &Response) -> (u32, u16) {
    let info = response.headers.get("RTP-Info").expect("it is said where it begins");
    let field = |name: &str| {
        let value = &info[info.find(name).unwrap() + name.len()..];
        value.split([';', ',']).next().unwrap().to_owned()
    };
    (field("rtptime=").parse().unwrap(), field("seq=").parse().unwrap())
}

fn range_of(response: &Response) -> Range {
    let text = response.headers.get("Range").unwrap();
    Range::parse(text).or_else(|_| Range::parse_back(text)).unwrap()
}

/// Whether a packet is the beginning of a key picture, or of what stands before one.
fn is_key(payload: &[u8]) -> bool {
    let kind = match payload[0] & 31 {
        24 => payload[3] & 31, // several in one packet
        28 => payload[1] & 31, // the beginning of one in many
        kind => kind,
    };
    matches!(kind, 5 | 7)
}

fn add(pictures: &mut Vec<Picture>, data: bytes::Bytes) {
    let packet = Packet::parse(data).unwrap();
    let key = is_key(&packet.payload);
    match pictures.last_mut().filter(|last| last.timestamp == packet.timestamp) {
        Some(last) => last.key |= key,
        None => pictures.push(Picture { came: Instant::now(), timestamp: packet.timestamp, key }),
    }
}

/// All pictures of channel 0 up to the goodbye, and how many packets came on channel 2.
async fn rest(client: &mut Client) -> (Vec<Picture>, usize) {
    let (mut pictures, mut sound) = (Vec::new(), 0);
    loop {
        let (channel, data) = match client.packets.pop_front() {
            Some(packet) => packet,
            None => match client.item().await {
                Some(pegasus_gateway::rtsp::decode::Item::Packet { channel, data }) => {
                    (channel, data)
                }
                other => panic!("no packet but {other:?}"),
            },
        };
        match channel {
            0 => add(&mut pictures, data),
            1 => {
                let packets = Rtcp::parse_compound(&data).unwrap();
                if packets.iter().any(|packet| matches!(packet, Rtcp::Bye(_))) {
                    return (pictures, sound);
                }
            }
            2 => sound += 1,
            _ => {}
        }
    }
}

/// What the timestamps say when each picture was captured, played from `start` at `scale`.
fn captured(pictures: &[Picture], start: Time, rtptime: u32, scale: f64) -> Vec<Time> {
    let at = |picture: &Picture| {
        let ticks = picture.timestamp.wrapping_sub(rtptime) as i32;
        start.offset_ns((f64::from(ticks) / 90_000.0 * scale * 1e9) as i64)
    };
    pictures.iter().map(at).collect()
}

fn assert_near(found: &[Time], expected: &[Time]) {
    assert_eq!(found.len(), expected.len(), "{found:?} for {expected:?}");
    for (found, expected) in found.iter().zip(expected) {
        // A tick of 90 kHz, 32 times.
        assert!(found.ns_since(*expected).abs() < 400_000, "{found} for {expected}");
    }
}

/// Whether pictures came when their timestamps say, not counting a busy machine.
fn assert_paced(pictures: &[Picture], speed: f64) {
    let (first, last) = (pictures[0], pictures[pictures.len() - 1]);
    let shown = f64::from(last.timestamp.wrapping_sub(first.timestamp) as i32) / 90_000.0;
    let took = (last.came - first.came).as_secs_f64();
    assert!((shown / speed - took).abs() < 0.7, "{shown} s were sent in {took} s at {speed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fast_forward_shows_key_pictures_at_the_right_moments() {
    let door = Door::open().await;
    let pictures =
        record(&door, "one-by-one-person-detection.mp4", Duration::from_secs(1_000)).await;
    let (url, keys) = (door.url(CAM), keys(&pictures));
    for (scale, told, step) in [("8", "8.0", 1), ("32.0", "32.0", 4), ("100", "32.0", 4)] {
        let mut client = set_up(&door, &url, 1).await;
        let (from, to) = (keys[10] + Duration::from_millis(300), keys[10 + 32]);
        let range = clock(from, to);
        let response = client.must(play(&url, &[("Scale", scale), ("Range", &range)])).await;
        assert_eq!(response.headers.get("Scale"), Some(told));
        assert_eq!(range_of(&response), Range::Clock { start: keys[10], end: Some(to) });
        let (came, _) = rest(&mut client).await;
        assert!(came.iter().all(|picture| picture.key));
        let (rtptime, scale) = (info(&response).0, told.parse().unwrap());
        let expected: Vec<Time> = keys[10..42].iter().step_by(step).copied().collect();
        assert_near(&captured(&came, keys[10], rtptime, scale), &expected);
        assert_paced(&came, 1.0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn backwards_shows_them_from_the_last_to_the_first() {
    let door = Door::open().await;
    let pictures =
        record(&door, "one-by-one-person-detection.mp4", Duration::from_secs(1_000)).await;
    let (url, keys) = (door.url(CAM), keys(&pictures));
    let mut client = set_up(&door, &url, 1).await;
    let headers = [("Scale", "-8"), ("Range", "npt=40.5-20")];
    let response = client.must(play(&url, &headers)).await;
    assert_eq!(response.headers.get("Scale"), Some("-8.0"));
    let Range::Npt { start: Npt::At(start), end: Some(end) } = range_of(&response) else {
        panic!("{response:?}")
    };
    let from = pictures[0].0 + start;
    assert!(keys.contains(&from) && end == Duration::from_secs(20), "{start:?} {end:?}");
    let (came, _) = rest(&mut client).await;
    let within = |key: &&Time| **key <= from && **key >= pictures[0].0 + end;
    let expected: Vec<Time> = keys.iter().filter(within).rev().copied().collect();
    assert!(expected.len() > 15);
    assert_near(&captured(&came, from, info(&response).0, -8.0), &expected);
    assert_paced(&came, 1.0);

    // Without an end it goes to the beginning; behind the end it begins there.
    let headers = [("Scale", "-32"), ("Range", "clock=20990101T000000Z-")];
    let response = client.must(play(&url, &headers)).await;
    let Range::Clock { start, end } = range_of(&response) else { panic!("{response:?}") };
    assert_eq!((start, end), (keys[keys.len() - 1], Some(pictures[0].0)));
    let (came, _) = rest(&mut client).await;
    let shown = captured(&came, start, info(&response).0, -32.0);
    let expected: Vec<Time> = keys.iter().rev().step_by(4).copied().collect();
    assert_near(&shown, &expected);
    // Nothing is before the beginning.
    let headers = [("Scale", "-2"), ("Range", "clock=20000101T000000Z-")];
    let refused = client.ask(play(&url, &headers)).await;
    assert_eq!(refused.status.0, 457, "{}", refused.reason);
    assert!(refused.reason.contains("nothing is before it"), "{}", refused.reason);
}

#[tokio::test(flavor = "multi_thread")]
async fn gaps_take_no_time_either_way() {
    let door = Door::open().await;
    let early = record(&door, "car-detection.mp4", Duration::from_secs(5_000)).await;
    let late = record(&door, "car-detection.mp4", Duration::from_secs(1_000)).await;
    let store = door.services.store.clone();
    let spans = tokio::task::spawn_blocking(move || store.spans(&name_of(CAM), TimeRange::ALL));
    let spans = spans.await.unwrap().unwrap();
    let url = door.url(CAM);
    let mut client = set_up(&door, &url, 2).await;
    let range = clock(late[60].0, early[early.len() - 130].0);
    let response = client.must(play(&url, &[("Scale", "-4"), ("Range", &range)])).await;
    let (came, sound) = rest(&mut client).await;
    assert_eq!(sound, 0, "sound is left out");
    let Range::Clock { start, .. } = range_of(&response) else { panic!("{response:?}") };
    // As if the later span followed the end of the earlier one.
    let gap_ns = spans[1].start.ns_since(spans[0].end);
    let joined = |time: Time| if time >= spans[1].start { time.offset_ns(-gap_ns) } else { time };
    let all: Vec<Time> = keys(&early).into_iter().chain(keys(&late)).collect();
    let within = |key: &&Time| **key <= start && **key >= early[early.len() - 130].0;
    let expected: Vec<Time> = all.iter().filter(within).rev().map(|key| joined(*key)).collect();
    assert!(expected.len() >= 4, "{expected:?}");
    assert_near(&captured(&came, joined(start), info(&response).0, -4.0), &expected);
    assert_paced(&came, 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_motion_stretches_all_pictures_and_speed_only_their_delivery() {
    let door = Door::open().await;
    let pictures = record(&door, "car-detection.mp4", Duration::from_secs(1_000)).await;
    let (url, keys) = (door.url(CAM), keys(&pictures));
    let between = |from: Time, to: Time| -> Vec<Time> {
        pictures.iter().map(|(time, _)| *time).filter(|t| *t >= from && *t < to).collect()
    };
    let mut client = set_up(&door, &url, 2).await;
    for (headers, scale, speed, seconds) in [
        (&[("Scale", "0.5")][..], 0.5, 1.0, 2),
        (&[("Scale", "1.5")], 1.5, 1.0, 3),
        (&[("Speed", "4")], 1.0, 4.0, 8),
        (&[("Speed", "0.5")], 1.0, 0.5, 1),
        (&[("Speed", "2"), ("Scale", "0.5")], 0.5, 2.0, 2),
    ] {
        let to = keys[1] + Duration::from_secs(seconds);
        let range = clock(keys[1], to);
        let headers = [headers, &[("Range", &*range)]].concat();
        let response = client.must(play(&url, &headers)).await;
        for (name, value) in [("Scale", scale), ("Speed", speed)] {
            let told = response.headers.get(name).map_or(1.0, |told| told.parse::<f64>().unwrap());
            assert!((told - value).abs() < 1e-6, "{name} {told}");
        }
        let (came, sound) = rest(&mut client).await;
        assert_eq!(sound > 0, scale == 1.0, "sound is left out where it would be wrong");
        let found = captured(&came, keys[1], info(&response).0, scale);
        assert_near(&found, &between(keys[1], to));
        assert_paced(&came, speed);
        client.packets.clear();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rate_changes_where_it_stands() {
    let door = Door::open().await;
    let pictures =
        record(&door, "one-by-one-person-detection.mp4", Duration::from_secs(1_000)).await;
    let (url, keys) = (door.url(CAM), keys(&pictures));
    let mut client = set_up(&door, &url, 1).await;
    let zero = pictures[0].0;
    let begins = |response: &Response| match range_of(response) {
        Range::Npt { start: Npt::At(start), .. } => zero + start,
        other => panic!("{other:?}"),
    };
    client.must(play(&url, &[("Range", "npt=20.05-")])).await;
    client.rtp(0).await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;

    // Fast: from the key picture that was passed last.
    let response = client.must(play(&url, &[("Scale", "16")])).await;
    let fast_from = begins(&response);
    assert!(fast_from == keys[21] || fast_from == keys[20], "{fast_from}");
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    // Held, and backwards from there: what is on its way when it is held does not come any more.
    client.must(Request::new(Method::Pause, &url)).await;
    let held = client.packets.len();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let response = client.must(play(&url, &[("Scale", "-16")])).await;
    assert!(client.packets.len() <= held + 1, "it is held");
    let back_from = begins(&response);
    let passed = back_from.since(fast_from).as_secs_f64();
    assert!((12.0..24.0).contains(&passed), "{passed} s were passed in about 1.1 s");
    client.packets.clear();
    tokio::time::sleep(Duration::from_millis(600)).await;
    // In slow motion, and from there as usual, without repeating anything.
    let response = client.must(play(&url, &[("Scale", "0.5")])).await;
    assert!(begins(&response) < back_from);
    client.packets.clear();
    let mut came = Vec::new();
    while came.len() < 6 {
        add(&mut came, client.on(0).await);
    }
    let slow = captured(&came, begins(&response), info(&response).0, 0.5);
    assert!(
        slow.iter().all(|time| pictures.iter().any(|(t, _)| t.ns_since(*time).abs() < 100_000))
    );
    let response = client.must(play(&url, &[("Scale", "1")])).await;
    let slow_end = begins(&response);
    // What was sent last may be shown before what was sent before it.
    assert!(slow_end + Duration::from_millis(150) >= *slow.iter().max().unwrap());
    client.packets.clear();
    let (rtptime, _) = info(&response);
    let mut came = Vec::new();
    while came.len() < 6 {
        add(&mut came, client.on(0).await);
    }
    assert!(!came[0].key || keys.iter().all(|key| *key != slow_end), "not from a key picture");
    assert!(came.iter().all(|picture| picture.timestamp.wrapping_sub(rtptime) < 9 * 9_000));

    // With a range and no Scale it is a usual play again.
    client.must(play(&url, &[("Scale", "8")])).await;
    let response = client.must(play(&url, &[("Range", "npt=100-")])).await;
    assert_eq!(response.headers.get("Scale"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_sense_is_refused_and_plays_on() {
    let door = Door::open().await;
    record(&door, "car-detection.mp4", Duration::from_secs(1_000)).await;
    let url = door.url(CAM);
    let mut client = set_up(&door, &url, 1).await;
    client.must(play(&url, &[("Range", "npt=1-"), ("Scale", "2")])).await;
    for (headers, status, why) in [
        (&[("Scale", "0")][..], 400, "nothing would be shown"),
        (&[("Scale", "nan")], 400, "write a number"),
        (&[("Scale", "1e30")], 400, "write a number"),
        (&[("Scale", "abc")], 400, "write a number"),
        (&[("Speed", "0")], 400, "nothing would be shown"),
        (&[("Speed", "-2")], 400, "Scale says which way"),
        (&[("Scale", "-2"), ("Range", "npt=3-5")], 457, "npt=3-5"),
        (&[("Scale", "2"), ("Range", "npt=5-3")], 457, "npt=5-3"),
        (&[("Scale", "2"), ("Range", "npt=9999-")], 457, "it holds nothing"),
    ] {
        let response = client.ask(play(&url, headers)).await;
        assert_eq!(response.status.0, status, "{headers:?}: {}", response.reason);
        assert!(response.reason.contains(why), "{headers:?}: {}", response.reason);
    }
    client.packets.clear();
    client.rtp(0).await; // it plays on

    // From the beginning backwards there is one picture.
    client.must(Request::new(Method::Pause, &url)).await;
    client.packets.clear();
    client.must(play(&url, &[("Range", "npt=0-"), ("Scale", "-1")])).await;
    let (came, _) = rest(&mut client).await;
    assert_eq!(came.len(), 1);

    // Sound alone is not played backwards, nor fast.
    let mut deaf = Client::connect(door.address).await;
    let setup = Request::new(Method::Setup, &format!("{url}/trackID=1"));
    deaf.must(setup.with("Transport", "RTP/AVP/TCP;unicast;interleaved=0-1")).await;
    let response = deaf.ask(play(&url, &[("Range", "npt=5-"), ("Scale", "-2")])).await;
    assert_eq!(response.status.0, 456, "{}", response.reason);
    let response = deaf.must(play(&url, &[("Range", "npt=5-"), ("Scale", "2")])).await;
    assert_eq!(response.headers.get("Scale"), Some("1.0"));
    deaf.rtp(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_stream_has_one_rate() {
    let door = Door::open().await;
    let publisher = rtsp_support::ffmpeg::publish(&clip("car-detection.mp4"), &door.url(CAM));
    rtsp_support::until("it is live", || {
        door.services.switch.status(&name_of(CAM)).is_some_and(|status| status.units > 20)
    })
    .await;
    let url = door.url(CAM);
    let mut client = set_up(&door, &url, 1).await;
    for headers in [&[("Scale", "8")][..], &[("Scale", "-2"), ("Speed", "2")]] {
        let response = client.must(play(&url, headers)).await;
        assert_eq!(response.headers.get("Scale"), Some("1.0"));
        assert_eq!(response.headers.get("Speed"), (headers.len() > 1).then_some("1.0"));
        client.rtp(0).await;
    }
    drop(publisher);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_seeks_ends_in_the_right_place_and_leaves_nothing() {
    let door = Door::open().await;
    let pictures =
        record(&door, "one-by-one-person-detection.mp4", Duration::from_secs(1_000)).await;
    let (url, keys) = (door.url(CAM), keys(&pictures));
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let mut client = set_up(&door, &url, 1).await;
    let before = tasks();
    let mut rng = fastrand::Rng::with_seed(5);
    for _ in 0..200 {
        let scale = ["1", "2", "8", "-1", "-8", "32", "0.5", "-32"][rng.usize(..8)];
        let range = format!("npt={}.{:03}-", rng.u32(1..130), rng.u32(..1_000));
        let response = match rng.u32(..4) {
            0 => client.must(play(&url, &[("Scale", scale)])).await,
            _ => client.must(play(&url, &[("Scale", scale), ("Range", &range)])).await,
        };
        assert_eq!(response.status.0, 200);
        client.packets.clear();
    }
    let response = client.must(play(&url, &[("Scale", "8"), ("Range", "npt=50-70")])).await;
    client.packets.clear();
    let (rtptime, sequence) = info(&response);
    let Range::Npt { start: Npt::At(start), .. } = range_of(&response) else { panic!() };
    let from = pictures[0].0 + start;
    assert_eq!(
        from,
        *keys.iter().rfind(|k| **k <= pictures[0].0 + Duration::from_secs(50)).unwrap()
    );
    let first = client.rtp(0).await;
    assert_eq!((first.timestamp, first.sequence), (rtptime, sequence), "nothing of before comes");
    client.packets.clear();
    let (came, _) = rest(&mut client).await;
    assert!((17..=20).contains(&came.len()), "{came:?}");
    drop(client);
    rtsp_support::until("all tasks have ended", || tasks() < before).await;
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fast_forward_ends_where_a_growing_recording_does() {
    let door = Door::open().await;
    let pictures =
        record(&door, "one-by-one-person-detection.mp4", Duration::from_secs(1_000)).await;
    let (url, keys) = (door.url(CAM), keys(&pictures));
    // It is live, and would be followed at a usual rate.
    let tracks = door.services.store.tracks(&name_of(CAM), Time::MAX).unwrap();
    let _source = door.services.switch.publish(&name_of(CAM), "a test", tracks).unwrap();
    let mut client = set_up(&door, &url, 1).await;
    let from = Range::Clock { start: keys[keys.len() - 9], end: None }.to_string();
    let response = client.must(play(&url, &[("Scale", "8"), ("Range", &from)])).await;
    let (came, _) = rest(&mut client).await;
    let shown = captured(&came, keys[keys.len() - 9], info(&response).0, 8.0);
    assert_near(&shown, &keys[keys.len() - 9..]);
}
