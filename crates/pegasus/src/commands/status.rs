//! `pegasus status`.

use std::time::Duration;

use pegasus_base::{BitRate, ByteSize, Time, format_duration};
use serde::Deserialize;
use serde_json::Value;

use crate::client::Client;
use crate::{Failure, output};

#[derive(Deserialize)]
struct Status {
    version: String,
    uptime_s: f64,
    streams: u64,
    ingest_bps: u64,
    store: Store,
    #[serde(default)]
    files: Files,
}

#[derive(Default, Deserialize)]
struct Files {
    mounts: Vec<String>,
    #[serde(default)]
    snapshots: u64,
    trouble: Option<String>,
}

#[derive(Deserialize)]
struct Store {
    data_columns: u8,
    parity_columns: u8,
    capacity_bytes: u64,
    used_bytes: u64,
    #[serde(default)]
    forecast: Forecast,
    /// What is wrong, if anything is.
    reason: Option<String>,
    #[serde(default)]
    intake: Intake,
    disks: Vec<Disk>,
}

#[derive(Default, Deserialize)]
struct Forecast {
    full_at: Option<Time>,
    keeps_s: Option<u64>,
}

#[derive(Default, Deserialize)]
struct Intake {
    takes_percent: Option<f64>,
    limit_percent: Option<f64>,
    refused: u64,
}

#[derive(Deserialize)]
struct Disk {
    path: String,
    state: String,
    errors: u64,
}

pub(crate) fn run(client: &Client, json: bool) -> Result<(), Failure> {
    let answer: Value = client.get("/api/v1/status", &[])?;
    if json {
        return output::json(&answer);
    }
    let status: Status = serde_json::from_value(answer)?;
    let up = format_duration(Duration::from_secs_f64(status.uptime_s.max(0.0)));
    let (used, capacity) = (status.store.used_bytes, status.store.capacity_bytes);
    let percent = used as f64 * 100.0 / capacity.max(1) as f64;
    output::line(&format!("version   {}, up {up}", status.version))?;
    output::line(&format!(
        "streams   {}, {} coming in",
        status.streams,
        BitRate(status.ingest_bps)
    ))?;
    output::line(&format!(
        "store     {} of {} used ({percent:.1} %), stripes of {} + {}",
        ByteSize(used),
        ByteSize(capacity),
        status.store.data_columns,
        status.store.parity_columns
    ))?;
    if let Some(words) = forecast(&status.store.forecast, super::now()) {
        output::line(&format!("          {words}"))?;
    }
    if let Some(words) = intake(&status.store.intake) {
        output::line(&format!("          {words}"))?;
    }
    if let Some(reason) = &status.store.reason {
        output::line(&format!("          {reason}"))?;
    }
    for mount in &status.files.mounts {
        output::line(&format!("files     {mount}"))?;
    }
    if status.files.snapshots > 0 {
        output::line(&format!("snapshots {}", status.files.snapshots))?;
    }
    if let Some(trouble) = &status.files.trouble {
        output::line(&format!("files     changes can't be written: {trouble}"))?;
    }
    output::line("")?;
    let rows: Vec<Vec<String>> = status
        .store
        .disks
        .into_iter()
        .map(|disk| vec![disk.path, disk.state, disk.errors.to_string()])
        .collect();
    output::table(&["DISK", "STATE", "ERRORS"], &[2], &rows)
}

/// What recordings take of the disks' time.
fn intake(intake: &Intake) -> Option<String> {
    let (takes, limit) = intake.takes_percent.zip(intake.limit_percent)?;
    let refused = match intake.refused {
        0 => String::new(),
        refused => format!("; {refused} refused since the node started"),
    };
    Some(format!(
        "recordings take {takes:.0} % of the disks' time, and may take {limit:.0} %{refused}"
    ))
}

/// When the oldest recordings begin to go, and how far they reach back then.
fn forecast(forecast: &Forecast, now: Time) -> Option<String> {
    let (full_at, keeps_s) = (forecast.full_at?, forecast.keeps_s?);
    // Seconds say nothing of what is days away.
    let rounded = |s: u64| match s {
        0..600 => s,
        600..172_800 => s / 60 * 60,
        _ => s / 3_600 * 3_600,
    };
    let words = |s: u64| format_duration(Duration::from_secs(rounded(s)));
    let keeps = words(keeps_s);
    Some(match full_at.since(now).as_secs() {
        0 => format!("at this rate recordings reach back {keeps}; the oldest go"),
        left => {
            format!("at this rate full in {}, and recordings reach back {keeps} then", words(left))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forecast_is_told_in_words() {
        let now = Time::from_secs(1_700_000_000);
        let later = |s: i64| Some(Time::from_secs(1_700_000_000 + s));
        let told = |full_at, keeps_s| forecast(&Forecast { full_at, keeps_s }, now);
        assert_eq!(told(None, None), None);
        let full = told(now.into(), Some(90_061)).unwrap();
        assert!(full.starts_with("at this rate recordings reach back 1d"), "{full}");
        let filling = told(later(3_700), Some(500_000)).unwrap();
        assert!(filling.starts_with("at this rate full in 1h"), "{filling}");
    }
}
