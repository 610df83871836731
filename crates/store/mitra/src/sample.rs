//! Disks for tests.

use pegasus_disk::{Profile, Seek, Zone};

/// A drive of Mitra's time in four zones, a few of them alike.
pub(crate) fn barracuda() -> Profile {
    let seek = Seek::new(&[(1, 5.0), (400, 5.0), (2_697, 21.1)]).unwrap();
    let zone = |cylinders, rate_bps| Zone { cylinders, rate_bps };
    let zones = vec![
        zone(617, 34_700_000),
        zone(500, 31_000_000),
        zone(800, 26_500_000),
        zone(780, 21_900_000),
    ];
    Profile::new(1_050_000_000, 11.11, seek, zones).unwrap()
}

/// A hard disk of today: 200 to 100 MB/s, 8 ms a turn.
pub(crate) fn today() -> Profile {
    let seek = Seek::new(&[(1, 1.0), (100, 3.0), (4_096, 14.0)]).unwrap();
    let zone = |cylinders, rate_bps| Zone { cylinders, rate_bps };
    let zones = vec![
        zone(1_024, 1_600_000_000),
        zone(1_024, 1_400_000_000),
        zone(1_024, 1_100_000_000),
        zone(1_024, 800_000_000),
    ];
    Profile::new(4_000_000_000_000, 8.33, seek, zones).unwrap().with_overhead(0.1).unwrap()
}

/// Another one: quicker outside, slower inside.
pub(crate) fn steep() -> Profile {
    let seek = Seek::new(&[(1, 1.0), (100, 3.0), (4_096, 14.0)]).unwrap();
    let zone = |rate_bps| Zone { cylinders: 1_024, rate_bps };
    let zones = [2_000_000_000, 1_400_000_000, 900_000_000, 600_000_000].map(zone);
    Profile::new(4_000_000_000_000, 8.33, seek, zones.to_vec()).unwrap()
}
