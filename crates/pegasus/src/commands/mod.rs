//! One module for each noun of the command line.

pub(crate) mod config;
pub(crate) mod disk;
pub(crate) mod export;
pub(crate) mod mount;
pub(crate) mod plan;
pub(crate) mod playback;
mod plot;
pub(crate) mod profile;
pub(crate) mod quota;
pub(crate) mod recording;
mod rotate;
pub(crate) mod simulate;
pub(crate) mod snapshot;
pub(crate) mod source;
pub(crate) mod status;
pub(crate) mod store;
pub(crate) mod stream;
pub(crate) mod tier;
mod trial;
pub(crate) mod up;

use clap::CommandFactory as _;
use pegasus_base::{StreamName, Time, When};

use crate::Failure;
use crate::cli::Cli;

/// Prints a completion script.
pub(crate) fn completion(shell: clap_complete::Shell) {
    let mut command = Cli::command();
    clap_complete::generate(shell, &mut command, "pegasus", &mut std::io::stdout());
}

/// The API path of something of a stream.
fn stream_path(name: &StreamName, what: &str) -> String {
    format!("/api/v1/streams{name}{what}")
}

/// The present, by this machine's clock.
fn now() -> Time {
    use pegasus_base::Clock as _;
    pegasus_base::SystemClock.now()
}

/// A range as query parameters: times as they are meant now, on this side.
fn range_query(
    from: Option<When>,
    to: Option<When>,
    origin: Option<Time>,
) -> Result<Vec<(&'static str, String)>, Failure> {
    let now = now();
    let start = from.map(|when| when.resolve(now, None)).or(origin);
    let end = to.map(|when| when.resolve(now, start));
    if let (Some(start), Some(end)) = (start, end)
        && end <= start
    {
        return Err(Failure::new(format!("--to ({end}) is not after --from ({start})")));
    }
    let from = start.map(|t| ("from", t.to_string()));
    Ok(from.into_iter().chain(end.map(|t| ("to", t.to_string()))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_range_counts_from_its_start() {
        let from: When = "2026-11-20T03:12:00Z".parse().unwrap();
        let query = range_query(Some(from), Some("+30s".parse().unwrap()), None).unwrap();
        assert_eq!(query[1], ("to", "2026-11-20T03:12:30.000000000Z".to_owned()));
        assert!(
            range_query(Some("now".parse().unwrap()), Some("-1m".parse().unwrap()), None).is_err()
        );
        assert_eq!(range_query(None, None, None).unwrap(), []);
    }
}
