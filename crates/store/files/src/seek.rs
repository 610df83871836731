//! Where a file has content, and where holes.

use rustix::io::Errno;

use crate::page::{Extent, PAGE, page_of};
use crate::txn::Txn;
use crate::volume::Files;
use crate::{FilesError, Ino};

/// What to look for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seek {
    /// Bytes that room is taken for, whatever they are.
    Data,
    /// A hole; the file's end counts as one.
    Hole,
}

/// How far memory can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// It is there.
    Found(u64),
    /// The disks are to be asked about the bytes from the first to the second.
    Ask(u64, u64),
    /// It is not before the end, which is there.
    End(u64),
}

impl Files {
    /// The next byte from `offset` on that is what is looked for, as lseek(2) tells it. What was written is
    /// data; holes are found where nothing was written, or it was punched, in whole blocks of 16 KiB once it
    /// is on disk.
    ///
    /// # Errors
    /// The file ends before; it is not a file; its map can't be read.
    pub fn seek(&self, ino: Ino, offset: u64, what: Seek) -> Result<u64, FilesError> {
        let beyond = || FilesError::refused(ino, Errno::NXIO, "it is beyond the end");
        let mut at = offset;
        loop {
            let (step, epoch) = self.inner.view(|txn| {
                txn.check_file(ino)?;
                let size = txn.node(ino)?.size;
                let step = if offset < size { step(txn, ino, at, what) } else { Step::End(0) };
                Ok((step, txn.cache.epoch))
            })?;
            let (from, to) = match step {
                Step::Found(found) => return Ok(found),
                Step::End(size) if what == Seek::Hole && size > 0 => return Ok(size),
                Step::End(_) => return Err(beyond()),
                Step::Ask(from, to) => (from, to),
            };
            let kept = self.inner.log.content_from(ino.pnode(), from);
            if self.inner.state.lock().cache.epoch != epoch {
                continue; // something was written meanwhile
            }
            let kept = kept?.unwrap_or(to..to);
            match what {
                Seek::Data if kept.start < to => return Ok(kept.start),
                Seek::Hole if kept.start > from => return Ok(from),
                Seek::Data => at = to,
                Seek::Hole => at = kept.end.min(to),
            }
        }
    }
}

impl Files {
    /// What is at `offset`, and for how many bytes; `None` at the end.
    pub(crate) fn extent(&self, ino: Ino, offset: u64) -> Result<Option<(Seek, u64)>, FilesError> {
        let at_end = |found: Result<u64, FilesError>| match found {
            Err(error) if error.errno() == Errno::NXIO => Ok(None),
            found => found.map(Some),
        };
        let Some(hole) = at_end(self.seek(ino, offset, Seek::Hole))? else { return Ok(None) };
        if hole > offset {
            return Ok(Some((Seek::Data, hole - offset)));
        }
        let size = self.attributes(ino)?.size;
        let data = at_end(self.seek(ino, offset, Seek::Data))?.unwrap_or(size);
        Ok((data > offset).then_some((Seek::Hole, data - offset)))
    }
}

/// Looks on from `at`.
fn step(txn: &Txn<'_>, ino: Ino, mut at: u64, what: Seek) -> Step {
    let Some(entry) = txn.cache.entries.get(&ino) else { return Step::End(0) };
    let size = entry.node.size;
    while at < size {
        let (extent, end) = entry.extent(page_of(at));
        let end = end.saturating_mul(PAGE as u64).min(size);
        match (extent, what) {
            (Extent::Below, _) => return Step::Ask(at, end),
            (Extent::Data, Seek::Data) | (Extent::Hole, Seek::Hole) => return Step::Found(at),
            _ => at = end,
        }
    }
    Step::End(size)
}
