//! Requests that wait for a disk's heads, and which of them is next.

use std::collections::BTreeMap;

use crate::Mechanics;

/// A disk with heads in real time, as its drive sees it: requests are served one at a time, always the next one in the direction the heads
/// go, and back to the lowest when there is none further on. As drives with command queues do, about; so that many waiting requests cost
/// less than as many by themselves.
///
/// Pure: told what time it is. `T` is whatever is to be done when a request's turn has come.
///
/// ```
/// use pegasus_disk::{Elevator, Mechanics, Profile};
/// let disk = Mechanics::new(Profile::flash(1 << 30, 100, 8_000_000_000).into(), 1);
/// let mut queue = Elevator::new(disk);
/// queue.push(1 << 20, 4_000, "far");
/// queue.push(0, 1_000, "near");
/// assert_eq!(queue.next(5_000), Some(("near", 5_000 + 100_000 + 1_000)));
/// assert_eq!(queue.next(5_000), Some(("far", 106_000 + 100_000 + 4_000)), "once it is free");
/// assert_eq!(queue.next(5_000), None);
/// ```
#[derive(Clone, Debug)]
pub struct Elevator<T> {
    mechanics: Mechanics,
    /// By place, then by when they came.
    waiting: BTreeMap<(u64, u64), (u64, T)>,
    came: u64,
    /// Where the last request ended; none before the first.
    head: Option<u64>,
    free_ns: u64,
}

impl<T> Elevator<T> {
    /// A disk that nobody waits for.
    #[must_use]
    pub fn new(mechanics: Mechanics) -> Self {
        Self { mechanics, waiting: BTreeMap::new(), came: 0, head: None, free_ns: 0 }
    }

    /// A request for `len` bytes at `offset` waits from now on.
    pub fn push(&mut self, offset: u64, len: u64, what: T) {
        self.waiting.insert((offset, self.came), (len, what));
        self.came += 1;
    }

    /// Begins the next request: what it is, and when it is done, in nanoseconds as `now_ns` counts. Nothing if none waits. One that
    /// goes on where the last one ended finds that the drive has gone on reading meanwhile.
    pub fn next(&mut self, now_ns: u64) -> Option<(T, u64)> {
        let from = (self.head.unwrap_or(0), 0);
        let ahead = self.waiting.range(from..).next().map(|(place, _)| *place);
        let place = ahead.or_else(|| self.waiting.keys().next().copied())?;
        let (len, what) = self.waiting.remove(&place)?;
        let goes_on = self.head == Some(place.0);
        let begins_ns = if goes_on { self.free_ns } else { self.free_ns.max(now_ns) };
        self.free_ns = now_ns.max(begins_ns + self.mechanics.serve_ns(place.0, len));
        self.head = Some(place.0.saturating_add(len));
        Some((what, self.free_ns))
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nobody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Profile, Seek, Zone};

    fn disk() -> Mechanics {
        let seek = Seek::new(&[(1, 1.0), (1_000, 10.0)]).unwrap();
        let zones = vec![Zone { cylinders: 1_000, rate_bps: 800_000_000 }];
        Mechanics::new(Profile::new(1 << 30, 8.0, seek, zones).unwrap().into(), 3)
    }

    #[test]
    fn requests_are_served_in_the_order_of_their_places() {
        let mut queue = Elevator::new(disk());
        for place in [500_u64, 100, 900, 300] {
            queue.push(place << 20, 4_096, place);
        }
        let mut order: Vec<_> = (0..2).map(|_| queue.next(0).unwrap().0).collect();
        // One behind the heads has to wait until they come back.
        queue.push(200 << 20, 4_096, 200);
        order.extend(std::iter::from_fn(|| queue.next(0)).map(|(place, _)| place));
        assert_eq!(order, [100, 300, 500, 900, 200]);
    }

    #[test]
    fn many_at_once_take_less_than_one_by_one() {
        let places: Vec<u64> = (0..64).map(|n| (n * 37 % 64) << 24).collect();
        let (mut together, mut alone) = (Elevator::new(disk()), Elevator::new(disk()));
        let (mut end, mut last) = (0, 0);
        places.iter().for_each(|place| together.push(*place, 4_096, ()));
        while let Some(((), done)) = together.next(0) {
            end = done;
        }
        for place in places {
            alone.push(place, 4_096, ());
            last = alone.next(last).unwrap().1;
        }
        assert!(end * 3 < last * 2, "{end} against {last}");
    }

    #[test]
    fn who_reads_straight_on_gets_the_disks_rate_though_he_asks_late() {
        let mut queue = Elevator::new(disk());
        let (mut now, mut first) = (0, 0);
        for piece in 0..100 {
            queue.push(piece << 20, 1 << 20, ());
            // He takes a millisecond before he asks for the next piece; the disk ten for each.
            now = queue.next(now + 1_000_000).unwrap().1;
            first = if piece == 0 { now } else { first };
        }
        let each = (now - first) / 99;
        assert_eq!(each, crate::transfer_ns(1 << 20, 800_000_000));
    }

    #[test]
    fn the_same_place_is_served_in_the_order_asked_for() {
        let mut queue = Elevator::new(disk());
        (0..3).for_each(|n| queue.push(0, 0, n));
        assert_eq!((queue.len(), queue.is_empty()), (3, false));
        let order: Vec<_> = std::iter::from_fn(|| queue.next(0)).map(|(n, _)| n).collect();
        assert_eq!(order, [0, 1, 2]);
    }
}
