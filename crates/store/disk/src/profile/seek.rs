//! Positioning time by distance.

use super::ProfileError;

/// Time to move the heads, a piecewise linear function of the distance in cylinders; constant beyond its last point.
///
/// Measured curves are not concave: a drive's short seeks cost one settling time whatever the distance, and only
/// then does distance count. Mitra bills a sweep of `n` reads over all cylinders as `n` equal seeks, which is the worst
/// case of a concave curve only; one long seek and many short ones can cost more. [`Seek::sweep_ns`] is the worst case of any curve.
#[derive(Clone, Debug, PartialEq)]
pub struct Seek {
    /// Distance in cylinders and time in nanoseconds; distances rise, times do not fall, the first is (0, 0).
    points: Vec<(u32, u64)>,
    /// The least concave function that is nowhere below: some of the points.
    hull: Vec<(u32, u64)>,
}

/// Longest seek that is believed, in nanoseconds: ten seconds.
const SEEK_NS_MAX: u64 = 10_000_000_000;

impl Seek {
    /// A curve through `points`: distance in cylinders, time in milliseconds.
    ///
    /// # Errors
    /// If there are none, distances do not rise, or times fall or are not between 0 and ten seconds.
    pub fn new(points: &[(u32, f64)]) -> Result<Self, ProfileError> {
        let mut found: Vec<(u32, u64)> = vec![(0, 0)];
        for &(cylinders, ms) in points {
            let ns = (ms * 1e6).round();
            if !(0.0..=SEEK_NS_MAX as f64).contains(&ns) {
                return Err(ProfileError::new(
                    "seek",
                    format!("{ms} ms is no time to seek: 0 to 10000 is"),
                ));
            }
            let (last, last_ns) = found[found.len() - 1];
            match (cylinders, ns as u64) {
                (0, 0) if found.len() == 1 => {}
                (0, _) => {
                    return Err(ProfileError::new(
                        "seek",
                        "no distance takes no time: begin with [0, 0.0]",
                    ));
                }
                (to, ns) if to > last && ns >= last_ns => found.push((to, ns)),
                (to, _) => {
                    let why = format!(
                        "[{to}, {ms}] after a distance of {last}: distances must rise, and times not fall"
                    );
                    return Err(ProfileError::new("seek", why));
                }
            }
        }
        if points.is_empty() {
            return Err(ProfileError::new(
                "seek",
                "it has no points: flash has [[0, 0.0], [1, 0.1]]",
            ));
        }
        let hull = concave(&found);
        Ok(Self { points: found, hull })
    }

    /// The points: distance in cylinders, time in nanoseconds. The first is (0, 0).
    #[must_use]
    pub fn points(&self) -> &[(u32, u64)] {
        &self.points
    }

    /// Time to move over `cylinders`, in nanoseconds.
    #[must_use]
    pub fn ns(&self, cylinders: u32) -> u64 {
        at(&self.points, u64::from(cylinders), 1)
    }

    /// The most that `seeks` seeks in one direction over `cylinders` altogether can take, in nanoseconds; 0 for none.
    #[must_use]
    pub fn sweep_ns(&self, seeks: u32, cylinders: u32) -> u64 {
        match seeks {
            0 => 0,
            _ => at(&self.hull, u64::from(cylinders), u64::from(seeks)),
        }
    }
}

/// `n` times the line's value at `distance / n`; rounded down, so that no sum of parts is more than the whole.
fn at(points: &[(u32, u64)], distance: u64, n: u64) -> u64 {
    let after = points.partition_point(|(to, _)| u64::from(*to) * n < distance);
    let Some(&(right, right_ns)) = points.get(after) else {
        return points.last().map_or(0, |(_, ns)| ns * n);
    };
    let Some(&(left, left_ns)) = after.checked_sub(1).and_then(|i| points.get(i)) else {
        return right_ns * n;
    };
    let (width, beyond) = (u128::from(right - left), u128::from(distance - u64::from(left) * n));
    let rise = u128::from(right_ns - left_ns) * beyond / width;
    left_ns * n + u64::try_from(rise).expect("less than the rise of n seeks")
}

/// The upper hull of points whose distances rise.
fn concave(points: &[(u32, u64)]) -> Vec<(u32, u64)> {
    let mut hull: Vec<(u32, u64)> = Vec::with_capacity(points.len());
    for &point in points {
        while let [.., a, b] = hull[..] {
            if !is_under(a, b, point) {
                break;
            }
            hull.pop();
        }
        hull.push(point);
    }
    hull
}

/// Whether `b` is not above the line from `a` to `c`.
fn is_under(a: (u32, u64), b: (u32, u64), c: (u32, u64)) -> bool {
    let slope = |from: (u32, u64), to: (u32, u64), times: (u32, u32)| {
        u128::from(to.1 - from.1) * u128::from(times.1 - times.0)
    };
    slope(a, b, (b.0, c.0)) <= slope(b, c, (a.0, b.0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn settling() -> Seek {
        Seek::new(&[(0, 0.0), (1, 5.0), (400, 5.0), (2_697, 21.1)]).unwrap()
    }

    #[test]
    fn it_is_linear_between_its_points_and_constant_beyond() {
        let seek = settling();
        assert_eq!(seek.ns(0), 0);
        assert_eq!((seek.ns(1), seek.ns(200), seek.ns(400)), (5_000_000, 5_000_000, 5_000_000));
        assert_eq!((seek.ns(2_697), seek.ns(9_999)), (21_100_000, 21_100_000));
        assert!((13_000_000..13_100_000).contains(&seek.ns(1_549)));
    }

    #[test]
    fn a_sweep_is_billed_what_one_long_seek_and_many_short_ones_take() {
        let seek = settling();
        // Ten equal seeks of 269 cylinders take 50 ms; nine of one and one of all the rest 66.
        let equal = 10 * seek.ns(269);
        let worst = 9 * seek.ns(1) + seek.ns(2_697 - 9);
        assert!(equal < worst && worst <= seek.sweep_ns(10, 2_697), "{equal} {worst}");
        assert_eq!(seek.sweep_ns(0, 2_697), 0);
        assert_eq!(seek.sweep_ns(1, 2_697), seek.ns(2_697));
    }

    #[test]
    fn nonsense_is_refused() {
        for points in [
            &[][..],
            &[(0, 1.0)],
            &[(5, 1.0), (5, 2.0)],
            &[(1, 2.0), (2, 1.0)],
            &[(1, f64::NAN)],
            &[(1, -1.0)],
            &[(1, f64::INFINITY)],
        ] {
            assert!(Seek::new(points).is_err(), "{points:?}");
        }
    }

    fn curves() -> impl Strategy<Value = Seek> {
        prop::collection::vec((1_u32..500, 0.0_f64..4.0), 1..8).prop_map(|steps| {
            let mut sum = (0, 0.0);
            let points: Vec<_> = steps
                .iter()
                .map(|(far, ms)| {
                    sum = (sum.0 + far, sum.1 + ms);
                    sum
                })
                .collect();
            Seek::new(&points).unwrap()
        })
    }

    proptest! {
        #[test]
        fn no_way_to_sweep_takes_longer(seek in curves(), parts in prop::collection::vec(0_u32..700, 1..12)) {
            let all: u64 = parts.iter().map(|part| seek.ns(*part)).sum();
            prop_assert!(all <= seek.sweep_ns(parts.len() as u32, parts.iter().sum()));
        }

        #[test]
        fn one_more_read_never_makes_a_sweep_shorter(seek in curves(), n in 1_u32..50, far in 1_u32..4_000) {
            prop_assert!(seek.sweep_ns(n, far) <= seek.sweep_ns(n + 1, far) + 1);
        }
    }
}
