//! `pegasus store check` and `store repair`: offline, every byte.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use pegasus_continuous::{CheckReport, Repair, RepairOptions, RepairPlan};
use pegasus_node::Config;
use serde::Serialize;

use crate::cli::Store;
use crate::{Failure, output};

/// The disks of the store that is meant.
struct Target {
    config: Config,
    data: PathBuf,
}

pub(crate) fn run(command: &Store, json: bool) -> Result<ExitCode, Failure> {
    match command {
        Store::Check { data, config } => {
            let target = Target::of(data.as_deref(), config.as_deref())?;
            let report = target.check()?;
            if json {
                output::json(&report)?;
            } else {
                print_report(&report)?;
            }
            Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Store::Repair { data, config, yes, accept_loss } => {
            let target = Target::of(data.as_deref(), config.as_deref())?;
            if *yes {
                repair(&target, *accept_loss, json)
            } else {
                show(&target, *accept_loss, json)
            }
        }
    }
}

impl Target {
    fn of(data: Option<&Path>, config: Option<&Path>) -> Result<Self, Failure> {
        let mut settings = match config {
            Some(path) => Config::read_unchecked(path)?,
            None => Config::default(),
        };
        if let Some(data) = data {
            settings.data = Some(data.to_owned());
        }
        let data = settings.data_dir()?;
        Ok(Self { config: settings, data })
    }

    fn disks(&self) -> Result<pegasus_continuous::Disks, Failure> {
        Ok(pegasus_node::existing_disks(&self.config, &self.data)?)
    }

    fn check(&self) -> Result<CheckReport, Failure> {
        Ok(pegasus_continuous::check_store(self.disks()?, super::now(), pegasus_node::check_files)?)
    }

    fn assess(&self, writable: bool, accept_loss: bool) -> Result<Repair, Failure> {
        let bar = bar();
        let mut show = |what: &str, done, all| progress(&bar, what, done, all);
        let options = RepairOptions { now: super::now(), writable, accept_loss };
        Ok(Repair::assess(self.disks()?, options, &mut show)?)
    }
}

fn print_report(report: &CheckReport) -> Result<(), Failure> {
    let remarks = report.remarks.iter();
    remarks
        .map(|remark| format!("by the way: {remark}"))
        .try_for_each(|line| output::line(&line))?;
    report.problems.iter().try_for_each(|problem| output::line(problem))?;
    output::line(&format!(
        "{}: {} segments read, {} units verified, {} problems",
        if report.ok { "sound" } else { "not sound" },
        report.segments_read,
        report.units_verified,
        report.problems.len(),
    ))
}

fn print_plan(plan: &RepairPlan) -> Result<(), Failure> {
    plan.findings.iter().try_for_each(|finding| output::line(finding))
}

/// What `store repair` did.
#[derive(Serialize)]
struct Repaired<'a> {
    #[serde(flatten)]
    plan: &'a RepairPlan,
    /// Whether it was done.
    applied: bool,
    /// The check afterwards.
    check: Option<CheckReport>,
}

fn show(target: &Target, accept_loss: bool, json: bool) -> Result<ExitCode, Failure> {
    let repair = target.assess(false, accept_loss)?;
    let plan = repair.plan();
    if json {
        output::json(&Repaired { plan, applied: false, check: None })?;
    } else {
        print_plan(plan)?;
        plan.actions.iter().try_for_each(|action| output::line(&format!("would {action}")))?;
        output::line(match (&plan.hindrance, plan.actions.is_empty()) {
            (Some(why), _) => why.as_str(),
            (None, true) => "nothing that lists recordings is lost; --yes goes over all blocks",
            (None, false) => "nothing was written; --yes does it",
        })?;
    }
    let clean = plan.findings.is_empty() && plan.hindrance.is_none();
    Ok(if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn repair(target: &Target, accept_loss: bool, json: bool) -> Result<ExitCode, Failure> {
    let repair = target.assess(true, accept_loss)?;
    let plan = repair.plan().clone();
    if !json {
        print_plan(&plan)?;
    }
    let repair = if plan.actions.is_empty() {
        repair
    } else {
        let bar = bar();
        repair.apply(&mut |what, done, all| progress(&bar, what, done, all))?;
        bar.finish_and_clear();
        if !json {
            plan.actions.iter().try_for_each(|action| output::line(&format!("done: {action}")))?;
        }
        target.assess(true, false)?
    };
    let bar = bar();
    bar.set_message("going over all blocks");
    repair.scrub()?;
    bar.set_message("checking");
    let check = target.check()?;
    bar.finish_and_clear();
    let ok = check.ok;
    if json {
        output::json(&Repaired { plan: &plan, applied: true, check: Some(check) })?;
    } else {
        print_report(&check)?;
    }
    Ok(if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn bar() -> ProgressBar {
    if !output::is_watched() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(0);
    let style = ProgressStyle::with_template("{spinner} {msg} {percent}%");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

fn progress(bar: &ProgressBar, what: &str, done: u64, all: u64) {
    if bar.message() != what {
        bar.set_message(what.to_owned());
    }
    bar.set_length(all);
    bar.set_position(done);
}
