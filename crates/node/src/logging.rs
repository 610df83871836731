//! Structured logs to standard error.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

/// Starts logging as `config` says; `PEGASUS_LOG` overrides the level. Call once, early.
///
/// # Errors
/// If the level is not a valid filter.
pub fn start_logging(config: &Log) -> Result<(), String> {
    let level = std::env::var("PEGASUS_LOG").unwrap_or_else(|_| config.level.clone());
    let filter = EnvFilter::try_new(&level)
        .map_err(|error| format!("log level '{level}' makes no sense: {error}"))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match config.format {
        LogFormat::Json => builder.json().flatten_event(true).init(),
        LogFormat::Text => {
            builder.with_target(false).with_ansi(std::io::stderr().is_terminal()).init();
        }
    }
    Ok(())
}
