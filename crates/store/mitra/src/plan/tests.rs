use super::*;
use crate::{Arrivals, Degraded, Knobs, Media, Workload, Zoning, sample, simulate};

fn knobs() -> Knobs {
    Knobs {
        disks: 6,
        stride: 1,
        period_ns: 2_000_000_000,
        groups: 4,
        window: 4,
        zones: 1,
        zoning: Zoning::Fixb,
        degraded: Degraded::None,
    }
}

fn media() -> Vec<Media> {
    let one =
        |name: &str, rate_bps, width| Media { name: name.to_owned(), rate_bps, width, pieces: 1 };
    vec![one("video", 4_000_000, 1), one("studio", 216_000_000, 2)]
}

fn planned(knobs: Knobs, shares: &[f64]) -> Plan {
    let profiles = [sample::today()];
    Plan::of(Shape::new(&profiles, knobs, media()).unwrap(), &profiles, shares).unwrap()
}

#[test]
fn the_quick_reckoning_is_near_what_can_be_admitted() {
    for cut in [
        knobs(),
        Knobs { groups: 1, window: 1, ..knobs() },
        Knobs { groups: 1, window: 1, zones: 3, ..knobs() },
        varb(3),
        Knobs { groups: 1, window: 1, ..varb(4) },
    ] {
        for shares in [[1.0, 0.0], [0.0, 1.0], [20.0, 1.0]] {
            let plan = planned(cut, &shares);
            let quick = capacity(&plan.shape, &shares);
            let all = f64::from(plan.all());
            assert!((quick - all).abs() <= 6.0 + all * 0.05, "{quick} {all} {cut:?}");
        }
    }
}

fn varb(zones: usize) -> Knobs {
    Knobs { zoning: Zoning::Varb, zones, ..knobs() }
}

fn simulated(plan: &Plan, viewers: u32) -> crate::Outcome {
    let workload = Workload {
        arrivals: Arrivals::Closed { viewers },
        shares: vec![1.0, 0.0],
        blocks: 30,
        periods: 400,
        seed: 1,
        fails: None,
        objects: None,
        work_ahead: None,
    };
    let scheduler = Scheduler::new(plan.shape.clone()).unwrap();
    let outcome = simulate(scheduler, &[sample::today()], &workload, |_| {});
    assert_eq!(outcome.hiccups, 0);
    assert!(outcome.at_once_max_ns <= plan.startup_ns.max, "{:?}", plan.startup_ns);
    for (held, planned) in outcome.held_bytes.iter().zip(&plan.buffer_bytes) {
        assert!(held <= planned, "{held} of {planned}");
    }
    outcome
}

/// Planner and simulation agree: as many viewers as were planned are held, without a hiccup, and with a tenth of the places
/// left they wait as long as was said.
#[test]
fn what_is_planned_is_held() {
    let zoned = Knobs { groups: 1, window: 1, zones: 3, ..knobs() };
    let one_group = Knobs { groups: 1, window: 1, ..knobs() };
    for cut in [knobs(), one_group, zoned, varb(4), Knobs { groups: 1, window: 1, ..varb(3) }] {
        let plan = planned(cut, &[1.0, 0.0]);
        let most = simulated(&plan, plan.all()).playing_max as f64 / f64::from(plan.all());
        assert!((0.97..=1.0).contains(&most), "{most} of {}", plan.all());
        let waits = simulated(&plan, plan.all() * 9 / 10).startup_mean_ms() * 1e6;
        let ratio = waits / plan.startup_ns.mean as f64;
        // Blocks of unlike length end within intervals: who comes then may join late, and gains up to half a period.
        let least = if cut.zoning == Zoning::Varb { 0.7 } else { 0.8 };
        assert!((least..1.25).contains(&ratio), "{waits} {:?} {cut:?}", plan.startup_ns);
    }
}

#[test]
fn many_zones_hold_more_and_wait_longer() {
    let cut = |zones| planned(Knobs { groups: 1, window: 1, zones, ..knobs() }, &[1.0, 0.0]);
    let (one, four) = (cut(1), cut(4));
    assert!(f64::from(four.all()) > f64::from(one.all()) * 1.2, "{} {}", four.all(), one.all());
    assert!(four.startup_ns.mean > one.startup_ns.mean);
    assert!(four.wasted_space > 0.1 && one.wasted_space == 0.0);
    assert!(four.wasted_bandwidth < one.wasted_bandwidth);
}

#[test]
fn reserving_for_a_dead_disk_costs_its_share() {
    let plain = planned(knobs(), &[0.0, 1.0]).all();
    let kept = planned(Knobs { degraded: Degraded::Keep, ..knobs() }, &[0.0, 1.0]).all();
    assert!((f64::from(kept) / f64::from(plain) - 2.0 / 3.0).abs() < 0.05, "{kept} of {plain}");
}

/// Blocks in proportion to rate give disks' mean rate, as long as reads are long; blocks of one length their harmonic mean.
#[test]
fn blocks_in_proportion_to_rate_hold_more_and_begin_sooner() {
    let long = Knobs { groups: 1, window: 1, zones: 4, period_ns: 60_000_000_000, ..knobs() };
    let fixb = planned(long, &[1.0, 0.0]);
    let varb = planned(Knobs { zoning: Zoning::Varb, ..long }, &[1.0, 0.0]);
    assert!(varb.all() > fixb.all(), "{} {}", varb.all(), fixb.all());
    assert!(
        varb.startup_ns.mean < fixb.startup_ns.mean && varb.startup_ns.max < fixb.startup_ns.max
    );
    let rates = [1.6e9, 1.4e9, 1.1e9, 0.8e9_f64];
    let (mean, harmonic) =
        (rates.iter().sum::<f64>() / 4.0, 4.0 / rates.iter().map(|rate| 1.0 / rate).sum::<f64>());
    let bound = |rate: f64| rate * 6.0 / 4e6;
    for (plan, most) in [(&varb, bound(mean)), (&fixb, bound(harmonic))] {
        let part = f64::from(plan.all()) / most;
        assert!((0.93..1.0).contains(&part), "{part}");
    }
}

/// Mitra, section 6: `1 - N R_C / R_avg` of the rate, and as much room as the zone that is full first leaves of the others.
#[test]
fn what_is_wasted_is_what_the_formulas_say() {
    let sizes_and_rates = |zones: usize| {
        let zones = crate::logical_zones(&sample::today(), zones).unwrap();
        let size = |zone: &crate::LogicalZone| (zone.range.end - zone.range.start) as f64;
        zones.iter().map(|zone| (size(zone), zone.rate_bps as f64)).collect::<Vec<_>>()
    };
    for zones in 1..=4 {
        let cut = Knobs { groups: 1, window: 1, zones, ..knobs() };
        let of = sizes_and_rates(zones);
        let all: f64 = of.iter().map(|(size, _)| size).sum();
        let least = of.iter().map(|(size, _)| *size).fold(f64::INFINITY, f64::min);
        let rounds = of.iter().map(|(size, rate)| size / rate).fold(f64::INFINITY, f64::min);
        let usable = rounds * of.iter().map(|(_, rate)| rate).sum::<f64>();
        let fixb = planned(cut, &[1.0, 0.0]);
        let varb = planned(Knobs { zoning: Zoning::Varb, ..cut }, &[1.0, 0.0]);
        assert!((fixb.wasted_space - (1.0 - zones as f64 * least / all)).abs() < 1e-9);
        assert!(
            (varb.wasted_space - if zones == 1 { 0.0 } else { 1.0 - usable / all }).abs() < 1e-9
        );
        for plan in [fixb, varb] {
            let shown = f64::from(plan.all()) * 4e6 / (6.0 * 1.225e9);
            assert!((plan.wasted_bandwidth - (1.0 - shown)).abs() < 1e-6, "{plan:?}");
        }
    }
}
