//! `pegasus quota set|list|remove`.

use pegasus_base::ByteSize;
use serde::Deserialize;
use serde_json::{Value, json};

use super::mount::text;
use crate::cli::Quota;
use crate::client::Client;
use crate::{Failure, output};

const PATH: &str = "/api/v1/quotas";

#[derive(Deserialize)]
struct Row {
    path: String,
    bytes: Option<u64>,
    files: Option<u64>,
    used_bytes: u64,
    used_files: u64,
    counting: bool,
}

pub(crate) fn run(client: &Client, command: &Quota, json: bool) -> Result<(), Failure> {
    match command {
        Quota::List => {
            let answer: Value = client.get(PATH, &[])?;
            if json { output::json(&answer) } else { table(serde_json::from_value(answer)?) }
        }
        Quota::Set { dir, bytes, files } => {
            let path = text(&std::path::absolute(dir)?)?;
            let bytes = bytes.map(ByteSize::bytes);
            let body = json!({ "path": path, "bytes": bytes, "files": files });
            let answer = client.send("PUT", PATH, &[], Some(&body))?;
            if json { output::json(&answer) } else { table(vec![serde_json::from_value(answer)?]) }
        }
        Quota::Remove { dir } => {
            let path = text(&std::path::absolute(dir)?)?;
            let answer = client.send("DELETE", PATH, &[("path", path.clone())], None)?;
            let done = format!("{path} has no quota any more");
            if json { output::json(&answer) } else { output::line(&done) }
        }
    }
}

fn table(rows: Vec<Row>) -> Result<(), Failure> {
    let head = ["DIRECTORY", "BYTES", "OF", "%", "FILES", "OF", "%", ""];
    let rows: Vec<Vec<String>> = rows.into_iter().map(cells).collect();
    output::table(&head, &[1, 2, 3, 4, 5, 6], &rows)
}

fn cells(row: Row) -> Vec<String> {
    let size = |bytes| ByteSize(bytes).to_string();
    let limit = |limit: Option<String>| limit.unwrap_or_else(|| "-".to_owned());
    vec![
        row.path,
        size(row.used_bytes),
        limit(row.bytes.map(size)),
        percent(row.used_bytes, row.bytes),
        row.used_files.to_string(),
        limit(row.files.map(|files| files.to_string())),
        percent(row.used_files, row.files),
        if row.counting { "counting".to_owned() } else { String::new() },
    ]
}

/// How much is used of a limit, rounded up: 100 means that it is reached.
fn percent(used: u64, limit: Option<u64>) -> String {
    match limit {
        None => "-".to_owned(),
        Some(0) => "100".to_owned(),
        Some(limit) => (u128::from(used) * 100).div_ceil(u128::from(limit)).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_is_of_the_limit() {
        assert_eq!(percent(5, None), "-");
        assert_eq!(percent(5, Some(10)), "50");
        assert_eq!(percent(0, Some(10)), "0");
        assert_eq!(percent(3, Some(0)), "100");
        assert_eq!(percent(u64::MAX, Some(u64::MAX / 2)), "201");
    }
}
