//! Planned files decode and play in order, however capture times jitter and step.

mod support;

use pegasus_media::mp4::Planner;
use pegasus_media::reorder::DecodeTimes;
use pegasus_media::{TrackId, Unit, UnitMeta};
use proptest::prelude::*;
use support::{START, assemble, read_all, sound, video};

/// One picture's share of a source: how capture time goes wrong there.
#[derive(Debug, Clone, Copy)]
struct Fault {
    jitter_ms: i64,
    /// The clock of capture is set by so much, from here on.
    step_ms: i64,
    /// Nothing was recorded before this picture for so long.
    gap_ms: i64,
}

#[derive(Debug, Clone)]
struct Source {
    faults: Vec<Fault>,
    /// Four of them take less than half a second: a longer step of ticks together with one of capture time may
    /// as well be a jump of the ticks.
    picture_ms: i64,
    group: usize,
    /// Pictures shown before one that was decoded earlier, and how many of them the source admits to.
    reordered: usize,
    depth: usize,
    /// The key unit is shown after pictures that follow it.
    open_groups: bool,
}

fn any_fault() -> impl Strategy<Value = Fault> {
    let jitter = prop_oneof![Just(0), -200i64..=200];
    let step = prop_oneof![30 => Just(0i64), 1 => -3_000i64..3_000];
    let gap = prop_oneof![60 => Just(0i64), 1 => 1i64..10_000];
    (jitter, step, gap).prop_map(|(jitter_ms, step_ms, gap_ms)| Fault {
        jitter_ms,
        step_ms,
        gap_ms,
    })
}

fn any_source() -> impl Strategy<Value = Source> {
    let faults = proptest::collection::vec(any_fault(), 1..200);
    (faults, 5i64..120, 1usize..40, 0usize..4, 0usize..3, any::<bool>()).prop_map(
        |(faults, picture_ms, group, reordered, depth, open_groups)| Source {
            faults,
            picture_ms,
            group,
            reordered,
            depth,
            open_groups,
        },
    )
}

impl Source {
    /// Numbers of the pictures as they are shown, in the order they are decoded, and whether they are keys.
    fn decoded(&self) -> Vec<(usize, bool)> {
        let mut order = Vec::new();
        let (mut at, count) = (0, self.faults.len());
        let mut anchors = 0;
        while at < count {
            let key = anchors % self.group == 0;
            // Pictures between two that others refer to; none before a key of a closed group.
            let between = if key && !self.open_groups { 0 } else { self.reordered };
            let anchor = (at + between).min(count - 1);
            order.push((anchor, key));
            order.extend((at..anchor).map(|number| (number, false)));
            at = anchor + 1;
            anchors += 1;
        }
        order
    }

    /// Its units, each with the end of the gap before it.
    fn units(&self) -> Vec<(Option<pegasus_base::Time>, Unit)> {
        let mut times = DecodeTimes::new(90_000, self.depth);
        let (mut step_ms, mut gap_ms) = (0, 0);
        let mut units = Vec::new();
        for (n, (shown, key)) in self.decoded().into_iter().enumerate() {
            let fault = self.faults[n];
            step_ms += fault.step_ms;
            gap_ms += fault.gap_ms;
            let media_ms = shown as i64 * self.picture_ms + gap_ms;
            let pts = media_ms * 90;
            let time = START.offset_ns((media_ms + step_ms + fault.jitter_ms) * 1_000_000);
            let dts = times.push(pts);
            let data = vec![n as u8; 4].into();
            let unit = Unit { track: TrackId(0), pts, dts, time, duration: 0, key, data };
            units.push(((fault.gap_ms > 0).then_some(time), unit));
            for half in 0..2 {
                let ms = n as i64 * self.picture_ms + gap_ms + half * self.picture_ms / 2;
                let ticks = ms * 48;
                let time = START.offset_ns((ms + step_ms + fault.jitter_ms) * 1_000_000);
                let (track, data) = (TrackId(1), vec![0; 4].into());
                let sound =
                    Unit { track, pts: ticks, dts: ticks, time, duration: 0, key: true, data };
                units.push((None, sound));
            }
        }
        units
    }
}

fn exported(units: &[(Option<pegasus_base::Time>, Unit)]) -> Vec<Unit> {
    let mut planner = Planner::new();
    planner.set_tracks(&[video(), sound()]);
    for (gap, unit) in units {
        if let Some(to) = gap {
            planner.gap(*to);
        }
        planner.push(&UnitMeta::from(unit)).unwrap();
    }
    let plan = planner.finish().unwrap();
    let units: Vec<Unit> = units.iter().map(|(_, unit)| unit.clone()).collect();
    let file = assemble(&plan, &units, 0..u64::MAX);
    read_all(file).1
}

fn check(source: &Source) -> Result<(), TestCaseError> {
    let units = source.units();
    let back = exported(&units);
    prop_assert_eq!(back.len(), units.len());
    for track in [TrackId(0), TrackId(1)] {
        let own: Vec<&Unit> = back.iter().filter(|unit| unit.track == track).collect();
        for pair in own.windows(2) {
            prop_assert!(pair[0].dts < pair[1].dts, "decoded {} then {}", pair[0].dts, pair[1].dts);
        }
        for unit in &own {
            prop_assert!(unit.dts <= unit.pts, "shown {}, decoded {}", unit.pts, unit.dts);
        }
        let pushed = units.iter().map(|(_, unit)| unit).filter(|unit| unit.track == track);
        let mut shown: Vec<(i64, i64)> =
            own.iter().zip(pushed).map(|(unit, pushed)| (unit.pts, pushed.pts)).collect();
        shown.sort_unstable();
        for pair in shown.windows(2) {
            prop_assert!(pair[0].0 < pair[1].0, "two pictures are shown at {}", pair[0].0);
            let gaps = source.faults.iter().any(|fault| fault.gap_ms > 0);
            prop_assert!(gaps || pair[0].1 <= pair[1].1, "the order has changed: {pair:?}");
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn decoded_and_shown_in_order(source in any_source()) {
        check(&source)?;
    }
}
