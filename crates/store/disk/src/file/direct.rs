//! Switching an open file to direct I/O, where that works at our grain.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use rustix::fs::{AtFlags, OFlags, StatxFlags, fcntl_getfl, fcntl_setfl, statx};

use crate::{AlignedBuf, SECTOR};

/// Turns direct I/O on for `file` if transfers of single aligned sectors work that way. False,
/// and the page cache, if the file system can't.
///
/// # Errors
/// If the file can't be read at all.
pub(super) fn enable(file: &File) -> io::Result<bool> {
    if grain(file).is_some_and(|bytes| bytes == 0 || !SECTOR.is_multiple_of(bytes)) {
        return Ok(false);
    }
    let flags = fcntl_getfl(file)?;
    if fcntl_setfl(file, flags | OFlags::DIRECT).is_err() {
        return Ok(false);
    }
    // Kernels before 6.1 don't tell the grain, and some file systems accept the flag only to
    // refuse every transfer: one read settles it.
    let mut sector = AlignedBuf::zeroed(SECTOR);
    if file.read_exact_at(&mut sector, 0).is_ok() {
        return Ok(true);
    }
    fcntl_setfl(file, flags)?;
    file.read_exact_at(&mut sector, 0)?;
    Ok(false)
}

/// The coarser of the alignments, in bytes, that direct I/O on `file` demands of memory and of
/// offsets; 0 if it can't be had; `None` if the system does not say.
fn grain(file: &File) -> Option<usize> {
    let found = statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::DIOALIGN).ok()?;
    if found.stx_mask & StatxFlags::DIOALIGN.bits() == 0 {
        return None;
    }
    usize::try_from(found.stx_dio_mem_align.max(found.stx_dio_offset_align)).ok()
}
