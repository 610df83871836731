//! When a playback can be shown so that nothing of it is late: as its schedule says, or at once if more of it was read than that says.

use pegasus_mitra::{Interval, PlaybackId};

use super::{Share, State};

impl State {
    /// When the last of these playbacks can be shown if nothing more is read of any than has to be, in nanoseconds since the office began. `at_ns` tells when
    /// that was at an instant.
    pub(in crate::guarantee) fn starts_ns(
        &self,
        ids: &[PlaybackId],
        now_ns: u64,
        at_ns: impl Fn(std::time::Instant) -> u64,
    ) -> u64 {
        let shares = ids.iter().filter_map(|id| Some((*id, self.shares.get(id)?)));
        let starts = shares.map(|(id, share)| self.start_ns(id, share, now_ns, &at_ns));
        starts.max().unwrap_or(0)
    }

    fn start_ns(
        &self,
        id: PlaybackId,
        share: &Share,
        now_ns: u64,
        at_ns: impl Fn(std::time::Instant) -> u64,
    ) -> u64 {
        let shape = self.scheduler.shape();
        let Some(next) = self.scheduler.next_service(id, self.now) else { return now_ns };
        let lead = share.stock.lead();
        // From now until the next reads are there so many periods begin, each of which shows what was read once.
        let (due_ns, period_ns) = (shape.done_ns(next), shape.knobs().period_ns.max(1));
        let periods = due_ns.saturating_sub(now_ns).div_ceil(period_ns).max(1);
        if lead.is_over || lead.services >= periods {
            return now_ns;
        }
        if !lead.has_moved {
            return share.shown_ns;
        }
        // Its reader went elsewhere: the first reads since are those of this period, or of the next.
        let before = next.0.checked_sub(u64::from(shape.knobs().groups)).map(Interval);
        let before = before.filter(|before| shape.begins_ns(*before) >= at_ns(lead.since));
        before.map_or(due_ns, |before| shape.done_ns(before))
    }

    /// How long after it begins a batch is there at the latest.
    pub(super) fn window_ns(&self) -> u64 {
        let shape = self.scheduler.shape();
        shape.done_ns(Interval(0)) - shape.begins_ns(Interval(0))
    }
}
