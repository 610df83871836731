//! A plan as people and programs read it.

use pegasus_base::{BitRate, ByteSize};
use pegasus_mitra::{Degraded, Plan, Zoning};
use serde_json::{Value, json};

use crate::{Failure, output};

fn ms(ns: u64) -> f64 {
    (ns as f64 / 1e3).round() / 1e3
}

/// Block and buffer at the top are the first medium's.
pub(crate) fn json(plan: &Plan) -> Value {
    let (knobs, blocks) = (plan.shape.knobs(), plan.block_bytes());
    let media = plan.shape.media().iter().enumerate().map(|(number, media)| {
        let in_zone = |zone| plan.shape.block_bytes(number, zone);
        json!({
            "name": media.name,
            "rate_bps": media.rate_bps,
            "width": media.width,
            "displays": plan.playbacks[number],
            "block_bytes": blocks[number],
            "zone_block_bytes": (0..knobs.zones).map(in_zone).collect::<Vec<_>>(),
            "buffer_bytes": plan.buffer_bytes[number],
        })
    });
    let work_ahead = plan.work_ahead.map(|marks| {
        json!({
            "low_blocks": marks.low_blocks(),
            "high_blocks": marks.high_blocks(),
            "skip_blocks": plan.shape.cycle(),
            "more_bytes": more_bytes(plan),
        })
    });
    json!({
        "displays": plan.all(),
        "block_bytes": blocks[0],
        "period_ms": ms(knobs.period_ns),
        "disks": knobs.disks,
        "stride": knobs.stride,
        "groups": knobs.groups,
        "window": knobs.window,
        "zones": knobs.zones,
        "zoning": zoning(knobs.zoning),
        "degraded": degraded(knobs.degraded),
        "startup_ms": { "mean": ms(plan.startup_ns.mean), "max": ms(plan.startup_ns.max) },
        "buffer_bytes": plan.buffer_bytes[0],
        "server_bytes": plan.server_bytes,
        "work_ahead": work_ahead,
        "wasted": { "bandwidth": plan.wasted_bandwidth, "space": plan.wasted_space },
        "media": media.collect::<Vec<_>>(),
    })
}

/// What working ahead costs a playback of the first medium in memory.
fn more_bytes(plan: &Plan) -> u64 {
    plan.buffer_bytes[0].saturating_sub(plan.shape.buffer_bytes(0))
}

fn degraded(policy: Degraded) -> &'static str {
    match policy {
        Degraded::None => "none",
        Degraded::Shed => "shed",
        Degraded::Keep => "keep",
    }
}

fn zoning(zoning: Zoning) -> &'static str {
    match zoning {
        Zoning::Fixb => "fixb",
        Zoning::Varb => "varb",
    }
}

pub(crate) fn table(plan: &Plan) -> Result<(), Failure> {
    let (knobs, blocks) = (plan.shape.knobs(), plan.block_bytes());
    let head = ["MEDIUM", "RATE", "DISKS AT ONCE", "PLAYBACKS", "BLOCK", "BUFFER"];
    let rows = plan.shape.media().iter().enumerate().map(|(number, media)| {
        vec![
            media.name.clone(),
            BitRate(media.rate_bps).to_string(),
            media.width.to_string(),
            plan.playbacks[number].to_string(),
            ByteSize(blocks[number]).to_string(),
            ByteSize(plan.buffer_bytes[number]).to_string(),
        ]
    });
    output::table(&head, &[1, 2, 3, 4, 5], &rows.collect::<Vec<_>>())?;
    output::line("")?;
    output::line(&format!(
        "{} disks, stride {}, {} of each ({}); a period of {:.0} ms in {}, window {}; a failing disk: {}",
        knobs.disks,
        knobs.stride,
        counted(knobs.zones, "zone"),
        zoning(knobs.zoning),
        ms(knobs.period_ns),
        counted(knobs.groups as usize, "group"),
        knobs.window,
        degraded(knobs.degraded),
    ))?;
    output::line(&format!(
        "startup: {:.2} s with a tenth of the places left; at worst {:.2} s, with one",
        plan.startup_ns.mean as f64 / 1e9,
        plan.startup_ns.max as f64 / 1e9
    ))?;
    if let Some(marks) = plan.work_ahead {
        output::line(&format!(
            "working ahead: viewers hold {} to {} blocks and skip {} at a time, which takes {} more of a playback of {}",
            marks.low_blocks(),
            marks.high_blocks(),
            plan.shape.cycle(),
            ByteSize(more_bytes(plan)),
            plan.shape.media()[0].name,
        ))?;
    }
    output::line(&format!("under way from disks: {}", ByteSize(plan.server_bytes)))?;
    output::line(&format!(
        "not used: {:.1} % of what the disks could move, {:.1} % of their room",
        plan.wasted_bandwidth * 100.0,
        plan.wasted_space * 100.0
    ))
}

fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}
