//! Mending what stands outside of the slots: superblocks and checkpoint pointers.

use std::sync::Arc;

use pegasus_disk::{AlignedBuf, Batch, Done, Request, SECTOR};

use crate::disks::Write;
use crate::format::checkpoint::Pointer;
use crate::format::superblock::Superblock;
use crate::geometry::{POINTER_OFFSETS, superblock_offsets};
use crate::mend::{Mended, Mending};
use crate::recovery::read_pointers;
use crate::writer::Writer;
use crate::{DiskIndex, Log, LogError};

impl Mending<'_> {
    /// Verifies all copies of the superblocks and the pointers to the last two checkpoints on all disks that
    /// live, and writes anew what is not right.
    ///
    /// # Errors
    /// If no disk takes a superblock.
    pub fn heads(&self) -> Result<Mended, LogError> {
        self.log().mend_heads()
    }
}

impl Log {
    fn mend_heads(&self) -> Result<Mended, LogError> {
        let mut writer = self.writer.lock();
        self.check_writable()?;
        let mut mended = Mended::default();
        self.mend_superblocks(&mut writer, &mut mended)?;
        self.mend_pointers(&mut mended);
        Ok(mended)
    }

    fn mend_superblocks(&self, writer: &mut Writer, mended: &mut Mended) -> Result<(), LogError> {
        let mut bad = Vec::new();
        for (index, entry) in self.array.disks.iter() {
            let Some(disk) = entry.disk().filter(|_| entry.is_living()) else { continue };
            let wanted =
                Superblock { index, size_bytes: disk.size(), ..writer.superblock.clone() }.emit();
            let mut reads = Batch::new();
            for offset in superblock_offsets(disk.size()) {
                reads.add(&**disk, Request::Read { offset, len: SECTOR });
                mended.read_bytes += SECTOR as u64;
            }
            let offsets = superblock_offsets(disk.size());
            for (copy, outcome) in reads.wait_all().into_iter().enumerate() {
                if outcome.map(Done::into_buf).is_ok_and(|buf| buf[..] == wanted[..]) {
                    continue;
                }
                self.array.disks.count_error(index);
                bad.push(format!(
                    "disk {} offset {}: copy {copy} of its superblock was bad",
                    entry.label, offsets[copy]
                ));
            }
        }
        if bad.is_empty() {
            return Ok(());
        }
        let mut superblock = writer.superblock.clone();
        self.write_superblocks(&mut superblock, None)?;
        writer.superblock = superblock;
        mended.repaired += bad.len() as u64;
        mended.repaired_bytes += (bad.len() * SECTOR) as u64;
        mended.add(Mended { problems: bad, ..Mended::default() });
        Ok(())
    }

    /// The pointers are not kept in memory: each disk gets the newest that any other has.
    fn mend_pointers(&self, mended: &mut Mended) {
        let found = read_pointers(&self.array);
        for (slot, offset) in POINTER_OFFSETS.into_iter().enumerate() {
            let own = |(_, pointer): &&(DiskIndex, Pointer)| pointer.number % 2 == slot as u64;
            let newest = found.iter().filter(own).max_by_key(|(_, p)| (p.commit, p.number));
            let Some((_, newest)) = newest else { continue };
            let Some(sector) = newest.emit() else { continue };
            let buf = Arc::new(AlignedBuf::from_slice(&sector));
            let has = |disk: &DiskIndex| found.iter().any(|(on, p)| on == disk && p == newest);
            let lacking = self.array.disks.living().into_iter().filter(|disk| !has(disk));
            let writes: Vec<Write> =
                lacking.map(|disk| Write { disk, offset, buf: buf.clone() }).collect();
            for write in &writes {
                let label = &self.array.disks.entry(write.disk).label;
                let number = newest.number;
                let problem = format!(
                    "disk {label} offset {offset}: the pointer to checkpoint {number} was bad or missing"
                );
                mended.add(Mended { problems: vec![problem], ..Mended::default() });
            }
            let durable = self.array.disks.write_durably(writes);
            let taken = durable.iter().filter(|durable| **durable).count() as u64;
            mended.repaired += taken;
            mended.repaired_bytes += taken * SECTOR as u64;
            mended.refused += durable.len() as u64 - taken;
        }
    }
}
