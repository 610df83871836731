//! `pegasus store check`: offline, every byte.

use std::path::Path;
use std::process::ExitCode;

use pegasus_node::Config;

use crate::cli::Store;
use crate::{Failure, output};

pub(crate) fn run(command: &Store, json: bool) -> Result<ExitCode, Failure> {
    let Store::Check { data, config } = command;
    let mut settings = match config {
        Some(path) => Config::read_unchecked(path)?,
        None => Config::default(),
    };
    if let Some(data) = data {
        settings.data = Some(data.clone());
    }
    check(&settings, &settings.data_dir()?, json)
}

fn check(config: &Config, data: &Path, json: bool) -> Result<ExitCode, Failure> {
    let disks = pegasus_node::existing_disks(config, data)?;
    let report = pegasus_continuous::check_store(disks, super::now())?;
    if json {
        output::json(&report)?;
    } else {
        for remark in &report.remarks {
            output::line(&format!("by the way: {remark}"))?;
        }
        for problem in &report.problems {
            output::line(problem)?;
        }
        output::line(&format!(
            "{}: {} segments read, {} units verified, {} problems",
            if report.ok { "sound" } else { "not sound" },
            report.segments_read,
            report.units_verified,
            report.problems.len(),
        ))?;
    }
    Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
