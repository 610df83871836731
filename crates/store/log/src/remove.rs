//! A disk less: what is on it is moved to the others, then the array goes on without it.
//!
//! From the beginning no new segment gets a column on it; it is read and written like the others meanwhile, or, if it died,
//! parity stands in for it. If then so many others die that stripes would become narrower, it is used again until they are
//! back: a disk that works is worth more than its removal. Segments are not moved column by column: their owners write
//! them anew, as with anything else that moves. The log does so with its own here, by cleaning them; owners of continuous segments with theirs.

use std::sync::Arc;

use pegasus_base::Time;
use pegasus_disk::Disk;

use crate::format::superblock::{Member, MemberState};
use crate::open::wipe;
use crate::writer::Writer;
use crate::{DiskIndex, DiskState, Log, LogError, SegmentRef};

/// What one step moves at most, in bytes that are alive.
const STEP_BYTES: u64 = 16 << 20;
/// A 16th of the room more than what is to be moved has to be there: for cleaning, and for what is recorded meanwhile.
const SPARE_SHARE: u64 = 16;

/// How far the removal of a disk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaving {
    /// Which disk.
    pub disk: DiskIndex,
    /// Its slots that something is in, or waits for a checkpoint.
    pub slots: u32,
}

impl Log {
    /// Begins to remove a disk: nothing new is put on it. What is there has to be moved by its owners then,
    /// with [`Log::move_own`]; [`Log::remove_disk`] ends it. It is remembered over a restart.
    ///
    /// # Errors
    /// [`LogError::CantRemove`] if too few disks or too little room would be left; [`LogError::ReadOnly`],
    /// [`LogError::Poisoned`].
    pub fn begin_removal(&self, index: DiskIndex) -> Result<(), LogError> {
        let mut writer = self.writer.lock();
        self.check_writable()?;
        self.check_removable(&writer, index)?;
        self.set_leaving(&mut writer, index, true)
    }

    /// The disk is to stay after all. What was moved stays where it is now.
    ///
    /// # Errors
    /// [`LogError::CantRemove`] if it was not about to be removed; [`LogError::ReadOnly`], [`LogError::Poisoned`].
    pub fn cancel_removal(&self, index: DiskIndex) -> Result<(), LogError> {
        let mut writer = self.writer.lock();
        self.check_writable()?;
        let known = writer.superblock.members.get(usize::from(index.0));
        if !known.is_some_and(|member| member.leaving) {
            return Err(self.cant_remove(index, "it is not being removed".to_owned()));
        }
        self.set_leaving(&mut writer, index, false)
    }

    fn set_leaving(
        &self,
        writer: &mut Writer,
        index: DiskIndex,
        leaving: bool,
    ) -> Result<(), LogError> {
        let mut superblock = writer.superblock.clone();
        superblock.members[usize::from(index.0)].leaving = leaving;
        self.write_superblocks(&mut superblock, None)?;
        writer.superblock = superblock;
        self.array.disks.entry(index).set_leaving(leaving);
        Ok(())
    }

    fn cant_remove(&self, index: DiskIndex, why: String) -> LogError {
        let known = usize::from(index.0) < self.array.geometry.disks();
        let disk = match known {
            true => self.array.disks.entry(index).label.clone(),
            false => index.to_string(),
        };
        LogError::CantRemove { disk, why }
    }

    fn check_removable(&self, writer: &Writer, index: DiskIndex) -> Result<(), LogError> {
        let cant = |why: String| Err(self.cant_remove(index, why));
        let geometry = &self.array.geometry;
        let Some(member) = writer.superblock.members.get(usize::from(index.0)) else {
            return cant(format!("the store has {} disks", geometry.disks()));
        };
        if member.leaving {
            return cant("it is being removed already".to_owned());
        }
        if member.state == MemberState::Removed {
            return cant("it is no disk of the store any more".to_owned());
        }
        let mut staying = self.array.disks.living_to_stay();
        staying.remove(&index);
        let columns = usize::from(geometry.data) + usize::from(geometry.parity);
        if staying.len() < columns {
            return cant(format!(
                "{} other disks are whole, and stripes are {columns} wide: add a disk first, or replace this one",
                staying.len(),
            ));
        }
        let unit = u64::from(geometry.unit_bytes);
        let on_it = u64::from(geometry.slots.get(index).unwrap_or(0) - writer.alloc.free(index));
        let free: u64 = staying
            .iter()
            .map(|disk| writer.alloc.free(*disk).saturating_sub(geometry.reserve(*disk)))
            .map(u64::from)
            .sum();
        if on_it + on_it / SPARE_SHARE + columns as u64 > free {
            return cant(format!(
                "{} MiB are on it, and the others have {} MiB free: delete something, or add a disk first",
                (on_it * unit) >> 20,
                (free * unit) >> 20,
            ));
        }
        Ok(())
    }

    /// The disks that are being removed, and how much is left on them.
    #[must_use]
    pub fn leaving(&self) -> Vec<Leaving> {
        let shared = self.shared.read();
        let slots = |disk: DiskIndex| {
            let all = self.array.geometry.slots.get(disk).unwrap_or(0);
            all - shared.usage.free[usize::from(disk.0)]
        };
        let leaving = self.array.disks.iter().filter(|(_, entry)| entry.is_leaving());
        leaving.map(|(disk, _)| Leaving { disk, slots: slots(disk) }).collect()
    }

    /// Whether removals have to wait: so few of the disks that are to stay live that the others are used meanwhile.
    #[must_use]
    pub fn is_removal_suspended(&self) -> bool {
        self.array.disks.is_short()
    }

    /// Whether a segment has a column on a disk that is being removed. None has while removals have to wait.
    #[must_use]
    pub fn has_to_move(&self, segment: &SegmentRef) -> bool {
        self.array.disks.is_shunned(segment.columns.iter().map(|column| column.disk))
    }

    /// Moves some of the log's own segments off disks that are being removed; false if none of them is there any more.
    /// They give back their slots with the next checkpoint, which is the caller's.
    ///
    /// # Errors
    /// As [`Log::clean`] and [`Log::checkpoint`].
    pub fn move_own(&self, now: Time) -> Result<bool, LogError> {
        self.check_writable()?;
        self.move_ends(now)?;
        let own: Vec<SegmentRef> = {
            let shared = self.shared.read();
            let segments = shared.log_segments.values().map(|log| log.segment.clone());
            segments.filter(|segment| self.has_to_move(segment)).collect()
        };
        if own.is_empty() {
            return Ok(false);
        }
        let mut cleaner = self.cleaner.lock();
        cleaner.drop_run();
        self.begin_run(&mut cleaner, own)?;
        let cleaned = self.clean_some(&mut cleaner, STEP_BYTES)?;
        cleaner.drop_run();
        if cleaned.moved_bytes == 0 {
            // Checkpoints' bodies may be all there is: each dies with the next but one, though nothing changes.
            self.write_checkpoint(&mut self.writer.lock(), now, false)?;
        }
        Ok(true)
    }

    /// Has the log, and the content segment, go on elsewhere.
    fn move_ends(&self, now: Time) -> Result<(), LogError> {
        let content = self.writer.lock().content;
        let open = content.and_then(|id| self.segment(id));
        if let Some(segment) = open.filter(|segment| self.has_to_move(segment)) {
            let mut batch = self.batch();
            // Another may have taken its place meanwhile.
            if batch.content == Some(segment.id) {
                batch.seal_segment(segment.id)?;
                batch.content = None;
                self.commit(batch)?;
            }
        }
        let mut writer = self.writer.lock();
        writer.now = now;
        if self.has_to_move(&writer.cursor.segment) || self.has_to_move(&writer.next) {
            self.write_checkpoint(&mut writer, now, true)?;
        }
        Ok(())
    }

    /// Removes a disk nothing is on any more. When this returns, the array goes on without it, durably; it is
    /// blank then, if it could be written.
    ///
    /// # Errors
    /// [`LogError::CantRemove`] if it is not being removed, or something is on it; as [`Log::checkpoint`].
    pub fn remove_disk(&self, index: DiskIndex, now: Time) -> Result<(), LogError> {
        let mut writer = self.writer.lock();
        self.check_writable()?;
        writer.now = now;
        self.settle_failures(&mut writer)?;
        // What waits is free then.
        self.write_checkpoint(&mut writer, now, false)?;
        let geometry = &self.array.geometry;
        let member = writer.superblock.members.get(usize::from(index.0)).copied();
        let Some(member) = member.filter(|member| member.leaving) else {
            return Err(self.cant_remove(index, "it is not being removed".to_owned()));
        };
        let left = geometry.slots.get(index).unwrap_or(0) - writer.alloc.free(index);
        if left > 0 {
            return Err(self.cant_remove(index, format!("{left} slots of it are in use")));
        }
        let old = self.array.disks.entry(index);
        let gone = Member { state: MemberState::Removed, leaving: false, ..member };
        self.array.disks.seat(index, crate::disks::Entry::new(&gone, "removed".to_owned(), None));
        writer.superblock.members[usize::from(index.0)] = gone;
        // An epoch it knows nothing of: it can't be taken for a disk of the array.
        self.begin_epoch(&mut writer, None)?;
        self.write_checkpoint(&mut writer, now, true)?;
        self.write_checkpoint(&mut writer, now, false)?;
        drop(writer);
        if let Some(disk) = old.disk().filter(|_| old.state() != DiskState::Failed) {
            forget(disk, &old.label);
        }
        tracing::info!(path = old.label, %index, "a disk was removed");
        Ok(())
    }
}

/// Makes a disk blank, so that it can be used for something else without being asked about.
fn forget(disk: &Arc<dyn Disk>, label: &str) {
    if let Err(error) = wipe(std::slice::from_ref(disk)) {
        tracing::warn!(path = label, %error, "what says that the disk was of this store can't be wiped");
    }
}
