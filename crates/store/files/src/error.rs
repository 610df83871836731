//! What can go wrong, said so that it names who is at fault and where.

use pegasus_base::PnodeId;
use pegasus_log::LogError;
use rustix::io::Errno;

use crate::Ino;

/// Why an operation on files failed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum FilesError {
    /// There is no such inode: it was deleted, or never was.
    #[error("{ino} does not exist")]
    NoInode {
        /// The inode.
        ino: Ino,
    },
    /// The directory has no entry of this name.
    #[error("{dir} has no {name:?}")]
    NoEntry {
        /// The directory.
        dir: Ino,
        /// The name.
        name: String,
    },
    /// The directory has an entry of this name already.
    #[error("{dir} has {name:?} already")]
    Exists {
        /// The directory.
        dir: Ino,
        /// The name.
        name: String,
    },
    /// The caller's request can't be carried out on this inode; the error number says why.
    #[error("{ino}: {why}")]
    Refused {
        /// The inode.
        ino: Ino,
        /// What the caller is told.
        errno: Errno,
        /// Why.
        why: &'static str,
    },
    /// The store has no room for the change. Nothing changed.
    #[error("the store is full: {wanted_bytes} more bytes do not fit into {free_bytes}")]
    Full {
        /// Bytes it would take in the worst case.
        wanted_bytes: u64,
        /// Bytes not spoken for.
        free_bytes: u64,
    },
    /// What is on disk is not what it should be, though its checksums are right: written by another
    /// version, or by a fault of this program.
    #[error("{pnode} is damaged: {why}")]
    Damaged {
        /// The pnode.
        pnode: PnodeId,
        /// What is wrong with it.
        why: &'static str,
    },
    /// There is no snapshot of this name.
    #[error("there is no snapshot {name:?}")]
    NoSnapshot {
        /// The name.
        name: String,
    },
    /// The quota of the tree does not allow the change. Nothing changed.
    #[error("the quota of {dir} allows no more")]
    OverQuota {
        /// The directory that has the quota.
        dir: Ino,
    },
    /// The directory has no quota of its own.
    #[error("{dir} has no quota")]
    NoQuota {
        /// The directory.
        dir: Ino,
    },
    /// The volume has been closed.
    #[error("the volume is closed")]
    Closed,
    /// The layer below failed: disks, checksums, room.
    #[error(transparent)]
    Log(#[from] LogError),
}

impl FilesError {
    pub(crate) fn refused(ino: Ino, errno: Errno, why: &'static str) -> Self {
        Self::Refused { ino, errno, why }
    }

    /// The error number a program is told.
    #[must_use]
    pub fn errno(&self) -> Errno {
        match self {
            Self::NoInode { .. }
            | Self::NoEntry { .. }
            | Self::NoSnapshot { .. }
            | Self::NoQuota { .. } => Errno::NOENT,
            Self::OverQuota { .. } => Errno::DQUOT,
            Self::Exists { .. } => Errno::EXIST,
            Self::Refused { errno, .. } => *errno,
            Self::Full { .. } | Self::Log(LogError::Full { .. }) => Errno::NOSPC,
            Self::Log(LogError::ReadOnly) => Errno::ROFS,
            Self::Log(LogError::TooLong { .. }) => Errno::FBIG,
            Self::Damaged { .. } | Self::Log(_) => Errno::IO,
            Self::Closed => Errno::SHUTDOWN,
        }
    }
}
