//! What programs do with files.

use std::ops::Range;

use pegasus_base::PnodeId;
use rustix::io::Errno;

use crate::attrs::{Attributes, SetAttributes, XattrMode, without_rights};
use crate::cache::{Need, Stop};
use crate::content::Place;
use crate::dir::{Listed, check_name};
use crate::names::is_dir;
use crate::page::{Found, PAGE};
use crate::txn::{Txn, pieces};
use crate::volume::{Files, NewInode, RenameMode};
use crate::{FilesError, Ino};

/// What [`Files::allocate`] does with a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allocate {
    /// Makes the file at least so long.
    Extend,
    /// Nothing: room is not set aside for single files.
    Keep,
    /// Makes it nothing, where the file is: what it took is given back.
    Punch,
    /// Makes it nothing, and the file at least so long.
    Zero,
}

/// Names.
impl Files {
    /// Finds a name.
    ///
    /// # Errors
    /// [`FilesError::NoEntry`], or it is not a directory.
    pub fn lookup(&self, dir: Ino, name: &[u8]) -> Result<Attributes, FilesError> {
        self.inner.view(|txn| txn.attributes(txn.lookup(dir, name)?))
    }

    /// Makes an inode with a name.
    ///
    /// # Errors
    /// [`FilesError::Exists`], [`FilesError::Full`], or the name or directory is none.
    pub fn make(
        &self,
        dir: Ino,
        name: &[u8],
        new: &NewInode<'_>,
    ) -> Result<Attributes, FilesError> {
        let mut new = *new;
        if is_dir(new.mode) {
            new.dir_key = self.next_key();
        }
        self.inner.change(|txn| {
            let ino = txn.make(dir, name, &new)?;
            txn.attributes(ino)
        })
    }

    /// Gives an inode that is not a directory another name.
    ///
    /// # Errors
    /// [`FilesError::Exists`], or it has too many.
    pub fn link(&self, ino: Ino, dir: Ino, name: &[u8]) -> Result<Attributes, FilesError> {
        self.inner.change(|txn| {
            txn.link(ino, dir, name)?;
            txn.attributes(ino)
        })
    }

    /// Removes the name of what is not a directory. With its last name and handle an inode is deleted.
    ///
    /// # Errors
    /// [`FilesError::NoEntry`], or it is a directory.
    pub fn unlink(&self, dir: Ino, name: &[u8]) -> Result<(), FilesError> {
        self.inner.change(|txn| txn.unlink(dir, name))
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// [`FilesError::NoEntry`], or it is not empty or not a directory.
    pub fn rmdir(&self, dir: Ino, name: &[u8]) -> Result<(), FilesError> {
        self.inner.change(|txn| txn.rmdir(dir, name))
    }

    /// Moves a name.
    ///
    /// # Errors
    /// As rename(2).
    pub fn rename(
        &self,
        from: (Ino, &[u8]),
        to: (Ino, &[u8]),
        mode: RenameMode,
    ) -> Result<(), FilesError> {
        self.inner.change(|txn| txn.rename(from, to, mode))
    }

    /// The target of a symbolic link.
    ///
    /// # Errors
    /// It is none.
    pub fn read_link(&self, ino: Ino) -> Result<Vec<u8>, FilesError> {
        self.inner.view(|txn| txn.target(ino))
    }

    /// Names of a directory behind a cookie, 0 for its beginning; none at its end. What is there all the
    /// while is listed exactly once, whatever is made and removed meanwhile.
    ///
    /// # Errors
    /// It is not a directory.
    pub fn list(&self, dir: Ino, cookie: u64) -> Result<Vec<Listed>, FilesError> {
        self.inner.view(|txn| match is_dir(txn.attr(dir)?.mode) {
            true => txn.list(dir, cookie),
            false => Err(FilesError::refused(dir, Errno::NOTDIR, "it is not a directory").into()),
        })
    }
}

/// Handles and attributes.
impl Files {
    /// Keeps an inode from being deleted until [`Files::close_inode`].
    ///
    /// # Errors
    /// [`FilesError::NoInode`].
    pub fn open_inode(&self, ino: Ino) -> Result<(), FilesError> {
        loop {
            self.inner.view(|txn| txn.attributes(ino).map(|_| ()))?;
            let mut state = self.inner.state.lock();
            if let Some(entry) = state.cache.entries.get_mut(&ino) {
                entry.opens += 1;
                return Ok(());
            }
        }
    }

    /// Gives a handle back.
    ///
    /// # Errors
    /// If an inode without a name can't be deleted now; it will be when the volume is opened again.
    pub fn close_inode(&self, ino: Ino) -> Result<(), FilesError> {
        let unused = {
            let mut state = self.inner.state.lock();
            let entry = state.cache.entries.get_mut(&ino);
            entry.is_some_and(|entry| {
                entry.opens = entry.opens.saturating_sub(1);
                entry.opens == 0 && entry.node.attr.as_ref().is_some_and(|attr| attr.nlink == 0)
            })
        };
        if unused { self.inner.change(|txn| txn.reap(ino)) } else { Ok(()) }
    }

    /// What `stat` tells.
    ///
    /// # Errors
    /// [`FilesError::NoInode`].
    pub fn attributes(&self, ino: Ino) -> Result<Attributes, FilesError> {
        self.inner.view(|txn| txn.attributes(ino))
    }

    /// Changes attributes, the size among them. A new owner takes set-user-id and set-group-id away.
    ///
    /// # Errors
    /// A size for what is not a file, or too large.
    pub fn set(&self, ino: Ino, set: &SetAttributes) -> Result<Attributes, FilesError> {
        self.inner.change(|txn| {
            txn.set(ino, set)?;
            txn.attributes(ino)
        })
    }

    /// An extended attribute.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn xattr(&self, ino: Ino, name: &[u8]) -> Result<Vec<u8>, FilesError> {
        let none = || FilesError::refused(ino, Errno::NODATA, "no such attribute");
        self.inner.view(|txn| Ok(txn.xattrs(ino)?.get(name).cloned().ok_or_else(none)?))
    }

    /// Names of all extended attributes.
    ///
    /// # Errors
    /// [`FilesError::NoInode`].
    pub fn xattr_names(&self, ino: Ino) -> Result<Vec<Vec<u8>>, FilesError> {
        self.inner.view(|txn| Ok(txn.xattrs(ino)?.keys().cloned().collect()))
    }

    /// Sets an extended attribute.
    ///
    /// # Errors
    /// As setxattr(2).
    pub fn set_xattr(
        &self,
        ino: Ino,
        name: &[u8],
        value: &[u8],
        mode: XattrMode,
    ) -> Result<(), FilesError> {
        self.inner.change(|txn| txn.set_xattr(ino, name, value, mode))
    }

    /// Removes an extended attribute.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn remove_xattr(&self, ino: Ino, name: &[u8]) -> Result<(), FilesError> {
        self.inner.change(|txn| txn.remove_xattr(ino, name))
    }

    /// Whether `name` could be a name; for callers that check before they ask.
    ///
    /// # Errors
    /// It could not.
    pub fn check_name(&self, dir: Ino, name: &[u8]) -> Result<(), FilesError> {
        check_name(dir, name)
    }
}

/// Content.
impl Files {
    /// Reads up to `len` bytes from `offset` on; fewer only at the end.
    ///
    /// # Errors
    /// It is not a file, or its disks fail.
    pub fn read(&self, ino: Ino, offset: u64, len: usize) -> Result<Vec<u8>, FilesError> {
        self.read_in(|_| Ok(ino), offset, len)
    }

    /// Reads from what `find` finds.
    pub(crate) fn read_in(
        &self,
        find: impl Fn(&Txn<'_>) -> Result<Ino, Stop>,
        offset: u64,
        len: usize,
    ) -> Result<Vec<u8>, FilesError> {
        loop {
            let (mut out, missing, stamp) = self.inner.view(|txn| {
                let ino = find(txn)?;
                txn.check_file(ino)?;
                let end = offset.saturating_add(len as u64).min(txn.size(ino)?);
                let (out, missing) = known(txn, ino, offset..end.max(offset))?;
                Ok((out, missing, txn.cache.stamp()))
            })?;
            if missing.is_empty() {
                return Ok(out);
            }
            let read = self.read_missing(&missing, &mut out);
            // If anything was committed meanwhile, parts of it might be of different times.
            if self.inner.state.lock().cache.stamp() == stamp {
                return read.map(|()| out);
            }
        }
    }

    fn read_missing(&self, missing: &[Missing], out: &mut [u8]) -> Result<(), FilesError> {
        for part in missing {
            let bytes = self.inner.log.read_pnode(part.pnode.pnode(), part.offset, part.len)?;
            out[part.at..part.at + bytes.len()].copy_from_slice(&bytes);
        }
        Ok(())
    }

    /// Writes; the file grows as needed.
    ///
    /// # Errors
    /// [`FilesError::Full`], it is not a file, or would be too large.
    pub fn write(&self, ino: Ino, offset: u64, bytes: &[u8]) -> Result<(), FilesError> {
        self.inner.change(|txn| {
            txn.check_file(ino)?;
            txn.writes = true;
            txn.write(ino, offset, bytes)?;
            txn.touch_content(ino)
        })
    }

    /// Has whoever runs it run it as himself, as is due when somebody without a right to more changes its content.
    ///
    /// # Errors
    /// It is not there.
    pub fn drop_rights(&self, ino: Ino) -> Result<(), FilesError> {
        let mode = self.inner.view(|txn| Ok(txn.attr(ino)?.mode))?;
        if without_rights(mode) == mode {
            return Ok(());
        }
        self.inner.change(|txn| txn.drop_rights(ino))
    }

    /// As fallocate(2).
    ///
    /// # Errors
    /// As [`Files::write`].
    pub fn allocate(
        &self,
        ino: Ino,
        offset: u64,
        len: u64,
        what: Allocate,
    ) -> Result<(), FilesError> {
        let end = offset.saturating_add(len);
        self.inner.change(|txn| {
            txn.check_file(ino)?;
            txn.check_size(ino, end)?;
            if matches!(what, Allocate::Punch | Allocate::Zero) {
                txn.punch(ino, offset..end)?;
            }
            let grows = matches!(what, Allocate::Extend | Allocate::Zero);
            if grows && end > txn.size(ino)? {
                txn.truncate(ino, end)?;
            }
            txn.touch_content(ino)
        })
    }

    /// A key for a directory's hash.
    pub(crate) fn next_key(&self) -> u64 {
        let mut state = self.inner.state.lock();
        state.next_key = state.next_key.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        state.next_key
    }
}

/// A part of a read that is on the disks only.
struct Missing {
    pnode: Ino,
    offset: u64,
    len: usize,
    /// Where it goes.
    at: usize,
}

/// What memory knows of a range, and the parts it does not.
fn known(txn: &Txn<'_>, ino: Ino, range: Range<u64>) -> Result<(Vec<u8>, Vec<Missing>), Stop> {
    let mut out = vec![0; (range.end - range.start) as usize];
    let mut missing: Vec<Missing> = Vec::new();
    let mut place = Place::UNKNOWN;
    for (page, within, at) in pieces(range) {
        if place.count == 0 {
            place = txn.place(ino, page)?;
        }
        let entry = txn.cache.entries.get(&place.pnode);
        let entry = entry.ok_or(Stop::Need(Need::Node(place.pnode)))?;
        match entry.find(place.page) {
            Found::Page(found) => {
                out[at..at + within.len()].copy_from_slice(&found.bytes[within]);
            }
            Found::Zeros => {}
            Found::Below => {
                let offset = place.page * PAGE as u64 + within.start as u64;
                match missing.last_mut() {
                    Some(last)
                        if last.pnode == place.pnode
                            && last.offset + last.len as u64 == offset
                            && last.at + last.len == at =>
                    {
                        last.len += within.len();
                    }
                    _ => {
                        missing.push(Missing { pnode: place.pnode, offset, len: within.len(), at })
                    }
                }
            }
        }
        place = place.next();
    }
    Ok((out, missing))
}

impl Ino {
    pub(crate) fn of(pnode: PnodeId) -> Self {
        Self(pnode.0)
    }

    pub(crate) fn pnode(self) -> PnodeId {
        PnodeId(self.0)
    }
}
