//! The catalogue: the log's root pnode, a head and one slot of fixed size for each stream.

use std::time::Duration;

use pegasus_base::{PnodeId, StreamId, StreamName};

use super::bytes::{Fields, FormatError};
use crate::settings::StreamRetention;

/// Bytes of a slot; the head has as many.
pub(crate) const SLOT_LEN: usize = 512;
const MAGIC: [u8; 4] = *b"PgCa";
const VERSION: u8 = 1;
const FREE: u8 = 0;
const USED: u8 = 1;
const HAS_RULE: u8 = 1;
const HAS_AGE: u8 = 2;
const HAS_BYTES: u8 = 4;

/// Where slot number `slot` begins in the pnode.
pub(crate) fn slot_offset(slot: u32) -> u64 {
    (u64::from(slot) + 1) * SLOT_LEN as u64
}

/// The head of the catalogue.
pub(crate) fn emit_head() -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.push(VERSION);
    out.resize(SLOT_LEN, 0);
    out
}

/// Checks the head of the catalogue.
pub(crate) fn check_head(bytes: &[u8]) -> Result<(), FormatError> {
    Fields::new(bytes).expect(MAGIC, VERSION)
}

/// A stream of which something is recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StreamRecord {
    pub(crate) id: StreamId,
    pub(crate) name: StreamName,
    /// The directory: one record for each segment.
    pub(crate) segments: PnodeId,
    /// One record for each span.
    pub(crate) spans: PnodeId,
    /// Retention of its own.
    pub(crate) rule: Option<StreamRetention>,
}

/// A slot without a stream.
pub(crate) fn emit_free() -> Vec<u8> {
    vec![FREE; SLOT_LEN]
}

impl StreamRecord {
    /// The slot's bytes.
    pub(crate) fn emit(&self) -> Vec<u8> {
        let mut flags = 0;
        let rule = self.rule.unwrap_or_default();
        for (there, flag) in [
            (self.rule.is_some(), HAS_RULE),
            (rule.age.is_some(), HAS_AGE),
            (rule.bytes.is_some(), HAS_BYTES),
        ] {
            flags |= if there { flag } else { 0 };
        }
        let age_ns = rule.age.map_or(0, |age| u64::try_from(age.as_nanos()).unwrap_or(u64::MAX));
        let name = self.name.as_str().as_bytes();
        let mut out = vec![USED, flags, name.len() as u8, 0, 0, 0, 0, 0];
        out.extend(self.id.to_bytes());
        for value in [self.segments.0, self.spans.0, age_ns, rule.bytes.unwrap_or(0)] {
            out.extend(value.to_le_bytes());
        }
        out.extend_from_slice(name);
        assert!(out.len() <= SLOT_LEN, "a name has at most 200 bytes");
        out.resize(SLOT_LEN, 0);
        out
    }

    /// Reads a slot; `None` if it is free.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Option<Self>, FormatError> {
        let mut fields = Fields::new(bytes);
        match fields.u8()? {
            FREE => return Ok(None),
            USED => {}
            _ => return Err(FormatError::Field { field: "state" }),
        }
        let (flags, name_len) = (fields.u8()?, fields.u8()?);
        fields.take(5)?;
        let id = StreamId(fields.u128()?);
        let (segments, spans) = (PnodeId(fields.u64()?), PnodeId(fields.u64()?));
        let (age_ns, bytes_max) = (fields.u64()?, fields.u64()?);
        let name = std::str::from_utf8(fields.take(usize::from(name_len))?)
            .ok()
            .and_then(|name| name.parse().ok())
            .ok_or(FormatError::Field { field: "name" })?;
        let rule = (flags & HAS_RULE != 0).then(|| StreamRetention {
            age: (flags & HAS_AGE != 0).then(|| Duration::from_nanos(age_ns)),
            bytes: (flags & HAS_BYTES != 0).then_some(bytes_max),
        });
        Ok(Some(Self { id, name, segments, spans, rule }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn round_trip(
            id: u128,
            name in "(/[a-z0-9_.-]{2,20}){1,8}",
            pnodes: [u64; 2],
            rule: Option<(Option<u64>, Option<u64>)>,
        ) {
            let Ok(name) = name.parse() else { return Ok(()) };
            let record = StreamRecord {
                id: StreamId(id),
                name,
                segments: PnodeId(pnodes[0]),
                spans: PnodeId(pnodes[1]),
                rule: rule.map(|(age, bytes)| StreamRetention {
                    age: age.map(Duration::from_nanos),
                    bytes,
                }),
            };
            prop_assert_eq!(StreamRecord::parse(&record.emit()), Ok(Some(record)));
        }

        #[test]
        fn any_bytes_parse_or_fail(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = StreamRecord::parse(&bytes);
        }
    }

    #[test]
    fn a_free_slot_holds_nothing() {
        assert_eq!(StreamRecord::parse(&emit_free()), Ok(None));
        assert_eq!(check_head(&emit_head()), Ok(()));
        assert_eq!(check_head(&emit_free()), Err(FormatError::Magic));
    }
}
