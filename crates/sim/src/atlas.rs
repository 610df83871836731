//! Which disks may be harmed: never more than the stripe can bear.
//!
//! As many disks at a time as there is parity. While they lie, no other may; one that was given up has to be
//! replaced, removed, or to come back, and everything has to be gone over, before another may be harmed in its stead.
//! A disk that is being removed counts as any other.

use std::collections::{BTreeMap, BTreeSet};

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
    /// The disks of the array, by their numbers.
    members: BTreeSet<usize>,
    /// Those that the operator wants removed.
    leaving: BTreeSet<usize>,
    parity: usize,
    /// How wide stripes are.
    columns: usize,
    /// On all others every fragment is where it should be.
    harmed: BTreeMap<usize, Harm>,
    /// How many may be harmed at the same time. What was written while few disks lived has less parity for all
    /// time: a mirror's other half has none.
    most: usize,
}

impl Atlas {
    pub(crate) fn new(data: u8, parity: u8) -> Self {
        let columns = usize::from(data + parity);
        let most = usize::from(parity);
        let (leaving, harmed) = (BTreeSet::new(), BTreeMap::new());
        Self { members: (0..columns).collect(), leaving, parity: most, columns, harmed, most }
    }

    pub(crate) fn members(&self) -> &BTreeSet<usize> {
        &self.members
    }

    pub(crate) fn leaving(&self) -> &BTreeSet<usize> {
        &self.leaving
    }

    /// The disks to which this was done.
    pub(crate) fn with(&self, harm: Harm) -> Vec<usize> {
        let with = self.harmed.iter().filter(|(_, own)| **own == harm);
        with.map(|(disk, _)| *disk).collect()
    }

    pub(crate) fn is_gone(&self, disk: usize) -> bool {
        self.harmed.get(&disk) == Some(&Harm::Gone)
    }

    pub(crate) fn is_harmed(&self, disk: usize) -> bool {
        self.harmed.contains_key(&disk)
    }

    /// How many are harmed.
    pub(crate) fn count(&self) -> usize {
        self.harmed.len()
    }

    /// Whether one more may be harmed.
    pub(crate) fn has_room(&self) -> bool {
        self.harmed.len() < self.most
    }

    /// A disk that may be made to lie (more).
    pub(crate) fn liar(&self, rng: &mut fastrand::Rng) -> Option<usize> {
        let lying = self.with(Harm::Lies);
        let others = self.members.iter().filter(|disk| !self.is_harmed(**disk)).copied();
        let another = self.has_room() && (lying.is_empty() || rng.bool());
        match another {
            true => rng.choice(others.collect::<Vec<_>>()),
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
        // Nothing new is put on one that leaves either, as long as the others are as many as a stripe is wide.
        let living = || self.members.iter().filter(|disk| !self.is_gone(**disk));
        let staying = living().filter(|disk| !self.leaving.contains(*disk)).count();
        let taking = if staying < self.columns { living().count() } else { staying };
        self.most = self.most.min(self.parity.min(taking.saturating_sub(1)));
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

    /// The array has this disk, too.
    pub(crate) fn added(&mut self, disk: usize) {
        self.members.insert(disk);
    }

    /// The disk is to be removed.
    pub(crate) fn leaves(&mut self, disk: usize) {
        self.leaving.insert(disk);
    }

    /// The disk is to stay.
    pub(crate) fn stays(&mut self, disk: usize) {
        self.leaving.remove(&disk);
    }

    /// The disk is no part of the array any more: nothing that is alive is on it.
    pub(crate) fn removed(&mut self, disk: usize) {
        self.members.remove(&disk);
        self.leaving.remove(&disk);
        self.harmed.remove(&disk);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn harm_all(atlas: &mut Atlas, rng: &mut fastrand::Rng) {
        for _ in 0..50 {
            if let Some(disk) = atlas.liar(rng) {
                atlas.lies(disk);
            }
        }
    }

    #[test]
    fn as_many_as_there_is_parity() {
        let mut rng = fastrand::Rng::with_seed(1);
        for (data, parity) in [(4, 1), (1, 1), (4, 2), (2, 2), (1, 2), (3, 0)] {
            let mut atlas = Atlas::new(data, parity);
            harm_all(&mut atlas, &mut rng);
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

    #[test]
    fn what_was_removed_is_harmed_no_more_and_makes_room() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut atlas = Atlas::new(4, 1);
        atlas.added(5);
        atlas.lies(3);
        assert!(atlas.gone(3) && !atlas.has_room());
        atlas.leaves(3);
        assert!(!atlas.has_room(), "it counts until it is removed");
        atlas.removed(3);
        harm_all(&mut atlas, &mut rng);
        assert!(atlas.count() == 1 && !atlas.is_harmed(3));
    }

    #[test]
    fn a_mirror_that_writes_to_one_disk_has_no_parity() {
        let mut atlas = Atlas::new(1, 1);
        atlas.lies(1);
        assert!(atlas.gone(1));
        atlas.repaired();
        assert!(!atlas.has_room(), "what it wrote then has one copy");
    }

    #[test]
    fn one_that_leaves_is_used_while_the_others_are_too_few() {
        let mut atlas = Atlas::new(1, 1);
        atlas.added(2);
        atlas.leaves(0);
        atlas.lies(1);
        assert!(atlas.gone(1));
        atlas.repaired();
        assert!(atlas.has_room(), "new segments were put on the one that leaves");
    }
}
