//! Readers, the committing thread and retention at the same time.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use pegasus_base::{Clock, TimeRange};
use pegasus_media::Unit;

use super::{Rig, Size, name, settings};
use crate::{Continuous, Error, Item, Pushed, ReadOptions, Retention, Settings, sample};

const CAM: &str = "/cam/door";
const SECONDS: i64 = 400;

/// Everything that will be pushed, to compare with: by track and decode time.
type Known = HashMap<(u8, i64), Arc<Unit>>;

/// Reads over and over, from random instants, and follows the live end; every unit must be right, and in
/// order.
fn read(store: &Continuous, known: &Known, done: &AtomicBool, seed: u64) -> usize {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut seen = 0;
    while !done.load(Relaxed) {
        let from = sample::at(rng.i64(0..SECONDS * 1_000));
        let follow = rng.bool().then_some(Duration::from_millis(5));
        let options = ReadOptions { until: None, follow };
        let mut reader = match store.read(&name(CAM), from, options) {
            Ok(reader) => reader,
            Err(Error::UnknownStream { .. }) => continue,
            Err(error) => panic!("{error}"),
        };
        let mut last: HashMap<u8, i64> = HashMap::new();
        let mut waited = 0;
        for _ in 0..rng.usize(1..3_000) {
            match reader.next().unwrap() {
                Some(Item::Unit(unit)) => {
                    let before = last.insert(unit.track.0, unit.dts);
                    assert!(before.is_none_or(|before| before < unit.dts), "out of order");
                    assert_eq!(Some(&unit), known.get(&(unit.track.0, unit.dts)).map(|u| &**u));
                    seen += 1;
                }
                Some(Item::Waiting) => waited += 1,
                Some(_) => {}
                None => break,
            }
            if waited > 3 {
                break;
            }
        }
        let spans = store.spans(&name(CAM), TimeRange::ALL).unwrap_or_default();
        assert!(spans.windows(2).all(|pair| pair[0].end <= pair[1].start));
    }
    seen
}

#[test]
fn readers_never_see_a_wrong_unit() {
    let retention = Retention { bytes_per_stream: Some(2_000_000), ..Retention::default() };
    let durable_within = Duration::from_millis(20);
    let settings = Settings { retention, durable_within, ..settings() };
    let mut rig = Rig::new(&Size::default(), settings);
    rig.store = None;
    rig.clock.set(sample::at(SECONDS * 1_000));
    let store = rig.open_driven();
    let footage = sample::camera(SECONDS, 600, 0);
    let known: Known =
        footage.iter().map(|unit| ((unit.track.0, unit.dts), unit.clone())).collect();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..3)
            .map(|seed| {
                scope.spawn({
                    let (store, known, done) = (&store, &known, &done);
                    move || read(store, known, done, seed)
                })
            })
            .collect();
        for part in footage.chunks(footage.len() / 4) {
            let recorder = store.recorder(&name(CAM), sample::tracks()).unwrap();
            for (i, unit) in part.iter().enumerate() {
                assert_eq!(recorder.push(unit.clone()), Pushed::Queued);
                if i % 500 == 0 {
                    // Retention looks at most once a second.
                    rig.clock.set(rig.clock.now() + Duration::from_secs(1));
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
        }
        rig.clock.set(rig.clock.now() + Duration::from_secs(1));
        store.flush().unwrap();
        std::thread::sleep(Duration::from_millis(50));
        done.store(true, Relaxed);
        for reader in readers {
            assert!(reader.join().unwrap() > 0);
        }
    });
    let listed = &store.streams().unwrap()[0];
    assert!(listed.bytes <= 2_000_000, "{listed:?}");
    assert!(listed.last >= footage.iter().map(|unit| unit.time).max());
    drop(store);
    rig.check_closed();
}
