//! What a disk can do, as a table: the one format that `pegasus disk profile` writes, the planner and the scheduler reckon with,
//! and simulated disks take their times from.
//!
//! Mitra (section 3) measures its disks once and gives the scheduler a file; this is that file.

mod seek;
mod text;

pub use seek::Seek;

/// Why a profile is not one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {why}")]
pub struct ProfileError {
    what: String,
    why: String,
}

impl ProfileError {
    pub(crate) fn new(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self { what: what.into(), why: why.into() }
    }
}

/// Adjacent cylinders that hold equally much and are read equally fast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Zone {
    /// How many cylinders; at least 1.
    pub cylinders: u32,
    /// Bits read in a second while the heads stay; at least 1.
    pub rate_bps: u64,
}

/// How many short reads at random places a disk does in a second with some of them waiting at once.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueueDepth {
    /// How many wait at once.
    pub depth: u32,
    /// Reads of one sector a second.
    pub reads_per_s: f64,
}

/// How long reads of one length at random places took, one at a time.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceTimes {
    /// Length of each read.
    pub block_bytes: u64,
    /// Half of them took no longer, in milliseconds.
    pub p50_ms: f64,
    /// All but one in a hundred.
    pub p99_ms: f64,
    /// All but one in a thousand.
    pub p999_ms: f64,
}

/// A disk as the scheduler sees it: zones, outermost first, a seek curve and a rotation.
///
/// Bytes are spread over zones in proportion to cylinders and rate, as tracks are that turn equally fast. A disk without
/// heads has one zone, no rotation and no seek; what it takes to begin is its overhead.
///
/// ```
/// use pegasus_disk::Profile;
/// let barracuda: Profile = "
///     capacity_bytes = 1050000000
///     rotation_ms = 11.11
///     seek = [ [0, 0.0], [1, 5.0], [400, 5.0], [2697, 21.1] ]
///     zones = [ { cylinders = 1200, rate_bps = 34700000 }, { cylinders = 1497, rate_bps = 18000000 } ]
/// ".parse()?;
/// assert_eq!(barracuda.cylinders(), 2697);
/// assert_eq!(barracuda.zone_at(0), 0);
/// assert!(barracuda.read_ns(0, 1 << 20) > 220_000_000, "a mebibyte at 34.7 Mb/s");
/// # Ok::<(), pegasus_disk::ProfileError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    capacity_bytes: u64,
    rotation_ns: u64,
    overhead_ns: u64,
    seek: Seek,
    zones: Vec<Zone>,
    /// Where each zone begins, in bytes, and the end.
    starts: Vec<u64>,
    /// What was measured besides; the scheduler does not reckon with it.
    pub queue: Vec<QueueDepth>,
    /// What was measured besides; the scheduler does not reckon with it.
    pub service: Vec<ServiceTimes>,
}

const BITS: u64 = 8;
const NS_PER_S: u128 = 1_000_000_000;
const NS_PER_MS: f64 = 1e6;
/// Longest time to begin that is believed.
const OVERHEAD_MS_MAX: f64 = 10_000.0;
/// Longest turn that is believed: a second.
const ROTATION_MS_MAX: f64 = 1_000.0;

impl Profile {
    /// A disk of `capacity_bytes` with these `zones`, outermost first; `rotation_ms` is the time of one turn, 0 without one.
    ///
    /// # Errors
    /// Without zones, with an empty zone or one without a rate, with less than a byte a cylinder, or with a turn that is not between 0 and a second.
    pub fn new(
        capacity_bytes: u64,
        rotation_ms: f64,
        seek: Seek,
        zones: Vec<Zone>,
    ) -> Result<Self, ProfileError> {
        if !(0.0..=ROTATION_MS_MAX).contains(&rotation_ms) {
            let why = format!("{rotation_ms} is not between 0 and 1000");
            return Err(ProfileError::new("rotation_ms", why));
        }
        if zones.is_empty() {
            return Err(ProfileError::new("zones", "there is none: a disk has at least one"));
        }
        for (number, zone) in zones.iter().enumerate() {
            if zone.cylinders == 0 || zone.rate_bps == 0 {
                let why = "it needs cylinders and a rate of at least 1";
                return Err(ProfileError::new(format!("zones[{number}]"), why));
            }
        }
        let cylinders = zones.iter().try_fold(0_u32, |sum, zone| sum.checked_add(zone.cylinders));
        if cylinders.is_none_or(|all| u64::from(all) > capacity_bytes) {
            let why = format!("{capacity_bytes} is less than a byte for each cylinder");
            return Err(ProfileError::new("capacity_bytes", why));
        }
        let starts = starts(capacity_bytes, &zones);
        if let Some(empty) = starts.windows(2).position(|zone| zone[0] >= zone[1]) {
            let why = format!("a disk of {capacity_bytes} bytes has no byte for it");
            return Err(ProfileError::new(format!("zones[{empty}]"), why));
        }
        let rotation_ns = (rotation_ms * NS_PER_MS).round() as u64;
        let (queue, service) = (Vec::new(), Vec::new());
        Ok(Self {
            capacity_bytes,
            rotation_ns,
            overhead_ns: 0,
            seek,
            zones,
            starts,
            queue,
            service,
        })
    }

    /// The disk with `overhead_ms` milliseconds that each request takes besides.
    ///
    /// # Errors
    /// If that is not between 0 and ten seconds.
    pub fn with_overhead(mut self, overhead_ms: f64) -> Result<Self, ProfileError> {
        if !(0.0..=OVERHEAD_MS_MAX).contains(&overhead_ms) {
            let why = format!("{overhead_ms} is not between 0 and 10000");
            return Err(ProfileError::new("overhead_ms", why));
        }
        self.overhead_ns = (overhead_ms * NS_PER_MS).round() as u64;
        Ok(self)
    }

    /// Flash: one zone, and `overhead_us` microseconds to begin anywhere.
    ///
    /// # Panics
    /// If a size or rate is 0, or it takes longer than ten seconds.
    #[must_use]
    pub fn flash(capacity_bytes: u64, overhead_us: u64, rate_bps: u64) -> Self {
        let seek = Seek::new(&[(0, 0.0)]).expect("no distance takes no time");
        let zones = vec![Zone { cylinders: 1, rate_bps }];
        let disk = Self::new(capacity_bytes, 0.0, seek, zones).expect("a size and a rate");
        disk.with_overhead(overhead_us as f64 / 1e3).expect("under ten seconds")
    }

    /// A disk like this one that holds `capacity_bytes`: as many cylinders, with less on each, or more.
    ///
    /// # Errors
    /// As [`Profile::new`].
    pub fn with_capacity(&self, capacity_bytes: u64) -> Result<Self, ProfileError> {
        let rotation_ms = self.rotation_ns as f64 / NS_PER_MS;
        let like = Self::new(capacity_bytes, rotation_ms, self.seek.clone(), self.zones.clone())?;
        Ok(Self { starts: like.starts, capacity_bytes, ..self.clone() })
    }

    /// Size of the disk.
    #[must_use]
    pub fn capacity_bytes(&self) -> u64 {
        self.capacity_bytes
    }

    /// Time of one turn in nanoseconds, the worst wait for a sector; 0 without rotation.
    #[must_use]
    pub fn rotation_ns(&self) -> u64 {
        self.rotation_ns
    }

    /// What each request takes besides seek, rotation and transfer, in nanoseconds.
    #[must_use]
    pub fn overhead_ns(&self) -> u64 {
        self.overhead_ns
    }

    /// Time by distance.
    #[must_use]
    pub fn seek(&self) -> &Seek {
        &self.seek
    }

    /// The zones, outermost first.
    #[must_use]
    pub fn zones(&self) -> &[Zone] {
        &self.zones
    }

    /// Cylinders of all zones.
    #[must_use]
    pub fn cylinders(&self) -> u32 {
        self.zones.iter().map(|zone| zone.cylinders).sum()
    }

    /// Where zone `number` lies, in bytes.
    ///
    /// # Panics
    /// If there is no such zone.
    #[must_use]
    pub fn zone_range(&self, number: usize) -> std::ops::Range<u64> {
        self.starts[number]..self.starts[number + 1]
    }

    /// The number of the zone that byte `offset` lies in; the last one beyond the end.
    #[must_use]
    pub fn zone_at(&self, offset: u64) -> usize {
        (self.starts.partition_point(|start| *start <= offset) - 1).min(self.zones.len() - 1)
    }

    /// The cylinder that byte `offset` lies on, 0 being the outermost; the last one beyond the end.
    #[must_use]
    pub fn cylinder_at(&self, offset: u64) -> u32 {
        let number = self.zone_at(offset);
        let (zone, range) = (self.zones[number], self.zone_range(number));
        let within =
            u128::from(offset.min(range.end - 1) - range.start) * u128::from(zone.cylinders);
        let before: u32 = self.zones[..number].iter().map(|zone| zone.cylinders).sum();
        // Fewer than the zone's, so it fits.
        before + (within / u128::from(range.end - range.start)) as u32
    }

    /// Where cylinder `number` begins, in bytes: the first offset of which [`Profile::cylinder_at`] says so; the disk's end beyond the last.
    #[must_use]
    pub fn offset_of(&self, number: u32) -> u64 {
        let mut left = number;
        for (zone, start) in self.zones.iter().zip(self.starts.windows(2)) {
            if left < zone.cylinders {
                let width = u128::from(start[1] - start[0]);
                let within = (width * u128::from(left)).div_ceil(u128::from(zone.cylinders));
                // Less than the zone's width, so it fits.
                return start[0] + within as u64;
            }
            left -= zone.cylinders;
        }
        self.capacity_bytes
    }

    /// Time to read `len` bytes from `offset` once the heads are there, zone by zone, in nanoseconds; what lies beyond the end
    /// is read at the last zone's rate.
    #[must_use]
    pub fn read_ns(&self, offset: u64, len: u64) -> u64 {
        let (mut at, end, mut ns) = (offset, offset.saturating_add(len), 0_u64);
        for number in self.zone_at(offset)..self.zones.len() {
            let last = number + 1 == self.zones.len();
            let until = if last { end } else { end.min(self.starts[number + 1]) };
            ns = ns
                .saturating_add(transfer_ns(until.saturating_sub(at), self.zones[number].rate_bps));
            at = at.max(until);
        }
        ns
    }
}

/// Time to move `bytes` at `rate_bps` bits a second, in nanoseconds, rounded up.
///
/// # Panics
/// If the rate is 0.
#[must_use]
pub fn transfer_ns(bytes: u64, rate_bps: u64) -> u64 {
    let ns = (u128::from(bytes) * u128::from(BITS) * NS_PER_S).div_ceil(u128::from(rate_bps));
    u64::try_from(ns).unwrap_or(u64::MAX)
}

/// Where zones begin if bytes are spread over them by cylinders and rate, and the end.
fn starts(capacity_bytes: u64, zones: &[Zone]) -> Vec<u64> {
    let weight = |zone: &Zone| f64::from(zone.cylinders) * zone.rate_bps as f64;
    let all: f64 = zones.iter().map(weight).sum();
    let mut sum = 0.0;
    let mut starts = vec![0];
    for zone in zones {
        sum += weight(zone);
        starts.push((capacity_bytes as f64 * (sum / all)) as u64);
    }
    // Rounding must not lose a byte of the last one.
    starts[zones.len()] = capacity_bytes;
    starts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_zones() -> Profile {
        let seek = Seek::new(&[(1, 2.0), (300, 10.0)]).unwrap();
        let zones = vec![
            Zone { cylinders: 100, rate_bps: 200_000_000 },
            Zone { cylinders: 200, rate_bps: 100_000_000 },
        ];
        Profile::new(1_000_000, 8.0, seek, zones).unwrap()
    }

    #[test]
    fn zones_hold_by_cylinders_and_rate() {
        let profile = two_zones();
        let half = profile.zone_range(0).end;
        assert!((499_000..=500_000).contains(&half), "{half}");
        assert_eq!(profile.zone_range(1), half..1_000_000);
        assert_eq!(
            (profile.zone_at(half - 1), profile.zone_at(half), profile.zone_at(u64::MAX)),
            (0, 1, 1)
        );
        assert_eq!(
            (profile.cylinder_at(0), profile.cylinder_at(half), profile.cylinder_at(u64::MAX)),
            (0, 100, 299)
        );
    }

    #[test]
    fn a_cylinder_begins_where_its_number_does() {
        let profile = two_zones();
        assert_eq!(profile.offset_of(0), 0);
        for number in 1..profile.cylinders() {
            let begin = profile.offset_of(number);
            assert_eq!(profile.cylinder_at(begin), number);
            assert_eq!(profile.cylinder_at(begin - 1), number - 1);
        }
        assert_eq!(profile.offset_of(300), 1_000_000);
    }

    #[test]
    fn a_read_over_a_border_takes_both_rates() {
        let profile = two_zones();
        let half = profile.zone_range(0).end;
        let both = profile.read_ns(half - 1_000, 2_000);
        assert_eq!(both, 40_000 + 80_000);
        assert_eq!(profile.read_ns(half, 0), 0);
    }

    #[test]
    fn nonsense_is_refused() {
        let seek = || Seek::new(&[(1, 1.0)]).unwrap();
        let zone = |cylinders, rate_bps| vec![Zone { cylinders, rate_bps }];
        assert!(Profile::new(1 << 30, 8.0, seek(), vec![]).is_err());
        assert!(Profile::new(1 << 30, 8.0, seek(), zone(0, 1)).is_err());
        assert!(Profile::new(1 << 30, 8.0, seek(), zone(1, 0)).is_err());
        assert!(Profile::new(1 << 30, f64::NAN, seek(), zone(1, 1)).is_err());
        assert!(Profile::new(10, 8.0, seek(), zone(11, 1)).is_err());
        let many = vec![Zone { cylinders: u32::MAX, rate_bps: u64::MAX }; 3];
        assert!(Profile::new(u64::MAX, 8.0, seek(), many).is_err());
    }
}
