//! When what is promised can be shown: at once where the disks have time, else as the schedule says; and nothing of it is late.

use pegasus_base::Time;
use pegasus_media::Unit;

use super::promised::{guaranteed, next_unit, recorded, show, uneven, wish};
use super::{name, units};
use crate::guarantee::{catch_up, shown_ns, starts_ns};
use crate::{Promise, ReadOptions, sample};

const CAM: &str = "/cam/door";
const SECOND_NS: u64 = 1_000_000_000;

#[test]
fn who_was_read_for_twice_begins_at_once_and_nothing_is_late() {
    let rig = recorded(&uneven(120));
    let store = rig.store();
    let office = guaranteed(store);
    let promises: Vec<Promise> = (0..4).map(|_| store.promise(&[wish(CAM)]).unwrap()).collect();
    assert!(promises.iter().all(|promise| starts_ns(promise, 0, 0) == shown_ns(promise)));
    let want = units(&rig.read(CAM, Time::MIN, None));
    catch_up(&office, 0);
    let read =
        |promise: &Promise| promise.read(&name(CAM), Time::MIN, ReadOptions::default()).unwrap();
    let mut readers: Vec<_> = promises.iter().map(read).collect();
    let mut got = vec![Vec::new(); readers.len()];
    let (mut begins, mut now_ns) = (vec![None; readers.len()], 0);
    while got.iter().any(|got: &Vec<Unit>| got.len() < want.len()) {
        catch_up(&office, now_ns);
        for (promise, begins_ns) in promises.iter().zip(&mut begins) {
            let starts = starts_ns(promise, now_ns, 0) <= now_ns;
            *begins_ns = begins_ns.or(starts.then_some(now_ns));
        }
        for ((reader, got), begins_ns) in readers.iter_mut().zip(&mut got).zip(&begins) {
            begins_ns.iter().for_each(|begins_ns| show(reader, got, &want, *begins_ns, now_ns));
        }
        now_ns += SECOND_NS / 10;
        assert!(now_ns < 200 * SECOND_NS, "it does not end");
    }
    let soon = promises.iter().zip(&begins).filter(|(one, at)| at.unwrap() < shown_ns(one)).count();
    assert!(soon >= 2 && begins[0] == Some(0), "{begins:?}");
    assert!(got.iter().all(|got| *got == want), "it reads otherwise");
    let status = store.guarantee_status().unwrap();
    assert_eq!((status.late_blocks, status.late_batches), (0, 0), "{status:?}");
}

#[test]
fn who_goes_elsewhere_begins_anew() {
    let rig = recorded(&sample::camera(120, 4_000, 0));
    let store = rig.store();
    let office = guaranteed(store);
    let promise = store.promise(&[wish(CAM)]).unwrap();
    (0..=20).for_each(|second| catch_up(&office, second * SECOND_NS));
    let now_ns = 20 * SECOND_NS;
    assert_eq!(starts_ns(&promise, now_ns, 0), now_ns, "it is long ready");
    let mut reader = promise.read(&name(CAM), sample::at(60_000), ReadOptions::default()).unwrap();
    next_unit(&mut reader).unwrap();
    // Nobody has read for it since: it is shown when its next reads are there.
    let starts = starts_ns(&promise, now_ns, now_ns + 1);
    assert!((now_ns + 1..=now_ns + 3 * SECOND_NS).contains(&starts), "{starts}");
    let later_ns = starts - SECOND_NS / 10;
    catch_up(&office, later_ns);
    assert_eq!(starts_ns(&promise, later_ns, now_ns + 1), starts, "it stays so");
    assert_eq!(starts_ns(&promise, starts, now_ns + 1), starts);
}

#[test]
fn what_is_short_is_there_when_all_of_it_was_read() {
    let rig = recorded(&sample::camera(1, 4_000, 0));
    let office = guaranteed(rig.store());
    let promise = rig.store().promise(&[wish(CAM)]).unwrap();
    catch_up(&office, 0);
    assert_eq!(starts_ns(&promise, 0, 0), 0);
}
