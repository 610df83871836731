//! The files of a store as a mounted file system, through FUSE.
//!
//! [`Mount::new`] mounts a volume on a directory; dropping the mount, or [`Mount::unmount`], takes it
//! away and makes all of it durable. Permissions are checked by the kernel (`default_permissions`).
//! `door` turns each of the kernel's requests into one call of [`pegasus_files::Files`] and its answer;
//! `convert` has the types of both sides; `streams` shows recordings as files, `recordings` hands the
//! requests for them on; `snapshots` shows what was. Requests are served by several threads.
//!
//! [`RotatingDisk`] is something else: a simulated disk as a file, for measuring others on it.
//!
//! As root the kernel is asked to mount directly; others need `fusermount3`.
#![forbid(unsafe_code)]

mod answers;
mod convert;
mod door;
mod mount;
mod recordings;
mod rotating;
mod snapshots;
mod streams;

pub use mount::{Mount, MountError, MountOptions, Served};
pub use rotating::RotatingDisk;
