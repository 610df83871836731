//! Units through packets and back, for every codec: over a perfect line bit for bit; over one that
//! loses, repeats and shuffles, nothing but what was sent, in order, and marked as doubtful where
//! what it refers to may be missing.

mod units;

use bytes::Bytes;
use pegasus_base::Time;
use pegasus_media::rtp::{Depacketizer, Event, Frame, Packet, Packetizer, ReorderBuffer};
use pegasus_media::{Codec, Track, Unit};
use proptest::prelude::*;
use std::time::Duration;
use units::{stream, track_of};

/// All packets of the units, each with the number of its unit.
fn packets(track: &Track, units: &[Unit], mtu_bytes: usize) -> Vec<(usize, Packet)> {
    let mut packetizer = Packetizer::new(track, 96, 7, mtu_bytes);
    packetizer.set_next_sequence(0xfff0);
    let mut packets = Vec::new();
    for (i, unit) in units.iter().enumerate() {
        let sent = packetizer.packetize(unit, |bytes| {
            let whole = matches!(track.codec, Codec::Opus);
            assert!(whole || bytes.len() <= mtu_bytes, "{} bytes", bytes.len());
            packets.push((i, Packet::parse(bytes).expect("what is sent is RTP")));
        });
        sent.expect("the unit is as its codec has it");
    }
    packets
}

fn receive(track: &Track, packets: impl IntoIterator<Item = Packet>) -> (Vec<Frame>, u32) {
    let mut depacketizer = Depacketizer::new(track);
    let (mut frames, mut losses) = (Vec::new(), 0);
    for packet in packets {
        let _ = depacketizer.push(&packet);
        while let Some(event) = depacketizer.poll() {
            match event {
                Event::Frame(frame) => frames.push(frame),
                Event::Lost(_) => losses += 1,
                Event::Track(_) => {}
            }
        }
    }
    depacketizer.finish();
    while let Some(event) = depacketizer.poll() {
        assert!(!matches!(event, Event::Frame(_)), "the end of {event:?} was never seen");
    }
    (frames, losses)
}

/// Samples may come in other portions than they were sent in.
fn samples(codec: Codec) -> bool {
    matches!(codec, Codec::Pcmu | Codec::Pcma | Codec::L16)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_perfect_line_changes_nothing(units in stream(), mtu_bytes in 256usize..2_000) {
        let (track, units) = units;
        let packets = packets(&track, &units, mtu_bytes);
        let (frames, losses) = receive(&track, packets.into_iter().map(|(_, packet)| packet));
        prop_assert_eq!(losses, 0);
        prop_assert!(frames.iter().all(|frame| !frame.doubtful));
        if samples(track.codec) {
            let join = |parts: Vec<Bytes>| parts.concat();
            let sent = join(units.iter().map(|unit| unit.data.clone()).collect());
            prop_assert_eq!(join(frames.into_iter().map(|frame| frame.data).collect()), sent);
            return Ok(());
        }
        prop_assert_eq!(frames.len(), units.len());
        for (frame, unit) in frames.iter().zip(&units) {
            prop_assert_eq!(&frame.data, &unit.data);
            prop_assert_eq!((frame.pts, frame.key), (unit.pts, unit.key));
        }
    }

    #[test]
    fn a_lossy_line_passes_off_nothing(
        units in stream(), mtu_bytes in 256usize..1_000, seed: u64, loss_percent in 1u8..30,
    ) {
        let (track, units) = units;
        let mut rng = fastrand::Rng::with_seed(seed);
        let all = packets(&track, &units, mtu_bytes);
        let kept: Vec<&(usize, Packet)> =
            all.iter().filter(|_| rng.u8(..100) >= loss_percent).collect();
        let (frames, losses) = receive(&track, kept.iter().map(|(_, packet)| packet.clone()));
        if kept.windows(2).any(|pair| pair[1].1.sequence != pair[0].1.sequence.wrapping_add(1)) {
            prop_assert!(losses > 0, "a gap was not reported");
        }
        if samples(track.codec) {
            return Ok(());
        }
        // Each frame is one that was sent. (At the very start nothing tells that packets are missing.)
        let started = kept.first().map_or(0, |(unit, _)| *unit);
        let mut last_lost = None;
        let complete = |unit: usize| {
            all.iter().filter(|(i, _)| *i == unit).count()
                == kept.iter().filter(|(i, _)| *i == unit).count()
        };
        let mut at = 0;
        for frame in &frames {
            let Some(unit) = (at..units.len()).find(|i| units[*i].pts == frame.pts) else {
                return Err(TestCaseError::fail(format!("{frame:?} was never sent, or out of order")));
            };
            (at..unit).filter(|i| *i > started).for_each(|i| last_lost = Some(i));
            at = unit + 1;
            if unit == started {
                continue;
            }
            prop_assert!(complete(unit), "{:?} is not whole", frame);
            prop_assert_eq!(&frame.data, &units[unit].data);
            if frame.key {
                last_lost = None;
            }
            prop_assert!(frame.doubtful || last_lost.is_none(), "{:?} after a loss", frame);
        }
    }

    #[test]
    fn a_shuffling_line_changes_nothing(units in stream(), mtu_bytes in 256usize..1_000, seed: u64) {
        let (track, units) = units;
        let mut rng = fastrand::Rng::with_seed(seed);
        let all = packets(&track, &units, mtu_bytes);
        let mut order: Vec<(usize, &Packet)> = Vec::new();
        for (i, (_, packet)) in all.iter().enumerate() {
            let at = if i == 0 { 0 } else { i + rng.usize(..6) };
            (0..rng.usize(1..3)).for_each(|_| order.push((at, packet)));
        }
        order.sort_by_key(|(at, _)| *at);
        let mut buffer = ReorderBuffer::new(64, Duration::from_millis(100));
        let now = Time::from_secs(1);
        let mut received = Vec::new();
        for (_, packet) in order {
            buffer.push(packet.clone(), now);
            received.extend(std::iter::from_fn(|| buffer.poll(now)).map(|(packet, _)| packet));
        }
        let truth: Vec<Packet> = all.into_iter().map(|(_, packet)| packet).collect();
        prop_assert_eq!(received, truth);
    }

    #[test]
    fn any_payload_is_taken_or_refused(
        codec in 0..Codec::ALL.len(),
        payloads in proptest::collection::vec(
            (proptest::collection::vec(any::<u8>(), 0..60), any::<bool>(), 0u32..3, 0u16..2), 0..40,
        ),
    ) {
        let track = track_of(Codec::ALL[codec]);
        let mut sequence = 0u16;
        let packets = payloads.into_iter().map(|(payload, marker, timestamp, gap)| {
            sequence = sequence.wrapping_add(1 + gap / 2);
            Packet { payload_type: 96, marker, sequence, timestamp, ssrc: 1, payload: payload.into() }
        });
        receive(&track, packets);
    }

    #[test]
    fn damaged_packets_are_taken_or_refused(units in stream(), seed: u64) {
        let (track, units) = units;
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut all = packets(&track, &units, 300);
        for (_, packet) in &mut all {
            let mut payload = packet.payload.to_vec();
            if rng.u8(..4) == 0 && !payload.is_empty() {
                let at = rng.usize(..payload.len().min(24));
                payload[at] = rng.u8(..);
            }
            payload.truncate(rng.usize(..payload.len() * 8 + 1));
            packet.payload = payload.into();
        }
        receive(&track, all.into_iter().map(|(_, packet)| packet));
    }

    #[test]
    fn any_unit_is_sent_or_refused(
        codec in 0..Codec::ALL.len(), data in proptest::collection::vec(any::<u8>(), 0..3_000),
        mtu_bytes: usize, pts: i64,
    ) {
        let track = track_of(Codec::ALL[codec]);
        let mut packetizer = Packetizer::new(&track, 96, 7, mtu_bytes);
        let unit = Unit {
            track: track.id, pts, dts: pts, time: Time::from_secs(0), duration: 0, key: true,
            data: data.into(),
        };
        let _ = packetizer.packetize(&unit, |_| {});
    }
}
