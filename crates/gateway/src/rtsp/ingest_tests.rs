//! Packets made by an outlet, mistreated on the way.

use std::sync::Arc;

use pegasus_media::{Codec, Shape, TrackId};
use proptest::prelude::*;

use super::super::outlet::{Outgoing, Outlet};
use super::*;

#[path = "../../../media/tests/units/mod.rs"]
mod samples;

/// A configuration record with the shortest parameter sets there can be.
const CONFIG: &[u8] =
    &[1, 0x42, 0, 0x1e, 0xff, 0xe1, 0, 5, 0x67, 0x42, 0, 0x1e, 0x80, 1, 0, 2, 0x68, 0xc0];

fn tracks() -> TrackSet {
    let video = Track {
        id: TrackId(0),
        codec: Codec::H264,
        clock_rate: 90_000,
        shape: Shape::Video { width: 0, height: 0 },
        config: Bytes::from_static(CONFIG),
    };
    let sound = Track {
        id: TrackId(1),
        codec: Codec::Pcmu,
        clock_rate: 8_000,
        shape: Shape::Audio { channels: 1, sample_rate: 8_000 },
        config: Bytes::new(),
    };
    Arc::from([video, sound])
}

fn ingest(datagrams: bool) -> Ingest {
    let text = sdp::emit(&sdp::Session { name: "x", id: 1, range: None }, &tracks());
    let media = sdp::parse(text.as_bytes()).unwrap().media;
    Ingest::new(&media, datagrams, 99)
}

const START: Time = Time::from_secs(1_700_000_000);

/// Picture `number` at 25 Hz, or 40 ms of sound, with content of its own.
fn unit(track: u8, number: usize, key: bool) -> Unit {
    let ticks = if track == 0 { 3_600 } else { 320 };
    let pts = number as i64 * ticks;
    let data = if track == 0 {
        let slice = if key { 0x65 } else { 0x41 };
        let mut nal = vec![slice, 0x88];
        nal.extend(std::iter::repeat_n(1 + number as u8 % 200, 3_000));
        let mut data = (nal.len() as u32).to_be_bytes().to_vec();
        data.extend(nal);
        data.into()
    } else {
        Bytes::from(vec![number as u8; 320])
    };
    let time = START + Duration::from_millis(40) * number as u32;
    Unit { track: TrackId(track), pts, dts: pts, time, duration: 0, key, data }
}

/// The packets of `count` units of each track, a key picture every ten, with the time of each.
fn packets(count: usize) -> Vec<(Outgoing, Time)> {
    let rng = &mut fastrand::Rng::with_seed(5);
    let mut outlet = Outlet::new(&tracks(), &[(0, 1), (1, 2)], 1_000, rng);
    outlet.begin();
    let mut out = Vec::new();
    for number in 0..count {
        for track in 0..2 {
            let unit = unit(track, number, number % 10 == 0);
            outlet.send(&unit, &mut |packet| out.push((packet, unit.time))).unwrap();
        }
    }
    out
}

fn feed(ingest: &mut Ingest, packets: &[(Outgoing, Time)]) -> Vec<Ingested> {
    let mut out = Vec::new();
    let mut now = START;
    for (packet, at) in packets {
        now = now.max(*at);
        if packet.control {
            ingest.rtcp(packet.lane, &packet.data, now).unwrap();
        } else {
            // After a loss the rest of a unit makes no sense: what comes out tells.
            let _ = ingest.rtp(packet.lane, packet.data.clone(), now);
        }
        out.extend(std::iter::from_fn(|| ingest.poll(now)));
    }
    ingest.finish(now);
    out.extend(std::iter::from_fn(|| ingest.poll(now)));
    out
}

fn units(ingested: &[Ingested], track: u8) -> Vec<Unit> {
    let unit = |one: &Ingested| match one {
        Ingested::Unit(unit) if unit.track.0 == track => Some(unit.clone()),
        _ => None,
    };
    ingested.iter().filter_map(unit).collect()
}

/// Which picture it is, by its content.
fn number(unit: &Unit) -> i64 {
    i64::from(unit.data[6]) - 1
}

#[test]
fn every_unit_comes_out_as_it_was_sent() {
    let mut ingest = ingest(false);
    let ingested = feed(&mut ingest, &packets(30));
    assert!(ingest.take_damage().is_none());
    for track in 0..2 {
        let units = units(&ingested, track);
        assert_eq!(units.len(), 30);
        for (number, got) in units.iter().enumerate() {
            let sent = unit(track, number, number % 10 == 0);
            assert!(got.data == sent.data, "unit {number} has changed");
            assert_eq!(got.dts, got.pts);
            assert_eq!(got.key, sent.key || track == 1);
            let off_ns = got.time.ns_since(sent.time).abs();
            assert!(off_ns < 50_000_000, "unit {number} is {off_ns} ns off");
        }
    }
}

#[test]
fn what_comes_before_the_first_key_unit_is_left_out() {
    let packets = packets(20);
    let second = packets.iter().position(|(_, at)| *at > START).unwrap();
    let ingested = feed(&mut ingest(false), &packets[second..]);
    let pictures = units(&ingested, 0);
    assert_eq!(pictures.len(), 10);
    assert!(pictures[0].data == unit(0, 10, true).data);
    assert_eq!(units(&ingested, 1).len(), 19);
}

/// Where in `packets` the RTP packets of picture `number` are.
fn packets_of(packets: &[(Outgoing, Time)], number: u32) -> Vec<usize> {
    let at = START + Duration::from_millis(40) * number;
    let of = |one: &(Outgoing, Time)| one.0.lane == 0 && !one.0.control && one.1 == at;
    (0..packets.len()).filter(|index| of(&packets[*index])).collect()
}

#[test]
fn a_missing_packet_costs_its_picture_and_leaves_doubt_up_to_the_next_key_picture() {
    let mut packets = packets(20);
    packets.remove(packets_of(&packets, 3)[1]);
    let mut ingest = ingest(false);
    let ingested = feed(&mut ingest, &packets);
    let numbers: Vec<i64> = units(&ingested, 0).iter().map(number).collect();
    assert_eq!(numbers, (0..20).filter(|number| *number != 3).collect::<Vec<_>>());
    let damage = Damage { lost_packets: 1, damaged_units: 1, doubtful_units: 6 };
    assert_eq!(ingest.take_damage(), damage);
    assert!(ingest.take_damage().is_none(), "told once");
    assert_eq!(units(&ingested, 1).len(), 20);
}

#[test]
fn the_loss_of_an_end_costs_the_next_picture_too() {
    // Nothing tells to which of the two the packet belonged.
    let mut packets = packets(20);
    packets.remove(*packets_of(&packets, 3).last().unwrap());
    let mut ingest = ingest(false);
    let numbers: Vec<i64> = units(&feed(&mut ingest, &packets), 0).iter().map(number).collect();
    assert_eq!(numbers, (0..20).filter(|number| ![3, 4].contains(number)).collect::<Vec<_>>());
    assert_eq!(ingest.take_damage().damaged_units, 2);
}

#[test]
fn the_last_picture_is_left_out_without_its_end() {
    let mut packets = packets(20);
    packets.remove(*packets_of(&packets, 19).last().unwrap());
    let mut ingest = ingest(true);
    assert_eq!(units(&feed(&mut ingest, &packets), 0).len(), 19);
    assert_eq!(ingest.take_damage().damaged_units, 1);
}

#[test]
fn receivers_report_and_ask_for_key_units() {
    let mut ingest = ingest(true);
    assert_eq!(ingest.report(0, START), None);
    assert_eq!(ingest.key_unit_request(0), None);
    feed(&mut ingest, &packets(5));
    let report = Rtcp::parse_compound(&ingest.report(0, START).unwrap()).unwrap();
    let Rtcp::Receiver { ssrc: 99, blocks } = &report[0] else { panic!("{report:?}") };
    assert_eq!((blocks[0].ssrc, blocks[0].lost), (1, 0));
    let wanted = Rtcp::parse_compound(&ingest.key_unit_request(0).unwrap()).unwrap();
    assert!(wanted.contains(&Rtcp::KeyUnitWanted { media_ssrc: 1 }));
    assert_eq!(ingest.key_unit_request(1), None, "sound has no key units");
}

#[test]
fn a_goodbye_is_heard_and_garbage_is_refused() {
    let mut ingest = ingest(false);
    let mut goodbyes = Vec::new();
    let mut rng = fastrand::Rng::with_seed(1);
    Outlet::new(&tracks(), &[(0, 1)], 1_000, &mut rng).goodbye(&mut |packet| goodbyes.push(packet));
    assert_eq!(ingest.rtcp(0, &goodbyes[0].data, START), Ok(true));
    assert!(ingest.rtp(0, Bytes::from_static(b"nonsense"), START).is_err());
    assert!(ingest.rtcp(0, b"nonsense", START).is_err());
    assert_eq!(ingest.poll(START), None);
}

/// What comes of a track's units when packets are lost in bursts, and what was missing. The first
/// packets of the stream all come.
fn lossy(
    track: &Track,
    sent: &[Unit],
    datagrams: bool,
    rng: &mut fastrand::Rng,
) -> (Vec<Unit>, Damage) {
    let payload_type = rtp::payload_type(track);
    let (track, format) = (track.clone(), rtp::Format::Plain);
    let mut packetizer = rtp::Packetizer::new(&track, payload_type, 7, rng.usize(256..1_400));
    let media = sdp::Media { track, payload_type, format, control: None, line: 0 };
    let mut ingest = Ingest::new(&[media], datagrams, 1);
    let (mut now, mut burst, mut out) = (START, 0_usize, Vec::new());
    for (index, unit) in sent.iter().enumerate() {
        let mut packets = Vec::new();
        packetizer.packetize(unit, |packet| packets.push(packet)).unwrap();
        for packet in packets {
            now += Duration::from_millis(7);
            burst = burst.saturating_sub(1);
            if burst == 0 && rng.u8(..100) < 10 {
                burst = rng.usize(1..8);
            }
            if index == 0 || burst == 0 {
                let _ = ingest.rtp(0, packet, now);
            }
            out.extend(std::iter::from_fn(|| ingest.poll(now)));
        }
    }
    ingest.finish(now);
    out.extend(std::iter::from_fn(|| ingest.poll(now)));
    (units(&out, 0), ingest.take_damage())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever is lost, each unit that comes out is one that was sent, to the last byte, in order.
    #[test]
    fn losses_yield_no_byte_that_was_not_sent(
        (track, sent) in samples::stream(), datagrams: bool, seed: u64,
    ) {
        let (got, damage) = lossy(&track, &sent, datagrams, &mut fastrand::Rng::with_seed(seed));
        // Plain samples come in other portions than they were handed in.
        let portions = matches!(track.codec, Codec::Pcmu | Codec::Pcma | Codec::L16);
        let holds = |sent: &Unit, got: &Unit| match portions {
            false => sent.data == got.data,
            true => sent.data.windows(got.data.len()).any(|part| part == got.data),
        };
        let mut from = 0;
        for unit in &got {
            let Some(at) = (from..sent.len()).find(|at| holds(&sent[*at], unit)) else {
                return Err(TestCaseError::fail(format!("{:?}: never sent: {unit:?}", track.codec)));
            };
            from = if portions { at } else { at + 1 };
        }
        // The loss of the very last packets can't be seen.
        if !portions && got.len() < from {
            prop_assert!(damage.lost_packets > 0, "{} of {}: {:?}", got.len(), from, damage);
        }
        prop_assert!(damage.damaged_units as usize <= sent.len() - got.len().min(sent.len()));
    }
}

proptest! {
    /// Datagrams that overtake each other by a few places, or come twice, change nothing.
    #[test]
    fn shuffled_datagrams_come_out_in_order(
        turns in proptest::collection::vec(0_usize..6, 25),
        repeats in proptest::collection::vec(0_usize..150, 0..10),
    ) {
        let mut packets = packets(30);
        // The first packets set the beginning; what overtakes them is late.
        for (few, turn) in packets[8..].chunks_mut(6).zip(turns) {
            let len = few.len();
            few.rotate_left(turn % len);
        }
        for at in repeats {
            if at < packets.len() {
                let again = packets[at].clone();
                packets.insert(at + 1, again);
            }
        }
        let ingested = feed(&mut ingest(true), &packets);
        for track in 0..2 {
            let got = units(&ingested, track);
            prop_assert_eq!(got.len(), 30);
            for (number, got) in got.iter().enumerate() {
                let sent = unit(track, number, number % 10 == 0);
                prop_assert!(got.data == sent.data, "unit {} has changed", number);
            }
        }
    }

    #[test]
    fn any_packets_are_taken_or_refused(
        packets in proptest::collection::vec(
            (0_usize..2, any::<bool>(), proptest::collection::vec(any::<u8>(), 0..60)), 0..20),
    ) {
        let mut ingest = ingest(true);
        for (lane, control, mut bytes) in packets {
            if control {
                let _ = ingest.rtcp(lane, &bytes, START);
            } else {
                if bytes.len() > 1 {
                    bytes[0] = 0x80 | bytes[0] & 0x3f;
                    bytes[1] = bytes[1] & 0x80 | [96, 0][lane];
                }
                let _ = ingest.rtp(lane, bytes.into(), START);
            }
            while ingest.poll(START).is_some() {}
        }
        ingest.finish(START);
    }
}
