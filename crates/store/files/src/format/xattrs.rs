//! Extended attributes: a count, then name and value of each, in the order of names.

use std::collections::BTreeMap;

use super::Fields;

/// Names and values.
pub(crate) type Xattrs = BTreeMap<Vec<u8>, Vec<u8>>;

/// Most bytes of all extended attributes of an inode.
pub(crate) const XATTRS_BYTES_MAX: usize = 128 << 10;

pub(crate) fn len(xattrs: &Xattrs) -> usize {
    4 + xattrs.iter().map(|(name, value)| 5 + name.len() + value.len()).sum::<usize>()
}

pub(crate) fn emit(xattrs: &Xattrs, out: &mut Vec<u8>) {
    out.extend((xattrs.len() as u32).to_le_bytes());
    for (name, value) in xattrs {
        out.push(name.len() as u8); // at most 255
        out.extend((value.len() as u32).to_le_bytes());
        out.extend(name);
        out.extend(value);
    }
}

pub(crate) fn parse(bytes: &[u8]) -> Option<Xattrs> {
    let mut fields = Fields(bytes);
    let count = fields.u32()?;
    let mut xattrs = Xattrs::new();
    for _ in 0..count {
        let name_len = usize::from(fields.u8()?);
        let value_len = fields.u32()? as usize;
        let (name, value) = (fields.bytes(name_len)?, fields.bytes(value_len)?);
        let in_order = xattrs.last_key_value().is_none_or(|(last, _)| last.as_slice() < name);
        if name.is_empty() || !in_order {
            return None;
        }
        xattrs.insert(name.to_vec(), value.to_vec());
    }
    fields.is_over().then_some(xattrs)
}
