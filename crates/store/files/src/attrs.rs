//! Attributes and extended attributes of inodes.

use std::sync::Arc;

use pegasus_base::{PnodeId, Time};
use rustix::io::Errno;

use crate::cache::{Kind, Stop};
use crate::format::attr::{Role, XATTRS_BYTES_INLINE};
use crate::format::bucket::NAME_BYTES_MAX;
use crate::format::xattrs::{self, XATTRS_BYTES_MAX, Xattrs};
use crate::names::{is_dir, is_file, is_link};
use crate::txn::Txn;
use crate::{FilesError, Ino};

const S_ISUID: u32 = 0o4000;
const S_ISGID: u32 = 0o2000;
const S_IXGRP: u32 = 0o010;
/// The extended attribute that gives a program rights.
const CAPABILITIES: &[u8] = b"security.capability";

/// A mode that has whoever runs the file run it as himself.
pub(crate) fn without_rights(mode: u32) -> u32 {
    match mode {
        _ if is_dir(mode) => mode,
        _ if mode & S_IXGRP == 0 => mode & !S_ISUID,
        _ => mode & !(S_ISUID | S_ISGID),
    }
}

/// What `stat` tells of an inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// The inode.
    pub ino: Ino,
    /// File type and permissions.
    pub mode: u32,
    /// Names it has; of a directory, 2 and one for each directory in it.
    pub nlink: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Device number of a special file.
    pub rdev: u32,
    /// Tells uses of one number apart.
    pub generation: u32,
    /// Bytes of content; of a symbolic link, of its target.
    pub size: u64,
    /// When it was last said to be read. Reading itself does not change it.
    pub atime: Time,
    /// When its content last changed.
    pub mtime: Time,
    /// When anything of it last changed.
    pub ctime: Time,
    /// When it was made.
    pub btime: Time,
}

/// What [`Files::set`](crate::Files::set) changes; `None` leaves it as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetAttributes {
    /// Permissions; a file type in it is ignored.
    pub mode: Option<u32>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Size.
    pub size: Option<u64>,
    /// Time of access.
    pub atime: Option<Time>,
    /// Time of change.
    pub mtime: Option<Time>,
}

/// Whether an extended attribute may, must or must not be there before it is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XattrMode {
    /// It may.
    Any,
    /// It must not.
    Create,
    /// It must.
    Replace,
}

impl Txn<'_> {
    /// What `stat` tells of an inode of the tree.
    pub(crate) fn attributes(&self, ino: Ino) -> Result<Attributes, Stop> {
        match self.attr(ino)?.role {
            Role::Tree => self.attributes_of(ino, ino),
            _ => Err(FilesError::NoInode { ino }.into()),
        }
    }

    /// What `stat` tells of an inode that is there, called `ino`.
    pub(crate) fn attributes_of(&self, there: Ino, ino: Ino) -> Result<Attributes, Stop> {
        let size = self.size(there)?;
        let attr = self.attr(there)?;
        Ok(Attributes {
            ino,
            mode: attr.mode,
            nlink: attr.nlink,
            uid: attr.uid,
            gid: attr.gid,
            rdev: attr.rdev,
            generation: attr.generation,
            size: if is_link(attr.mode) { size.max(attr.target.len() as u64) } else { size },
            atime: attr.atime,
            mtime: attr.mtime,
            ctime: attr.ctime,
            btime: attr.btime,
        })
    }

    pub(crate) fn set(&mut self, ino: Ino, set: &SetAttributes) -> Result<(), Stop> {
        if let Some(size) = set.size {
            self.resize(ino, size)?;
        }
        let now = self.now;
        let attr = self.attr_mut(ino)?;
        if set.uid.is_some() || set.gid.is_some() {
            attr.uid = set.uid.unwrap_or(attr.uid);
            attr.gid = set.gid.unwrap_or(attr.gid);
            // A new owner's programs do not run with the old one's rights.
            attr.mode = without_rights(attr.mode);
            self.drop_capabilities(ino)?;
        }
        let attr = self.attr_mut(ino)?;
        if let Some(mode) = set.mode {
            attr.mode = attr.mode & !0o7777 | mode & 0o7777;
        }
        attr.atime = set.atime.unwrap_or(attr.atime);
        attr.mtime = set.mtime.unwrap_or(attr.mtime);
        attr.ctime = now;
        Ok(())
    }

    /// What the file may do when it is run, beyond its user: not after its content or owner changed.
    pub(crate) fn drop_capabilities(&mut self, ino: Ino) -> Result<(), Stop> {
        let attr = self.attr(ino)?;
        let any = attr.xattr_pnode != PnodeId(0) || !attr.xattrs.is_empty();
        if any && self.xattrs(ino)?.contains_key(CAPABILITIES) {
            self.remove_xattr(ino, CAPABILITIES)?;
        }
        Ok(())
    }

    pub(crate) fn drop_rights(&mut self, ino: Ino) -> Result<(), Stop> {
        let attr = self.attr_mut(ino)?;
        attr.mode = without_rights(attr.mode);
        self.touch_attr(ino)
    }

    fn resize(&mut self, ino: Ino, size: u64) -> Result<(), Stop> {
        self.check_file(ino)?;
        self.truncate(ino, size)?;
        self.touch_content(ino)
    }

    /// Checks that it is a regular file.
    pub(crate) fn check_file(&self, ino: Ino) -> Result<(), Stop> {
        let mode = self.attr(ino)?.mode;
        match mode {
            _ if is_file(mode) => Ok(()),
            _ if is_dir(mode) => {
                Err(FilesError::refused(ino, Errno::ISDIR, "it is a directory").into())
            }
            _ => Err(FilesError::refused(ino, Errno::INVAL, "it is not a file").into()),
        }
    }

    pub(crate) fn xattrs(&self, ino: Ino) -> Result<Arc<Xattrs>, Stop> {
        let attr = self.attr(ino)?;
        if attr.xattr_pnode == PnodeId(0) {
            return Ok(attr.xattrs.clone());
        }
        let pnode = attr.xattr_pnode;
        let bytes = self.read(Ino::of(pnode), 0..self.node(Ino::of(pnode))?.size)?;
        let why = "its extended attributes make no sense";
        let parsed = xattrs::parse(&bytes).ok_or(FilesError::Damaged { pnode, why })?;
        Ok(Arc::new(parsed))
    }

    pub(crate) fn set_xattr(
        &mut self,
        ino: Ino,
        name: &[u8],
        value: &[u8],
        mode: XattrMode,
    ) -> Result<(), Stop> {
        let refused = |errno, why| Err(FilesError::refused(ino, errno, why).into());
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            return refused(Errno::RANGE, "the attribute's name is empty or too long");
        }
        let mut all = (*self.xattrs(ino)?).clone();
        match (mode, all.contains_key(name)) {
            (XattrMode::Create, true) => return refused(Errno::EXIST, "it has this attribute"),
            (XattrMode::Replace, false) => return refused(Errno::NODATA, "no such attribute"),
            _ => {}
        }
        all.insert(name.to_vec(), value.to_vec());
        if xattrs::len(&all) > XATTRS_BYTES_MAX {
            return refused(Errno::NOSPC, "its extended attributes would be too long");
        }
        self.put_xattrs(ino, all)
    }

    pub(crate) fn remove_xattr(&mut self, ino: Ino, name: &[u8]) -> Result<(), Stop> {
        let mut all = (*self.xattrs(ino)?).clone();
        if all.remove(name).is_none() {
            return Err(FilesError::refused(ino, Errno::NODATA, "no such attribute").into());
        }
        self.put_xattrs(ino, all)
    }

    fn put_xattrs(&mut self, ino: Ino, all: Xattrs) -> Result<(), Stop> {
        self.keep(ino)?;
        let apart = self.attr(ino)?.xattr_pnode;
        if xattrs::len(&all) <= XATTRS_BYTES_INLINE {
            if apart != PnodeId(0) {
                self.raw_delete(Ino::of(apart))?;
            }
            let attr = self.attr_mut(ino)?;
            (attr.xattr_pnode, attr.xattrs) = (PnodeId(0), Arc::new(all));
        } else {
            let pnode = match apart {
                PnodeId(0) => self.create(Kind::Xattrs, None)?,
                apart => Ino::of(apart),
            };
            let mut bytes = Vec::new();
            xattrs::emit(&all, &mut bytes);
            self.truncate(pnode, 0)?;
            self.write(pnode, 0, &bytes)?;
            let attr = self.attr_mut(ino)?;
            (attr.xattr_pnode, attr.xattrs) = (pnode.pnode(), Arc::default());
        }
        self.touch_attr(ino)
    }
}
