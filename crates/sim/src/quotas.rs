//! What quotas should count and refuse.

use std::collections::BTreeMap;

use pegasus_files::{Errno, Files, FilesError, Ino, Limits};

use crate::{Finding, must};

/// The quotas of a volume, and what is charged to them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Quotas {
    /// By the directories at the top.
    limits: BTreeMap<Ino, Limits>,
    /// The tops of what inodes are charged to.
    charged: BTreeMap<Ino, Ino>,
    /// What was refused so far.
    pub(crate) refusals: u64,
}

impl PartialEq for Quotas {
    fn eq(&self, other: &Self) -> bool {
        (&self.limits, &self.charged) == (&other.limits, &other.charged)
    }
}

impl Eq for Quotas {}

impl Quotas {
    /// Those of a volume with these inodes, brought to the end of their counts.
    pub(crate) fn read<'a>(
        files: &Files,
        inodes: impl Iterator<Item = &'a Ino>,
    ) -> Result<Self, Finding> {
        must("counting for quotas", files.finish_counting())?;
        let mut quotas = Self::default();
        for quota in must("listing quotas", files.quotas())? {
            quotas.limits.insert(quota.dir, quota.limits);
        }
        for ino in inodes {
            let quota = must("asking for a quota", files.quota_of(*ino))?;
            quotas.charged.extend(quota.map(|quota| (*ino, quota.dir)));
        }
        Ok(quotas)
    }

    /// The directories with one.
    pub(crate) fn tops(&self) -> Vec<Ino> {
        self.limits.keys().copied().collect()
    }

    /// Charges inodes to a new quota, but for those that have one.
    pub(crate) fn set(&mut self, dir: Ino, limits: Limits, below: Vec<Ino>) {
        self.limits.insert(dir, limits);
        for ino in below {
            self.charged.entry(ino).or_insert(dir);
        }
    }

    /// An inode was made in a directory.
    pub(crate) fn made(&mut self, dir: Ino, ino: Ino) {
        let top = self.charged.get(&dir).copied();
        self.charged.extend(top.map(|top| (ino, top)));
    }

    /// An inode is gone; if it was the top of a tree, so is its quota.
    pub(crate) fn forget(&mut self, ino: Ino) {
        self.charged.remove(&ino);
        self.remove(ino);
    }

    /// The quota of a directory is gone.
    pub(crate) fn remove(&mut self, dir: Ino) {
        if self.limits.remove(&dir).is_some() {
            self.charged.retain(|_, top| *top != dir);
        }
    }

    /// What is said to a name that goes from one inode's tree to another's.
    pub(crate) fn between(&self, one: Ino, other: Ino) -> Option<Errno> {
        (self.charged.get(&one) != self.charged.get(&other)).then_some(Errno::XDEV)
    }

    /// What is said to so many bytes and files more where an inode is.
    pub(crate) fn refusal(
        &self,
        ino: Ino,
        (bytes, files): (u64, u64),
        len: impl Fn(Ino) -> usize,
    ) -> Option<Errno> {
        let top = self.charged.get(&ino)?;
        let Limits { bytes: bytes_max, files: files_max } = self.limits[top];
        let all = || self.charged.iter().filter(|(_, at)| *at == top).map(|(ino, _)| *ino);
        let used: usize = all().map(len).sum();
        let over = bytes > 0 && bytes_max.is_some_and(|most| used as u64 + bytes > most)
            || files > 0 && files_max.is_some_and(|most| all().count() as u64 + files > most);
        over.then_some(Errno::DQUOT)
    }

    /// Whether something was done; it has to be refused with just this word, if with any.
    pub(crate) fn agree<T>(
        &mut self,
        done: Result<T, FilesError>,
        expected: Option<Errno>,
    ) -> Result<Option<T>, FilesError> {
        match (done, expected) {
            (Ok(value), None) => Ok(Some(value)),
            (Err(error), Some(errno)) if error.errno() == errno => {
                self.refusals += 1;
                Ok(None)
            }
            (Ok(_), Some(_)) => {
                let why = "a quota forbids it, and it was done";
                Err(FilesError::Refused { ino: Ino(0), errno: Errno::INVAL, why })
            }
            (Err(error), _) => Err(error),
        }
    }
}
