//! What snapshots keep.
//!
//! A snapshot is a moment with a name: an empty *index*. When an inode is changed for the first time since the
//! newest one, that index takes in what it was: an *image*, an inode of its own that borrows the content, or
//! the inode itself where the change is that it is deleted. What an index has no image of is looked for in that
//! of the next newer snapshot, and is else what it is in the tree now.
//!
//! Pnodes are numbered in the order in which they are made. So what has a larger number than an index was
//! made later, and is none of its business; and no list of what there was has to be made.

use pegasus_base::{PnodeId, Time};

use crate::cache::{Kind, Stop};
use crate::dir::{Hit, check_name, shown};
use crate::extents::BLOCK;
use crate::format::attr::{Attr, Role};
use crate::format::volume::Head;
use crate::txn::Txn;
use crate::{FilesError, Ino};

pub(crate) const DIR_MODE: u32 = 0o040_700;
/// Images removed in one step.
const STEP: usize = 32;

/// A snapshot as memory knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    /// Its index.
    pub(crate) ino: Ino,
    pub(crate) name: Vec<u8>,
    pub(crate) made: Time,
    /// It is being removed: nobody sees it any more.
    pub(crate) leaving: bool,
}

/// What an image is called in an index.
pub(crate) fn key(ino: Ino) -> [u8; 16] {
    let mut key = [0; 16];
    for (at, digit) in key.iter_mut().enumerate() {
        let four = (ino.0 >> (60 - 4 * at)) as usize & 15;
        *digit = b"0123456789abcdef"[four];
    }
    key
}

pub(crate) fn parse_key(key: &[u8]) -> Option<Ino> {
    let text = std::str::from_utf8(key).ok().filter(|text| text.len() == 16)?;
    u64::from_str_radix(text, 16).ok().map(Ino)
}

impl Txn<'_> {
    /// The volume's head as it will be.
    pub(crate) fn head(&self) -> Head {
        self.head.unwrap_or(self.cache.head)
    }

    /// From now on older programs can't use the volume.
    pub(crate) fn use_sharing(&mut self) {
        if !self.head().shares {
            self.head = Some(Head { shares: true, ..self.head() });
        }
    }

    /// Before anything of an inode of the tree is changed: lets the newest snapshot keep what it is.
    pub(crate) fn keep(&mut self, ino: Ino) -> Result<(), Stop> {
        let Some(attr) = self.node(ino)?.attr.as_ref() else { return Ok(()) };
        if attr.role == Role::Kept {
            return Err(FilesError::NoInode { ino }.into()); // it was deleted
        }
        if self.kept.contains(&ino) {
            return Ok(());
        }
        let index = self.wanted_by(ino)?;
        self.kept.insert(ino);
        match index {
            Some(index) => {
                let image = self.image_of(ino)?;
                self.enter(index, ino, image)
            }
            None => Ok(()),
        }
    }

    /// The index that has to keep an inode before it changes.
    pub(crate) fn wanted_by(&self, ino: Ino) -> Result<Option<Ino>, Stop> {
        let newest = self.cache.newest_snapshot();
        if ino >= newest || self.kept.contains(&ino) || self.is_new(ino) {
            return Ok(None);
        }
        if self.cache.entries.get(&ino).is_some_and(|entry| entry.kept_for == newest) {
            return Ok(None);
        }
        let attr = self.attr(ino)?;
        if attr.role != Role::Tree || attr.nlink == 0 {
            return Ok(None);
        }
        for snapshot in self.cache.snapshots.iter().rev() {
            if self.find_name(snapshot.ino, &key(ino))?.is_some() {
                return Ok(None);
            }
            if !snapshot.leaving {
                return Ok((ino < snapshot.ino).then_some(snapshot.ino));
            }
        }
        Ok(None)
    }

    fn enter(&mut self, index: Ino, ino: Ino, image: Ino) -> Result<(), Stop> {
        self.writes = true;
        self.add_name(index, &key(ino), Hit { ino: image, kind: 0 })
    }

    /// Makes an image of an inode as it is.
    fn image_of(&mut self, ino: Ino) -> Result<Ino, Stop> {
        let mut attr = Attr::clone(self.attr(ino)?);
        (attr.role, attr.sharing, attr.quota) = (Role::Kept, Default::default(), Ino(0));
        if attr.dir.table != PnodeId(0) {
            attr.dir.table = self.copy_of(attr.dir.table, Kind::Table)?;
        }
        if attr.xattr_pnode != PnodeId(0) {
            attr.xattr_pnode = self.copy_of(attr.xattr_pnode, Kind::Xattrs)?;
        }
        let image = self.create(Kind::Inode, Some(attr))?;
        if self.size(ino)? > BLOCK {
            self.freeze(ino)?;
            self.lend(ino, image)?;
        } else {
            self.copy_into(ino, image)?;
        }
        Ok(image)
    }

    fn copy_of(&mut self, pnode: PnodeId, kind: Kind) -> Result<PnodeId, Stop> {
        let copy = self.create(kind, None)?;
        self.copy_into(Ino::of(pnode), copy)?;
        Ok(copy.pnode())
    }

    /// Lets a snapshot have an inode that is deleted, if one wants it.
    pub(crate) fn hand_over(&mut self, ino: Ino) -> Result<bool, Stop> {
        let Some(index) = self.wanted_by(ino)? else { return Ok(false) };
        let attr = self.raw_attr_mut(ino)?;
        (attr.role, attr.quota) = (Role::Kept, Ino(0));
        self.kept.insert(ino);
        self.enter(index, ino, ino)?;
        Ok(true)
    }

    /// What an inode was when a snapshot was made.
    pub(crate) fn as_of(&self, snapshot: Ino, ino: Ino) -> Result<Ino, Stop> {
        let gone = || FilesError::NoInode { ino };
        let known = &self.cache.snapshots;
        let at = known.iter().position(|known| known.ino == snapshot && !known.leaving);
        for snapshot in &known[at.ok_or_else(gone)?..] {
            if let Some(hit) = self.find_name(snapshot.ino, &key(ino))? {
                return Ok(hit.ino);
            }
        }
        match self.attr(ino)?.role {
            Role::Tree if ino < snapshot => Ok(ino),
            _ => Err(gone().into()),
        }
    }

    /// Gives this moment a name.
    pub(crate) fn make_snapshot(&mut self, name: &[u8], key: u64) -> Result<Known, Stop> {
        let top = self.head().snapshots;
        check_name(top, name)?;
        if name.starts_with(b".") || name.iter().any(u8::is_ascii_control) {
            let why = "a snapshot's name begins with no dot and has no control characters";
            return Err(FilesError::refused(top, rustix::io::Errno::INVAL, why).into());
        }
        let mut dir = Attr::new(DIR_MODE, 0, 0, self.now);
        (dir.nlink, dir.dir.key, dir.role) = (2, key, Role::Index);
        let top = match top {
            Ino(0) => self.create(Kind::Inode, Some(dir.clone()))?,
            top => top,
        };
        if self.find_name(top, name)?.is_some() {
            return Err(FilesError::Exists { dir: top, name: shown(name) }.into());
        }
        dir.parent = top;
        let ino = self.create(Kind::Inode, Some(dir))?;
        self.add_name(top, name, Hit { ino, kind: 0 })?;
        self.head = Some(Head { shares: true, snapshots: top, ..self.head() });
        self.writes = true;
        let known = Known { ino, name: name.to_vec(), made: self.now, leaving: false };
        let mut snapshots = self.cache.snapshots.clone();
        snapshots.push(known.clone());
        self.snapshots = Some(snapshots);
        Ok(known)
    }

    /// Lets a snapshot vanish from sight. Its images are there until they are removed step by step.
    pub(crate) fn begin_removal(&mut self, name: &[u8]) -> Result<Ino, Stop> {
        let mut snapshots = self.cache.snapshots.clone();
        let found = snapshots.iter_mut().find(|known| known.name == name && !known.leaving);
        let Some(known) = found else {
            return Err(FilesError::NoSnapshot { name: shown(name) }.into());
        };
        known.leaving = true;
        let ino = known.ino;
        // Its name is free again.
        known.name = [b".", &key(ino)[..]].concat();
        let (top, hidden) = (self.head().snapshots, known.name.clone());
        self.remove_name(top, name)?;
        self.add_name(top, &hidden, Hit { ino, kind: 0 })?;
        self.raw_attr_mut(ino)?.role = Role::Leaving;
        self.snapshots = Some(snapshots);
        self.removes = true;
        Ok(ino)
    }

    /// Removes some of the images of a snapshot that is being removed, from a cookie of its index on; the
    /// cookie to go on with, or `None` when all is gone.
    pub(crate) fn remove_some(&mut self, index: Ino, cookie: u64) -> Result<Option<u64>, Stop> {
        self.removes = true;
        if self.attr(index)?.dir.entries == 0 {
            return self.end_removal(index).map(|()| None);
        }
        let mut images = self.list(index, cookie.max(2))?;
        images.truncate(STEP);
        let Some(last) = images.last() else { return Ok(Some(2)) }; // from the beginning
        let next = last.cookie;
        for image in images {
            let pnode = index.pnode();
            let why = "a snapshot's index has a name that is none of an inode";
            let ino = parse_key(&image.name).ok_or(FilesError::Damaged { pnode, why })?;
            self.remove_name(index, &image.name)?;
            match self.heir(index, ino)? {
                Some(older) => {
                    self.add_name(older, &image.name, Hit { ino: image.ino, kind: 0 })?
                }
                None => self.delete(image.ino)?,
            }
        }
        Ok(Some(next))
    }

    /// The older snapshot that needs an image of an inode when this one does not keep it any more.
    fn heir(&self, index: Ino, ino: Ino) -> Result<Option<Ino>, Stop> {
        let older = self.cache.snapshots.iter().rev().filter(|known| known.ino < index);
        for known in older {
            if self.find_name(known.ino, &key(ino))?.is_some() {
                return Ok(None);
            }
            if !known.leaving {
                return Ok((ino < known.ino).then_some(known.ino));
            }
        }
        Ok(None)
    }

    fn end_removal(&mut self, index: Ino) -> Result<(), Stop> {
        let mut snapshots = self.cache.snapshots.clone();
        let at = snapshots.iter().position(|known| known.ino == index);
        let known = snapshots.remove(at.ok_or(FilesError::NoInode { ino: index })?);
        self.remove_name(self.head().snapshots, &known.name)?;
        self.delete(index)?;
        self.snapshots = Some(snapshots);
        Ok(())
    }

    /// The snapshots there are.
    pub(crate) fn read_snapshots(&self) -> Result<Vec<Known>, Stop> {
        let top = self.head().snapshots;
        let (mut found, mut cookie) = (Vec::new(), 2);
        while top != Ino(0) {
            let listed = self.list(top, cookie)?;
            let Some(last) = listed.last() else { break };
            cookie = last.cookie;
            for entry in listed {
                let attr = self.attr(entry.ino)?;
                let leaving = attr.role == Role::Leaving;
                found.push(Known { ino: entry.ino, name: entry.name, made: attr.btime, leaving });
            }
        }
        found.sort_by_key(|known| known.ino);
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_they_are_written() {
        for ino in [0, 16, 0xabc_def0_1234, u64::MAX] {
            assert_eq!(parse_key(&key(Ino(ino))), Some(Ino(ino)));
            assert_eq!(key(Ino(ino))[..], *format!("{ino:016x}").as_bytes());
        }
        assert_eq!(parse_key(b"12"), None);
    }
}
