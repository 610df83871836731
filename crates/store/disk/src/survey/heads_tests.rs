use proptest::prelude::*;

use super::*;

const DISTANCES: [u32; 9] = [0, 1, 8, 64, 256, 512, 1_024, 2_048, 3_840];

/// So many moves over each distance that take `begin_ms(distance)`, and some part of a turn.
fn moves(
    each: usize,
    begin_ms: impl Fn(u32) -> f64,
    mut turn_ms: impl FnMut() -> f64,
) -> Vec<Move> {
    let made = DISTANCES.iter().flat_map(|far| std::iter::repeat_n(*far, each));
    made.map(|cylinders| {
        let begin_ns = ((begin_ms(cylinders) + turn_ms()) * 1e6) as u64;
        Move { cylinders, begin_ns }
    })
    .collect()
}

fn arm_ms(far: u32) -> f64 {
    if far == 0 { 0.4 } else { 1.4 + 12.0 * (f64::from(far) / 4_096.0).sqrt() }
}

#[test]
fn nothing_comes_of_nothing() {
    assert_eq!(find(&[]), Heads { rotation_ms: 0.0, overhead_ms: 0.0, seek: vec![(0, 0.0)] });
}

#[test]
fn a_curve_without_a_turn_is_told_as_it_is() {
    let found = find(&moves(5, arm_ms, || 0.0));
    assert_eq!((found.rotation_ms, found.overhead_ms), (0.0, 0.4));
    for (far, ms) in &found.seek[1..] {
        assert!((ms - (arm_ms(*far) - 0.4)).abs() < 0.01, "{found:?}");
    }
    assert!(found.seek.len() >= 5, "{found:?}");
}

#[test]
fn a_straight_curve_needs_few_points() {
    let found = find(&moves(5, |far| 1.0 + f64::from(far) / 1_000.0, || 0.0));
    assert_eq!(found.seek, [(0, 0.0), (1, 0.001), (3_840, 3.84)]);
}

#[test]
fn times_that_fall_with_the_distance_are_put_together() {
    let bases = [(0, 1.0, 1), (1, 4.0, 1), (2, 2.0, 3), (3, 5.0, 1), (4, 4.0, 1)];
    assert_eq!(rising(&bases), [(0, 1.0), (1, 2.5), (2, 2.5), (3, 4.5), (4, 4.5)]);
}

proptest! {
    #[test]
    fn a_turn_is_found_also_among_stray_times(
        seed: u64,
        rotation_ms in 4.0..12.0_f64,
        stray in 0.0..0.1_f64,
        by_turns in 1.2..10.0_f64,
    ) {
        let mut rng = fastrand::Rng::with_seed(seed);
        let turn = || rotation_ms * rng.f64() + if rng.f64() < stray { by_turns * rotation_ms } else { 0.0 };
        let found = find(&moves(100, arm_ms, turn));
        let off = found.rotation_ms / rotation_ms - 1.0;
        prop_assert!(off.abs() < 0.08, "{} of {}", found.rotation_ms, rotation_ms);
        for (far, ms) in &found.seek[1..] {
            let want = arm_ms(*far) - 0.4;
            prop_assert!((ms - want).abs() < rotation_ms / 5.0, "{:?} {}", found, want);
        }
    }

    #[test]
    fn a_long_tail_is_no_turn(seed: u64, mean_ms in 0.02..3.0_f64) {
        let mut rng = fastrand::Rng::with_seed(seed);
        let found = find(&moves(100, |_| 0.1, || -mean_ms * rng.f64().max(1e-9).ln()));
        prop_assert_eq!(found.rotation_ms, 0.0);
        prop_assert_eq!(&found.seek, &[(0, 0.0)]);
    }
}
