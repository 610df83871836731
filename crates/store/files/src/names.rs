//! Making, linking, moving and removing names.

use rustix::io::Errno;

use crate::cache::{Kind, Stop};
use crate::dir::{Hit, check_name, no_entry, shown};
use crate::format::attr::{Attr, TARGET_BYTES_INLINE, TARGET_BYTES_MAX};
use crate::txn::Txn;
use crate::volume::{NewInode, RenameMode};
use crate::{FilesError, Ino};

/// Most links of an inode.
const LINKS_MAX: u32 = 65_000;

const S_IFMT: u32 = 0o170_000;
pub(crate) const S_IFDIR: u32 = 0o040_000;
const S_IFREG: u32 = 0o100_000;
const S_IFLNK: u32 = 0o120_000;
const S_ISGID: u32 = 0o2000;

pub(crate) fn is_dir(mode: u32) -> bool {
    mode & S_IFMT == S_IFDIR
}

pub(crate) fn is_file(mode: u32) -> bool {
    mode & S_IFMT == S_IFREG
}

pub(crate) fn is_link(mode: u32) -> bool {
    mode & S_IFMT == S_IFLNK
}

fn kind_of(mode: u32) -> u8 {
    ((mode & S_IFMT) >> 12) as u8
}

impl Txn<'_> {
    /// The attributes of a directory that is still linked.
    pub(crate) fn check_dir(&self, dir: Ino) -> Result<(), Stop> {
        let attr = self.attr(dir)?;
        if !is_dir(attr.mode) {
            return Err(FilesError::refused(dir, Errno::NOTDIR, "it is not a directory").into());
        }
        if attr.nlink == 0 {
            return Err(FilesError::NoInode { ino: dir }.into());
        }
        Ok(())
    }

    /// Looks a name up; `.` and `..` too.
    pub(crate) fn lookup(&self, dir: Ino, name: &[u8]) -> Result<Ino, Stop> {
        let attr = self.attr(dir)?;
        if !is_dir(attr.mode) {
            return Err(FilesError::refused(dir, Errno::NOTDIR, "it is not a directory").into());
        }
        check_name(dir, name)?;
        match name {
            b"." => Ok(dir),
            b".." => Ok(attr.parent),
            _ => {
                let found = self.find_name(dir, name)?;
                Ok(found.ok_or_else(|| no_entry(dir, name))?.ino)
            }
        }
    }

    /// Checks that `name` can be made in `dir`.
    fn check_new(&self, dir: Ino, name: &[u8]) -> Result<(), Stop> {
        self.check_dir(dir)?;
        check_name(dir, name)?;
        if name == b"." || name == b".." || self.find_name(dir, name)?.is_some() {
            return Err(FilesError::Exists { dir, name: shown(name) }.into());
        }
        Ok(())
    }

    /// Makes an inode with a first name.
    pub(crate) fn make(&mut self, dir: Ino, name: &[u8], new: &NewInode<'_>) -> Result<Ino, Stop> {
        self.check_new(dir, name)?;
        let parent = self.attr(dir)?.clone();
        let mut attr = Attr::new(new.mode, new.uid, new.gid, self.now);
        attr.rdev = new.rdev;
        attr.parent = dir;
        attr.quota = self.live(parent.quota);
        if parent.mode & S_ISGID != 0 {
            attr.gid = parent.gid;
            attr.mode |= if is_dir(new.mode) { S_ISGID } else { 0 };
        }
        if is_dir(new.mode) {
            attr.nlink = 2;
            attr.dir.key = new.dir_key;
            self.add_link(dir)?;
        }
        if new.target.len() > TARGET_BYTES_MAX {
            let why = "the link's target is too long";
            return Err(FilesError::refused(dir, Errno::NAMETOOLONG, why).into());
        }
        let inline = new.target.len() <= TARGET_BYTES_INLINE;
        if inline {
            attr.target = new.target.into();
        }
        let ino = self.create(Kind::Inode, Some(attr))?;
        if !inline {
            self.write(ino, 0, new.target)?;
        }
        self.add_name(dir, name, Hit { ino, kind: kind_of(new.mode) })?;
        Ok(ino)
    }

    /// The target of a symbolic link.
    pub(crate) fn target(&self, ino: Ino) -> Result<Vec<u8>, Stop> {
        let attr = self.attr(ino)?;
        if !is_link(attr.mode) {
            return Err(FilesError::refused(ino, Errno::INVAL, "it is not a symbolic link").into());
        }
        match attr.target.len() {
            0 => self.read(ino, 0..self.size(ino)?),
            _ => Ok(attr.target.to_vec()),
        }
    }

    fn add_link(&mut self, ino: Ino) -> Result<(), Stop> {
        let attr = self.attr(ino)?;
        if attr.nlink >= LINKS_MAX && !is_dir(attr.mode) {
            return Err(FilesError::refused(ino, Errno::MLINK, "it has too many links").into());
        }
        self.attr_mut(ino)?.nlink += 1;
        self.touch_attr(ino)
    }

    /// Gives an inode another name.
    pub(crate) fn link(&mut self, ino: Ino, dir: Ino, name: &[u8]) -> Result<(), Stop> {
        let mode = self.attr(ino)?.mode;
        if is_dir(mode) {
            let why = "a directory has one name";
            return Err(FilesError::refused(ino, Errno::PERM, why).into());
        }
        if self.attr(ino)?.nlink == 0 {
            return Err(FilesError::NoInode { ino }.into());
        }
        self.check_new(dir, name)?;
        self.check_link(ino, dir)?;
        self.add_link(ino)?;
        self.add_name(dir, name, Hit { ino, kind: kind_of(mode) })
    }

    /// Removes the name of what is not a directory.
    pub(crate) fn unlink(&mut self, dir: Ino, name: &[u8]) -> Result<(), Stop> {
        self.check_dir(dir)?;
        let ino = self.lookup(dir, name)?;
        if is_dir(self.attr(ino)?.mode) {
            return Err(FilesError::refused(ino, Errno::ISDIR, "it is a directory").into());
        }
        self.remove_name(dir, name)?;
        self.removes = true;
        self.drop_link(ino)
    }

    /// Removes an empty directory.
    pub(crate) fn rmdir(&mut self, dir: Ino, name: &[u8]) -> Result<(), Stop> {
        self.check_dir(dir)?;
        match name {
            b"." => {
                let why = "a directory can't be removed by the name .";
                return Err(FilesError::refused(dir, Errno::INVAL, why).into());
            }
            b".." => return Err(not_empty(dir)),
            _ => {}
        }
        let ino = self.lookup(dir, name)?;
        self.check_empty(ino)?;
        self.remove_name(dir, name)?;
        self.attr_mut(dir)?.nlink -= 1;
        self.drop_dir(ino)
    }

    fn check_empty(&self, ino: Ino) -> Result<(), Stop> {
        let attr = self.attr(ino)?;
        if !is_dir(attr.mode) {
            return Err(FilesError::refused(ino, Errno::NOTDIR, "it is not a directory").into());
        }
        if attr.dir.entries > 0 { Err(not_empty(ino)) } else { Ok(()) }
    }

    fn drop_dir(&mut self, ino: Ino) -> Result<(), Stop> {
        self.drop_quota(ino)?;
        if self.opens(ino) == 0 && self.hand_over(ino)? {
            return Ok(());
        }
        self.attr_mut(ino)?.nlink = 0;
        self.drop_unused(ino)
    }

    fn drop_link(&mut self, ino: Ino) -> Result<(), Stop> {
        let is_last = self.attr(ino)?.nlink == 1 && self.opens(ino) == 0;
        if is_last && self.hand_over(ino)? {
            return Ok(());
        }
        self.attr_mut(ino)?.nlink -= 1;
        self.drop_unused(ino)
    }

    /// Deletes what has no name, unless somebody has it open.
    fn drop_unused(&mut self, ino: Ino) -> Result<(), Stop> {
        self.touch_attr(ino)?;
        if self.attr(ino)?.nlink > 0 || self.opens(ino) > 0 {
            return Ok(());
        }
        self.delete(ino)
    }

    /// Moves a name.
    pub(crate) fn rename(
        &mut self,
        from: (Ino, &[u8]),
        to: (Ino, &[u8]),
        mode: RenameMode,
    ) -> Result<(), Stop> {
        for (dir, name) in [from, to] {
            self.check_dir(dir)?;
            check_name(dir, name)?;
            if name == b"." || name == b".." {
                return Err(FilesError::refused(dir, Errno::BUSY, "it can't be moved").into());
            }
        }
        let moved = self.lookup(from.0, from.1)?;
        let there = self.find_name(to.0, to.1)?.map(|hit| hit.ino);
        let tree = self.check_same_tree(from.0, to.0)?;
        match (mode, there) {
            (RenameMode::NoReplace, Some(_)) => {
                return Err(FilesError::Exists { dir: to.0, name: shown(to.1) }.into());
            }
            (RenameMode::Exchange, None) => return Err(no_entry(to.0, to.1).into()),
            (_, Some(there)) if there == moved => return Ok(()),
            _ => {}
        }
        self.check_no_loop(moved, to.0)?;
        self.adopt(moved, tree)?;
        match there {
            Some(there) if mode == RenameMode::Exchange => {
                self.check_no_loop(there, from.0)?;
                self.adopt(there, tree)?;
                self.exchange(from, moved, to, there)
            }
            there => self.move_over(from, moved, to, there),
        }
    }

    /// A directory can't be put into itself.
    fn check_no_loop(&self, moved: Ino, into: Ino) -> Result<(), Stop> {
        if !is_dir(self.attr(moved)?.mode) {
            return Ok(());
        }
        let mut at = into;
        loop {
            if at == moved {
                let why = "a directory can't be moved into itself";
                return Err(FilesError::refused(moved, Errno::INVAL, why).into());
            }
            let parent = self.attr(at)?.parent;
            if parent == at {
                return Ok(());
            }
            at = parent;
        }
    }

    fn move_over(
        &mut self,
        from: (Ino, &[u8]),
        moved: Ino,
        to: (Ino, &[u8]),
        there: Option<Ino>,
    ) -> Result<(), Stop> {
        let mode = self.attr(moved)?.mode;
        let hit = Hit { ino: moved, kind: kind_of(mode) };
        if let Some(there) = there {
            self.check_replaceable(is_dir(mode), there)?;
            self.replace_name(to.0, to.1, hit)?;
            if is_dir(mode) {
                self.attr_mut(to.0)?.nlink -= 1;
                self.drop_dir(there)?;
            } else {
                self.drop_link(there)?;
            }
        } else {
            self.add_name(to.0, to.1, hit)?;
        }
        self.remove_name(from.0, from.1)?;
        self.settle_parent(moved, from.0, to.0)
    }

    fn check_replaceable(&self, dir: bool, there: Ino) -> Result<(), Stop> {
        match (dir, is_dir(self.attr(there)?.mode)) {
            (true, true) => self.check_empty(there),
            (true, false) => {
                let why = "a directory can't replace it";
                Err(FilesError::refused(there, Errno::NOTDIR, why).into())
            }
            (false, true) => {
                Err(FilesError::refused(there, Errno::ISDIR, "it is a directory").into())
            }
            (false, false) => Ok(()),
        }
    }

    fn exchange(
        &mut self,
        from: (Ino, &[u8]),
        moved: Ino,
        to: (Ino, &[u8]),
        there: Ino,
    ) -> Result<(), Stop> {
        for ((dir, name), ino) in [(from, there), (to, moved)] {
            let kind = kind_of(self.attr(ino)?.mode);
            self.replace_name(dir, name, Hit { ino, kind })?;
        }
        self.settle_parent(moved, from.0, to.0)?;
        self.settle_parent(there, to.0, from.0)
    }

    /// A directory that was moved knows where it is, and counts in the links of its parent.
    fn settle_parent(&mut self, ino: Ino, from: Ino, to: Ino) -> Result<(), Stop> {
        self.touch_attr(ino)?;
        if is_dir(self.attr(ino)?.mode) && from != to {
            self.attr_mut(from)?.nlink -= 1;
            self.add_link(to)?;
            self.attr_mut(ino)?.parent = to;
        }
        Ok(())
    }

    /// The last handle of something without a name was closed.
    pub(crate) fn reap(&mut self, ino: Ino) -> Result<(), Stop> {
        let unnamed = self.attr(ino)?.nlink == 0;
        if unnamed { self.delete(ino) } else { Ok(()) }
    }
}

fn not_empty(dir: Ino) -> Stop {
    FilesError::refused(dir, Errno::NOTEMPTY, "the directory is not empty").into()
}
