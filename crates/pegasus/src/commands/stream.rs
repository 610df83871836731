//! `pegasus stream list`.

use pegasus_base::BitRate;
use serde::Deserialize;
use serde_json::Value;

use crate::cli::Stream;
use crate::client::Client;
use crate::{Failure, output};

#[derive(Deserialize)]
struct Row {
    name: String,
    state: String,
    tracks: Vec<Track>,
    recording: bool,
    bitrate_bps: u64,
}

#[derive(Deserialize)]
struct Track {
    codec: String,
    width: Option<u32>,
    height: Option<u32>,
}

pub(crate) fn run(client: &Client, command: &Stream, json: bool) -> Result<(), Failure> {
    let Stream::List = command;
    let answer: Value = client.get("/api/v1/streams", &[])?;
    if json {
        return output::json(&answer);
    }
    let rows: Vec<Row> = serde_json::from_value(answer)?;
    let rows: Vec<Vec<String>> = rows.into_iter().map(cells).collect();
    output::table(&["NAME", "STATE", "RECORDED", "RATE", "TRACKS"], &[3], &rows)
}

fn cells(row: Row) -> Vec<String> {
    let track = |t: Track| match (t.width, t.height) {
        (Some(w), Some(h)) if w > 0 => format!("{} {w}x{h}", t.codec),
        _ => t.codec,
    };
    let tracks: Vec<String> = row.tracks.into_iter().map(track).collect();
    let recorded = if row.recording { "now" } else { "-" };
    let rate = BitRate(row.bitrate_bps).to_string();
    vec![row.name, row.state, recorded.to_owned(), rate, tracks.join(", ")]
}
