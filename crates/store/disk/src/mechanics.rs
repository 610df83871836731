//! A disk's heads and platters in virtual time: what each read or write takes by a [`Profile`].

use crate::Profile;

/// Where a disk's heads are. Pure: rotation is drawn from its own seed, so that runs can be repeated.
///
/// ```
/// use pegasus_disk::{Mechanics, Profile};
/// let mut flash = Mechanics::new(Profile::flash(1 << 30, 100, 4_000_000_000).into(), 1);
/// assert_eq!(flash.serve_ns(0, 1 << 20), 100_000 + 2_097_152);
/// assert_eq!(flash.serve_ns(1 << 20, 1 << 20), 2_097_152, "it goes straight on");
/// ```
#[derive(Clone, Debug)]
pub struct Mechanics {
    profile: std::sync::Arc<Profile>,
    rng: fastrand::Rng,
    /// Where the last transfer ended, in bytes; none before the first.
    head: Option<u64>,
    cylinder: u32,
}

impl Mechanics {
    /// A disk whose heads are at its outermost cylinder; its rotation is drawn from `seed`.
    #[must_use]
    pub fn new(profile: std::sync::Arc<Profile>, seed: u64) -> Self {
        Self { profile, rng: fastrand::Rng::with_seed(seed), head: None, cylinder: 0 }
    }

    /// The disk's profile.
    #[must_use]
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// The cylinder that the heads are on.
    #[must_use]
    pub fn cylinder(&self) -> u32 {
        self.cylinder
    }

    /// Moves `len` bytes at `offset`: what it took, in nanoseconds. A transfer that begins where the last one ended waits for
    /// nothing, as a drive reads ahead; any other pays overhead, seek and what the turn happens to be short of.
    pub fn serve_ns(&mut self, offset: u64, len: u64) -> u64 {
        let moving = self.profile.read_ns(offset, len);
        let begins = if self.head == Some(offset) { 0 } else { self.begin_ns(offset) };
        self.head = Some(offset.saturating_add(len));
        self.cylinder =
            self.profile.cylinder_at(offset.saturating_add(len).saturating_sub(1).max(offset));
        begins + moving
    }

    fn begin_ns(&mut self, offset: u64) -> u64 {
        let distance = self.profile.cylinder_at(offset).abs_diff(self.cylinder);
        let turn = self.rng.u64(0..=self.profile.rotation_ns());
        self.profile.overhead_ns() + self.profile.seek().ns(distance) + turn
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Seek, Zone};

    fn profile() -> Profile {
        let seek = Seek::new(&[(1, 5.0), (400, 5.0), (2_697, 21.1)]).unwrap();
        let zones = vec![
            Zone { cylinders: 1_200, rate_bps: 34_700_000 },
            Zone { cylinders: 1_497, rate_bps: 18_000_000 },
        ];
        Profile::new(1_050_000_000, 11.11, seek, zones).unwrap().with_overhead(0.5).unwrap()
    }

    proptest! {
        /// What admission promises: a sweep never takes longer than it was billed.
        #[test]
        fn a_sweep_takes_at_most_its_bill(seed: u64, mut places in prop::collection::vec(0_u64..1_040, 1..40)) {
            let profile = profile();
            let (len, mut disk) = (200_000, Mechanics::new(profile.clone().into(), seed));
            places.sort_unstable();
            let took: u64 = places.iter().map(|place| disk.serve_ns(place * 1_000_000, len)).sum();
            let n = places.len() as u64;
            let slowest = crate::profile::transfer_ns(len, 18_000_000) + profile.rotation_ns() + profile.overhead_ns();
            prop_assert!(took <= n * slowest + profile.seek().sweep_ns(n as u32, profile.cylinders()));
        }

        #[test]
        fn any_place_can_be_served(seed: u64, offset: u64, len: u64) {
            let mut disk = Mechanics::new(profile().into(), seed);
            disk.serve_ns(offset, len % (1 << 40));
        }
    }
}
