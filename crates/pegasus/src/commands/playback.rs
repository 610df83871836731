//! `pegasus playback list|check`.

use pegasus_base::{BitRate, ByteSize, StreamName};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::cli::Playback;
use crate::client::Client;
use crate::{Failure, output};

const PATH: &str = "/api/v1/playbacks";

#[derive(Deserialize)]
struct Promises {
    guaranteed: bool,
    #[serde(default)]
    state: String,
    reason: Option<String>,
    measurement: Option<Measurement>,
    promised_percent: f64,
    recording_percent: f64,
    aside_percent: f64,
    slowdown: f64,
    fits_bps: u64,
    admitted: u64,
    refused: u64,
    withdrawn: u64,
    late_blocks: u64,
    #[serde(default)]
    waiting: u64,
    playbacks: Vec<Playing>,
}

#[derive(Deserialize)]
struct Measurement {
    disk: String,
    done_percent: f64,
}

#[derive(Deserialize)]
struct Playing {
    stream: StreamName,
    scale: f64,
    reserved_bps: u64,
    mean_bps: u64,
    peak_bps: u64,
    held_bytes: u64,
    late_blocks: u64,
}

#[derive(Deserialize)]
struct Granted {
    id: u64,
    guaranteed: bool,
    rate_bps: u64,
    starts_in_ms: u64,
}

pub(crate) fn run(client: &Client, command: &Playback, json: bool) -> Result<(), Failure> {
    match command {
        Playback::List => {
            let answer: Value = client.get(PATH, &[])?;
            if json { output::json(&answer) } else { list(serde_json::from_value(answer)?) }
        }
        Playback::Check { streams, from, scale, wait } => {
            let from = from.map(|when| when.resolve(super::now(), None).to_string());
            let wait_ms = wait.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
            let body =
                json!({ "streams": streams, "from": from, "scale": scale, "wait_ms": wait_ms });
            let patient = client.patient(wait.unwrap_or_default());
            let answer = patient.send("POST", PATH, &[], Some(&body))?;
            let granted: Granted = serde_json::from_value(answer.clone())?;
            client.send("DELETE", &format!("{PATH}/{}", granted.id), &[], None)?;
            if json { output::json(&answer) } else { output::line(&sentence(&granted)) }
        }
    }
}

fn sentence(granted: &Granted) -> String {
    if !granted.guaranteed {
        return "the node gives no promises: anything may be played, and may be late".to_owned();
    }
    let (rate, ms) = (BitRate(granted.rate_bps), granted.starts_in_ms);
    format!("it fits: {rate} would be reserved, and the first picture shown after {ms} ms")
}

fn list(promises: Promises) -> Result<(), Failure> {
    if !promises.guaranteed {
        return output::line(&none(&promises));
    }
    let head = ["STREAM", "SPEED", "RESERVED", "MEAN", "PEAK", "AHEAD", "LATE"];
    let rows: Vec<Vec<String>> = promises.playbacks.iter().map(cells).collect();
    if !rows.is_empty() {
        output::table(&head, &[1, 2, 3, 4, 5, 6], &rows)?;
    }
    let Promises { promised_percent, recording_percent, aside_percent, .. } = promises;
    let Promises { slowdown, fits_bps, .. } = promises;
    let fits = BitRate(fits_bps);
    output::line(&format!(
        "{promised_percent:.0} % of the disks' time is promised, {recording_percent:.0} % goes on recordings, {aside_percent:.0} % on playback by key pictures and backwards; {fits} more would fit"
    ))?;
    if promises.waiting > 0 {
        output::line(&format!("{} wait in line", promises.waiting))?;
    }
    if slowdown > 1.0 {
        output::line(&format!("the disks take {slowdown:.1} times as long as their profile says"))?;
    }
    if let Some(measurement) = &promises.measurement {
        output::line(&format!("{} is being measured anew{}", measurement.disk, done(measurement)))?;
    }
    let Promises { admitted, refused, withdrawn, late_blocks, .. } = promises;
    output::line(&format!(
        "{admitted} admitted, {refused} refused, {withdrawn} taken back, {late_blocks} blocks late since the node started"
    ))
}

/// Why there are none.
fn none(promises: &Promises) -> String {
    match (promises.state.as_str(), &promises.reason, &promises.measurement) {
        ("measuring", _, Some(measurement)) => {
            let (disk, done) = (&measurement.disk, done(measurement));
            format!("the node gives no promises yet: it is measuring {disk}{done}")
        }
        ("measuring", ..) => "the node gives no promises yet: it is measuring its disks".to_owned(),
        ("failed", Some(why), _) => format!("the node gives no promises: {why}"),
        _ => "the node gives no promises (guaranteed = false in [playback] of its configuration)"
            .to_owned(),
    }
}

fn done(measurement: &Measurement) -> String {
    format!(", {:.0} % done", measurement.done_percent)
}

fn cells(one: &Playing) -> Vec<String> {
    vec![
        one.stream.to_string(),
        one.scale.to_string(),
        BitRate(one.reserved_bps).to_string(),
        BitRate(one.mean_bps).to_string(),
        BitRate(one.peak_bps).to_string(),
        ByteSize(one.held_bytes).to_string(),
        one.late_blocks.to_string(),
    ]
}
