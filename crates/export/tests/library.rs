//! Recordings as files of an hour: which there are, how long they are, and what is in them.

use std::sync::Arc;

use bytes::Bytes;
use pegasus_base::{ManualClock, StreamName, Time, TimeRange};
use pegasus_continuous::{Continuous, Settings};
use pegasus_disk::{Disk, SimDisk};
use pegasus_export::{ExportError, Hour, Library, Plans};
use pegasus_log::{FormatOptions, Log, OpenOptions};
use pegasus_media::{Codec, Shape, Track, TrackId, TrackSet, Unit};

/// 2023-11-14 22:13:20.
const START: Time = Time::from_secs(1_700_000_000);
const SECOND_NS: i64 = 1_000_000_000;

fn tracks() -> TrackSet {
    let shape = Shape::Audio { channels: 1, sample_rate: 8_000 };
    let (codec, config) = (Codec::Pcmu, Bytes::new());
    Arc::from([Track { id: TrackId(0), codec, clock_rate: 8_000, shape, config }])
}

/// A second of sound, which tells seconds apart.
fn second(number: i64) -> Arc<Unit> {
    let mut data = vec![0; 400];
    fastrand::Rng::with_seed(number as u64).fill(&mut data);
    let (pts, time) = (number * 8_000, START.offset_ns(number * SECOND_NS));
    let track = TrackId(0);
    Arc::new(Unit { track, pts, dts: pts, time, duration: 8_000, key: true, data: data.into() })
}

fn store() -> Continuous {
    let disks: Vec<Arc<dyn Disk>> =
        SimDisk::array(2, 64 << 20, 7).into_iter().map(|disk| Arc::new(disk) as _).collect();
    let format = FormatOptions {
        data: 1,
        parity: 1,
        unit_bytes: Some(1 << 20),
        label: String::new(),
        now: START,
    };
    Log::format(&disks, &format, &mut fastrand::Rng::with_seed(7)).unwrap();
    let named = disks.iter().map(|disk| (disk.label(), Some(disk.clone()))).collect();
    let (log, recovery) = Log::open(named, &OpenOptions { now: START, read_only: false }).unwrap();
    // Late enough for all that is recorded: what lies in the future is shifted.
    let clock = Arc::new(ManualClock::at(START.offset_ns(20_000 * SECOND_NS)));
    Continuous::open_undriven(log, recovery, Settings::default(), clock).unwrap()
}

/// Records the seconds of a range in a span of its own.
fn record(store: &Continuous, name: &StreamName, seconds: std::ops::Range<i64>) {
    let recorder = store.recorder(name, tracks()).unwrap();
    for number in seconds {
        recorder.push(second(number));
        if number % 100 == 0 {
            store.flush().unwrap();
        }
    }
    store.flush().unwrap();
}

fn hours(library: &Library, name: &StreamName, now: Time) -> Vec<(String, bool)> {
    let pieces = library.pieces(name, TimeRange::ALL, now).unwrap();
    pieces.into_iter().map(|piece| (piece.hour.to_string(), piece.grows)).collect()
}

#[test]
fn a_recording_is_cut_at_hours_and_days() {
    let (store, name) = (store(), "/mic/desk".parse().unwrap());
    // Until 22:20; from 23:50 to 00:10.
    record(&store, &name, 0..400);
    record(&store, &name, 5_800..7_000);
    let library = Library::new(store.clone());
    assert_eq!(library.streams().unwrap(), std::slice::from_ref(&name));
    let days: Vec<String> = library.days(&name).unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(days, ["2023-11-14", "2023-11-15"]);
    let pieces = library.pieces(&name, TimeRange::ALL, START.offset_ns(7_000 * SECOND_NS)).unwrap();
    let ends: Vec<String> = pieces.iter().map(|piece| piece.end.to_string()).collect();
    assert_eq!(ends[1], "2023-11-15T00:00:00.000000000Z");
    assert_eq!(pieces.len(), 3, "{ends:?}");

    let grows =
        |hours: Vec<(String, bool)>| hours.iter().map(|(_, grows)| *grows).collect::<Vec<_>>();
    let at = |seconds| START.offset_ns(seconds * SECOND_NS);
    assert_eq!(grows(hours(&library, &name, at(7_000))), [false, false, true]);
    assert_eq!(
        grows(hours(&library, &name, at(9_900))),
        [false, false, true],
        "not over by a hair"
    );
    assert_eq!(grows(hours(&library, &name, at(10_100))), [false, false, false]);
    let recorder = store.recorder(&name, tracks()).unwrap();
    assert_eq!(grows(hours(&library, &name, at(20_000))), [false, false, true], "it is recorded");
    drop(recorder);
}

#[test]
fn a_file_is_read_at_any_place_and_has_the_length_that_was_told() {
    let (store, name) = (store(), "/mic/desk".parse::<StreamName>().unwrap());
    record(&store, &name, 0..400);
    record(&store, &name, 450..2_700);
    let library = Library::new(store.clone());
    let hour = Hour::of(START).unwrap();
    let len_bytes = library.len_bytes(&name, hour).unwrap();
    let planned = library.plan(&name, hour).unwrap();
    assert_eq!(planned.plan.total_len(), len_bytes);
    let whole = library.reader(&name, planned.clone()).read_at(0, usize::MAX >> 1).unwrap();
    assert_eq!(whole.len() as u64, len_bytes);
    for number in (0..400).chain(450..2_700) {
        let data = &second(number).data;
        let index = if number < 400 { number } else { number - 50 } as usize;
        let at = planned.plan.head().len() + index * 400;
        assert_eq!(whole[at..at + 400], data[..], "second {number}");
    }
    let mut rng = fastrand::Rng::with_seed(5);
    let mut reader = library.reader(&name, planned);
    for _ in 0..200 {
        let from = rng.usize(..whole.len() + 10);
        let len = rng.usize(..5_000);
        let wanted = &whole[from.min(whole.len())..(from + len).min(whole.len())];
        assert_eq!(reader.read_at(from as u64, len).unwrap(), wanted, "{len} bytes at {from}");
    }
    let export = Plans::default().get(&store, &name, hour.range()).unwrap();
    assert_eq!(export.plan.total_len(), len_bytes, "it is what an export of the hour is");
}

#[test]
fn an_hour_that_is_over_stays_the_same_and_one_that_grows_does_not() {
    let (store, name) = (store(), "/mic/desk".parse::<StreamName>().unwrap());
    record(&store, &name, 0..2_900);
    let library = Library::new(store.clone());
    let first = Hour::of(START).unwrap();
    let lens = |library: &Library| {
        [first, Hour(first.0 + 1)].map(|hour| library.len_bytes(&name, hour).unwrap())
    };
    let before = lens(&library);
    assert_eq!(lens(&library), before);
    record(&store, &name, 2_900..3_100);
    let after = lens(&library);
    assert_eq!(after[0], before[0]);
    assert!(after[1] > before[1], "{after:?}");
    assert_eq!(lens(&Library::new(store)), after);
}

#[test]
fn what_is_deleted_is_an_error_and_never_other_bytes() {
    let (store, name) = (store(), "/mic/desk".parse::<StreamName>().unwrap());
    record(&store, &name, 0..1_000);
    let library = Library::new(store.clone());
    let planned = library.plan(&name, Hour::of(START).unwrap()).unwrap();
    let mut reader = library.reader(&name, planned);
    assert!(reader.read_at(0, 100).is_ok());
    store.delete(&name, None).unwrap();
    let error = reader.read_at(300_000, 100).unwrap_err();
    assert!(matches!(error, ExportError::Changed { .. } | ExportError::Store(_)), "{error}");
    assert!(library.streams().unwrap().is_empty());
    assert!(library.len_bytes(&name, Hour::of(START).unwrap()).is_err());
}
