//! Zones, found in rates by offset: nothing is assumed of their number, and little of their size.
//!
//! The rates are taken for a step function with noise. Of all step functions the one is taken for which the sum of what the
//! rates are off by, and a price for each step, is least. What a single rate is off by is bounded, so that a few odd ones make no zone.

use super::rates::Rate;
use crate::Zone;

/// Rates that make a zone, at least.
const RATES_MIN: usize = 4;
/// What one rate is off by counts up to this many times the noise.
const OFF_MAX: f64 = 4.0;
/// The price of a step, in multiples of the noise: in pure noise next to no step saves as much, nor do four odd rates in a row …
const STEP_PRICE: f64 = 14.0;
/// … and by how much it is higher for a few rates, of which the noise is not known as well: so many times its root's share.
const STEP_PRICE_OF_FEW: f64 = 2.0;
/// Rates are taken to be off by at least this share.
const NOISE_MIN: f64 = 0.005;
/// Neighbours that differ by less are one zone.
const DIFFERENCE_MIN: f64 = 0.01;

/// The zones of a disk of `size_bytes` whose rates, by offset, are these; `cylinders` altogether, give or take what rounding makes.
pub(super) fn find(rates: &[Rate], size_bytes: u64, cylinders: u32) -> Vec<Zone> {
    // Shares of a rate are what noise is about, so logarithms are compared.
    let logs: Vec<f64> = rates.iter().map(|rate| (rate.rate_bps as f64).ln()).collect();
    if logs.is_empty() {
        return vec![Zone { cylinders, rate_bps: 1 }];
    }
    let noise = noise(&logs);
    let starts = merged(&logs, starts(&logs, noise), noise.max(DIFFERENCE_MIN));
    let (mut stretches, mut begin) = (Vec::new(), 0);
    for (at, &start) in starts.iter().enumerate() {
        let next = starts.get(at + 1).copied();
        // The border is somewhere between two places: in the middle.
        let border = |next: usize| u64::midpoint(rates[next - 1].offset, rates[next].offset);
        let end = next.map_or(size_bytes, border);
        let rate = median(&logs[start..next.unwrap_or(logs.len())]).exp();
        stretches.push(((end - begin) as f64, rate));
        begin = end;
    }
    // A cylinder of a faster zone holds more.
    let all: f64 = stretches.iter().map(|(bytes, rate)| bytes / rate).sum();
    let zone = |&(bytes, rate): &(f64, f64)| Zone {
        cylinders: ((bytes / rate / all * f64::from(cylinders)).round() as u32).max(1),
        rate_bps: rate.round().max(1.0) as u64,
    };
    stretches.iter().map(zone).collect()
}

/// What rates next to each other typically differ by, as a standard deviation; steps are too few to matter.
fn noise(logs: &[f64]) -> f64 {
    let differences: Vec<f64> = logs.windows(2).map(|pair| (pair[1] - pair[0]).abs()).collect();
    if differences.is_empty() {
        return NOISE_MIN;
    }
    // The median of what a normal distribution is off by, and that two of them are compared.
    (median(&differences) / 0.6745 / std::f64::consts::SQRT_2).max(NOISE_MIN)
}

/// Where the best step function begins each of its steps.
fn starts(logs: &[f64], noise: f64) -> Vec<usize> {
    // For each number of rates from the left, the least sum, and where the last step begins.
    let price = STEP_PRICE * (1.0 + STEP_PRICE_OF_FEW / (logs.len() as f64).sqrt());
    let mut best = vec![(f64::INFINITY, 0); logs.len() + 1];
    best[0] = (0.0, 0);
    for start in 0..logs.len() {
        let before = best[start].0 + price;
        let mut sorted: Vec<f64> = Vec::with_capacity(logs.len() - start);
        for (end, &log) in (start + 1..).zip(&logs[start..]) {
            sorted.insert(sorted.partition_point(|other| *other < log), log);
            let all = start == 0 && end == logs.len();
            if before.is_infinite() || (sorted.len() < RATES_MIN && !all) {
                continue;
            }
            let sum = before + off(&sorted, noise);
            if sum < best[end].0 {
                best[end] = (sum, start);
            }
        }
    }
    let (mut found, mut end) = (Vec::new(), logs.len());
    while end > 0 {
        end = best[end].1;
        found.push(end);
    }
    found.reverse();
    found
}

/// What sorted rates are off by from the one in the middle, in multiples of the noise.
fn off(sorted: &[f64], noise: f64) -> f64 {
    let middle = sorted[sorted.len() / 2];
    sorted.iter().map(|log| ((log - middle).abs() / noise).min(OFF_MAX)).sum()
}

/// Joins neighbours that are less than `difference` apart, the most alike first.
fn merged(logs: &[f64], mut starts: Vec<usize>, difference: f64) -> Vec<usize> {
    loop {
        let end = |at: usize| starts.get(at + 1).copied().unwrap_or(logs.len());
        let level = |at: usize| median(&logs[starts[at]..end(at)]);
        let apart = |at: usize| (level(at) - level(at - 1)).abs();
        let alike = (1..starts.len()).min_by(|a, b| apart(*a).total_cmp(&apart(*b)));
        match alike {
            Some(at) if apart(at) < difference => starts.remove(at),
            _ => return starts,
        };
    }
}

/// The middle one.
///
/// # Panics
/// If there is none.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let half = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[half] } else { f64::midpoint(sorted[half - 1], sorted[half]) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GIB: u64 = 1 << 30;

    /// Rates at equal distances: of each step so many, and how fast.
    fn rates(steps: &[(usize, f64)], mut noise: impl FnMut() -> f64) -> Vec<Rate> {
        let all: usize = steps.iter().map(|(count, _)| count).sum();
        let each = steps.iter().flat_map(|&(count, rate)| std::iter::repeat_n(rate, count));
        let rate = |(at, rate): (usize, f64)| Rate {
            offset: GIB / all as u64 * at as u64 + GIB / all as u64 / 2,
            rate_bps: (rate * noise()) as u64,
        };
        each.enumerate().map(rate).collect()
    }

    #[test]
    fn a_step_is_found_where_it_is() {
        let found = find(&rates(&[(60, 2e9), (40, 1e9)], || 1.0), GIB, 4_000);
        // 60 parts of bytes at twice the rate take 30 parts of the cylinders, 40 take 40.
        let want = [
            Zone { cylinders: 1_714, rate_bps: 2_000_000_000 },
            Zone { cylinders: 2_286, rate_bps: 1_000_000_000 },
        ];
        for (found, want) in found.iter().zip(want) {
            assert!(found.cylinders.abs_diff(want.cylinders) <= 1, "{found:?} {want:?}");
            assert!(found.rate_bps.abs_diff(want.rate_bps) <= 10, "{found:?} {want:?}");
        }
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn odd_rates_make_no_zone() {
        let mut at = 0;
        let odd = || {
            at += 1;
            if at % 9 == 0 || (40..43).contains(&at) { 0.3 } else { 1.0 }
        };
        let found = find(&rates(&[(100, 1e9)], odd), GIB, 4_096);
        assert_eq!(found, [Zone { cylinders: 4_096, rate_bps: 1_000_000_000 }]);
    }

    #[test]
    fn a_handful_of_rates_will_do() {
        assert_eq!(
            find(&rates(&[(1, 5e8)], || 1.0), GIB, 10),
            [Zone { cylinders: 10, rate_bps: 500_000_000 }]
        );
        assert_eq!(find(&[], GIB, 10).len(), 1);
        assert_eq!(find(&rates(&[(6, 5e8), (6, 2e8)], || 1.0), GIB, 100).len(), 2);
    }

    proptest! {
        #[test]
        fn noise_alone_is_one_zone(seed: u64, noise in 0.0..0.5_f64, count in 12_usize..192) {
            let mut rng = fastrand::Rng::with_seed(seed);
            let rates = rates(&[(count, 1e9)], || 1.0 + noise * (rng.f64() + rng.f64() - 1.0));
            prop_assert_eq!(find(&rates, GIB, 4_096).len(), 1);
        }

        #[test]
        fn steps_above_the_noise_are_found(
            seed: u64,
            counts in prop::collection::vec(12_usize..40, 1..6),
            noise in 0.0..0.02_f64,
        ) {
            let mut rng = fastrand::Rng::with_seed(seed);
            let rate = |at: usize| 2e9 * 0.85_f64.powi(at as i32);
            let steps: Vec<_> = counts.iter().enumerate().map(|(at, count)| (*count, rate(at))).collect();
            // One in thirty is slow, too.
            let mut wrong = || if rng.f64() < 0.03 { 0.4 } else { 1.0 + noise * (rng.f64() * 2.0 - 1.0) };
            let found = find(&rates(&steps, &mut wrong), GIB, 4_096);
            prop_assert_eq!(found.len(), steps.len(), "{:?}", found);
            for (zone, (_, rate)) in found.iter().zip(&steps) {
                prop_assert!((zone.rate_bps as f64 / rate - 1.0).abs() < 0.02, "{:?}", found);
            }
        }
    }
}
