//! The list of spans after a restart: what the disk says of spans, and what only the blocks of the open
//! segment know, must not be mixed up.

use pegasus_base::TimeRange;

use super::{Rig, Size, name, settings, units};
use crate::{Span, sample};

const CAM: &str = "/cam/door";

fn spans(rig: &Rig) -> Vec<Span> {
    rig.store().spans(&name(CAM), TimeRange::ALL).unwrap()
}

/// Records a second of every ten, each a span of its own, all in one commit.
fn record_spans(rig: &Rig, seconds: std::ops::Range<i64>, len: usize) {
    let recorder = rig.recorder(CAM);
    for second in seconds {
        for unit in sample::camera(1, len, second * 10) {
            assert!(recorder.push(unit).is_queued());
        }
    }
    drop(recorder);
    rig.store().flush().unwrap();
}

#[test]
fn spans_of_a_segment_that_was_open_twice_are_not_counted_twice() {
    // Segments of some spans each: one is sealed, and all spans written, in the commit that puts several
    // spans into the next.
    let mut rig = Rig::new(&Size { unit_bytes: 256 << 10, ..Size::default() }, settings());
    let mut seconds = 0;
    for _ in 0..6 {
        record_spans(&rig, seconds..seconds + 17, 2_000);
        seconds += 17;
        let before = spans(&rig);
        assert_eq!(before.len() as i64, seconds);
        for _ in 0..2 {
            rig.check();
            assert_eq!(spans(&rig), before);
        }
    }
    let shown = units(&rig.read(CAM, sample::at(-1), None));
    assert_eq!(shown.len() as i64, seconds * 75);
}

#[test]
fn spans_deleted_inside_an_open_segment_stay_deleted() {
    let mut rig = Rig::new(&Size { unit_bytes: 1 << 20, ..Size::default() }, settings());
    record_spans(&rig, 0..6, 1_000);
    let all = spans(&rig);
    assert_eq!(all.len(), 6);
    // The first, one in the middle and half of the last: all of them in the only segment, which is open.
    for (from_ms, to_ms) in [(-1_000, 5_000), (29_000, 35_000), (50_500, 60_000)] {
        let range = TimeRange::new(sample::at(from_ms), sample::at(to_ms));
        rig.store().delete(&name(CAM), Some(range)).unwrap();
    }
    let left = spans(&rig);
    assert!(left.len() < all.len() && left[0].start == all[1].start, "{left:#?}");
    let shown = units(&rig.read(CAM, sample::at(-1), None));
    for _ in 0..2 {
        rig.check();
        assert_eq!(spans(&rig), left);
        assert_eq!(units(&rig.read(CAM, sample::at(-1), None)), shown);
    }
    // And what is recorded behind them goes on where it should.
    record_spans(&rig, 7..8, 1_000);
    let more = spans(&rig);
    assert_eq!((more.len(), &more[..left.len()]), (left.len() + 1, &left[..]));
    rig.check();
    assert_eq!(spans(&rig), more);
}
