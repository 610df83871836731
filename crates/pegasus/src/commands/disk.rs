//! `pegasus disk`: the disks of a running node.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use pegasus_base::{ByteSize, format_duration};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::cli::Disk;
use crate::client::Client;
use crate::{Failure, output};

const PATH: &str = "/api/v1/disks";
/// How often progress is asked for.
const LOOK_EVERY: Duration = Duration::from_millis(500);

#[derive(Deserialize)]
struct Answer {
    disks: Vec<Row>,
    spares: Vec<Spare>,
    care: Care,
}

#[derive(Deserialize)]
struct Row {
    path: String,
    state: String,
    errors: u64,
    read_bytes: u64,
    written_bytes: u64,
    read_us: Option<u64>,
}

#[derive(Deserialize)]
struct Spare {
    path: String,
}

#[derive(Deserialize)]
struct Care {
    work: Option<Work>,
    repaired_fragments: u64,
    lost_blocks: u64,
    unprotected_segments: u64,
    problems: Vec<String>,
    trouble: Option<String>,
}

#[derive(Deserialize)]
struct Work {
    kind: String,
    slots_done: u64,
    slots_total: u64,
    eta_s: Option<u64>,
}

pub(crate) fn run(client: &Client, command: &Disk, json: bool) -> Result<(), Failure> {
    let wait = match command {
        // Needs no node, and never comes here.
        Disk::List | Disk::Profile(_) => false,
        Disk::Add { path, spare, size, overwrite } => {
            let size = size.map(ByteSize::bytes);
            let body =
                json!({ "path": path, "spare": spare, "size": size, "overwrite": overwrite });
            client.send("POST", &format!("{PATH}/add"), &[], Some(&body))?;
            false
        }
        Disk::Replace { disk, with, overwrite, rate, wait } => {
            let rate = rate.map(ByteSize::bytes);
            let body = json!({ "disk": disk, "with": with, "overwrite": overwrite, "rate": rate });
            client.send("POST", &format!("{PATH}/replace"), &[], Some(&body))?;
            *wait
        }
        Disk::Remove { disk, cancel: true, .. } => {
            let body = json!({ "disk": disk });
            client.send("POST", &format!("{PATH}/keep"), &[], Some(&body))?;
            false
        }
        Disk::Remove { disk, rate, wait, .. } => {
            let body = json!({ "disk": disk, "rate": rate.map(ByteSize::bytes) });
            client.send("POST", &format!("{PATH}/remove"), &[], Some(&body))?;
            *wait
        }
        Disk::Scrub { stop: true, .. } => {
            client.send("DELETE", &format!("{PATH}/scrub"), &[], None)?;
            false
        }
        Disk::Scrub { rate, wait, .. } => {
            let body = json!({ "rate": rate.map(ByteSize::bytes) });
            client.send("POST", &format!("{PATH}/scrub"), &[], Some(&body))?;
            *wait
        }
    };
    if wait {
        wait_for_end(client)?;
    }
    let answer: Value = client.get(PATH, &[])?;
    if json {
        return output::json(&answer);
    }
    show(serde_json::from_value(answer)?)
}

/// Shows progress until nothing is done any more.
fn wait_for_end(client: &Client) -> Result<(), Failure> {
    let bar = if output::is_watched() { ProgressBar::new(0) } else { ProgressBar::hidden() };
    let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} slots, {eta} left");
    bar.set_style(style.expect("the template is right"));
    // It begins a moment after it was asked for.
    std::thread::sleep(LOOK_EVERY);
    let mut idle = 0;
    while idle < 3 {
        let answer: Answer = client.get(PATH, &[])?;
        if let Some(trouble) = answer.care.trouble {
            return Err(Failure::new(trouble));
        }
        let is_busy = |disk: &Row| matches!(disk.state.as_str(), "rebuilding" | "removing");
        let busy = answer.disks.iter().any(is_busy);
        match answer.care.work {
            Some(work) => {
                idle = 0;
                bar.set_length(work.slots_total);
                bar.set_position(work.slots_done);
                bar.set_message(work.kind);
            }
            None if busy => idle = 0,
            None => idle += 1,
        }
        std::thread::sleep(LOOK_EVERY);
    }
    bar.finish_and_clear();
    Ok(())
}

fn show(answer: Answer) -> Result<(), Failure> {
    let row = |disk: Row| {
        let (read, written) = (ByteSize(disk.read_bytes), ByteSize(disk.written_bytes));
        let took =
            disk.read_us.map_or_else(|| "-".to_owned(), |us| format!("{:.1} ms", us as f64 / 1e3));
        let errors = disk.errors.to_string();
        vec![disk.path, disk.state, errors, read.to_string(), written.to_string(), took]
    };
    let none = || "-".to_owned();
    let spare = |spare: Spare| vec![spare.path, "spare".to_owned(), none(), none(), none(), none()];
    let disks = answer.disks.into_iter().map(row);
    let rows: Vec<Vec<String>> = disks.chain(answer.spares.into_iter().map(spare)).collect();
    let head = ["DISK", "STATE", "ERRORS", "READ", "WRITTEN", "READ TIME"];
    output::table(&head, &[2, 3, 4, 5], &rows)?;
    let care = answer.care;
    if let Some(work) = care.work {
        let left = work.eta_s.map_or_else(String::new, |eta| {
            format!(", {} left", format_duration(Duration::from_secs(eta)))
        });
        let (done, total) = (work.slots_done, work.slots_total);
        output::line(&format!("\n{}: {done} of {total} slots{left}", work.kind))?;
    }
    if care.repaired_fragments > 0 || care.lost_blocks > 0 {
        output::line(&format!(
            "{} fragments repaired, {} blocks lost since the node started",
            care.repaired_fragments, care.lost_blocks
        ))?;
    }
    if care.unprotected_segments > 0 {
        output::line(&format!(
            "{} segments have less redundancy than others: they were written when too few disks lived",
            care.unprotected_segments
        ))?;
    }
    care.problems.iter().try_for_each(|problem| output::line(problem))
}
