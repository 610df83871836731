//! Publishing by RTSP, with ffmpeg and by hand.

mod rtsp_support;

use pegasus_circuit::Start;
use pegasus_gateway::Access;
use pegasus_gateway::rtsp;
use pegasus_gateway::rtsp::message::{Method, Request};
use pegasus_media::Codec;
use rtsp_support::{Collected, Door, client::Client, clip, ffmpeg, name_of, until};

/// The access units a clip holds, as MP4 has them: what must arrive.
fn samples(file: &str, track: u8) -> Vec<bytes::Bytes> {
    use pegasus_media::mp4::{Item, Mp4File};
    let mut mp4 = Mp4File::open(std::fs::File::open(clip(file)).unwrap()).unwrap();
    let mut samples = Vec::new();
    while let Some(item) = mp4.next(pegasus_base::Time::from_secs(0)).unwrap() {
        if let Item::Unit(unit) = item
            && unit.track.0 == track
        {
            samples.push(unit.data);
        }
    }
    samples
}

async fn publish(door: &Door, transport: &str, file: &str) -> Collected {
    let collected = door.collect("/cam/door");
    let path = clip(file);
    // Faster than real time, but no faster than datagrams can be read on a busy machine.
    ffmpeg::run(&[
        "-readrate",
        "8",
        "-i",
        ffmpeg::text(&path),
        "-c",
        "copy",
        "-f",
        "rtsp",
        "-rtsp_transport",
        transport,
        &door.url("/cam/door"),
    ])
    .await;
    collected.await.unwrap()
}

#[rustfmt::skip]
fn assert_complete(collected: &Collected, file: &str) {
    let tracks = collected.tracks.last().unwrap();
    for track in tracks.iter() {
        let units = collected.track(track.id.0);
        let mut expected = samples(file, track.id.0);
        if track.codec == Codec::Aac {
            // ffmpeg puts four of them into a packet and throws the last, unfilled one away.
            expected.truncate(expected.len() / 4 * 4);
            expected.truncate(units.len().max(expected.len() - 4));
        }
        // ffmpeg puts the parameter sets before each key picture; everything else is the same.
        let same = |unit: &pegasus_media::Unit, sample: &bytes::Bytes| match track.codec {
            Codec::H264 if unit.key => unit.data.ends_with(sample),
            _ => unit.data == sample,
        };
        let differs = units.iter().zip(&expected).position(|(unit, sample)| !same(unit, sample));
        assert_eq!(differs, None, "a unit of {track:?} differs");
        assert_eq!(units.len(), expected.len(), "units of {track:?}");
        assert!(units.windows(2).all(|pair| pair[0].dts < pair[1].dts), "{track:?}");
        assert!(units.iter().all(|unit| unit.dts <= unit.pts), "{track:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ffmpeg_publishes_over_tcp_and_every_unit_arrives() {
    let door = Door::open().await;
    let collected = publish(&door, "tcp", "car-detection.mp4").await;
    assert_complete(&collected, "car-detection.mp4");
    let tracks = collected.tracks.last().unwrap();
    assert_eq!(tracks[0].codec, Codec::H264);
    assert_eq!(tracks[0].size(), Some((768, 432)));
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ffmpeg_publishes_over_udp_and_every_unit_arrives() {
    let door = Door::open().await;
    let collected = publish(&door, "udp", "bottle-detection.mp4").await;
    assert_complete(&collected, "bottle-detection.mp4");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_publisher_is_refused_and_told_by_whom() {
    let door = Door::open().await;
    let name = name_of("/cam/door");
    let held = door.services.switch.publish(&name, "the first", Vec::new().into()).unwrap();
    let path = clip("bottle-detection.mp4");
    let url = door.url("/cam/door");
    let args = ["-re", "-i", ffmpeg::text(&path), "-c", "copy", "-f", "rtsp", &url];
    let error = ffmpeg::fail(&args).await;
    assert!(error.contains("409 Conflict: /cam/door is already published by the first"), "{error}");
    drop(held);
    let publisher = ffmpeg::spawn(&args);
    let live = || door.services.switch.status(&name).is_some_and(|status| status.live);
    until("the name is free again and taken", live).await;
    drop(publisher);
    until("the vanished publisher is noticed", || !live()).await;
}

const SDP: &str = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\n\
    m=video 0 RTP/AVP 96\r\na=rtpmap:96 FANCY/90000\r\na=control:streamid=0\r\n\
    m=audio 0 RTP/AVP 0\r\na=control:streamid=1\r\n";

/// Announces `sdp` and sets up both of its tracks in the connection.
async fn announce(door: &Door, name: &str, sdp: &str) -> Client {
    let mut client = Client::connect(door.address).await;
    let url = door.url(name);
    let sdp = sdp.to_owned();
    client.must(Request::new(Method::Announce, &url).with_body("application/sdp", sdp)).await;
    for track in 0..2 {
        let setup = Request::new(Method::Setup, &format!("{url}/streamid={track}"));
        let transport =
            format!("RTP/AVP/TCP;unicast;interleaved={}-{};mode=record", 2 * track, 2 * track + 1);
        client.must(setup.with("Transport", transport)).await;
    }
    client.must(Request::new(Method::Record, &url)).await;
    client
}

/// A packet of G.711 on channel 2.
fn sound(sequence: u16) -> Vec<u8> {
    let packet = pegasus_media::rtp::Packet {
        payload_type: 0,
        marker: false,
        sequence,
        timestamp: u32::from(sequence) * 160,
        ssrc: 7,
        payload: bytes::Bytes::from(vec![sequence as u8; 160]),
    };
    let mut bytes = Vec::new();
    rtsp::message::emit_interleaved(2, &packet.to_bytes(), &mut bytes);
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_codec_is_left_out_and_the_rest_goes_on() {
    let door = Door::open().await;
    let collected = door.collect("/cam/odd");
    let mut client = announce(&door, "/cam/odd", SDP).await;
    for sequence in 0..20 {
        let mut bytes = Vec::new();
        rtsp::message::emit_interleaved(0, &[0x80; 40], &mut bytes); // the unknown track
        bytes.extend(sound(sequence));
        client.send(&bytes).await;
    }
    client.must(Request::new(Method::Teardown, &door.url("/cam/odd"))).await;
    let collected = collected.await.unwrap();
    assert_eq!(collected.tracks[0].len(), 1);
    assert_eq!(collected.tracks[0][0].codec, Codec::Pcmu);
    let units = collected.track(0);
    assert_eq!(units.len(), 20);
    assert!(units.iter().enumerate().all(|(index, unit)| unit.data[..] == [index as u8; 160]));

    let mut client = Client::connect(door.address).await;
    let only = SDP.split("m=audio").next().unwrap().to_owned();
    let request = Request::new(Method::Announce, &door.url("/cam/odd"));
    let response = client.ask(request.with_body("application/sdp", only)).await;
    assert_eq!(response.status.0, 415);
    assert!(response.reason.contains("FANCY"), "{}", response.reason);
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_is_answered_and_costs_only_its_connection() {
    let door = Door::open().await;
    let mut publisher = announce(&door, "/cam/steady", SDP).await;
    let requests: [&[u8]; 4] = [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03",
        &[0xff; 5_000],
        b"ANNOUNCE rtsp://h/a RTSP/1.0\r\nCSeq: 1\r\nContent-Length: 99999999\r\n\r\n",
    ];
    for garbage in requests {
        let mut client = Client::connect(door.address).await;
        client.send(garbage).await;
        let Some(rtsp::decode::Item::Response(response)) = client.item().await else {
            panic!("garbage is not answered")
        };
        assert!((400..500).contains(&response.status.0), "{response:?}");
        assert!(client.item().await.is_none(), "the connection is closed");
    }
    // Garbage in packets costs the packets.
    let mut bytes = Vec::new();
    rtsp::message::emit_interleaved(2, b"not RTP", &mut bytes);
    rtsp::message::emit_interleaved(3, b"not RTCP either", &mut bytes);
    rtsp::message::emit_interleaved(200, b"no such channel", &mut bytes);
    publisher.send(&bytes).await;
    publisher.send(&sound(1)).await;
    let name = name_of("/cam/steady");
    let mut sink = door.services.switch.subscribe(&name, Start::Held);
    loop {
        if let pegasus_circuit::Event::Unit(unit) = sink.next().await {
            assert_eq!(unit.data[0], 1);
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_packets_are_counted_and_a_burst_of_them_is_one_event() {
    let door = Door::open().await;
    let mut publisher = announce(&door, "/cam/lossy", SDP).await;
    for sequence in [0, 1, 5, 6, 8] {
        publisher.send(&sound(sequence)).await;
    }
    let name = name_of("/cam/lossy");
    let lost = || door.services.switch.status(&name).map_or(0, |status| status.damage.lost_packets);
    until("the losses are counted", || lost() == 4).await;
    let told = || {
        let events = door.services.events.after(0, 100);
        let told = events.into_iter().filter(|event| event.text.contains("did not arrive"));
        told.map(|event| (event.subject, event.count)).collect::<Vec<_>>()
    };
    until("they are told", || !told().is_empty()).await;
    assert_eq!(told(), [("/cam/lossy".to_owned(), 1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_connections_and_silent_publishers_are_sent_away() {
    let limits = rtsp::Limits {
        connections_max: 1,
        publisher_silent: std::time::Duration::from_millis(1_500),
        ..rtsp::Limits::default()
    };
    let door = Door::open_with(Access::open(), limits).await;
    let mut publisher = announce(&door, "/cam/silent", SDP).await;
    let mut second = Client::connect(door.address).await;
    let Some(rtsp::decode::Item::Response(response)) = second.item().await else {
        panic!("no answer")
    };
    assert_eq!(response.status.0, 503);
    let name = name_of("/cam/silent");
    assert!(door.services.switch.status(&name).is_some_and(|status| status.live));
    assert!(publisher.item().await.is_none(), "the silent publisher's connection is closed");
    until("its stream is idle", || {
        !door.services.switch.status(&name).is_some_and(|status| status.live)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_asked_for() {
    let access = Access::credentials("admin", "secret").unwrap();
    let door = Door::open_with(access, rtsp::Limits::default()).await;
    let path = clip("bottle-detection.mp4");
    let url = door.url("/cam/door");
    let args = |url| ["-i", ffmpeg::text(&path), "-t", "1", "-c", "copy", "-f", "rtsp", url];
    let error = ffmpeg::fail(&args(&url)).await;
    assert!(error.contains("401"), "{error}");
    ffmpeg::run(&args(&url.replace("rtsp://", "rtsp://admin:secret@"))).await;
}
