//! For fuzzing only: every parser of the files' formats behind one door.
#![doc(hidden)]

use crate::format::attr::Attr;
use crate::format::bucket::{self, Bucket};
use crate::format::{volume, xattrs};
use crate::page::PAGE;

/// Parses `bytes` as everything there is.
///
/// # Panics
/// If a value that was read is not written as it was read.
pub fn parse_all(bytes: &[u8]) {
    if let Some(attr) = Attr::parse(bytes) {
        assert_eq!(attr.emit(), bytes);
    }
    if let Some(read) = xattrs::parse(bytes) {
        let mut again = Vec::new();
        xattrs::emit(&read, &mut again);
        assert_eq!(again, bytes);
    }
    if let Some(root) = volume::parse(bytes) {
        assert_eq!(volume::emit(root), bytes);
    }
    if let Some(orphans) = volume::parse_orphans(bytes) {
        assert_eq!(volume::emit_orphans(orphans.iter()), bytes);
    }
    let page = &bytes[..bytes.len().min(PAGE)];
    if let Some(bucket) = Bucket::parse(page) {
        let mut again = bucket::head(bucket.depth).to_vec();
        bucket.entries().for_each(|(_, entry)| entry.emit(&mut again));
        assert_eq!(again, page[..bucket.end]);
    }
}
