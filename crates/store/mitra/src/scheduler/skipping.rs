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
        let playback = found.expect("groups know theirs");
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
