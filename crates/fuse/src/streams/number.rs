//! Inode numbers of recordings. They say what they are of, so that nothing has to be remembered but the
//! directories' paths.

use pegasus_export::{Day, Hour};

/// Marks them: the store never counts so far.
const MARK: u64 = 1 << 62;
const KIND_SHIFT: u32 = 60;
const DIR_SHIFT: u32 = 32;
const DIR_MASK: u64 = (1 << (KIND_SHIFT - DIR_SHIFT)) - 1;

/// What a number is of. Directories have numbers of their own, from 0: the one of all streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A part of streams' names, or a stream.
    Dir(u32),
    /// A day of the stream.
    Day(u32, Day),
    /// A file of an hour of the stream, which may still grow.
    File(u32, Hour, bool),
}

impl Place {
    /// The one of all streams.
    pub(crate) const TOP: Self = Self::Dir(0);

    pub(crate) fn number(self) -> u64 {
        let (kind, dir, rest) = match self {
            Self::Dir(dir) => (0, dir, 0),
            Self::Day(dir, day) => (1, dir, day.0),
            Self::File(dir, hour, grows) => (2 + u64::from(grows), dir, hour.0),
        };
        MARK | kind << KIND_SHIFT | (u64::from(dir) & DIR_MASK) << DIR_SHIFT | u64::from(rest)
    }

    /// What a number is of, if it is one of these.
    pub(crate) fn of(number: u64) -> Option<Self> {
        if number & MARK == 0 {
            return None;
        }
        let dir = (number >> DIR_SHIFT & DIR_MASK) as u32;
        let rest = number as u32; // the lower half
        Some(match number >> KIND_SHIFT & 3 {
            0 => Self::Dir(dir),
            1 => Self::Day(dir, Day(rest)),
            kind => Self::File(dir, Hour(rest), kind == 3),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_say_what_they_are_of() {
        let hour = Hour(498_000);
        let places = [
            Place::TOP,
            Place::Dir(77),
            Place::Day(3, hour.day()),
            Place::File(3, hour, false),
            Place::File(3, hour, true),
        ];
        for place in places {
            assert_eq!(Place::of(place.number()), Some(place));
        }
        assert_eq!(Place::of(1), None);
        assert_eq!(Place::of(1 << 40), None);
    }
}
