//! When the store will be full, and how long recordings are kept then. Pure: it is told what was written.

use std::collections::VecDeque;
use std::time::Duration;

use pegasus_base::Time;
use serde::{Deserialize, Serialize};

/// Least time between two readings of the meter.
const STEP: Duration = Duration::from_secs(5);
/// The rate is that of the last so many readings: ten minutes.
const READINGS: usize = 120;

/// What will become of the room, if recording goes on as in the last ten minutes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forecast {
    /// Bytes a second that recordings take of the store, parity apart, headers and padding included.
    pub fill_bytes_per_s: u64,
    /// When the oldest recordings begin to go for want of room; the present if they do already. `None` if
    /// nothing is recorded.
    pub full_at: Option<Time>,
    /// How far recordings reach back then, in seconds. `None` if nothing is recorded.
    pub keeps_s: Option<u64>,
}

/// What there is for recordings.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    /// Bytes that are free, beyond those that retention keeps free.
    pub(crate) free_bytes: u64,
    /// Bytes that recordings may take in all.
    pub(crate) whole_bytes: u64,
}

/// Measures how fast recordings take room.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    /// When, and bytes written so far.
    readings: VecDeque<(Time, u64)>,
}

impl Meter {
    /// So many bytes have been written by `now`.
    pub(crate) fn note(&mut self, now: Time, written_bytes: u64) {
        match self.readings.back() {
            Some(&(last, _)) if now < last => self.readings.clear(), // the clock was set back
            Some(&(last, _)) if now.since(last) < STEP => return,
            _ => {}
        }
        self.readings.push_back((now, written_bytes));
        if self.readings.len() > READINGS {
            self.readings.pop_front();
        }
    }

    fn bytes_per_s(&self) -> u64 {
        let (Some(&(first, from)), Some(&(last, to))) =
            (self.readings.front(), self.readings.back())
        else {
            return 0;
        };
        let ms = u64::try_from(last.since(first).as_millis()).unwrap_or(u64::MAX);
        to.saturating_sub(from).saturating_mul(1000).checked_div(ms).unwrap_or(0)
    }

    /// What follows from it.
    pub(crate) fn forecast(&self, now: Time, room: Room) -> Forecast {
        let rate = self.bytes_per_s();
        let seconds = |bytes: u64| bytes.checked_div(rate);
        let full_at = seconds(room.free_bytes).map(|s| {
            // Beyond two hundred years it makes no difference, but times end.
            now + Duration::from_secs(s.min(200 * 365 * 86_400))
        });
        Forecast { fill_bytes_per_s: rate, full_at, keeps_s: seconds(room.whole_bytes) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: i64) -> Time {
        Time::from_secs(1_700_000_000 + s)
    }

    #[test]
    fn a_store_fills_at_the_rate_of_the_last_ten_minutes() {
        let mut meter = Meter::default();
        let room = Room { free_bytes: 3_600_000_000, whole_bytes: 86_400_000_000 };
        assert_eq!(meter.forecast(at(0), room), Forecast::default());
        for second in 0..2_000 {
            let fast = second.min(1_000) as u64 * 9_000_000;
            let slow = (second - 1_000).max(0) as u64 * 1_000_000;
            meter.note(at(second), fast + slow);
        }
        let forecast = meter.forecast(at(2_000), room);
        assert_eq!(forecast.fill_bytes_per_s, 1_000_000);
        assert_eq!(forecast.full_at, Some(at(2_000 + 3_600)));
        assert_eq!(forecast.keeps_s, Some(86_400));
        let full = meter.forecast(at(2_000), Room { free_bytes: 0, ..room });
        assert_eq!(full.full_at, Some(at(2_000)), "the oldest goes already");
    }

    #[test]
    fn clocks_set_back_and_tiny_rates_are_borne() {
        let mut meter = Meter::default();
        meter.note(at(100), 1_000);
        meter.note(at(50), 2_000);
        meter.note(at(55), 2_001);
        let room = Room { free_bytes: u64::MAX, whole_bytes: u64::MAX };
        assert_eq!(meter.forecast(at(55), room).fill_bytes_per_s, 0);
        meter.note(at(60), 2_020);
        assert!(meter.forecast(at(60), room).full_at.is_some());
    }
}
