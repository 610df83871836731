//! What every [`Platters`] keeps to: simulated disks, and those that are there.

mod common;

use std::collections::BTreeSet;

use common::{DISKS, files, knobs, profile, shape};
use pegasus_mitra::{Done, GRANULE, Layout, Order, Platters, PlaybackId, Shape, SimulatedDisks};
use pegasus_trial::RealDisks;

const BATCHES: u64 = 12;
const PERIOD_NS: u64 = 10_000_000;

/// Reads of batch `number`, on all disks or some; the batch is the block's number.
fn orders(shape: &Shape, number: u64, rng: &mut fastrand::Rng) -> Vec<Order> {
    let order = |fragment| {
        let (zone, disk) = (rng.u32(0..2), rng.u32(0..DISKS));
        let bytes = shape.fragment_bytes_in(0, zone as usize);
        let (playback, object) = (PlaybackId(rng.u64(..)), rng.u64(..));
        Order { playback, object, block: number, fragment, disk, zone, bytes }
    };
    let mut order = order;
    // Some batches are empty.
    (0..(number % 4) as u32 * 5).map(&mut order).collect()
}

/// Whether reads of one batch on one disk went one way over it.
fn is_one_sweep(offsets: &[u64]) -> bool {
    offsets.is_sorted() || offsets.is_sorted_by(|a, b| a >= b)
}

fn keeps_the_contract(platters: &mut impl Platters, shape: &Shape) {
    let layout = Layout::new(shape, &[profile()]);
    let mut rng = fastrand::Rng::with_seed(11);
    let (mut asked, mut done) = (Vec::new(), Vec::new());
    for number in 0..BATCHES {
        let orders = orders(shape, number, &mut rng);
        asked.extend(orders.iter().copied());
        platters.ask(number * PERIOD_NS, orders);
        done.extend(platters.done());
    }
    done.extend(platters.settle(u64::MAX / 2));
    assert_eq!(platters.done(), []);
    assert_eq!(platters.stopped_ns(), None);

    // Each comes back once, as it was asked for, from where it lies.
    let key = |order: &Order| (order.playback, order.fragment);
    let of = |orders: &[Order]| orders.iter().map(key).collect::<BTreeSet<_>>();
    let came: Vec<Order> = done.iter().map(|done| done.order).collect();
    assert_eq!((came.len(), of(&came)), (asked.len(), of(&asked)));
    for Done { order, offset, done_ns, is_read } in &done {
        assert!(asked.contains(order) && *is_read);
        assert!(layout.offset(order) - offset < GRANULE, "{order:?} at {offset}");
        assert!(offset + order.bytes <= profile().capacity_bytes());
        assert!(*done_ns >= order.block * PERIOD_NS, "done before it was asked for");
    }
    for disk in 0..DISKS {
        let of_disk: Vec<_> = done.iter().filter(|done| done.order.disk == disk).collect();
        assert!(of_disk.is_sorted_by_key(|done| (done.order.block, done.done_ns)));
        for batch in of_disk.chunk_by(|a, b| a.order.block == b.order.block) {
            let offsets: Vec<u64> = batch.iter().map(|done| done.offset).collect();
            assert!(is_one_sweep(&offsets), "{offsets:?}");
        }
    }
    assert!(platters.busy_ns() > 0);
    platters.forget_busy();
    assert_eq!(platters.busy_ns(), 0);
}

/// What was asked for before work was counted anew does not count, whenever it is done.
fn forgets_what_was_asked_for_before(platters: &mut impl Platters, shape: &Shape) {
    let mut rng = fastrand::Rng::with_seed(12);
    platters.ask(0, orders(shape, 3, &mut rng));
    platters.forget_busy();
    assert_eq!(platters.settle(u64::MAX / 2).len(), 15);
    assert_eq!(platters.busy_ns(), 0);
}

#[test]
fn simulated_disks_keep_it() {
    let shape = shape(knobs());
    let disks = || SimulatedDisks::new(&shape, &[profile()], 3);
    keeps_the_contract(&mut disks(), &shape);
    forgets_what_was_asked_for_before(&mut disks(), &shape);
}

#[test]
fn disks_that_are_there_keep_it() {
    let ((_folder, paths), shape) = (files(DISKS), shape(knobs()));
    let disks = || RealDisks::open(&paths, &shape, &[profile()]).unwrap();
    keeps_the_contract(&mut disks(), &shape);
    forgets_what_was_asked_for_before(&mut disks(), &shape);
}
