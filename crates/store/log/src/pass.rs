//! A pass over everything alive, step by step.
//!
//! First superblocks and pointers, then the log's own segments and those that are open, then what the
//! owners of continuous segments list, in an order of theirs that does not change. Pure but for the disks:
//! it looks at no clock and waits for nothing else. Between two steps it may be put down for good, and
//! taken up at its [`Position`].

use crate::mend::{Listed, Mended, Pace, Scope};
use crate::{DiskIndex, Log, LogError};

/// A place in the owners' order: a number of theirs that is never used again, as that of a pnode; and
/// one within.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Of what the owner keeps lists of segments in.
    pub list: u64,
    /// In it.
    pub record: u64,
}

/// Those who own sealed continuous segments.
pub trait Owners {
    /// A few segments from `from` on, as the log has them committed at the moment - nothing that was kept
    /// in memory - and where to go on; `None` at the end. Open ones need not be listed.
    ///
    /// # Errors
    /// If the lists can't be read.
    fn list(&self, log: &Log, from: Position) -> Result<(Vec<Listed>, Option<Position>), LogError>;
}

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Heads,
    Own,
    Owned(Position),
    Over,
}

/// A pass.
#[derive(Clone, Debug)]
pub struct Pass {
    scope: Scope,
    stage: Stage,
    mended: Mended,
}

impl Pass {
    /// A new pass.
    #[must_use]
    pub fn new(scope: Scope) -> Self {
        Self { scope, stage: Stage::Heads, mended: Mended::default() }
    }

    /// A pass that was put down; what is before is short and gone over again.
    #[must_use]
    pub fn resume(scope: Scope, at: Position) -> Self {
        Self { scope, stage: Stage::Owned(at), mended: Mended::default() }
    }

    /// Where it can be taken up again; `None` before it has come to the owners' segments.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        match self.stage {
            Stage::Owned(at) => Some(at),
            Stage::Heads | Stage::Own | Stage::Over => None,
        }
    }

    /// What it did so far.
    #[must_use]
    pub fn mended(&self) -> &Mended {
        &self.mended
    }

    /// Whether all was gone over.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.stage == Stage::Over
    }

    /// Goes on a little: some segments, unless `pace` says stop. Then it is where it was, and what it did
    /// is not done again but looked at.
    ///
    /// # Errors
    /// If the log takes no writes, or an owner's list can't be read; it may be asked again.
    pub fn step(&mut self, log: &Log, owners: &dyn Owners, pace: Pace<'_>) -> Result<(), LogError> {
        let mending = log.mending()?;
        let (listed, next) = match self.stage {
            Stage::Over => return Ok(()),
            Stage::Heads => {
                self.mended.add(mending.heads()?);
                (Vec::new(), Stage::Own)
            }
            Stage::Own => (mending.own_segments(), Stage::Owned(Position::default())),
            Stage::Owned(from) => {
                let (listed, next) = owners.list(log, from)?;
                (listed, next.map_or(Stage::Over, Stage::Owned))
            }
        };
        for segment in &listed {
            let mut going = true;
            let mended = mending.segment(segment, &self.scope, &mut |bytes| {
                going &= pace(bytes);
                going
            });
            self.mended.add(mended);
            if !going {
                return Ok(());
            }
        }
        self.stage = next;
        Ok(())
    }

    /// Slots in use that a pass of this scope goes over: what to compare [`Mended::slots`] with.
    #[must_use]
    pub fn slots_in_all(&self, log: &Log) -> u64 {
        let disks = log.status().disks;
        let covered = disks.iter().filter(|disk| self.scope.covers(disk.index));
        covered.map(|disk| u64::from(disk.slots - disk.free_slots)).sum()
    }

    /// The disks it is for, if not for all.
    #[must_use]
    pub fn covers(&self, disk: DiskIndex) -> bool {
        self.scope.covers(disk)
    }
}
