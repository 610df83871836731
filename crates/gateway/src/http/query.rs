//! Time ranges in queries.

use pegasus_base::{Time, TimeRange, When};
use serde::Deserialize;
use utoipa::IntoParams;

use super::error::ApiError;

/// `?from=&to=`, as people and programs write them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Between {
    /// Where the range begins: RFC 3339, `now` or `-10m`. Left out: at the beginning.
    #[param(example = "2026-11-20T03:12:00Z")]
    pub(crate) from: Option<String>,
    /// Where it ends: RFC 3339, `now`, `-10m`, or `+30s` from its beginning. Left out: at the end.
    #[param(example = "+30s")]
    pub(crate) to: Option<String>,
}

impl Between {
    /// Whether neither end is given.
    pub(crate) fn is_all(&self) -> bool {
        self.from.is_none() && self.to.is_none()
    }

    /// Whether both ends mean the same whenever they are read.
    pub(crate) fn is_absolute(&self) -> bool {
        let fixed = |text: &Option<String>| {
            text.as_deref().is_some_and(|t| matches!(parse(t), Ok(When::At(_) | When::Later(_))))
        };
        matches!(self.from.as_deref().map(parse), Some(Ok(When::At(_)))) && fixed(&self.to)
    }

    /// The interval meant.
    pub(crate) fn resolve(&self, now: Time) -> Result<TimeRange, ApiError> {
        let from = self.from.as_deref().map(parse).transpose()?;
        let to = self.to.as_deref().map(parse).transpose()?;
        let start = from.map(|when| when.resolve(now, None));
        let end = to.map(|when| when.resolve(now, start));
        let range = TimeRange::new(start.unwrap_or(Time::MIN), end.unwrap_or(Time::MAX));
        if range.is_empty() {
            let text = format!(
                "the range is empty: it ends at {} and begins at {}",
                range.end, range.start
            );
            return Err(ApiError::bad(text));
        }
        Ok(range)
    }
}

/// In a query `+` stands for a space, and few remember to write `%2B`: no time has a space of its own.
fn parse(text: &str) -> Result<When, ApiError> {
    text.replace(' ', "+")
        .parse()
        .map_err(|e: pegasus_base::WhenError| ApiError::bad(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn between(from: &str, to: &str) -> Between {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Between { from: some(from), to: some(to) }
    }

    #[test]
    fn ranges_as_people_write_them() {
        let now = Time::from_secs(10_000);
        let at = |s| Time::from_secs(s);
        for (from, to, range) in [
            ("", "", TimeRange::ALL),
            ("-10m", "", TimeRange::new(at(9_400), Time::MAX)),
            ("-10m", "now", TimeRange::new(at(9_400), now)),
            ("1970-01-01T00:00:05Z", " 30s", TimeRange::new(at(5), at(35))),
            ("1970-01-01T01:00:05 01:00", "+30s", TimeRange::new(at(5), at(35))),
        ] {
            assert_eq!(between(from, to).resolve(now), Ok(range), "{from} {to}");
        }
        for (from, to) in [("soon", ""), ("now", "-10m"), ("now", "now")] {
            assert!(between(from, to).resolve(now).is_err(), "{from} {to}");
        }
    }

    #[test]
    fn absolute_ranges_stay() {
        assert!(between("1970-01-01T00:00:05Z", "+30s").is_absolute());
        assert!(!between("-5m", "+30s").is_absolute());
        assert!(!between("1970-01-01T00:00:05Z", "").is_absolute());
    }
}
