//! Points in time and intervals.

use std::fmt;
use std::ops::{Add, AddAssign, Sub};
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A point in time: nanoseconds since 1970-01-01T00:00:00Z, without leap seconds.
///
/// Prints and parses as RFC 3339 with nanoseconds. Arithmetic saturates: a time near the ends of
/// the range (1677 and 2262) stays there, so that nonsense from a peer can't wrap round.
///
/// ```
/// use std::time::Duration;
/// use pegasus_base::Time;
/// let t: Time = "2026-11-20T03:12:07.25Z".parse()?;
/// assert_eq!((t + Duration::from_millis(750)).to_string(), "2026-11-20T03:12:08.000000000Z");
/// # Ok::<(), pegasus_base::TimeError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(i64);

/// Why a text is not a time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a time (write 2026-11-20T03:12:07Z)")]
pub struct TimeError(pub(crate) String);

impl Time {
    /// The earliest time there is.
    pub const MIN: Self = Self(i64::MIN);
    /// The latest time there is.
    pub const MAX: Self = Self(i64::MAX);

    /// The time `ns` nanoseconds after the epoch.
    #[must_use]
    pub const fn from_ns(ns: i64) -> Self {
        Self(ns)
    }
    /// The time `ms` milliseconds after the epoch.
    #[must_use]
    pub const fn from_ms(ms: i64) -> Self {
        Self(ms.saturating_mul(1_000_000))
    }
    /// The time `s` seconds after the epoch.
    #[must_use]
    pub const fn from_secs(s: i64) -> Self {
        Self(s.saturating_mul(1_000_000_000))
    }
    /// Nanoseconds since the epoch.
    #[must_use]
    pub const fn as_ns(self) -> i64 {
        self.0
    }
    /// Seconds since the epoch, for plots and tools that want a float.
    #[must_use]
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }
    /// How long after `earlier` this is; zero if it is not after it.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        let ns = i128::from(self.0) - i128::from(earlier.0);
        Duration::from_nanos(u64::try_from(ns).unwrap_or(0))
    }
    /// Nanoseconds from `other` to this, negative if this is earlier. Saturates.
    #[must_use]
    pub const fn ns_since(self, other: Self) -> i64 {
        self.0.saturating_sub(other.0)
    }
    /// This time moved by `ns` nanoseconds, either way. Saturates.
    #[must_use]
    pub const fn offset_ns(self, ns: i64) -> Self {
        Self(self.0.saturating_add(ns))
    }
}

fn ns_of(d: Duration) -> i64 {
    i64::try_from(d.as_nanos()).unwrap_or(i64::MAX)
}

impl Add<Duration> for Time {
    type Output = Self;
    fn add(self, d: Duration) -> Self {
        self.offset_ns(ns_of(d))
    }
}

impl AddAssign<Duration> for Time {
    fn add_assign(&mut self, d: Duration) {
        *self = *self + d;
    }
}

impl Sub<Duration> for Time {
    type Output = Self;
    fn sub(self, d: Duration) -> Self {
        self.offset_ns(-ns_of(d))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = jiff::Timestamp::from_nanosecond(i128::from(self.0))
            .expect("every i64 of nanoseconds is within jiff's years");
        write!(f, "{at:.9}")
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Time {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, TimeError> {
        let bad = || TimeError(text.chars().take(60).collect());
        let at: jiff::Timestamp = text.trim().parse().map_err(|_| bad())?;
        i64::try_from(at.as_nanosecond()).map(Self).map_err(|_| bad())
    }
}

impl Serialize for Time {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The half-open interval `start..end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TimeRange {
    /// First instant inside.
    pub start: Time,
    /// First instant after it.
    pub end: Time,
}

impl TimeRange {
    /// All of time.
    pub const ALL: Self = Self { start: Time::MIN, end: Time::MAX };

    /// The interval from `start` up to `end`; empty if `end` is not after `start`.
    #[must_use]
    pub const fn new(start: Time, end: Time) -> Self {
        Self { start, end }
    }
    /// Whether nothing is inside.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.end <= self.start
    }
    /// Whether `t` is inside.
    #[must_use]
    pub fn contains(&self, t: Time) -> bool {
        self.start <= t && t < self.end
    }
    /// Whether the two have an instant in common.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.start < other.end && other.start < self.end
    }
    /// The part inside both; empty if there is none.
    #[must_use]
    pub fn intersect(&self, other: &Self) -> Self {
        Self { start: self.start.max(other.start), end: self.end.min(other.end) }
    }
    /// How long it is.
    #[must_use]
    pub fn duration(&self) -> Duration {
        self.end.since(self.start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn offsets_are_understood() {
        let t: Time = "2026-11-20T04:12:07+01:00".parse().unwrap();
        assert_eq!(t.to_string(), "2026-11-20T03:12:07.000000000Z");
        assert!("yesterday".parse::<Time>().is_err());
        assert!("2026-11-20T03:12:07".parse::<Time>().is_err(), "a zone is required");
    }

    #[test]
    fn arithmetic_stays_in_range() {
        assert_eq!(Time::MAX + Duration::from_secs(1), Time::MAX);
        assert_eq!(Time::MIN - Duration::MAX, Time::MIN);
        assert_eq!(Time::MIN.since(Time::MAX), Duration::ZERO);
        assert_eq!(Time::MAX.since(Time::MIN), Duration::from_nanos(u64::MAX));
    }

    proptest! {
        #[test]
        fn text_round_trips(ns in any::<i64>()) {
            let t = Time::from_ns(ns);
            prop_assert_eq!(t.to_string().parse::<Time>(), Ok(t));
        }

        #[test]
        fn any_text_parses_or_fails(text in ".{0,60}") {
            let _ = text.parse::<Time>();
        }
    }
}
