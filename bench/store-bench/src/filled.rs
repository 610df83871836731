//! A store full of recordings, as fast as its disks take them: what others play from.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pegasus_base::{ManualClock, Time};
use pegasus_continuous::Continuous;
use pegasus_disk::{Disk, FileDisk, OpenOptions};
use pegasus_log::{FormatOptions, Log};
use serde_json::{Value, json};

use crate::Failure;
use crate::array;
use crate::camera::{self, Camera, Material};

/// Media time of a commit, as with the node's default.
const COMMIT: Duration = Duration::from_millis(500);

/// What is recorded, and where.
pub(crate) struct Load<'a> {
    pub(crate) disks: &'a [PathBuf],
    pub(crate) parity: u8,
    pub(crate) unit_bytes: Option<u32>,
    pub(crate) streams: usize,
    pub(crate) rate_bps: f64,
    pub(crate) seconds: u32,
}

/// Makes the store, and records: each stream by itself, so that a disk with heads takes no week.
///
/// # Errors
/// If a disk fails, or has no room.
pub(crate) fn run(load: &Load<'_>) -> Result<Value, Failure> {
    let open = |path: &PathBuf| {
        FileDisk::open(path, OpenOptions::default()).map(|disk| Arc::new(disk) as Arc<dyn Disk>)
    };
    let disks = load.disks.iter().map(open).collect::<Result<Vec<_>, _>>()?;
    let data = u8::try_from(disks.len())?.saturating_sub(load.parity);
    let options = FormatOptions {
        data,
        parity: load.parity,
        unit_bytes: load.unit_bytes,
        label: "bench".to_owned(),
        now: array::beginning(),
    };
    Log::format(&disks, &options, &mut fastrand::Rng::with_seed(1))?;
    let clock = Arc::new(ManualClock::at(array::beginning()));
    let (log, recovery) = array::open_log(&disks, array::beginning())?;
    let unit_bytes = log.status().unit_bytes;
    let store = Continuous::open_undriven(log, recovery, array::settings(), clock.clone())?;
    let material = Material::noise(Camera::material_bytes(load.rate_bps));
    for number in 0..load.streams {
        record(&store, &clock, number, &material, load)?;
    }
    let ingest = store.status().ingest;
    if ingest.dropped_units + ingest.late_units + ingest.freed_segments > 0 {
        return Err(format!("not all of it was kept: {ingest:?}").into());
    }
    store.close()?;
    Ok(json!({ "media_bytes": ingest.bytes, "unit_bytes": unit_bytes }))
}

fn record(
    store: &Continuous,
    clock: &ManualClock,
    number: usize,
    material: &Material,
    load: &Load<'_>,
) -> Result<(), Failure> {
    let start: Time = array::beginning();
    let recorder = store.recorder(&camera::name(number), camera::tracks())?;
    let mut camera = Camera::new(number, recorder, material, start, load.rate_bps);
    for part in 1..=load.seconds * 2 {
        let until = start + COMMIT * part;
        camera.record(until)?;
        clock.set(until);
        store.flush()?;
    }
    Ok(())
}
