//! Live play by RTSP, with ffmpeg and by hand.

mod rtsp_support;

use std::time::Duration;

use bytes::Bytes;
use pegasus_base::{Clock as _, SystemClock, Time};
use pegasus_circuit::Source;
use pegasus_gateway::rtsp::message::{Method, Request};
use pegasus_gateway::{Access, rtsp};
use pegasus_media::rtp::{Packet, Rtcp};
use pegasus_media::{Codec, Shape, Track, TrackId, TrackSet, Unit};
use rtsp_support::{Door, client::Client, clip, ffmpeg, name_of, until};
use tokio::task::JoinHandle;

/// Two sound tracks: easy to make, every unit a key unit.
fn tracks() -> TrackSet {
    let track = |id, codec, sample_rate, channels| Track {
        id: TrackId(id),
        codec,
        clock_rate: sample_rate,
        shape: Shape::Audio { channels, sample_rate },
        config: Bytes::new(),
    };
    [track(0, Codec::Pcmu, 8_000, 1), track(1, Codec::L16, 48_000, 2)].into()
}

fn unit(track: u8, number: i64, start: Time) -> Unit {
    let (ticks, len) = if track == 0 { (160, 160) } else { (960, 3_840) };
    Unit {
        track: TrackId(track),
        pts: number * ticks,
        dts: number * ticks,
        time: start + Duration::from_millis(20) * u32::try_from(number).unwrap(),
        duration: ticks as u32,
        key: true,
        data: Bytes::from(vec![number as u8; len]),
    }
}

/// Publishes both tracks in real time until dropped.
struct Speaker(JoinHandle<()>);

impl Speaker {
    fn start(source: Source) -> Self {
        Self(tokio::spawn(async move {
            let start = SystemClock.now();
            let mut tick = tokio::time::interval(Duration::from_millis(20));
            for number in 0.. {
                tick.tick().await;
                source.send_many([unit(0, number, start), unit(1, number, start)]);
            }
        }))
    }
}

impl Drop for Speaker {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn speak(door: &Door, name: &str) -> Speaker {
    let source = door.services.switch.publish(&name_of(name), "a test", tracks()).unwrap();
    Speaker::start(source)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_player_hears_both_tracks_with_their_capture_times() {
    let door = Door::open().await;
    let _speaker = speak(&door, "/mic");
    let url = door.url("/mic");
    let mut client = Client::connect(door.address).await;
    let response = client.play(&url, 2, Some("npt=0.000-")).await;
    assert_eq!(response.headers.get("Range"), Some("npt=now-"));
    let info = response.headers.get("RTP-Info").unwrap().to_owned();
    for channel in [0, 2] {
        let Rtcp::Sender(report) = client.rtcp(channel + 1).await.remove(0) else {
            panic!("the first packet is a sender report")
        };
        let packet = client.rtp(channel).await;
        assert!(info.contains(&format!("trackID={};seq={}", channel / 2, packet.sequence)));
        let rate = if channel == 0 { 8_000 } else { 48_000 };
        let ahead = i64::from(packet.timestamp.wrapping_sub(report.rtp_timestamp) as i32);
        let captured = report.ntp.to_time().offset_ns(ahead * 1_000_000_000 / rate);
        let age = SystemClock.now().since(captured);
        assert!(age < Duration::from_secs(5), "captured {captured}, {age:?} ago");
        // The unit's content is its number, so its true capture time is known to the tick.
        let next = client.rtp(channel).await;
        assert_eq!(next.payload[0], packet.payload[0].wrapping_add(u8::from(channel == 0)));
        assert_eq!(next.sequence, packet.sequence.wrapping_add(1));
    }
    client.must(Request::new(Method::Pause, &url)).await;
    client.packets.clear();
    client.must(Request::new(Method::GetParameter, &url)).await;
    assert!(client.packets.is_empty(), "nothing comes during a pause");
    client.must(Request::new(Method::Play, &url)).await;
    client.rtp(0).await;
    client.must(Request::new(Method::Teardown, &url)).await;
    let name = name_of("/mic");
    until("the player has left", || door.services.switch.status(&name).unwrap().sinks.is_empty())
        .await;
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_stream_is_a_goodbye_and_what_is_not_live_is_not_found() {
    let door = Door::open().await;
    let speaker = speak(&door, "/mic");
    let url = door.url("/mic");
    let mut client = Client::connect(door.address).await;
    client.play(&url, 1, None).await;
    client.rtp(0).await;
    drop(speaker);
    loop {
        if client.rtcp(1).await.iter().any(|packet| matches!(packet, Rtcp::Bye(_))) {
            break;
        }
    }
    let again = client.ask(Request::new(Method::Play, &url)).await;
    assert_eq!(again.status.0, 404, "{}", again.reason);
    let mut other = Client::connect(door.address).await;
    let response = other.ask(Request::new(Method::Describe, &url)).await;
    assert_eq!(response.status.0, 404);
    assert!(response.reason.contains("nobody publishes /mic"), "{}", response.reason);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_player_that_takes_nothing_slows_nobody_and_is_sent_away() {
    let limits = rtsp::Limits {
        write_queue_bytes: 32 << 10,
        stuck: Duration::from_secs(2),
        ..rtsp::Limits::default()
    };
    let door = Door::open_with(Access::open(), limits).await;
    let name = name_of("/mic");
    let source = door.services.switch.publish(&name, "a test", tracks()).unwrap();
    let url = door.url("/mic");
    let mut stuck = Client::connect(door.address).await;
    stuck.play(&url, 2, None).await;
    let mut healthy = Client::connect(door.address).await;
    healthy.play(&url, 1, None).await;
    // Far more than sockets hold, while one player reads and the other does not.
    let start = SystemClock.now();
    let mut heard = 0;
    for number in 0..6_000 {
        source.send_many([unit(0, number, start), unit(1, number, start)]);
        let packet = healthy.rtp(0).await;
        assert_eq!(packet.payload[0], number as u8, "the healthy player hears every unit");
        heard += 1;
    }
    assert_eq!(heard, 6_000);
    until("the stuck player is gone", || {
        door.services.switch.status(&name).unwrap().sinks.len() == 1
    })
    .await;
    source.send(unit(0, 6_000, start));
    healthy.rtp(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ffmpeg_plays_live_over_tcp_and_udp() {
    let door = Door::open().await;
    let url = door.url("/cam/door");
    let path = clip("car-detection.mp4");
    let mut publisher = ffmpeg::publish(&path, &url);
    let name = name_of("/cam/door");
    until("ffmpeg publishes", || {
        door.services.switch.status(&name).is_some_and(|status| status.units > 50)
    })
    .await;
    for transport in ["tcp", "udp"] {
        let hashes =
            ffmpeg::packet_hashes(&["-rtsp_transport", transport, "-i", &url, "-t", "2"]).await;
        assert_eq!(hashes.len(), 2, "both tracks are played over {transport}");
        assert!(hashes[0].len() >= 20, "{} pictures over {transport}", hashes[0].len());
        assert!(hashes[1].len() >= 70, "{} packets of sound over {transport}", hashes[1].len());
        let whole = ffmpeg::packet_hashes(&["-i", ffmpeg::text(&path)]).await;
        for sound in &hashes[1] {
            assert!(
                whole[1].contains(sound),
                "a packet of sound over {transport} is not the clip's"
            );
        }
    }
    // Decoding finds nothing wrong.
    let decoded = ffmpeg::spawn(&["-xerror", "-i", &url, "-t", "2", "-f", "null", "-"])
        .wait_with_output()
        .await
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&decoded.stderr), "");
    assert!(publisher.try_wait().unwrap().is_none(), "the publisher goes on undisturbed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_player_over_udp_gets_what_one_over_tcp_gets() {
    let door = Door::open().await;
    let _speaker = speak(&door, "/mic");
    let url = door.url("/mic");
    let rtp = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let port = rtp.local_addr().unwrap().port();
    let mut client = Client::connect(door.address).await;
    client.must(Request::new(Method::Describe, &url)).await;
    let setup = Request::new(Method::Setup, &format!("{url}/trackID=0"))
        .with("Transport", format!("RTP/AVP;unicast;client_port={port}-{}", port.wrapping_add(1)));
    client.must(setup).await;
    client.must(Request::new(Method::Play, &url)).await;
    let mut buffer = [0; 2_000];
    let mut last = None;
    for _ in 0..20 {
        let received = tokio::time::timeout(rtsp_support::PATIENCE, rtp.recv(&mut buffer));
        let len = received.await.expect("datagrams come").unwrap();
        let packet = Packet::parse(Bytes::copy_from_slice(&buffer[..len])).unwrap();
        assert_eq!(packet.payload.len(), 160);
        if let Some(last) = last.replace(packet.sequence) {
            assert_eq!(packet.sequence, last.wrapping_add(1));
        }
    }
    client.must(Request::new(Method::Teardown, &url)).await;
}
