//! Ordinary files on the core layer: a volume of directories and files beside the recordings.
//!
//! An inode is a pnode of the log. Changes, to data and to names, collect in memory in the order they were
//! made, and go to the log as one batch: after 30 seconds, when many wait, or when a program asks (fsync).
//! **The contract:** after a crash the volume equals its state at some moment; everything a sync was
//! answered for is before that moment. `docs/design/files.md` has every byte and the rules.
//!
//! What it is not: it checks no permissions (the kernel does, above a mount), keeps no locks of programs,
//! and knows nothing of FUSE.
//!
//! | to | see |
//! | --- | --- |
//! | open a volume | [`Files::open`] |
//! | find, make and remove names | [`Files::lookup`], [`Files::make`], [`Files::unlink`] |
//! | read and write | [`Files::read`], [`Files::write`] |
//! | check offline | [`check`] |
//! | make durable | [`Files::sync`] |
//! | copy without copying | [`Files::copy`] |
//! | keep a moment | [`Files::create_snapshot`], [`Files::at`] |
//! | limit a tree | [`Files::set_quota`], [`Files::room_at`] |
//!
//! Inside, `txn` is one operation, which takes effect whole or not at all; `dir`, `names`, `attrs` are
//! written on it; below them `content` says whose content is read and written, `share` lends and borrows it by
//! the table in `extents`, `snapshot` keeps what was, `quota` charges
//! what there is. It reads through `cache`, the volume in memory: pure, and told the time. Where memory does
//! not know, the operation says what it needs, `volume` reads that without holding a lock, and tries
//! again. `flush` writes what changed; `driver` is the thread that does so in time. `format` has the bytes.
//!
//! ```
//! # use std::sync::Arc;
//! # use pegasus_base::{SystemClock, Time};
//! # use pegasus_disk::{Disk, SimDisk};
//! # use pegasus_log::{FormatOptions, Log, OpenOptions};
//! use pegasus_files::{Files, NewInode, Settings};
//! # let now = Time::from_secs(1_700_000_000);
//! # let disks: Vec<Arc<dyn Disk>> =
//! #     SimDisk::array(2, 16 << 20, 7).into_iter().map(|d| Arc::new(d) as _).collect();
//! # let format = FormatOptions {
//! #     data: 1, parity: 1, unit_bytes: Some(1 << 18), label: String::new(), now,
//! # };
//! # Log::format(&disks, &format, &mut fastrand::Rng::with_seed(7))?;
//! # let named = disks.iter().map(|disk| (disk.label(), Some(disk.clone()))).collect();
//! # let (log, _) = Log::open(named, &OpenOptions { now, read_only: false })?;
//! let clock = Arc::new(SystemClock);
//! let files = Files::open(Arc::new(log), Settings::default(), clock, Box::new(|| {}))?;
//! let note = files.make(files.root(), b"note", &NewInode::new(0o100_644, 0, 0))?;
//! files.write(note.ino, 0, b"remember the milk")?;
//! files.sync()?; // else it is durable within half a minute
//! assert_eq!(files.read(note.ino, 9, 100)?, b"the milk");
//! assert!(files.lookup(files.root(), b"cake").is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

use std::fmt;

mod attrs;
mod cache;
mod check;
mod content;
mod copy;
mod dir;
mod driver;
mod error;
mod extents;
mod flush;
mod format;
pub mod fuzz;
mod names;
mod open;
mod ops;
mod page;
mod quota;
mod quotas;
mod room;
mod seek;
mod share;
mod snapshot;
mod snapshots;
mod txn;
mod volume;

pub use attrs::{Attributes, SetAttributes, XattrMode};
pub use check::check;
pub use dir::Listed;
pub use error::FilesError;
pub use ops::Allocate;
pub use quotas::{Limits, Quota, TreeRoom, Usage};
pub use rustix::io::Errno;
pub use seek::Seek;
pub use snapshots::{Snapshot, SnapshotId, View};
pub use volume::{Files, FilesStatus, NewInode, RenameMode, Room, Settings};

/// Number of an inode: that of its pnode. Never used again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ino(pub u64);

impl fmt::Display for Ino {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "inode {}", self.0)
    }
}
