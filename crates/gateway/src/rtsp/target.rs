//! What a URL of a request means: a stream, live or a recorded range of it, or one of its tracks.

use pegasus_base::{NameError, StreamName, Time, TimeRange, When, WhenError};
use url::Url;

/// What a request's URL points at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The stream.
    pub name: StreamName,
    /// The recorded range asked for with `?from=&to=`; none is the live stream.
    pub recorded: Option<TimeRange>,
    /// The track, if the URL ends in `/trackID=N`.
    pub track: Option<usize>,
}

/// Why a URL means nothing here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// Not a URL of this protocol.
    #[error("'{0}' is not an rtsp:// URL")]
    NotRtsp(String),
    /// The path is no stream name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// `from` or `to` is no time.
    #[error("{parameter}={source}")]
    When {
        /// Which of the two.
        parameter: &'static str,
        /// What is wrong with it.
        source: WhenError,
    },
    /// The range is empty.
    #[error("the range ends ({1}) before it starts ({0})")]
    Empty(Time, Time),
}

/// What the server calls track `index` in the descriptions it gives. No stream name may hold an
/// equals sign, so the two can't be confused.
#[must_use]
pub fn control_of(index: usize) -> String {
    format!("trackID={index}")
}

impl Target {
    /// Reads a URL. Times relative to the present (`from=-10m`) are resolved with `now`.
    ///
    /// Clients make a track's URL by appending its control to the stream's, query or not; so the
    /// track is looked for at the very end.
    ///
    /// # Errors
    /// If it is no RTSP URL, names no stream, or asks for no possible range.
    pub fn parse(url: &str, now: Time) -> Result<Self, TargetError> {
        let (stream_url, track) = split_track(url);
        let bad = || TargetError::NotRtsp(url.chars().take(120).collect());
        let parsed = Url::parse(stream_url).map_err(|_| bad())?;
        if !matches!(parsed.scheme(), "rtsp" | "rtsps" | "rtspu") {
            return Err(bad());
        }
        let name = StreamName::from_path(parsed.path())?;
        Ok(Self { name, recorded: recorded(&parsed, now)?, track })
    }
}

fn split_track(url: &str) -> (&str, Option<usize>) {
    let parts = url.trim_end_matches('/').rsplit_once("/trackID=");
    match parts.and_then(|(stream, index)| Some((stream, index.parse().ok()?))) {
        Some((stream, index)) => (stream, Some(index)),
        None => (url, None),
    }
}

fn recorded(url: &Url, now: Time) -> Result<Option<TimeRange>, TargetError> {
    let value = |name: &str| {
        // Not the form decoding of `query_pairs`: there a plus is a space, here it is `+30s`.
        let query = url.query()?.trim_end_matches('/');
        let value = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
        Some(percent_decode(value))
    };
    let when = |parameter: &'static str| {
        value(parameter)
            .map(|text| text.parse::<When>())
            .transpose()
            .map_err(|source| TargetError::When { parameter, source })
    };
    let (from, to) = (when("from")?, when("to")?);
    if from.is_none() && to.is_none() {
        return Ok(None);
    }
    let start = from.map_or(Time::MIN, |from| from.resolve(now, None));
    let end = to.map_or(Time::MAX, |to| to.resolve(now, from.is_some().then_some(start)));
    if end <= start {
        return Err(TargetError::Empty(start, end));
    }
    Ok(Some(TimeRange::new(start, end)))
}

/// Decodes `%41` to `A`; what is not such an escape stays.
#[must_use]
pub fn percent_decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        let digits = behind.get(..2).filter(|d| d.iter().all(u8::is_ascii_hexdigit));
        let code = digits.and_then(|d| u8::from_str_radix(std::str::from_utf8(d).ok()?, 16).ok());
        if let (b'%', Some(code)) = (byte, code) {
            bytes.push(code);
            rest = &behind[2..];
        } else {
            bytes.push(byte);
            rest = behind;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(url: &str) -> Result<Target, TargetError> {
        Target::parse(url, Time::from_secs(1_000))
    }

    #[test]
    fn what_clients_ask_for() {
        let live = parse("rtsp://127.0.0.1:8554/cam/door").unwrap();
        assert_eq!(live.name.as_str(), "/cam/door");
        assert_eq!((live.recorded, live.track), (None, None));
        assert_eq!(parse("rtsp://h/cam/door/").unwrap(), live);
        assert_eq!(parse("rtsp://user:pass@h/cam/door/trackID=1/").unwrap().track, Some(1));

        let range = TimeRange::new(Time::from_secs(400), Time::from_secs(430));
        for url in [
            "rtsp://h/cam?from=-10m&to=+30s/trackID=0",
            "rtsp://h/cam/?from=-10m&to=%2B30s/trackID=0",
            "rtsp://h/cam?from=1970-01-01T00:06:40Z&to=1970-01-01T00:07:10Z/trackID=0",
        ] {
            let target = parse(url).unwrap();
            assert_eq!((target.recorded, target.track), (Some(range), Some(0)), "{url}");
        }
        assert_eq!(
            parse("rtsp://h/cam?to=now").unwrap().recorded,
            Some(TimeRange::new(Time::MIN, Time::from_secs(1_000)))
        );
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (url, why) in [
            ("*", "not an rtsp:// URL"),
            ("http://h/cam", "not an rtsp:// URL"),
            ("rtsp://h/", "not a stream name"),
            ("rtsp://h/cam?from=soon", "from='soon' is not a time"),
            ("rtsp://h/cam?from=now&to=-1m", "before it starts"),
        ] {
            let error = parse(url).unwrap_err().to_string();
            assert!(error.contains(why), "{url}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_url_is_read_or_refused(text in ".{0,60}", tail in "[-%a-z0-9/?&=+:.]{0,60}") {
            let _ = parse(&text);
            let _ = parse(&format!("rtsp://h/cam{tail}"));
            let _ = parse(&format!("rtsp://h/cam?from={tail}"));
        }
    }
}
