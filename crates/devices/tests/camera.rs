//! What the test cameras deliver, judged by decoders that are not theirs where there are any.

use std::sync::Arc;
use std::time::Duration;

use openh264::OpenH264API;
use openh264::decoder::{Decoder, DecoderConfig, Flush};
use openh264::formats::YUVSource;
use pegasus_base::{Clock, ManualClock, Time};
use pegasus_circuit::{Command, Event, Limits, Sink, Start, Switch};
use pegasus_devices::{AudioCoding, Camera, TestCamera, VideoCoding, View, read_counter};
use pegasus_media::codec::{h264, nal};
use pegasus_media::{Codec, TrackId, Unit};

fn start() -> Time {
    "2026-11-20T03:12:07Z".parse().unwrap()
}

fn units(camera: &mut Camera, seconds: u64) -> Vec<Unit> {
    let mut units = Vec::new();
    camera.take(start() + Duration::from_secs(seconds), &mut units).unwrap();
    units
}

fn of(units: &[Unit], track: u8) -> Vec<&Unit> {
    units.iter().filter(|unit| unit.track == TrackId(track)).collect()
}

fn small() -> View {
    View { width: 320, height: 192, ..View::card("/test/card") }
}

/// The frame counters of H.264 units, as a decoder shows them.
fn counters(units: &[&Unit]) -> Vec<u32> {
    // The default flushing loses pictures; these come in order, so each unit gives its picture.
    let config = DecoderConfig::new().flush_after_decode(Flush::NoFlush);
    let mut decoder = Decoder::with_api_config(OpenH264API::from_source(), config).unwrap();
    let mut counters = Vec::new();
    for unit in units {
        let mut stream = Vec::new();
        for nal in nal::units(&unit.data) {
            stream.extend([0, 0, 0, 1]);
            stream.extend(&nal);
        }
        if let Some(picture) = decoder.decode(&stream).unwrap() {
            counters.push(counter(&picture));
        }
    }
    let rest = decoder.flush_remaining().unwrap();
    counters.extend(rest.iter().map(counter));
    counters
}

fn counter(picture: &impl YUVSource) -> u32 {
    let (width, height) = picture.dimensions();
    let rows = picture.y().chunks(picture.strides().0);
    let luma: Vec<u8> = rows.take(height).flat_map(|row| row[..width].to_vec()).collect();
    read_counter(&luma, width, height)
}

#[test]
fn every_picture_decodes_and_shows_its_number() {
    let mut camera = Camera::new(&small(), start()).unwrap();
    let units = units(&mut camera, 4);
    let pictures = of(&units, 0);
    assert_eq!(pictures.len(), 101);
    assert_eq!(counters(&pictures), (0..101).collect::<Vec<_>>());
    let keys: Vec<_> = (0..101).filter(|at| pictures[*at].key).collect();
    assert_eq!(keys, [0, 25, 50, 75, 100]);
    for (at, unit) in pictures.iter().enumerate() {
        assert_eq!(unit.time, start() + Duration::from_millis(40 * at as u64));
        assert_eq!((unit.pts, unit.dts, unit.duration), (at as i64 * 3_600, unit.pts, 3_600));
        assert_eq!(unit.key, h264::is_key(&unit.data));
    }
    // Decoding can start at any key unit: it brings its parameter sets.
    assert_eq!(counters(&pictures[50..60]), (50..60).collect::<Vec<_>>());
}

#[test]
fn the_configuration_is_that_of_the_pictures() {
    let mut camera = Camera::new(&small(), start()).unwrap();
    let config = camera.tracks()[0].config.clone();
    let sets = h264::ParameterSets::parse(&config).unwrap();
    assert_eq!(sets.size(), Some((320, 192)));
    let units = units(&mut camera, 2);
    let keys = units.iter().filter(|unit| unit.track == TrackId(0) && unit.key);
    for key in keys {
        let mut seen = h264::ParameterSets::default();
        nal::units(&key.data).for_each(|nal| {
            seen.add(&nal);
        });
        assert_eq!(seen.config(), Some(config.clone()));
    }
}

#[test]
fn a_key_unit_comes_when_asked_for() {
    let mut camera = Camera::new(&small(), start()).unwrap();
    let mut units = Vec::new();
    camera.take(start() + Duration::from_millis(400), &mut units).unwrap();
    camera.force_key();
    camera.take(start() + Duration::from_millis(440), &mut units).unwrap();
    let keys: Vec<_> = of(&units, 0).iter().map(|unit| unit.key).collect();
    assert_eq!(keys.iter().filter(|key| **key).count(), 2);
    assert!(keys[11], "the first picture after the request");
}

#[test]
fn sound_has_no_gap_and_keeps_with_the_pictures() {
    for (coding, samples) in [(AudioCoding::Opus, 960), (AudioCoding::Pcmu, 400)] {
        let view = View { audio: coding, ..small() };
        let mut camera = Camera::new(&view, start()).unwrap();
        let rate = i64::from(camera.tracks()[1].clock_rate);
        let units = units(&mut camera, 3);
        let sound = of(&units, 1);
        assert_eq!(sound.len() as i64, 3 * rate / samples);
        for (at, unit) in sound.iter().enumerate() {
            let ticks = at as i64 * samples;
            assert_eq!((unit.pts, i64::from(unit.duration)), (ticks, samples));
            assert_eq!(unit.time, start().offset_ns(ticks * 1_000_000_000 / rate));
        }
        let complete = |unit: &Unit| match unit.track {
            TrackId(0) => unit.time,
            _ => unit.time.offset_ns(samples * 1_000_000_000 / rate),
        };
        assert!(units.windows(2).all(|pair| complete(&pair[0]) <= complete(&pair[1])));
    }
}

#[test]
fn what_was_missed_is_left_out_and_a_key_unit_follows() {
    let mut camera = Camera::new(&small(), start()).unwrap();
    units(&mut camera, 1);
    assert_eq!(camera.skip(start() + Duration::from_secs(60)), 60 * 25 - 26);
    let units = units(&mut camera, 60);
    let pictures = of(&units, 0);
    assert_eq!(pictures.len(), 1);
    assert!(pictures[0].key);
    assert_eq!(counters(&pictures), [1_500]);
    assert!(of(&units, 1).is_empty(), "the packet that begins now is not complete yet");
}

#[test]
fn jpeg_pictures_are_as_rtp_needs_them() {
    let view = View::clock("/test/clock");
    let mut camera = Camera::new(&view, start()).unwrap();
    assert_eq!(camera.tracks()[0].codec, Codec::Mjpeg);
    let units = units(&mut camera, 1);
    let pictures = of(&units, 0);
    assert_eq!(pictures.len(), 11);
    for picture in pictures {
        assert!(picture.key);
        let markers = markers(&picture.data);
        assert!(markers.contains(&0xc0), "baseline");
        assert!(!markers.contains(&0xdd), "no restart interval");
        let frame = picture.data.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
        assert_eq!(picture.data[frame + 11], 0x22, "4:2:0");
        assert_eq!(picture.data[frame + 5..frame + 9], [0, 216, 1, 128]);
    }
}

/// The markers of a JPEG picture up to its scan.
fn markers(data: &[u8]) -> Vec<u8> {
    let mut markers = Vec::new();
    let mut at = 2;
    while data[at + 1] != 0xda {
        assert_eq!(data[at], 0xff);
        markers.push(data[at + 1]);
        at += 2 + usize::from(u16::from_be_bytes([data[at + 2], data[at + 3]]));
    }
    markers
}

/// Takes units until `done`, at most for ten seconds of real time.
fn take_until(sink: &mut Sink, mut done: impl FnMut(&Event) -> bool) -> Vec<Event> {
    let mut events = Vec::new();
    loop {
        let from = events.len();
        assert!(sink.wait_many(&mut events, 1, Duration::from_secs(10)) > 0, "nothing comes");
        if done(&events[from]) {
            return events;
        }
    }
}

fn is_key_picture(event: &Event) -> bool {
    matches!(event, Event::Unit(unit) if unit.track == TrackId(0) && unit.key)
}

#[test]
fn a_running_camera_is_on_time_obeys_and_stops() {
    let switch = Switch::new(Limits::default());
    let clock = Arc::new(ManualClock::at(start()));
    let name = "/test/card".parse().unwrap();
    let mut sink = switch.subscribe(&name, Start::KeyUnit);
    let camera = TestCamera::start(&name, small(), switch, clock.clone()).unwrap();
    let first = start() + Duration::from_secs(1);
    clock.set(first);
    let events = take_until(&mut sink, is_key_picture);
    let Some(Event::Unit(unit)) = events.last() else { unreachable!() };
    assert_eq!(unit.time, first);
    sink.command(Command::KeyUnit);
    clock.set(first + Duration::from_millis(40));
    let events = take_until(&mut sink, is_key_picture);
    let Some(Event::Unit(unit)) = events.last() else { unreachable!() };
    assert_eq!(unit.time, clock.now(), "the very next picture, not the 25th");
    camera.stop();
    take_until(&mut sink, |event| *event == Event::Idle);
}

#[test]
fn a_clock_that_steps_back_begins_a_new_run() {
    let switch = Switch::new(Limits::default());
    let clock = Arc::new(ManualClock::at(start()));
    let name = "/test/clock".parse().unwrap();
    let mut sink = switch.subscribe(&name, Start::KeyUnit);
    let view = View { video: VideoCoding::Mjpeg { quality: 50 }, ..View::clock("/test/clock") };
    let camera = TestCamera::start(&name, view, switch, clock.clone()).unwrap();
    clock.set(start() + Duration::from_secs(2));
    take_until(&mut sink, is_key_picture);
    clock.set(start() - Duration::from_secs(3_600));
    take_until(&mut sink, |event| *event == Event::Idle);
    take_until(&mut sink, |event| matches!(event, Event::Live(_)));
    clock.set(start() - Duration::from_secs(3_598));
    let events = take_until(&mut sink, is_key_picture);
    let Some(Event::Unit(unit)) = events.last() else { unreachable!() };
    assert!(unit.time < start());
    assert!(camera.is_running());
}
