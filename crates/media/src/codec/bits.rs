//! Bits, most significant first.

/// Reads bits from bytes; `None` past the end.
#[derive(Clone, Debug)]
pub(crate) struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Bits<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// How many bits have been read.
    pub(crate) const fn position(&self) -> usize {
        self.at
    }

    /// How many bits are left.
    pub(crate) const fn left(&self) -> usize {
        self.bytes.len() * 8 - self.at
    }

    /// The next `count` bits, at most 32, as a number.
    pub(crate) fn take(&mut self, count: u32) -> Option<u32> {
        debug_assert!(count <= 32, "at most 32 bits at a time");
        if self.left() < count as usize {
            return None;
        }
        let mut value = 0u64;
        let mut need = count;
        while need > 0 {
            let byte = u64::from(self.bytes[self.at / 8]);
            let have = 8 - (self.at % 8) as u32;
            let now = have.min(need);
            let bits = (byte >> (have - now)) & ((1 << now) - 1);
            value = value << now | bits;
            self.at += now as usize;
            need -= now;
        }
        Some(value as u32)
    }

    /// The next bit.
    pub(crate) fn flag(&mut self) -> Option<bool> {
        self.take(1).map(|bit| bit != 0)
    }

    /// Passes over `count` bits.
    pub(crate) fn skip(&mut self, count: usize) -> Option<()> {
        if self.left() < count {
            return None;
        }
        self.at += count;
        Some(())
    }

    /// An unsigned Exp-Golomb number (ITU-T H.264 section 9.1), below 2^32 - 1.
    pub(crate) fn golomb(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        let rest = u64::from(self.take(zeros)?);
        u32::try_from((1u64 << zeros) - 1 + rest).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn golomb_codes_of_the_standard() {
        // 1, 010, 011, 00100, 00101: 0 to 4 (ITU-T H.264 table 9-2).
        let mut bits = Bits::new(&[0b1010_0110, 0b0100_0010, 0b1000_0000]);
        let numbers: Vec<_> = (0..5).map(|_| bits.golomb().unwrap()).collect();
        assert_eq!(numbers, [0, 1, 2, 3, 4]);
        assert_eq!(Bits::new(&[0; 8]).golomb(), None);
        assert_eq!(Bits::new(&[]).flag(), None);
    }

    proptest! {
        #[test]
        fn bits_are_the_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..20), widths in proptest::collection::vec(1u32..33, 0..40)) {
            let text: String = bytes.iter().map(|byte| format!("{byte:08b}")).collect();
            let mut bits = Bits::new(&bytes);
            let mut at = 0;
            for width in widths {
                let truth = text.get(at..at + width as usize)
                    .map(|digits| u32::from_str_radix(digits, 2).unwrap());
                prop_assert_eq!(bits.take(width), truth);
                at += if truth.is_some() { width as usize } else { 0 };
                prop_assert_eq!(bits.position(), at);
            }
        }
    }
}
