//! A directory's bucket: a page of names with their inodes.
//!
//! Entries stand one behind the other; where an inode's number would be 0 they end. So an entry more
//! changes its own bytes alone.

use super::Fields;
use crate::Ino;
use crate::page::PAGE;

const VERSION: u8 = 1;
const HEAD: usize = 4;
const ENTRY_HEAD: usize = 10;
/// Longest name in bytes.
pub(crate) const NAME_BYTES_MAX: usize = 255;
/// A directory's table has at most 2 to the power of this many entries.
pub(crate) const DEPTH_MAX: u8 = 22;

/// One entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    pub(crate) ino: Ino,
    /// File type bits of the mode, shifted down by 12.
    pub(crate) kind: u8,
    pub(crate) name: &'a [u8],
}

/// A bucket that was looked through once.
#[derive(Debug)]
pub(crate) struct Bucket<'a> {
    bytes: &'a [u8],
    /// Its entries are those whose hashes begin with the same so many bits.
    pub(crate) depth: u8,
    /// Where the entries end.
    pub(crate) end: usize,
}

/// What a bucket begins with.
pub(crate) fn head(depth: u8) -> [u8; HEAD] {
    [VERSION, depth, 0, 0]
}

impl Entry<'_> {
    pub(crate) fn len(&self) -> usize {
        ENTRY_HEAD + self.name.len()
    }

    pub(crate) fn emit(&self, out: &mut Vec<u8>) {
        out.extend(self.ino.0.to_le_bytes());
        out.extend([self.kind, self.name.len() as u8]); // at most NAME_BYTES_MAX
        out.extend(self.name);
    }
}

impl<'a> Bucket<'a> {
    /// Checks all of a page. `None` if it is no bucket.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut fields = Fields(bytes);
        let (version, depth, spare) = (fields.u8()?, fields.u8()?, fields.u16()?);
        if version != VERSION || spare != 0 || depth > DEPTH_MAX || bytes.len() > PAGE {
            return None;
        }
        let mut bucket = Self { bytes, depth, end: HEAD };
        while let Some(entry) = bucket.entry_at(bucket.end)? {
            bucket.end += entry.len();
        }
        Some(bucket)
    }

    /// The entry at `at`: `Some(None)` where they end, `None` if it makes no sense.
    #[allow(clippy::option_option)] // an iterator step that can fail
    fn entry_at(&self, at: usize) -> Option<Option<Entry<'a>>> {
        let mut fields = Fields(self.bytes.get(at..)?);
        let Some(ino) = fields.u64().filter(|&ino| ino != 0) else {
            return Some(None);
        };
        let (kind, len) = (fields.u8()?, usize::from(fields.u8()?));
        let name = fields.bytes(len)?;
        let sound = !name.is_empty() && !name.contains(&b'/') && !name.contains(&0);
        sound.then_some(Some(Entry { ino: Ino(ino), kind, name }))
    }

    /// The entries, each with where it is.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (usize, Entry<'a>)> + use<'a, '_> {
        let mut at = HEAD;
        std::iter::from_fn(move || {
            let entry = self.entry_at(at).flatten()?;
            let place = at;
            at += entry.len();
            Some((place, entry))
        })
    }

    pub(crate) fn find(&self, name: &[u8]) -> Option<(usize, Entry<'a>)> {
        self.entries().find(|(_, entry)| entry.name == name)
    }

    /// Whether an entry more fits.
    pub(crate) fn takes(&self, entry: &Entry<'_>) -> bool {
        self.end + entry.len() <= PAGE
    }
}

/// Hash of a name in a directory with this key: FNV-1a, then mixed so that its first bits are good.
pub(crate) fn hash(key: u64, name: &[u8]) -> u64 {
    let mut hash = key ^ 0xcbf2_9ce4_8422_2325;
    for byte in name {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

/// The first `bits` bits of a hash.
pub(crate) fn prefix(hash: u64, bits: u8) -> u64 {
    if bits == 0 { 0 } else { hash >> (64 - u32::from(bits)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_found_and_damage_is_seen() {
        let mut bytes = head(3).to_vec();
        for (ino, name) in [(17, b"one".as_slice()), (18, b"two")] {
            Entry { ino: Ino(ino), kind: 8, name }.emit(&mut bytes);
        }
        let bucket = Bucket::parse(&bytes).unwrap();
        assert_eq!((bucket.depth, bucket.end), (3, bytes.len()));
        assert_eq!(bucket.find(b"two").unwrap().1.ino, Ino(18));
        assert!(bucket.find(b"three").is_none());
        assert!(Bucket::parse(&bytes[..bytes.len() - 1]).is_none(), "cut");
        bytes[HEAD + 9] = 0;
        assert!(Bucket::parse(&bytes).is_none(), "an empty name");
    }
}
