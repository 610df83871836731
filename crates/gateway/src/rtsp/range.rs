//! The `Range` header (RFC 2326, 12.29): normal play time (3.6) and absolute time (3.7).

use std::fmt;
use std::time::Duration;

use pegasus_base::{Time, TimeRange};

/// What part of a stream to play.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// In time since the beginning of what is described.
    Npt {
        /// Where to start.
        start: Npt,
        /// Where to stop; none is the end.
        end: Option<Duration>,
    },
    /// In capture time.
    Clock {
        /// Where to start.
        start: Time,
        /// Where to stop; none is the end.
        end: Option<Time>,
    },
}

/// A point in normal play time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Npt {
    /// The live moment.
    Now,
    /// So long after the beginning.
    At(Duration),
}

/// Why a `Range` can't be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a range (write npt=10- or clock=20261120T031200Z-)")]
pub struct RangeError(String);

impl Range {
    /// Reads a header's value. Parameters behind a `;` are ignored.
    ///
    /// # Errors
    /// If it is neither form, or ends before it starts.
    pub fn parse(header: &str) -> Result<Self, RangeError> {
        Self::parse_towards(header, false)
    }

    /// As [`Range::parse`], of a range that is played backwards: it ends before it starts (RFC 2326, 12.34).
    ///
    /// # Errors
    /// If it is neither form, or ends after it starts.
    pub fn parse_back(header: &str) -> Result<Self, RangeError> {
        Self::parse_towards(header, true)
    }

    fn parse_towards(header: &str, back: bool) -> Result<Self, RangeError> {
        let bad = || RangeError(header.chars().take(80).collect());
        let value = header.split(';').next().unwrap_or_default().trim();
        let (unit, range) = value.split_once('=').ok_or_else(bad)?;
        let parsed = match unit.trim().to_ascii_lowercase().as_str() {
            "npt" => parse_npt(range.trim(), back),
            "clock" => parse_clock(range.trim(), back),
            _ => None,
        };
        parsed.ok_or_else(bad)
    }
}

fn parse_npt(text: &str, back: bool) -> Option<Range> {
    let (start, end) = text.split_once('-')?;
    let start = match start.trim() {
        "now" => Npt::Now,
        "" => Npt::At(Duration::ZERO),
        time => Npt::At(npt_time(time)?),
    };
    let end = match end.trim() {
        "" => None,
        time => Some(npt_time(time)?),
    };
    match (start, end) {
        (Npt::At(start), Some(end)) if !is_towards(start, end, back) => None,
        _ => Some(Range::Npt { start, end }),
    }
}

/// Seconds with a fraction, or hours:minutes:seconds.
fn npt_time(text: &str) -> Option<Duration> {
    let mut whole_s = 0_u64;
    let mut parts = text.split(':').rev();
    let seconds = parts.next()?;
    if !seconds.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return None; // "inf", "1e9" and signs are numbers to Rust, not to the RFC
    }
    let seconds = Duration::try_from_secs_f64(seconds.parse().ok()?).ok()?;
    for (unit_s, part) in [60_u64, 3600].into_iter().zip(parts.by_ref()) {
        whole_s = whole_s.checked_add(part.parse::<u64>().ok()?.checked_mul(unit_s)?)?;
    }
    if parts.next().is_some() {
        return None;
    }
    seconds.checked_add(Duration::from_secs(whole_s))
}

fn parse_clock(text: &str, back: bool) -> Option<Range> {
    let (start, end) = text.split_once('-')?;
    let start = clock_time(start.trim())?;
    let end = match end.trim() {
        "" => None,
        time => Some(clock_time(time)?),
    };
    (end.is_none_or(|end| is_towards(start, end, back))).then_some(Range::Clock { start, end })
}

fn is_towards<T: Ord>(start: T, end: T, back: bool) -> bool {
    if back { end <= start } else { end >= start }
}

/// `20261120T031200.25Z`.
fn clock_time(text: &str) -> Option<Time> {
    let (date, rest) = text.split_once('T')?;
    let (clock, fraction) = match rest.strip_suffix('Z')?.split_once('.') {
        Some((clock, fraction)) => (clock, fraction),
        None => (rest.strip_suffix('Z')?, "0"),
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if date.len() != 8 || clock.len() != 6 || fraction.len() > 9 {
        return None;
    }
    if ![date, clock, fraction].into_iter().all(digits) {
        return None;
    }
    let (year, month, day) = (&date[..4], &date[4..6], &date[6..]);
    let (hour, minute, second) = (&clock[..2], &clock[2..4], &clock[4..]);
    format!("{year}-{month}-{day}T{hour}:{minute}:{second}.{fraction}Z").parse().ok()
}

/// `time` as RFC 2326, 3.7 writes it, with nanoseconds.
#[must_use]
pub fn clock_text(time: Time) -> String {
    time.to_string().chars().filter(|c| !matches!(c, '-' | ':')).collect()
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Npt { start, end } => {
                match start {
                    Npt::Now => f.write_str("npt=now-")?,
                    Npt::At(start) => write!(f, "npt={:.6}-", start.as_secs_f64())?,
                }
                end.map_or(Ok(()), |end| write!(f, "{:.6}", end.as_secs_f64()))
            }
            Self::Clock { start, end } => {
                write!(f, "clock={}-", clock_text(start))?;
                end.map_or(Ok(()), |end| f.write_str(&clock_text(end)))
            }
        }
    }
}

/// One point of a stream in both its times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// Capture time.
    pub time: Time,
    /// Normal play time: how much is recorded before it.
    pub npt: Duration,
}

/// The recorded intervals that a playback walks through, as one line of normal play time: gaps take
/// none, so that a player's slider covers exactly what can be seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlayLine {
    spans: Vec<TimeRange>,
}

impl PlayLine {
    /// The line of these intervals, in the order of time. Empty and overlapping parts are dropped.
    #[must_use]
    pub fn new(spans: impl IntoIterator<Item = TimeRange>) -> Self {
        let mut line: Vec<TimeRange> = Vec::new();
        for span in spans {
            let start = line.last().map_or(span.start, |last| span.start.max(last.end));
            let span = TimeRange::new(start, span.end);
            if !span.is_empty() {
                line.push(span);
            }
        }
        Self { spans: line }
    }

    /// Whether there is nothing to play.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// From the first instant to behind the last; nothing if the line is empty.
    #[must_use]
    pub fn bounds(&self) -> Option<TimeRange> {
        Some(TimeRange::new(self.spans.first()?.start, self.spans.last()?.end))
    }

    /// How long it plays.
    #[must_use]
    pub fn duration(&self) -> Duration {
        self.spans.iter().map(TimeRange::duration).sum()
    }

    /// The capture time at `npt`; none behind the end.
    #[must_use]
    pub fn time_at(&self, npt: Duration) -> Option<Time> {
        let mut left = npt;
        for span in &self.spans {
            if left < span.duration() {
                return Some(span.start + left);
            }
            left -= span.duration();
        }
        None
    }

    /// How much plays before `time`. A time in a gap is where the next span starts.
    #[must_use]
    pub fn npt_at(&self, time: Time) -> Duration {
        self.spans
            .iter()
            .take_while(|span| span.start < time)
            .map(|span| span.intersect(&TimeRange::new(span.start, time)).duration())
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> Time {
        text.parse().unwrap()
    }

    #[test]
    fn what_clients_write() {
        let npt = |start_ms, end: Option<u64>| {
            let start = Npt::At(Duration::from_millis(start_ms));
            Ok(Range::Npt { start, end: end.map(Duration::from_millis) })
        };
        assert_eq!(Range::parse("npt=0.000-"), npt(0, None));
        assert_eq!(Range::parse("npt=12.5-20"), npt(12_500, Some(20_000)));
        assert_eq!(Range::parse(" NPT = 1:02:03.5 - ;time=x"), npt(3_723_500, None));
        assert_eq!(Range::parse("npt=now-"), Ok(Range::Npt { start: Npt::Now, end: None }));
        let start = at("2026-11-20T03:12:00.25Z");
        assert_eq!(
            Range::parse("clock=20261120T031200.25Z-"),
            Ok(Range::Clock { start, end: None })
        );
        assert_eq!(
            Range::parse("clock=20261120T031200.25Z-20261120T031210Z"),
            Ok(Range::Clock { start, end: Some(at("2026-11-20T03:12:10Z")) })
        );
        for bad in [
            "",
            "npt",
            "npt=5",
            "npt=9-3",
            "npt=1e9-",
            "npt=inf-",
            "npt=1:2:3:4-",
            "npt=99999999999999999999-",
            "smpte=10:07:00-",
            "clock=20261120T031200-",
            "clock=20261320T031200Z-",
            "clock=20261120T031200Z-20261120T031100Z",
            "clock=+0261120T031200Z-",
        ] {
            assert!(Range::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn backwards_ranges_end_before_they_start() {
        let npt = |start, end: Option<u64>| {
            let start = Npt::At(Duration::from_secs(start));
            Ok(Range::Npt { start, end: end.map(Duration::from_secs) })
        };
        assert_eq!(Range::parse_back("npt=20-10"), npt(20, Some(10)));
        assert_eq!(Range::parse_back("npt=20-"), npt(20, None));
        assert!(Range::parse_back("npt=10-20").is_err());
        let (start, end) = (at("2026-11-20T03:12:10Z"), at("2026-11-20T03:12:00Z"));
        let text = "clock=20261120T031210Z-20261120T031200Z";
        assert_eq!(Range::parse_back(text), Ok(Range::Clock { start, end: Some(end) }));
        assert!(Range::parse(text).is_err());
    }

    #[test]
    fn gaps_take_no_play_time() {
        let span = |a, b| TimeRange::new(Time::from_secs(a), Time::from_secs(b));
        let line = PlayLine::new([span(10, 20), span(30, 31), span(30, 35)]);
        assert_eq!(line.duration(), Duration::from_secs(15));
        assert_eq!(line.time_at(Duration::from_secs(10)), Some(Time::from_secs(30)));
        assert_eq!(line.time_at(Duration::from_secs(12)), Some(Time::from_secs(32)));
        assert_eq!(line.time_at(Duration::from_secs(15)), None);
        assert_eq!(line.npt_at(Time::from_secs(25)), Duration::from_secs(10));
        assert_eq!(line.npt_at(Time::from_secs(0)), Duration::ZERO);
        assert_eq!(line.npt_at(Time::from_secs(99)), Duration::from_secs(15));
        assert_eq!(line.bounds(), Some(span(10, 35)));
    }

    proptest! {
        #[test]
        fn ranges_survive_being_written(start_ns in 0..i64::MAX / 2, len_ns in 0..i64::MAX / 4) {
            let start = Time::from_ns(start_ns);
            let range = Range::Clock { start, end: Some(start.offset_ns(len_ns)) };
            prop_assert_eq!(Range::parse(&range.to_string()), Ok(range));
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,60}", tail in "[-0-9.:TZ]{0,40}") {
            let _ = Range::parse(&text);
            let _ = Range::parse(&format!("npt={tail}"));
            let _ = Range::parse(&format!("clock={tail}"));
        }

        #[test]
        fn play_time_and_capture_time_are_inverse(
            lens in proptest::collection::vec((1_i64..1000, 0_i64..1000), 1..8), npt_ms in 0_u64..8000,
        ) {
            let mut at_ms = 5_000;
            let line = PlayLine::new(lens.iter().map(|(len, gap)| {
                let span = TimeRange::new(Time::from_ms(at_ms), Time::from_ms(at_ms + len));
                at_ms += len + gap;
                span
            }));
            let npt = Duration::from_millis(npt_ms);
            match line.time_at(npt) {
                Some(time) => prop_assert_eq!(line.npt_at(time), npt),
                None => prop_assert!(npt >= line.duration()),
            }
        }
    }
}
