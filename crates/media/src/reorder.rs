//! Decode times for sources that send presentation times only.

use std::collections::VecDeque;

/// Most pictures that may be decoded before one that is shown earlier (H.264 and H.265 allow 16
/// in their picture buffers).
pub const REORDER_MAX: usize = 16;

/// No picture is shown this much before one that was decoded earlier.
const RESTART_S: i64 = 5;

/// Derives decode times from presentation times that arrive in decode order, as RTP brings them.
///
/// With `depth` pictures reordered at most, the decode time of a picture is the presentation time
/// that stands `depth` places earlier in presentation order. Then, from the first picture on:
/// - `dts <= pts`;
/// - decode times strictly increase if presentation times are distinct;
/// - `dts == pts` for all if `depth` is 0.
///
/// Where the source does not say its depth, begin with 0: a picture that was overtaken by more
/// than `depth` others shows that it was too small, and it grows. The decode times given out by
/// then can't be taken back, so those few pictures get the smallest times that still increase,
/// which may lie above their presentation times; everything after keeps the rules above. The same
/// happens to pictures shown before the very first one (a stream that begins in the middle of a
/// group of pictures).
///
/// Ticks that jump back by more than 5 s are a new beginning, and so is [`reset`](Self::reset).
///
/// ```
/// use pegasus_media::reorder::DecodeTimes;
/// let mut times = DecodeTimes::new(90_000, 1);
/// // I P B B in decode order, a picture every 3600 ticks
/// let dts: Vec<i64> = [0, 10_800, 3_600, 7_200].map(|pts| times.push(pts)).to_vec();
/// assert_eq!(dts, [-3_600, 0, 3_600, 7_200]);
/// ```
#[derive(Debug, Clone)]
pub struct DecodeTimes {
    clock_rate: u32,
    depth: usize,
    /// Presentation times not yet given out as decode times, ascending.
    waiting: Vec<i64>,
    /// The latest presentation times in decode order, to see how many overtook a picture.
    recent: VecDeque<i64>,
    /// Pictures still to come before times are given out again.
    filling: usize,
    last: Option<i64>,
}

impl DecodeTimes {
    /// Decode times in ticks of a clock of `clock_rate` Hz, for a source that reorders at most
    /// `depth` pictures (more than [`REORDER_MAX`] is taken as that).
    #[must_use]
    pub fn new(clock_rate: u32, depth: usize) -> Self {
        let depth = depth.min(REORDER_MAX);
        Self {
            clock_rate: clock_rate.max(1),
            depth,
            waiting: Vec::with_capacity(depth + 1),
            recent: VecDeque::with_capacity(REORDER_MAX),
            filling: depth,
            last: None,
        }
    }

    /// The depth it reckons with at present.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// Reckons with at least this depth from now on; call it when parameter sets tell.
    pub fn deepen(&mut self, depth: usize) {
        let depth = depth.min(REORDER_MAX);
        self.filling += depth.saturating_sub(self.depth);
        self.depth = self.depth.max(depth);
    }

    /// Forgets all times, not the depth: the next picture is the first of a new time line.
    pub fn reset(&mut self) {
        self.waiting.clear();
        self.recent.clear();
        self.filling = self.depth;
        self.last = None;
    }

    /// The decode time of the next picture in decode order.
    pub fn push(&mut self, pts: i64) -> i64 {
        let back = self.recent.iter().max().map_or(0, |&latest| latest.saturating_sub(pts));
        if back > RESTART_S * i64::from(self.clock_rate) {
            self.reset();
        }
        let overtaken = self.recent.iter().filter(|&&earlier| earlier > pts).count();
        self.deepen(overtaken);
        if self.recent.len() == REORDER_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back(pts);
        let at = self.waiting.partition_point(|&waiting| waiting <= pts);
        self.waiting.insert(at, pts);

        let wanted = self.next_wanted();
        let dts = match self.last {
            // Two pictures of one presentation time (a broken source) share the decode time.
            Some(last) if wanted != last => wanted.max(last.saturating_add(1)),
            _ => wanted,
        };
        self.last = Some(dts);
        dts
    }

    fn next_wanted(&mut self) -> i64 {
        if self.filling == 0 {
            return self.waiting.remove(0);
        }
        // The pictures before the first that is shown have no time of their own to take; they
        // precede what is waiting, a step apart.
        let earliest = self.waiting[0];
        let ahead = i64::try_from(self.filling).unwrap_or(0);
        self.filling -= 1;
        earliest.saturating_sub(ahead.saturating_mul(self.step()))
    }

    /// Ticks between two pictures, as the start of a stream has to guess them (25 a second).
    fn step(&self) -> i64 {
        i64::from((self.clock_rate / 25).max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Presentation times in a random decode order in which no picture is overtaken by more than
    /// `depth` others, nor sent more than 8 places early.
    fn decode_order(steps: &[u32], seed: u64, depth: usize) -> Vec<i64> {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut at = 0_i64;
        let mut shown: VecDeque<i64> = VecDeque::new();
        for &step in steps {
            at += i64::from(step);
            shown.push_back(at);
        }
        // A picture may be sent before up to `depth` that are shown earlier; the first goes first.
        let mut order: Vec<i64> = shown.pop_front().into_iter().collect();
        let mut overtaken: Vec<usize> = Vec::new();
        while !shown.is_empty() {
            overtaken.resize(shown.len(), 0);
            let free = overtaken.iter().position(|&n| n >= depth).map_or(shown.len(), |p| p + 1);
            let pick = if depth == 0 { 0 } else { rng.usize(..free.min(9)) };
            for n in &mut overtaken[..pick] {
                *n += 1;
            }
            overtaken.remove(pick);
            order.push(shown.remove(pick).expect("an index inside"));
        }
        order
    }

    proptest! {
        #[test]
        fn the_true_depth_gives_true_decode_times(
            steps in prop::collection::vec(1_u32..9_000, 1..200),
            seed in any::<u64>(),
            depth in 0_usize..=5,
        ) {
            let order = decode_order(&steps, seed, depth);
            let mut sorted = order.clone();
            sorted.sort_unstable();
            let mut times = DecodeTimes::new(90_000, depth);
            let dts: Vec<i64> = order.iter().map(|&pts| times.push(pts)).collect();
            prop_assert_eq!(times.depth(), depth);
            for n in 0..order.len() {
                prop_assert!(dts[n] <= order[n], "unit {}: {} > {}", n, dts[n], order[n]);
                prop_assert!(n == 0 || dts[n - 1] < dts[n]);
                if n >= depth {
                    prop_assert_eq!(dts[n], sorted[n - depth]);
                }
            }
        }

        #[test]
        fn an_unknown_depth_is_found(
            steps in prop::collection::vec(1_000_u32..9_000, 50..200),
            seed in any::<u64>(),
            depth in 0_usize..=4,
        ) {
            let order = decode_order(&steps, seed, depth);
            let mut times = DecodeTimes::new(90_000, 0);
            let mut grown_at = 0;
            let mut dts = Vec::new();
            for (n, &pts) in order.iter().enumerate() {
                let before = times.depth();
                dts.push(times.push(pts));
                if times.depth() > before {
                    grown_at = n;
                }
            }
            prop_assert!(times.depth() <= depth);
            prop_assert!(dts.windows(2).all(|w| w[0] < w[1]));
            // Once it has grown and the pictures in flight are past, all is as it should be.
            for n in (grown_at + 2 * REORDER_MAX)..order.len() {
                prop_assert!(dts[n] <= order[n]);
            }
        }

        #[test]
        fn decode_times_never_decrease_but_at_a_restart(
            all in prop::collection::vec(-400_000_i64..400_000, 1..300),
        ) {
            let mut times = DecodeTimes::new(90_000, 0);
            let mut last = i64::MIN;
            for pts in all {
                let restart = times.recent.iter().max().is_some_and(|&r| r - pts > 450_000);
                let dts = times.push(pts);
                prop_assert!(restart || dts >= last);
                prop_assert!(times.waiting.len() <= REORDER_MAX);
                last = dts;
            }
        }
    }

    #[test]
    fn any_ticks_are_borne() {
        let mut times = DecodeTimes::new(u32::MAX, REORDER_MAX + 9);
        for pts in [i64::MIN, i64::MAX, 0, i64::MIN, 5, i64::MAX, i64::MAX] {
            times.push(pts);
        }
        assert_eq!(times.depth(), REORDER_MAX);
    }

    #[test]
    fn a_new_time_line_begins_anew() {
        let mut times = DecodeTimes::new(90_000, 0);
        assert_eq!(times.push(1_000_000), 1_000_000);
        assert_eq!(times.push(7), 7);
    }
}
