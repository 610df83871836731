//! Where on a disk there is something to read.

use std::fs::File;
use std::ops::Range;

use rustix::fs::{SeekFrom, seek};

use crate::SECTOR;

const SECTOR_BYTES: u64 = SECTOR as u64;

/// The parts of a disk that hold data, in whole sectors. The holes of a sparse file are read without touching the medium.
///
/// ```
/// use pegasus_disk::Ground;
/// let ground = Ground::new(vec![0..1 << 20, 5_000..9_000, 8 << 20..9 << 20]);
/// assert_eq!(ground.data_bytes(), 2 << 20);
/// assert_eq!(ground.ranges().len(), 2, "what is in others counts once, and half a sector for nothing");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ground {
    ranges: Vec<Range<u64>>,
    /// How much data there is before each range, in bytes.
    before: Vec<u64>,
    data_bytes: u64,
}

impl Ground {
    /// A disk of `size_bytes` that holds data everywhere.
    #[must_use]
    pub fn whole(size_bytes: u64) -> Self {
        Self::new(vec![Range { start: 0, end: size_bytes }])
    }

    /// A disk that holds data in these ranges, in bytes, of which only whole sectors count.
    #[must_use]
    pub fn new(mut ranges: Vec<Range<u64>>) -> Self {
        ranges.sort_unstable_by_key(|range| range.start);
        let mut joined: Vec<Range<u64>> = Vec::with_capacity(ranges.len());
        for range in ranges {
            let start = range.start.next_multiple_of(SECTOR_BYTES);
            let end = range.end - range.end % SECTOR_BYTES;
            match joined.last_mut() {
                Some(last) if start <= last.end => last.end = last.end.max(end),
                _ if start < end => joined.push(start..end),
                _ => {}
            }
        }
        let mut data_bytes = 0;
        let count = |range: &Range<u64>| {
            let before = data_bytes;
            data_bytes += range.end - range.start;
            before
        };
        let before = joined.iter().map(count).collect();
        Self { ranges: joined, before, data_bytes }
    }

    /// Where a file of `size_bytes` holds data, as the file system says; everywhere if it can't.
    pub(super) fn of_file(file: &File, size_bytes: u64) -> Self {
        let (mut ranges, mut at) = (Vec::new(), 0);
        while at < size_bytes {
            let start = match seek(file, SeekFrom::Data(at)) {
                Ok(start) => start,
                Err(rustix::io::Errno::NXIO) => break,
                Err(_) => return Self::whole(size_bytes),
            };
            let Ok(end) = seek(file, SeekFrom::Hole(start)) else { return Self::whole(size_bytes) };
            ranges.push(start..end.min(size_bytes));
            at = end.max(start + 1);
        }
        Self::new(ranges)
    }

    /// The parts, in bytes, by offset.
    #[must_use]
    pub fn ranges(&self) -> &[Range<u64>] {
        &self.ranges
    }

    /// How much data there is, in bytes.
    #[must_use]
    pub fn data_bytes(&self) -> u64 {
        self.data_bytes
    }

    /// Those parts of it that are at least `len` bytes long.
    pub(super) fn of_pieces(&self, len: u64) -> Self {
        let long = |range: &&Range<u64>| range.end - range.start >= len;
        Self::new(self.ranges.iter().filter(long).cloned().collect())
    }

    /// Where to read `len` bytes of data if a share of all data, 0 to 1, is to lie before. All parts must be as long.
    pub(super) fn at(&self, share: f64, len: u64) -> u64 {
        let bytes = (self.data_bytes as f64 * share) as u64;
        let part = self.before.partition_point(|before| *before <= bytes).max(1) - 1;
        fit(&self.ranges[part], self.ranges[part].start + (bytes - self.before[part]), len)
    }

    /// Where to read `len` bytes of data at `offset` or as near as there are any. All parts must be as long.
    pub(super) fn near(&self, offset: u64, len: u64) -> u64 {
        let after = self.ranges.partition_point(|range| range.start <= offset);
        let parts = &self.ranges[after.saturating_sub(1)..(after + 1).min(self.ranges.len())];
        let places = parts.iter().map(|part| fit(part, offset, len));
        places.min_by_key(|place| place.abs_diff(offset)).expect("there is data")
    }
}

/// Where `len` bytes begin at `offset`, or as near as possible, within a part that is as long.
fn fit(part: &Range<u64>, offset: u64, len: u64) -> u64 {
    let place = offset.clamp(part.start, (part.end - len).max(part.start));
    place - place % SECTOR_BYTES
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn shares_count_data_only() {
        let ground = Ground::new(vec![1 << 20..2 << 20, 10 << 20..11 << 20]);
        assert_eq!(ground.at(0.0, 4_096), 1 << 20);
        assert_eq!(ground.at(0.25, 4_096), 1_536 << 10);
        assert_eq!(ground.at(0.5, 4_096), 10 << 20);
        assert_eq!(ground.at(1.0, 4_096), (11 << 20) - 4_096);
    }

    #[test]
    fn the_nearest_data_is_found() {
        let ground = Ground::new(vec![1 << 20..2 << 20, 10 << 20..11 << 20]);
        assert_eq!(ground.near(0, 4_096), 1 << 20);
        assert_eq!(ground.near(1_500_000, 4_096), 1_500_000 / 4_096 * 4_096);
        assert_eq!(ground.near(3 << 20, 4_096), (2 << 20) - 4_096);
        assert_eq!(ground.near(9 << 20, 4_096), 10 << 20);
        assert_eq!(ground.near(u64::MAX, 4_096), (11 << 20) - 4_096);
    }

    proptest! {
        #[test]
        fn every_place_is_data(
            parts in prop::collection::vec((0_u64..1 << 24, 8_192_u64..1 << 20), 1..9),
            share in 0.0..=1.0_f64,
            offset in 0_u64..1 << 25,
        ) {
            let ground = Ground::new(parts.iter().map(|(at, len)| *at..at + len).collect()).of_pieces(4_096);
            prop_assume!(ground.data_bytes() > 0);
            for place in [ground.at(share, 4_096), ground.near(offset, 4_096)] {
                prop_assert_eq!(place % 4_096, 0);
                let inside = |part: &Range<u64>| part.start <= place && place + 4_096 <= part.end;
                prop_assert!(ground.ranges().iter().any(inside), "{} {:?}", place, ground);
            }
        }
    }

    #[test]
    fn the_holes_of_a_file_are_left_out() {
        use std::os::unix::fs::FileExt as _;
        let file = tempfile::tempfile_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        file.set_len(16 << 20).unwrap();
        file.write_all_at(&vec![1; 1 << 20], 8 << 20).unwrap();
        file.sync_all().unwrap();
        let ground = Ground::of_file(&file, 16 << 20);
        let whole = ground == Ground::whole(16 << 20); // where the file system can't tell
        let written = Range { start: 8 << 20, end: 9 << 20 };
        assert!(whole || ground.ranges() == [written], "{ground:?}");
    }
}
