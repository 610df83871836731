//! How long it takes to begin after moves over known distances.

use super::bench::Bench;
use super::ground::Ground;
use crate::{DiskError, Profile, SECTOR};

/// A read of one sector after a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// How far, in cylinders of the profile.
    pub cylinders: u32,
    /// What the read took without the transfer, in nanoseconds.
    pub begin_ns: u64,
}

/// Moves made one after the other over one distance, to and fro, before it is the next one's turn.
const IN_A_ROW: usize = 3;
/// Moves over each distance: at most …
const EACH_MAX: usize = 64;
/// … at least …
const EACH_MIN: usize = 6;
/// … and if there is not time for so many, fewer distances are tried.
const EACH_WANTED: usize = 20;
/// Reads by which it is found out how much there is time for.
const TRIALS: usize = 12;
/// The share of the time.
const PART: f64 = 0.35;
const SECTOR_BYTES: u64 = SECTOR as u64;

/// Measures moves over many distances on a disk with the zones of `map`; each in turn, so that all meet the same disturbances.
pub(super) fn sample(
    bench: &mut Bench<'_>,
    ground: &Ground,
    map: &Profile,
) -> Result<Vec<Move>, DiskError> {
    bench.begin("positioning", PART);
    let all = distances(map.cylinders());
    let typical_ns = typical_ns(bench, ground)?;
    let affordable = (bench.phase_ns() / typical_ns) as usize * IN_A_ROW / (IN_A_ROW + 1);
    let step = if affordable < all.len() * EACH_WANTED { 2 } else { 1 };
    let last = all.len() - 1;
    let chosen = all.iter().enumerate().filter(|(at, _)| at % step == 0 || *at == last);
    let chosen: Vec<u32> = chosen.map(|(_, distance)| *distance).collect();

    let wanted = EACH_MIN * chosen.len()..=EACH_MAX * chosen.len();
    let (mut moves, mut made) = (Vec::new(), 0);
    for &distance in chosen.iter().cycle() {
        if !bench.goes_on(made, wanted.clone()) {
            break;
        }
        to_and_fro(bench, ground, map, distance, &mut moves)?;
        made += IN_A_ROW;
    }
    Ok(moves)
}

/// Distances over a disk of so many cylinders: doubled each time where they are short, and closer together over most of the disk.
fn distances(cylinders: u32) -> Vec<u32> {
    let short = std::iter::successors(Some(1_u32), |distance| distance.checked_mul(2));
    let mut found = vec![0];
    found.extend(short.take_while(|distance| *distance < cylinders / 16));
    found.extend([1, 2, 4, 6, 8, 12, 15].map(|parts| (u64::from(cylinders) * parts / 16) as u32));
    found.sort_unstable();
    found.dedup();
    found
}

/// What a read of a sector somewhere takes on average, in nanoseconds; at least 1.
fn typical_ns(bench: &mut Bench<'_>, ground: &Ground) -> Result<f64, DiskError> {
    let mut took = Vec::new();
    for _ in 0..TRIALS {
        let share = bench.rng.f64();
        took.extend(bench.read_ns(ground.at(share, SECTOR_BYTES), SECTOR_BYTES)?);
    }
    Ok((took.iter().sum::<u64>() as f64 / took.len().max(1) as f64).max(1.0))
}

/// Goes somewhere from where moves of `distance` are possible, and makes some.
fn to_and_fro(
    bench: &mut Bench<'_>,
    ground: &Ground,
    map: &Profile,
    distance: u32,
    moves: &mut Vec<Move>,
) -> Result<(), DiskError> {
    let cylinders = map.cylinders();
    let mut cylinder = bench.rng.u32(0..cylinders - distance);
    if bench.rng.bool() {
        cylinder += distance;
    }
    let mut before = somewhere_on(bench, ground, map, cylinder);
    bench.read_ns(before, SECTOR_BYTES)?;
    for _ in 0..IN_A_ROW {
        let (down, up) = (cylinder.checked_sub(distance), cylinder + distance);
        cylinder = match down {
            Some(down) if up >= cylinders || bench.rng.bool() => down,
            _ => up,
        };
        let place = somewhere_on(bench, ground, map, cylinder);
        let moved = map.cylinder_at(place).abs_diff(map.cylinder_at(before));
        let took_ns = bench.read_ns(place, SECTOR_BYTES)?;
        // What lies next is read ahead; and a hole may have led astray.
        let is_move = place != before + SECTOR_BYTES && place != before;
        let is_near = u64::from(moved.abs_diff(distance)) * 10 <= u64::from(distance);
        if let Some(ns) = took_ns.filter(|_| is_move && is_near) {
            let begin_ns = ns.saturating_sub(map.read_ns(place, SECTOR_BYTES));
            moves.push(Move { cylinders: distance, begin_ns });
        }
        before = place;
    }
    Ok(())
}

/// A sector with data on a cylinder, or as near as there is one.
fn somewhere_on(bench: &mut Bench<'_>, ground: &Ground, map: &Profile, cylinder: u32) -> u64 {
    let (start, end) = (map.offset_of(cylinder), map.offset_of(cylinder + 1));
    // Not the sector that the cylinder before ends in.
    let first = start.next_multiple_of(SECTOR_BYTES);
    let place = bench.rng.u64(start..end.max(start + 1)).max(first);
    ground.near(place, SECTOR_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_go_from_none_to_nearly_all() {
        assert_eq!(distances(1), [0]);
        assert_eq!(distances(4), [0, 1, 2, 3]);
        let many = distances(4_096);
        assert_eq!(many.len(), 16);
        assert_eq!((many[1], many[15]), (1, 3_840));
        for cylinders in 1..5_000 {
            let found = distances(cylinders);
            assert!(found.is_sorted() && found[found.len() - 1] < cylinders, "{cylinders}");
        }
    }
}
