//! Setting up the tier: a folder or a bucket, with a key that nobody is told.

use std::path::Path;
use std::time::Duration;

use pegasus_base::ByteSize;
use pegasus_continuous::{Continuous, TierOptions, TierRule};
use pegasus_gateway::{Events, Level};
use pegasus_tier::{S3Options, Tier};
use tokio_util::sync::CancellationToken;

use crate::config::Tier as Config;

/// How long a tier that can't be set up is waited for: its folder may be mounted later.
const AGAIN_AFTER: Duration = Duration::from_secs(30);

/// Sets the tier up, as soon as that can be done; the node runs without it meanwhile.
pub(crate) async fn run(
    store: Continuous,
    config: Config,
    data: std::path::PathBuf,
    events: Events,
    stop: CancellationToken,
) {
    let Some(url) = config.url.clone() else { return };
    let mut told = false;
    loop {
        let (config, data, url, store) = (config.clone(), data.clone(), url.clone(), store.clone());
        let set_up = tokio::task::spawn_blocking(move || {
            let tier = open(&config, &url, &data)?;
            store.set_tier(Some(options(tier, &config)));
            Ok::<_, String>(())
        });
        match set_up.await.expect("setting up the tier does not panic") {
            Ok(()) => return,
            Err(why) if !told => {
                told = true;
                events.report(Level::Error, "tier", format!("it is not used for now: {why}"));
            }
            Err(_) => {}
        }
        tokio::select! {
            () = tokio::time::sleep(AGAIN_AFTER) => {}
            () = stop.cancelled() => return,
        }
    }
}

fn open(config: &Config, url: &str, data: &Path) -> Result<Tier, String> {
    let opened = match url.strip_prefix("s3://") {
        Some(rest) => {
            let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            Tier::s3(&S3Options {
                bucket: bucket.to_owned(),
                prefix: prefix.to_owned(),
                endpoint: config.endpoint.clone(),
                region: config.region.clone().or_else(|| env("AWS_REGION")),
                key: key(config, data)?,
            })
        }
        None if url.contains("://") => {
            return Err(format!("{url} is neither a folder nor s3://bucket/prefix"));
        }
        None => {
            let folder = data.join(url);
            // Only the last part: what holds it has to be mounted.
            if !folder.is_dir() {
                std::fs::create_dir(&folder)
                    .map_err(|error| format!("{}: {error}", folder.display()))?;
            }
            Tier::folder(&folder)
        }
    };
    opened.map_err(|error| error.to_string())
}

fn options(tier: Tier, config: &Config) -> TierOptions {
    let overrides = config.stream.iter().map(|stream| (stream.name.clone(), stream.after));
    let rule = TierRule {
        after: config.after,
        overrides: overrides.collect(),
        free_percent: config.free_percent,
        keep_played: config.keep_played,
    };
    TierOptions { tier, rule, bytes_per_s_max: config.bandwidth.map(ByteSize::bytes) }
}

/// The key, from its file or the environment; `None` if requests are not to be signed.
fn key(config: &Config, data: &Path) -> Result<Option<(String, String)>, String> {
    let Some(path) = &config.credentials else {
        return Ok(env("AWS_ACCESS_KEY_ID").zip(env("AWS_SECRET_ACCESS_KEY")));
    };
    let path = data.join(path);
    let text =
        std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    parse_key(&text).map(Some).ok_or_else(|| {
        format!("{} does not hold two lines: the key's name, the key", path.display())
    })
}

fn parse_key(text: &str) -> Option<(String, String)> {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let key = (lines.next()?.to_owned(), lines.next()?.to_owned());
    lines.next().is_none().then_some(key)
}

fn env(key: &str) -> Option<String> {
    std::env::var(key).ok().filter(|value| !value.is_empty())
}

/// Notices that the tier can't be used, and that it can again, and says so once.
#[derive(Debug, Default)]
pub(crate) struct TierEvents {
    trouble: Option<String>,
}

impl TierEvents {
    /// What is new since the last look.
    pub(crate) fn note(&mut self, store: &Continuous) -> Option<(Level, String)> {
        let status = store.tier_status()?;
        let now = status.out.trouble.or(status.back.trouble).or(status.trouble);
        let before = std::mem::replace(&mut self.trouble, now.clone());
        match (before, now) {
            (None, Some(why)) => Some((Level::Warning, why)),
            (Some(_), None) => Some((Level::Info, format!("{} can be used again", status.place))),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_two_lines() {
        let key = Some(("name".to_owned(), "key".to_owned()));
        assert_eq!(parse_key("name\nkey\n"), key);
        assert_eq!(parse_key("\n  name \r\n\nkey"), key);
        assert_eq!(parse_key("name"), None);
        assert_eq!(parse_key("name\nkey\nmore"), None);
    }

    #[test]
    fn a_tier_is_a_folder_or_a_bucket() {
        let data = tempfile::tempdir().unwrap();
        let open = |url: &str| open(&Config::default(), url, data.path());
        assert!(open("objects").unwrap().place().ends_with("objects"));
        assert!(open("not/there").unwrap_err().contains("not/there"));
        assert_eq!(open("s3://films/a/b").unwrap().place(), "s3://films/a/b");
        assert!(open("ftp://films").unwrap_err().contains("neither"));
    }
}
