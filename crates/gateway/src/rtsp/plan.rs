//! Where a PLAY begins: the meaning of a `Range` for a stream that is live, recorded, or both.
//!
//! | asked of | `Range` | plays |
//! | --- | --- | --- |
//! | `/cam/door` | none, `npt=0-`, `npt=now-` | live |
//! | `/cam/door` | `npt=X-`, X > 0 | the recording, X of play time behind its beginning |
//! | `/cam/door` | `clock=T-` | the recording from T |
//! | `/cam/door?from=&to=` | none, `npt=0-` | that range from its beginning |
//! | `/cam/door?from=&to=` | `npt=X-` | that range, X of play time behind its beginning |
//! | `/cam/door?from=&to=` | `clock=T-` | that range from T |
//!
//! Players send `npt=0-` when they mean "from where it is natural to start", so on a live stream that
//! is the present. Play time leaves gaps out, see [`PlayLine`].

use std::time::Duration;

use pegasus_base::{StreamName, Time};

use super::dialogue::Refusal;
use super::message::Status;
use super::range::{Npt, PlayLine, Range};
use super::target::Target;

/// What is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// The present.
    Live,
    /// What was recorded.
    Recorded {
        /// Where to start; the key unit at or before it is the first sent.
        from: Time,
        /// Where to stop, which is earlier if it plays backwards; none is where the recording ends.
        until: Option<Time>,
        /// Whether the client reckons in play time rather than capture time.
        npt: bool,
    },
}

/// Whether answering needs to know what is recorded.
#[must_use]
pub fn needs_line(target: &Target, range: Option<Range>) -> bool {
    target.recorded.is_some() || !is_present(range)
}

fn is_present(range: Option<Range>) -> bool {
    match range {
        None | Some(Range::Npt { start: Npt::Now, .. }) => true,
        Some(Range::Npt { start: Npt::At(start), .. }) => start == Duration::ZERO,
        Some(Range::Clock { .. }) => false,
    }
}

/// Decides what to play. `live` says whether somebody publishes; `line` is what is recorded of what
/// the target names.
///
/// # Errors
/// 404 if there is nothing at all to play, 457 if the range asked for holds nothing.
pub fn plan(
    target: &Target,
    range: Option<Range>,
    live: bool,
    line: &PlayLine,
) -> Result<Plan, Refusal> {
    if !needs_line(target, range) {
        return if live { Ok(Plan::Live) } else { Err(not_live(&target.name, line)) };
    }
    let Some(bounds) = line.bounds() else {
        let why = format!("nothing is recorded of {} in what is asked for", target.name);
        return Err(Refusal::new(Status::NOT_FOUND, why));
    };
    let end = limit(target, line, false);
    let empty = || {
        let why = format!("it holds nothing; recorded is {} to {}", bounds.start, bounds.end);
        Refusal::new(Status::INVALID_RANGE, why)
    };
    match range {
        None => Ok(Plan::Recorded { from: bounds.start, until: end, npt: true }),
        Some(Range::Npt { start: Npt::Now, .. }) => {
            let why = format!("a recorded range has no present; play {} for it", target.name);
            Err(Refusal::new(Status::INVALID_RANGE, why))
        }
        Some(Range::Npt { start: Npt::At(start), end: asked }) => {
            let from = line.time_at(start).ok_or_else(empty)?;
            let until = asked.and_then(|asked| line.time_at(asked)).or(end);
            Ok(Plan::Recorded { from, until, npt: true })
        }
        Some(Range::Clock { start, end: asked }) => {
            let from = start.max(bounds.start);
            let until = match (asked, end) {
                (Some(asked), Some(end)) => Some(asked.min(end)),
                (asked, end) => asked.or(end),
            };
            if from >= bounds.end || until.is_some_and(|until| until <= from) {
                return Err(empty());
            }
            Ok(Plan::Recorded { from, until, npt: false })
        }
    }
}

/// Where playing ends if nobody says where; none is where the recording does, however it grows.
#[must_use]
pub fn limit(target: &Target, line: &PlayLine, back: bool) -> Option<Time> {
    let bounds = line.bounds()?;
    if back {
        return Some(bounds.start);
    }
    // Where no end was asked for, what is being recorded meanwhile is played as well.
    target.recorded.filter(|range| range.end != Time::MAX).map(|_| bounds.end)
}

/// Decides what to play backwards: from where, and back to where. What lies behind the end begins at the
/// end, and without a start it begins there too.
///
/// # Errors
/// 404 if nothing is recorded of what the target names, 457 if nothing is before the start.
pub fn plan_back(target: &Target, range: Option<Range>, line: &PlayLine) -> Result<Plan, Refusal> {
    let Some(bounds) = line.bounds() else {
        let why = format!("nothing is recorded of {} in what is asked for", target.name);
        return Err(Refusal::new(Status::NOT_FOUND, why));
    };
    let (from, until, npt) = match range {
        None | Some(Range::Npt { start: Npt::Now, .. }) => (bounds.end, None, true),
        Some(Range::Npt { start: Npt::At(start), end }) => {
            let from = line.time_at(start).unwrap_or(bounds.end);
            (from, end.and_then(|end| line.time_at(end)), true)
        }
        Some(Range::Clock { start, end }) => (start.min(bounds.end), end, false),
    };
    if from < bounds.start {
        let why = format!("nothing is before it; recorded is {} to {}", bounds.start, bounds.end);
        return Err(Refusal::new(Status::INVALID_RANGE, why));
    }
    let until = until.map_or(bounds.start, |until| until.max(bounds.start));
    Ok(Plan::Recorded { from, until: Some(until), npt })
}

/// The refusal for a stream that nobody publishes.
#[must_use]
pub fn not_live(name: &StreamName, line: &PlayLine) -> Refusal {
    let why = match line.bounds() {
        None => format!("nobody publishes {name}, and nothing is recorded of it"),
        Some(bounds) => format!(
            "nobody publishes {name}; recorded is {} to {} (ask with ?from= or Range: clock=)",
            bounds.start, bounds.end
        ),
    };
    Refusal::new(Status::NOT_FOUND, why)
}

#[cfg(test)]
mod tests {
    use pegasus_base::TimeRange;

    use super::*;

    fn target(url: &str) -> Target {
        Target::parse(url, Time::from_secs(500)).unwrap()
    }

    fn line_spans() -> impl Iterator<Item = TimeRange> {
        let span = |(a, b)| TimeRange::new(Time::from_secs(a), Time::from_secs(b));
        [(100, 200), (300, 400)].into_iter().map(span)
    }

    fn line() -> PlayLine {
        PlayLine::new(line_spans())
    }

    fn range(text: &str) -> Option<Range> {
        (!text.is_empty()).then(|| Range::parse(text).unwrap())
    }

    #[test]
    fn the_table_of_the_module() {
        let live = target("rtsp://h/cam");
        let recorded = target("rtsp://h/cam?from=1970-01-01T00:01:40Z&to=+300s");
        let open = target("rtsp://h/cam?from=1970-01-01T00:01:40Z");
        let seconds = Time::from_secs;
        let at = |from: i64, until: Option<i64>, npt| {
            Ok(Plan::Recorded { from: seconds(from), until: until.map(seconds), npt })
        };
        for (target, text, expected) in [
            (&live, "", Ok(Plan::Live)),
            (&live, "npt=0-", Ok(Plan::Live)),
            (&live, "npt=now-", Ok(Plan::Live)),
            (&live, "npt=150-", at(350, None, true)),
            (&live, "npt=50-150", at(150, Some(350), true)),
            (&live, "clock=19700101T000500Z-", at(300, None, false)),
            (&live, "clock=19700101T000000Z-19700101T000200Z", at(100, Some(120), false)),
            (&live, "clock=19700101T000640Z-", Err(457)),
            (&live, "npt=200-", Err(457)),
            (&recorded, "", at(100, Some(400), true)),
            (&recorded, "npt=0-", at(100, Some(400), true)),
            (&open, "npt=0-", at(100, None, true)),
            (&open, "npt=0-50", at(100, Some(150), true)),
            (&recorded, "npt=150-", at(350, Some(400), true)),
            (&recorded, "npt=now-", Err(457)),
            (&recorded, "clock=19700101T000200Z-19700101T001000Z", at(120, Some(400), false)),
            (&recorded, "clock=19700101T000000Z-19700101T000010Z", Err(457)),
        ] {
            let planned = plan(target, range(text), true, &line());
            assert_eq!(planned.map_err(|refusal| refusal.status.0), expected, "{text}");
        }
    }

    #[test]
    fn backwards_it_ends_where_it_would_begin() {
        let live = target("rtsp://h/cam");
        let part = target("rtsp://h/cam?from=1970-01-01T00:02:00Z&to=+200s");
        let asked = part.recorded.unwrap();
        let short = PlayLine::new(line_spans().map(|span| span.intersect(&asked)));
        let seconds = Time::from_secs;
        let at = |from: i64, until: i64, npt| {
            Ok(Plan::Recorded { from: seconds(from), until: Some(seconds(until)), npt })
        };
        for (target, line, text, expected) in [
            (&live, &line(), "", at(400, 100, true)),
            (&live, &line(), "npt=now-", at(400, 100, true)),
            (&live, &line(), "npt=150-50", at(350, 150, true)),
            (&live, &line(), "npt=999-", at(400, 100, true)),
            (&live, &line(), "npt=0-", at(100, 100, true)),
            (&live, &line(), "clock=19700101T000530Z-", at(330, 100, false)),
            (&live, &line(), "clock=20200101T000000Z-19700101T000200Z", at(400, 120, false)),
            (&live, &line(), "clock=19700101T000000Z-", Err(457)),
            (&part, &short, "", at(320, 120, true)),
            (&part, &short, "npt=90-0", at(310, 120, true)),
            (&part, &short, "clock=19700101T000530Z-19700101T000000Z", at(320, 120, false)),
            (&live, &PlayLine::default(), "", Err(404)),
        ] {
            let range = (!text.is_empty()).then(|| Range::parse_back(text).unwrap());
            let planned = plan_back(target, range, line);
            assert_eq!(planned.map_err(|refusal| refusal.status.0), expected, "{text}");
        }
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        let live = target("rtsp://h/cam");
        let refusal = plan(&live, None, false, &line()).unwrap_err();
        assert_eq!(refusal.status, Status::NOT_FOUND);
        assert!(refusal.why.contains("recorded is 1970-01-01T00:01:40"), "{}", refusal.why);
        let nothing = PlayLine::default();
        let refusal = plan(&live, range("npt=5-"), true, &nothing).unwrap_err();
        assert_eq!(refusal.status, Status::NOT_FOUND);
    }
}
