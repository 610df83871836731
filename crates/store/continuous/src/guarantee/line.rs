//! Who waits for a promise, and whose turn it is. Pure.
//!
//! Those who wait are served in the order in which they came, whatever they ask for: a small wish behind a large one waits for it. Who
//! does not wait takes what is free, but may overtake whoever is next only so often; then what is given back is kept
//! for him. So everybody has his turn once those before him were served or have left.

use std::collections::VecDeque;

/// How often those who don't wait may overtake the one whose turn it is.
pub(crate) const OVERTAKEN_MAX: u32 = 8;

/// A place in the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(u64);

/// Those who wait, the next first.
#[derive(Debug, Default)]
pub(crate) struct Line {
    waiting: VecDeque<Ticket>,
    next: u64,
    /// How often the first of them was overtaken.
    overtaken: u32,
}

impl Line {
    /// Somebody begins to wait, behind all others.
    pub(crate) fn join(&mut self) -> Ticket {
        let ticket = Ticket(self.next);
        self.next += 1;
        self.waiting.push_back(ticket);
        ticket
    }

    /// Somebody does not wait any more: he was served, or has left.
    pub(crate) fn leave(&mut self, ticket: Ticket) {
        let before = self.first();
        self.waiting.retain(|waiting| *waiting != ticket);
        if self.first() != before {
            self.overtaken = 0;
        }
    }

    /// Whose turn it is.
    pub(crate) fn first(&self) -> Option<Ticket> {
        self.waiting.front().copied()
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Where somebody stands: 1 is next. `None` if he does not wait.
    pub(crate) fn position(&self, ticket: Ticket) -> Option<usize> {
        self.waiting.iter().position(|waiting| *waiting == ticket).map(|at| at + 1)
    }

    /// Whether it may be tried to serve this one, or with `None` somebody who does not wait.
    pub(crate) fn may_try(&self, ticket: Option<Ticket>) -> bool {
        match ticket {
            Some(ticket) => self.first() == Some(ticket),
            None => self.waiting.is_empty() || self.overtaken < OVERTAKEN_MAX,
        }
    }

    /// This one was served, or with `None` somebody who did not wait.
    pub(crate) fn served(&mut self, ticket: Option<Ticket>) {
        match ticket {
            Some(ticket) => self.leave(ticket),
            None if !self.waiting.is_empty() => self.overtaken += 1,
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Join,
        /// Of those who wait, this one leaves.
        Leave(usize),
        /// Of those who wait, this one is tried; whether the disks have time.
        Try(usize, bool),
        /// Somebody who does not wait is tried.
        Pass(bool),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            3 => Just(Step::Join),
            1 => (0..8_usize).prop_map(Step::Leave),
            2 => (0..8_usize, any::<bool>()).prop_map(|(who, fits)| Step::Try(who, fits)),
            4 => any::<bool>().prop_map(Step::Pass),
        ];
        prop::collection::vec(step, 1..200)
    }

    proptest! {
        /// First come, first served; who has left is not served; and nobody is overtaken for ever.
        #[test]
        fn everybody_has_his_turn(steps in steps()) {
            let mut line = Line::default();
            let (mut waiting, mut gone, mut served) = (Vec::new(), Vec::new(), Vec::new());
            // How often somebody who did not wait was served since this one was next.
            let mut passed = 0;
            for step in steps {
                let first = waiting.first().copied();
                match step {
                    Step::Join => waiting.push(line.join()),
                    Step::Leave(who) if who < waiting.len() => {
                        let ticket = waiting.remove(who);
                        line.leave(ticket);
                        gone.push(ticket);
                    }
                    Step::Try(who, fits) if who < waiting.len() => {
                        let ticket = waiting[who];
                        prop_assert_eq!(line.may_try(Some(ticket)), who == 0);
                        if who == 0 && fits {
                            line.served(Some(ticket));
                            served.push(waiting.remove(0));
                        }
                    }
                    Step::Pass(fits) => {
                        let may = line.may_try(None);
                        prop_assert!(may || passed == OVERTAKEN_MAX, "{passed}");
                        if may && fits {
                            line.served(None);
                            passed += u32::from(!waiting.is_empty());
                        }
                    }
                    Step::Leave(_) | Step::Try(..) => {}
                }
                if waiting.first().copied() != first {
                    passed = 0;
                }
                prop_assert!(passed <= OVERTAKEN_MAX);
                prop_assert_eq!(line.len(), waiting.len());
                for (at, ticket) in waiting.iter().enumerate() {
                    prop_assert_eq!(line.position(*ticket), Some(at + 1));
                }
                let known = gone.iter().chain(&served).any(|one| line.position(*one).is_some() || line.may_try(Some(*one)));
                prop_assert!(!known, "who is gone is not served");
            }
            prop_assert!(served.is_sorted());
        }
    }
}
