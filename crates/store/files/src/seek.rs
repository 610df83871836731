//! Where a file has content, and where holes.

use rustix::io::Errno;

use crate::cache::{Need, Stop};
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
    /// The disks are to be asked about the bytes of a pnode from the first to the second, which are that
    /// many behind those of the file.
    Ask(Ino, u64, u64, i64),
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
        self.seek_in(|_| Ok(ino), offset, what)
    }

    /// Looks in what `find` finds.
    pub(crate) fn seek_in(
        &self,
        find: impl Fn(&Txn<'_>) -> Result<Ino, Stop>,
        offset: u64,
        what: Seek,
    ) -> Result<u64, FilesError> {
        let mut at = offset;
        loop {
            let (step, stamp) = self.inner.view(|txn| {
                let ino = find(txn)?;
                txn.check_file(ino)?;
                let size = txn.size(ino)?;
                let step = if offset < size { step(txn, ino, at, what)? } else { Step::End(0) };
                let beyond = FilesError::refused(ino, Errno::NXIO, "it is beyond the end");
                Ok(((step, beyond), txn.cache.stamp()))
            })?;
            let (step, beyond) = step;
            let (pnode, from, to, behind) = match step {
                Step::Found(found) => return Ok(found),
                Step::End(size) if what == Seek::Hole && size > 0 => return Ok(size),
                Step::End(_) => return Err(beyond),
                Step::Ask(pnode, from, to, behind) => (pnode, from, to, behind),
            };
            let here = |there: u64| there.saturating_add_signed(-behind);
            let kept = self.inner.log.content_from(pnode.pnode(), from);
            if self.inner.state.lock().cache.stamp() != stamp {
                continue; // something was written meanwhile
            }
            let kept = kept?.unwrap_or(to..to);
            match what {
                Seek::Data if kept.start < to => return Ok(here(kept.start)),
                Seek::Hole if kept.start > from => return Ok(here(from)),
                Seek::Data => at = here(to),
                Seek::Hole => at = here(kept.end.min(to)),
            }
        }
    }
}

impl Files {
    /// What is at `offset`, and for how many bytes; `None` at the end.
    pub(crate) fn extent(
        &self,
        find: impl Fn(&Txn<'_>) -> Result<Ino, Stop> + Copy,
        offset: u64,
    ) -> Result<Option<(Seek, u64)>, FilesError> {
        let at_end = |found: Result<u64, FilesError>| match found {
            Err(error) if error.errno() == Errno::NXIO => Ok(None),
            found => found.map(Some),
        };
        let Some(hole) = at_end(self.seek_in(find, offset, Seek::Hole))? else { return Ok(None) };
        if hole > offset {
            return Ok(Some((Seek::Data, hole - offset)));
        }
        let size = self.inner.view(|txn| txn.size(find(txn)?))?;
        let data = at_end(self.seek_in(find, offset, Seek::Data))?.unwrap_or(size);
        Ok((data > offset).then_some((Seek::Hole, data - offset)))
    }
}

/// Looks on from `at`.
fn step(txn: &Txn<'_>, ino: Ino, mut at: u64, what: Seek) -> Result<Step, Stop> {
    let size = txn.size(ino)?;
    while at < size {
        let page = page_of(at);
        let place = txn.place(ino, page)?;
        let entry = txn.cache.entries.get(&place.pnode);
        let entry = entry.ok_or(Stop::Need(Need::Node(place.pnode)))?;
        let (extent, end) = entry.extent(place.page);
        let pages = (end - place.page).min(place.count);
        let end = page.saturating_add(pages).saturating_mul(PAGE as u64).min(size);
        match (extent, what) {
            (Extent::Below, _) => {
                let behind = (place.page as i64 - page as i64) * PAGE as i64;
                let there = |here: u64| here.saturating_add_signed(behind);
                return Ok(Step::Ask(place.pnode, there(at), there(end), behind));
            }
            (Extent::Data, Seek::Data) | (Extent::Hole, Seek::Hole) => return Ok(Step::Found(at)),
            _ => at = end,
        }
    }
    Ok(Step::End(size))
}
