//! Small disks for tests.

use std::fs::File;
use std::path::PathBuf;

use pegasus_disk::{Profile, Seek, Zone};
use pegasus_mitra::{Degraded, Knobs, Media, Shape, Zoning};
use tempfile::TempDir;

pub(crate) const DISKS: u32 = 3;

/// Eight mebibytes in two zones, with heads that are quick.
pub(crate) fn profile() -> Profile {
    let seek = Seek::new(&[(1, 0.05), (64, 0.2)]).unwrap();
    let zone = |rate_bps| Zone { cylinders: 32, rate_bps };
    let zones = vec![zone(800_000_000), zone(400_000_000)];
    Profile::new(8 << 20, 0.5, seek, zones).unwrap()
}

/// Periods of 20 ms, so that a hundred are over in a moment.
pub(crate) fn knobs() -> Knobs {
    Knobs {
        disks: DISKS,
        stride: 1,
        period_ns: 20_000_000,
        groups: 2,
        window: 2,
        zones: 2,
        zoning: Zoning::Varb,
        degraded: Degraded::None,
    }
}

pub(crate) fn shape(knobs: Knobs) -> Shape {
    let medium =
        |name: &str, rate_bps, width| Media { name: name.to_owned(), rate_bps, width, pieces: 1 };
    let media = vec![medium("camera", 4_000_000, 1), medium("studio", 16_000_000, 2)];
    Shape::new(&[profile()], knobs, media).unwrap()
}

/// So many files that are as long as the profile says.
pub(crate) fn files(count: u32) -> (TempDir, Vec<PathBuf>) {
    let folder = tempfile::tempdir().unwrap();
    let file = |number: u32| {
        let path = folder.path().join(format!("disk{number}"));
        let file = File::create(&path).unwrap();
        file.set_len(profile().capacity_bytes()).unwrap();
        path
    };
    let paths = (0..count).map(file).collect();
    (folder, paths)
}
