use proptest::prelude::*;

use crate::*;

fn shape(knobs: Knobs, media: &[(u64, u32)]) -> Shape {
    let media = media.iter().map(|(rate_bps, width)| Media {
        name: format!("{rate_bps}"),
        rate_bps: *rate_bps,
        width: *width,
        pieces: 1,
    });
    let mut shape = Shape::new(&[sample::today()], knobs, media.collect()).unwrap();
    shape.share_zones(40, 40 * 500_000);
    shape
}

const KNOBS: Knobs = Knobs {
    disks: 5,
    stride: 1,
    period_ns: 1_000_000_000,
    groups: 1,
    window: 1,
    zones: 1,
    zoning: Zoning::Fixb,
    degraded: Degraded::None,
};

fn workload(seed: u64, viewers: u32) -> Workload {
    Workload {
        arrivals: Arrivals::Closed { viewers },
        shares: vec![1.0, 2.0],
        blocks: 25,
        periods: 120,
        seed,
        fails: None,
        objects: None,
        work_ahead: None,
    }
}

/// Runs a schedule; nobody may hold more than was said.
fn run(shape: Shape, workload: &Workload) -> Outcome {
    run_on(shape, &[sample::today()], workload)
}

fn run_on(shape: Shape, profiles: &[pegasus_disk::Profile], workload: &Workload) -> Outcome {
    let most: Vec<u64> = (0..shape.media().len()).map(|media| shape.buffer_bytes(media)).collect();
    let scheduler = Scheduler::new(shape).unwrap();
    let outcome = simulate(scheduler, profiles, workload, |_| {});
    assert!(outcome.held_bytes.iter().zip(&most).all(|(held, most)| held <= most), "{most:?}");
    outcome
}

fn any_knobs() -> impl Strategy<Value = Knobs> {
    let zoned = (1_u32..8, 1_u32..8, 1_usize..5, any::<bool>(), 1_u32..7, 1_u32..7);
    zoned.prop_map(|(disks, stride, zones, varies, groups, window)| {
        let zoning = if varies { Zoning::Varb } else { Zoning::Fixb };
        let groups = if zones > 1 && !varies { 1 } else { groups };
        Knobs {
            disks: disks + 2,
            stride: stride.min(disks + 2),
            zones,
            zoning,
            groups,
            window: window.min(groups),
            ..KNOBS
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Invariant: nobody who was admitted ever waits for a block, however many come.
    #[test]
    fn who_is_admitted_has_no_hiccup(knobs in any_knobs(), seed: u64, crowd in 1_u32..4) {
        let shape = shape(knobs, &[(4_000_000, 1), (9_000_000, 2)]);
        let outcome = run(shape, &workload(seed, crowd * 40 * knobs.disks));
        prop_assert!(outcome.blocks > 1_000, "{outcome:?}");
        prop_assert_eq!(outcome.hiccups, 0);
        prop_assert_eq!(outcome.unreadable, 0);
    }

    /// Unlike disks have zones in which each is the slowest; blocks are cut for that one, and what others are promised holds.
    #[test]
    fn unlike_disks_bear_blocks_in_proportion_to_rate(zones in 2_usize..5, groups in 1_u32..5, seed: u64) {
        let knobs = Knobs { zones, zoning: Zoning::Varb, groups, window: groups, ..KNOBS };
        let profiles = [sample::today(), sample::steep()];
        let media = ["a", "b"].map(|name| Media { name: name.to_owned(), rate_bps: 4_000_000, width: 1, pieces: 1 });
        let shape = Shape::new(&profiles, knobs, media.to_vec()).unwrap();
        let outcome = run_on(shape, &profiles, &workload(seed, 90 * knobs.disks));
        prop_assert!(outcome.blocks > 1_000, "{outcome:?}");
        prop_assert_eq!(outcome.hiccups, 0);
    }

    /// A disk's death hurts nobody whose parity is reserved for, and of others only those who are told so.
    #[test]
    fn with_parity_a_dead_disk_is_not_noticed(knobs in any_knobs(), seed: u64, keep: bool, disk: u32) {
        let degraded = if keep { Degraded::Keep } else { Degraded::Shed };
        let knobs = Knobs { degraded, ..knobs };
        let shape = shape(knobs, &[(4_000_000, 1), (9_000_000, 2)]);
        let fails = Some((disk % knobs.disks, 61));
        let shape_again = shape.clone();
        let outcome = run(shape, &Workload { fails, ..workload(seed, 150 * knobs.disks) });
        prop_assert_eq!((outcome.hiccups, outcome.unreadable), (0, 0));
        let plain = run(shape_again, &workload(seed, 150 * knobs.disks));
        prop_assert!(plain != outcome, "the disk did not fail");
        prop_assert!(!keep || outcome.shed == 0, "{} were shed", outcome.shed);
    }
}

/// Found by simulation: the last block of a playback that has ended is still being read when another joins the batch late.
#[test]
fn who_joins_late_does_not_count_on_reads_that_are_under_way() {
    let period_ns = (1e8 * 2_f64.powf(7.25)) as u64;
    let knobs = Knobs { disks: 1, zones: 3, period_ns, ..KNOBS };
    let media = [(1_400_000, 1), (4_000_000, 1), (216_000_000, 1)];
    let profiles = [sample::today()];
    let plan = Plan::of(shape(knobs, &media), &profiles, &[1.0; 3]).unwrap();
    let viewers = plan.all();
    let workload =
        Workload { shares: vec![1.0; 3], blocks: 60, periods: 300, ..workload(1, viewers) };
    assert_eq!(run(plan.shape, &workload).hiccups, 0);
}

fn request(object: u64) -> Request {
    Request { object, media: 0, origin: Origin { disk: 0, zone: 0 }, blocks: 100, load: None }
}

fn filled(knobs: Knobs) -> Scheduler {
    let mut scheduler = Scheduler::new(shape(knobs, &[(4_000_000, 1)])).unwrap();
    while scheduler.admit(Interval(0), 0, &request(scheduler.playing() as u64)).is_ok() {}
    scheduler
}

#[test]
fn who_is_refused_is_told_what_is_short() {
    let mut scheduler = filled(KNOBS);
    let refusal = scheduler.admit(Interval(0), 0, &request(0)).unwrap_err();
    assert!(refusal.short.by_ns > 0 && refusal.disk < 5, "{refusal}");
}

#[test]
fn who_waits_longest_gets_the_place_of_who_ends() {
    let mut scheduler = filled(KNOBS);
    let playing = scheduler.playing();
    scheduler.wait(7, request(7));
    scheduler.wait(8, request(8));
    assert!(scheduler.tick(Interval(1)).admitted.is_empty());
    scheduler.end(PlaybackId(3));
    let admitted = scheduler.tick(Interval(2)).admitted;
    assert_eq!(admitted.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [7]);
    assert_eq!(scheduler.playing(), playing);
    scheduler.give_up(8);
    scheduler.end(PlaybackId(4));
    assert!(scheduler.tick(Interval(3)).admitted.is_empty());
}

#[test]
fn who_begins_together_shares_one_playback_if_asked_to() {
    let mut scheduler = Scheduler::new(shape(KNOBS, &[(4_000_000, 1)])).unwrap();
    let begin = |scheduler: &mut Scheduler| {
        scheduler.tick(Interval(1));
        let origin = Origin { disk: 0, zone: 0 };
        // The batch under way is full of somebody else's, so that this one begins later.
        let request = Request { object: 1, media: 0, origin, blocks: 9, load: None };
        scheduler.admit(Interval(1), 1_000_000_000, &request).unwrap()
    };
    let (one, other) = (begin(&mut scheduler), begin(&mut scheduler));
    assert_ne!(one.id, other.id, "merging is off at first");
    scheduler.merge(true);
    while scheduler.admit(Interval(1), 1_000_000_000, &request(9)).unwrap().is_late {}
    let same = scheduler.admit(Interval(1), 1_000_000_000, &request(9)).unwrap();
    let again = scheduler.admit(Interval(1), 1_000_000_000, &request(9)).unwrap();
    assert_eq!(same.id, again.id);
    let playing = scheduler.playing();
    scheduler.end(same.id);
    assert_eq!(scheduler.playing(), playing - 1);
    scheduler.end(same.id);
    scheduler.end(same.id);
    assert!(scheduler.playing() >= playing - 3);
}

#[test]
fn when_all_have_ended_nothing_is_promised() {
    let mut scheduler = filled(Knobs { groups: 4, window: 3, degraded: Degraded::Shed, ..KNOBS });
    scheduler.lose(2);
    scheduler.restore(2);
    (0..2_000).for_each(|id| scheduler.end(PlaybackId(id)));
    assert_eq!((scheduler.playing(), scheduler.is_idle()), (0, true));
}

#[test]
fn a_medium_that_no_disk_can_keep_up_with_is_refused_at_once() {
    let fast = shape(KNOBS, &[(4_000_000_000, 1)]);
    let error = Scheduler::new(fast).unwrap_err().to_string();
    assert!(error.contains("not even one playback of 4000000000"), "{error}");
    assert!(Scheduler::new(shape(KNOBS, &[(2_000_000_000, 5)])).is_ok());
}

#[test]
fn what_no_disk_could_ever_do_is_refused_and_does_not_overflow() {
    for rate_bps in [1 << 40, 1 << 53, u64::MAX] {
        for (zones, zoning) in [(1, Zoning::Fixb), (4, Zoning::Fixb), (4, Zoning::Varb)] {
            let knobs = Knobs { period_ns: 3_600_000_000_000, zones, zoning, ..KNOBS };
            assert!(Scheduler::new(shape(knobs, &[(rate_bps, 1)])).is_err(), "{rate_bps}");
        }
    }
}

#[test]
fn a_sweep_begins_at_the_nearer_end() {
    let mut reads = [5, 1, 9];
    sweep(8, &mut reads, |at| *at);
    assert_eq!(reads, [9, 5, 1]);
    sweep(4, &mut reads, |at| *at);
    assert_eq!(reads, [1, 5, 9]);
}

/// Found by simulation: of two who join at an interval's end, the second is read after the first, and so was not over in time.
#[test]
fn who_joins_late_is_read_after_those_who_did_before() {
    let mut scheduler = Scheduler::new(shape(KNOBS, &[(4_000_000, 1)])).unwrap();
    scheduler.tick(Interval(1));
    let lone_ns = scheduler.shape().lone_ns(0, 500_000);
    let now_ns = 2_000_000_000 - lone_ns * 3 / 2;
    let is_late = |scheduler: &mut Scheduler, now_ns| {
        scheduler.admit(Interval(1), now_ns, &request(1)).unwrap().is_late
    };
    assert!(is_late(&mut scheduler.clone(), now_ns + lone_ns / 3), "one alone has the time");
    assert!(is_late(&mut scheduler, now_ns));
    assert!(!is_late(&mut scheduler, now_ns + lone_ns / 3), "two do not");
    scheduler.tick(Interval(2));
    assert!(is_late(&mut scheduler, 2_500_000_000), "it is another interval");
}

/// Found by admitting many at once: who joined the batch under way was billed in this period for what he reads from the next on, too.
#[test]
fn a_rush_is_admitted_as_far_as_the_disks_go() {
    let knobs = Knobs { disks: 1, groups: 4, window: 2, ..KNOBS };
    let request = Request {
        object: 1,
        media: 0,
        origin: Origin { disk: 0, zone: 0 },
        blocks: 100,
        load: None,
    };
    let fill = |scheduler: &mut Scheduler, patient: bool| {
        let mut interval = 1;
        scheduler.tick(Interval(interval));
        let mut refused = 0;
        while refused < if patient { 8 } else { 1 } {
            let begins_ns = scheduler.shape().begins_ns(Interval(interval));
            if scheduler.admit(Interval(interval), begins_ns, &request).is_err() {
                refused += 1;
                if patient {
                    interval += 1;
                    scheduler.tick(Interval(interval));
                }
            }
        }
        scheduler.playing()
    };
    let media = [(1_500_000, 1)];
    let at_once = fill(&mut Scheduler::new(shape(knobs, &media)).unwrap(), false);
    let bit_by_bit = fill(&mut Scheduler::new(shape(knobs, &media)).unwrap(), true);
    assert!(at_once * 10 >= bit_by_bit * 8, "{at_once} at once, {bit_by_bit} one after the other");
}

#[test]
fn disks_that_turn_out_slower_cost_the_newest_their_place() {
    let shape = shape(KNOBS, &[(1_500_000, 1)]);
    let mut scheduler = Scheduler::new(shape.clone()).unwrap();
    let request = Request {
        object: 1,
        media: 0,
        origin: Origin { disk: 0, zone: 0 },
        blocks: 100,
        load: None,
    };
    let mut ids = Vec::new();
    while let Ok(admitted) = scheduler.admit(Interval(0), 0, &request) {
        ids.push(admitted.id);
    }
    let mut slower = shape;
    slower.slow_down(2_000);
    let gone = scheduler.reshape(slower);
    let stay = ids.len() - gone.len();
    assert!(stay > 0 && stay <= ids.len() / 2 + 1, "{stay} of {}", ids.len());
    assert_eq!(gone, ids[stay..]);
    assert_eq!(scheduler.playing(), stay);
    gone.iter().for_each(|id| scheduler.end(*id));
    assert_eq!(scheduler.playing(), stay, "they have ended already");
}

/// Of a recording more may be known than its medium: in which zone it lies, or how many pieces it is read in.
#[test]
fn what_is_known_of_a_recording_is_billed_instead_of_its_medium() {
    let fill = |load: Option<Load>| {
        let knobs = Knobs { disks: 1, ..KNOBS };
        let mut scheduler = Scheduler::new(shape(knobs, &[(4_000_000, 1)])).unwrap();
        let origin = Origin { disk: 0, zone: 0 };
        let request = Request { object: 1, media: 0, origin, blocks: 9, load };
        let mut admitted = Vec::new();
        while let Ok(one) = scheduler.admit(Interval(0), 0, &request) {
            admitted.push(one.id);
        }
        assert!(!scheduler.fits(Interval(0), &request));
        let order = scheduler.late(admitted[0])[0];
        let count = admitted.len();
        admitted.into_iter().for_each(|id| scheduler.end(id));
        assert!(scheduler.is_idle(), "what was billed is given back");
        (count, order.bytes)
    };
    let (usual, bytes) = fill(None);
    assert_eq!(fill(Some(Load { reads: 1, bytes })), (usual, bytes));
    let (outside, less) = fill(Some(Load { reads: 1, bytes: bytes / 2 }));
    assert!(outside > usual && less == bytes / 2, "{outside} against {usual}");
    let (scattered, _) = fill(Some(Load { reads: 3, bytes }));
    assert!(scattered < usual, "{scattered} against {usual}");
}
