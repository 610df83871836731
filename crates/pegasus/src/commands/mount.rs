//! `pegasus mount` and `pegasus unmount`: the files of a running node on this machine.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::client::Client;
use crate::{Failure, output};

const PATH: &str = "/api/v1/mounts";

pub(crate) fn mount(client: &Client, dir: &Path, json: bool) -> Result<(), Failure> {
    // Made with the rights of whoever asks, not with the node's.
    if std::fs::symlink_metadata(dir).is_err_and(|e| e.kind() == std::io::ErrorKind::NotFound) {
        std::fs::create_dir_all(dir)
            .map_err(|error| Failure::new(format!("can't make {}: {error}", dir.display())))?;
    }
    let path = text(&absolute(dir)?)?;
    let answer = client.send("POST", PATH, &[], Some(&json!({ "path": path })))?;
    if json { output::json(&answer) } else { output::line(&format!("mounted on {path}")) }
}

pub(crate) fn unmount(client: &Client, dir: &Path, json: bool) -> Result<(), Failure> {
    let path = text(&absolute(dir)?)?;
    let answer = client.send("DELETE", PATH, &[("path", path.clone())], None)?;
    if json { output::json(&answer) } else { output::line(&format!("unmounted {path}")) }
}

/// The directory as the node knows it, without looking into what is mounted there: it may not answer.
fn absolute(dir: &Path) -> Result<PathBuf, Failure> {
    let path = std::path::absolute(dir)?;
    let Some((parent, name)) = path.parent().zip(path.file_name()) else { return Ok(path) };
    Ok(parent.canonicalize().map_or_else(|_| path.clone(), |parent| parent.join(name)))
}

pub(super) fn text(path: &Path) -> Result<String, Failure> {
    let text = path.to_str().map(str::to_owned);
    text.ok_or_else(|| Failure::new(format!("{} is not Unicode", path.display())))
}
