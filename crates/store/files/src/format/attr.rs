//! An inode's attributes: what stands in the attributes of its pnode.

use std::sync::Arc;

use pegasus_base::{PnodeId, Time};

use super::Fields;
use super::xattrs::{self, Xattrs};
use crate::Ino;

const VERSION: u8 = 1;
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
        }
    }

    pub(crate) fn emit(&self) -> Vec<u8> {
        let mut out = vec![VERSION, self.dir.depth, 0, 0];
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
        out.extend((self.target.len() as u16).to_le_bytes()); // at most TARGET_BYTES_INLINE
        out.extend(&*self.target);
        xattrs::emit(&self.xattrs, &mut out);
        out
    }

    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields(bytes);
        let (version, depth, spare) = (fields.u8()?, fields.u8()?, fields.u16()?);
        if version != VERSION || spare != 0 || depth > super::bucket::DEPTH_MAX {
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
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut attr = Attr::new(0o100_644, 1, 2, Time::from_ns(-5));
        attr.target = Arc::from(*b"over/there");
        attr.xattrs = Arc::new([(b"user.a".to_vec(), b"b".to_vec())].into());
        let bytes = attr.emit();
        assert_eq!(Attr::parse(&bytes), Some(attr));
        for len in 0..bytes.len() {
            assert_eq!(Attr::parse(&bytes[..len]), None, "cut to {len}");
        }
    }

    #[test]
    fn the_longest_attributes_fit_a_pnode() {
        let longest = 4 + 6 * 4 + 4 * 8 + 5 * 8 + 2 + TARGET_BYTES_INLINE + XATTRS_BYTES_INLINE;
        assert!(longest <= pegasus_log::Log::ATTRIBUTES_BYTES_MAX);
    }
}
