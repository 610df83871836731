//! Copying from file to file: by borrowing where that goes, else byte by byte.

use rustix::io::Errno;

use crate::cache::Stop;
use crate::extents::BLOCK;
use crate::ops::Allocate;
use crate::seek::Seek;
use crate::txn::Txn;
use crate::volume::Files;
use crate::{FilesError, Ino};

/// Most bytes one step of a copy moves.
const STEP: u64 = 1 << 20;

impl Files {
    /// Copies content from one file to another, or within one; returns how many bytes. Where both ranges
    /// begin at the same place of their blocks of 16 KiB, whole blocks are not copied but borrowed: they
    /// take no room until one of the two is changed there. Holes stay holes.
    ///
    /// # Errors
    /// As [`Files::read`] and [`Files::write`]; ranges of one file that overlap.
    pub fn copy(
        &self,
        (from, from_offset): (Ino, u64),
        (to, to_offset): (Ino, u64),
        len: u64,
    ) -> Result<u64, FilesError> {
        if from == to && from_offset.abs_diff(to_offset) < len {
            return Err(FilesError::refused(from, Errno::INVAL, "the ranges overlap"));
        }
        self.copy_in(|_| Ok(from), from_offset, (to, to_offset), len)
    }

    /// Copies from what `find` finds.
    pub(crate) fn copy_in(
        &self,
        find: impl Fn(&Txn<'_>) -> Result<Ino, Stop> + Copy,
        from_offset: u64,
        (to, to_offset): (Ino, u64),
        len: u64,
    ) -> Result<u64, FilesError> {
        // Within one file the copy may lie behind the end: what is copied is what was there before.
        let size = self.inner.view(|txn| txn.size(find(txn)?))?;
        let len = len.min(size.saturating_sub(from_offset));
        let mut done = 0;
        while done < len {
            let (at, target) = (from_offset + done, (to, to_offset + done));
            let copied = match self.share(find, at, target, len - done)? {
                0 => self.copy_bytes(find, at, target, len - done)?,
                shared => shared,
            };
            if copied == 0 {
                break;
            }
            done += copied;
        }
        Ok(done)
    }

    /// Borrows what it can from the beginning of a range on; how many bytes.
    fn share(
        &self,
        find: impl Fn(&Txn<'_>) -> Result<Ino, Stop>,
        at: u64,
        to: (Ino, u64),
        len: u64,
    ) -> Result<u64, FilesError> {
        if !at.is_multiple_of(BLOCK) || !to.1.is_multiple_of(BLOCK) {
            return Ok(0);
        }
        self.inner.change(|txn| {
            let from = find(txn)?;
            txn.check_file(from)?;
            txn.check_file(to.0)?;
            let shared = txn.share((from, at), to, len)?;
            if shared > 0 {
                txn.writes = true;
                txn.touch_content(to.0)?;
            }
            Ok(shared)
        })
    }

    /// Copies the beginning of a range, at most up to where blocks can be borrowed.
    fn copy_bytes(
        &self,
        find: impl Fn(&Txn<'_>) -> Result<Ino, Stop> + Copy,
        at: u64,
        to: (Ino, u64),
        len: u64,
    ) -> Result<u64, FilesError> {
        let Some((extent, run)) = self.extent(find, at)? else { return Ok(0) };
        let to_block = BLOCK - at % BLOCK;
        let most = if at % BLOCK == to.1 % BLOCK { to_block } else { STEP };
        let run = run.min(len);
        if extent == Seek::Hole {
            self.allocate(to.0, to.1, run, Allocate::Zero)?;
            return Ok(run);
        }
        let bytes = self.read_in(find, at, run.min(most) as usize)?;
        if !bytes.is_empty() {
            self.write(to.0, to.1, &bytes)?;
        }
        Ok(bytes.len() as u64)
    }
}
