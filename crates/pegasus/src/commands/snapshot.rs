//! `pegasus snapshot create|list|remove`.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::cli::Snapshot;
use crate::client::Client;
use crate::{Failure, output};

const PATH: &str = "/api/v1/snapshots";

#[derive(Deserialize)]
struct Row {
    name: String,
    time: String,
}

pub(crate) fn run(client: &Client, command: &Snapshot, json: bool) -> Result<(), Failure> {
    match command {
        Snapshot::List => list(client, json),
        Snapshot::Create { name } => {
            let to_the_second = || format!("{}Z", &super::now().to_string()[..19]);
            let name = name.clone().unwrap_or_else(to_the_second);
            let answer = client.send("POST", PATH, &[], Some(&json!({ "name": name })))?;
            let text = format!("made {name}; it is .snapshots/{name} where the files are mounted");
            if json { output::json(&answer) } else { output::line(&text) }
        }
        Snapshot::Remove { name } => {
            let answer = client.send("DELETE", PATH, &[("name", name.clone())], None)?;
            if json { output::json(&answer) } else { output::line(&format!("removed {name}")) }
        }
    }
}

fn list(client: &Client, json: bool) -> Result<(), Failure> {
    let answer: Value = client.get(PATH, &[])?;
    if json {
        return output::json(&answer);
    }
    let rows: Vec<Row> = serde_json::from_value(answer)?;
    let rows: Vec<Vec<String>> = rows.into_iter().map(|row| vec![row.name, row.time]).collect();
    output::table(&["NAME", "MADE"], &[], &rows)
}
