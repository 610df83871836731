//! What can go wrong with a disk, and whose fault it is.

use std::fmt;
use std::io;
use std::sync::Arc;

/// What was being done to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// Reading sectors.
    Read,
    /// Writing sectors.
    Write,
    /// Making earlier writes durable.
    Flush,
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Flush => "flush",
        })
    }
}

/// What happened to a disk's file behind our back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// Nothing has this path any more.
    Deleted,
    /// The path leads to another file now.
    Replaced,
    /// The file is shorter than it was.
    Shrunk {
        /// Size when opened, in bytes.
        was_bytes: u64,
        /// Size now, in bytes.
        now_bytes: u64,
    },
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deleted => f.write_str("was deleted while in use"),
            Self::Replaced => f.write_str("was replaced by another file while in use"),
            Self::Shrunk { was_bytes, now_bytes } => {
                write!(f, "was cut from {was_bytes} to {now_bytes} bytes while in use")
            }
        }
    }
}

/// Why a disk could not do what it was asked. Every variant names the disk.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiskError {
    /// The operating system or the medium refused one request. Other requests may still succeed.
    #[error("disk {disk}: {op} of {len_bytes} bytes at offset {offset} failed: {source}")]
    Io {
        /// The disk's label.
        disk: String,
        /// What was being done.
        op: Op,
        /// Where, in bytes from the start of the disk.
        offset: u64,
        /// How much, in bytes; 0 for a flush.
        len_bytes: u64,
        /// What the system said.
        source: Arc<io::Error>,
    },

    /// The disk does nothing any more.
    #[error("disk {disk} is dead: {why}")]
    Dead {
        /// The disk's label.
        disk: String,
        /// What killed it.
        why: String,
    },

    /// The file behind the disk is not what it was. Final: its data can't be trusted to last.
    #[error("disk {disk} {change}")]
    Changed {
        /// The disk's label.
        disk: String,
        /// What happened to it.
        change: Change,
    },

    /// The file system below has no room (or no quota) left.
    #[error("disk {disk}: no room for {needed_bytes} bytes on its file system")]
    Full {
        /// The disk's label.
        disk: String,
        /// How much was to be stored, in bytes.
        needed_bytes: u64,
    },

    /// The caller's fault: outside the disk, not in whole sectors, or absurdly long.
    #[error(
        "disk {disk}: {op} of {len_bytes} bytes at offset {offset} is not in whole 4096-byte \
         sectors inside its {size_bytes} bytes"
    )]
    Bounds {
        /// The disk's label.
        disk: String,
        /// What was asked.
        op: Op,
        /// Where, in bytes.
        offset: u64,
        /// How much, in bytes.
        len_bytes: u64,
        /// The disk's size in bytes.
        size_bytes: u64,
    },

    /// Somebody else has the disk open.
    #[error("disk {disk} is in use by another process (or is open twice in this one)")]
    Locked {
        /// The disk's label.
        disk: String,
    },

    /// The disk can't be opened or created at all.
    #[error("disk {disk} can't be {what}: {source}")]
    Open {
        /// The disk's label.
        disk: String,
        /// `opened` or `created`.
        what: &'static str,
        /// What the system said.
        source: Arc<io::Error>,
    },

    /// What is at the path can't serve as a disk.
    #[error("{disk} can't be used as a disk: {why}")]
    Unsuitable {
        /// The disk's label.
        disk: String,
        /// What is wrong with it.
        why: String,
    },
}

impl DiskError {
    /// The label of the disk the error is about.
    #[must_use]
    pub fn disk(&self) -> &str {
        match self {
            Self::Io { disk, .. }
            | Self::Dead { disk, .. }
            | Self::Changed { disk, .. }
            | Self::Full { disk, .. }
            | Self::Bounds { disk, .. }
            | Self::Locked { disk }
            | Self::Open { disk, .. }
            | Self::Unsuitable { disk, .. } => disk,
        }
    }

    /// Whether the whole disk is lost, rather than one request.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Dead { .. } | Self::Changed { .. })
    }
}
