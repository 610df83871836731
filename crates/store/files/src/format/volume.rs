//! The volume's head, in the attributes of the files' root; its content is the list of orphans.

use super::Fields;
use crate::Ino;

const MARK: &[u8; 4] = b"PGfs";
const PLAIN: u8 = 1;
/// There may be inodes that share content, snapshots, or both.
const SHARING: u8 = 2;

/// Where everything begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Head {
    /// The root directory.
    pub(crate) root: Ino,
    /// Whether anything was ever shared: older programs would not know what to do with it.
    pub(crate) shares: bool,
    /// The directory of snapshots, or 0.
    pub(crate) snapshots: Ino,
}

impl Head {
    pub(crate) fn emit(&self) -> Vec<u8> {
        let mut out = MARK.to_vec();
        out.extend([if self.shares { SHARING } else { PLAIN }, 0, 0, 0]);
        out.extend(self.root.0.to_le_bytes());
        if self.shares {
            out.extend(self.snapshots.0.to_le_bytes());
        }
        out
    }

    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields(bytes);
        let mark = fields.bytes(4)?;
        let version = fields.u32()?;
        let root = Ino(fields.u64()?);
        let shares = version == u32::from(SHARING);
        let snapshots = if shares { Ino(fields.u64()?) } else { Ino(0) };
        let known = shares || version == u32::from(PLAIN);
        (mark == MARK && known && fields.is_over()).then_some(Self { root, shares, snapshots })
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
