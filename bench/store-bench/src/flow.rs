//! What working ahead and merging are worth: the same viewers with and without.

use pegasus_disk::Profile;
use pegasus_mitra::{
    Arrivals, Knobs, Media, Objects, Outcome, Plan, Scheduler, Shape, WaterMarks, Workload, Zoning,
    simulate,
};
use serde_json::{Value, json};

use crate::Failure;
use crate::figures::round;
use crate::schedule::disk;
use crate::table::{BASE, BLOCKS, PERIODS, RATE_BPS};

/// Shares of the places that are taken, in percent.
const LOADS: [u32; 2] = [50, 90];
/// Viewers where some are merged, in percent of the places.
const CROWD: u32 = 150;
/// Objects there are, and how much more popular the first ones are.
const OBJECTS: [(u32, f64); 4] = [(1_000, 0.0), (1_000, 1.0), (100, 0.0), (100, 1.0)];

pub(crate) fn run() -> Result<Value, Failure> {
    let disk = disk()?;
    let ahead = cuts().into_iter().map(|(varies, knobs)| ahead(&disk, varies, knobs));
    let merging = OBJECTS.map(|(count, skew)| merging(&disk, Objects { count, skew }));
    Ok(json!({
        "ahead": ahead.collect::<Result<Vec<_>, _>>()?,
        "merging": merging.into_iter().collect::<Result<Vec<_>, _>>()?,
    }))
}

fn cuts() -> Vec<(&'static str, Knobs)> {
    let knobs = BASE.knobs;
    let one = Knobs { groups: 1, window: 1, ..knobs };
    vec![
        ("base", knobs),
        ("window", Knobs { window: 1, ..knobs }),
        ("disks", Knobs { disks: 1, ..knobs }),
        ("disks", Knobs { disks: 12, ..knobs }),
        ("period", Knobs { period_ns: 16_000_000_000, ..knobs }),
        ("zones, one group", Knobs { zones: 2, ..one }),
        ("zones, one group", Knobs { zones: 4, ..one }),
        ("zones, one group", Knobs { zones: 4, zoning: Zoning::Varb, ..one }),
    ]
}

fn planned(disk: &Profile, knobs: Knobs) -> Result<Plan, Failure> {
    let medium = Media { name: "4M".to_owned(), rate_bps: RATE_BPS, width: 1, pieces: 1 };
    let profiles = std::slice::from_ref(disk);
    Ok(Plan::of(Shape::new(profiles, knobs, vec![medium])?, profiles, &[1.0])?)
}

/// A plan with and without working ahead, with as many viewers as each load says.
fn ahead(disk: &Profile, varies: &str, knobs: Knobs) -> Result<Value, Failure> {
    let plan = planned(disk, knobs)?;
    let marks = WaterMarks::least(&plan.shape);
    let (mut late, mut blocks, mut held, mut startup) = (0, 0, [0, 0], Vec::new());
    for load in LOADS {
        let viewers = (plan.all() * load / 100).max(1);
        for (marks, held) in [None, Some(marks)].into_iter().zip(&mut held) {
            let run = simulated(Scheduler::new(plan.shape.clone())?, disk, viewers, None, marks);
            late += run.hiccups;
            blocks += run.blocks;
            *held = run.held_bytes[0].max(*held);
            startup.push(round(run.startup_mean_ms() / 1e3, 2));
        }
    }
    Ok(json!({
        "varies": varies,
        "zoning": match knobs.zoning {
            _ if knobs.zones == 1 => "off",
            Zoning::Fixb => "fixb",
            Zoning::Varb => "varb",
        },
        "zones": knobs.zones,
        "groups": knobs.groups,
        "window": knobs.window,
        "period_s": knobs.period_ns as f64 / 1e9,
        "disks": knobs.disks,
        "planned": plan.all(),
        "loads_percent": LOADS,
        "startup_mean_s": startup,
        "late": late,
        "blocks": blocks,
        "marks_blocks": [marks.low_blocks(), marks.high_blocks()],
        "skip_blocks": plan.shape.cycle(),
        "buffer_bytes": [plan.buffer_bytes[0], held[0]],
        "ahead_buffer_bytes": [marks.buffer_bytes(&plan.shape, 0), held[1]],
    }))
}

/// More viewers than there are places for, with and without merging.
fn merging(disk: &Profile, objects: Objects) -> Result<Value, Failure> {
    let plan = planned(disk, BASE.knobs)?;
    let viewers = plan.all() * CROWD / 100;
    let run = |merges| {
        let mut scheduler = Scheduler::new(plan.shape.clone())?;
        scheduler.merge(merges);
        Ok::<_, Failure>(simulated(scheduler, disk, viewers, Some(objects), None))
    };
    let (apart, merged) = (run(false)?, run(true)?);
    Ok(json!({
        "objects": objects.count,
        "skew": objects.skew,
        "planned": plan.all(),
        "viewers": viewers,
        "playing_mean": [round(apart.playing_mean, 0), round(merged.playing_mean, 0)],
        "admitted": [apart.admitted, merged.admitted],
        "merged": merged.merged,
        "startup_mean_s": [round(apart.startup_mean_ms() / 1e3, 1), round(merged.startup_mean_ms() / 1e3, 1)],
        "late": apart.hiccups + merged.hiccups,
        "blocks": apart.blocks + merged.blocks,
    }))
}

fn simulated(
    scheduler: Scheduler,
    disk: &Profile,
    viewers: u32,
    objects: Option<Objects>,
    work_ahead: Option<WaterMarks>,
) -> Outcome {
    let workload = Workload {
        arrivals: Arrivals::Closed { viewers },
        shares: vec![1.0],
        blocks: BLOCKS,
        periods: PERIODS,
        seed: 1,
        fails: None,
        objects,
        work_ahead,
    };
    simulate(scheduler, std::slice::from_ref(disk), &workload, |_| {})
}
