//! Recordings are admitted: what the disks can't write beside the others is refused, and who writes more than he said is named.

use std::sync::Arc;

use pegasus_disk::Profile;

use super::{Rig, name};
use crate::{Continuous, Error, Guarantee, Health, Place, RecordingRefused, Said, sample};

/// Ten megabytes a second from each disk, of which recordings may take eight.
fn guaranteed(store: &Continuous) {
    let profile = Profile::flash(1 << 40, 100, 80_000_000);
    store.guarantee(Some(Guarantee::on(vec![profile]))).unwrap();
}

fn ask(store: &Continuous, stream: &str, bps: Option<u64>) -> Result<Place, RecordingRefused> {
    store.place(&name(stream), bps, &sample::tracks()).map_err(|error| match error {
        Error::RecordingRefused(refused) => *refused,
        other => panic!("{other}"),
    })
}

fn refusal(asked: Result<Place, RecordingRefused>) -> RecordingRefused {
    asked.expect_err("it does not fit")
}

#[test]
fn what_the_disks_cannot_write_is_refused_whatever_plays() {
    let rig = Rig::small();
    let store = rig.store();
    // As long as nobody knows what the disks can do everybody is let in, and counted.
    let first = ask(store, "/cam/first", Some(100_000_000)).unwrap();
    assert_eq!(store.status().intake.takes_percent, None);
    guaranteed(store);
    let mut places = Vec::new();
    let refused = loop {
        match ask(store, &format!("/cam/{}", places.len()), Some(20_000_000)) {
            Ok(place) => places.push(place),
            Err(refused) => break refused,
        }
        assert!(places.len() < 100, "nothing is ever refused");
    };
    // Four of five disks hold data: 256 Mb/s may be written.
    assert!((4..8).contains(&places.len()), "{}", places.len());
    assert_eq!(refused.recordings, 1 + places.len() as u64);
    assert!(refused.takes_percent > refused.limit_percent, "{refused}");
    assert!(refused.fits_bps < 20_000_000, "{refused}");
    assert_eq!((refused.said, store.status().intake.refused), (Said::Declared, 1));
    // What would fit does; who has a place has it again.
    let small = ask(store, "/cam/small", Some(refused.fits_bps)).unwrap();
    assert!(ask(store, "/cam/0", Some(20_000_000)).is_ok());
    // Who leaves makes room, who is lost does not at once.
    drop(small);
    assert!(ask(store, "/cam/large", Some(20_000_000)).is_err());
    places.pop().unwrap().give_back();
    ask(store, "/cam/large", Some(20_000_000)).unwrap().give_back();
    first.give_back();
    assert!(ask(store, "/cam/larger", Some(100_000_000)).is_ok());
}

#[test]
fn what_nobody_declares_is_what_it_was_last_time_or_a_guess() {
    let mut rig = Rig::small();
    rig.record("/cam/door", &sample::camera(20, 20_000, 0), 13);
    rig.reopen();
    let store = rig.store();
    guaranteed(store);
    let flood = ask(store, "/flood", Some(255_000_000)).unwrap();
    let refused = refusal(ask(store, "/cam/new", None));
    assert_eq!(refused.said, Said::Guessed);
    assert!(refused.rate_bps >= 4_000_000, "{refused}");
    let refused = refusal(ask(store, "/cam/door", None));
    assert_eq!(refused.said, Said::Before);
    let spans = store.spans(&name("/cam/door"), pegasus_base::TimeRange::ALL).unwrap();
    let mean_bps = spans[0].bytes as f64 * 8.0 / 20.0;
    let off = refused.rate_bps as f64 / mean_bps;
    assert!((0.95..1.05).contains(&off), "{refused}: {mean_bps}");
    drop(flood);
}

#[test]
fn over_committed_disks_are_told_with_who_writes_more_than_it_said() {
    let rig = Rig::small();
    let store = rig.store();
    // An eighth of a megabyte a second from each disk.
    let profile = Profile::flash(1 << 40, 100, 1_000_000);
    store.guarantee(Some(Guarantee::on(vec![profile]))).unwrap();
    let _place = ask(store, "/cam/door", Some(200_000)).unwrap();
    assert_eq!(store.status().health, Health::Ok);
    let recorder = rig.recorder("/cam/door");
    let inner = Arc::clone(store.inner());
    for second in 0..14 {
        // Half a megabyte in each second.
        for unit in sample::camera(1, 20_000, second) {
            recorder.push(unit);
        }
        store.flush().unwrap();
        inner.places.look_at(&inner, std::time::Duration::from_secs(second as u64));
    }
    let status = store.status();
    assert!(status.intake.is_overcommitted(), "{:?}", status.intake);
    assert_eq!(status.health, Health::Degraded);
    let reason = status.reason.unwrap();
    assert!(reason.contains("over-committed") && reason.contains("/cam/door writes"), "{reason}");
    assert_eq!(status.intake.exceeding[0].said_bps, 200_000);
    // Others are refused while that lasts, but not who lost his connection and comes again.
    assert!(ask(store, "/cam/door", Some(200_000)).is_ok());
    assert!(ask(store, "/cam/yard", Some(200_000)).is_err());
}
