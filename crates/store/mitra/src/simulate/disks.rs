//! The disks of a simulation: heads, platters, and when each is free.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;
use std::sync::Arc;

use pegasus_disk::{Mechanics, Profile};

use crate::{Order, Shape, logical_zones, sweep};

pub(super) struct Disks(Vec<Disk>);

struct Disk {
    mechanics: Mechanics,
    zones: Vec<Range<u64>>,
    free_ns: u64,
    busy_ns: u64,
    head: u64,
}

impl Disks {
    /// As many as `shape` has, by turns like each of `profiles`.
    pub(super) fn new(shape: &Shape, profiles: &[Profile], seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let profiles: Vec<_> = profiles.iter().map(|profile| Arc::new(profile.clone())).collect();
        let disk = |number: u32| {
            let profile = profiles[number as usize % profiles.len()].clone();
            let zones =
                logical_zones(&profile, shape.knobs().zones).expect("the shape has as many");
            let zones = zones.into_iter().map(|zone| zone.range).collect();
            let mechanics = Mechanics::new(profile, rng.u64(..));
            Disk { mechanics, zones, free_ns: 0, busy_ns: 0, head: 0 }
        };
        Self((0..shape.knobs().disks).map(disk).collect())
    }

    /// Makes reads that were asked for at `asked_ns`, each disk in one sweep after what it has to do yet; when each is done.
    pub(super) fn read(&mut self, asked_ns: u64, orders: Vec<Order>) -> Vec<(Order, u64)> {
        let mut by_disk: Vec<Vec<(u64, Order)>> = vec![Vec::new(); self.0.len()];
        for order in orders {
            let disk = &self.0[order.disk as usize];
            by_disk[order.disk as usize]
                .push((place(&disk.zones[order.zone as usize], &order), order));
        }
        let mut done = Vec::new();
        for (disk, mut reads) in self.0.iter_mut().zip(by_disk) {
            sweep(disk.head, &mut reads, |(offset, _)| *offset);
            let mut now_ns = disk.free_ns.max(asked_ns);
            for (offset, order) in reads {
                let took_ns = disk.mechanics.serve_ns(offset, order.bytes);
                now_ns += took_ns;
                disk.busy_ns += took_ns;
                disk.head = offset + order.bytes;
                done.push((order, now_ns));
            }
            disk.free_ns = disk.free_ns.max(now_ns);
        }
        done
    }

    pub(super) fn forget_busy(&mut self) {
        self.0.iter_mut().for_each(|disk| disk.busy_ns = 0);
    }

    pub(super) fn busy_ns(&self) -> u64 {
        self.0.iter().map(|disk| disk.busy_ns).sum()
    }
}

/// Anywhere in its zone, and always at the same place.
fn place(zone: &Range<u64>, order: &Order) -> u64 {
    let mut hasher = DefaultHasher::new();
    (order.object, order.block, order.fragment).hash(&mut hasher);
    let room = (zone.end - zone.start).saturating_sub(order.bytes).max(1);
    zone.start + hasher.finish() % room
}
