//! `pegasus tier status|out|in`.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use pegasus_base::{ByteSize, StreamName, format_duration};
use pegasus_continuous::{OutRange, StageStatus, Staged, TierStatus};
use serde_json::{Value, json};

use super::{range_query, stream_path};
use crate::cli::{Tier, TierRange};
use crate::client::Client;
use crate::{Failure, output};

const PATH: &str = "/api/v1/tier";
/// How often progress is asked for.
const LOOK_EVERY: Duration = Duration::from_millis(300);

pub(crate) fn run(client: &Client, command: &Tier, json: bool) -> Result<(), Failure> {
    match command {
        Tier::Status { name: None } => {
            let answer: Value = client.get(PATH, &[])?;
            if json { output::json(&answer) } else { show(&serde_json::from_value(answer)?) }
        }
        Tier::Status { name: Some(name) } => {
            let answer: Value = client.get(&stream_path(name, "/tier"), &[])?;
            if json { output::json(&answer) } else { list(serde_json::from_value(answer)?) }
        }
        Tier::Out(range) => stage(client, range, "out", json),
        Tier::In(range) => stage(client, range, "in", json),
    }
}

/// Asks for segments to be moved, and waits for it if that is wanted.
fn stage(client: &Client, range: &TierRange, to: &str, json: bool) -> Result<(), Failure> {
    let query = range_query(range.from, range.to, None)?;
    let path = stream_path(&range.name, "/tier");
    let answer = client.send("POST", &path, &query, Some(&json!({ "to": to })))?;
    let staged: Staged = serde_json::from_value(answer.clone())?;
    if range.wait {
        wait(client, to, &range.name)?;
    }
    if json {
        return output::json(&answer);
    }
    let (segments, bytes) = (staged.segments, ByteSize(staged.bytes));
    let done = match (range.wait, to) {
        (false, "out") => "are to go out",
        (false, _) => "are to come back",
        (true, "out") => "are out",
        (true, _) => "are back",
    };
    let takes = staged.takes_ms.filter(|_| !range.wait && segments > 0);
    let takes = takes.map_or_else(String::new, |ms| {
        format!(", in about {}", format_duration(Duration::from_secs(ms.div_ceil(1_000))))
    });
    output::line(&format!("{segments} segments of {}, {bytes}, {done}{takes}", range.name))
}

/// Shows progress until nothing waits any more.
fn wait(client: &Client, to: &str, name: &StreamName) -> Result<(), Failure> {
    let bar = if output::is_watched() { ProgressBar::new(0) } else { ProgressBar::hidden() };
    let style = ProgressStyle::with_template("{msg} {wide_bar} {bytes}/{total_bytes}, {eta} left");
    bar.set_style(style.expect("the template is right"));
    bar.set_message(name.to_string());
    let (mut most, mut failures) = (0, None);
    loop {
        let status: TierStatus = client.get(PATH, &[])?;
        let stage = if to == "out" { status.out } else { status.back };
        let failed = stage.failures > *failures.get_or_insert(stage.failures);
        if let Some(trouble) = stage.trouble.filter(|_| failed) {
            bar.abandon();
            return Err(Failure::new(format!("{trouble}; it is tried again")));
        }
        if stage.waiting_bytes == 0 {
            bar.finish_and_clear();
            return Ok(());
        }
        most = stage.waiting_bytes.max(most);
        bar.set_length(most);
        bar.set_position(most - stage.waiting_bytes);
        std::thread::sleep(LOOK_EVERY);
    }
}

fn show(status: &TierStatus) -> Result<(), Failure> {
    output::line(&status.place)?;
    if let (Some(segments), Some(bytes)) = (status.out_segments, status.out_bytes) {
        output::line(&format!("{segments} segments are out, {}", ByteSize(bytes)))?;
    }
    let row = |what: &str, stage: &StageStatus| {
        let rate = stage.bytes_per_s.map(|rate| format!("{}/s", ByteSize(rate)));
        vec![
            what.to_owned(),
            ByteSize(stage.waiting_bytes).to_string(),
            ByteSize(stage.bytes).to_string(),
            rate.unwrap_or_else(|| "-".to_owned()),
            stage.failures.to_string(),
            stage.trouble.clone().unwrap_or_default(),
        ]
    };
    let rows = [row("out", &status.out), row("in", &status.back)];
    output::table(&["", "WAITING", "MOVED", "RATE", "FAILURES", ""], &[1, 2, 3, 4], &rows)?;
    let told = [
        (status.dead_objects, "objects are to be deleted"),
        (status.unknown_objects, "objects belong to no recording that the store knows"),
        (status.missing_objects, "segments have lost their object"),
    ];
    for (count, what) in told {
        if count > 0 {
            output::line(&format!("{count} {what}"))?;
        }
    }
    status.trouble.iter().try_for_each(|trouble| output::line(trouble))
}

fn list(out: Vec<OutRange>) -> Result<(), Failure> {
    let row = |run: &OutRange| {
        let back = run.back_in_ms.map(|ms| format_duration(Duration::from_millis(ms)));
        vec![
            run.start.to_string(),
            run.end.to_string(),
            format_duration(run.end.since(run.start)),
            ByteSize(run.bytes).to_string(),
            back.unwrap_or_else(|| "-".to_owned()),
        ]
    };
    let rows: Vec<Vec<String>> = out.iter().map(row).collect();
    output::table(&["START", "END", "LENGTH", "SIZE", "BACK IN"], &[2, 3, 4], &rows)
}
