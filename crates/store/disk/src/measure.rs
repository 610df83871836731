//! How fast a disk is: the two numbers from which the stripe unit is chosen.

use std::sync::Arc;

use crate::{AlignedBuf, Batch, Disk, DiskError, Request, SECTOR, flush};

/// What a transfer of `len` bytes at a random place costs: `position_us + len / bytes_per_s`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// Time to get to a place, in microseconds; at least 1.
    pub position_us: u64,
    /// Sequential rate in bytes per second; at least 1.
    pub bytes_per_s: u64,
}

impl Measured {
    /// The share of the disk's time, 0 to 1, lost to positioning by transfers of `unit_bytes`.
    #[must_use]
    pub fn positioning_loss(&self, unit_bytes: u64) -> f64 {
        let position_s = self.position_us as f64 * 1e-6;
        position_s / (position_s + unit_bytes as f64 / self.bytes_per_s as f64)
    }
}

/// Places written in each pass, spread over the whole disk.
const PLACES: u64 = 16;
/// Length of the long transfers; a small disk gets shorter ones.
const LONG_MAX: u64 = 1 << 20;

/// Times each pass is made; the fastest counts, since whatever else the machine does only adds.
const ROUNDS: usize = 2;
/// A pass of long transfers is taken to spend at least this share of its time on moving data: if
/// the passes differ by less, the difference is noise.
const MOVING_SHARE_MIN: u64 = 16;

/// Measures `disk` by writing short and long pieces all over it. **Destroys what is on it**: for
/// formatting only. Writes about 50 MiB, under a second on anything sound; the disk must have
/// nothing else to do meanwhile. By the disk's own clock ([`crate::DiskStats`]), so that a
/// simulated disk measures as its model says.
///
/// Writes, because reading the unwritten room of a new file never touches the medium; each pass
/// ends with a flush, so that no cache flatters.
///
/// # Errors
/// As the disk's.
pub fn measure(disk: &dyn Disk) -> Result<Measured, DiskError> {
    let sector = SECTOR as u64;
    let stride = disk.size() / PLACES / sector * sector;
    let long = LONG_MAX.min(stride).max(sector);
    pass(disk, stride, long)?; // the first writes to a new file also pay for its block map
    let (mut short_ns, mut long_ns) = (u64::MAX, u64::MAX);
    for _ in 0..ROUNDS {
        short_ns = short_ns.min(pass(disk, stride, sector)?);
        long_ns = long_ns.min(pass(disk, stride, long)?);
    }

    let more_bytes = PLACES * (long - sector);
    let more_ns = long_ns.saturating_sub(short_ns).max(long_ns / MOVING_SHARE_MIN).max(1);
    let bytes_per_s = (more_bytes as f64 * 1e9 / more_ns as f64) as u64;
    let moving_ns = sector as f64 * 1e9 / bytes_per_s.max(1) as f64;
    let position_ns = short_ns as f64 / PLACES as f64 - moving_ns;
    Ok(Measured {
        position_us: (position_ns / 1e3).max(1.0) as u64,
        bytes_per_s: bytes_per_s.max(1),
    })
}

/// Writes `len` bytes at each place, in an order that jumps, flushes; returns the time it took in
/// nanoseconds.
fn pass(disk: &dyn Disk, stride: u64, len: u64) -> Result<u64, DiskError> {
    let before = disk.stats().write_busy_ns;
    let mut buf = AlignedBuf::zeroed(len as usize);
    // Not zeros: a drive that compresses or a thin volume would take those for free.
    let mut rng = fastrand::Rng::with_seed(stride ^ len);
    rng.fill(&mut buf);
    let buf = Arc::new(buf);
    let mut batch = Batch::new();
    for i in 0..PLACES {
        // 7 is coprime to PLACES: every place once, no two neighbours in succession.
        let offset = (i * 7 % PLACES) * stride;
        if offset + len <= disk.size() {
            batch.add(disk, Request::Write { offset, buf: buf.clone() });
        }
    }
    for outcome in batch.wait_all() {
        outcome?;
    }
    flush(disk)?;
    Ok(disk.stats().write_busy_ns - before)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CreateOptions, FileDisk, SimDisk, SimModel};

    #[test]
    fn a_simulated_disk_measures_as_its_model_says() {
        for (position_us, bytes_per_s) in [(8_000, 150_000_000), (80, 2_000_000_000)] {
            let model = SimModel { position_us, bytes_per_s };
            let found = measure(&SimDisk::new("m", 1 << 30).with_model(model)).unwrap();
            let rate = found.bytes_per_s as f64 / bytes_per_s as f64;
            let position = found.position_us as f64 / position_us as f64;
            assert!((0.95..1.05).contains(&rate), "{found:?} of {model:?}");
            // A flush counts as one positioning more, shared by sixteen places.
            assert!((0.95..1.15).contains(&position), "{found:?} of {model:?}");
        }
    }

    #[test]
    fn a_larger_unit_loses_less() {
        let disk = Measured { position_us: 10_000, bytes_per_s: 100_000_000 };
        assert!((disk.positioning_loss(1_000_000) - 0.5).abs() < 1e-9);
        assert!(disk.positioning_loss(16 << 20) < 0.1);
    }

    #[test]
    fn a_file_measures_as_something_sound() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d");
        let disk = FileDisk::create(path, 64 << 20, CreateOptions::default()).unwrap();
        let found = measure(&disk).unwrap();
        // From a slow network disk to memory; outside of it the arithmetic is wrong.
        assert!((1..10_000_000).contains(&found.position_us), "{found:?}");
        assert!((100_000..1 << 40).contains(&found.bytes_per_s), "{found:?}");
    }

    #[test]
    fn the_smallest_disk_can_be_measured() {
        assert!(measure(&SimDisk::new("tiny", SECTOR as u64)).is_ok());
    }
}
