//! The tertiary store: objects with names, in a folder or in an S3 store, whoever runs it.
//!
//! An object is written whole, never changed, read in ranges, listed and deleted. That is all that an S3 store and a
//! folder have in common, and all that is asked of them: no conditions on writes, which look-alikes accept and
//! ignore, and no checksums of theirs, which mean something else for each. Calls block, with a deadline, and may be made
//! from any thread that may block.
//!
//! What it is not: it knows nothing of recordings, of what should be in it, or of when. That is `continuous`.
//!
//! ```
//! use pegasus_tier::{Error, Tier};
//! # let folder = tempfile::tempdir()?;
//! let tier = Tier::folder(folder.path())?;
//! tier.put("a/b", b"some bytes".to_vec().into())?;
//! assert_eq!(&tier.get("a/b", 5..10)?[..], b"bytes");
//! assert_eq!(tier.list("a")?[0].bytes, 10);
//! tier.delete("a/b")?;
//! assert!(matches!(tier.get("a/b", 0..1), Err(Error::Missing { .. })));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

mod error;
#[cfg(feature = "s3")]
mod s3;
mod tier;

pub use error::Error;
#[cfg(feature = "s3")]
pub use s3::S3Options;
pub use tier::{Listed, Tier};
