//! `pegasus source list|add|remove`.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::cli::Source;
use crate::client::Client;
use crate::{Failure, output};

#[derive(Deserialize)]
struct Row {
    name: String,
    url: String,
    state: String,
    error: Option<String>,
}

pub(crate) fn run(client: &Client, command: &Source, json: bool) -> Result<(), Failure> {
    match command {
        Source::List => list(client, json),
        Source::Add { name, url } => {
            let body = json!({ "name": name, "url": url });
            let answer = client.send("POST", "/api/v1/sources", &[], Some(&body))?;
            if json { output::json(&answer) } else { output::line(&format!("pulling {name}")) }
        }
        Source::Remove { name } => {
            let answer = client.send("DELETE", &format!("/api/v1/sources{name}"), &[], None)?;
            if json { output::json(&answer) } else { output::line(&format!("removed {name}")) }
        }
    }
}

fn list(client: &Client, json: bool) -> Result<(), Failure> {
    let answer: Value = client.get("/api/v1/sources", &[])?;
    if json {
        return output::json(&answer);
    }
    let rows: Vec<Row> = serde_json::from_value(answer)?;
    let cells = |row: Row| vec![row.name, row.state, row.url, row.error.unwrap_or_default()];
    let rows: Vec<Vec<String>> = rows.into_iter().map(cells).collect();
    output::table(&["NAME", "STATE", "FROM", "PROBLEM"], &[], &rows)
}
