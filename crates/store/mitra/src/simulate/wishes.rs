//! What viewers want to see.

use super::Workload;
use crate::{Origin, Request, Shape};

/// What there is to be seen, some of it more popular.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Objects {
    /// How many of each medium; 0 counts as 1.
    pub count: u32,
    /// How much more popular the first ones are: by Zipf, the *n*-th is wanted `1 / n` to the power of this as often as the first one. At 0 all alike.
    pub skew: f64,
}

/// Draws wishes.
#[derive(Debug)]
pub(super) struct Wishes {
    /// Where each object begins, one medium after the other; empty if nothing is wanted twice.
    origins: Vec<Origin>,
    /// How often the objects up to each of a medium are wanted together, as a share.
    sums: Vec<f64>,
}

impl Wishes {
    pub(super) fn new(shape: &Shape, workload: &Workload) -> Self {
        let Some(objects) = workload.objects else {
            return Self { origins: Vec::new(), sums: Vec::new() };
        };
        // Of its own, so that the same viewers come at the same times whatever there is.
        let mut rng = fastrand::Rng::with_seed(workload.seed ^ 0x6f62_6a65_6374);
        let (count, media) = (objects.count.max(1), shape.media().len());
        let all = count as usize * media;
        let origins = (0..all).map(|_| anywhere(shape, &mut rng)).collect();
        let weights = (1..=count).map(|rank| f64::from(rank).powf(-objects.skew));
        let mut sum = 0.0;
        let sums = weights.map(|weight| {
            sum += weight;
            sum
        });
        let sums: Vec<f64> = sums.collect();
        Self { origins, sums: sums.iter().map(|one| one / sum).collect() }
    }

    /// What the next one wants.
    pub(super) fn draw(
        &self,
        shape: &Shape,
        workload: &Workload,
        rng: &mut fastrand::Rng,
    ) -> Request {
        let all: f64 = workload.shares.iter().sum();
        let mut left = rng.f64() * all;
        let mut media = 0;
        while media + 1 < workload.shares.len() && left >= workload.shares[media] {
            left -= workload.shares[media];
            media += 1;
        }
        let (origin, object) = if self.origins.is_empty() {
            (anywhere(shape, rng), rng.u64(..))
        } else {
            let share = rng.f64();
            let rank = self.sums.partition_point(|sum| *sum <= share).min(self.sums.len() - 1);
            let object = media * self.sums.len() + rank;
            (self.origins[object], object as u64)
        };
        Request { object, media, origin, blocks: workload.blocks, load: None }
    }
}

fn anywhere(shape: &Shape, rng: &mut fastrand::Rng) -> Origin {
    let disk = rng.u32(0..shape.knobs().disks);
    let zone = rng.u32(0..shape.knobs().zones as u32);
    Origin { disk, zone }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Arrivals, Degraded, Knobs, Media, Zoning, sample};

    /// The n-th object is wanted 1 / n to the skew as often as the first, of each medium by its share, and always begins at the same place.
    #[test]
    fn objects_are_wanted_by_zipf() {
        let knobs = Knobs {
            disks: 5,
            stride: 1,
            period_ns: 1_000_000_000,
            groups: 1,
            window: 1,
            zones: 2,
            zoning: Zoning::Fixb,
            degraded: Degraded::None,
        };
        let media = ["a", "b"].map(|name| Media {
            name: name.to_owned(),
            rate_bps: 4_000_000,
            width: 1,
            pieces: 1,
        });
        let shape = Shape::new(&[sample::today()], knobs, media.to_vec()).unwrap();
        let workload = Workload {
            arrivals: Arrivals::Closed { viewers: 1 },
            shares: vec![3.0, 1.0],
            blocks: 1,
            periods: 1,
            seed: 1,
            fails: None,
            objects: Some(Objects { count: 10, skew: 1.5 }),
            work_ahead: None,
        };
        let (wishes, mut rng) = (Wishes::new(&shape, &workload), fastrand::Rng::with_seed(2));
        let mut counts = vec![0_u32; 20];
        for _ in 0..200_000 {
            let wish = wishes.draw(&shape, &workload, &mut rng);
            assert_eq!(wish.media as u64, wish.object / 10);
            assert_eq!(wish.origin, wishes.origins[wish.object as usize]);
            counts[wish.object as usize] += 1;
        }
        let near = |count: u32, wanted: f64| (f64::from(count) / wanted - 1.0).abs() < 0.1;
        let first = f64::from(counts[0]);
        let ranks = (0..10).map(|rank| first / f64::from(rank + 1).powf(1.5));
        for (rank, wanted) in ranks.enumerate() {
            assert!(
                near(counts[rank], wanted) && near(counts[rank + 10], wanted / 3.0),
                "{counts:?}"
            );
        }
    }
}
