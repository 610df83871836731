//! When to send what is recorded: as fast as it is shown, or at a multiple of that; gaps left out.

use std::time::{Duration, Instant};

use pegasus_base::Time;

use super::rate::Rate;

/// How far a sender may be behind before it stops trying to catch up.
const LATE_MAX: Duration = Duration::from_secs(2);

/// Tells when each unit of a playback is due. Pure: the present comes in as an argument.
#[derive(Debug)]
pub(super) struct Pacer {
    rate: Rate,
    /// An instant and the time shown that is due then.
    anchor: Option<(Instant, Time)>,
}

impl Pacer {
    /// Sends at the speed of `rate` what is shown.
    pub(super) fn new(rate: Rate) -> Self {
        Self { rate, anchor: None }
    }

    /// When the unit shown at `time` is to be sent. A player too slow to keep up is not flooded
    /// afterwards: time starts anew with the next unit.
    pub(super) fn due(&mut self, time: Time, now: Instant) -> Instant {
        let (at, anchored) = *self.anchor.get_or_insert((now, time));
        let after_ns = self.rate.sent(time.ns_since(anchored));
        let due = at + Duration::from_nanos(u64::try_from(after_ns).unwrap_or(0));
        if now.saturating_duration_since(due) > LATE_MAX {
            self.anchor = Some((now, time));
            return now;
        }
        due
    }

    /// What follows is due as if `to` came right after `from`.
    pub(super) fn skip(&mut self, from: Time, to: Time) {
        if let Some((_, anchored)) = &mut self.anchor {
            *anchored = anchored.offset_ns(to.ns_since(from));
        }
    }

    /// The next unit is due when it is asked for: after a pause.
    pub(super) fn restart(&mut self) {
        self.anchor = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_and_pauses_take_no_time_and_late_senders_begin_anew() {
        let mut pacer = Pacer::new(Rate::NORMAL);
        let start = Instant::now();
        let after = |s| start + Duration::from_secs(s);
        let time = Time::from_secs;
        assert_eq!(pacer.due(time(100), start), start);
        assert_eq!(pacer.due(time(101), start), after(1));
        // A picture shown before the one decoded before it is due at once, not in the past's future.
        assert_eq!(pacer.due(time(99), after(1)), start);
        pacer.skip(time(101), time(5_000));
        assert_eq!(pacer.due(time(5_001), after(1)), after(2));
        assert_eq!(pacer.due(time(5_001), after(9)), after(9), "far too late");
        assert_eq!(pacer.due(time(5_002), after(9)), after(10));
        pacer.restart();
        assert_eq!(pacer.due(time(5_003), after(60)), after(60));
    }
}
