//! Working ahead, and skipping (Mitra, "PM-driven scheduling"): the schedule's time may go faster than real time, and who holds enough is left out.
//!
//! When all disks are done with what was ordered, the next interval can begin at once. The scheduler is not told: it knows its own time
//! only, in which each interval has its length. [`Pace`] keeps that time apart from real time. As only time in which no disk did anything is left
//! out, disks do in the schedule's time just what they would have done if nobody had worked ahead, and what was promised in it holds. Real
//! time goes no faster, so that viewers hold more and more.
//!
//! Hence the water marks. A viewer whose next block would go over the high one skips so many periods, and is read for again by himself.
//! Skips are whole [`Cycles`], after which disks and zones are where they were.

use crate::{Error, Interval, Shape};

/// A number of times that disks and zones come round, each of [`Shape::cycle`] periods: nothing else can be skipped, as a playback's blocks would
/// come from another virtual disk or zone than the ones that promised them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cycles(pub u64);

/// Between which stocks a viewer keeps what he holds, in blocks of a period; what is under way to him counts as held.
///
/// ```
/// # use pegasus_disk::Profile;
/// # use pegasus_mitra::{Cycles, Degraded, Knobs, Media, Shape, WaterMarks, Zoning};
/// let flash = Profile::flash(1 << 40, 100, 4_000_000_000);
/// let knobs = Knobs {
///     disks: 3, stride: 1, period_ns: 1_000, groups: 1, window: 1, zones: 1, zoning: Zoning::Fixb, degraded: Degraded::None,
/// };
/// # let knobs = Knobs { period_ns: 1_000_000_000, ..knobs };
/// # let media = vec![Media { name: "camera".to_owned(), rate_bps: 4_000_000, width: 1, pieces: 1 }];
/// let shape = Shape::new(&[flash], knobs, media)?;
/// let marks = WaterMarks::least(&shape);
/// assert_eq!((marks.low_blocks(), marks.high_blocks()), (1, 5));
/// let second = 1_000_000_000;
/// assert_eq!(marks.skip(&shape, 4 * second, second), Cycles(0), "there is room for one more");
/// assert_eq!(marks.skip(&shape, 4 * second + 1, second), Cycles(1), "three periods: all three disks");
/// assert!(WaterMarks::new(&shape, 1, 4).is_err());
/// # Ok::<(), pegasus_mitra::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaterMarks {
    low_blocks: u64,
    high_blocks: u64,
}

impl WaterMarks {
    /// The least marks that work with `shape`: the low one is what the schedule itself needs a viewer to hold, and from the high one, less the block that is
    /// under way, a cycle can be skipped down to it.
    #[must_use]
    pub fn least(shape: &Shape) -> Self {
        let low_blocks = shape.stock_ns().div_ceil(shape.knobs().period_ns);
        Self { low_blocks, high_blocks: low_blocks + Self::apart(shape) }
    }

    /// Marks of so many blocks.
    ///
    /// # Errors
    /// [`Error::Marks`] if the low one is below [`WaterMarks::least`]'s, or the high one nearer to it than those are to each other.
    pub fn new(shape: &Shape, low_blocks: u64, high_blocks: u64) -> Result<Self, Error> {
        let (least, apart) = (Self::least(shape), Self::apart(shape));
        if low_blocks < least.low_blocks || high_blocks.saturating_sub(low_blocks) < apart {
            return Err(Error::Marks {
                low: low_blocks,
                high: high_blocks,
                least_low: least.low_blocks,
                apart,
                cycle: shape.cycle(),
            });
        }
        Ok(Self { low_blocks, high_blocks })
    }

    /// A cycle, and the longest block.
    fn apart(shape: &Shape) -> u64 {
        let knobs = shape.knobs();
        let longest_ns = (0..knobs.zones).map(|zone| shape.block_ns(zone)).max().unwrap_or(0);
        shape.cycle() + longest_ns.div_ceil(knobs.period_ns)
    }

    /// What a skip leaves at least.
    #[must_use]
    pub fn low_blocks(&self) -> u64 {
        self.low_blocks
    }

    /// What is never held more.
    #[must_use]
    pub fn high_blocks(&self) -> u64 {
        self.high_blocks
    }

    /// How much a viewer is to skip whose next block is asked for: he holds what lasts for `held_ns`, and that block does for `next_ns`. None, if it does not go
    /// over the high mark; else as much as leaves the low one, rounded down.
    #[must_use]
    pub fn skip(&self, shape: &Shape, held_ns: u64, next_ns: u64) -> Cycles {
        let period_ns = shape.knobs().period_ns;
        if held_ns.saturating_add(next_ns) <= self.high_blocks.saturating_mul(period_ns) {
            return Cycles(0);
        }
        let spare_ns = held_ns.saturating_sub(self.low_blocks.saturating_mul(period_ns));
        Cycles(spare_ns / (shape.cycle() * period_ns))
    }

    /// The most that a playback of medium `media` holds, in bytes.
    ///
    /// # Panics
    /// If there is no such medium.
    #[must_use]
    pub fn buffer_bytes(&self, shape: &Shape, media: usize) -> u64 {
        (self.high_blocks as f64 * shape.period_bytes(media)).ceil() as u64
    }
}

/// The schedule's time against real time, both in nanoseconds since the schedule began. The schedule's is never behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    ahead_ns: u64,
}

impl Pace {
    /// How far the schedule is ahead of real time.
    #[must_use]
    pub fn ahead_ns(&self) -> u64 {
        self.ahead_ns
    }

    /// What time it is in the schedule when it really is `real_ns`.
    #[must_use]
    pub fn scheduled_ns(&self, real_ns: u64) -> u64 {
        real_ns.saturating_add(self.ahead_ns)
    }

    /// When it really is `scheduled_ns` in the schedule, if from now on nobody works ahead; else it is earlier.
    #[must_use]
    pub fn real_ns(&self, scheduled_ns: u64) -> u64 {
        scheduled_ns.saturating_sub(self.ahead_ns)
    }

    /// When `interval` begins: by itself, or, if everything is done at `idle_ns` and it is worth it, then.
    #[must_use]
    pub fn begins_ns(&self, shape: &Shape, interval: Interval, idle_ns: Option<u64>) -> u64 {
        let begins_ns = self.real_ns(shape.begins_ns(interval));
        idle_ns.map_or(begins_ns, |idle_ns| begins_ns.min(idle_ns))
    }

    /// Goes on to `interval`, which begins when it really is `now_ns`; never later than it would have by itself. All that was ordered
    /// before has to be done by then, if it is earlier.
    pub fn go_on(&mut self, shape: &Shape, interval: Interval, now_ns: u64) {
        self.ahead_ns = self.ahead_ns.max(shape.begins_ns(interval).saturating_sub(now_ns));
    }
}

/// What a viewer holds: blocks that were asked for and are not shown yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stock {
    /// The logical zone of his first block.
    pub zone: usize,
    /// How many blocks were asked for.
    pub asked: u64,
    /// When his first block is shown, or is going to be, in real nanoseconds.
    pub shown_ns: u64,
}

impl Stock {
    /// For how long he can go on with what he holds when it really is `now_ns`, in nanoseconds.
    #[must_use]
    pub fn held_ns(&self, shape: &Shape, now_ns: u64) -> u64 {
        let all_ns = shape.due_ns(self.zone, self.asked);
        all_ns.saturating_sub(now_ns.saturating_sub(self.shown_ns))
    }

    /// How much he is to skip if his next block is asked for when it really is `now_ns`.
    #[must_use]
    pub fn skip(&self, shape: &Shape, marks: WaterMarks, now_ns: u64) -> Cycles {
        let next_ns = shape.due_ns(self.zone, self.asked + 1) - shape.due_ns(self.zone, self.asked);
        marks.skip(shape, self.held_ns(shape, now_ns), next_ns)
    }
}
