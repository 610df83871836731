//! Turn and seek curve, found in how long it took to begin after moves.
//!
//! What a move takes is taken for the disk's overhead, a seek that depends on the distance, and a share of a turn that is anything from
//! none to all, as likely as not. So moves over one distance are spread evenly over a turn, and the quickest and the slowest of them
//! tell turn and seek. What is spread otherwise is no turn: a queue somewhere, a host that
//! was busy.

use std::collections::BTreeMap;

use super::moves::Move;

/// What is known of the heads, in milliseconds. A disk without any has no turn, and takes no time to seek.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Heads {
    pub(super) rotation_ms: f64,
    pub(super) overhead_ms: f64,
    /// Distance in cylinders and time; begins with (0, 0).
    pub(super) seek: Vec<(u32, f64)>,
}

/// Quicker turns, in nanoseconds, are not believed: that would be 40 000 in a minute.
const ROTATION_NS_MIN: f64 = 1.5e6;
/// Slower ones neither: 60 in a minute.
const ROTATION_NS_MAX: f64 = 1e9;
/// Shorter seeks, in nanoseconds, are none: heads need longer to settle.
const SEEK_NS_MIN: f64 = 5e5;
/// Longer times to begin are nonsense.
const BEGIN_NS_MAX: f64 = 1e10;
/// Samples over one distance that tell anything.
const EACH_MIN: usize = 3;
/// Samples altogether from which a turn can be told.
const SAMPLES_MIN: usize = 24;
/// Share of the samples within a turn, at least: the others were held up by something else.
const WITHIN_MIN: f64 = 0.8;
/// How far from even what is within a turn may be spread, besides what chance makes of so few samples.
const UNEVEN_MAX: f64 = 0.08;
/// How far from the middle their mean may be, likewise.
const LOPSIDED_MAX: f64 = 0.024;

/// How often the estimate of a turn is used to tell stray moves from others, and made anew.
const ROUNDS: usize = 12;
/// What takes longer than so many turns is stray …
const MARGIN: f64 = 1.05;
/// … or a little more, by the number of samples: of a few the estimate was rougher.
const MARGIN_OF_FEW: f64 = 0.6;

/// One distance, and what it took to begin, sorted.
struct Group {
    cylinders: u32,
    begin_ns: Vec<f64>,
}

impl Group {
    fn median(&self) -> f64 {
        self.begin_ns[self.begin_ns.len() / 2]
    }

    /// The least that a move takes on a disk with this turn. The quickest and the slowest within a turn of it bound it: it is
    /// not more than the one, and not less than the other without the turn.
    fn least(&self, rotation_ns: f64) -> f64 {
        let quickest = self.begin_ns[0];
        let within = self.begin_ns.partition_point(|ns| *ns <= quickest + rotation_ns);
        let slowest = self.begin_ns[within.max(1) - 1];
        f64::midpoint(quickest, slowest - rotation_ns).max(0.0)
    }
}

/// What moves tell of the heads.
pub(super) fn find(moves: &[Move]) -> Heads {
    let mut by_distance: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
    for made in moves {
        let begin_ns = (made.begin_ns as f64).min(BEGIN_NS_MAX);
        by_distance.entry(made.cylinders).or_default().push(begin_ns);
    }
    let group = |(cylinders, mut begin_ns): (u32, Vec<f64>)| {
        begin_ns.sort_unstable_by(f64::total_cmp);
        Group { cylinders, begin_ns }
    };
    let all: Vec<Group> = by_distance.into_iter().map(group).collect();
    let groups: Vec<&Group> = all.iter().filter(|g| g.begin_ns.len() >= EACH_MIN).collect();
    let rotation_ns = rotation_ns(&groups);
    let base = |group: &&Group| {
        if rotation_ns > 0.0 { group.least(rotation_ns) } else { group.median() }
    };
    let bases: Vec<(u32, f64, usize)> =
        groups.iter().map(|group| (group.cylinders, base(group), group.begin_ns.len())).collect();
    let overhead_ns = bases.first().map_or(0.0, |(_, ns, _)| *ns);
    let rising = rising(&bases);
    let longest_ns = rising.last().map_or(0.0, |(_, ns)| ns - overhead_ns);
    if rotation_ns == 0.0 && longest_ns < SEEK_NS_MIN.max(doubt_ns(&groups)) {
        return without_heads(moves);
    }
    let overhead_ns = overhead_ns.min(rising.first().map_or(0.0, |(_, ns)| *ns));
    let curve: Vec<(u32, f64)> =
        rising.iter().map(|&(far, ns)| (far, (ns - overhead_ns).max(0.0))).collect();
    let tolerance_ns = (longest_ns / 100.0).max(rotation_ns / 64.0);
    let points = few(&curve, tolerance_ns);
    Heads {
        rotation_ms: ms(rotation_ns, 100.0),
        overhead_ms: ms(overhead_ns, 1e3),
        seek: points.iter().map(|(far, ns)| (*far, ms(*ns, 1e3))).collect(),
    }
}

/// A disk that begins anywhere after the same time.
fn without_heads(moves: &[Move]) -> Heads {
    let mut begin_ns: Vec<u64> = moves.iter().map(|made| made.begin_ns).collect();
    begin_ns.sort_unstable();
    let median = begin_ns.get(begin_ns.len() / 2).map_or(0.0, |ns| (*ns as f64).min(BEGIN_NS_MAX));
    Heads { rotation_ms: 0.0, overhead_ms: ms(median, 1e3), seek: vec![(0, 0.0)] }
}

/// Nanoseconds as milliseconds, rounded to a fraction of one.
fn ms(ns: f64, fraction: f64) -> f64 {
    (ns / 1e6 * fraction).round() / fraction
}

/// The time of a turn, 0 if there is none.
fn rotation_ns(groups: &[&Group]) -> f64 {
    // What lies on the same cylinder may have been read ahead: it tells nothing if there is anything else.
    let moved: Vec<&Group> = groups.iter().copied().filter(|group| group.cylinders > 0).collect();
    let groups = if moved.is_empty() { groups } else { &moved };
    if groups.iter().map(|group| group.begin_ns.len()).sum::<usize>() < SAMPLES_MIN {
        return 0.0;
    }
    let mut found = edge(&waits(groups, 0.0));
    for _ in 0..ROUNDS {
        found = spread(groups, found);
    }
    let is_turn = (ROTATION_NS_MIN..=ROTATION_NS_MAX).contains(&found);
    if is_turn && is_even(&waits(groups, found), found) { found } else { 0.0 }
}

/// How much longer than at least each move took, on a disk with this turn; sorted.
fn waits(groups: &[&Group], rotation_ns: f64) -> Vec<f64> {
    let wait = |group: &&Group| {
        let least = group.least(rotation_ns);
        group.begin_ns.iter().map(|ns| ns - least).collect::<Vec<f64>>()
    };
    let mut waits: Vec<f64> = groups.iter().flat_map(wait).collect();
    waits.sort_unstable_by(f64::total_cmp);
    waits
}

/// Over how much the moves over one distance are spread, if it is about `about_ns`: what lies far beyond that is stray. From the
/// quickest to the slowest of a few is less than the whole, by what lies between two of them.
fn spread(groups: &[&Group], about_ns: f64) -> f64 {
    let range = |group: &&Group| {
        let count = group.begin_ns.len() as f64;
        let end = group.begin_ns[0] + about_ns * (MARGIN + MARGIN_OF_FEW / count);
        let within = group.begin_ns.partition_point(|ns| *ns <= end);
        let range = group.begin_ns[within.checked_sub(1)?] - group.begin_ns[0];
        (within > 2).then(|| range * (within + 1) as f64 / (within - 1) as f64)
    };
    let mut ranges: Vec<f64> = groups.iter().filter_map(range).collect();
    ranges.sort_unstable_by(f64::total_cmp);
    // Without the extremes, which a stray move or a lack of samples may have made.
    let odd = ranges.len() / 4;
    let usual = &ranges[odd..ranges.len() - odd];
    usual.iter().sum::<f64>() / usual.len().max(1) as f64
}

/// So much likelier, as a logarithm, stray waits among the others must make what was seen before they are believed in.
const STRAY_DOUBT: f64 = 6.0;

/// Up to where sorted waits are spread, beyond which there are only stray ones: the likeliest step from many to few.
fn edge(waits: &[f64]) -> f64 {
    let (all, last) = (waits.len() as f64, waits[waits.len() - 1].max(1.0));
    let mut best = (all * (1.0 / last).ln() + STRAY_DOUBT, last * (all + 1.0) / all);
    for within in (all * WITHIN_MIN) as usize..waits.len() {
        let (inside, outside) = (within as f64, all - within as f64);
        let end = waits[within - 1].max(1.0);
        let (dense, sparse) = (inside / all / end, outside / all / (last - end).max(1.0));
        let likely = inside * dense.ln() + outside * sparse.ln();
        if sparse < dense / 2.0 && likely > best.0 {
            best = (likely, end * (inside + 1.0) / inside);
        }
    }
    best.1
}

/// Whether the waits up to `end` are spread evenly.
fn is_even(waits: &[f64], end: f64) -> bool {
    let within: Vec<f64> = waits.iter().copied().filter(|wait| *wait <= end).collect();
    let count = within.len() as f64;
    let off = |(at, wait): (usize, &f64)| ((at as f64 + 0.5) / count - wait / end).abs();
    let worst = within.iter().enumerate().map(off).fold(0.0, f64::max);
    let lopsided = (within.iter().sum::<f64>() / count / end - 0.5).abs();
    let chance = 1.0 / count.sqrt();
    worst < UNEVEN_MAX + 1.2 * chance && lopsided < LOPSIDED_MAX + 0.8 * chance
}

/// What medians of so many samples may be off by, generously, in nanoseconds.
fn doubt_ns(groups: &[&Group]) -> f64 {
    let doubt = |group: &&Group| {
        let (count, median) = (group.begin_ns.len(), group.median());
        let mut off: Vec<f64> = group.begin_ns.iter().map(|ns| (ns - median).abs()).collect();
        off.sort_unstable_by(f64::total_cmp);
        12.0 * off[count / 2] / (count as f64).sqrt()
    };
    groups.iter().map(doubt).fold(0.0, f64::max)
}

/// The nearest times that do not fall with the distance: neighbours that do are put together (pool adjacent violators).
fn rising(bases: &[(u32, f64, usize)]) -> Vec<(u32, f64)> {
    // Sum of weighted times, of weights, and how many distances.
    let mut pools: Vec<(f64, f64, usize)> = Vec::new();
    for &(_, ns, count) in bases {
        let mut pool = (ns * count as f64, count as f64, 1);
        while let Some(&(sum, weight, many)) = pools.last() {
            if sum / weight <= pool.0 / pool.1 {
                break;
            }
            pool = (pool.0 + sum, pool.1 + weight, pool.2 + many);
            pools.pop();
        }
        pools.push(pool);
    }
    let levels =
        pools.iter().flat_map(|&(sum, weight, many)| std::iter::repeat_n(sum / weight, many));
    bases.iter().zip(levels).map(|(&(far, _, _), ns)| (far, ns)).collect()
}

/// As few points of a curve as tell all of them to within `tolerance_ns`; no distance takes no time.
fn few(curve: &[(u32, f64)], tolerance_ns: f64) -> Vec<(u32, f64)> {
    let moved: Vec<(u32, f64)> = curve.iter().copied().filter(|(far, _)| *far > 0).collect();
    let mut points = vec![(0, 0.0)];
    if let (Some(first), Some(last)) = (moved.first(), moved.last()) {
        points.push(*first);
        keep(&moved, tolerance_ns, &mut points);
        if moved.len() > 1 {
            points.push(*last);
        }
    }
    points
}

/// Adds those between the first and the last that a line between them would miss (Douglas and Peucker).
fn keep(curve: &[(u32, f64)], tolerance_ns: f64, points: &mut Vec<(u32, f64)>) {
    let [(left, left_ns), between @ .., (right, right_ns)] = curve else { return };
    let line =
        |far: u32| left_ns + (right_ns - left_ns) * f64::from(far - left) / f64::from(right - left);
    let missed = |(far, ns): &(u32, f64)| (ns - line(*far)).abs();
    let Some(worst) = (0..between.len())
        .max_by(|a, b| missed(&between[*a]).total_cmp(&missed(&between[*b])))
        .filter(|at| missed(&between[*at]) > tolerance_ns)
    else {
        return;
    };
    keep(&curve[..=worst + 1], tolerance_ns, points);
    points.push(between[worst]);
    keep(&curve[worst + 1..], tolerance_ns, points);
}

#[cfg(test)]
#[path = "heads_tests.rs"]
mod tests;
