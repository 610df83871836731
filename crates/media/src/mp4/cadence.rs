//! Where on a file's time line the units of one track go.

use std::collections::VecDeque;

/// How far the tick cadence may drift from capture time before a track is placed anew.
const DRIFT_MAX_NS: i64 = 50_000_000;

/// A difference that no clock drift explains: the source's ticks or the capture times jumped.
/// Then placing anew does not wait for a key unit.
const JUMP_MIN_NS: i64 = 500_000_000;

/// Longest time a unit may be decoded before it is presented; more is taken for nonsense.
const REORDER_MAX_NS: i64 = 10_000_000_000;

/// Presentation times that are remembered, so that none is given twice. Pictures are reordered by at
/// most sixteen others.
const RECENT_MAX: usize = 64;

/// Places the units of one track, in ticks of its clock, exactly as far apart as the source's
/// own ticks say, and near the capture time.
///
/// Whatever comes, decode times increase and no two presentation times are the same. As long as the
/// source's ticks run on, units are presented in the source's order, however capture times jitter and
/// step.
#[derive(Debug)]
pub(super) struct Cadence {
    clock_rate: u32,
    last: Option<Last>,
    last_dts: i64,
    last_step: i64,
    max_pts: i64,
    /// The latest presentation times.
    recent: VecDeque<i64>,
    broken: bool,
}

/// The unit before.
#[derive(Debug, Clone, Copy)]
struct Last {
    /// Its decode time in the source's ticks.
    dts: i64,
    /// Where its capture time would have put it.
    ideal: i64,
    /// From the source's ticks to the file's.
    shift: i64,
}

/// Where a unit goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// Decode time in ticks; strictly increasing within a track.
    pub(super) dts: i64,
    /// Presentation time in ticks. Below `dts` where the source says so, or where decode times had to
    /// be moved up.
    pub(super) pts: i64,
}

impl Place {
    /// The composition offset, in the range MP4 has for it.
    pub(super) fn offset(self) -> i32 {
        let offset = self.pts.saturating_sub(self.dts);
        i32::try_from(offset).unwrap_or(if offset < 0 { i32::MIN } else { i32::MAX })
    }
}

impl Cadence {
    /// A track with `clock_rate` ticks a second, none of whose decode times may be below
    /// `dts_min`.
    pub(super) fn new(clock_rate: u32, dts_min: i64) -> Self {
        Self {
            clock_rate: clock_rate.max(1),
            last: None,
            last_dts: dts_min.saturating_sub(1),
            last_step: 0,
            max_pts: i64::MIN,
            recent: VecDeque::with_capacity(RECENT_MAX),
            broken: false,
        }
    }

    /// The next unit will be placed by its capture time, whatever its ticks say.
    pub(super) fn break_here(&mut self) {
        self.broken = true;
    }

    /// Ticks between the last two units that stand as far apart as the source said; an estimate (25 a
    /// second) before there are two.
    pub(super) fn step(&self) -> u32 {
        let guess = i64::from((self.clock_rate / 25).max(1));
        let step = if self.last_step > 0 { self.last_step } else { guess };
        u32::try_from(step).unwrap_or(u32::MAX)
    }

    /// Places the next unit in decode order. `ideal_ns` is its capture time on the file's line.
    pub(super) fn place(&mut self, pts: i64, dts: i64, ideal_ns: i64, key: bool) -> Place {
        let ideal = ns_to_ticks(ideal_ns, self.clock_rate);
        let reorder_max = self.ticks(REORDER_MAX_NS);
        let ahead = pts.saturating_sub(dts).clamp(-reorder_max, reorder_max);
        let place_pts = match self.last {
            None => ideal,
            Some(last) if self.broken || self.have_jumped(last, dts, ideal) => {
                // Never onto or before what is already shown: half a unit's time must remain. What is
                // shown before a key unit belongs to the group before; before others it counts.
                let floor = self.max_pts.saturating_add(i64::from(self.step() / 2).max(1));
                ideal.max(floor.saturating_add(if key { 0 } else { ahead.max(0) }))
            }
            Some(last) => self.follow(pts.saturating_add(last.shift), dts, last, ideal, key),
        };
        self.broken = false;
        self.last = Some(Last { dts, ideal, shift: place_pts.saturating_sub(pts) });
        self.settle(place_pts, ahead)
    }

    /// Whether the source's ticks went elsewhere since the unit before. Where only capture time did,
    /// ticks have run on a little.
    fn have_jumped(&self, last: Last, dts: i64, ideal: i64) -> bool {
        let jump = self.ticks(JUMP_MIN_NS);
        let passed = dts.saturating_sub(last.dts);
        let as_captured = passed.saturating_sub(ideal.saturating_sub(last.ideal));
        !(0..=jump).contains(&passed) && as_captured.saturating_abs() > jump
    }

    /// The place of a unit whose ticks have run on from those of the unit before: `steady`, unless it is
    /// time to come nearer to the capture time.
    fn follow(&self, steady: i64, dts: i64, last: Last, ideal: i64, key: bool) -> i64 {
        let late = ideal.saturating_sub(steady);
        let far = late.saturating_abs() > self.ticks(DRIFT_MAX_NS) && key;
        let farther = late > self.ticks(JUMP_MIN_NS);
        // A picture shown before one that is placed already must stay before it.
        let free = steady.saturating_sub(self.max_pts);
        if !(far || farther) || free <= 0 {
            return steady;
        }
        // Back by no more than leaves half its time to the unit before, decoded and shown. Pictures that
        // follow a key unit and are shown before it still come behind the group before.
        let passed = dts.saturating_sub(last.dts);
        let back_max = free.min(passed).max(0) / 2;
        steady.saturating_add(late.max(-back_max))
    }

    fn settle(&mut self, pts: i64, ahead: i64) -> Place {
        let first = self.max_pts == i64::MIN;
        let pts = self.unused(pts);
        let lowest = self.last_dts.saturating_add(1);
        // A sample's duration is a u32.
        let highest =
            if first { i64::MAX } else { self.last_dts.saturating_add(i64::from(u32::MAX)) };
        let wanted = pts.saturating_sub(ahead);
        let dts = wanted.max(lowest).min(highest);
        if !first && dts == wanted {
            self.last_step = dts.saturating_sub(self.last_dts);
        }
        self.last_dts = dts;
        self.max_pts = self.max_pts.max(pts);
        Place { dts, pts }
    }

    /// `pts`, or the first presentation time after it that was not given lately.
    fn unused(&mut self, mut pts: i64) -> i64 {
        while pts <= self.max_pts && self.recent.contains(&pts) && pts < i64::MAX {
            pts += 1;
        }
        if self.recent.len() == RECENT_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back(pts);
        pts
    }

    fn ticks(&self, ns: i64) -> i64 {
        ns_to_ticks(ns, self.clock_rate)
    }
}

/// Nanoseconds in ticks, to the nearest.
pub(super) fn ns_to_ticks(ns: i64, clock_rate: u32) -> i64 {
    let scaled = i128::from(ns) * i128::from(clock_rate);
    clamp((scaled + 500_000_000_i128 * scaled.signum()) / 1_000_000_000)
}

/// Ticks in nanoseconds.
pub(super) fn ticks_to_ns(ticks: i64, clock_rate: u32) -> i64 {
    clamp(i128::from(ticks) * 1_000_000_000 / i128::from(clock_rate.max(1)))
}

fn clamp(value: i128) -> i64 {
    i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: i64 = 3_600; // 25 a second at 90 kHz

    #[test]
    fn the_source_cadence_is_kept_against_jittering_times() {
        let mut cadence = Cadence::new(90_000, 0);
        for n in 0..1_000_i64 {
            let jitter_ns = (n * 7_919 % 31 - 15) * 1_000_000;
            let place =
                cadence.place(5 + n * FRAME, 5 + n * FRAME, n * 40_000_000 + jitter_ns, true);
            let start = ns_to_ticks(-15_000_000, 90_000).max(0);
            assert_eq!(place.pts - place.dts, if n == 0 { place.pts - start } else { 0 });
            assert_eq!(place.pts, ns_to_ticks(-15_000_000, 90_000) + n * FRAME);
        }
    }

    #[test]
    fn drift_is_taken_up_at_a_key_unit() {
        let mut cadence = Cadence::new(90_000, 0);
        let mut worst_ns = 0;
        let mut places = Vec::new();
        // The source's clock runs 1000 ppm fast against capture time.
        for n in 0..10_000_i64 {
            let ideal_ns = n * 39_960_000;
            let place = cadence.place(n * FRAME, n * FRAME, ideal_ns, n % 25 == 0);
            worst_ns = worst_ns.max((ticks_to_ns(place.pts, 90_000) - ideal_ns).abs());
            places.push(place);
        }
        assert!(worst_ns < 52_000_000, "{worst_ns}");
        assert!(places.windows(2).all(|w| w[0].pts < w[1].pts && w[0].dts < w[1].dts));
        let uneven = places.windows(2).filter(|w| w[1].pts - w[0].pts != FRAME).count();
        assert!(uneven < 40, "{uneven}");
    }

    #[test]
    fn decode_times_increase_whatever_comes() {
        let mut cadence = Cadence::new(1_000, 0);
        let mut rng = fastrand::Rng::with_seed(7);
        let mut last = -1;
        for _ in 0..10_000 {
            let pts = rng.i64(..);
            let place = cadence.place(pts, rng.i64(..), rng.i64(..), rng.bool());
            if place.dts == i64::MAX {
                break; // the end of the line
            }
            assert!(place.dts > last);
            last = place.dts;
        }
    }
}
