//! Faults, and when they strike.

use crate::Op;

/// Something that goes wrong with one operation of a simulated disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The read fails; the next may succeed.
    ReadError,
    /// One sector of those read has become unreadable, until it is written again.
    BadSector,
    /// One bit of those read has flipped on the medium.
    BitRot,
    /// The write fails, with any part of it done.
    WriteError,
    /// The write is reported done and never happens.
    LostWrite,
    /// The write is reported done and happens somewhere else.
    MisdirectedWrite,
    /// The write is reported done and only a part of it happens.
    TornWrite,
    /// The flush fails; of the writes it should have made durable each may or may not be, and no
    /// later flush will tell.
    FlushError,
    /// The disk is dead from here on, this operation included.
    Death,
    /// The operation takes so much longer, on the disk's virtual clock.
    Slow {
        /// By how much, in microseconds.
        by_us: u64,
    },
}

impl Fault {
    /// Whether it can strike an operation of this kind.
    pub(super) fn strikes(self, op: Op) -> bool {
        match self {
            Self::ReadError | Self::BadSector | Self::BitRot => op == Op::Read,
            Self::WriteError | Self::LostWrite | Self::MisdirectedWrite | Self::TornWrite => {
                op == Op::Write
            }
            Self::FlushError => op == Op::Flush,
            Self::Death | Self::Slow { .. } => true,
        }
    }
}

/// When a fault strikes, among the operations it can strike at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// Once: the first operation with this number or a later one. 0 is the next one.
    Once {
        /// Number of the operation, as its [`super::OpCounter`] counts.
        from_op: u64,
    },
    /// Every operation from this number on.
    Always {
        /// Number of the operation.
        from_op: u64,
    },
    /// Each operation with this probability, drawn from the disk's seed.
    Chance {
        /// Probability in millionths.
        per_million: u32,
    },
}

/// The faults that may strike.
#[derive(Clone, Default)]
pub(super) struct Rules(Vec<(Fault, Trigger)>);

impl Rules {
    pub(super) fn add(&mut self, fault: Fault, trigger: Trigger) {
        self.0.push((fault, trigger));
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// The faults that strike operation `number`.
    pub(super) fn strike(&mut self, op: Op, number: u64, rng: &mut fastrand::Rng) -> Vec<Fault> {
        let mut struck = Vec::new();
        self.0.retain(|&(fault, trigger)| {
            let strikes = fault.strikes(op)
                && match trigger {
                    Trigger::Once { from_op } | Trigger::Always { from_op } => number >= from_op,
                    Trigger::Chance { per_million } => rng.u32(0..1_000_000) < per_million,
                };
            if strikes {
                struck.push(fault);
            }
            !(strikes && matches!(trigger, Trigger::Once { .. }))
        });
        struck
    }
}
