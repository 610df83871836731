//! What reads cost a disk at worst (Mitra, section 3).

use pegasus_disk::{Profile, Seek, transfer_ns};

use crate::Error;

/// Adjacent zones of a disk that are used as one: as fast as their slowest.
///
/// How many a disk is cut into is a knob: one is read at the slowest rate of all, but any block can be read in any period;
/// many are read at their average rate, one in each period, so that a playback waits for the one it begins in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogicalZone {
    /// Bits a second of its slowest zone.
    pub rate_bps: u64,
    /// Cylinders of all its zones.
    pub cylinders: u32,
    /// Where it lies on the disk, in bytes.
    pub range: std::ops::Range<u64>,
}

/// Cuts a disk into `count` logical zones that hold about equally much, outermost first.
///
/// # Errors
/// If the disk has fewer zones, or `count` is 0.
pub fn logical_zones(profile: &Profile, count: usize) -> Result<Vec<LogicalZone>, Error> {
    let zones = profile.zones();
    if count == 0 || count > zones.len() {
        return Err(Error::Zones { wanted: count, has: zones.len() });
    }
    let (mut found, mut first) = (Vec::with_capacity(count), 0);
    for number in 0..count {
        let left = count - number - 1;
        let begin = profile.zone_range(first).start;
        let wanted = (profile.capacity_bytes() - begin) / (left as u64 + 1);
        let mut last = first;
        // As near to an equal share of the rest as whole zones come, with one left for each that follows.
        while left == 0 && last + 1 < zones.len()
            || last + 1 + left < zones.len() && is_nearer(profile, begin, wanted, last)
        {
            last += 1;
        }
        found.push(joined(profile, first..last + 1));
        first = last + 1;
    }
    Ok(found)
}

/// Whether a logical zone that begins at `begin` is nearer to `wanted` bytes with one zone more than `last`.
fn is_nearer(profile: &Profile, begin: u64, wanted: u64, last: usize) -> bool {
    let off = |zone: usize| (profile.zone_range(zone).end - begin).abs_diff(wanted);
    off(last + 1) < off(last)
}

fn joined(profile: &Profile, zones: std::ops::Range<usize>) -> LogicalZone {
    let range = profile.zone_range(zones.start).start..profile.zone_range(zones.end - 1).end;
    let zones = &profile.zones()[zones];
    LogicalZone {
        rate_bps: zones.iter().map(|zone| zone.rate_bps).min().expect("at least one zone"),
        cylinders: zones.iter().map(|zone| zone.cylinders).sum(),
        range,
    }
}

/// The largest bill, eleven days: far more than any period has, and small enough to add up.
const BILL_NS_MAX: u64 = 1_000_000_000_000_000;

/// What a batch of reads, made in one sweep, costs at worst in each logical zone of a disk.
///
/// Three things differ from Mitra's appendix, all on the safe side. Seeks of a sweep are billed by the curve's worst case,
/// see [`Seek::sweep_ns`]. A sweep begins wherever the last one ended: from there to its nearer end and over it all is at most one and a half
/// times the cylinders. And each read pays the disk's overhead.
#[derive(Clone, Debug)]
pub struct Service {
    zones: Vec<LogicalZone>,
    /// What is swept at once: a zone, or all of the disk.
    swept: Vec<Swept>,
    seek: Seek,
    /// Overhead and a whole turn: what each read takes besides seek and transfer.
    begin_ns: u64,
    rotation_ns: u64,
    cylinders: u32,
}

#[derive(Clone, Debug)]
struct Swept {
    rate_bps: u64,
    /// Cylinders that a sweep goes over at most.
    travel: u32,
}

impl Service {
    /// The disk of `profile`, cut into `zones` logical zones.
    ///
    /// # Errors
    /// As [`logical_zones`].
    pub fn new(profile: &Profile, zones: usize) -> Result<Self, Error> {
        let (zones, cylinders) = (logical_zones(profile, zones)?, profile.cylinders());
        let swept = |(zone, one): (usize, &LogicalZone)| {
            let before = match zone {
                // From wherever the heads are to the nearer end.
                _ if zones.len() == 1 => one.cylinders.div_ceil(2),
                // The sweep over zones is over, and the heads come back.
                0 => cylinders,
                _ => zones[zone - 1].cylinders,
            };
            Swept { rate_bps: one.rate_bps, travel: one.cylinders.saturating_add(before) }
        };
        Ok(Self {
            swept: zones.iter().enumerate().map(swept).collect(),
            zones,
            seek: profile.seek().clone(),
            begin_ns: profile.rotation_ns() + profile.overhead_ns(),
            rotation_ns: profile.rotation_ns(),
            cylinders,
        })
    }

    /// The logical zones, outermost first.
    #[must_use]
    pub fn zones(&self) -> &[LogicalZone] {
        &self.zones
    }

    /// Sweeps all zones at once from now on: blocks are in proportion to `weights`, one for each zone, so that all take equally long. Bytes
    /// are billed as [`Service::level_bytes`], in the only zone there is then, 0.
    pub(crate) fn level(&mut self, weights: &[u64]) {
        let all: u128 = weights.iter().copied().map(u128::from).sum();
        // Of a disk that is slower in one zone than the weights say, this is what that zone leaves.
        let rates = self.zones.iter().zip(weights).map(|(zone, weight)| {
            let share = u128::from(*weight).max(1) * weights.len() as u128;
            all * u128::from(zone.rate_bps) / share
        });
        let rate_bps = rates.min().and_then(|rate| u64::try_from(rate).ok()).unwrap_or(u64::MAX);
        let travel = self.cylinders.saturating_add(self.cylinders.div_ceil(2));
        self.swept = vec![Swept { rate_bps: rate_bps.max(1), travel }];
    }

    /// How many bytes take as long at the rate of a sweep over all of the disk as `bytes` in zone `zone`; as many if zones are swept by turns.
    pub(crate) fn level_bytes(&self, zone: usize, bytes: u64) -> u64 {
        let (from, to) = (self.zones[zone].rate_bps, self.swept[zone % self.swept.len()].rate_bps);
        let bytes = (u128::from(bytes) * u128::from(to)).div_ceil(u128::from(from.max(1)));
        u64::try_from(bytes).unwrap_or(u64::MAX / 2)
    }

    /// The most that `reads` reads of `bytes` altogether take if they are made in one sweep of logical zone `zone`, wherever the heads were
    /// left by the zone before; nanoseconds.
    ///
    /// # Panics
    /// If there is no such zone.
    #[must_use]
    pub fn batch_ns(&self, zone: usize, reads: u32, bytes: u64) -> u64 {
        let turns = u64::from(reads).saturating_mul(self.begin_ns);
        // A nanosecond for each, as lengths are rounded together and not one by one.
        let moving = transfer_ns(bytes, self.swept[zone].rate_bps).saturating_add(reads.into());
        let seeks = self.seek.sweep_ns(reads, self.swept[zone].travel);
        moving.saturating_add(turns).saturating_add(seeks).min(BILL_NS_MAX)
    }

    /// What such a sweep takes in the long run: where what is wanted comes by is chance, so it is half a turn away on average.
    ///
    /// # Panics
    /// As [`Service::batch_ns`].
    #[must_use]
    pub fn mean_ns(&self, zone: usize, reads: u32, bytes: u64) -> u64 {
        let spared_ns = u64::from(reads).saturating_mul(self.rotation_ns / 2);
        self.batch_ns(zone, reads, bytes).saturating_sub(spared_ns)
    }

    /// The most that one read of `bytes` takes that no sweep passes; nanoseconds.
    ///
    /// # Panics
    /// If there is no such zone.
    #[must_use]
    pub fn lone_ns(&self, zone: usize, bytes: u64) -> u64 {
        let moving = transfer_ns(bytes, self.swept[zone].rate_bps).saturating_add(1);
        let begins = self.begin_ns + self.seek.sweep_ns(1, self.cylinders);
        moving.saturating_add(begins).min(BILL_NS_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn logical_zones_join_neighbours_and_are_as_slow_as_the_slowest() {
        let profile = sample::barracuda();
        for count in 1..=profile.zones().len() {
            let zones = logical_zones(&profile, count).unwrap();
            assert_eq!(zones.len(), count);
            assert_eq!(zones[0].range.start, 0);
            assert_eq!(zones[count - 1].range.end, profile.capacity_bytes());
            assert!(zones.windows(2).all(|two| two[0].range.end == two[1].range.start));
            assert_eq!(zones.iter().map(|zone| zone.cylinders).sum::<u32>(), profile.cylinders());
        }
        let slowest = profile.zones().iter().map(|zone| zone.rate_bps).min();
        assert_eq!(logical_zones(&profile, 1).unwrap()[0].rate_bps, slowest.unwrap());
        assert!(logical_zones(&profile, 0).is_err());
        assert!(logical_zones(&profile, 99).is_err());
    }

    #[test]
    fn logical_zones_hold_about_equally_much() {
        let profile = sample::barracuda();
        let zones = logical_zones(&profile, 3).unwrap();
        let third = profile.capacity_bytes() / 3;
        for zone in &zones {
            let len = zone.range.end - zone.range.start;
            assert!(len.abs_diff(third) < third / 2, "{zones:?}");
        }
    }

    #[test]
    fn more_reads_and_more_bytes_cost_more() {
        let service = Service::new(&sample::barracuda(), 2).unwrap();
        assert_eq!(service.batch_ns(0, 0, 0), 0);
        for reads in 1..40 {
            assert!(service.batch_ns(0, reads, 1 << 20) < service.batch_ns(0, reads + 1, 1 << 20));
            assert!(service.batch_ns(0, reads, 1 << 20) < service.batch_ns(1, reads, 2 << 20));
        }
    }
}
