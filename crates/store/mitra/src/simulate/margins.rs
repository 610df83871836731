//! How long before its time each block was there.

use std::collections::BTreeMap;

/// Differences below this many nanoseconds are all told apart, and each octave above is in as many steps: to a 32nd.
const STEPS: u64 = 32;

/// How long before it was to be shown each block was there, in nanoseconds; below 0 it was late.
///
/// Counted to a 32nd and not kept one by one, so that it takes the same room for any number of blocks. What it tells is never more than the truth.
///
/// ```
/// use pegasus_mitra::Margins;
/// let mut margins = Margins::default();
/// (1..=100).for_each(|ms| margins.add(ms * 1_000_000));
/// margins.add(-5_000_000);
/// assert_eq!(margins.least_ns(), Some(-5_000_000));
/// let half_ns = margins.of_permille(500).unwrap();
/// assert!((48_000_000..=50_000_000).contains(&half_ns));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Margins {
    /// How many there are from each step on.
    counts: BTreeMap<i64, u64>,
    least_ns: Option<i64>,
    all: u64,
}

impl Margins {
    /// One more block was there `margin_ns` before its time.
    pub fn add(&mut self, margin_ns: i64) {
        *self.counts.entry(step(margin_ns)).or_default() += 1;
        self.least_ns = Some(self.least_ns.map_or(margin_ns, |least| least.min(margin_ns)));
        self.all += 1;
    }

    /// The margin that at most `permille` thousandths of all blocks did not have, to a 32nd; none without blocks.
    #[must_use]
    pub fn of_permille(&self, permille: u64) -> Option<i64> {
        let wanted = (u128::from(self.all) * u128::from(permille)).div_ceil(1_000).max(1);
        let mut sum = 0;
        let found = self.counts.iter().find(|(_, count)| {
            sum += u128::from(**count);
            sum >= wanted
        });
        // The step that the least is in begins below it.
        Some((*found?.0).max(self.least_ns?))
    }

    /// The least, exactly; none without blocks.
    #[must_use]
    pub fn least_ns(&self) -> Option<i64> {
        self.least_ns
    }
}

/// Where the step begins that `margin_ns` is in.
fn step(margin_ns: i64) -> i64 {
    let size = margin_ns.unsigned_abs();
    let width = 1_u64 << size.max(STEPS).ilog2().saturating_sub(STEPS.ilog2());
    match margin_ns {
        0.. => (size - size % width).cast_signed(),
        // Away from 0: rather later than it was.
        _ => i64::try_from(size.next_multiple_of(width)).map_or(i64::MIN, |size| -size),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn without_blocks_there_is_no_margin() {
        assert_eq!(Margins::default().of_permille(500), None);
        assert_eq!(Margins::default().least_ns(), None);
    }

    proptest! {
        #[test]
        fn a_step_is_never_more_and_at_most_a_32nd_off(margin_ns: i64) {
            let step = step(margin_ns);
            prop_assert!(step <= margin_ns);
            prop_assert!(margin_ns.abs_diff(step) <= margin_ns.unsigned_abs() / STEPS + 1);
            prop_assert!(super::step(step) == step || step == i64::MIN);
        }

        #[test]
        fn they_are_what_sorting_says(mut all in prop::collection::vec(-1_000_000_i64..1_000_000_000, 1..200), permille in 0_u64..=1_000) {
            let mut margins = Margins::default();
            all.iter().for_each(|ns| margins.add(*ns));
            all.sort_unstable();
            let wanted = (all.len() as u64 * permille).div_ceil(1_000).max(1) as usize;
            let (exact, told) = (all[wanted - 1], margins.of_permille(permille).unwrap());
            prop_assert!(told <= exact && exact.abs_diff(told) <= exact.unsigned_abs() / STEPS + 1, "{exact} {told}");
            prop_assert_eq!(margins.least_ns(), Some(all[0]));
        }
    }
}
