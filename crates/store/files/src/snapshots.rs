//! Making, listing, reading and removing snapshots.

use pegasus_base::Time;
use rustix::io::Errno;

use crate::attrs::Attributes;
use crate::dir::Listed;
use crate::names::is_dir;
use crate::seek::Seek;
use crate::snapshot::Known;
use crate::volume::{Files, Inner};
use crate::{FilesError, Ino};

/// Says which snapshot; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SnapshotId(pub(crate) Ino);

/// A snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Which.
    pub id: SnapshotId,
    /// What it is called.
    pub name: String,
    /// The moment it shows.
    pub made: Time,
}

impl From<&Known> for Snapshot {
    fn from(known: &Known) -> Self {
        let name = String::from_utf8_lossy(&known.name).into_owned();
        Self { id: SnapshotId(known.ino), name, made: known.made }
    }
}

/// Snapshots.
impl Files {
    /// Keeps all files as they are now under a name. Takes the same little room and time however many there
    /// are. What programs have written but the kernel has not handed on (mapped memory) is not in it. Durable
    /// as any other change: with the next sync.
    ///
    /// # Errors
    /// [`FilesError::Exists`], [`FilesError::Full`], or the name is none: it is empty, begins with a dot,
    /// or has a slash or control characters in it.
    pub fn create_snapshot(&self, name: &str) -> Result<Snapshot, FilesError> {
        let key = self.next_key();
        let known = self.inner.change(|txn| txn.make_snapshot(name.as_bytes(), key))?;
        Ok(Snapshot::from(&known))
    }

    /// All snapshots, oldest first.
    #[must_use]
    pub fn snapshots(&self) -> Vec<Snapshot> {
        let state = self.inner.state.lock();
        let shown = state.cache.snapshots.iter().filter(|known| !known.leaving);
        shown.map(Snapshot::from).collect()
    }

    /// Removes a snapshot, and gives back what it alone kept. It is gone at once; what it kept is removed
    /// step by step before this returns, or after a crash when the volume is opened again.
    ///
    /// # Errors
    /// [`FilesError::NoSnapshot`], or the disks fail: then it goes on later.
    pub fn remove_snapshot(&self, name: &str) -> Result<(), FilesError> {
        let index = self.inner.change(|txn| txn.begin_removal(name.as_bytes()))?;
        while self.inner.is_known(index) && self.inner.remove_some()? {}
        Ok(())
    }

    /// Goes on with removals that were not brought to their end. Whoever has opened the volume with
    /// [`Files::open`] need not care.
    ///
    /// # Errors
    /// If the disks fail.
    pub fn finish_removals(&self) -> Result<(), FilesError> {
        while self.inner.remove_some()? {}
        Ok(())
    }

    /// The files as they were when a snapshot was made.
    #[must_use]
    pub fn at(&self, snapshot: SnapshotId) -> View<'_> {
        View { files: self, snapshot: snapshot.0 }
    }
}

impl Inner {
    fn is_known(&self, index: Ino) -> bool {
        self.state.lock().cache.snapshots.iter().any(|known| known.ino == index)
    }

    /// Removes some of what is kept for a snapshot that is being removed; whether there was any.
    pub(crate) fn remove_some(&self) -> Result<bool, FilesError> {
        let (index, cookie) = {
            let state = self.state.lock();
            let leaving = state.cache.snapshots.iter().find(|known| known.leaving);
            let Some(index) = leaving.map(|known| known.ino) else { return Ok(false) };
            let (of, cookie) = state.removal;
            (index, if of == index { cookie } else { 2 })
        };
        let next = self.change(|txn| match txn.cache.snapshots.iter().any(|k| k.ino == index) {
            true => txn.remove_some(index, cookie),
            false => Ok(None), // somebody else has
        })?;
        self.state.lock().removal = (index, next.unwrap_or(2));
        Ok(true)
    }
}

/// The files as they were at one moment; nobody changes them. Inodes have the numbers they have in the tree.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    files: &'a Files,
    snapshot: Ino,
}

impl View<'_> {
    /// As [`Files::lookup`].
    ///
    /// # Errors
    /// As there; [`FilesError::NoInode`] if the snapshot is gone. So for all others.
    pub fn lookup(&self, dir: Ino, name: &[u8]) -> Result<Attributes, FilesError> {
        self.files.inner.view(|txn| {
            let ino = txn.lookup(txn.as_of(self.snapshot, dir)?, name)?;
            // In a directory's image it is called what the directory is.
            let ino = if name == b"." { dir } else { ino };
            txn.attributes_of(txn.as_of(self.snapshot, ino)?, ino)
        })
    }

    /// As [`Files::attributes`].
    ///
    /// # Errors
    /// As there.
    pub fn attributes(&self, ino: Ino) -> Result<Attributes, FilesError> {
        self.files.inner.view(|txn| txn.attributes_of(txn.as_of(self.snapshot, ino)?, ino))
    }

    /// As [`Files::read_link`].
    ///
    /// # Errors
    /// As there.
    pub fn read_link(&self, ino: Ino) -> Result<Vec<u8>, FilesError> {
        self.files.inner.view(|txn| txn.target(txn.as_of(self.snapshot, ino)?))
    }

    /// As [`Files::list`].
    ///
    /// # Errors
    /// As there.
    pub fn list(&self, dir: Ino, cookie: u64) -> Result<Vec<Listed>, FilesError> {
        self.files.inner.view(|txn| {
            let image = txn.as_of(self.snapshot, dir)?;
            if !is_dir(txn.attr(image)?.mode) {
                let why = "it is not a directory";
                return Err(FilesError::refused(dir, Errno::NOTDIR, why).into());
            }
            let mut listed = txn.list(image, cookie)?;
            listed.iter_mut().filter(|entry| entry.name == b".").for_each(|own| own.ino = dir);
            Ok(listed)
        })
    }

    /// As [`Files::xattr`].
    ///
    /// # Errors
    /// As there.
    pub fn xattr(&self, ino: Ino, name: &[u8]) -> Result<Vec<u8>, FilesError> {
        let none = || FilesError::refused(ino, Errno::NODATA, "no such attribute");
        self.files.inner.view(|txn| {
            let all = txn.xattrs(txn.as_of(self.snapshot, ino)?)?;
            Ok(all.get(name).cloned().ok_or_else(none)?)
        })
    }

    /// As [`Files::xattr_names`].
    ///
    /// # Errors
    /// As there.
    pub fn xattr_names(&self, ino: Ino) -> Result<Vec<Vec<u8>>, FilesError> {
        self.files.inner.view(|txn| {
            let all = txn.xattrs(txn.as_of(self.snapshot, ino)?)?;
            Ok(all.keys().cloned().collect())
        })
    }

    /// As [`Files::read`].
    ///
    /// # Errors
    /// As there.
    pub fn read(&self, ino: Ino, offset: u64, len: usize) -> Result<Vec<u8>, FilesError> {
        self.files.read_in(|txn| txn.as_of(self.snapshot, ino), offset, len)
    }

    /// As [`Files::seek`].
    ///
    /// # Errors
    /// As there.
    pub fn seek(&self, ino: Ino, offset: u64, what: Seek) -> Result<u64, FilesError> {
        self.files.seek_in(|txn| txn.as_of(self.snapshot, ino), offset, what)
    }

    /// As [`Files::copy`], to a file as it is now.
    ///
    /// # Errors
    /// As there.
    pub fn copy(
        &self,
        (from, offset): (Ino, u64),
        to: (Ino, u64),
        len: u64,
    ) -> Result<u64, FilesError> {
        self.files.copy_in(|txn| txn.as_of(self.snapshot, from), offset, to, len)
    }
}
