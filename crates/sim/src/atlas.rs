//! Which disks may be harmed: never more than the stripe can bear.
//!
//! As many disks at a time as there is parity. While they lie, no other may; one that was given up has to be
//! replaced, or to come back, and everything has to be gone over, before another may be harmed in its stead.

use std::collections::BTreeMap;

/// What is wrong with a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Harm {
    /// It may hold anything.
    Lies,
    /// It does not take part.
    Gone,
}

/// What has been done to the disks.
#[derive(Clone, Debug)]
pub(crate) struct Atlas {
    disks: usize,
    parity: usize,
    /// On all others every fragment is where it should be.
    harmed: BTreeMap<usize, Harm>,
    /// How many may be harmed at the same time. What was written while few disks lived has less parity for all
    /// time: a mirror's other half has none.
    most: usize,
}

impl Atlas {
    pub(crate) fn new(data: u8, parity: u8) -> Self {
        let (disks, parity) = (usize::from(data + parity), usize::from(parity));
        Self { disks, parity, harmed: BTreeMap::new(), most: parity }
    }

    /// The disks to which this was done.
    pub(crate) fn with(&self, harm: Harm) -> Vec<usize> {
        let with = self.harmed.iter().filter(|(_, own)| **own == harm);
        with.map(|(disk, _)| *disk).collect()
    }

    pub(crate) fn is_gone(&self, disk: usize) -> bool {
        self.harmed.get(&disk) == Some(&Harm::Gone)
    }

    /// How many are harmed.
    pub(crate) fn count(&self) -> usize {
        self.harmed.len()
    }

    /// A disk that may be made to lie (more).
    pub(crate) fn liar(&self, rng: &mut fastrand::Rng) -> Option<usize> {
        let lying = self.with(Harm::Lies);
        let mut others = (0..self.disks).filter(|disk| !self.harmed.contains_key(disk));
        let another = self.harmed.len() < self.most && (lying.is_empty() || rng.bool());
        match another {
            true => others.nth(rng.usize(..self.disks - self.harmed.len())),
            false if lying.len() > 1 => Some(lying[rng.usize(..lying.len())]),
            false => lying.first().copied(),
        }
    }

    /// `disk` may hold anything from now on.
    pub(crate) fn lies(&mut self, disk: usize) {
        assert!(!self.is_gone(disk), "what is gone can't be harmed");
        let known = self.harmed.insert(disk, Harm::Lies);
        assert!(known.is_some() || self.harmed.len() <= self.most, "no other disk may be harmed");
    }

    /// The store gave `disk` up, or it is away. Whether that was to be expected.
    pub(crate) fn gone(&mut self, disk: usize) -> bool {
        let expected = self.harmed.insert(disk, Harm::Gone).is_some();
        let living = self.disks - self.with(Harm::Gone).len();
        self.most = self.most.min(self.parity.min(living.saturating_sub(1)));
        expected
    }

    /// The disk takes part again, and lacks something.
    pub(crate) fn back(&mut self, disk: usize) {
        self.harmed.insert(disk, Harm::Lies);
    }

    /// Everything was gone over.
    pub(crate) fn repaired(&mut self) {
        self.harmed.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_as_there_is_parity() {
        let mut rng = fastrand::Rng::with_seed(1);
        for (data, parity) in [(4, 1), (1, 1), (4, 2), (2, 2), (1, 2), (3, 0)] {
            let mut atlas = Atlas::new(data, parity);
            for _ in 0..50 {
                if let Some(disk) = atlas.liar(&mut rng) {
                    atlas.lies(disk);
                }
            }
            assert_eq!(atlas.count(), usize::from(parity));
            for disk in atlas.with(Harm::Lies) {
                assert!(atlas.gone(disk));
            }
            assert_eq!(atlas.liar(&mut rng), None);
            atlas.repaired();
            let left = usize::from(parity).min(usize::from(data) - 1);
            assert_eq!(atlas.most, left, "{data}+{parity}");
        }
    }
}
