//! Reading and writing little-endian fields.

use std::ops::RangeInclusive;

use pegasus_base::Time;

/// Why bytes are not the structure they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// They end in the middle of a field.
    #[error("it ends at byte {at} in the middle of a field")]
    Short {
        /// Where the field begins.
        at: usize,
    },
    /// They begin with something else.
    #[error("it does not begin with the mark of its kind")]
    Magic,
    /// A newer program wrote them.
    #[error("it has version {version}, which this program does not know")]
    Version {
        /// The version found.
        version: u8,
    },
    /// A field has a value it can't have.
    #[error("its {field} makes no sense")]
    Field {
        /// The field.
        field: &'static str,
    },
    /// They belong to another stream or segment.
    #[error("it belongs to another {what}")]
    Foreign {
        /// What differs.
        what: &'static str,
    },
}

/// Reads fields one after another.
pub(crate) struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
}

macro_rules! read {
    ($($name:ident: $type:ty),*) => { $(
        pub(crate) fn $name(&mut self) -> Result<$type, FormatError> {
            let raw = self.take(size_of::<$type>())?;
            Ok(<$type>::from_le_bytes(raw.try_into().expect("take gives what was asked")))
        }
    )* };
}

impl<'a> Fields<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    read!(u8: u8, u16: u16, u32: u32, u64: u64, u128: u128, i64: i64);

    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], FormatError> {
        let end = self.at.checked_add(len).filter(|&end| end <= self.bytes.len());
        let end = end.ok_or(FormatError::Short { at: self.at })?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    pub(crate) fn time(&mut self) -> Result<Time, FormatError> {
        self.i64().map(Time::from_ns)
    }

    /// A number in LEB128: seven bits a byte, the lowest first.
    pub(crate) fn varint(&mut self) -> Result<u64, FormatError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(FormatError::Field { field: "number of variable length" })
    }

    /// A signed number as [`put_signed`] wrote it.
    pub(crate) fn signed(&mut self) -> Result<i64, FormatError> {
        let raw = self.varint()?;
        Ok((raw >> 1) as i64 ^ -((raw & 1) as i64))
    }

    pub(crate) fn remaining(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    pub(crate) fn rest(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// Checks the mark and version every structure begins with.
    pub(crate) fn expect(&mut self, magic: [u8; 4], version: u8) -> Result<(), FormatError> {
        self.expect_any(magic, version..=version)
    }

    /// As [`Fields::expect`], where several versions can be read.
    pub(crate) fn expect_any(
        &mut self,
        magic: [u8; 4],
        versions: RangeInclusive<u8>,
    ) -> Result<(), FormatError> {
        if self.take(4)? != magic {
            return Err(FormatError::Magic);
        }
        match self.u8()? {
            found if versions.contains(&found) => Ok(()),
            found => Err(FormatError::Version { version: found }),
        }
    }
}

/// Writes a number in LEB128.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Writes a signed number so that small ones of either sign are short.
pub(crate) fn put_signed(out: &mut Vec<u8>, value: i64) {
    put_varint(out, ((value << 1) ^ (value >> 63)) as u64);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_round_trip(value in any::<i64>(), raw in any::<u64>()) {
            let mut out = Vec::new();
            put_signed(&mut out, value);
            put_varint(&mut out, raw);
            let mut fields = Fields::new(&out);
            prop_assert_eq!(fields.signed(), Ok(value));
            prop_assert_eq!(fields.varint(), Ok(raw));
            prop_assert_eq!(fields.rest(), 0);
        }

        #[test]
        fn any_bytes_are_a_number_or_not(bytes in proptest::collection::vec(any::<u8>(), 0..12)) {
            let _ = Fields::new(&bytes).varint();
        }
    }

    #[test]
    fn a_number_too_long_is_refused() {
        let mut fields = Fields::new(&[0xff; 10]);
        assert_eq!(fields.varint(), Err(FormatError::Field { field: "number of variable length" }));
    }
}
