//! How fast long reads are, at many places.

use super::bench::Bench;
use super::ground::Ground;
use crate::{DiskError, SECTOR};

/// How fast a long read was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Middle of what was read, in bytes.
    pub offset: u64,
    /// Bits a second, once the heads were there.
    pub rate_bps: u64,
}

/// At each place so many pieces are read, one after the other; slow ones among them are left out.
const PIECES: u64 = 4;
/// Read before them, so that the heads are there and the drive knows that it goes straight on.
const LEAD_BYTES: u64 = 64 << 10;
/// Pieces are as long as the time allows, but not longer …
const PIECE_BYTES_MAX: u64 = 8 << 20;
/// … and not shorter.
const PIECE_BYTES_MIN: u64 = 64 << 10;
/// Least data in one piece that is of use.
pub(super) const PLACE_BYTES_MIN: u64 = place_bytes(PIECE_BYTES_MIN);
/// Places at most: borders of zones are found to within half a per cent of the disk.
const PLACES_MAX: usize = 192;
/// Places at least, however slow the disk.
const PLACES_MIN: usize = 12;
/// On a small disk pieces are so short that there is data for this many places.
const PLACES_WANTED: u64 = 48;
/// The share of the time.
const PART: f64 = 0.35;
/// The golden ratio's fraction: multiples of it, without what is before the point, are spread evenly however many there are,
/// and one is always far from the next.
const GOLDEN: f64 = 0.618_033_988_749_894_9;

const fn place_bytes(piece: u64) -> u64 {
    LEAD_BYTES + PIECES * piece
}

/// Measures at many places, each once; sorted by offset.
pub(super) fn sample(bench: &mut Bench<'_>, ground: &Ground) -> Result<Vec<Rate>, DiskError> {
    bench.begin("rates", PART);
    let piece = piece_bytes(bench, ground)?;
    let place = place_bytes(piece);
    let ground = ground.of_pieces(place);
    let fitting = usize::try_from(ground.data_bytes() / place).unwrap_or(PLACES_MAX);
    let most = fitting.clamp(PLACES_MIN, PLACES_MAX);
    let mut rates = Vec::with_capacity(most);
    let mut visited = 0;
    while bench.goes_on(visited, PLACES_MIN..=most) {
        let offset = ground.at((visited as f64 + 0.5) * GOLDEN % 1.0, place);
        rates.extend(rate_at(bench, offset, piece)?);
        visited += 1;
    }
    rates.sort_unstable_by_key(|rate| rate.offset);
    Ok(rates)
}

/// How long pieces are: as many places as there may be should take the time there is.
fn piece_bytes(bench: &mut Bench<'_>, ground: &Ground) -> Result<u64, DiskError> {
    let whole = |bytes: u64| bytes.max(PIECE_BYTES_MIN) / SECTOR as u64 * SECTOR as u64;
    let mut most = whole(PIECE_BYTES_MAX.min(ground.data_bytes() / PLACES_WANTED / (PIECES + 1)));
    // Pieces of a file with many holes must fit between them.
    while ground.of_pieces(place_bytes(most)).data_bytes() < ground.data_bytes() / 2
        && most > PIECE_BYTES_MIN
    {
        most = whole(most / 2);
    }
    let first = most.min(4 * PIECE_BYTES_MIN);
    let mut found = Vec::new();
    let (within, length) = (ground.of_pieces(place_bytes(first)), place_bytes(first));
    for share in [0.1, 0.5, 0.9] {
        found.extend(rate_at(bench, within.at(share, length), first)?);
    }
    let slowest = found.iter().map(|rate| rate.rate_bps).min().unwrap_or(0);
    let piece_ns = bench.phase_ns() / PLACES_MAX as f64 / (PIECES + 1) as f64;
    let bytes = (slowest as f64 / 8e9 * piece_ns) as u64;
    Ok(whole(bytes.min(most)))
}

/// The rate at one place; `None` if it can't be read.
fn rate_at(bench: &mut Bench<'_>, offset: u64, piece: u64) -> Result<Option<Rate>, DiskError> {
    if bench.read_ns(offset, LEAD_BYTES)?.is_none() {
        return Ok(None);
    }
    let mut pieces = Vec::with_capacity(PIECES as usize);
    for number in 0..PIECES {
        pieces.extend(bench.read_ns(offset + LEAD_BYTES + number * piece, piece)?);
    }
    let Some(ns) = usual_ns(&mut pieces) else { return Ok(None) };
    let offset = offset + LEAD_BYTES + PIECES * piece / 2;
    Ok(Some(Rate { offset, rate_bps: ((piece * 8) as f64 * 1e9 / ns).round().max(1.0) as u64 }))
}

/// What one of them takes on average, in nanoseconds, without those that took far longer than the others.
fn usual_ns(pieces: &mut [u64]) -> Option<f64> {
    pieces.sort_unstable();
    let limit = *pieces.get(pieces.len().checked_sub(1)? / 2)? * 3 / 2;
    let usual: Vec<u64> = pieces.iter().copied().filter(|ns| *ns <= limit).collect();
    Some((usual.iter().sum::<u64>() as f64 / usual.len() as f64).max(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_piece_counts_for_nothing() {
        assert_eq!(usual_ns(&mut [10, 90, 12, 11]), Some(11.0));
        assert_eq!(usual_ns(&mut [10, 90, 95, 11]), Some(10.5));
        assert_eq!(usual_ns(&mut [7]), Some(7.0));
        assert_eq!(usual_ns(&mut []), None);
    }
}
