//! Wrapping counters made monotonic.

/// Extends 32-bit RTP timestamps to 64 bits: each is taken to lie within 2^31 ticks of the last.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unwrapper {
    last: Option<i64>,
}

impl Unwrapper {
    /// The extended form of `timestamp`; the first one is taken as it is.
    pub fn unwrap(&mut self, timestamp: u32) -> i64 {
        let ticks = self.nearest(timestamp);
        self.last = Some(ticks);
        ticks
    }

    /// As [`unwrap`](Self::unwrap), without moving on: for a sender report's timestamp.
    #[must_use]
    pub fn nearest(&self, timestamp: u32) -> i64 {
        match self.last {
            None => i64::from(timestamp),
            Some(last) => last.wrapping_add(i64::from(timestamp.wrapping_sub(last as u32) as i32)),
        }
    }

    /// Whether a timestamp has been seen.
    #[must_use]
    pub const fn started(&self) -> bool {
        self.last.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn it_goes_on_over_the_wrap_and_back() {
        let mut unwrapper = Unwrapper::default();
        assert_eq!(unwrapper.unwrap(0xffff_fff0), 0xffff_fff0);
        assert_eq!(unwrapper.unwrap(0x10), 0x1_0000_0010);
        assert_eq!(unwrapper.nearest(0xffff_ffff), 0xffff_ffff, "a reordered picture");
        assert_eq!(unwrapper.unwrap(0x20), 0x1_0000_0020);
    }

    proptest! {
        #[test]
        fn steps_below_half_the_range_are_followed(
            start: u32, steps in proptest::collection::vec(-0x7fff_ffffi64..0x7fff_ffff, 1..50),
        ) {
            let mut unwrapper = Unwrapper::default();
            let mut truth = unwrapper.unwrap(start);
            for step in steps {
                truth += step;
                prop_assert_eq!(unwrapper.unwrap(truth as u32), truth);
            }
        }
    }
}
