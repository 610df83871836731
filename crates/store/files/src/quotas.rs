//! Setting, listing and removing quotas.

use std::collections::btree_map::{BTreeMap, Entry};
use std::ops::AddAssign;

use crate::cache::Stop;
use crate::names::S_IFDIR;
use crate::txn::Txn;
use crate::volume::{Files, Inner};
use crate::{FilesError, Ino};

/// Times a path is looked for that changes meanwhile.
const TRIES: usize = 8;

/// What a tree may hold; `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of files, as long as they are, and of the targets of symbolic links.
    pub bytes: Option<u64>,
    /// Inodes, the directory itself among them.
    pub files: Option<u64>,
}

/// What a tree holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// As in [`Limits`].
    pub bytes: u64,
    /// As in [`Limits`].
    pub files: u64,
}

impl AddAssign for Usage {
    fn add_assign(&mut self, more: Self) {
        self.bytes += more.bytes;
        self.files += more.files;
    }
}

/// A quota on a directory and all that is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// The directory.
    pub dir: Ino,
    /// What it may hold.
    pub limits: Limits,
    /// What it holds, as far as it is counted.
    pub used: Usage,
    /// What was there before is still being counted; until that is done nothing is refused.
    pub counting: bool,
}

/// How much room there is in a tree, for `statfs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreeRoom {
    /// Bytes in use, and those that can still be written.
    pub capacity_bytes: u64,
    /// Bytes that can still be written: what the quota and the store both allow.
    pub free_bytes: u64,
    /// Inodes in use, and how many more there may be, where that is limited.
    pub files: Option<(u64, u64)>,
}

/// Quotas.
impl Files {
    /// Limits what a directory may hold with all that is in it, or gives its quota other limits; they may be
    /// below what it holds. What is in it is counted before this returns, or after a crash when the volume is
    /// opened again. Durable as any other change: with the next sync.
    ///
    /// # Errors
    /// It is no directory, one above or in it has a quota, there is no room ([`FilesError::Full`]), or the disks
    /// fail: if counting had begun it goes on later.
    pub fn set_quota(&self, dir: Ino, limits: Limits) -> Result<Quota, FilesError> {
        let quota = self.begin_quota(dir, limits)?;
        while self.inner.is_counting(quota) && self.inner.count_some()? {}
        self.quota(dir)
    }

    /// As [`Files::set_quota`], but leaves counting to [`Files::finish_counting`].
    ///
    /// # Errors
    /// As there.
    #[doc(hidden)]
    pub fn begin_quota(&self, dir: Ino, limits: Limits) -> Result<Ino, FilesError> {
        let hash = self.next_key();
        self.inner.change(|txn| txn.set_quota(dir, limits, hash))
    }

    /// The quota of a directory itself.
    ///
    /// # Errors
    /// [`FilesError::NoQuota`].
    pub fn quota(&self, dir: Ino) -> Result<Quota, FilesError> {
        self.inner.view(|txn| match txn.quota_on(dir)? {
            Some(quota) => txn.told(quota),
            None => Err(FilesError::NoQuota { dir }.into()),
        })
    }

    /// The quota that an inode is charged to, if any.
    ///
    /// # Errors
    /// [`FilesError::NoInode`].
    pub fn quota_of(&self, ino: Ino) -> Result<Option<Quota>, FilesError> {
        self.inner.view(|txn| match txn.quota_of(ino)? {
            Ino(0) => Ok(None),
            quota => txn.told(quota).map(Some),
        })
    }

    /// All quotas, oldest first.
    ///
    /// # Errors
    /// If the disks fail.
    pub fn quotas(&self) -> Result<Vec<Quota>, FilesError> {
        self.inner.view(|txn| txn.cache.quotas.keys().map(|quota| txn.told(*quota)).collect())
    }

    /// Takes the quota of a directory away, at once; what is in it stays.
    ///
    /// # Errors
    /// [`FilesError::NoQuota`].
    pub fn remove_quota(&self, dir: Ino) -> Result<(), FilesError> {
        self.inner.change(|txn| match txn.drop_quota(dir)? {
            true => Ok(()),
            false => Err(FilesError::NoQuota { dir }.into()),
        })
    }

    /// Goes on with counting that was not brought to its end. Whoever has opened the volume with
    /// [`Files::open`] need not care.
    ///
    /// # Errors
    /// If there is no room, or the disks fail.
    pub fn finish_counting(&self) -> Result<(), FilesError> {
        while self.inner.count_some()? {}
        Ok(())
    }

    /// One step of [`Files::finish_counting`]; whether there was any.
    ///
    /// # Errors
    /// As there.
    #[doc(hidden)]
    pub fn count_some(&self) -> Result<bool, FilesError> {
        self.inner.count_some()
    }

    /// Room where an inode is: what its quota leaves of the store's.
    ///
    /// # Errors
    /// [`FilesError::NoInode`].
    pub fn room_at(&self, ino: Ino) -> Result<TreeRoom, FilesError> {
        let room = self.room();
        let quota = self.quota_of(ino)?.filter(|quota| !quota.counting);
        let mut here = TreeRoom {
            capacity_bytes: room.capacity_bytes,
            free_bytes: room.free_bytes,
            files: None,
        };
        let Some(Quota { limits, used, .. }) = quota else { return Ok(here) };
        if let Some(limit) = limits.bytes {
            here.free_bytes = room.free_bytes.min(limit.saturating_sub(used.bytes));
            here.capacity_bytes = used.bytes + here.free_bytes;
        }
        here.files = limits.files.map(|limit| (used.files, limit.saturating_sub(used.files)));
        Ok(here)
    }

    /// The path of a directory, from the root on, as it is now.
    ///
    /// # Errors
    /// It is gone, or moves all the while.
    pub fn path_of(&self, dir: Ino) -> Result<Vec<u8>, FilesError> {
        self.paths_of(&[dir])?.pop().flatten().ok_or(FilesError::NoInode { ino: dir })
    }

    /// The paths of directories; `None` for those that are gone.
    ///
    /// # Errors
    /// If the disks fail.
    pub fn paths_of(&self, dirs: &[Ino]) -> Result<Vec<Option<Vec<u8>>>, FilesError> {
        let mut names = Names::default();
        dirs.iter().map(|dir| self.path_by(*dir, &mut names)).collect()
    }

    fn path_by(&self, dir: Ino, names: &mut Names) -> Result<Option<Vec<u8>>, FilesError> {
        for _ in 0..TRIES {
            match self.path_once(dir, names) {
                Ok(Some(path)) => return Ok(Some(path)),
                Ok(None) => names.clear(), // something moved meanwhile
                Err(FilesError::NoInode { .. }) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    fn path_once(&self, dir: Ino, names: &mut Names) -> Result<Option<Vec<u8>>, FilesError> {
        let (mut path, mut at) = (Vec::new(), dir);
        while at != self.root {
            let parent = self.inner.view(|txn| txn.attr(at).map(|attr| attr.parent))?;
            let here = match names.entry(parent) {
                Entry::Occupied(here) => here.into_mut(),
                Entry::Vacant(new) => new.insert(self.inner.view(|txn| txn.dirs_in(parent))?),
            };
            let Some(name) = here.get(&at) else { return Ok(None) };
            path.splice(0..0, [b"/", name.as_slice()].concat());
            at = parent;
        }
        if path.is_empty() {
            path.push(b'/');
        }
        Ok(Some(path))
    }
}

/// Names of the directories in directories.
type Names = BTreeMap<Ino, BTreeMap<Ino, Vec<u8>>>;

impl Txn<'_> {
    fn told(&self, quota: Ino) -> Result<Quota, Stop> {
        let record = self.record(quota)?;
        let (dir, limits, used, counting) =
            (record.dir, record.limits, record.used, record.counting);
        Ok(Quota { dir, limits, used, counting })
    }

    fn dirs_in(&self, dir: Ino) -> Result<BTreeMap<Ino, Vec<u8>>, Stop> {
        let (mut found, mut cookie) = (BTreeMap::new(), 2);
        loop {
            let listed = self.list(dir, cookie)?;
            let Some(last) = listed.last() else { return Ok(found) };
            cookie = last.cookie;
            let dirs = listed.into_iter().filter(|entry| entry.file_type == S_IFDIR);
            found.extend(dirs.map(|entry| (entry.ino, entry.name)));
        }
    }
}

impl Inner {
    fn is_counting(&self, quota: Ino) -> bool {
        let state = self.state.lock();
        state.cache.quotas.get(&quota).is_some_and(|known| known.walk.is_some())
    }

    /// Counts some of a tree that is not counted yet; whether there was any.
    pub(crate) fn count_some(&self) -> Result<bool, FilesError> {
        let counting = {
            let state = self.state.lock();
            let mut quotas = state.cache.quotas.iter();
            quotas.find(|(_, known)| known.walk.is_some()).map(|(quota, _)| *quota)
        };
        let Some(quota) = counting else { return Ok(false) };
        self.change(|txn| txn.count_some(quota))?;
        Ok(true)
    }
}
