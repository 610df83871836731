use super::*;
use crate::sample;

pub(crate) fn knobs() -> Knobs {
    Knobs {
        disks: 6,
        stride: 1,
        period_ns: 1_000_000_000,
        groups: 1,
        window: 1,
        zones: 1,
        zoning: Zoning::Fixb,
        degraded: Degraded::None,
    }
}

fn video(rate_bps: u64, width: u32) -> Vec<Media> {
    vec![Media { name: "video".to_owned(), rate_bps, width, pieces: 1 }]
}

#[test]
fn blocks_are_in_proportion_to_rate_in_whole_sectors() {
    let shape = Shape::new(&[sample::today()], knobs(), video(4_000_000, 2)).unwrap();
    assert_eq!(shape.fragment_bytes(0), 62 * 4_096, "250 000 bytes");
}

#[test]
fn a_period_is_cut_into_groups_without_losing_a_nanosecond() {
    let cut = Knobs { groups: 7, window: 3, ..knobs() };
    let shape = Shape::new(&[sample::today()], cut, video(4_000_000, 1)).unwrap();
    assert_eq!(shape.begins_ns(Interval(14)), 2_000_000_000);
    assert_eq!(shape.shares_ns().iter().sum::<u64>(), 1_000_000_000);
    assert_eq!((shape.period_of(Interval(15)), shape.group_of(Interval(15))), (2, 1));
    assert_eq!(shape.delay_ns(0), 428_571_428);
}

/// Invariant: production equals consumption over a sweep, and no block comes after it is due.
#[test]
fn zones_are_swept_so_that_what_is_read_is_what_is_shown() {
    for zones in 2..=4 {
        let cut = Knobs { zones, ..knobs() };
        let mut shape = Shape::new(&[sample::today()], cut, video(4_000_000, 1)).unwrap();
        shape.share_zones(30, 30 * 500_000);
        assert_eq!(shape.shares_ns().iter().sum::<u64>(), zones as u64 * 1_000_000_000);
        for zone in 0..zones {
            let delay = shape.delay_ns(zone);
            let (mut most, limit) = (0.0_f64, shape.buffer_blocks(zone));
            for block in 0..50 {
                let arrives = shape.arrives_ns(zone, block);
                assert!(arrives <= delay + block * 1_000_000_000, "block {block} from zone {zone}");
                let shown = arrives.saturating_sub(delay) as f64 / 1e9;
                most = most.max(block as f64 + 1.0 - shown);
            }
            assert!(most <= limit, "{most} of {limit}");
        }
    }
}

/// Blocks are as long as their zone is fast, what is shown of a round lasts a round, and no block comes after it is due.
#[test]
fn blocks_in_proportion_to_rate_take_equally_long_and_come_in_time() {
    for (zones, groups) in [(2, 1), (3, 4), (4, 1), (4, 7)] {
        let cut = Knobs { zones, groups, window: groups, zoning: Zoning::Varb, ..knobs() };
        let shape = Shape::new(&[sample::today()], cut, video(4_000_000, 1)).unwrap();
        assert_eq!((shape.swept(), shape.cycle()), (1, 6), "any zone is read in any period");
        assert_eq!(shape.due_ns(0, zones as u64), zones as u64 * 1_000_000_000);
        let takes = |zone: usize| {
            let rate_bps = shape.services()[0].zones()[zone].rate_bps;
            pegasus_disk::transfer_ns(shape.fragment_bytes_in(0, zone), rate_bps)
        };
        let sector = pegasus_disk::transfer_ns(GRANULE, 800_000_000);
        assert!((1..zones).all(|zone| takes(zone).abs_diff(takes(0)) <= sector));
        let load = shape.load(0);
        let billed = shape.batch_ns(0, 1, load.bytes) - shape.batch_ns(0, 1, 0);
        assert!((0..zones).all(|zone| takes(zone) <= billed + 1), "{load:?}");
        for zone in 0..zones {
            let (delay, limit) = (shape.delay_ns(zone), shape.buffer_blocks(zone) * 1e9);
            for block in 0..50 {
                let arrives = shape.arrives_ns(zone, block);
                assert!(arrives <= delay + shape.due_ns(zone, block), "{block} from {zone}");
                // All that was asked for by the time that the next one is.
                let shown = (block * 1_000_000_000).saturating_sub(delay);
                let held = shape.due_ns(zone, block + 1).saturating_sub(shown);
                assert!(held as f64 <= limit, "{held} of {limit}");
            }
        }
        assert_eq!(shape.delay_ns(0), shape.window_ns(0), "long blocks come first");
        assert!(shape.delay_ns(zones - 1) > shape.delay_ns(0), "short blocks need a start");
    }
}

/// Each of unlike disks makes any block's read in what is billed for it, though none is the slowest everywhere.
#[test]
fn unlike_disks_are_billed_what_their_slowest_zone_takes() {
    let cut = Knobs { zones: 4, zoning: Zoning::Varb, ..knobs() };
    let profiles = [sample::today(), sample::steep()];
    let shape = Shape::new(&profiles, cut, video(4_000_000, 1)).unwrap();
    let bytes = shape.load(0).bytes;
    let billed = shape.batch_ns(0, 1, bytes) - shape.batch_ns(0, 1, 0);
    for (disk, service) in shape.services().iter().enumerate() {
        for (zone, one) in service.zones().iter().enumerate() {
            let takes = pegasus_disk::transfer_ns(shape.fragment_bytes_in(0, zone), one.rate_bps);
            assert!(takes <= billed + 1, "disk {disk}, zone {zone}: {takes} of {billed}");
        }
    }
}

#[test]
fn a_playback_can_begin_anew_when_disks_and_zones_come_round() {
    let cycle = |disks, stride, zones| {
        let cut = Knobs { disks, stride, zones, ..knobs() };
        Shape::new(&[sample::today()], cut, video(1, 1)).unwrap().cycle()
    };
    assert_eq!(cycle(6, 1, 1), 6);
    assert_eq!(cycle(6, 2, 1), 3);
    assert_eq!(cycle(6, 6, 1), 1);
    assert_eq!(cycle(6, 1, 4), 12);
    assert_eq!(cycle(5, 1, 4), 20);
}

#[test]
fn contradictions_are_refused() {
    let refused = |cut: Knobs| Shape::new(&[sample::today()], cut, video(1, 1)).is_err();
    assert!(refused(Knobs { disks: 0, ..knobs() }));
    assert!(refused(Knobs { stride: 7, ..knobs() }));
    assert!(refused(Knobs { groups: 2, zones: 2, ..knobs() }));
    assert!(!refused(Knobs { groups: 2, zones: 2, zoning: Zoning::Varb, ..knobs() }));
    assert!(refused(Knobs { window: 2, ..knobs() }));
    assert!(refused(Knobs { zones: 5, ..knobs() }));
    assert!(refused(Knobs { period_ns: 0, ..knobs() }));
    let wide = |cut: Knobs, width| Shape::new(&[sample::today()], cut, video(1, width)).is_err();
    assert!(!wide(knobs(), 6));
    assert!(wide(Knobs { degraded: Degraded::Keep, ..knobs() }, 6));
    assert!(wide(knobs(), 0));
}

/// What others are to have is kept from the average: a disk with heads may need all of its time at worst, one without has no such reserve.
#[test]
fn what_is_kept_free_is_kept_in_the_long_run() {
    let heads = sample::today();
    let flash = pegasus_disk::Profile::flash(1 << 40, 100, 4_000_000_000);
    for profile in [heads, flash] {
        let mut shape = Shape::new(&[profile], knobs(), video(4_000_000, 1)).unwrap();
        let service = shape.services()[0].clone();
        for (reads, bytes) in [(1, 4_096), (30, 15 << 20), (100, 1 << 20)] {
            shape.keep_free(0);
            let worst_ns = shape.batch_ns(0, reads, bytes);
            assert_eq!(worst_ns, service.batch_ns(0, reads, bytes));
            for kept in [100, 200, 500, 950] {
                shape.keep_free(kept);
                let mean_ns = service.mean_ns(0, reads, bytes);
                let billed_ns = shape.batch_ns(0, reads, bytes);
                assert!(
                    billed_ns >= worst_ns && mean_ns + billed_ns * kept / 1_000 <= billed_ns + 1
                );
                assert!(billed_ns == worst_ns || billed_ns <= mean_ns * 1_000 / (1_000 - kept));
                assert_eq!(shape.worst_ns(0, reads, bytes), worst_ns);
            }
        }
    }
}
