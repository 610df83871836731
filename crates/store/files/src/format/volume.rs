//! The volume's head, in the attributes of the files' root; its content is the list of orphans.

use super::Fields;
use crate::Ino;

const MARK: &[u8; 4] = b"PGfs";
const VERSION: u8 = 1;

pub(crate) fn emit(root: Ino) -> Vec<u8> {
    let mut out = MARK.to_vec();
    out.extend([VERSION, 0, 0, 0]);
    out.extend(root.0.to_le_bytes());
    out
}

/// The root directory.
pub(crate) fn parse(bytes: &[u8]) -> Option<Ino> {
    let mut fields = Fields(bytes);
    let mark = fields.bytes(4)?;
    let head = fields.u32()?;
    let root = Ino(fields.u64()?);
    (mark == MARK && head == u32::from(VERSION) && fields.is_over()).then_some(root)
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
