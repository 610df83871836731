//! `pegasus recording list|delete`.

use std::io::{BufRead as _, IsTerminal as _};

use pegasus_base::{ByteSize, StreamName, Time, When, format_duration};
use pegasus_continuous::Span;
use serde_json::Value;

use super::{range_query, stream_path};
use crate::cli::Recording;
use crate::client::Client;
use crate::{Failure, output};

pub(crate) fn run(client: &Client, command: &Recording, json: bool) -> Result<(), Failure> {
    match command {
        Recording::List { name, from, to } => list(client, name, *from, *to, json),
        Recording::Delete { name, to, yes } => delete(client, name, *to, *yes),
    }
}

fn list(
    client: &Client,
    name: &StreamName,
    from: Option<When>,
    to: Option<When>,
    json: bool,
) -> Result<(), Failure> {
    let query = range_query(from, to, None)?;
    let answer: Value = client.get(&stream_path(name, "/recordings"), &query)?;
    if json {
        return output::json(&answer);
    }
    let spans: Vec<Span> = serde_json::from_value(answer)?;
    let row = |s: &Span| {
        let length = format_duration(s.end.since(s.start));
        vec![
            s.start.to_string(),
            s.end.to_string(),
            length,
            ByteSize(s.bytes).to_string(),
            s.units.to_string(),
        ]
    };
    let rows: Vec<Vec<String>> = spans.iter().map(row).collect();
    output::table(&["START", "END", "LENGTH", "SIZE", "UNITS"], &[2, 3, 4], &rows)
}

fn delete(client: &Client, name: &StreamName, to: Option<When>, yes: bool) -> Result<(), Failure> {
    let end = to.map(|when| when.resolve(super::now(), None));
    let what = match end {
        Some(end) => format!("everything before {end} of {name}"),
        None => format!("the whole recording of {name}"),
    };
    if !yes && !confirmed(&what)? {
        return Err(Failure::new("nothing was deleted"));
    }
    let query = end.map(|end: Time| ("to", end.to_string()));
    let query: Vec<(&str, String)> = query.into_iter().collect();
    client.send("DELETE", &stream_path(name, "/recordings"), &query, None)?;
    output::line(&format!("deleted {what}"))
}

/// Asks; only a person at a terminal can agree.
fn confirmed(what: &str) -> Result<bool, Failure> {
    let input = std::io::stdin();
    if !input.is_terminal() {
        return Err(Failure::new(format!("to delete {what} without being asked, add --yes")));
    }
    output::line(&format!("Delete {what}? Type yes:"))?;
    let mut answer = String::new();
    input.lock().read_line(&mut answer)?;
    Ok(answer.trim() == "yes")
}
