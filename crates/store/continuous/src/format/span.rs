//! Records of the spans pnode: one for each span, in the order of time.

use pegasus_base::Time;

use super::block::{SpanHead, Totals};
use super::bytes::{Fields, FormatError};
use crate::status::Span;

/// Bytes of a record.
pub(crate) const RECORD_LEN: usize = 64;

/// A span as its record says. While the span grows, the record lags behind the blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SpanRecord {
    pub(crate) head: SpanHead,
    /// End of its last unit.
    pub(crate) end: Time,
    /// Totals behind its last unit.
    pub(crate) after: Totals,
}

impl SpanRecord {
    pub(crate) fn emit(&self, out: &mut Vec<u8>) {
        let at = out.len();
        out.extend(self.head.serial.to_le_bytes());
        out.extend(self.head.start.as_ns().to_le_bytes());
        out.extend(self.end.as_ns().to_le_bytes());
        self.head.before.emit(out);
        self.after.emit(out);
        out.extend([0; 8]);
        assert_eq!(out.len() - at, RECORD_LEN, "records have a fixed length");
    }

    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut fields = Fields::new(bytes);
        let (serial, start, end) = (fields.u64()?, fields.time()?, fields.time()?);
        let (before, after) = (Totals::parse(&mut fields)?, Totals::parse(&mut fields)?);
        if start > end || before > after {
            return Err(FormatError::Field { field: "span" });
        }
        Ok(Self { head: SpanHead { serial, start, before }, end, after })
    }

    /// The span as users see it.
    pub(crate) fn span(&self) -> Span {
        let holds = self.after.since(self.head.before);
        Span { start: self.head.start, end: self.end, bytes: holds.bytes, units: holds.units }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn round_trip(serial: u64, mut times: [i64; 2], a: [u64; 2], b: [u64; 2]) {
            times.sort_unstable();
            let mut totals = [a, b].map(|[units, bytes]| Totals { units, bytes });
            totals.sort_unstable();
            let record = SpanRecord {
                head: SpanHead { serial, start: Time::from_ns(times[0]), before: totals[0] },
                end: Time::from_ns(times[1]),
                after: totals[1],
            };
            let mut out = Vec::new();
            record.emit(&mut out);
            prop_assert_eq!(SpanRecord::parse(&out), Ok(record));
        }

        #[test]
        fn any_bytes_parse_or_fail(bytes in proptest::collection::vec(any::<u8>(), 0..70)) {
            let _ = SpanRecord::parse(&bytes);
        }
    }
}
