//! A new disk takes a failed one's place.
//!
//! It gets the failed disk's index, so that what has to be written to it goes where all maps say it is. It
//! is a member from the moment a superblock says so, and *rebuilding*: it takes what is written from
//! then on, and is read where its fragments verify. What it lacks, a [`Pass`](crate::Pass) writes.

use std::sync::Arc;

use pegasus_base::{DiskId, Time};
use pegasus_disk::{AlignedBuf, Disk};

use crate::disks::Entry;
use crate::format::superblock::{Member, MemberState, Superblock};
use crate::geometry::{bytes_for, slots_of, superblock_offsets};
use crate::open::wipe;
use crate::{DiskIndex, DiskState, Log, LogError};

impl Log {
    /// Puts `disk` in the place of a failed or missing one. What was on it is lost. When this returns, the
    /// array has the new disk, durably, and the old one will be refused; a crash before leaves either.
    ///
    /// The array begins an epoch: whatever the old disk is used for elsewhere, it is not mixed in.
    ///
    /// # Errors
    /// [`LogError::CantReplace`] if the place is not vacant, or the disk does not fit or fails: nothing has
    /// changed then. As [`Log::checkpoint`].
    pub fn replace_disk(
        &self,
        index: DiskIndex,
        disk: Arc<dyn Disk>,
        now: Time,
        rng: &mut fastrand::Rng,
    ) -> Result<DiskId, LogError> {
        let mut writer = self.writer.lock();
        self.check_writable()?;
        writer.now = now;
        self.settle_failures(&mut writer)?;
        let label = disk.label();
        let slots = self.check_vacant(index, &*disk)?;
        let cant = |why: String| LogError::CantReplace { disk: index, why };
        // So that nothing of the epoch that ends is in doubt.
        self.write_checkpoint(&mut writer, now, false)?;
        let member = Member::new(DiskId::random(rng), slots, MemberState::Rebuilding);
        let mut superblock = writer.superblock.clone();
        superblock.members[usize::from(index.0)] = member;
        superblock.epoch += 1;
        superblock.open_id = now.as_ns().cast_unsigned();
        // The new disk first: the others must not tell of one that does not know of itself.
        wipe(std::slice::from_ref(&disk))
            .and_then(|()| introduce(&*disk, &superblock, index))
            .map_err(|error| cant(error.to_string()))?;
        superblock.epoch -= 1;
        let entry = Entry::new(&member, label.clone(), Some(disk));
        self.array.disks.seat(index, entry);
        writer.superblock = superblock;
        self.begin_epoch(&mut writer, Some(index))?;
        self.write_checkpoint(&mut writer, now, true)?;
        tracing::info!(path = label, %index, "a new disk takes part and is being rebuilt");
        Ok(member.id)
    }

    /// The slots a disk must have to take the place of another that is no use any more.
    fn check_vacant(&self, index: DiskIndex, disk: &dyn Disk) -> Result<u32, LogError> {
        let cant = |why: String| Err(LogError::CantReplace { disk: index, why });
        let geometry = &self.array.geometry;
        let Some(slots) = geometry.slots.get(index) else {
            return cant(format!("the store has {} disks", geometry.disks()));
        };
        if geometry.parity == 0 {
            return cant("the store has no parity to rebuild it from".to_owned());
        }
        let entry = self.array.disks.entry(index);
        if entry.is_leaving() {
            return cant("it is being removed".to_owned());
        }
        let state = entry.state();
        if !matches!(state, DiskState::Failed | DiskState::Missing) {
            return cant("it has not failed".to_owned());
        }
        let found = slots_of(disk.size(), geometry.unit_bytes);
        if found < slots {
            return cant(format!(
                "disk {} has room for {found} slots of {} bytes, and {slots} are needed",
                disk.label(),
                geometry.unit_bytes
            ));
        }
        Ok(slots)
    }

    /// Bytes a disk must have to take the place of this one.
    #[must_use]
    pub fn disk_bytes(&self, index: DiskIndex) -> u64 {
        let geometry = &self.array.geometry;
        let slots = geometry.slots.get(index).unwrap_or(0);
        bytes_for(slots, geometry.unit_bytes)
    }

    /// The disks that lack what is to be written to them.
    #[must_use]
    pub fn rebuilding(&self) -> Vec<(DiskIndex, DiskId)> {
        let entries = self.array.disks.iter();
        let rebuilding = entries.filter(|(_, entry)| entry.state() == DiskState::Rebuilding);
        rebuilding.map(|(index, entry)| (index, entry.id)).collect()
    }

    /// A pass over everything alive has written all that these disks lacked, if they are still there: they
    /// are whole from now on.
    ///
    /// # Errors
    /// [`LogError::ReadOnly`], [`LogError::Poisoned`].
    pub fn rebuilt(&self, disks: &[(DiskIndex, DiskId)]) -> Result<(), LogError> {
        let mut writer = self.writer.lock();
        self.check_writable()?;
        let mut superblock = writer.superblock.clone();
        let mut changed = false;
        for (index, id) in disks {
            let entry = self.array.disks.entry(*index);
            if entry.id == *id && entry.rebuilt() {
                superblock.members[usize::from(index.0)].state = MemberState::Ok;
                changed = true;
                tracing::info!(path = entry.label, "disk rebuilt");
            }
        }
        if changed {
            self.write_superblocks(&mut superblock, None)?;
            writer.superblock = superblock;
        }
        Ok(())
    }
}

/// Writes a disk's first superblocks. As long as the epoch they begin is in no other disk's, and in no copies
/// 1 and 3, the other disks are not behind. So these are of the epoch before: they don't count, but
/// the disk is known by them if a cut spoils the first two while they are written again.
pub(crate) fn introduce(
    disk: &dyn Disk,
    superblock: &Superblock,
    index: DiskIndex,
) -> Result<(), LogError> {
    let own = Superblock { index, size_bytes: disk.size(), ..superblock.clone() };
    let older = Superblock { epoch: own.epoch - 1, update: 0, ..own.clone() };
    for (copies, superblock) in [([1, 3], older), ([0, 2], own)] {
        let sector = superblock.emit();
        for copy in copies {
            let offset = superblock_offsets(disk.size())[copy];
            pegasus_disk::write(disk, offset, AlignedBuf::from_slice(&sector))?;
        }
        pegasus_disk::flush(disk)?;
    }
    Ok(())
}
