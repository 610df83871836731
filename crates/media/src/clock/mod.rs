//! Capture times from what a source says and when it arrives. The rules and their reasons are in
//! `docs/design/time.md`.

mod reports;
#[cfg(test)]
mod tests;
mod window;

use pegasus_base::Time;

use crate::rtp::NtpTime;
use crate::{Kind, Track, TrackId};
use reports::Reports;
use window::Least;

/// Gives the units of a stream their capture times.
///
/// The time line of each track is continuous: it follows the track's own ticks, slewed by at most
/// 500 ppm towards where sender reports and arrivals put it; by at most 5 % in the first ten
/// seconds, in the ten after its first report, and while it is more than 100 ms off; it steps, forward only, when it is more than ten
/// seconds behind. Within a track a later `pts` never gets an earlier time.
///
/// Feed [`sender_report`](Self::sender_report) and ask [`time`](Self::time) as packets and units
/// come in; times of arrival are those of the clock that all streams share.
#[derive(Debug)]
pub struct MediaClock {
    lines: Vec<Line>,
    reports: Reports,
}

/// The time line of one track.
#[derive(Debug)]
struct Line {
    clock_rate: u32,
    /// Whether units may come out of order of presentation.
    reorders: bool,
    /// The unit of the highest time so far.
    anchor: Option<Anchor>,
    /// Arrival less media time; the least is that of the least delayed unit.
    delays: Least,
    /// Wall clock less media time by the sender's reports, in their first epoch.
    report_ns: Option<i128>,
}

#[derive(Clone, Copy, Debug)]
struct Anchor {
    media_ns: i128,
    time_ns: i128,
    /// Arrival less media time of the last unit.
    delay_ns: i128,
    /// When the line began: it settles for a while.
    began: Time,
}

impl MediaClock {
    /// A clock for a stream of these tracks; `tracks[i].id` is `i`.
    #[must_use]
    pub fn new(tracks: &[Track]) -> Self {
        let line = |track: &Track| Line {
            clock_rate: track.clock_rate.max(1),
            reorders: track.kind() == Kind::Video,
            anchor: None,
            delays: Least::default(),
            report_ns: None,
        };
        Self { lines: tracks.iter().map(line).collect(), reports: Reports::default() }
    }

    /// Takes note of a sender report of `track` that came in at `arrival`: at `ntp` by the sender's
    /// wall clock, the track's clock stood at `pts` unwrapped ticks. Reports that can't be are
    /// ignored: of no time, or of ticks more than a minute away from what the track's clock shows.
    ///
    /// # Panics
    /// If the stream has no such track.
    pub fn sender_report(&mut self, track: TrackId, ntp: NtpTime, pts: i64, arrival: Time) {
        let line = &mut self.lines[usize::from(track.0)];
        let media_ns = line.media_ns(pts);
        let delay_ns = i128::from(arrival.as_ns()) - media_ns;
        let far = line.anchor.is_some_and(|a| (a.delay_ns - delay_ns).abs() > REPORT_FAR_NS);
        if ntp.0 >> 32 == 0 || far {
            return;
        }
        if line.report_ns.is_none()
            && let Some(anchor) = &mut line.anchor
        {
            anchor.began = arrival; // what was known was only a guess: settle anew
        }
        let raw_ns = i128::from(ntp.to_time().as_ns()) - media_ns;
        line.report_ns = Some(self.reports.accept(raw_ns, line.report_ns));
    }

    /// The capture time of the unit of `track` presented at `pts` ticks, complete at `arrival`.
    /// To be asked once for each unit, in decode order.
    ///
    /// # Panics
    /// If the stream has no such track.
    pub fn time(&mut self, track: TrackId, pts: i64, arrival: Time) -> Time {
        let line = &mut self.lines[usize::from(track.0)];
        let media_ns = line.media_ns(pts);
        let delay_ns = i128::from(arrival.as_ns()) - media_ns;
        let resumed_ns = line.check_jump(media_ns, delay_ns, arrival);
        line.delays.push(arrival, delay_ns);
        if let Some(report_ns) = line.report_ns {
            self.reports.arrived(arrival, delay_ns - report_ns);
        }
        let target_ns = media_ns + line.offset_ns(&self.reports);
        let time_ns = match (line.anchor, resumed_ns) {
            (None, resumed_ns) => {
                let time_ns = resumed_ns.unwrap_or(target_ns);
                line.anchor = Some(Anchor { media_ns, time_ns, delay_ns, began: arrival });
                time_ns
            }
            (Some(anchor), _) => line.advance(anchor, media_ns, delay_ns, target_ns, arrival),
        };
        Time::from_ns(time_ns.clamp(i64::MIN.into(), i64::MAX.into()) as i64)
    }
}

impl Line {
    fn media_ns(&self, pts: i64) -> i128 {
        i128::from(pts) * 1_000_000_000 / i128::from(self.clock_rate)
    }

    /// If the sender's ticks jumped, forgets what related them to time, and says at what time the
    /// line goes on.
    fn check_jump(&mut self, media_ns: i128, delay_ns: i128, arrival: Time) -> Option<i128> {
        let anchor = self.anchor?;
        let back_max_ns = if self.reorders { REORDER_MAX_NS } else { GLITCH_MAX_NS };
        let back = anchor.media_ns - media_ns > back_max_ns;
        // A unit can't arrive before it was captured, so ticks that run ahead of arrival in one step
        // have jumped. (Ticks that fall behind arrival are only late.)
        let least_ns = self.delays.least().unwrap_or(delay_ns);
        let ahead = anchor.delay_ns - delay_ns > AHEAD_MAX_NS && least_ns - delay_ns > AHEAD_MAX_NS;
        if !back && !ahead {
            return None;
        }
        // As long before its arrival as the least delayed unit was, but not before the last one.
        let latency_ns = (least_ns - (anchor.time_ns - anchor.media_ns)).max(0);
        let time_ns = i128::from(arrival.as_ns()) - latency_ns;
        self.anchor = None;
        self.delays = Least::default();
        self.report_ns = None;
        Some(time_ns.max(anchor.time_ns + 1_000))
    }

    /// What to add to media time for the time the unit should have.
    fn offset_ns(&self, reports: &Reports) -> i128 {
        let least_ns = self.delays.least().expect("the unit's own delay is in the window");
        let Some(report_ns) = self.report_ns else { return least_ns };
        let offset_ns = report_ns + reports.correction_ns();
        // Reports that put a track this far from its arrivals relate the tracks wrongly.
        if (offset_ns - least_ns).abs() > MISMATCH_MAX_NS { least_ns } else { offset_ns }
    }

    /// The time of a unit, by the ticks since the anchor and slewed towards `target_ns`.
    fn advance(
        &mut self,
        anchor: Anchor,
        media_ns: i128,
        delay_ns: i128,
        target_ns: i128,
        arrival: Time,
    ) -> i128 {
        let elapsed_ns = media_ns - anchor.media_ns;
        let expected_ns = anchor.time_ns + elapsed_ns;
        if elapsed_ns <= 0 {
            self.anchor = Some(Anchor { delay_ns, ..anchor });
            // Sound that steps back a little stands still instead.
            return if self.reorders { expected_ns } else { anchor.time_ns };
        }
        let error_ns = target_ns - expected_ns;
        let settling = arrival.ns_since(anchor.began).abs() < SETTLE_NS;
        let ppm = if settling || error_ns.abs() > OFF_MAX_NS { CATCH_UP_PPM } else { SLEW_PPM };
        let limit_ns = elapsed_ns * ppm / 1_000_000;
        let time_ns = if error_ns > BEHIND_MAX_NS {
            target_ns
        } else {
            expected_ns + error_ns.clamp(-limit_ns, limit_ns)
        };
        self.anchor = Some(Anchor { media_ns, time_ns, delay_ns, began: anchor.began });
        time_ns
    }
}

const MS: i128 = 1_000_000;
/// Slew in normal running.
const SLEW_PPM: i128 = 500;
/// Slew while settling or far off.
const CATCH_UP_PPM: i128 = 50_000;
/// How long a line settles after it began.
const SETTLE_NS: i64 = 10_000_000_000;
/// Error above which the line catches up.
const OFF_MAX_NS: i128 = 100 * MS;
/// Error above which the line steps forward.
const BEHIND_MAX_NS: i128 = 10_000 * MS;
/// How far pictures are reordered at most.
const REORDER_MAX_NS: i128 = 2_000 * MS;
/// How far sound may step back without having jumped.
const GLITCH_MAX_NS: i128 = 100 * MS;
/// How far ahead of arrival ticks may step without having jumped.
const AHEAD_MAX_NS: i128 = 2_000 * MS;
/// How far reports may put a track from its arrivals.
const MISMATCH_MAX_NS: i128 = 2_000 * MS;
/// How far from what a track's clock shows a report's ticks may be.
const REPORT_FAR_NS: i128 = 60_000 * MS;
