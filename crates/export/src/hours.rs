//! Days and hours of Universal Time, by which recordings are cut into files. Pure.

use std::fmt;
use std::ops::RangeInclusive;

use jiff::civil::Date;
use pegasus_base::{Time, TimeRange};

const HOUR_NS: i64 = 3_600_000_000_000;
const DAY_HOURS: u32 = 24;

/// A day, counted from 1970-01-01. Shown as `2026-11-21`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(pub u32);

/// An hour, counted from the beginning of 1970. Shown as that of its day: `09`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hour(pub u32);

impl Day {
    /// Reads what is shown; `None` if it is no day since 1970, or shown in another way.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let date: Date = text.parse().ok()?;
        let ns = date.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_nanosecond();
        let day = Self(u32::try_from(ns / i128::from(HOUR_NS) / i128::from(DAY_HOURS)).ok()?);
        (day.to_string() == text).then_some(day)
    }

    /// Its hours.
    #[must_use]
    pub fn hours(self) -> RangeInclusive<Hour> {
        let first = self.0.saturating_mul(DAY_HOURS);
        Hour(first)..=Hour(first.saturating_add(DAY_HOURS - 1))
    }

    /// From its first instant to the next day's.
    #[must_use]
    pub fn range(self) -> TimeRange {
        let hours = self.hours();
        TimeRange::new(hours.start().range().start, hours.end().range().end)
    }
}

impl Hour {
    /// The hour an instant is in; `None` before 1970.
    #[must_use]
    pub fn of(time: Time) -> Option<Self> {
        u32::try_from(time.as_ns().div_euclid(HOUR_NS)).ok().map(Self)
    }

    /// The hour of a day that is shown as `text`.
    #[must_use]
    pub fn parse(day: Day, text: &str) -> Option<Self> {
        let hour: u32 = text.parse().ok().filter(|hour| *hour < DAY_HOURS)?;
        let hour = Self(day.hours().start().0 + hour);
        (hour.to_string() == text).then_some(hour)
    }

    /// Its day.
    #[must_use]
    pub fn day(self) -> Day {
        Day(self.0 / DAY_HOURS)
    }

    /// From its first instant to the next hour's.
    #[must_use]
    pub fn range(self) -> TimeRange {
        let at = |hour: i64| Time::from_ns(hour.saturating_mul(HOUR_NS));
        TimeRange::new(at(self.0.into()), at(i64::from(self.0) + 1))
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start = self.range().start.to_string();
        f.write_str(start.split('T').next().unwrap_or_default())
    }
}

impl fmt::Display for Hour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}", self.0 % DAY_HOURS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_hours_come_back_as_they_are_shown() {
        let at: Time = "2026-11-21T09:30:00Z".parse().unwrap();
        let hour = Hour::of(at).unwrap();
        assert_eq!((hour.day().to_string(), hour.to_string()), ("2026-11-21".into(), "09".into()));
        assert_eq!(Day::parse("2026-11-21"), Some(hour.day()));
        assert_eq!(Hour::parse(hour.day(), "09"), Some(hour));
        assert!(hour.range().contains(at));
        assert!(hour.day().hours().contains(&hour));
        assert_eq!(hour.day().range().start.to_string(), "2026-11-21T00:00:00.000000000Z");
    }

    #[test]
    fn other_ways_to_write_them_are_none() {
        for text in ["2026-11-21T00:00:00", "20261121", "1969-12-31", "2026-13-01", "door", ""] {
            assert_eq!(Day::parse(text), None, "{text}");
        }
        for text in ["9", "24", "+9", "009", ""] {
            assert_eq!(Hour::parse(Day(1), text), None, "{text}");
        }
        assert_eq!(Hour::of(Time::from_secs(-1)), None);
    }
}
