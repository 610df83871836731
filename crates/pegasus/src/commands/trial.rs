//! `pegasus simulate --on`: a plan at work on disks that are there, in real time.

use std::time::Duration;

use pegasus_base::format_duration;
use pegasus_mitra::{Outcome, Plan, Platters as _, Scheduler, Workload, simulate, simulate_on};
use pegasus_trial::{RealDisks, Stopper};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

use super::plan::{planned, shown};
use super::simulate::{BAR_STEPS, bar, figures, flow, lines, scheduler, workload};
use crate::cli::plan::Simulate;
use crate::{Failure, output};

/// Disks run so long if nothing else is said …
const TIME: Duration = Duration::from_secs(120);
/// … but for as many periods at least.
const PERIODS_MIN: u32 = 8;
/// Everything lasts so long if nothing else is said …
const LENGTH: Duration = Duration::from_secs(30);
/// … but as many blocks at least.
const BLOCKS_MIN: u32 = 4;
/// How often the bar shows how long it still takes.
const TICK: Duration = Duration::from_millis(500);
/// The exit code of who is interrupted twice: what shells take it for.
const INTERRUPTED: i32 = 130;

pub(crate) fn run(args: &Simulate, as_json: bool) -> Result<(), Failure> {
    let (wish, plan) = planned(&args.plan, Some(paths(args)?))?;
    let period = Duration::from_nanos(plan.shape.knobs().period_ns);
    let longest = (TIME.max(period * PERIODS_MIN), LENGTH.max(period * BLOCKS_MIN));
    let workload = workload(args, &plan, wish.shares, longest)?;
    let mut disks = RealDisks::open(&args.on, &plan.shape, &wish.profiles)?;
    let simulated = simulate(scheduler(args, &plan)?, &wish.profiles, &workload, |_| {});
    if !as_json {
        shown::table(&plan)?;
        tell_time(&plan, &workload, &disks)?;
    }
    let scheduler = scheduler(args, &plan)?;
    let outcome = read(scheduler, &mut disks, &workload)?;
    if as_json {
        let real = real(&outcome, &disks);
        let (planned, simulated) = (shown::json(&plan), figures(&simulated));
        return output::json(&json!({ "planned": planned, "simulated": simulated, "real": real }));
    }
    output::line("\nsimulated")?;
    lines(&simulated)?;
    flow(args, &simulated)?;
    output::line("\non these disks")?;
    tell(&outcome, &disks)?;
    flow(args, &outcome)
}

/// How many disks are named.
fn paths(args: &Simulate) -> Result<u32, Failure> {
    let paths = u32::try_from(args.on.len()).unwrap_or(u32::MAX);
    if let Some(disks) = args.plan.disks.filter(|disks| *disks != paths) {
        let why = format!("--on names {paths} and --disks says {disks}: leave --disks out");
        return Err(Failure::new(why));
    }
    Ok(paths)
}

/// Runs the schedule in real time, until it is over or somebody wants no more of it.
fn read(
    scheduler: Scheduler,
    disks: &mut RealDisks,
    workload: &Workload,
) -> Result<Outcome, Failure> {
    watch(disks.stopper())?;
    let bar = bar("reading");
    bar.enable_steady_tick(TICK);
    let outcome = simulate_on(scheduler, disks, workload, |done| {
        bar.set_position((done * BAR_STEPS) as u64);
    });
    bar.finish_and_clear();
    Ok(outcome)
}

/// What is about to be done, and how long it takes.
fn tell_time(plan: &Plan, workload: &Workload, disks: &RealDisks) -> Result<(), Failure> {
    let (period_ns, periods) = (plan.shape.knobs().period_ns, workload.periods);
    let takes = Duration::from_nanos(period_ns.saturating_mul(periods));
    let takes = format_duration(Duration::from_secs(takes.as_secs_f64().round() as u64));
    output::line(&format!(
        "\n{periods} periods on {} disks take {takes}; they are only read. Ctrl-C ends it and tells what was found so far",
        disks.disks().len()
    ))?;
    disks.remarks().iter().for_each(|remark| output::complain(remark));
    Ok(())
}

/// Ends the run when the user or the system wants it to; who wants it twice does not wait for reads either.
fn watch(stopper: Stopper) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut interrupt, mut terminate) = {
        let _within = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    let wait = async move {
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if stopper.is_stopped() {
                std::process::exit(INTERRUPTED);
            }
            stopper.stop();
        }
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || runtime.block_on(wait))?;
    Ok(())
}

fn real(outcome: &Outcome, disks: &RealDisks) -> Value {
    let each = disks.disks().iter().map(|disk| {
        json!({
            "path": disk.label,
            "direct": disk.is_direct,
            "reads": disk.reads,
            "failed_reads": disk.failed_reads,
        })
    });
    let mut real = figures(outcome);
    real["disks"] = each.collect();
    real["failures"] = disks.failures().iter().map(ToString::to_string).collect();
    real["asked_late_ms"] = json!(disks.asked_late_ns() as f64 / 1e6);
    real["stopped_s"] = json!(disks.stopped_ns().map(|ns| ns as f64 / 1e9));
    real["remarks"] = json!(disks.remarks());
    real
}

fn tell(outcome: &Outcome, disks: &RealDisks) -> Result<(), Failure> {
    if let Some(ns) = disks.stopped_ns() {
        output::line(&format!("stopped after {:.1} s", ns as f64 / 1e9))?;
    }
    lines(outcome)?;
    output::line(&format!(
        "batches were asked for {:.1} ms late at most, as this machine had other things to do",
        disks.asked_late_ns() as f64 / 1e6
    ))?;
    for disk in disks.disks().iter().filter(|disk| disk.failed_reads > 0) {
        let (label, failed, all) = (&disk.label, disk.failed_reads, disk.reads);
        output::line(&format!("{failed} of {all} reads of {label} failed: look after that disk"))?;
    }
    disks.failures().iter().try_for_each(|failure| output::line(&format!("  {failure}")))
}
