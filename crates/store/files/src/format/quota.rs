//! A quota: the attributes of a pnode of its own.

use super::Fields;
use crate::Ino;
use crate::quotas::{Limits, Usage};

const VERSION: u8 = 1;
/// What stands where there is no limit.
const NO_LIMIT: u64 = u64::MAX;

/// What a tree may hold, and does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// The directory at the top of the tree.
    pub(crate) dir: Ino,
    pub(crate) limits: Limits,
    pub(crate) used: Usage,
    /// What was there before is not all counted yet.
    pub(crate) counting: bool,
}

impl Record {
    pub(crate) fn emit(&self) -> Vec<u8> {
        let mut out = vec![VERSION, u8::from(self.counting), 0, 0, 0, 0, 0, 0];
        let limit = |limit: Option<u64>| limit.unwrap_or(NO_LIMIT);
        let (limits, used) = (self.limits, self.used);
        for word in [self.dir.0, limit(limits.bytes), limit(limits.files), used.bytes, used.files] {
            out.extend(word.to_le_bytes());
        }
        out
    }

    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields(bytes);
        let (version, counting, spare) = (fields.u8()?, fields.u8()?, fields.bytes(6)?);
        if version != VERSION || counting > 1 || spare != [0; 6] {
            return None;
        }
        let dir = Ino(fields.u64()?);
        let mut limit = || fields.u64().map(|limit| Some(limit).filter(|limit| *limit != NO_LIMIT));
        let limits = Limits { bytes: limit()?, files: limit()? };
        let used = Usage { bytes: fields.u64()?, files: fields.u64()? };
        let counting = counting == 1;
        fields.is_over().then_some(Self { dir, limits, used, counting })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let record = Record {
            dir: Ino(20),
            limits: Limits { bytes: Some(1 << 40), files: None },
            used: Usage { bytes: 12_345, files: 7 },
            counting: true,
        };
        let bytes = record.emit();
        assert_eq!(Record::parse(&bytes), Some(record));
        for len in 0..bytes.len() {
            assert_eq!(Record::parse(&bytes[..len]), None, "cut to {len}");
        }
        for at in 0..8 {
            let mut other = bytes.clone();
            other[at] |= 2;
            assert_eq!(Record::parse(&other), None, "byte {at}");
        }
    }
}
