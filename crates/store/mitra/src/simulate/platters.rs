//! What a schedule's reads are made on, simulated or real, and where its blocks lie there.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;

use pegasus_disk::Profile;

use crate::{Order, Shape, logical_zones};

/// The disks under a schedule that [`simulate_on`](crate::simulate_on) runs: simulated ones, or such as take their own time.
///
/// Each disk makes the reads of a batch in one [`sweep`](crate::sweep), and batch after batch. Each read comes back exactly once, none was done
/// before its batch was asked for, and those of one disk come back in the order in which they were made. All times are in nanoseconds
/// since the schedule began. One suite (`crates/store/trial/tests/conformance.rs`) runs against all of them.
pub trait Platters {
    /// Asks for the reads of a batch at `asked_ns`, which never falls; there may be none. Disks that take real time wait until
    /// it is so late.
    fn ask(&mut self, asked_ns: u64, orders: Vec<Order>);

    /// The reads that were done, or failed, since this was last asked; waits for none.
    fn done(&mut self) -> Vec<Done>;

    /// As [`Platters::done`], once all that was asked for is, or at `until_ns` if that is earlier. Then the schedule is over: what is not done by then is never told.
    fn settle(&mut self, until_ns: u64) -> Vec<Done>;

    /// How long all disks together were at work on what was asked for since [`Platters::forget_busy`] and is done, in nanoseconds.
    fn busy_ns(&self) -> u64;

    /// Counts [`Platters::busy_ns`] from 0 again.
    fn forget_busy(&mut self);

    /// When all that was asked for is done, in nanoseconds since the schedule began, if that is known already. A schedule works ahead only on disks that know.
    fn idle_ns(&self) -> Option<u64> {
        None
    }

    /// When somebody ended the run before its time. From then on batches that are asked for are not read.
    fn stopped_ns(&self) -> Option<u64> {
        None
    }
}

/// A read that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    /// What was asked for.
    pub order: Order,
    /// Where it lies on its disk, in bytes.
    pub offset: u64,
    /// When it was over, in nanoseconds since the schedule began.
    pub done_ns: u64,
    /// Whether it was read: the disk may have failed to.
    pub is_read: bool,
}

/// Where blocks lie on disks that hold nothing in particular: anywhere in their zone, and always at the same place.
#[derive(Clone, Debug)]
pub struct Layout(Vec<Vec<Range<u64>>>);

impl Layout {
    /// On as many disks as `shape` has, by turns like each of `profiles`.
    ///
    /// # Panics
    /// If there are no profiles, or one has fewer zones than `shape` cuts disks into.
    #[must_use]
    pub fn new(shape: &Shape, profiles: &[Profile]) -> Self {
        let zones = |profile: &Profile| {
            let zones = logical_zones(profile, shape.knobs().zones);
            let zones = zones.expect("the shape has as many").into_iter();
            zones.map(|zone| zone.range).collect::<Vec<_>>()
        };
        let cut: Vec<_> = profiles.iter().map(zones).collect();
        Self(cut.iter().cycle().take(shape.knobs().disks as usize).cloned().collect())
    }

    /// The logical zones of a disk in bytes, outermost first.
    ///
    /// # Panics
    /// If there is no such disk.
    #[must_use]
    pub fn zones(&self, disk: u32) -> &[Range<u64>] {
        &self.0[disk as usize]
    }

    /// Where what is ordered lies on its disk, in bytes: any, not in whole sectors.
    ///
    /// # Panics
    /// If there is no such disk or zone.
    #[must_use]
    pub fn offset(&self, order: &Order) -> u64 {
        let zone = &self.zones(order.disk)[order.zone as usize];
        let mut hasher = DefaultHasher::new();
        (order.object, order.block, order.fragment).hash(&mut hasher);
        let room = (zone.end - zone.start).saturating_sub(order.bytes).max(1);
        zone.start + hasher.finish() % room
    }
}
