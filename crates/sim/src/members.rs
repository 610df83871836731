//! Disks that are added and removed: what the operator asks for, and what the store makes of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use pegasus_continuous::Error;
use pegasus_disk::{Disk, SimDisk, TearAt};
use pegasus_log::{DiskIndex, DiskStatus, Log, LogError};

use crate::run::{Acknowledged, Action, Run};
use crate::{Finding, ensure};

/// No more disks than these beyond the width of a stripe.
const SPARE_DISKS: usize = 3;

fn index(at: usize) -> DiskIndex {
    DiskIndex(at as u16) // far fewer
}

/// Whether it is for want of room.
fn is_full(error: &Error) -> bool {
    matches!(error, Error::Full | Error::Log(LogError::Full { .. }))
}

impl Run {
    /// Something an operator does to the array.
    pub(crate) fn choose_for_disks(&mut self) -> Action {
        let leaving = self.rng.choice(self.atlas.leaving().clone());
        match (leaving, self.rng.u8(..8)) {
            (Some(at), 0) => return Action::Keep(at),
            (Some(_), 1..6) => return Action::Evacuate,
            _ => {}
        }
        let most = self.world.plan.disks() + SPARE_DISKS;
        let members: Vec<usize> = self.atlas.members().iter().copied().collect();
        if members.len() < most && self.rng.u8(..5) < 2 {
            return Action::Add;
        }
        let gone = members.iter().copied().filter(|at| self.atlas.is_gone(*at));
        let gone = self.rng.choice(gone.collect::<Vec<_>>()).filter(|_| self.rng.bool());
        Action::Remove(gone.unwrap_or_else(|| members[self.rng.usize(..members.len())]))
    }

    /// A blank disk is added, or one whose adding was cut short; some are dead on arrival.
    pub(crate) fn add_disk(&mut self) -> Result<Acknowledged, Finding> {
        let new = match self.world.strangers.pop() {
            Some(old) if self.rng.bool() => old,
            _ => self.new_disk(),
        };
        let new = new.counted_by(self.world.disks[0].counter());
        if self.rng.u8(..12) == 0 {
            new.kill();
        }
        let is_dead = new.probe().is_err();
        new.record();
        self.world.disks.push(new.clone());
        match self.world.store().store.add(Arc::new(new)) {
            Ok(()) => ensure(!is_dead, || "a dead disk was added".to_owned())?,
            Err(Error::CantAdd { .. }) if is_dead => self.coverage.note("disk not added"),
            Err(error) if self.world.plan.tight && is_full(&error) => {}
            Err(error) => return Err(Finding(format!("adding a disk failed: {error}"))),
        }
        Ok(Acknowledged::default())
    }

    /// As large as the others, or larger.
    fn new_disk(&mut self) -> SimDisk {
        let bytes = self.world.plan.disk_bytes;
        let bytes = match self.rng.u8(..4) {
            0 => bytes + bytes / 2,
            1 => 2 * bytes,
            _ => bytes,
        };
        self.blank_disk(bytes)
    }

    pub(crate) fn blank_disk(&mut self, bytes: u64) -> SimDisk {
        let label = format!("new{}", self.disks_made);
        self.disks_made += 1;
        let model = self.world.plan.model;
        SimDisk::new(&label, bytes).with_seed(self.rng.u64(..)).with_model(model)
    }

    /// A disk is to be removed.
    pub(crate) fn remove_disk(&mut self, at: usize) -> Result<Acknowledged, Finding> {
        let staying = self.atlas.members().len() - self.atlas.leaving().len();
        match self.world.store().store.remove_disk(index(at), None) {
            Ok(()) => {
                ensure(staying > self.world.plan.disks(), || {
                    format!("disk {at} is to be removed, and {staying} are all there are")
                })?;
                self.atlas.leaves(at);
                if self.recording {
                    self.in_doubt.insert(at);
                }
                self.coverage.note("disk to be removed");
            }
            Err(Error::CantRemove { .. }) => self.coverage.note("removal refused"),
            Err(error) => return Err(Finding(format!("removing disk {at} failed: {error}"))),
        }
        Ok(Acknowledged::default())
    }

    /// A disk that is being removed is to stay.
    pub(crate) fn keep_disk(&mut self, at: usize) -> Result<Acknowledged, Finding> {
        let kept = self.world.store().store.keep_disk(index(at));
        crate::must("calling a removal off", kept)?;
        self.coverage.note("removal called off");
        match self.recording {
            true => _ = self.in_doubt.insert(at),
            false => self.atlas.stays(at),
        }
        Ok(Acknowledged::default())
    }

    /// What is on disks that leave is moved to the others.
    pub(crate) fn evacuate(&mut self) -> Result<Acknowledged, Finding> {
        let leaving = self.atlas.leaving().clone();
        let old: Vec<(usize, SimDisk)> = match self.recording {
            true => Vec::new(),
            false => leaving.iter().map(|at| (*at, self.old_copy(*at))).collect(),
        };
        if !self.tend()? {
            self.coverage.note("removal stuck");
            return Ok(Acknowledged::default());
        }
        for at in leaving.iter().filter(|at| !self.atlas.is_harmed(**at)) {
            let is_member = Log::is_member(&self.world.disks[*at]);
            ensure(!is_member, || format!("disk {at} was removed and is not blank"))?;
        }
        for (at, old) in old {
            if self.rng.bool() {
                self.world.disks[at] = old;
            }
        }
        Ok(Acknowledged::default())
    }

    /// What somebody may find who kept a copy.
    fn old_copy(&mut self, at: usize) -> SimDisk {
        self.world.disks[at].crash(TearAt::Bytes4096, &mut self.rng)
    }

    /// Does all that the disks need; false if disks that leave can't be emptied.
    pub(crate) fn tend(&mut self) -> Result<bool, Finding> {
        let open = self.world.store();
        let tended = open.store.tend();
        let care = open.store.status().care;
        ensure(care.lost_blocks == 0, || {
            format!("{} blocks are lost: {:?}", care.lost_blocks, care.problems)
        })?;
        let left = open.log.leaving();
        match tended {
            Ok(()) if left.is_empty() => Ok(true),
            Ok(()) => Err(Finding(format!("it is done, and these still leave: {left:?}"))),
            Err(error) => {
                // Segments can't be moved into narrower ones: where some disk died, or has no room, that may be all there are.
                let harmed = (0..self.world.disks.len()).any(|at| self.atlas.is_harmed(at));
                let known = is_full(&error) || matches!(error, Error::CantRemove { .. });
                let excused = known && (self.world.plan.tight || harmed);
                ensure(excused && !left.is_empty(), || {
                    format!("looking after the disks failed: {error}; these leave: {left:?}")
                })?;
                Ok(false)
            }
        }
    }

    /// Compares the disks of the array with what the operator asked for, and goes on with those there are.
    pub(crate) fn settle_members(&mut self, listed: &[DiskStatus]) -> Result<(), Finding> {
        let there: BTreeSet<usize> = listed.iter().map(|disk| usize::from(disk.index.0)).collect();
        for at in self.atlas.members().clone().difference(&there) {
            let wanted = self.atlas.leaving().contains(at);
            ensure(wanted, || format!("the store goes on without disk {at}, which was to stay"))?;
            let what = match self.atlas.is_gone(*at) {
                true => "dead disk removed",
                false => "disk removed",
            };
            self.coverage.note(what);
            self.tell(|| format!("disk {at} is removed"));
            self.atlas.removed(*at);
            self.world.removed.insert(*at);
        }
        self.settle_newcomer(&there)?;
        let known = *self.atlas.members() == there;
        ensure(known, || format!("the store has disks {there:?}, not {:?}", self.atlas))?;
        let found = self.world.store().log.leaving();
        let found: BTreeSet<usize> = found.iter().map(|l| usize::from(l.disk.0)).collect();
        let asked = self.atlas.leaving();
        let forgotten = asked.difference(&found).any(|at| !self.in_doubt.contains(at));
        ensure(!forgotten && found.is_subset(asked), || {
            format!("disks {asked:?} are to be removed, and {found:?} are being removed")
        })?;
        for at in asked.clone().difference(&found) {
            self.atlas.stays(*at);
        }
        self.in_doubt.clear();
        self.check_capacity(listed)
    }

    /// The disk that was being added belongs to the array, or has to be added anew.
    fn settle_newcomer(&mut self, there: &BTreeSet<usize>) -> Result<(), Finding> {
        let at = self.world.disks.len() - 1;
        if self.atlas.members().contains(&at) || self.world.removed.contains(&at) {
            return Ok(());
        }
        if there.contains(&at) {
            self.coverage.note("disk added");
            self.tell(|| format!("disk {at} is added"));
            self.atlas.added(at);
            return Ok(());
        }
        self.tell(|| format!("disk {at} is not added"));
        self.world.strangers.extend(self.world.disks.pop());
        Ok(())
    }

    /// The store has the room of the disks it has.
    fn check_capacity(&self, listed: &[DiskStatus]) -> Result<(), Finding> {
        let status = self.world.store().log.status();
        let leaves = |disk: &&DiskStatus| self.atlas.leaving().contains(&usize::from(disk.index.0));
        let slots: u64 =
            listed.iter().filter(|disk| !leaves(disk)).map(|disk| u64::from(disk.slots)).sum();
        let bytes = slots * u64::from(status.unit_bytes);
        let columns = u64::from(status.data) + u64::from(status.parity);
        let right = status.capacity_bytes.abs_diff(bytes * u64::from(status.data) / columns);
        ensure(right <= u64::from(status.unit_bytes), || {
            format!("{slots} slots hold {} bytes: {status:?}", status.capacity_bytes)
        })
    }
}
