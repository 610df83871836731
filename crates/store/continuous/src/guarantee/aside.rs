//! What playback takes that is not read ahead: backwards, and by key units. Its reads come one by one, as they are shown, so they are
//! no part of a sweep; a share of the disks' time is kept for them, as for recordings. Pure.

use std::time::Duration;

use pegasus_mitra::{Load, Shape};

/// Key units that are shown in a second, at most.
const KEYS_A_SECOND: f64 = 9.0;
/// Reads for a segment: a page of the directory, its index, and the index once more where others drove it out of memory.
const READS_A_SEGMENT: f64 = 3.0;

/// What a recording is like near a place.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Glance {
    /// For how long its blocks are shown, and what they are together.
    pub(crate) shown: Duration,
    pub(crate) bytes: u64,
    pub(crate) blocks: u64,
    /// Blocks with a key unit.
    pub(crate) keys: u64,
    /// Segments they lie in.
    pub(crate) segments: u64,
    /// Blocks whose tables stand in them alone, where they have to be looked up.
    pub(crate) bare: u64,
    /// Bytes of the greatest block.
    pub(crate) largest: u64,
    /// On how many disks its blocks lie, parity apart; the fewest.
    pub(crate) width: u64,
}

/// Whether a playback so fast is read ahead: up to twice as fast everything is shown, in the order it was recorded.
pub(crate) fn is_ahead(scale: f64) -> bool {
    scale > 0.0 && scale <= 2.0
}

impl Glance {
    /// What is read of each disk in a second at most if it is played `scale` times as fast, and bytes of all disks together: backwards at no more than its
    /// own rate everything, else key units.
    pub(crate) fn in_second(&self, scale: f64) -> (Load, u64) {
        let second = 1.0 / self.shown.as_secs_f64().max(0.001);
        let width = self.width.max(1) as f64;
        let speed = scale.abs();
        let (blocks, bytes) = if (-1.0..0.0).contains(&scale) {
            (self.blocks as f64 * second * speed, self.bytes as f64 * second * speed)
        } else {
            let keys = (self.keys as f64 * second * speed).min(KEYS_A_SECOND);
            (keys, keys * self.largest as f64)
        };
        let tables = blocks * self.bare as f64 / self.blocks.max(1) as f64;
        // Of segments that are passed over nothing is read.
        let segments = (self.segments as f64 * second * speed).min(blocks);
        let reads = blocks + tables + segments * READS_A_SEGMENT;
        let load = Load { reads: reads.ceil() as u32, bytes: (bytes / width).ceil() as u64 };
        (load, bytes.ceil() as u64)
    }
}

/// The share of the disks' time that takes, 0 to 1 and beyond; of a `shape` that nobody has a part of.
pub(crate) fn share_of(shape: &Shape, in_second: Load) -> f64 {
    shape.apart_ns(0, in_second) as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 4 Mb/s in blocks of half a second, every fourth of which has a key unit.
    const VIDEO: Glance = Glance {
        shown: Duration::from_secs(10),
        bytes: 5_000_000,
        blocks: 20,
        keys: 5,
        segments: 1,
        bare: 0,
        largest: 300_000,
        width: 4,
    };

    #[test]
    fn backwards_everything_is_read_and_faster_only_key_units() {
        assert_eq!(VIDEO.in_second(-1.0), (Load { reads: 3, bytes: 125_000 }, 500_000));
        assert_eq!(VIDEO.in_second(-0.5), (Load { reads: 2, bytes: 62_500 }, 250_000));
        assert_eq!(VIDEO.in_second(4.0), (Load { reads: 4, bytes: 150_000 }, 600_000));
        let bare = Glance { bare: 20, ..VIDEO };
        assert_eq!(bare.in_second(4.0).0.reads, 6, "a table for each");
        assert_eq!(VIDEO.in_second(4.0), VIDEO.in_second(-4.0));
    }

    #[test]
    fn no_more_key_units_are_read_than_are_shown() {
        let most = VIDEO.in_second(32.0);
        assert_eq!(most.0.bytes, VIDEO.in_second(-20.0).0.bytes);
        assert_eq!(most.0.reads, 9 + 10);
        // However short segments are: each that is looked into has a key unit that is shown.
        let short = Glance { segments: 10, ..VIDEO };
        assert_eq!(short.in_second(32.0).0.reads, 9 + 27);
    }

    #[test]
    fn what_is_empty_takes_next_to_nothing() {
        assert_eq!(Glance::default().in_second(8.0), (Load { reads: 0, bytes: 0 }, 0));
    }
}
