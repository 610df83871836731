//! A disk more: the array gets room, and stripes stay as wide as they are.
//!
//! A segment's columns may be on any disks, so there may be more disks than a stripe has columns. Nothing is
//! moved: what is written from now on goes to the disks with the most room, the new one first.

use std::sync::Arc;

use pegasus_base::{DiskId, Time};
use pegasus_disk::Disk;

use crate::disks::Entry;
use crate::format::block::DISKS_MAX;
use crate::format::superblock::{Member, MemberState};
use crate::geometry::{SLOTS_MIN, bytes_for, slots_of, too_many_slots};
use crate::open::wipe;
use crate::replace::introduce;
use crate::room::slots_max;
use crate::writer::{Usage, Writer};
use crate::{DiskIndex, Log, LogError};

impl Log {
    /// Adds `disk` to the array, whatever was on it. When this returns, it is a member, durably; a crash
    /// before leaves the array with it or without it. In the latter case it has to be added anew.
    ///
    /// The array begins an epoch, so that one that goes on without the disk is not taken for one with it.
    ///
    /// # Errors
    /// [`LogError::CantAdd`] if it is too small, there are too many, or it fails: nothing has changed then.
    /// As [`Log::checkpoint`].
    pub fn add_disk(
        &self,
        disk: Arc<dyn Disk>,
        now: Time,
        rng: &mut fastrand::Rng,
    ) -> Result<DiskIndex, LogError> {
        let mut writer = self.writer.lock();
        self.check_writable()?;
        writer.now = now;
        self.settle_failures(&mut writer)?;
        let label = disk.label();
        let slots = self.check_addable(&*disk)?;
        // So that nothing of the epoch that ends is in doubt.
        self.write_checkpoint(&mut writer, now, false)?;
        let index = DiskIndex(writer.superblock.members.len() as u16); // fewer than DISKS_MAX
        let member = Member::new(DiskId::random(rng), slots, MemberState::Ok);
        let mut superblock = writer.superblock.clone();
        superblock.members.push(member);
        superblock.epoch += 1;
        superblock.open_id = now.as_ns().cast_unsigned();
        // The new disk first: the others must not tell of one that does not know of itself.
        wipe(std::slice::from_ref(&disk))
            .and_then(|()| introduce(&*disk, &superblock, index))
            .map_err(|error| LogError::CantAdd { disk: label.clone(), why: error.to_string() })?;
        superblock.epoch -= 1;
        writer.superblock = superblock;
        self.enlarge(&mut writer, slots, Entry::new(&member, label.clone(), Some(disk)));
        self.begin_epoch(&mut writer, Some(index))?;
        self.write_checkpoint(&mut writer, now, true)?;
        // The other of its two pointers.
        self.write_checkpoint(&mut writer, now, false)?;
        tracing::info!(path = label, %index, "a disk was added");
        Ok(index)
    }

    /// The disk is there from now on, for everybody at the same time.
    fn enlarge(&self, writer: &mut Writer, slots: u32, entry: Entry) {
        let mut shared = self.shared.write();
        self.array.geometry.slots.push(slots);
        self.array.disks.add(entry);
        writer.alloc.add(slots);
        shared.usage = Usage::of(&self.array, writer);
    }

    /// The slots a disk has that may be added.
    fn check_addable(&self, disk: &dyn Disk) -> Result<u32, LogError> {
        let cant = |why: String| Err(LogError::CantAdd { disk: disk.label(), why });
        let geometry = &self.array.geometry;
        if geometry.disks() >= DISKS_MAX {
            return cant(format!("the store has {DISKS_MAX} disks, as many as there may be"));
        }
        let slots = slots_of(disk.size(), geometry.unit_bytes);
        if slots < SLOTS_MIN {
            let least = bytes_for(SLOTS_MIN, geometry.unit_bytes);
            return cant(format!("it has {} bytes, and {least} are needed", disk.size()));
        }
        let all: u64 = geometry.slots.iter().map(u64::from).sum::<u64>() + u64::from(slots);
        if all > slots_max(geometry.parity, geometry.unit_bytes) {
            return cant(too_many_slots(geometry.parity, geometry.unit_bytes));
        }
        Ok(slots)
    }
}
