//! What each knob of a schedule is worth: plans beside what became of them on simulated disks, one thing varied at a time.

use pegasus_disk::Profile;
use pegasus_mitra::{
    Arrivals, Degraded, Knobs, Media, Outcome, Plan, Scheduler, Shape, Workload, Zoning, simulate,
};
use serde_json::{Value, json};

use crate::Failure;
use crate::figures::round;
use crate::schedule::disk;

/// Rate of the one medium, bits a second.
pub(crate) const RATE_BPS: u64 = 4_000_000;
/// Blocks of each object, and periods that the disks run.
pub(crate) const BLOCKS: u64 = 60;
pub(crate) const PERIODS: u64 = 600;

/// What all rows share but for what they vary; zones are swept by turns with one group only, so rows about zones have one group.
pub(crate) const BASE: Row = Row {
    varies: "base",
    width: 1,
    knobs: Knobs {
        disks: 6,
        stride: 1,
        period_ns: 2_000_000_000,
        groups: 4,
        window: 4,
        zones: 1,
        zoning: Zoning::Fixb,
        degraded: Degraded::None,
    },
};

#[derive(Clone, Copy)]
pub(crate) struct Row {
    varies: &'static str,
    width: u32,
    pub(crate) knobs: Knobs,
}

impl Row {
    fn with(varies: &'static str, change: impl Fn(&mut Knobs)) -> Self {
        let mut knobs = BASE.knobs;
        change(&mut knobs);
        Self { varies, knobs, ..BASE }
    }
}

pub(crate) fn run() -> Result<Value, Failure> {
    let disk = disk()?;
    let found = rows().into_iter().map(|row| measured(&disk, row));
    Ok(json!({ "rows": found.collect::<Result<Vec<_>, _>>()? }))
}

fn rows() -> Vec<Row> {
    let mut rows = vec![BASE];
    for groups in [1, 16] {
        rows.push(Row::with("groups", |knobs| (knobs.groups, knobs.window) = (groups, groups)));
    }
    for window in [1, 2] {
        rows.push(Row::with("window", |knobs| knobs.window = window));
    }
    for period_ms in [250, 500, 1_000, 4_000, 16_000, 60_000] {
        rows.push(Row::with("period", |knobs| knobs.period_ns = period_ms * 1_000_000));
    }
    for (zones, zoning) in zonings() {
        let row = |knobs: &mut Knobs| (knobs.zones, knobs.zoning) = (zones, zoning);
        if zoning == Zoning::Varb {
            rows.push(Row::with("zones", row));
        }
        rows.push(Row::with("zones, one group", |knobs| {
            row(knobs);
            (knobs.groups, knobs.window) = (1, 1);
        }));
        rows.push(Row::with("zones, one group, 16 s", |knobs| {
            row(knobs);
            (knobs.groups, knobs.window, knobs.period_ns) = (1, 1, 16_000_000_000);
        }));
    }
    for disks in [1, 12] {
        rows.push(Row::with("disks", |knobs| knobs.disks = disks));
    }
    rows.extend([2, 4].map(|width| Row { varies: "width", width, ..BASE }));
    for stride in [3, 6] {
        rows.push(Row::with("stride", |knobs| knobs.stride = stride));
    }
    rows.sort_by_key(|row| order(row.varies));
    rows
}

fn zonings() -> Vec<(usize, Zoning)> {
    let both = |zones| [(zones, Zoning::Fixb), (zones, Zoning::Varb)];
    std::iter::once((1, Zoning::Fixb)).chain([2, 4].into_iter().flat_map(both)).collect()
}

/// Rows that vary the same stand together, those about zones first.
fn order(varies: &str) -> usize {
    let known = ["base", "zones", "zones, one group", "zones, one group, 16 s", "groups", "window"];
    known.iter().position(|one| *one == varies).unwrap_or(known.len())
}

/// A plan, and what became of it: with as many viewers as it says, with one less, and with a tenth of the places left.
fn measured(disk: &Profile, row: Row) -> Result<Value, Failure> {
    let medium = Media { name: "4M".to_owned(), rate_bps: RATE_BPS, width: row.width, pieces: 1 };
    let profiles = std::slice::from_ref(disk);
    let plan = Plan::of(Shape::new(profiles, row.knobs, vec![medium])?, profiles, &[1.0])?;
    let runs = [plan.all(), plan.all().saturating_sub(1).max(1), (plan.all() * 9 / 10).max(1)];
    let [full, nearly, part] = runs.map(|viewers| simulated(&plan, profiles, viewers));
    let (full, nearly, part) = (full?, nearly?, part?);
    let all = || [&full, &nearly, &part].into_iter();
    let most_ns = all().map(|run| run.at_once_max_ns).max().unwrap_or(0);
    let knobs = &row.knobs;
    Ok(json!({
        "varies": row.varies,
        "zoning": if knobs.zones == 1 { "off" } else { zoning(knobs.zoning) },
        "zones": knobs.zones,
        "groups": knobs.groups,
        "window": knobs.window,
        "period_s": knobs.period_ns as f64 / 1e9,
        "disks": knobs.disks,
        "width": row.width,
        "stride": knobs.stride,
        "planned": plan.all(),
        "held": full.playing_max,
        "held_mean": round(full.playing_mean, 1),
        "late": all().map(|run| run.hiccups).sum::<u64>(),
        "blocks": all().map(|run| run.blocks).sum::<u64>(),
        "startup_mean_s": [round(plan.startup_ns.mean as f64 / 1e9, 2), round(part.startup_mean_ms() / 1e3, 2)],
        "startup_max_s": [round(plan.startup_ns.max as f64 / 1e9, 2), round(most_ns as f64 / 1e9, 2)],
        "waited": { "of": nearly.admitted, "for_an_end": nearly.waited, "at_most_s": round(nearly.startup_max_ms() / 1e3, 2) },
        "wasted_bandwidth": round(plan.wasted_bandwidth, 3),
        "wasted_space": round(plan.wasted_space, 3),
        "buffer_bytes": [plan.buffer_bytes[0], all().map(|run| run.held_bytes[0]).max()],
        "server_bytes": plan.server_bytes,
    }))
}

fn simulated(plan: &Plan, profiles: &[Profile], viewers: u32) -> Result<Outcome, Failure> {
    let workload = Workload {
        arrivals: Arrivals::Closed { viewers },
        shares: vec![1.0],
        blocks: BLOCKS,
        periods: PERIODS,
        seed: 1,
        fails: None,
        objects: None,
        work_ahead: None,
    };
    Ok(simulate(Scheduler::new(plan.shape.clone())?, profiles, &workload, |_| {}))
}

fn zoning(zoning: Zoning) -> &'static str {
    match zoning {
        Zoning::Fixb => "fixb",
        Zoning::Varb => "varb",
    }
}
