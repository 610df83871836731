//! How fast a recording has to be read so that it can be shown in time.
//!
//! Recorded video is not even: a scene that moves takes several times what one takes that does not. Reserving the peak would waste most of a
//! disk, and the mean is too little. The index knows what is to come, and a playback may hold some of it in memory: so the
//! least rate is found at which a reader that stops when it holds enough is never behind. Pure.

/// A part of a recording that is read as a whole: a block, or, far ahead, a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// When its first unit is shown, in nanoseconds since playback began.
    pub(crate) at_ns: u64,
    /// Bytes to be read for it.
    pub(crate) bytes: u64,
    /// Whether a segment begins with it.
    pub(crate) opens: bool,
}

/// What is to come of a recording, in the order it is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Curve {
    pub(crate) parts: Vec<Part>,
    /// When the last part is over.
    pub(crate) end_ns: u64,
}

const SECOND_NS: u128 = 1_000_000_000;
/// Most probes for a rate: it is found to a part in so many of the peak.
const PROBES: u32 = 12;

impl Curve {
    /// Bytes of all parts.
    pub(crate) fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.bytes).sum()
    }

    /// Bytes of the greatest part.
    pub(crate) fn largest(&self) -> u64 {
        self.parts.iter().map(|part| part.bytes).max().unwrap_or(0)
    }

    /// Bytes a second, of all of it.
    pub(crate) fn mean(&self) -> u64 {
        per_second(self.bytes(), self.end_ns)
    }

    /// Bytes a second where it is shown fastest: of the parts that begin within a second, or of one that is shown longer.
    pub(crate) fn peak(&self) -> u64 {
        let at = |part: usize| self.parts.get(part).map_or(self.end_ns, |part| part.at_ns);
        let (mut next, mut bytes, mut peak) = (0, 0, 0);
        for part in 0..self.parts.len() {
            while next < self.parts.len()
                && (next == part || at(next) < at(part) + SECOND_NS as u64)
            {
                bytes += self.parts[next].bytes;
                next += 1;
            }
            let shown_ns = at(next).saturating_sub(at(part)).max(SECOND_NS as u64);
            peak = peak.max(per_second(bytes, shown_ns));
            bytes -= self.parts[part].bytes;
        }
        peak
    }

    /// The most bytes of parts that begin within `len_ns`, anywhere.
    pub(crate) fn most_in(&self, len_ns: u64) -> u64 {
        let (mut first, mut bytes, mut most) = (0, 0, 0);
        for part in &self.parts {
            bytes += part.bytes;
            while part.at_ns - self.parts[first].at_ns > len_ns {
                bytes -= self.parts[first].bytes;
                first += 1;
            }
            most = most.max(bytes);
        }
        most
    }

    /// The least bytes for each period of `period_ns` with which nothing is late; see [`Curve::is_in_time`]. `None` if there are none, which is so only for
    /// who stops where segments end.
    pub(crate) fn budget(&self, period_ns: u64, stops: bool) -> Option<u64> {
        let pace = |budget: u64| Pace { budget, period_ns, largest: self.largest(), stops };
        let in_time = |budget: u64| self.is_in_time(&pace(budget));
        let in_period = |rate: u64| (u128::from(rate) * u128::from(period_ns) / SECOND_NS) as u64;
        let mut low = 0;
        let mut high = in_period(self.peak()).max(self.largest()).clamp(1, self.bytes().max(1));
        while !in_time(high) {
            if high >= self.bytes() {
                return None;
            }
            high = high.saturating_mul(2);
        }
        let grain = (high / (1 << PROBES)).max(1);
        while high - low > grain {
            let middle = low + (high - low) / 2;
            match in_time(middle) {
                true => high = middle,
                false => low = middle,
            }
        }
        Some(high)
    }

    /// Whether a reader is in time who reads at this pace, holds [`held_max`] at most, and begins to show when
    /// his first period's reads are there. A real one reads whole blocks, and so at least as much in each period: he is never behind this one.
    pub(crate) fn is_in_time(&self, pace: &Pace) -> bool {
        let (most, all) = (held_max(pace.budget, pace.largest), self.bytes());
        let mut borders = self.borders().filter(|_| pace.stops);
        let mut border = borders.next().unwrap_or(all);
        let (mut read, mut shown, mut shown_bytes) = (0_u64, 0, 0_u64);
        let mut until_ns = 0;
        while shown < self.parts.len() {
            while border <= read && border < all {
                border = borders.next().unwrap_or(all);
            }
            read =
                read.saturating_add(pace.budget).min(shown_bytes.saturating_add(most)).min(border);
            until_ns += pace.period_ns;
            while shown < self.parts.len() && self.parts[shown].at_ns < until_ns {
                shown_bytes += self.parts[shown].bytes;
                if shown_bytes > read {
                    return false;
                }
                shown += 1;
            }
        }
        true
    }

    /// Bytes before each segment that begins.
    fn borders(&self) -> impl Iterator<Item = u64> {
        let before = self.parts.iter().scan(0, |sum, part| {
            let before = *sum;
            *sum += part.bytes;
            Some((before, part.opens))
        });
        before.filter(|(_, opens)| *opens).map(|(before, _)| before)
    }
}

/// How somebody reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pace {
    /// Bytes that may be read in a period.
    pub(crate) budget: u64,
    pub(crate) period_ns: u64,
    /// The greatest part.
    pub(crate) largest: u64,
    /// Whether what is left of a period is given up where a segment ends.
    pub(crate) stops: bool,
}

/// How much a reader holds before he stops: what two periods take, and a part. A part that is a segment counts though it is read block by
/// block; and as it counts as shown from its beginning on, a reader who counts blocks has to be allowed another.
fn held_max(budget: u64, largest: u64) -> u64 {
    budget.saturating_mul(2).saturating_add(largest)
}

/// As much as a reader has to be allowed to hold who reads block by block, so that he is not behind one who reads part by part.
pub(crate) fn held_by_blocks(budget: u64, largest: u64) -> u64 {
    held_max(budget, largest.saturating_mul(2))
}

fn per_second(bytes: u64, over_ns: u64) -> u64 {
    let rate = u128::from(bytes) * SECOND_NS / u128::from(over_ns.max(1_000_000));
    u64::try_from(rate).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PERIOD_NS: u64 = 2_000_000_000;
    const BLOCK_NS: u64 = 500_000_000;

    fn blocks(bytes: &[u64]) -> Curve {
        let part = |(at, bytes): (usize, &u64)| Part {
            at_ns: at as u64 * BLOCK_NS,
            bytes: *bytes,
            opens: at == 0,
        };
        let parts = bytes.iter().enumerate().map(part).collect();
        Curve { parts, end_ns: bytes.len() as u64 * BLOCK_NS }
    }

    fn pace(budget: u64, largest: u64, stops: bool) -> Pace {
        Pace { budget, period_ns: PERIOD_NS, largest, stops }
    }

    #[test]
    fn an_even_recording_takes_its_mean() {
        let curve = blocks(&[250_000; 400]);
        assert_eq!((curve.mean(), curve.peak()), (500_000, 500_000));
        let budget = curve.budget(PERIOD_NS, false).unwrap();
        assert!((1_000_000..1_010_000).contains(&budget), "{budget}");
    }

    #[test]
    fn a_burst_that_memory_bears_takes_little_more_than_the_mean() {
        let mut bytes = vec![100_000; 400];
        bytes[200..204].fill(400_000);
        let curve = blocks(&bytes);
        assert_eq!(curve.peak(), 800_000);
        let budget = curve.budget(PERIOD_NS, false).unwrap();
        assert!(budget < 900_000, "{budget} for a mean of 412 000 and a peak of 1 600 000");
        assert!(
            curve.is_in_time(&pace(budget, curve.largest(), false))
                && !curve.is_in_time(&pace(budget * 9 / 10, curve.largest(), false))
        );
    }

    #[test]
    fn the_peak_is_that_of_a_second() {
        let part = |at_ns, bytes| Part { at_ns, bytes, opens: false };
        // Two that begin at the same time, and one that is shown for two seconds.
        let parts = vec![part(0, 10), part(0, 20), part(SECOND_NS as u64, 100)];
        let curve = Curve { parts, end_ns: 3 * SECOND_NS as u64 };
        assert_eq!(curve.peak(), 50);
        assert_eq!(Curve { end_ns: 10, ..curve }.peak(), 100, "a short one counts as a second");
        assert_eq!(Curve::default().peak(), 0);
    }

    #[test]
    fn what_is_empty_or_short_takes_what_it_has() {
        assert_eq!(Curve::default().budget(PERIOD_NS, false), Some(1));
        assert_eq!(blocks(&[700]).budget(PERIOD_NS, true), Some(700));
    }

    #[test]
    fn who_stops_where_segments_end_reads_each_in_whole_periods() {
        // Segments of 2.8 periods: read in two each.
        let mut curve = blocks(&[100_000; 110]);
        for part in (0..110).step_by(11) {
            curve.parts[part].opens = true;
        }
        let budget = curve.budget(PERIOD_NS, true).unwrap();
        assert!((540_000..560_000).contains(&budget), "{budget}");
        // Two segments in a period can't be read so.
        curve.parts.iter_mut().step_by(2).for_each(|part| part.opens = true);
        assert_eq!(curve.budget(PERIOD_NS, true), None);
    }

    /// What a reader who takes whole blocks does in a period who comes to the part `begin`, and holds `held` of `most`: to which he comes then.
    fn read_in_period(
        curve: &Curve,
        pace: &Pace,
        begin: usize,
        held: &mut u64,
        most: u64,
    ) -> usize {
        let (mut next, mut left) = (begin, pace.budget);
        while next < curve.parts.len() && left > 0 && *held < most {
            let part = curve.parts[next];
            if pace.stops && part.opens && next > begin {
                break;
            }
            left = left.saturating_sub(part.bytes);
            *held += part.bytes;
            next += 1;
        }
        next
    }

    /// Whether he is never behind who reads so.
    fn blocks_in_time(curve: &Curve, pace: &Pace) -> bool {
        let most = held_by_blocks(pace.budget, pace.largest);
        let (mut next, mut shown, mut held, mut until_ns) = (0, 0, 0_u64, 0);
        while shown < curve.parts.len() {
            next = read_in_period(curve, pace, next, &mut held, most);
            until_ns += pace.period_ns;
            while shown < curve.parts.len() && curve.parts[shown].at_ns < until_ns {
                if shown >= next {
                    return false;
                }
                held -= curve.parts[shown].bytes;
                shown += 1;
            }
        }
        true
    }

    /// The same for one who is shown as soon as he was read for twice: what follows is read so much earlier than it has to be.
    fn blocks_in_time_at_once(curve: &Curve, pace: &Pace, early_ns: u64) -> bool {
        let most = held_by_blocks(pace.budget, pace.largest) + curve.most_in(early_ns);
        let (mut next, mut shown) = (0, 0);
        for period in 0_u64.. {
            if shown == curve.parts.len() {
                break;
            }
            // The first two are read before anything is shown.
            let read_ns = (period * pace.period_ns).saturating_sub(early_ns);
            let is_shown = |part: &&Part| period > 1 && part.at_ns < read_ns;
            let over: u64 = curve.parts.iter().filter(is_shown).map(|part| part.bytes).sum();
            let mut held = curve.parts[..next].iter().map(|part| part.bytes).sum::<u64>() - over;
            next = read_in_period(curve, pace, next, &mut held, most);
            let until_ns = (period + 1) * pace.period_ns;
            while shown < curve.parts.len() && curve.parts[shown].at_ns < until_ns {
                if shown >= next {
                    return false;
                }
                shown += 1;
            }
        }
        true
    }

    #[test]
    fn the_most_in_a_time_is_found_wherever_it_is() {
        let curve = blocks(&[10, 10, 50, 40, 10]);
        assert_eq!([0, BLOCK_NS, 2 * BLOCK_NS].map(|len| curve.most_in(len)), [50, 90, 100]);
        assert_eq!(curve.most_in(u64::MAX), 120);
        assert_eq!(Curve::default().most_in(1), 0);
    }

    proptest! {
        /// Who is shown before the schedule says, as more was read than it says, is never behind: however much earlier than it has to be the rest is read.
        #[test]
        fn who_was_read_for_twice_is_shown_at_once(
            bytes in prop::collection::vec(1_000_u64..1_000_000, 1..200), in_segment in 2_usize..60, early in 0.0..2.0, stops: bool,
        ) {
            let mut curve = blocks(&bytes);
            curve.parts.iter_mut().step_by(in_segment).for_each(|part| part.opens = true);
            let early_ns = (early * PERIOD_NS as f64) as u64;
            if let Some(budget) = curve.budget(PERIOD_NS, stops) {
                let pace = pace(budget, curve.largest(), stops);
                prop_assert!(blocks_in_time_at_once(&curve, &pace, early_ns), "{} bytes", budget);
            }
        }

        /// Never behind with the budget found, block by block, though it was found from whole segments far ahead.
        #[test]
        fn whole_segments_are_told_on_the_safe_side(
            bytes in prop::collection::vec(1_000_u64..1_000_000, 1..300), in_segment in 2_usize..60, near in 0_usize..40, stops: bool,
        ) {
            let mut exact = blocks(&bytes);
            exact.parts.iter_mut().step_by(in_segment).for_each(|part| part.opens = true);
            let near = (near / in_segment * in_segment).min(bytes.len());
            let mut parts = exact.parts[..near].to_vec();
            for segment in exact.parts[near..].chunks(in_segment) {
                let bytes = segment.iter().map(|part| part.bytes).sum();
                parts.push(Part { bytes, ..segment[0] });
            }
            let coarse = Curve { parts, end_ns: exact.end_ns };
            if let Some(budget) = coarse.budget(PERIOD_NS, stops) {
                prop_assert!(coarse.is_in_time(&pace(budget, coarse.largest(), stops)));
                prop_assert!(exact.is_in_time(&pace(budget, 2 * coarse.largest(), stops)), "{} bytes", budget);
                prop_assert!(blocks_in_time(&exact, &pace(budget, coarse.largest(), stops)), "{} bytes", budget);
            }
            if let Some(budget) = exact.budget(PERIOD_NS, stops) {
                prop_assert!(exact.is_in_time(&pace(budget, exact.largest(), stops)));
                prop_assert!(blocks_in_time(&exact, &pace(budget, exact.largest(), stops)));
            }
            let budget = exact.budget(PERIOD_NS, false).expect("with enough a period, all is in time");
            let peak = exact.peak() * 2 + 2_000_000;
            prop_assert!(budget <= peak, "{} of {}", budget, peak);
        }
    }
}
