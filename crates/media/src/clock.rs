//! Capture times from what a source says and when it arrives.

use pegasus_base::Time;

use crate::rtp::NtpTime;
use crate::{Track, TrackId};

/// Gives the units of a stream their capture times; see `docs/design/time.md` for its rules.
#[derive(Debug)]
pub struct MediaClock {
    rates: Vec<u32>,
}

impl MediaClock {
    /// A clock for a stream of these tracks.
    #[must_use]
    pub fn new(tracks: &[Track]) -> Self {
        Self { rates: tracks.iter().map(|track| track.clock_rate).collect() }
    }

    /// Takes note of a sender report of `track` that arrived at `arrival`: at `ntp` the track's clock
    /// stood at `pts` unwrapped ticks.
    pub fn sender_report(&mut self, track: TrackId, ntp: NtpTime, pts: i64, arrival: Time) {
        let _ = (track, ntp, pts, arrival, &self.rates);
    }

    /// The capture time of the unit of `track` presented at `pts` ticks, complete at `arrival`.
    /// To be asked once for each unit, in decode order.
    ///
    /// # Panics
    /// If the stream has no such track.
    pub fn time(&mut self, track: TrackId, pts: i64, arrival: Time) -> Time {
        assert!(usize::from(track.0) < self.rates.len(), "no track {}", track.0);
        let _ = pts;
        arrival
    }
}
