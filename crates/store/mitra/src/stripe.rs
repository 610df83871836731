//! Staggered striping: which disks a block lies on (Mitra, section "Multi-disk Configuration"; Berson and others, 1994).

use crate::{Degraded, Shape};

/// Where an object's first block lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The disk of its first fragment, below the number of disks.
    pub disk: u32,
    /// Its logical zone, below the number of zones.
    pub zone: u32,
}

/// Where one fragment lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// On which disk.
    pub disk: u32,
    /// In which logical zone.
    pub zone: u32,
}

impl Shape {
    /// Where fragment `fragment` of block `block` lies: fragments on neighbouring disks, each block a stride further than
    /// the one before it, and in the next zone. The parity of a block of `width` fragments is its fragment `width`.
    #[must_use]
    pub fn place(&self, origin: Origin, block: u64, fragment: u32) -> Place {
        let disks = u64::from(self.knobs().disks);
        let strides = block % disks * u64::from(self.knobs().stride);
        let disk = (u64::from(origin.disk) + strides + u64::from(fragment)) % disks;
        let zone = (u64::from(origin.zone) + block) % self.knobs().zones as u64;
        Place { disk: disk as u32, zone: zone as u32 }
    }

    /// The virtual disk of a playback whose first block is read in `period`: in a frame that turns by a stride each
    /// period, it stays where it is for ever.
    #[must_use]
    pub fn virtual_disk(&self, origin: Origin, period: u64) -> u32 {
        let disks = u64::from(self.knobs().disks);
        let turned = period % disks * u64::from(self.knobs().stride) % disks;
        ((u64::from(origin.disk) + disks - turned) % disks) as u32
    }

    /// The disk that is virtual disk `number` in `period`.
    #[must_use]
    pub fn disk_of(&self, number: u32, period: u64) -> u32 {
        let disks = u64::from(self.knobs().disks);
        let turned = period % disks * u64::from(self.knobs().stride) % disks;
        ((u64::from(number) + turned) % disks) as u32
    }

    /// The fragments to read of a block of medium `media`, if `lost` is a disk that has failed: its data, and parity in place of
    /// what is lost. Nothing if more is lost than parity bears.
    #[must_use]
    pub fn fragments(
        &self,
        media: usize,
        origin: Origin,
        block: u64,
        lost: &[u32],
    ) -> Option<Vec<u32>> {
        let width = self.media()[media].width;
        let parity = u32::from(self.knobs().degraded != Degraded::None);
        let lives = |fragment: &u32| !lost.contains(&self.place(origin, block, *fragment).disk);
        let found: Vec<u32> = (0..width + parity).filter(lives).take(width as usize).collect();
        (found.len() == width as usize).then_some(found)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Knobs, Media, Zoning, sample};

    fn shape(disks: u32, stride: u32, zones: usize, width: u32, degraded: Degraded) -> Shape {
        let period_ns = 1_000_000_000;
        let zoning = Zoning::Fixb;
        let knobs =
            Knobs { disks, stride, period_ns, groups: 1, window: 1, zones, zoning, degraded };
        let media = vec![Media { name: "video".to_owned(), rate_bps: 4_000_000, width, pieces: 1 }];
        Shape::new(&[sample::today()], knobs, media).unwrap()
    }

    #[test]
    fn blocks_lie_as_in_the_papers_figure() {
        let shape = shape(9, 1, 1, 3, Degraded::None);
        let disks = |block| {
            let place = |f| shape.place(Origin { disk: 4, zone: 0 }, block, f).disk;
            (0..3).map(place).collect::<Vec<_>>()
        };
        assert_eq!((disks(0), disks(1), disks(2)), (vec![4, 5, 6], vec![5, 6, 7], vec![6, 7, 8]));
    }

    #[test]
    fn a_lost_fragment_is_replaced_by_parity() {
        let shape = shape(6, 1, 1, 3, Degraded::Keep);
        let origin = Origin { disk: 0, zone: 0 };
        assert_eq!(shape.fragments(0, origin, 0, &[]), Some(vec![0, 1, 2]));
        assert_eq!(shape.fragments(0, origin, 0, &[1]), Some(vec![0, 2, 3]));
        assert_eq!(shape.fragments(0, origin, 0, &[3]), Some(vec![0, 1, 2]));
        assert_eq!(shape.fragments(0, origin, 0, &[1, 2]), None);
        assert_eq!(shape.fragments(0, origin, 0, &[4, 5]), Some(vec![0, 1, 2]));
    }

    proptest! {
        /// Invariant: the virtual disk is constant, and over a whole cycle all reachable disks bear equally much.
        #[test]
        fn in_the_turning_frame_a_playback_stays(
            disks in 1_u32..20, stride in 1_u32..20, zones in 1_usize..5, begin in 0_u64..1 << 40, disk: u32,
        ) {
            let stride = stride.min(disks);
            let shape = shape(disks, stride, zones, 1, Degraded::None);
            let origin = Origin { disk: disk % disks, zone: shape.zone_of(begin) as u32 };
            let home = shape.virtual_disk(origin, begin);
            let mut load = vec![0; disks as usize];
            for block in 0..shape.cycle() {
                let place = shape.place(origin, block, 0);
                prop_assert_eq!(shape.disk_of(home, begin + block), place.disk);
                prop_assert_eq!(shape.zone_of(begin + block), place.zone as usize);
                load[place.disk as usize] += 1;
            }
            let used: Vec<u64> = load.into_iter().filter(|reads| *reads > 0).collect();
            prop_assert!(used.iter().all(|reads| *reads == used[0]), "{:?}", used);
        }
    }
}
