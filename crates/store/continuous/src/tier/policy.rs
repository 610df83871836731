//! Which segments are to go out: pure.
//!
//! Three things are weighed: age sends out, what was played stays, and where room is needed what was used longest ago
//! goes first, whatever its age.

use std::time::Duration;

use pegasus_base::Time;

/// What was asked for so lately stays in any case: it would come back at once.
const STAY_MIN: Duration = Duration::from_secs(600);
/// Playing a segment more often than that makes no difference.
const PLAYS_MAX: u32 = 8;

/// A segment on disk that may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// End of its last unit.
    pub(crate) end: Time,
    /// Room that its going gives.
    pub(crate) bytes: u64,
    /// When it was played last, and how often of late.
    pub(crate) asked: Option<Time>,
    pub(crate) plays: u32,
    /// It is to go when it is so old. `None`: only where room is needed.
    pub(crate) after: Option<Duration>,
}

/// What they are judged by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Judge {
    pub(crate) now: Time,
    /// Bytes free, and how many there should be.
    pub(crate) free_bytes: u64,
    pub(crate) wanted_bytes: u64,
    /// How long a segment stays after it was played once; as many times as long if it was played as often.
    pub(crate) keep: Duration,
}

impl Judge {
    /// Which of `candidates` go, in that order.
    pub(crate) fn choose(&self, candidates: &[Candidate]) -> Vec<usize> {
        let mut chosen: Vec<usize> =
            (0..candidates.len()).filter(|at| self.is_due(&candidates[*at])).collect();
        chosen.sort_by_key(|at| candidates[*at].end);
        let mut free = self.free_bytes;
        let add = |free: u64, at: &usize| free.saturating_add(candidates[*at].bytes);
        free = chosen.iter().fold(free, add);
        let mut rest: Vec<usize> = (0..candidates.len())
            .filter(|at| !chosen.contains(at) && !self.stays(&candidates[*at], STAY_MIN))
            .collect();
        rest.sort_by_key(|at| last_use(&candidates[*at]));
        for at in rest {
            if free >= self.wanted_bytes {
                break;
            }
            free = add(free, &at);
            chosen.push(at);
        }
        chosen
    }

    /// Whether its age sends it out.
    fn is_due(&self, candidate: &Candidate) -> bool {
        let keep = self.keep.saturating_mul(candidate.plays.clamp(1, PLAYS_MAX));
        let old = candidate.after.is_some_and(|after| candidate.end < self.now - after);
        old && !self.stays(candidate, keep.max(STAY_MIN))
    }

    fn stays(&self, candidate: &Candidate, keep: Duration) -> bool {
        candidate.asked.is_some_and(|asked| asked > self.now - keep)
    }
}

fn last_use(candidate: &Candidate) -> Time {
    candidate.end.max(candidate.asked.unwrap_or(Time::MIN))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DAY: Duration = Duration::from_secs(86_400);
    const NOW: i64 = 1_700_000_000;

    fn aged(days: u32) -> Candidate {
        let end = Time::from_secs(NOW) - DAY * days;
        Candidate { end, bytes: 100, asked: None, plays: 0, after: Some(DAY * 7) }
    }

    fn judge(free_bytes: u64, wanted_bytes: u64) -> Judge {
        Judge { now: Time::from_secs(NOW), free_bytes, wanted_bytes, keep: DAY }
    }

    #[test]
    fn the_old_go_oldest_first_and_the_young_stay() {
        let all = [aged(8), aged(2), aged(30), aged(6)];
        assert_eq!(judge(1_000, 500).choose(&all), [2, 0]);
    }

    #[test]
    fn what_was_played_stays_for_a_while_and_longer_if_it_was_played_often() {
        let played = |hours: u32, plays| Candidate {
            asked: Some(Time::from_secs(NOW) - Duration::from_secs(3_600) * hours),
            plays,
            ..aged(30)
        };
        let all = [played(2, 1), played(30, 1), played(30, 2), played(24 * 9, 100)];
        assert_eq!(judge(1_000, 500).choose(&all), [1, 3]);
    }

    #[test]
    fn where_room_is_needed_what_was_used_longest_ago_goes_first() {
        let never = |days| Candidate { after: None, ..aged(days) };
        let played = Candidate { asked: Some(Time::from_secs(NOW) - DAY), plays: 9, ..never(50) };
        let all = [never(3), played, never(9), never(5)];
        assert_eq!(judge(500, 700).choose(&all), [2, 3]);
        assert_eq!(judge(500, 10_000).choose(&all), [2, 3, 0, 1], "in the end all");
        assert_eq!(judge(700, 700).choose(&all), [] as [usize; 0]);
    }

    #[test]
    fn what_has_just_come_back_does_not_go_again() {
        let back = Candidate {
            asked: Some(Time::from_secs(NOW) - Duration::from_secs(60)),
            plays: 1,
            ..aged(400)
        };
        assert_eq!(judge(0, u64::MAX).choose(&[back]), [] as [usize; 0]);
    }

    fn candidates() -> impl Strategy<Value = Vec<Candidate>> {
        let one = (
            0i64..1_000_000,
            1u64..1_000,
            proptest::option::of(0i64..1_000_000),
            0u32..20,
            proptest::option::of(0u64..500_000),
        );
        let one = one.prop_map(|(age, bytes, asked, plays, after)| Candidate {
            end: Time::from_secs(NOW - age),
            bytes,
            asked: asked.map(|ago| Time::from_secs(NOW - ago)),
            plays,
            after: after.map(Duration::from_secs),
        });
        proptest::collection::vec(one, 0..40)
    }

    proptest! {
        #[test]
        fn what_goes_is_due_or_needed(
            all in candidates(), free in 0u64..20_000, wanted in 0u64..20_000,
        ) {
            let judge = judge(free, wanted);
            let chosen = judge.choose(&all);
            let mut once = chosen.clone();
            once.sort_unstable();
            once.dedup();
            prop_assert_eq!(once.len(), chosen.len(), "nothing goes twice");
            let due = chosen.iter().filter(|at| judge.is_due(&all[**at])).count();
            prop_assert_eq!(due, all.iter().filter(|one| judge.is_due(one)).count());
            // Whatever else goes was needed: without the last one there is too little.
            if due < chosen.len() {
                let but_last = &chosen[..chosen.len() - 1];
                let free: u64 = free + but_last.iter().map(|at| all[*at].bytes).sum::<u64>();
                prop_assert!(free < wanted);
            }
            // If there is still too little, only what must stay is left.
            let freed: u64 = free + chosen.iter().map(|at| all[*at].bytes).sum::<u64>();
            if freed < wanted {
                let left = (0..all.len()).filter(|at| !chosen.contains(at));
                for at in left {
                    prop_assert!(judge.stays(&all[at], STAY_MIN));
                }
            }
            // Nothing goes that was asked for just now.
            for at in chosen {
                prop_assert!(!judge.stays(&all[at], STAY_MIN));
            }
        }
    }
}
