//! What stands on the disks: views that judge, values that can only be valid.
//!
//! Everything is little endian. Each structure has a `parse` that takes arbitrary bytes and never
//! panics, and an `emit` whose output parses to the same value. `docs/design/log.md` has the bytes.

pub(crate) mod block;
pub(crate) mod bytes;
pub(crate) mod checkpoint;
pub(crate) mod fragment;
pub(crate) mod pnode;
pub(crate) mod record;
pub(crate) mod superblock;
#[cfg(test)]
mod tests;
