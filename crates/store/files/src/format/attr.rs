//! An inode's attributes: what stands in the attributes of its pnode.

use std::sync::Arc;

use pegasus_base::{PnodeId, Time};

use super::Fields;
use super::xattrs::{self, Xattrs};
use crate::Ino;
use crate::extents::{EXTENTS_INLINE, Extents};
use crate::page::PAGE;

/// Inodes that neither borrow nor lend and are in the tree.
const PLAIN: u8 = 1;
/// All others,
const SHARING: u8 = 2;
/// but those that are charged to a quota.
const CHARGED: u8 = 3;
/// Longest target of a symbolic link in bytes.
pub(crate) const TARGET_BYTES_MAX: usize = 4095;
/// Targets up to this length stand in the attributes, longer ones in the content.
pub(crate) const TARGET_BYTES_INLINE: usize = 1024;
/// Extended attributes up to this length stand in the attributes, longer ones in a pnode of their own.
pub(crate) const XATTRS_BYTES_INLINE: usize = 2048;

/// The part of an inode that is not content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attr {
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) nlink: u32,
    pub(crate) rdev: u32,
    pub(crate) generation: u32,
    pub(crate) atime: Time,
    pub(crate) mtime: Time,
    pub(crate) ctime: Time,
    pub(crate) btime: Time,
    /// Of a directory: where it is.
    pub(crate) parent: Ino,
    pub(crate) dir: Dir,
    /// Where extended attributes are that do not fit here; 0 if they do.
    pub(crate) xattr_pnode: PnodeId,
    pub(crate) target: Arc<[u8]>,
    pub(crate) xattrs: Arc<Xattrs>,
    pub(crate) role: Role,
    pub(crate) sharing: Sharing,
    /// The quota it is charged to, or 0. It may be gone, and means nothing then.
    pub(crate) quota: Ino,
}

/// What an inode is there for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Role {
    /// It has a name in the tree, or had one.
    #[default]
    Tree,
    /// It is what an inode of the tree was when a snapshot was made. Never changed again.
    Kept,
    /// A directory of snapshots, or of what one keeps.
    Index,
    /// What a snapshot keeps that is being removed.
    Leaving,
    /// None: content that others borrow.
    Body,
}

impl Role {
    const ALL: [Self; 5] = [Self::Tree, Self::Kept, Self::Index, Self::Leaving, Self::Body];
}

/// Whose content is whose.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sharing {
    /// Where the content is that is its own; 0 if in its own pnode.
    pub(crate) content: PnodeId,
    /// How many borrow what is in this pnode. If any do, it is never written again.
    pub(crate) lent: u32,
    /// One of those who borrow it: the one that wrote it; 0 if that does not any more.
    pub(crate) home: Ino,
    /// What it borrows.
    pub(crate) extents: Arc<Extents>,
    /// Where they stand if they are too many to stand here; 0 else.
    pub(crate) table: PnodeId,
}

/// The shape of a directory's content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dir {
    /// Names in it.
    pub(crate) entries: u64,
    /// Key of its hash.
    pub(crate) key: u64,
    /// The pnode with its table; 0 as long as there is but one bucket.
    pub(crate) table: PnodeId,
    /// The table has 2 to the power of this many entries.
    pub(crate) depth: u8,
}

impl Attr {
    pub(crate) fn new(mode: u32, uid: u32, gid: u32, now: Time) -> Self {
        Self {
            mode,
            uid,
            gid,
            nlink: 1,
            rdev: 0,
            generation: 0,
            atime: now,
            mtime: now,
            ctime: now,
            btime: now,
            parent: Ino(0),
            dir: Dir::default(),
            xattr_pnode: PnodeId(0),
            target: Arc::from([]),
            xattrs: Arc::default(),
            role: Role::Tree,
            sharing: Sharing::default(),
            quota: Ino(0),
        }
    }

    /// Of content that is no inode's.
    pub(crate) fn body(now: Time) -> Self {
        Self { role: Role::Body, ..Self::new(0, 0, 0, now) }
    }

    pub(crate) fn emit(&self) -> Vec<u8> {
        let plain = self.role == Role::Tree && self.sharing == Sharing::default();
        let version = match self.quota {
            Ino(0) if plain => PLAIN,
            Ino(0) => SHARING,
            _ => CHARGED,
        };
        let mut out = vec![version, self.dir.depth, self.role as u8, 0];
        for word in [self.mode, self.uid, self.gid, self.nlink, self.rdev, self.generation] {
            out.extend(word.to_le_bytes());
        }
        for time in [self.atime, self.mtime, self.ctime, self.btime] {
            out.extend(time.as_ns().to_le_bytes());
        }
        let dir = &self.dir;
        for word in [self.parent.0, dir.entries, dir.key, dir.table.0, self.xattr_pnode.0] {
            out.extend(word.to_le_bytes());
        }
        if version != PLAIN {
            self.sharing.emit(&mut out);
        }
        if version == CHARGED {
            out.extend(self.quota.0.to_le_bytes());
        }
        out.extend((self.target.len() as u16).to_le_bytes()); // at most TARGET_BYTES_INLINE
        out.extend(&*self.target);
        xattrs::emit(&self.xattrs, &mut out);
        out
    }

    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields(bytes);
        let (version, depth, role) = (fields.u8()?, fields.u8()?, fields.u8()?);
        let role = *Role::ALL.get(usize::from(role))?;
        let plain = version == PLAIN;
        if !(plain && role == Role::Tree || version == SHARING || version == CHARGED)
            || fields.u8()? != 0
            || depth > super::bucket::DEPTH_MAX
        {
            return None;
        }
        let mut word = || fields.u32();
        let (mode, uid, gid, nlink) = (word()?, word()?, word()?, word()?);
        let (rdev, generation) = (word()?, word()?);
        let mut time = || fields.i64().map(Time::from_ns);
        let (atime, mtime, ctime, btime) = (time()?, time()?, time()?, time()?);
        let parent = Ino(fields.u64()?);
        let (entries, key) = (fields.u64()?, fields.u64()?);
        let table = PnodeId(fields.u64()?);
        let xattr_pnode = PnodeId(fields.u64()?);
        let sharing = if plain { Sharing::default() } else { Sharing::parse(&mut fields)? };
        let quota = if version == CHARGED { Ino(fields.u64()?) } else { Ino(0) };
        let could_be_plain = role == Role::Tree && sharing == Sharing::default();
        if version == SHARING && could_be_plain || version == CHARGED && quota == Ino(0) {
            return None;
        }
        let len = usize::from(fields.u16()?);
        let target = fields.bytes(len).filter(|_| len <= TARGET_BYTES_INLINE)?;
        let xattrs = xattrs::parse(fields.0)?;
        Some(Self {
            mode,
            uid,
            gid,
            nlink,
            rdev,
            generation,
            atime,
            mtime,
            ctime,
            btime,
            parent,
            dir: Dir { entries, key, table, depth },
            xattr_pnode,
            target: target.into(),
            xattrs: Arc::new(xattrs),
            role,
            sharing,
            quota,
        })
    }
}

impl Sharing {
    fn emit(&self, out: &mut Vec<u8>) {
        out.extend(self.content.0.to_le_bytes());
        out.extend(self.home.0.to_le_bytes());
        out.extend(self.table.0.to_le_bytes());
        out.extend(self.lent.to_le_bytes());
        let inline = if self.table == PnodeId(0) { self.extents.len() } else { 0 };
        out.extend((inline as u32).to_le_bytes()); // at most EXTENTS_INLINE
        if inline > 0 {
            self.extents.emit(out);
        }
    }

    fn parse(fields: &mut Fields<'_>) -> Option<Self> {
        let (content, home) = (PnodeId(fields.u64()?), Ino(fields.u64()?));
        let (table, lent) = (PnodeId(fields.u64()?), fields.u32()?);
        let count = fields.u32()? as usize;
        if count > EXTENTS_INLINE || count > 0 && table != PnodeId(0) {
            return None;
        }
        let extents = Extents::parse(fields, count)?;
        Some(Self { content, lent, home, extents: Arc::new(extents), table })
    }

    /// Takes in what stands in the table.
    pub(crate) fn parse_table(&mut self, bytes: &[u8]) -> Option<()> {
        let mut fields = Fields(bytes.get(4..)?);
        let count = u32::from_le_bytes(bytes[..4].try_into().ok()?) as usize;
        self.extents = Arc::new(Extents::parse(&mut fields, count)?);
        Some(())
    }

    /// What stands in the table, in whole pages.
    pub(crate) fn emit_table(&self) -> Vec<u8> {
        let mut out = (self.extents.len() as u32).to_le_bytes().to_vec();
        self.extents.emit(&mut out);
        out.resize(out.len().next_multiple_of(PAGE), 0);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extents::Run;

    #[test]
    fn what_is_written_is_read() {
        let mut attr = Attr::new(0o100_644, 1, 2, Time::from_ns(-5));
        attr.target = Arc::from(*b"over/there");
        attr.xattrs = Arc::new([(b"user.a".to_vec(), b"b".to_vec())].into());
        let bytes = attr.emit();
        assert_eq!(Attr::parse(&bytes), Some(attr.clone()));
        for len in 0..bytes.len() {
            assert_eq!(Attr::parse(&bytes[..len]), None, "cut to {len}");
        }
        let mut extents = Extents::default();
        extents.insert(3, Run { count: 4, body: Ino(70), at: 9 });
        attr.sharing = Sharing {
            content: PnodeId(5),
            lent: 2,
            home: Ino(6),
            extents: Arc::new(extents),
            table: PnodeId(0),
        };
        attr.role = Role::Kept;
        let charged = Attr { quota: Ino(33), ..attr.clone() };
        assert_eq!(Attr::parse(&charged.emit()), Some(charged));
        let bytes = attr.emit();
        assert_eq!(Attr::parse(&bytes), Some(attr));
        for len in 0..bytes.len() {
            assert_eq!(Attr::parse(&bytes[..len]), None, "cut to {len}");
        }
    }

    #[test]
    fn the_longest_attributes_fit_a_pnode() {
        let fixed = 4 + 6 * 4 + 4 * 8 + 5 * 8 + 2 + 3 * 8 + 2 * 4 + 8;
        let extents = EXTENTS_INLINE * Extents::ONE_BYTES;
        let longest = fixed + extents + TARGET_BYTES_INLINE + XATTRS_BYTES_INLINE;
        assert!(longest <= pegasus_log::Log::ATTRIBUTES_BYTES_MAX);
    }
}
