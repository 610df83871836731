//! Any packets of any codec: units or errors, never a panic; what comes out as a unit can be sent
//! again, and comes back the same.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use pegasus_base::Time;
use pegasus_media::rtp::{Depacketizer, Event, Packet, Packetizer};
use pegasus_media::{Codec, Kind, Shape, Track, TrackId, Unit};

fuzz_target!(|bytes: &[u8]| {
    // The first byte chooses the codec; packets follow, each behind its length.
    let Some((&choice, mut rest)) = bytes.split_first() else { return };
    let track = track(Codec::ALL[usize::from(choice) % Codec::ALL.len()]);
    let mut depacketizer = Depacketizer::new(&track);
    let mut current = track;
    while let Some((&len, tail)) = rest.split_first() {
        let (packet, tail) = tail.split_at(usize::from(len).min(tail.len()));
        rest = tail;
        let Ok(packet) = Packet::parse(Bytes::copy_from_slice(packet)) else { continue };
        let _ = depacketizer.push(&packet);
        while let Some(event) = depacketizer.poll() {
            match event {
                Event::Frame(frame) => send_again(&current, frame.pts, frame.data),
                Event::Track(changed) => current = changed,
                Event::Lost(_) => {}
            }
        }
    }
});

fn track(codec: Codec) -> Track {
    let (clock_rate, shape) = match codec.kind() {
        Kind::Video => (90_000, Shape::Video { width: 0, height: 0 }),
        Kind::Audio => (48_000, Shape::Audio { channels: 2, sample_rate: 48_000 }),
    };
    Track { id: TrackId(0), codec, clock_rate, shape, config: Bytes::new() }
}

fn send_again(track: &Track, pts: i64, data: Bytes) {
    let time = Time::from_secs(0);
    let mut unit = Unit { track: track.id, pts, dts: pts, time, duration: 0, key: true, data };
    let mut packetizer = Packetizer::new(track, 96, 1, 1_200);
    let mut depacketizer = Depacketizer::new(track);
    let mut came = Vec::new();
    // The first unit of a stream is only taken if it shows its beginning: the second copy counts.
    for _ in 0..2 {
        let mut packets = Vec::new();
        if packetizer.packetize(&unit, |packet| packets.push(packet)).is_err() {
            return;
        }
        came.clear();
        for packet in packets {
            let packet = Packet::parse(packet).expect("what is sent is RTP");
            depacketizer.push(&packet).expect("what is sent makes sense");
            while let Some(event) = depacketizer.poll() {
                if let Event::Frame(frame) = event {
                    came.extend_from_slice(&frame.data);
                }
            }
        }
        unit.pts = unit.pts.wrapping_add(3_600);
    }
    // Of a JPEG picture only the scan up to its first marker is sent: garbage may hold more.
    if track.codec != Codec::Mjpeg {
        assert_eq!(came, unit.data, "{} changed on its way", track.codec);
    }
}
