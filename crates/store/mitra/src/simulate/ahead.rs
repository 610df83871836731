//! A simulation that works ahead: when the next interval begins, who skips, and when playbacks are really shown.

use std::cmp::Reverse;

use super::viewing::Viewer;
use super::{Platters, Run};
use crate::{Cycles, Interval, PlaybackId};

impl<P: Platters> Run<'_, P> {
    /// Lets viewers come until `interval`, which has begun at `begins_ns`, is over; when it is.
    pub(super) fn pass(&mut self, interval: Interval, begins_ns: u64) -> u64 {
        let (next, mut now_ns) = (Interval(interval.0 + 1), begins_ns);
        loop {
            let idle_ns = self.idle_ns(now_ns);
            let ends_ns = self.pace.begins_ns(self.scheduler.shape(), next, idle_ns);
            let at_ns = self.coming.peek().map(|Reverse(at)| *at).filter(|at| *at < ends_ns);
            let Some(at_ns) = at_ns else {
                self.show(next, ends_ns);
                self.pace.go_on(self.scheduler.shape(), next, ends_ns);
                return ends_ns;
            };
            self.coming.pop();
            // Who was to come when something ended of which is known only now comes now.
            now_ns = now_ns.max(at_ns);
            self.come(interval, now_ns);
        }
    }

    /// When the next interval may begin early, as it now seems: disks are done, and it is worth it.
    fn idle_ns(&self, now_ns: u64) -> Option<u64> {
        let marks = self.workload.work_ahead?;
        let idle_ns = self.platters.idle_ns()?.max(now_ns);
        let shape = self.scheduler.shape();
        let takes =
            |id: PlaybackId| self.viewings[&id].stock.skip(shape, marks, now_ns) == Cycles(0);
        self.scheduler.is_wanted(takes).then_some(idle_ns)
    }

    /// Whoever holds too much for one block more in `interval`, which is about to begin, skips.
    pub(super) fn skip(&mut self, interval: Interval, begins_ns: u64) {
        let Some(marks) = self.workload.work_ahead else { return };
        let due: Vec<PlaybackId> = self.scheduler.due(interval).collect();
        for id in due {
            let stock = self.viewings[&id].stock;
            let cycles = stock.skip(self.scheduler.shape(), marks, begins_ns);
            if cycles > Cycles(0) {
                self.found.skips += 1;
                self.scheduler.skip(id, cycles).expect("whoever holds anything has begun");
            }
        }
    }

    /// The schedule's time is about to go on to `next`, at `ends_ns`: who is shown by then, and since when.
    fn show(&mut self, next: Interval, ends_ns: u64) {
        let scheduled_ns = self.scheduler.shape().begins_ns(next);
        let is_shown = |id: &PlaybackId| {
            self.viewings.get(id).is_none_or(|viewing| viewing.scheduled_ns <= scheduled_ns)
        };
        let shown: Vec<PlaybackId> = self.unshown.extract_if(.., |id| is_shown(id)).collect();
        for id in shown {
            self.shown(id, ends_ns);
        }
    }

    /// It is known when a playback is shown: as its schedule said, or at `ends_ns` if the schedule goes over that time then.
    pub(super) fn shown(&mut self, id: PlaybackId, ends_ns: u64) {
        let Some(viewing) = self.viewings.get_mut(&id) else { return };
        let Some(early) = viewing.early.take() else { return };
        let shown_ns = self.pace.real_ns(viewing.scheduled_ns).min(ends_ns);
        viewing.stock.shown_ns = shown_ns;
        let (sooner_ns, is_over) = (viewing.sooner_ns().cast_signed(), viewing.is_over);
        early.viewers.into_iter().for_each(|viewer| self.began(viewer, shown_ns));
        for (margin_ns, is_read) in early.margins_ns {
            self.there(margin_ns.saturating_sub(sooner_ns), is_read);
        }
        if is_over {
            self.over(id);
        }
    }

    /// A viewer sees his first picture at `shown_ns`.
    pub(super) fn began(&mut self, viewer: Viewer, shown_ns: u64) {
        let waited_ns = shown_ns - viewer.came_ns;
        self.found.startups_ns.push(waited_ns);
        if viewer.at_once {
            self.found.at_once_max_ns = self.found.at_once_max_ns.max(waited_ns);
        }
    }
}
