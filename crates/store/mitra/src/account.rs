//! What is promised of each virtual disk, and whether more can be (Mitra, sections 3 and 4).

use std::cell::Cell;

use crate::Shape;

/// Reads that a virtual disk makes in each period for one group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// How many.
    pub reads: u32,
    /// Of how many bytes altogether.
    pub bytes: u64,
}

impl Load {
    pub(crate) fn and(self, more: Self) -> Self {
        Self { reads: self.reads + more.reads, bytes: self.bytes + more.bytes }
    }

    fn less(self, taken: Self) -> Self {
        Self { reads: self.reads - taken.reads, bytes: self.bytes - taken.bytes }
    }
}

/// By how much a disk's time does not suffice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Short {
    /// In which interval of its round: a group of the period, or a zone of the sweep.
    pub in_round: usize,
    /// By how much, in nanoseconds.
    pub by_ns: u64,
}

/// What a playback has of the period under way, and in which interval of its round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Its block was ordered.
    Read(usize),
    /// Its turn was, and it had none.
    Skipped(usize),
    /// Nothing yet.
    ToCome,
}

/// One virtual disk's promises.
///
/// The rule. A group's reads are asked for when its interval begins and have to be done a window later. Batches are served in the order
/// they are asked for, so each is done in time if, for any run of groups, what they take at worst does not exceed their
/// intervals by more than the slack: window less interval. A run may begin in one period and end in the next, on another virtual
/// disk; hence half of the slack for each side of the border. Where zones are swept by turns there is one group, and each zone's batch has its zone's share.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    /// By group.
    loads: Vec<Load>,
    /// What is billed for each interval of a round, in nanoseconds.
    bills_ns: Vec<u64>,
    /// What batches of the period under way take besides: reads that joined late, and those of playbacks that have ended since.
    extra_ns: Vec<u64>,
    /// What batches of the period under way take less than they are billed, as somebody skips them.
    spared_ns: Vec<u64>,
    /// What is left of each interval of the period under way when the reads that joined it late are over at worst, in nanoseconds.
    late_left_ns: Vec<u64>,
    /// By group, what was refused last, and why: until something changes it is again.
    refused: Vec<Cell<Option<(Load, bool, Short)>>>,
}

impl Account {
    pub(crate) fn new(shape: &Shape) -> Self {
        let (groups, round) = (shape.knobs().groups as usize, shape.shares_ns().len());
        Self {
            loads: vec![Load::default(); groups],
            bills_ns: vec![0; round],
            extra_ns: vec![0; round],
            spared_ns: vec![0; round],
            late_left_ns: vec![u64::MAX; round],
            refused: vec![Cell::default(); groups],
        }
    }

    /// Whether a virtual disk can make so many reads of so many bytes altogether in each period, spread evenly over groups.
    pub(crate) fn holds(shape: &Shape, all: Load) -> bool {
        let groups = u64::from(shape.knobs().groups);
        let share = |whole: u64, at: u64| (whole * (at + 1) / groups) - whole * at / groups;
        let load = |at: usize| Load {
            reads: share(u64::from(all.reads), at as u64) as u32,
            bytes: share(all.bytes, at as u64),
        };
        if shape.swept() > 1 {
            let mut zones = shape.shares_ns().iter().enumerate();
            return zones.all(|(zone, share)| shape.batch_ns(zone, all.reads, all.bytes) <= *share);
        }
        groups_fit(shape, |at| shape.batch_ns(0, load(at).reads, load(at).bytes)).is_ok()
    }

    /// Bytes read in each period.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> u64 {
        self.loads.iter().map(|load| load.bytes).sum()
    }

    /// Reads in each period.
    pub(crate) fn reads(&self) -> u32 {
        self.loads.iter().map(|load| load.reads).sum()
    }

    /// What is billed for a round, in nanoseconds.
    pub(crate) fn billed_ns(&self) -> u64 {
        self.bills_ns.iter().sum()
    }

    /// Whether `more` can be promised to `group`; if not, what is short. `at_once`: from the period under way on.
    pub(crate) fn fits(
        &self,
        shape: &Shape,
        group: u32,
        more: Load,
        at_once: bool,
    ) -> Result<(), Short> {
        let refused = &self.refused[group as usize];
        match refused.get() {
            Some((load, then, short)) if load == more && then == at_once => Err(short),
            _ => self.has_room(shape, group, more, at_once).inspect_err(|short| {
                refused.set(Some((more, at_once, *short)));
            }),
        }
    }

    fn has_room(&self, shape: &Shape, group: u32, more: Load, at_once: bool) -> Result<(), Short> {
        let load = self.loads[group as usize].and(more);
        let bill = |zone| shape.batch_ns(zone, load.reads, load.bytes);
        let changed = if shape.swept() > 1 { 0 } else { bill(0) };
        let billed = |at: usize| match shape.swept() {
            1 if at == group as usize => changed,
            1 => self.bills_ns[at],
            _ => bill(at),
        };
        let spares = self.spared_ns.iter().any(|spared| *spared > 0);
        // What is spared now is wanted again later.
        if !at_once || spares {
            fit(shape, group as usize, billed)?;
        }
        if at_once { fit(shape, group as usize, |at| self.now_ns(at, billed(at))) } else { Ok(()) }
    }

    /// What interval `at` of the period under way takes if it is billed `bill_ns` in the long run.
    fn now_ns(&self, at: usize, bill_ns: u64) -> u64 {
        (bill_ns + self.extra_ns[at]).saturating_sub(self.spared_ns[at])
    }

    /// Whether one read that takes `lone_ns` can still be made in interval `in_round` of the period under way, of which `left_ns`
    /// is left: it has to be over before the next batch is asked for, lest that one be late, and is made after those that joined before it.
    pub(crate) fn fits_late(
        &self,
        shape: &Shape,
        in_round: usize,
        lone_ns: u64,
        left_ns: u64,
    ) -> Result<(), Short> {
        if let Some(short) = over(in_round, lone_ns, left_ns.min(self.late_left_ns[in_round])) {
            return Err(short);
        }
        let lone = |at: usize| if at == in_round { lone_ns } else { 0 };
        fit(shape, in_round, |at| self.now_ns(at, self.bills_ns[at]) + lone(at))
    }

    /// Adds what joins interval `in_round` of the period under way late: in this one it is read by itself, which takes `lone_ns`,
    /// and only from the next on with the others.
    /// `left_ns` is left of the interval.
    pub(crate) fn join_late(
        &mut self,
        shape: &Shape,
        group: u32,
        more: Load,
        (in_round, lone_ns, left_ns): (usize, u64, u64),
    ) {
        let left_ns = left_ns.min(self.late_left_ns[in_round]);
        self.late_left_ns[in_round] = left_ns.saturating_sub(lone_ns);
        let before = self.bills_ns[in_round];
        self.add(shape, group, more);
        self.extra_ns[in_round] += (before + lone_ns).saturating_sub(self.bills_ns[in_round]);
    }

    /// What this account was before is still being read: nothing more fits into the period under way.
    pub(crate) fn close_period(&mut self, shape: &Shape) {
        self.extra_ns.copy_from_slice(shape.shares_ns());
    }

    /// A period begins: who joined the last one late rides the sweeps from now on.
    pub(crate) fn next_period(&mut self) {
        self.extra_ns.fill(0);
        self.spared_ns.fill(0);
        self.late_left_ns.fill(u64::MAX);
        self.refused.iter_mut().for_each(|refused| refused.set(None));
    }

    pub(crate) fn add(&mut self, shape: &Shape, group: u32, more: Load) {
        let load = &mut self.loads[group as usize];
        *load = load.and(more);
        self.bill(shape, group);
    }

    /// What `group` has just ordered for interval `in_round` leaves out `skipped`, which stays promised. Until the period ends others may have its time.
    pub(crate) fn spare(&mut self, shape: &Shape, group: u32, in_round: usize, skipped: Load) {
        let load = self.loads[group as usize].less(skipped);
        let zone = if shape.swept() > 1 { in_round } else { 0 };
        let takes_ns = shape.batch_ns(zone, load.reads, load.bytes);
        self.spared_ns[in_round] = self.bills_ns[in_round].saturating_sub(takes_ns);
        self.refused.iter_mut().for_each(|refused| refused.set(None));
    }

    /// Takes a promise back, of which the batch that was ordered last has what `turn` says.
    pub(crate) fn take(&mut self, shape: &Shape, group: u32, taken: Load, turn: Turn) {
        let at = match turn {
            Turn::Read(at) | Turn::Skipped(at) => at,
            Turn::ToCome => 0,
        };
        let before = self.bills_ns[at];
        let load = &mut self.loads[group as usize];
        *load = load.less(taken);
        self.bill(shape, group);
        let less_ns = before - self.bills_ns[at];
        match turn {
            Turn::Read(_) => self.extra_ns[at] += less_ns,
            Turn::Skipped(_) => {
                self.spared_ns[at] = self.spared_ns[at].saturating_sub(less_ns);
            }
            Turn::ToCome => {}
        }
    }

    fn bill(&mut self, shape: &Shape, group: u32) {
        self.refused.iter_mut().for_each(|refused| refused.set(None));
        let load = self.loads[group as usize];
        if shape.swept() == 1 {
            self.bills_ns[group as usize] = shape.batch_ns(0, load.reads, load.bytes);
            return;
        }
        for (zone, bill_ns) in self.bills_ns.iter_mut().enumerate() {
            *bill_ns = shape.batch_ns(zone, load.reads, load.bytes);
        }
    }
}

fn over(in_round: usize, takes_ns: u64, has_ns: u64) -> Option<Short> {
    let by_ns = takes_ns.saturating_sub(has_ns);
    (by_ns > 0).then_some(Short { in_round, by_ns })
}

/// Whether each interval bears what it is billed, and those of a period what they lend each other; if not, what is short, `asking` being the group
/// that more was asked for.
fn fit(shape: &Shape, asking: usize, billed: impl Fn(usize) -> u64) -> Result<(), Short> {
    if shape.swept() > 1 {
        let mut zones = shape.shares_ns().iter().enumerate();
        let short = zones.find_map(|(zone, share)| over(zone, billed(zone), *share));
        return short.map_or(Ok(()), Err);
    }
    groups_fit(shape, billed).map_err(|by_ns| Short { in_round: asking, by_ns })
}

/// Whether bills keep to the rule; if not, by how many nanoseconds the worst run exceeds it.
fn groups_fit(shape: &Shape, billed: impl Fn(usize) -> u64) -> Result<(), u64> {
    let slack = shape.slack_ns() as i64;
    // The most that a run ending here is over its intervals: any run, and one from the period's beginning.
    let (mut any, mut prefix, mut worst) = (0_i64, 0_i64, 0_i64);
    let mut least_prefix = 0_i64;
    for (at, share) in shape.shares_ns().iter().enumerate() {
        let over = billed(at) as i64 - *share as i64;
        any = any.max(0) + over;
        prefix += over;
        worst = worst.max(any - slack).max(prefix - slack / 2);
        least_prefix = least_prefix.min(prefix);
    }
    // The whole period may not be over at all, and a run to its end by half the slack.
    worst = worst.max(prefix).max(prefix - least_prefix - slack / 2);
    u64::try_from(worst).map_or(Ok(()), |by_ns| if by_ns == 0 { Ok(()) } else { Err(by_ns) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Degraded, Knobs, Media, Zoning, sample};

    fn shape(groups: u32, window: u32) -> Shape {
        let knobs = Knobs {
            disks: 3,
            stride: 1,
            period_ns: 1_000_000_000,
            groups,
            window,
            zones: 1,
            zoning: Zoning::Fixb,
            degraded: Degraded::None,
        };
        let media =
            vec![Media { name: "video".to_owned(), rate_bps: 4_000_000, width: 1, pieces: 1 }];
        Shape::new(&[sample::today()], knobs, media).unwrap()
    }

    const ONE: Load = Load { reads: 1, bytes: 500_000 };

    fn filled(shape: &Shape) -> Account {
        let mut account = Account::new(shape);
        let groups = shape.knobs().groups;
        while let Some(group) =
            (0..groups).find(|group| account.fits(shape, *group, ONE, true).is_ok())
        {
            account.add(shape, group, ONE);
        }
        account
    }

    #[test]
    fn a_wide_window_holds_what_one_group_would_but_for_longer_seeks() {
        let (strict, lent) = (shape(7, 1), shape(7, 7));
        let (strict, lent) = (filled(&strict).reads(), filled(&lent).reads());
        assert!(strict % 7 == 0, "a group by itself gives multiples of the groups: {strict}");
        assert!(lent > strict, "{lent} against {strict}");
        assert!(filled(&shape(1, 1)).reads() >= lent);
    }

    #[test]
    fn what_is_taken_back_can_be_given_again() {
        let shape = shape(4, 2);
        let mut account = filled(&shape);
        let full = account.billed_ns();
        assert!(account.fits(&shape, 0, ONE, true).is_err());
        account.take(&shape, 0, ONE, Turn::ToCome);
        assert!(account.fits(&shape, 0, ONE, true).is_ok());
        account.add(&shape, 0, ONE);
        assert_eq!(account.billed_ns(), full);
    }

    #[test]
    fn what_is_short_is_told_to_the_nanosecond() {
        let shape = shape(1, 1);
        let account = filled(&shape);
        let short = account.fits(&shape, 0, ONE, true).unwrap_err();
        let takes = shape.batch_ns(0, account.reads() + 1, account.bytes() + ONE.bytes);
        assert_eq!(short, Short { in_round: 0, by_ns: takes - 1_000_000_000 });
    }

    proptest! {
        /// The rule is enough: batches that take all they are billed, served in order, are never late, though
        /// periods follow each other on unlike virtual disks.
        #[test]
        fn batches_that_fit_are_in_time(
            groups in 1_u32..8, window in 1_u32..8, seeds in prop::collection::vec(prop::collection::vec(0_u64..400_000_000, 7), 1..4),
        ) {
            let shape = shape(groups, window.min(groups));
            let held: Vec<Vec<u64>> = seeds.iter().map(|bills| bills[..groups as usize].to_vec())
                .filter(|bills| groups_fit(&shape, |at| bills[at]).is_ok()).collect();
            prop_assume!(!held.is_empty());
            let mut free_ns = 0;
            for interval in 0..u64::from(groups) * 12 {
                let interval = crate::Interval(interval);
                let (period, group) = (shape.period_of(interval), shape.group_of(interval));
                let bill = held[period as usize % held.len()][group as usize];
                free_ns = shape.begins_ns(interval).max(free_ns) + bill;
                prop_assert!(free_ns <= shape.done_ns(interval) + 1, "{:?}", interval);
            }
        }
    }
}
