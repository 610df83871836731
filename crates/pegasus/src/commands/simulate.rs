//! `pegasus simulate`: a plan at work on simulated disks, in virtual time; on others see `trial`.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use pegasus_mitra::{Arrivals, Margins, Objects, Outcome, Plan, Scheduler, Workload, simulate};
use serde_json::{Value, json};

use super::plan::{planned, shown};
use crate::cli::plan::Simulate;
use crate::{Failure, output};

/// How long disks run in virtual time, and everything lasts, if nothing else is said.
const TIME: Duration = Duration::from_secs(7_200);
const LENGTH: Duration = Duration::from_secs(600);
const TIME_MAX: Duration = Duration::from_secs(1_000 * 86_400);
const PER_HOUR_MAX: f64 = 1e6;
const VIEWERS_MAX: u32 = 1_000_000;
const SKEW_MAX: f64 = 10.0;
/// As many objects there are to be merged, unless said.
const OBJECTS: u32 = 100;
/// Steps of the progress bar.
pub(super) const BAR_STEPS: f64 = 1_000.0;

pub(crate) fn run(args: &Simulate, json: bool) -> Result<(), Failure> {
    if let Some(path) = &args.export {
        return super::rotate::run(args, path, json);
    }
    if !args.on.is_empty() {
        return super::trial::run(args, json);
    }
    let (wish, plan) = planned(&args.plan, None)?;
    let workload = workload(args, &plan, wish.shares, (TIME, LENGTH))?;
    let scheduler = scheduler(args, &plan)?;
    let bar = bar("simulating");
    let outcome = simulate(scheduler, &wish.profiles, &workload, |done| {
        bar.set_position((done * BAR_STEPS) as u64);
    });
    bar.finish_and_clear();
    if json {
        let found = json!({ "planned": shown::json(&plan), "simulated": figures(&outcome) });
        return output::json(&found);
    }
    shown::table(&plan)?;
    output::line("")?;
    lines(&outcome)?;
    flow(args, &outcome)
}

pub(super) fn scheduler(args: &Simulate, plan: &Plan) -> Result<Scheduler, Failure> {
    let mut scheduler = Scheduler::new(plan.shape.clone())?;
    scheduler.merge(args.merge);
    Ok(scheduler)
}

/// What was asked for on the command line; disks run, and everything lasts, so long if nothing was said.
pub(super) fn workload(
    args: &Simulate,
    plan: &Plan,
    shares: Vec<f64>,
    (time, length): (Duration, Duration),
) -> Result<Workload, Failure> {
    let (time, length) = (args.time.unwrap_or(time), args.length.unwrap_or(length));
    let period_ns = u128::from(plan.shape.knobs().period_ns);
    let periods = |time: Duration| u64::try_from(time.as_nanos() / period_ns).unwrap_or(u64::MAX);
    if time.max(length) > TIME_MAX {
        return Err(Failure::new("--time and --length are at most 1000 days"));
    }
    let run = periods(time);
    if run < 4 {
        return Err(Failure::new("--time is less than four periods: let the disks run longer"));
    }
    if let Some(disk) = args.fail.filter(|disk| *disk >= plan.shape.knobs().disks) {
        return Err(Failure::new(format!("there is no disk {disk}: they count from 0")));
    }
    let arrivals = match args.poisson {
        Some(per_hour) if per_hour > 0.0 && per_hour <= PER_HOUR_MAX => {
            Arrivals::Poisson { per_hour }
        }
        Some(_) => {
            return Err(Failure::new(
                "--poisson is how many come in an hour: more than 0, at most a million",
            ));
        }
        None => Arrivals::Closed { viewers: args.closed.unwrap_or(plan.all()) },
    };
    if matches!(arrivals, Arrivals::Closed { viewers: VIEWERS_MAX.. }) {
        return Err(Failure::new(
            "a million viewers and more are not simulated: say fewer with --closed",
        ));
    }
    let fails = args.fail.map(|disk| (disk, run / 2));
    let blocks = periods(length).max(1);
    let (objects, work_ahead) = (objects(args)?, plan.work_ahead);
    let (periods, seed) = (run, args.seed);
    Ok(Workload { arrivals, shares, blocks, periods, seed, fails, objects, work_ahead })
}

fn objects(args: &Simulate) -> Result<Option<Objects>, Failure> {
    if !(0.0..=SKEW_MAX).contains(&args.skew) {
        return Err(Failure::new("--skew is 0, for objects that are all as popular, to 10"));
    }
    let count = args.objects.or(args.merge.then_some(OBJECTS));
    Ok(count.map(|count| Objects { count, skew: args.skew }))
}

pub(super) fn bar(what: &'static str) -> ProgressBar {
    if !output::is_watched() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{msg} {bar:40} {percent} % {eta}");
    let bar = ProgressBar::new(BAR_STEPS as u64).with_message(what);
    bar.with_style(style.expect("the template is right"))
}

pub(super) fn figures(outcome: &Outcome) -> Value {
    json!({
        "displays": { "max": outcome.playing_max, "mean": outcome.playing_mean },
        "hiccups": outcome.hiccups,
        "unread": outcome.unread,
        "margin_ms": margin_ms(&outcome.margins),
        "unreadable": outcome.unreadable,
        "blocks": outcome.blocks,
        "admitted": outcome.admitted,
        "waited": outcome.waited,
        "merged": outcome.merged,
        "skips": outcome.skips,
        "ahead_ms": outcome.ahead_ns as f64 / 1e6,
        "shed": outcome.shed,
        "startup_ms": { "mean": outcome.startup_mean_ms(), "max": outcome.startup_max_ms() },
        "buffer_bytes": outcome.held_bytes.first(),
        "busy": outcome.busy,
    })
}

/// How long before its time each block was there, in milliseconds; null without blocks.
fn margin_ms(margins: &Margins) -> Value {
    let ms = |ns: Option<i64>| ns.map(|ns| ns as f64 / 1e6);
    let (p50, p1) = (margins.of_permille(500), margins.of_permille(10));
    json!({ "p50": ms(p50), "p1": ms(p1), "least": ms(margins.least_ns()) })
}

pub(super) fn lines(outcome: &Outcome) -> Result<(), Failure> {
    output::line(&format!(
        "held: {} playbacks at most, {:.1} on average; {} of {} blocks late",
        outcome.playing_max, outcome.playing_mean, outcome.hiccups, outcome.blocks
    ))?;
    output::line(&format!(
        "began: {}, of whom {} waited for somebody's end; startup {:.2} s, at worst {:.2} s",
        outcome.admitted,
        outcome.waited,
        outcome.startup_mean_ms() / 1e3,
        outcome.startup_max_ms() / 1e3
    ))?;
    if outcome.shed + outcome.unreadable > 0 {
        output::line(&format!(
            "a disk failed: {} playbacks were ended, {} blocks could not be read",
            outcome.shed, outcome.unreadable
        ))?;
    }
    if let [Some(p50), Some(p1), Some(least)] = [
        outcome.margins.of_permille(500),
        outcome.margins.of_permille(10),
        outcome.margins.least_ns(),
    ] {
        let [p50, p1, least] = [p50, p1, least].map(|ns| ns as f64 / 1e9);
        output::line(&format!(
            "blocks were there before their time by: half {p50:.3} s or more, all but one in a hundred {p1:.3} s, the last {least:.3} s"
        ))?;
    }
    output::line(&format!("disks at work: {:.1} % of the time", outcome.busy * 100.0))
}

/// What came of merging and working ahead, if that was asked for.
pub(super) fn flow(args: &Simulate, outcome: &Outcome) -> Result<(), Failure> {
    if args.merge {
        output::line(&format!(
            "merged: {} of those who began, with somebody who was about to begin the same",
            outcome.merged
        ))?;
    }
    if args.plan.work_ahead.is_some() {
        output::line(&format!(
            "worked ahead: {:.0} s of the schedule were gained; viewers skipped {} times",
            outcome.ahead_ns as f64 / 1e9,
            outcome.skips
        ))?;
    }
    Ok(())
}
