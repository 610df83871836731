//! For fuzzing only: every parser of the files' formats behind one door.
#![doc(hidden)]

use crate::format::attr::{Attr, Sharing};
use crate::format::bucket::{self, Bucket};
use crate::format::quota::Record;
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
    if let Some(head) = volume::Head::parse(bytes) {
        assert_eq!(head.emit(), bytes);
    }
    if let Some(record) = Record::parse(bytes) {
        assert_eq!(record.emit(), bytes);
    }
    if let Some(orphans) = volume::parse_orphans(bytes) {
        assert_eq!(volume::emit_orphans(orphans.iter()), bytes);
    }
    let mut sharing = Sharing::default();
    if sharing.parse_table(bytes).is_some() {
        let again = sharing.emit_table();
        let len = again.len().min(bytes.len());
        assert_eq!(again[..len][..4], bytes[..4]);
    }
    let page = &bytes[..bytes.len().min(PAGE)];
    if let Some(bucket) = Bucket::parse(page) {
        let mut again = bucket::head(bucket.depth).to_vec();
        bucket.entries().for_each(|(_, entry)| entry.emit(&mut again));
        assert_eq!(again, page[..bucket.end]);
    }
}
