//! What the scheduler makes of disks, and what it costs.

use std::time::{Duration, Instant};

use pegasus_disk::{Profile, Seek, Zone};
use pegasus_mitra::{
    Arrivals, Degraded, Goal, Interval, Knobs, Media, Origin, Plan, Request, Scheduler, Shape,
    Wish, Workload, Zoning, logical_zones, plan, simulate,
};
use serde_json::{Value, json};

use crate::Failure;
use crate::figures::{quantile_us, round};

/// Blocks of each object, and periods that the disks run.
const BLOCKS: u64 = 60;
const PERIODS: u64 = 300;
/// Period of the schedule whose cost is measured.
const PERIOD_NS: u64 = 2_000_000_000;
const COST_DISKS: u32 = 64;

/// A hard disk of 4 TB: 200 to 100 MB/s, 7,200 turns a minute.
pub(crate) fn disk() -> Result<Profile, Failure> {
    let seek = Seek::new(&[(1, 1.0), (100, 3.0), (4_096, 14.0)])?;
    let zone = |rate_bps| Zone { cylinders: 1_024, rate_bps };
    let zones = [1_600_000_000, 1_400_000_000, 1_100_000_000, 800_000_000].map(zone);
    Ok(Profile::new(4_000_000_000_000, 8.33, seek, zones.to_vec())?.with_overhead(0.1)?)
}

fn medium(name: &str, rate_bps: u64) -> Media {
    Media { name: name.to_owned(), rate_bps, width: 1, pieces: 1 }
}

pub(crate) fn run() -> Result<Value, Failure> {
    let disk = disk()?;
    let one = vec![medium("4M", 4_000_000)];
    let mix = vec![medium("1.4M", 1_400_000), medium("4M", 4_000_000), medium("216M", 216_000_000)];
    let mut rows = Vec::new();
    for disks in [1, 4, 16, 64] {
        for zones in [Some(1), None] {
            rows.push(row(&disk, "4", &one, &[1.0], disks, zones)?);
        }
        rows.push(row(&disk, "1.4, 4, 216; as many of each", &mix, &[1.0; 3], disks, None)?);
        rows.push(row(&disk, "1.4, 4, 216; 10 : 10 : 1", &mix, &[10.0, 10.0, 1.0], disks, None)?);
    }
    let costs = [1, 8].map(|groups| cost(&disk, groups));
    Ok(json!({ "held": rows, "cost": costs.into_iter().collect::<Result<Vec<_>, _>>()? }))
}

/// A plan, and what became of it with as many viewers as it says.
fn row(
    disk: &Profile,
    name: &str,
    media: &[Media],
    shares: &[f64],
    disks: u32,
    zones: Option<usize>,
) -> Result<Value, Failure> {
    let plan = plan(&Wish {
        profiles: vec![disk.clone()],
        media: media.iter().map(|media| (media.clone(), Some(1))).collect(),
        shares: shares.to_vec(),
        disks,
        degraded: Degraded::None,
        goal: Goal::Most,
        period_ns: None,
        groups: None,
        window: None,
        zones,
        zoning: Zoning::Fixb,
        stride: None,
    })?;
    let workload = Workload {
        arrivals: Arrivals::Closed { viewers: plan.all() },
        shares: shares.to_vec(),
        blocks: BLOCKS,
        periods: PERIODS,
        seed: 1,
        fails: None,
        objects: None,
        work_ahead: None,
    };
    let scheduler = Scheduler::new(plan.shape.clone())?;
    let outcome = simulate(scheduler, std::slice::from_ref(disk), &workload, |_| {});
    let bound = bound_bps(disk, &plan)?;
    let shown = plan.playbacks.iter().zip(media);
    let shown: f64 = shown.map(|(count, media)| f64::from(*count) * media.rate_bps as f64).sum();
    Ok(json!({
        "media": name,
        "disks": disks,
        "zones": plan.shape.knobs().zones,
        "period_s": round(plan.shape.knobs().period_ns as f64 / 1e9, 1),
        "planned": plan.all(),
        "held": outcome.playing_max,
        "hiccups": outcome.hiccups,
        "blocks": outcome.blocks,
        "of_bound": round(shown / bound, 3),
    }))
}

/// What disks could move without ever seeking: of as much from each zone, one after the other.
fn bound_bps(disk: &Profile, plan: &Plan) -> Result<f64, Failure> {
    let zones = logical_zones(disk, plan.shape.knobs().zones)?;
    let inverse: f64 = zones.iter().map(|zone| 1.0 / zone.rate_bps as f64).sum();
    Ok(zones.len() as f64 / inverse * f64::from(plan.shape.knobs().disks))
}

/// Fills a schedule; what each admission took, the refusal at its end, and the orders of a period.
fn cost(disk: &Profile, groups: u32) -> Result<Value, Failure> {
    let knobs = Knobs {
        disks: COST_DISKS,
        stride: 1,
        period_ns: PERIOD_NS,
        groups,
        window: groups,
        zones: 1,
        zoning: Zoning::Fixb,
        degraded: Degraded::None,
    };
    let shape = Shape::new(std::slice::from_ref(disk), knobs, vec![medium("1M", 1_000_000)])?;
    let mut scheduler = Scheduler::new(shape)?;
    let mut rng = fastrand::Rng::with_seed(1);
    let mut took: Vec<Duration> = Vec::new();
    let mut refused: Vec<Duration> = Vec::new();
    while refused.len() < 1_000 {
        let origin = Origin { disk: rng.u32(0..COST_DISKS), zone: 0 };
        let request =
            Request { object: rng.u64(..), media: 0, origin, blocks: u64::MAX, load: None };
        let before = Instant::now();
        let admitted = scheduler.admit(Interval(0), 0, &request).is_ok();
        let list = if admitted { &mut took } else { &mut refused };
        list.push(before.elapsed());
    }
    let intervals = (1..=10 * u64::from(groups)).map(Interval);
    let before = Instant::now();
    let orders: usize = intervals.map(|interval| scheduler.tick(interval).orders.len()).sum();
    let period_s = before.elapsed().as_secs_f64() / 10.0;
    Ok(json!({
        "groups": groups,
        "playbacks": took.len(),
        "admitted_p50_us": quantile_us(&mut took, 0.5),
        "admitted_p99_us": quantile_us(&mut took, 0.99),
        "refused_p50_us": quantile_us(&mut refused, 0.5),
        "refused_p99_us": quantile_us(&mut refused, 0.99),
        "orders_of_a_period": orders / 10,
        "share_of_a_period": period_s * 1e9 / PERIOD_NS as f64,
    }))
}
