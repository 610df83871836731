//! `pegasus status`.

use std::time::Duration;

use pegasus_base::{BitRate, ByteSize, format_duration};
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
    trouble: Option<String>,
}

#[derive(Deserialize)]
struct Store {
    data_columns: u8,
    parity_columns: u8,
    capacity_bytes: u64,
    used_bytes: u64,
    disks: Vec<Disk>,
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
    for mount in &status.files.mounts {
        output::line(&format!("files     {mount}"))?;
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
