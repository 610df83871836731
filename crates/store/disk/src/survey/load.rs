//! What a disk does with several reads at once, and how long reads of several lengths take.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;

use super::bench::Bench;
use super::ground::Ground;
use crate::{DiskError, QueueDepth, SECTOR, ServiceTimes};

/// How many reads wait at once.
const DEPTHS: [u32; 6] = [1, 2, 4, 8, 16, 32];
/// Lengths of reads, in bytes.
const LENGTHS: [u64; 5] = [4 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20];
/// Reads at each depth: enough to tell, also of a disk in memory.
const AT_DEPTH_MAX: u64 = 50_000;
/// … and for each of those that wait, at least.
const AT_DEPTH_MIN: u64 = 2;
/// Reads of each length: at most so many that the slowest in a thousand is one of several …
const OF_LENGTH_MAX: usize = 4_000;
/// … and at least.
const OF_LENGTH_MIN: usize = 6;
/// The share of the time, together 0.3 for both.
const DEPTH_PART: f64 = 0.12 / DEPTHS.len() as f64;
const LENGTH_PART: f64 = 0.18 / LENGTHS.len() as f64;

/// How many reads of a sector the disk does in a second, by how many wait at once.
pub(super) fn by_depth(
    bench: &mut Bench<'_>,
    ground: &Ground,
) -> Result<Vec<QueueDepth>, DiskError> {
    DEPTHS
        .iter()
        .map(|&depth| {
            bench.begin("reads at once", DEPTH_PART);
            let reads_per_s = per_second(bench, ground, depth)?;
            Ok(QueueDepth { depth, reads_per_s: (reads_per_s * 10.0).round() / 10.0 })
        })
        .collect()
}

/// Keeps `depth` reads waiting, each by a thread of its own, as clients would.
fn per_second(bench: &mut Bench<'_>, ground: &Ground, depth: u32) -> Result<f64, DiskError> {
    let (disk, time_ns) = (bench.disk, bench.phase_ns());
    let least = AT_DEPTH_MIN * u64::from(depth);
    let before_ns = disk.stats().read_busy_ns;
    let busy_ns = || disk.stats().read_busy_ns - before_ns;
    let (begun, failed) = (AtomicU64::new(0), Mutex::new(None));
    std::thread::scope(|scope| {
        for _ in 0..depth {
            let mut rng = bench.rng.fork();
            let (begun, failed) = (&begun, &failed);
            scope.spawn(move || {
                while failed.lock().is_none() {
                    let count = begun.fetch_add(1, Relaxed);
                    let enough = count >= least && busy_ns() as f64 >= time_ns;
                    if enough || count >= AT_DEPTH_MAX {
                        return;
                    }
                    let place = ground.at(rng.f64(), SECTOR as u64);
                    if let Err(error) = crate::read(disk, place, SECTOR)
                        && !matches!(error, DiskError::Io { .. })
                    {
                        *failed.lock() = Some(error);
                    }
                }
            });
        }
    });
    if let Some(error) = failed.into_inner() {
        return Err(error);
    }
    // Each thread counted one that it did not do.
    let done = begun.into_inner() - u64::from(depth);
    Ok(done as f64 * 1e9 / busy_ns().max(1) as f64)
}

/// How long reads take, by their length, one at a time; of lengths that there is data for.
pub(super) fn by_length(
    bench: &mut Bench<'_>,
    ground: &Ground,
) -> Result<Vec<ServiceTimes>, DiskError> {
    let mut found = Vec::new();
    for block_bytes in LENGTHS {
        bench.begin("reads by length", LENGTH_PART);
        let long = ground.of_pieces(block_bytes);
        if long.data_bytes() < ground.data_bytes() / 2 {
            continue;
        }
        let (mut took, mut made) = (Vec::new(), 0);
        while bench.goes_on(made, OF_LENGTH_MIN..=OF_LENGTH_MAX) {
            let share = bench.rng.f64();
            took.extend(bench.read_ns(long.at(share, block_bytes), block_bytes)?);
            made += 1;
        }
        took.sort_unstable();
        found.extend(times(block_bytes, &took));
    }
    Ok(found)
}

/// Percentiles of sorted times in nanoseconds; of too few the slowest stands for all that are rarer.
fn times(block_bytes: u64, sorted_ns: &[u64]) -> Option<ServiceTimes> {
    let last = sorted_ns.len().checked_sub(1)?;
    let ms = |share: f64| {
        let at = (sorted_ns.len() as f64 * share).ceil() as usize;
        (sorted_ns[at.saturating_sub(1).min(last)] as f64 / 1e3).round() / 1e3
    };
    Some(ServiceTimes { block_bytes, p50_ms: ms(0.5), p99_ms: ms(0.99), p999_ms: ms(0.999) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_samples() {
        let thousand: Vec<u64> = (1..=1_000).map(|us| us * 1_000).collect();
        let found = times(4_096, &thousand).unwrap();
        assert_eq!((found.p50_ms, found.p99_ms, found.p999_ms), (0.5, 0.99, 0.999));
        let one = times(4_096, &[7_000]).unwrap();
        assert_eq!((one.p50_ms, one.p999_ms), (0.007, 0.007));
        assert_eq!(times(4_096, &[]), None);
    }
}
