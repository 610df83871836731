//! Playbacks that are promised: what is admitted is in time, what does not fit is refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use pegasus_base::Time;
use pegasus_disk::Profile;
use pegasus_log::Cost;
use pegasus_media::Unit;

use super::{Rig, Size, name, settings, units};
use crate::guarantee::{Done, Office, catch_up, shown_ns};
use crate::{
    Continuous, Direction, Error, Guarantee, InLine, Item, KeyOptions, Promise, ReadOptions,
    Reader, Refused, Wish, sample,
};

const CAM: &str = "/cam/door";

/// Twelve megabytes a second from each disk, and three milliseconds for each request.
pub(super) fn slow_disks() -> Guarantee {
    let profile = Profile::flash(1 << 40, 3_000, 100_000_000);
    Guarantee { others_percent: 0, ..Guarantee::on(vec![profile]) }
}

pub(super) fn wish(stream: &str) -> Wish {
    Wish { name: name(stream), from: Time::MIN, until: None, scale: 1.0 }
}

/// A camera in front of which a lot happens now and then: pictures are up to eight times as large.
pub(super) fn uneven(seconds: i64) -> Vec<Arc<Unit>> {
    let mut all = Vec::new();
    for second in 0..seconds {
        let busy = (second / 7) % 5 == 3;
        all.extend(sample::camera(1, if busy { 24_000 } else { 3_000 }, second));
    }
    all
}

/// A store in which these are recorded of [`CAM`].
pub(super) fn recorded(units: &[Arc<Unit>]) -> Rig {
    let size = Size { disk_bytes: 256 << 20, unit_bytes: 1 << 20, ..Size::default() };
    let rig = Rig::new(&size, settings());
    rig.record(CAM, units, 13);
    rig
}

/// Promises are given, by what slow disks can do.
pub(super) fn guaranteed(store: &Continuous) -> Arc<Office> {
    store.guarantee(Some(slow_disks())).unwrap();
    store.inner().office().unwrap()
}

/// Playbacks of [`CAM`] until one is refused, and why that one was.
fn all_that_fit(store: &Continuous) -> (Vec<Promise>, Box<Refused>) {
    let mut promises = Vec::new();
    loop {
        match store.promise(&[wish(CAM)]) {
            Ok(promise) => promises.push(promise),
            Err(Error::Refused(refused)) => return (promises, refused),
            Err(other) => panic!("{other}"),
        }
        assert!(promises.len() < 1_000, "nothing is ever refused");
    }
}

/// What a viewer is shown by `now_ns` who began to be shown `want` at `begins_ns`: it is read into `got`.
pub(super) fn show(
    reader: &mut Reader,
    got: &mut Vec<Unit>,
    want: &[Unit],
    begins_ns: u64,
    now_ns: u64,
) {
    let Some(shown_ns) = now_ns.checked_sub(begins_ns) else { return };
    let shown = want[0].time + Duration::from_nanos(shown_ns);
    while want.get(got.len()).is_some_and(|unit| unit.time <= shown) {
        got.push(next_unit(reader).unwrap());
    }
}

#[test]
fn what_does_not_fit_is_refused_and_told_what_would() {
    let rig = recorded(&sample::camera(60, 20_000, 0));
    rig.record("/cam/yard", &sample::camera(60, 20_000, 0), 13);
    let store = rig.store();
    // Where nothing is guaranteed, nothing is refused.
    assert_eq!(store.promise(&[wish(CAM)]).unwrap().number(), 0);
    assert!(store.guarantee_status().is_none());
    store.guarantee(Some(slow_disks())).unwrap();
    let (mut promises, refused) = all_that_fit(store);
    let status = store.guarantee_status().unwrap();
    assert_eq!((status.admitted, status.refused), (promises.len() as u64, 1));
    assert!(status.promised_percent > 80.0, "{status:?}");
    assert_eq!(refused.playing, promises.len() as u64);
    let reserved: u64 = status.playbacks.iter().map(|one| one.reserved_bps).sum();
    assert!(promises.len() > 8 && reserved < 100_000_000, "{}: {reserved}", promises.len());
    let first_end_ms = refused.first_end_ms.unwrap();
    assert!((50_000..61_000).contains(&first_end_ms), "{first_end_ms}");
    assert!(refused.fits_bps < refused.rate_bps, "{refused}");
    // What is asked for in the place of a promise and refused leaves it as it was.
    let twice = Wish { scale: 2.0, ..wish(CAM) };
    let both = [wish(CAM), twice.clone(), twice];
    assert!(matches!(store.promise_instead(&promises[0], &both), Err(Error::Refused(_))));
    assert_eq!(store.guarantee_status().unwrap().playbacks.len(), promises.len());
    // Two at once, or none: room for one is not enough.
    drop(promises.pop());
    let both = store.promise(&[wish(CAM), wish("/cam/yard")]);
    assert!(matches!(both, Err(Error::Refused(_))));
    promises.push(store.promise(&[wish("/cam/yard")]).unwrap());
    assert!(store.promise(&[wish("/cam/yard")]).is_err());
    promises.clear();
    let both = store.promise(&[wish(CAM), wish("/cam/yard")]).unwrap();
    assert_eq!(both.streams().count(), 2);
    assert!(store.promise(&[wish("/cam/none")]).is_err());
    let one = store.promise_instead(&both, &[wish(CAM)]).unwrap();
    assert_eq!(store.guarantee_status().unwrap().playbacks.len(), 1);
    drop(both);
    assert_eq!(store.guarantee_status().unwrap().playbacks.len(), 1, "it has ended before");
    drop(one);
    assert_eq!(store.guarantee_status().unwrap().playbacks, []);
}

#[test]
fn an_uneven_recording_is_in_time_with_far_less_than_its_peak() {
    let rig = recorded(&uneven(120));
    let store = rig.store();
    let office = guaranteed(store);
    let promises: Vec<Promise> = (0..4).map(|_| store.promise(&[wish(CAM)]).unwrap()).collect();
    let status = store.guarantee_status().unwrap();
    let one = &status.playbacks[0];
    assert!(one.reserved_bps > one.mean_bps && one.reserved_bps < one.peak_bps, "{one:?}");
    // Time goes on, and each reads what he shows next, block by block.
    let want = units(&rig.read(CAM, Time::MIN, None));
    let mut now_ns = 0;
    catch_up(&office, now_ns);
    let read =
        |promise: &Promise| promise.read(&name(CAM), Time::MIN, ReadOptions::default()).unwrap();
    let mut readers: Vec<_> = promises.iter().map(read).collect();
    let mut got = vec![Vec::new(); readers.len()];
    let begins: Vec<u64> = promises.iter().map(shown_ns).collect();
    while got.iter().any(|got: &Vec<Unit>| got.len() < want.len()) {
        now_ns += 100_000_000;
        catch_up(&office, now_ns);
        for ((reader, got), begins_ns) in readers.iter_mut().zip(&mut got).zip(&begins) {
            show(reader, got, &want, *begins_ns, now_ns);
        }
        assert!(now_ns < 200_000_000_000, "it does not end");
    }
    assert!(got.iter().all(|got| *got == want), "it reads otherwise");
    let status = store.guarantee_status().unwrap();
    assert_eq!((status.late_blocks, status.late_batches), (0, 0), "{status:?}");
    assert!(status.playbacks.iter().all(|one| one.blocks > 150), "{status:?}");
}

pub(super) fn next_unit(reader: &mut Reader) -> Option<Unit> {
    loop {
        match reader.next().unwrap() {
            Some(Item::Unit(unit)) => return Some(unit),
            Some(_) => {}
            None => return None,
        }
    }
}

#[test]
fn a_viewer_may_go_elsewhere_and_stop_reading() {
    let rig = recorded(&sample::camera(120, 4_000, 0));
    let want = units(&rig.read(CAM, Time::MIN, None));
    let store = rig.store();
    let office = guaranteed(store);
    let promise = store.promise(&[wish(CAM)]).unwrap();
    // Nobody reads: it holds two periods' worth and a block, and then no more.
    (0..20).for_each(|second| catch_up(&office, second * 1_000_000_000));
    let held = store.guarantee_status().unwrap().playbacks[0].held_bytes;
    (20..60).for_each(|second| catch_up(&office, second * 1_000_000_000));
    assert_eq!(store.guarantee_status().unwrap().playbacks[0].held_bytes, held);
    assert!((200_000..5_000_000).contains(&held), "{held}");
    // What is elsewhere is read at once, and from there on ahead.
    let mut rng = fastrand::Rng::with_seed(1);
    for second in 0..40 {
        let from = sample::at(rng.i64(0..110_000));
        let mut reader = promise.read(&name(CAM), from, ReadOptions::default()).unwrap();
        let plain = store.read(&name(CAM), from, ReadOptions::default()).unwrap();
        assert_eq!((reader.start(), reader.lead()), (plain.start(), plain.lead()));
        for at in 0..20 {
            catch_up(&office, (60 + 20 * second + at) * 1_000_000_000);
            let unit = next_unit(&mut reader).unwrap();
            assert!(want.contains(&unit));
        }
    }
    let blocks = store.guarantee_status().unwrap().playbacks[0].blocks;
    assert!(blocks > 40, "{blocks} blocks were read ahead");
    assert!(promise.withdrawn().is_none());
}

#[test]
fn a_disk_that_dies_makes_nobody_late() {
    let rig = recorded(&sample::camera(30, 20_000, 0));
    let want = units(&rig.read(CAM, Time::MIN, None));
    let store = rig.store();
    let office = guaranteed(store);
    let promise = store.promise(&[wish(CAM)]).unwrap();
    catch_up(&office, 0);
    let begins_ns = shown_ns(&promise);
    let mut reader = promise.read(&name(CAM), Time::MIN, ReadOptions::default()).unwrap();
    let mut got = Vec::new();
    for tick in 0..400 {
        let now_ns = tick * 100_000_000;
        if tick == 80 {
            rig.disks[1].kill();
        }
        catch_up(&office, now_ns);
        show(&mut reader, &mut got, &want, begins_ns, now_ns);
    }
    assert!(got == want, "{} of {} units", got.len(), want.len());
    assert_eq!(store.guarantee_status().unwrap().late_blocks, 0);
    drop((reader, promise));
    std::mem::forget(rig); // it can't be closed in good order
}

#[test]
fn slow_disks_are_noticed_and_the_newest_go() {
    let rig = recorded(&sample::camera(60, 20_000, 0));
    let store = rig.store();
    let office = guaranteed(store);
    let (mut promises, _) = all_that_fit(store);
    let all = promises.len();
    // Batches take twice what they are billed.
    for batch in 0..3 {
        office.note_batch(Done {
            took_ns: 2_000,
            billed_ns: 1_000,
            late_ns: 500,
            at_ns: batch * 1_000_000_000,
        });
    }
    let status = store.guarantee_status().unwrap();
    assert!((1.9..2.1).contains(&status.slowdown), "{status:?}");
    let left = promises.iter().filter(|promise| promise.withdrawn().is_none()).count();
    assert!(left > 0 && left < all * 2 / 3, "{left} of {all}");
    assert!(
        promises[..left].iter().all(|promise| promise.withdrawn().is_none()),
        "the oldest stay"
    );
    assert_eq!((status.withdrawn as usize, status.playbacks.len()), (all - left, left));
    let newest = promises.pop().unwrap();
    let mut reader = newest.read(&name(CAM), Time::MIN, ReadOptions::default());
    let error = match &mut reader {
        Ok(reader) => reader.next().unwrap_err(),
        Err(_) => reader.unwrap_err(),
    };
    assert!(error.to_string().contains("slower than their profile says"), "{error}");
    // After a while without a late one they are believed again.
    for batch in 0..400 {
        let at_ns = (10 + batch * 10) * 1_000_000_000;
        office.note_batch(Done { took_ns: 500, billed_ns: 1_000, late_ns: 0, at_ns });
    }
    assert_eq!(store.guarantee_status().unwrap().slowdown, 1.0);
    assert!(store.promise(&[wish(CAM)]).is_ok());
}

#[test]
fn recordings_come_first() {
    let rig = recorded(&sample::camera(60, 20_000, 0));
    let store = rig.store();
    let office = guaranteed(store);
    let (promises, _) = all_that_fit(store);
    office.record(0.5);
    let status = store.guarantee_status().unwrap();
    assert_eq!(status.recording_percent, 50.0);
    let left = status.playbacks.len();
    assert!(left > 0 && left < promises.len(), "{left} of {}", promises.len());
    office.record(0.0);
    assert!(store.promise(&[wish(CAM)]).is_ok(), "there is room again");
}

#[test]
fn with_its_thread_it_plays_in_time_and_ends_with_the_store() {
    let rig = recorded(&sample::camera(4, 4_000, 0));
    let want = units(&rig.read(CAM, Time::MIN, None));
    let mut rig = rig;
    rig.store.take().unwrap().close().unwrap();
    let store = rig.open_driven();
    let guarantee = Guarantee { period: Duration::from_millis(400), ..slow_disks() };
    store.guarantee(Some(guarantee)).unwrap();
    let promise = store.promise(&[wish(CAM)]).unwrap();
    let mut reader = promise.read(&name(CAM), Time::MIN, ReadOptions::default()).unwrap();
    let mut got = Vec::new();
    while let Some(unit) = next_unit(&mut reader) {
        got.push(unit);
    }
    assert_eq!(got, want);
    let status = store.guarantee_status().unwrap();
    assert!(status.playbacks[0].blocks > 3, "{status:?}");
    store.close().unwrap();
    assert!(promise.withdrawn().is_some());
}

#[test]
fn what_is_not_read_ahead_has_its_share_and_need_not_wait() {
    let all = sample::camera(60, 20_000, 0);
    let rig = recorded(&all);
    let store = rig.store();
    let office = guaranteed(store);
    let from = all[all.len() / 2].time;
    let fast = |scale: f64| Wish { scale, from, ..wish(CAM) };
    let aside = || store.guarantee_status().unwrap().aside_percent;
    // It takes from what others can be promised, and gives it back.
    let (all, _) = all_that_fit(store);
    assert!(matches!(store.promise(&[fast(32.0)]), Err(Error::Refused(_))));
    let count = all.len();
    drop(all);
    let keys = store.promise(&[fast(32.0)]).unwrap();
    assert!(aside() > 5.0 && keys.reserved_bps() > 0, "{}", aside());
    let (fewer, _) = all_that_fit(store);
    assert!(fewer.len() < count && !fewer.is_empty(), "{} of {count}", fewer.len());
    drop(fewer);
    let slower = store.promise_instead(&keys, &[fast(-1.0)]).unwrap();
    assert_eq!(store.guarantee_status().unwrap().playbacks.len(), 1);
    drop(keys);
    drop(slower);
    assert!(aside() < 1e-9, "{}", aside());
    assert_eq!(all_that_fit(store).0.len(), count);
    // A batch that has no time left: who has no share would wait for its end.
    let back = store.promise(&[fast(-4.0)]).unwrap();
    let batch = store.inner().log.begin_batch(Duration::ZERO, Cost::default());
    let options = KeyOptions { direction: Direction::Backward, ..KeyOptions::default() };
    std::thread::scope(|scope| {
        let reads = || {
            let mut reader = back.read_keys(&name(CAM), from, options).unwrap();
            std::iter::from_fn(|| reader.next().unwrap()).count()
        };
        assert!(scope.spawn(reads).join().unwrap() > 10);
    });
    drop(batch);
    // Recordings come first: of playbacks those go that are not read ahead, all of them before any other.
    let other = store.promise(&[fast(-0.5)]).unwrap();
    let ahead = store.promise(&[wish(CAM)]).unwrap();
    let promised = || store.guarantee_status().unwrap().promised_percent;
    assert!(promised() > 0.0);
    let mut recordings = 0.3;
    while back.withdrawn().is_none() {
        recordings += 0.03;
        office.record(recordings);
    }
    assert!(back.withdrawn().is_some() && other.withdrawn().is_some());
    assert!(ahead.withdrawn().is_none() && promised() > 0.0, "{}", promised());
    assert!(matches!(
        back.read_keys(&name(CAM), from, options).unwrap().next(),
        Err(Error::Withdrawn { .. })
    ));
    assert!(aside() < 1e-9, "{}", aside());
}

#[test]
fn who_waits_is_served_in_turn_and_not_overtaken_for_ever() {
    let rig = recorded(&sample::camera(60, 20_000, 0));
    let store = rig.store();
    guaranteed(store);
    let (mut promises, _) = all_that_fit(store);
    let woken = Arc::new(AtomicU32::new(0));
    let in_line = |wishes: &[Wish]| {
        let woken = woken.clone();
        let wake = move || {
            woken.fetch_add(1, SeqCst);
        };
        match store.promise_in_line(wishes, wake).unwrap() {
            InLine::Waiting(waiting) => waiting,
            InLine::Promised(_) => panic!("there is no room"),
        }
    };
    let refused = |asked: Result<Promise, Error>| match asked {
        Err(Error::Refused(refused)) => refused,
        other => panic!("{other:?}"),
    };
    // What would not fit though nobody played need not wait for it.
    let all = vec![wish(CAM); promises.len() + 1];
    let never = store.promise_in_line(&all, || ()).unwrap_err();
    assert!(matches!(&never, Error::Refused(refused) if refused.never), "{never}");
    let large = in_line(&[wish(CAM), wish(CAM), wish(CAM)]);
    let small = in_line(&[wish(CAM)]);
    assert_eq!(store.guarantee_status().unwrap().waiting, 2);
    assert_eq!(refused(large.ask()).position, Some(1));
    assert_eq!(refused(small.ask()).position, Some(2));
    // Those who do not wait take what is free, but only so often.
    let before = woken.load(SeqCst);
    let mut overtaken = 0;
    loop {
        promises.pop();
        assert!(refused(small.ask()).position == Some(2), "it is not its turn");
        match store.promise(&[wish(CAM)]) {
            Ok(promise) => promises.insert(0, promise),
            Err(Error::Refused(refused)) => {
                assert!(refused.to_string().ends_with("; 2 wait"), "{refused}");
                break;
            }
            Err(other) => panic!("{other}"),
        }
        overtaken += 1;
    }
    assert_eq!(overtaken, 8);
    assert!(woken.load(SeqCst) > before, "whose turn it is is told when somebody ends");
    promises.truncate(promises.len() - 2);
    let promise = large.ask().unwrap();
    drop(large);
    assert_eq!(promise.streams().count(), 3);
    // Who leaves is not served, and holds up nobody.
    let third = in_line(&[wish(CAM)]);
    drop(small);
    drop(promise);
    assert!(third.ask().is_ok());
    drop(third);
    assert_eq!(store.guarantee_status().unwrap().waiting, 0);
}
