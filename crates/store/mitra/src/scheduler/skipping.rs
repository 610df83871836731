//! What becomes of playbacks whose viewers hold enough for now (Mitra, "PM-driven scheduling").

use super::{Playback, PlaybackId, Scheduler};
use crate::account::{Load, Turn};
use crate::{Cycles, Error, Interval};

impl Playback {
    /// The block that is read in `period`, unless that is skipped. `begins`: the period of its first one.
    pub(super) fn block_in(&self, period: u64, begins: u64) -> Option<u64> {
        (!self.skips.contains(&period)).then(|| period - begins - self.skipped)
    }
}

impl Scheduler {
    /// Reads nothing for a playback in so many cycles of periods from its next turn on, or, if it skips already, in so many more; then
    /// goes on with the block that it would have read. What is promised to it stays promised. Whoever has joined it skips, too: all of them have the
    /// same blocks at the same time. What is unknown has ended already.
    ///
    /// # Errors
    /// [`Error::Unbegun`] if its first block was not asked for yet.
    pub fn skip(&mut self, id: PlaybackId, cycles: Cycles) -> Result<(), Error> {
        let (now, periods) = (self.now, cycles.0.saturating_mul(self.shape.cycle()));
        let Some(group) = self.group_of.get(&id) else { return Ok(()) };
        let next = self.next_turn(*group);
        let found = self.playbacks[*group as usize].get_mut(&id);
        let Some(playback) = found else { return Ok(()) };
        if playback.first > now {
            return Err(Error::Unbegun(id.0));
        }
        if playback.skips.end <= next {
            // That of the turn before has to be known as long as its period lasts.
            let from = if playback.skips.end == next { playback.skips.start } else { next };
            playback.skips = from..next;
        }
        playback.skips.end = playback.skips.end.saturating_add(periods);
        playback.skipped = playback.skipped.saturating_add(periods);
        Ok(())
    }

    /// For whom a block is read in `interval`, the one after the last tick's, unless he skips it.
    pub fn due(&self, interval: Interval) -> impl Iterator<Item = PlaybackId> + '_ {
        let (group, period) = (self.shape.group_of(interval), self.shape.period_of(interval));
        let is_due = move |one: &Playback| one.first <= interval && !one.skips.contains(&period);
        let all = self.playbacks[group as usize].iter();
        all.filter(move |(_, one)| is_due(one)).map(|(id, _)| *id)
    }

    /// Whether it is worth going on at once when disks are done: somebody waits for the place to come by at which he was admitted, or is read for at
    /// his next turn and `takes` a block more.
    pub fn is_wanted(&self, mut takes: impl FnMut(PlaybackId) -> bool) -> bool {
        self.playbacks.iter().zip(0..).any(|(group, number)| {
            let next = self.next_turn(number);
            let mut all = group.iter();
            all.any(|(id, one)| one.first > self.now || !one.skips.contains(&next) && takes(*id))
        })
    }

    /// The period in which `group` is served next.
    fn next_turn(&self, group: u32) -> u64 {
        let period = self.shape.period_of(self.now);
        period + u64::from(group <= self.shape.group_of(self.now))
    }

    /// Lets others have the time of those who skip the turn that is under way.
    pub(super) fn spare(&mut self, skippers: &[(u32, u32, Load)]) {
        let (group, in_round) = (self.shape.group_of(self.now), self.in_round());
        let mut skipped = vec![Load::default(); self.accounts.len()];
        for (home, count, load) in skippers {
            for number in self.virtual_disks(*home, *count) {
                let sum = &mut skipped[number as usize];
                *sum = sum.and(*load);
            }
        }
        for (account, load) in self.accounts.iter_mut().zip(skipped) {
            if load.reads > 0 {
                account.spare(&self.shape, group, in_round, load);
            }
        }
    }

    /// What of `playback`, which is in `group`, was ordered in the period under way.
    pub(super) fn turn(&self, playback: &Playback, group: u32) -> Turn {
        if playback.first > self.now || group > self.shape.group_of(self.now) {
            return Turn::ToCome;
        }
        let at = if self.shape.swept() == 1 { group as usize } else { self.in_round() };
        match playback.skips.contains(&self.shape.period_of(self.now)) {
            true => Turn::Skipped(at),
            false => Turn::Read(at),
        }
    }

    fn in_round(&self) -> usize {
        self.shape.in_round(self.now)
    }
}

#[cfg(test)]
mod tests {
    use crate::*;

    /// Three disks, so that a skip is three periods or a multiple.
    fn scheduler() -> Scheduler {
        let knobs = Knobs {
            disks: 3,
            stride: 1,
            period_ns: 1_000_000_000,
            groups: 2,
            window: 1,
            zones: 1,
            zoning: Zoning::Fixb,
            degraded: Degraded::None,
        };
        let media =
            vec![Media { name: "video".to_owned(), rate_bps: 4_000_000, width: 1, pieces: 1 }];
        Scheduler::new(Shape::new(&[sample::today()], knobs, media).unwrap()).unwrap()
    }

    fn request() -> Request {
        Request { object: 1, media: 0, origin: Origin { disk: 0, zone: 0 }, blocks: 5, load: None }
    }

    /// The periods in which blocks are read until all are, and which.
    fn rest(scheduler: &mut Scheduler, intervals: std::ops::Range<u64>) -> Vec<(u64, u64)> {
        let read = |interval| {
            let orders = scheduler.tick(Interval(interval)).orders;
            orders.into_iter().map(move |order| (interval / 2, order.block))
        };
        intervals.flat_map(read).collect()
    }

    #[test]
    fn who_skips_goes_on_by_himself_where_he_was() {
        let mut scheduler = scheduler();
        scheduler.tick(Interval(0));
        let id = scheduler.admit(Interval(0), 0, &request()).unwrap().id;
        assert_eq!(rest(&mut scheduler, 1..4), [(1, 1)]);
        scheduler.skip(id, Cycles(0)).unwrap();
        scheduler.skip(id, Cycles(1)).unwrap();
        scheduler.skip(id, Cycles(1)).unwrap();
        assert!(!scheduler.is_wanted(|_| true), "nobody is read for");
        assert_eq!(scheduler.playing(), 1);
        assert!(scheduler.promised() > 0.0, "what is promised stays promised");
        assert_eq!(rest(&mut scheduler, 4..18), [(8, 2)], "periods 2 to 7 are left out");
        scheduler.skip(id, Cycles(1)).unwrap();
        assert_eq!(rest(&mut scheduler, 18..40), [(12, 3), (13, 4)]);
        assert!(scheduler.is_idle());
        scheduler.skip(id, Cycles(1)).expect("it has ended, which is no fault");
    }

    #[test]
    fn who_has_not_begun_has_nothing_to_skip_for() {
        let mut scheduler = scheduler();
        let later = Request { origin: Origin { disk: 1, zone: 0 }, ..request() };
        // It joins the batch that is under way: all the time of the first interval but a little is over.
        let id = scheduler.admit(Interval(0), 499_999_999, &later).unwrap().id;
        assert!(scheduler.is_wanted(|_| false), "somebody waits for his place");
        let error = scheduler.skip(id, Cycles(1)).unwrap_err();
        assert!(error.to_string().contains("let its first block be read"), "{error}");
        assert!(scheduler.skip(id, Cycles(0)).is_err());
    }

    /// What is left of a batch that somebody skips is others' until the period ends, and then his again.
    #[test]
    fn the_time_of_who_skips_is_others_for_now() {
        let fill = |skips: bool| {
            let mut scheduler = scheduler();
            scheduler.tick(Interval(0));
            let at_0 = |blocks| Request { blocks, ..request() };
            let mut ids = Vec::new();
            while let Ok(one) = scheduler.admit(Interval(0), 0, &at_0(1_000)) {
                ids.push(one.id);
            }
            (1..12).for_each(|interval| _ = scheduler.tick(Interval(interval)));
            if skips {
                ids.iter().for_each(|id| scheduler.skip(*id, Cycles(1)).unwrap());
            }
            // One who has gone leaves a place; the batch that is under way bears somebody late only if others spare its time.
            scheduler.tick(Interval(12));
            scheduler.end(ids[0]);
            let joined = scheduler.admit(Interval(12), 6_000_000_000, &request()).unwrap();
            assert!(scheduler.admit(Interval(12), 6_000_000_000, &request()).is_err(), "one place");
            joined.is_late
        };
        assert!(fill(true) && !fill(false));
    }
}
