//! `pegasus export`: part of a recording as an MP4 file.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};
use pegasus_base::{ByteSize, Time};
use pegasus_continuous::Span;
use serde_json::json;

use super::{range_query, stream_path};
use crate::cli::Export;
use crate::client::Client;
use crate::{Failure, output};

pub(crate) fn run(client: &Client, export: &Export, json: bool) -> Result<(), Failure> {
    let to_stdout = export.output == Path::new("-");
    if !to_stdout && !export.force && export.output.exists() {
        let path = export.output.display();
        return Err(Failure::new(format!("{path} exists; add --force to replace it")));
    }
    let query = range_query(export.from, export.to, origin(client, export)?)?;
    let (length, mut body) = client.download(&stream_path(&export.name, "/media.mp4"), &query)?;
    let bar = progress(length);
    if to_stdout {
        copy(&mut body, &mut std::io::stdout().lock(), &bar)?;
        return Ok(());
    }
    let bytes = save(&mut body, &export.output, &bar)?;
    if length.is_some_and(|length| length != bytes) {
        return Err(Failure::new("the node ended the file too early; what arrived was removed"));
    }
    let path = export.output.display().to_string();
    if json {
        return output::json(&json!({ "path": path, "bytes": bytes }));
    }
    output::line(&format!("{path}: {}", ByteSize(bytes)))
}

/// Where a range without `--from` begins, so that `--to +30s` means the first half minute.
fn origin(client: &Client, export: &Export) -> Result<Option<Time>, Failure> {
    if export.from.is_some() || export.to.is_none() {
        return Ok(None);
    }
    let spans: Vec<Span> = client.get(&stream_path(&export.name, "/recordings"), &[])?;
    Ok(spans.first().map(|span| span.start))
}

/// Writes beside the goal and renames: a file that is there is whole.
fn save(body: &mut impl Read, goal: &Path, bar: &ProgressBar) -> Result<u64, Failure> {
    let part = PathBuf::from(format!("{}.part", goal.display()));
    let failed = |error: std::io::Error| Failure::new(format!("{}: {error}", goal.display()));
    let mut file = File::create(&part).map_err(failed)?;
    let saved =
        copy(body, &mut file, bar).and_then(|n| file.sync_all().map(|()| n).map_err(failed));
    let saved = saved.and_then(|n| std::fs::rename(&part, goal).map(|()| n).map_err(failed));
    if saved.is_err() {
        // The first error is the one to tell.
        let _ = std::fs::remove_file(&part);
    }
    saved
}

fn copy(from: &mut impl Read, to: &mut impl Write, bar: &ProgressBar) -> Result<u64, Failure> {
    let mut buffer = vec![0; 256 << 10];
    let mut total = 0;
    loop {
        let n = from.read(&mut buffer)?;
        if n == 0 {
            bar.finish_and_clear();
            return Ok(total);
        }
        to.write_all(&buffer[..n])?;
        total += n as u64;
        bar.inc(n as u64);
    }
}

fn progress(length: Option<u64>) -> ProgressBar {
    if !output::is_watched() {
        return ProgressBar::hidden();
    }
    let style = "{bar:40} {bytes}/{total_bytes} {bytes_per_sec}, {eta} left";
    let bar = length.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
    bar.with_style(
        ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()),
    )
}
