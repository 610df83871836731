//! The volume's head, in the attributes of the files' root; its content is the list of orphans.

use super::Fields;
use crate::Ino;

const MARK: &[u8; 4] = b"PGfs";
const PLAIN: u8 = 1;
/// There may be inodes that share content, snapshots, or both.
const SHARING: u8 = 2;
/// There may be quotas too.
const QUOTAS: u8 = 3;

/// Where everything begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Head {
    /// The root directory.
    pub(crate) root: Ino,
    /// Whether anything was ever shared: older programs would not know what to do with it.
    pub(crate) shares: bool,
    /// The directory of snapshots, or 0.
    pub(crate) snapshots: Ino,
    /// The directory of quotas, or 0 if there never was one. With it `shares` is set, too.
    pub(crate) quotas: Ino,
}

impl Head {
    pub(crate) fn emit(&self) -> Vec<u8> {
        let mut out = MARK.to_vec();
        let version = match self.quotas {
            Ino(0) if !self.shares => PLAIN,
            Ino(0) => SHARING,
            _ => QUOTAS,
        };
        out.extend([version, 0, 0, 0]);
        out.extend(self.root.0.to_le_bytes());
        if version != PLAIN {
            out.extend(self.snapshots.0.to_le_bytes());
        }
        if version == QUOTAS {
            out.extend(self.quotas.0.to_le_bytes());
        }
        out
    }

    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields(bytes);
        let mark = fields.bytes(4)?;
        let version = u8::try_from(fields.u32()?).ok()?;
        let root = Ino(fields.u64()?);
        let shares = version == SHARING || version == QUOTAS;
        let snapshots = if shares { Ino(fields.u64()?) } else { Ino(0) };
        let quotas = if version == QUOTAS { Ino(fields.u64()?) } else { Ino(0) };
        let known = match version {
            QUOTAS => quotas != Ino(0),
            version => version == PLAIN || version == SHARING,
        };
        let head = Self { root, shares, snapshots, quotas };
        (mark == MARK && known && fields.is_over()).then_some(head)
    }
}

pub(crate) fn emit_orphans<'a>(orphans: impl Iterator<Item = &'a Ino>) -> Vec<u8> {
    orphans.flat_map(|ino| ino.0.to_le_bytes()).collect()
}

pub(crate) fn parse_orphans(bytes: &[u8]) -> Option<Vec<Ino>> {
    let mut fields = Fields(bytes);
    let mut orphans = Vec::new();
    while !fields.is_over() {
        orphans.push(Ino(fields.u64()?));
    }
    Some(orphans)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_has_the_least_version_that_says_it() {
        let plain = Head { root: Ino(4), ..Head::default() };
        let shared = Head { shares: true, snapshots: Ino(9), ..plain };
        let limited = Head { quotas: Ino(12), ..shared };
        for (head, version, len) in [(plain, 1, 16), (shared, 2, 24), (limited, 3, 32)] {
            let bytes = head.emit();
            assert_eq!((bytes[4], bytes.len()), (version, len));
            assert_eq!(Head::parse(&bytes), Some(head));
            assert_eq!(Head::parse(&bytes[..len - 1]), None);
        }
    }
}
