//! Times as people type them.

use std::str::FromStr;
use std::time::Duration;

use crate::{Time, parse_duration};

/// A time as a user gives it: absolute, `now`, before now (`-10m`) or after some start (`+30s`).
///
/// Durations are numbers with units `ms`, `s`, `m`, `h`, `d`, written together: `1h30m`, `1.5s`. A
/// bare number is seconds.
///
/// ```
/// use pegasus_base::{Time, When};
/// let now = Time::from_secs(1_000);
/// assert_eq!("-10m".parse::<When>()?.resolve(now, None), Time::from_secs(400));
/// assert_eq!("+30s".parse::<When>()?.resolve(now, Some(Time::from_secs(5))), Time::from_secs(35));
/// # Ok::<(), pegasus_base::WhenError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// That very instant.
    At(Time),
    /// The current time.
    Now,
    /// So long before now.
    Ago(Duration),
    /// So long after the start of the range it ends, or after now where it starts one.
    Later(Duration),
}

/// Why a text is not a time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a time (write 2026-11-20T03:12:07Z, now, -10m or +30s)")]
pub struct WhenError(String);

impl When {
    /// The instant meant, given the present and, for the end of a range, the range's start.
    #[must_use]
    pub fn resolve(self, now: Time, start: Option<Time>) -> Time {
        match self {
            Self::At(t) => t,
            Self::Now => now,
            Self::Ago(d) => now - d,
            Self::Later(d) => start.unwrap_or(now) + d,
        }
    }
}

impl FromStr for When {
    type Err = WhenError;

    fn from_str(text: &str) -> Result<Self, WhenError> {
        let text = text.trim();
        let bad = || WhenError(text.chars().take(60).collect());
        if text == "now" {
            Ok(Self::Now)
        } else if let Some(rest) = text.strip_prefix('-') {
            parse_duration(rest).map(Self::Ago).ok_or_else(bad)
        } else if let Some(rest) = text.strip_prefix('+') {
            parse_duration(rest).map(Self::Later).ok_or_else(bad)
        } else {
            text.parse().map(Self::At).map_err(|_| bad())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_people_type() {
        assert_eq!("now".parse(), Ok(When::Now));
        assert_eq!("-1h30m".parse(), Ok(When::Ago(Duration::from_secs(5_400))));
        assert_eq!("+1.5s".parse(), Ok(When::Later(Duration::from_millis(1_500))));
        assert_eq!("+90".parse(), Ok(When::Later(Duration::from_secs(90))));
        assert_eq!("1970-01-01T00:00:01Z".parse(), Ok(When::At(Time::from_secs(1))));
        for text in ["", "-", "+", "+5x", "soon", "-1.2.3s", "+inf"] {
            assert!(text.parse::<When>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_parses_or_fails(text in ".{0,60}") {
            let _ = text.parse::<When>();
        }
    }
}
