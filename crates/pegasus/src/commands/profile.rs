//! `pegasus disk profile`: what a disk can do, found out on the spot; no node is asked.

use std::path::Path;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use pegasus_base::{BitRate, ByteSize};
use pegasus_disk::{Profile, Progress, Subject, SubjectKind, Survey, SurveyOptions, survey};
use serde::Serialize;

use super::plot;
use crate::cli::DiskProfile;
use crate::{Failure, output};

/// What was measured, for other programs.
#[derive(Serialize)]
struct Report<'a> {
    path: String,
    kind: &'static str,
    direct: bool,
    data_bytes: u64,
    reads: u64,
    failed_reads: u64,
    remarks: Vec<String>,
    profile: &'a Profile,
}

/// Steps of the progress bar.
const STEPS: u64 = 1_000;
/// A share of reads that find zeros, from which on it is worth telling.
const BLANK_SHARE: f64 = 0.1;
/// Of fewer reads the slowest stands for one in a thousand.
const TELLS_RARE: u64 = 1_000;

pub(crate) fn run(command: &DiskProfile, json: bool) -> Result<(), Failure> {
    for goal in command.output.iter().chain(&command.plot) {
        check_goal(goal, command.force)?;
    }
    let bar = bar();
    let mut show = |at: Progress| {
        if bar.message() != at.what {
            bar.set_message(at.what);
        }
        bar.set_position((at.share * STEPS as f64) as u64);
    };
    let subject = Subject::open(&command.path, command.scratch.bytes(), &mut show)?;
    let found = survey(&subject.disk, &subject.ground, &options(command), &mut show)?;
    bar.finish_and_clear();

    let report = report(command, &subject, &found);
    let toml = format!("# {}\n{}", heading(&report), found.profile.to_toml());
    if let Some(goal) = &command.plot {
        save(goal, &plot::profile(&heading(&report), &found))?;
    }
    if let Some(goal) = &command.output {
        save(goal, &toml)?;
    }
    if json {
        return output::json(&report);
    }
    if command.output.is_none() {
        report.remarks.iter().for_each(|remark| output::complain(remark));
        return output::line(toml.trim_end());
    }
    tell(&report)
}

fn options(command: &DiskProfile) -> SurveyOptions {
    let default = if command.quick { SurveyOptions::quick() } else { SurveyOptions::default() };
    SurveyOptions { time: command.time.unwrap_or(default.time), ..default }
}

/// Refuses, before anything is measured, what could not be written afterwards.
fn check_goal(goal: &Path, force: bool) -> Result<(), Failure> {
    let shown = goal.display();
    if goal.is_dir() {
        return Err(Failure::new(format!("{shown} is a folder; name a file in it")));
    }
    if goal.exists() && !force {
        return Err(Failure::new(format!("{shown} exists; add --force to replace it")));
    }
    match goal.parent() {
        Some(folder) if !folder.as_os_str().is_empty() && !folder.is_dir() => {
            Err(Failure::new(format!("{shown} can't be written: there is no such folder")))
        }
        _ => Ok(()),
    }
}

fn save(goal: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(goal, text)
        .map_err(|error| Failure::new(format!("{} can't be written: {error}", goal.display())))
}

fn report<'a>(command: &DiskProfile, subject: &Subject, found: &'a Survey) -> Report<'a> {
    Report {
        path: command.path.display().to_string(),
        kind: match subject.kind {
            SubjectKind::Device => "device",
            SubjectKind::File => "file",
            SubjectKind::Folder => "folder",
        },
        direct: subject.disk.is_direct(),
        data_bytes: subject.ground.data_bytes(),
        reads: found.reads,
        failed_reads: found.failed_reads,
        remarks: remarks(subject, found),
        profile: &found.profile,
    }
}

/// What whoever uses the profile should know.
fn remarks(subject: &Subject, found: &Survey) -> Vec<String> {
    let (size, data) = (found.profile.capacity_bytes(), subject.ground.data_bytes());
    let mut remarks = Vec::new();
    if !subject.disk.is_direct() {
        remarks.push("its file system has no direct I/O: this is the speed of memory".to_owned());
    }
    if subject.kind == SubjectKind::Folder {
        let scratch = ByteSize(size);
        remarks.push(format!(
            "measured in a scratch file of {scratch}: the whole disk's zones and seeks are only seen on the device"
        ));
    } else if data < size {
        let (data, size) = (ByteSize(data), ByteSize(size));
        remarks.push(format!("of its {size} only {data} were ever written, and measured"));
    }
    if found.failed_reads > 0 {
        remarks.push(format!("{} reads failed: look after that disk", found.failed_reads));
    }
    if subject.kind == SubjectKind::Device
        && found.blank_reads as f64 > found.reads as f64 * BLANK_SHARE
    {
        remarks.push(format!(
            "{} of {} reads found zeros: flash answers what was never written, or was trimmed, without looking",
            found.blank_reads, found.reads
        ));
    }
    if found.reads < TELLS_RARE {
        remarks.push("few reads: p99 and p99.9 may be the slowest of a handful".to_owned());
    }
    remarks
}

fn heading(report: &Report<'_>) -> String {
    let size = ByteSize(report.profile.capacity_bytes());
    // A path may hold anything, and ends a comment if it holds a new line.
    let path: String = report.path.chars().filter(|c| !c.is_control()).collect();
    format!("{path} ({}), {size}", report.kind)
}

fn bar() -> ProgressBar {
    if !output::is_watched() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(STEPS);
    let style = ProgressStyle::with_template("{spinner} {msg:24} {wide_bar} {percent}%");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// Tables for people.
fn tell(report: &Report<'_>) -> Result<(), Failure> {
    let profile = report.profile;
    output::line(&heading(report))?;
    output::line(&match profile.rotation_ns() {
        0 => "turn      none".to_owned(),
        ns => format!("turn      {} ms, {:.0} a minute", ms(ns), 6e10 / ns as f64),
    })?;
    output::line(&format!("overhead  {} ms", ms(profile.overhead_ns())))?;
    output::line("")?;
    tell_zones(profile)?;
    if profile.seek().points().len() > 1 {
        output::line("")?;
        let row = |(far, ns): &(u32, u64)| {
            let share = f64::from(*far) * 100.0 / f64::from(profile.cylinders());
            vec![far.to_string(), format!("{share:.1} %"), format!("{} ms", ms(*ns))]
        };
        let rows: Vec<Vec<String>> = profile.seek().points().iter().map(row).collect();
        output::table(&["CYLINDERS", "OF ALL", "SEEK"], &[0, 1, 2], &rows)?;
    }
    output::line("")?;
    let row = |depth: &pegasus_disk::QueueDepth| {
        vec![depth.depth.to_string(), format!("{:.0} /s", depth.reads_per_s)]
    };
    let rows: Vec<Vec<String>> = profile.queue.iter().map(row).collect();
    output::table(&["READS AT ONCE", "4 KiB READS"], &[0, 1], &rows)?;
    output::line("")?;
    let row = |times: &pegasus_disk::ServiceTimes| {
        let [p50, p99, p999] =
            [times.p50_ms, times.p99_ms, times.p999_ms].map(|ms| format!("{ms:.2} ms"));
        vec![ByteSize(times.block_bytes).to_string(), p50, p99, p999]
    };
    let rows: Vec<Vec<String>> = profile.service.iter().map(row).collect();
    output::table(&["READ OF", "P50", "P99", "P99.9"], &[0, 1, 2, 3], &rows)?;
    report.remarks.iter().try_for_each(|remark| output::line(&format!("\n{remark}")))
}

fn tell_zones(profile: &Profile) -> Result<(), Failure> {
    let row = |(number, zone): (usize, &pegasus_disk::Zone)| {
        let range = profile.zone_range(number);
        let (from, to) = (ByteSize(range.start).to_string(), ByteSize(range.end).to_string());
        let rate = format!("{:.1} MB/s", zone.rate_bps as f64 / 8e6);
        vec![
            number.to_string(),
            from,
            to,
            zone.cylinders.to_string(),
            rate,
            BitRate(zone.rate_bps).to_string(),
        ]
    };
    let rows: Vec<Vec<String>> = profile.zones().iter().enumerate().map(row).collect();
    output::table(&["ZONE", "FROM", "TO", "CYLINDERS", "RATE", ""], &[0, 1, 2, 3, 4, 5], &rows)
}

/// Nanoseconds as milliseconds, as precise as makes sense.
fn ms(ns: u64) -> String {
    let ms = ns as f64 / 1e6;
    if ms < 1.0 { format!("{ms:.3}") } else { format!("{ms:.2}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_not_be_written_is_refused_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let there = dir.path().join("there");
        std::fs::write(&there, "x").unwrap();
        assert!(check_goal(&there, true).is_ok());
        assert!(check_goal(&dir.path().join("new"), false).is_ok());
        let why = |goal: &Path| check_goal(goal, false).unwrap_err().sentence;
        assert!(why(&there).contains("--force"));
        assert!(why(dir.path()).contains("is a folder"));
        assert!(why(&dir.path().join("none/new")).contains("no such folder"));
    }
}
