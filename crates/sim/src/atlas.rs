//! Which disk may be harmed: never more than the stripe can bear.
//!
//! One disk at a time. While it lies, no other may; when it was given up, it has to be replaced, or to come back,
//! and everything has to be gone over, before the next one may be harmed.

/// What is wrong at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Harm {
    /// Nothing: every fragment is where it should be.
    None,
    /// This disk may hold anything.
    Lies(usize),
    /// This disk does not take part.
    Gone(usize),
}

/// What has been done to the disks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Atlas {
    harm: Harm,
    /// Whether what is written while a disk is away has no parity for all time: a mirror's other half.
    mirror: bool,
    /// Whether a disk has been away since the last repair.
    was_gone: bool,
    /// Nothing may be harmed any more: there is no parity, or not everywhere.
    worn: bool,
}

impl Atlas {
    pub(crate) fn new(data: u8, parity: u8) -> Self {
        Self { harm: Harm::None, mirror: data == 1, was_gone: false, worn: parity == 0 }
    }

    pub(crate) fn harm(&self) -> Harm {
        self.harm
    }

    /// A disk that may be made to lie (more).
    pub(crate) fn liar(&self, disks: usize, rng: &mut fastrand::Rng) -> Option<usize> {
        match self.harm {
            _ if self.worn => None,
            Harm::None => Some(rng.usize(..disks)),
            Harm::Lies(disk) => Some(disk),
            Harm::Gone(_) => None,
        }
    }

    /// `disk` may hold anything from now on.
    pub(crate) fn lies(&mut self, disk: usize) {
        assert!(!self.worn && !matches!(self.harm, Harm::Gone(_)), "no disk may be harmed");
        assert!(self.harm == Harm::None || self.harm == Harm::Lies(disk), "one disk at a time");
        self.harm = Harm::Lies(disk);
    }

    /// The store gave `disk` up, or it is away. Whether that was to be expected.
    pub(crate) fn gone(&mut self, disk: usize) -> bool {
        let expected = self.harm == Harm::Lies(disk) || self.harm == Harm::Gone(disk);
        self.harm = Harm::Gone(disk);
        self.was_gone = true;
        expected
    }

    /// The disk takes part again, and lacks something.
    pub(crate) fn back(&mut self) {
        if let Harm::Gone(disk) = self.harm {
            self.harm = Harm::Lies(disk);
        }
    }

    /// Everything was gone over.
    pub(crate) fn repaired(&mut self) {
        self.harm = Harm::None;
        self.worn |= self.mirror && self.was_gone;
        self.was_gone = false;
    }
}
