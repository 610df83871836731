//! `pegasus config sample|check`.

use pegasus_node::Config;
use serde_json::json;

use crate::cli::ConfigCommand;
use crate::{Failure, output};

pub(crate) fn run(command: &ConfigCommand, json: bool) -> Result<(), Failure> {
    match command {
        ConfigCommand::Sample => output::line(pegasus_node::SAMPLE.trim_end()),
        ConfigCommand::Check { file } => {
            Config::read(file)?;
            if json {
                output::json(&json!({ "ok": true }))
            } else {
                output::line(&format!("{} is in order", file.display()))
            }
        }
    }
}
