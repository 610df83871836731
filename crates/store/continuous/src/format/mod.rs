//! Bytes on disk, as `docs/design/recording.md` describes them. Everything is little endian.
//!
//! Each structure is a value that can only be valid, with `emit` and `parse`. Checksums are the
//! log's business: what arrives here has passed them, so a [`FormatError`] means another version or a
//! fault of the program, never a bad disk. Parsing trusts nothing all the same.

pub(crate) mod block;
pub(crate) mod bytes;
pub(crate) mod catalogue;
mod fuzz;
pub(crate) mod index;
pub(crate) mod object;
pub(crate) mod outline;
pub(crate) mod segment;
pub(crate) mod span;
pub(crate) mod table;
pub(crate) mod tracks;

pub use bytes::FormatError;
pub use fuzz::fuzz_formats;
