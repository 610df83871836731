//! The disks of a simulation: heads, platters, and when each is free.

use std::sync::Arc;

use pegasus_disk::{Mechanics, Profile};

use super::platters::{Done, Layout, Platters};
use crate::{Order, Shape, sweep};

/// Disks in virtual time: reads are over as soon as they are asked for, and say when they would have been.
#[derive(Clone, Debug)]
pub struct SimulatedDisks {
    disks: Vec<Disk>,
    layout: Layout,
    done: Vec<Done>,
}

#[derive(Clone, Debug)]
struct Disk {
    mechanics: Mechanics,
    free_ns: u64,
    busy_ns: u64,
    head: u64,
}

impl SimulatedDisks {
    /// As many as `shape` has, by turns like each of `profiles`; how their platters are turned is drawn from `seed`.
    ///
    /// # Panics
    /// As [`Layout::new`].
    #[must_use]
    pub fn new(shape: &Shape, profiles: &[Profile], seed: u64) -> Self {
        let layout = Layout::new(shape, profiles);
        let mut rng = fastrand::Rng::with_seed(seed);
        let profiles: Vec<_> = profiles.iter().map(|profile| Arc::new(profile.clone())).collect();
        let disk = |number: u32| {
            let profile = profiles[number as usize % profiles.len()].clone();
            let mechanics = Mechanics::new(profile, rng.u64(..));
            Disk { mechanics, free_ns: 0, busy_ns: 0, head: 0 }
        };
        let disks = (0..shape.knobs().disks).map(disk).collect();
        Self { disks, layout, done: Vec::new() }
    }
}

impl Platters for SimulatedDisks {
    fn ask(&mut self, asked_ns: u64, orders: Vec<Order>) {
        let mut by_disk: Vec<Vec<(u64, Order)>> = vec![Vec::new(); self.disks.len()];
        for order in orders {
            by_disk[order.disk as usize].push((self.layout.offset(&order), order));
        }
        for (disk, mut reads) in self.disks.iter_mut().zip(by_disk) {
            sweep(disk.head, &mut reads, |(offset, _)| *offset);
            // After what it has to do yet.
            let mut now_ns = disk.free_ns.max(asked_ns);
            for (offset, order) in reads {
                let took_ns = disk.mechanics.serve_ns(offset, order.bytes);
                now_ns += took_ns;
                disk.busy_ns += took_ns;
                disk.head = offset + order.bytes;
                self.done.push(Done { order, offset, done_ns: now_ns, is_read: true });
            }
            disk.free_ns = disk.free_ns.max(now_ns);
        }
    }

    fn done(&mut self) -> Vec<Done> {
        std::mem::take(&mut self.done)
    }

    fn settle(&mut self, _: u64) -> Vec<Done> {
        self.done()
    }

    fn idle_ns(&self) -> Option<u64> {
        self.disks.iter().map(|disk| disk.free_ns).max()
    }

    fn busy_ns(&self) -> u64 {
        self.disks.iter().map(|disk| disk.busy_ns).sum()
    }

    fn forget_busy(&mut self) {
        self.disks.iter_mut().for_each(|disk| disk.busy_ns = 0);
    }
}
