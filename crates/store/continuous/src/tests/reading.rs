//! Readers against the model.

use std::sync::Arc;
use std::time::Duration;

use pegasus_base::{Time, TimeRange};
use pegasus_media::Unit;
use proptest::prelude::*;

use super::model::Model;
use super::{Rig, name, plain, tracks_first, units};
use crate::{Error, Item, ReadOptions, sample};

const CAM: &str = "/cam/door";

#[derive(Debug, Clone)]
pub(super) struct Footage {
    seconds: i64,
    pause_s: i64,
    len: usize,
    batch: usize,
}

pub(super) fn any_footage() -> impl Strategy<Value = Vec<Footage>> {
    let one = (1i64..12, 3i64..200, prop_oneof![10usize..200, 1_000usize..6_000], 1usize..150)
        .prop_map(|(seconds, pause_s, len, batch)| Footage { seconds, pause_s, len, batch });
    proptest::collection::vec(one, 1..5)
}

pub(super) fn record(rig: &Rig, footage: &[Footage]) -> Model {
    let mut at_s = 0;
    let mut spans = Vec::new();
    for part in footage {
        let units = sample::camera(part.seconds, part.len, at_s);
        rig.record(CAM, &units, part.batch);
        spans.push(plain(&units));
        at_s += part.seconds + part.pause_s;
    }
    Model { spans }
}

fn check_spans(rig: &Rig, model: &Model) {
    let spans = rig.store().spans(&name(CAM), TimeRange::ALL).unwrap();
    let shown: Vec<_> = spans.iter().map(|span| (span.start, span.end)).collect();
    assert_eq!(shown, model.bounds());
    for (span, units) in spans.iter().zip(&model.spans) {
        assert_eq!(span.units, units.len() as u64);
        assert_eq!(span.bytes, units.iter().map(|unit| unit.data.len() as u64).sum::<u64>());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn from_anywhere_up_to_anywhere(
        footage in any_footage(),
        seeks in proptest::collection::vec((-2_000i64..200_000, 0i64..40_000), 1..12),
        reopen: bool,
    ) {
        let mut rig = Rig::small();
        let model = record(&rig, &footage);
        if reopen {
            let units = model.spans.iter().map(Vec::len).sum::<usize>();
            prop_assert_eq!(rig.check(), units as u64);
        }
        check_spans(&rig, &model);
        prop_assert_eq!(rig.read(CAM, Time::MIN, None), model.read(Time::MIN, None));
        let last = model.bounds().last().unwrap().1;
        for (from_ms, length_ms) in seeks {
            let from = sample::at(from_ms.min(last.ns_since(sample::at(0)) / 1_000_000 + 500));
            let until = from + Duration::from_millis(length_ms as u64);
            prop_assert_eq!(rig.read(CAM, from, None), model.read(from, None));
            prop_assert_eq!(rig.read(CAM, from, Some(until)), model.read(from, Some(until)));
        }
    }
}

#[test]
fn lead_says_how_far_the_key_unit_lies_before() {
    let rig = Rig::small();
    rig.record(CAM, &sample::camera(5, 100, 0), 30);
    let read = |ms| rig.store().read(&name(CAM), sample::at(ms), ReadOptions::default()).unwrap();
    // Key units are shown one step after the full second.
    let reader = read(2_540);
    assert_eq!(reader.lead(), Duration::from_millis(500));
    assert_eq!(reader.start(), Some(sample::at(2_040)));
    assert_eq!(read(2_040).lead(), Duration::ZERO);
    // Before anything: from the beginning, sound first.
    let mut reader = read(-5_000);
    assert_eq!((reader.lead(), reader.start()), (Duration::ZERO, Some(sample::at(0))));
    assert!(matches!(reader.next().unwrap(), Some(Item::Tracks(_))));
    // Behind everything: nothing.
    let mut reader = read(50_000);
    assert_eq!(reader.start(), None);
    assert_eq!(reader.next().unwrap(), None);
}

#[test]
fn an_unknown_stream_is_named() {
    let rig = Rig::small();
    let error = rig.store().spans(&name("/nothing"), TimeRange::ALL).unwrap_err();
    assert!(matches!(error, Error::UnknownStream { .. }));
    assert_eq!(error.to_string(), "nothing is recorded of /nothing");
    assert_eq!(rig.store().durable_end(&name("/nothing")), None);
}

#[test]
fn only_what_is_durable_is_read() {
    let rig = Rig::small();
    let units_in = sample::camera(2, 100, 0);
    let recorder = rig.recorder(CAM);
    units_in[..75].iter().for_each(|unit| assert!(recorder.push(unit.clone()).is_queued()));
    assert!(rig.store().streams().unwrap().is_empty());
    rig.store().flush().unwrap();
    units_in[75..].iter().for_each(|unit| assert!(recorder.push(unit.clone()).is_queued()));
    assert_eq!(units(&rig.read(CAM, Time::MIN, None)), plain(&units_in[..75]));
    let listed = rig.store().streams().unwrap();
    assert_eq!(listed.len(), 1);
    assert!(listed[0].recording && listed[0].units == 75);
    assert_eq!(rig.store().durable_end(&name(CAM)), listed[0].last);
}

#[test]
fn a_follower_gets_what_becomes_durable() {
    let rig = Rig::small();
    let units_in = sample::camera(3, 100, 0);
    let recorder = rig.recorder(CAM);
    units_in[..75].iter().for_each(|unit| assert!(recorder.push(unit.clone()).is_queued()));
    rig.store().flush().unwrap();
    let follow = Some(Duration::from_millis(1));
    let options = ReadOptions { until: None, follow };
    let mut reader = rig.store().read(&name(CAM), Time::MIN, options).unwrap();
    let mut seen: Vec<Unit> = Vec::new();
    let mut drain = |seen: &mut Vec<Unit>| loop {
        match reader.next().unwrap() {
            Some(Item::Unit(unit)) => seen.push(unit),
            Some(Item::Waiting) | None => break,
            Some(_) => {}
        }
    };
    drain(&mut seen);
    assert_eq!(seen.len(), 75);
    for units in units_in[75..].chunks(50) {
        units.iter().for_each(|unit| assert!(recorder.push(unit.clone()).is_queued()));
        rig.store().flush().unwrap();
        drain(&mut seen);
    }
    assert_eq!(seen, plain(&units_in));
    rig.store().close().unwrap();
    drain(&mut seen);
    assert_eq!(seen.len(), units_in.len());
}

#[test]
fn a_follower_at_the_live_end_begins_with_a_key_unit() {
    let rig = Rig::small();
    let units_in = sample::camera(4, 100, 0);
    let recorder = rig.recorder(CAM);
    units_in[..100].iter().for_each(|unit| assert!(recorder.push(unit.clone()).is_queued()));
    rig.store().flush().unwrap();
    let options = ReadOptions { until: None, follow: Some(Duration::from_millis(1)) };
    let mut reader = rig.store().read(&name(CAM), sample::at(90_000), options).unwrap();
    assert_eq!(reader.next().unwrap(), Some(Item::Waiting));
    units_in[100..].iter().for_each(|unit| assert!(recorder.push(unit.clone()).is_queued()));
    rig.store().flush().unwrap();
    let mut pictures = Vec::new();
    while let Some(item) = reader.next().unwrap() {
        match item {
            Item::Unit(unit) if unit.track.0 == 0 => pictures.push(unit),
            Item::Waiting => break,
            _ => {}
        }
    }
    assert!(pictures[0].key);
    assert_eq!(pictures.last(), Some(&*units_in[units_in.len() - 3].clone()));
}

#[test]
fn changed_tracks_are_told_in_place() {
    let rig = Rig::small();
    let recorder = rig.recorder(CAM);
    let units_in = sample::camera(2, 100, 0);
    units_in[..75].iter().for_each(|unit| assert!(recorder.push(unit.clone()).is_queued()));
    let mut tracks = sample::tracks().to_vec();
    tracks[0].config = bytes::Bytes::from_static(b"another");
    recorder.set_tracks(tracks.clone().into()).unwrap();
    units_in[75..].iter().for_each(|unit| assert!(recorder.push(unit.clone()).is_queued()));
    rig.store().flush().unwrap();
    let items = rig.read(CAM, Time::MIN, None);
    tracks_first(&items, &sample::tracks());
    assert_eq!(items[76], Item::Tracks(tracks.clone().into()));
    assert_eq!(units(&items), plain(&units_in));
    let at = |ms| rig.store().tracks(&name(CAM), sample::at(ms)).unwrap();
    assert_eq!(at(500), sample::tracks());
    assert_eq!(at(1_500), Arc::from(tracks.clone()));
    assert_eq!(at(99_000), Arc::from(tracks));
}
