//! Listing a long recording, which is what planning an export takes, against reading it.
//!
//! A single stream is recorded onto real disk files, half a second a commit, as the node does; the store
//! is opened anew before each measurement.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pegasus_base::{ManualClock, TimeRange};
use pegasus_continuous::{Continuous, Item, ReadOptions};
use pegasus_disk::{CreateOptions, Disk, FileDisk};
use pegasus_media::UnitMeta;
use pegasus_media::mp4::Planner;
use serde_json::{Value, json};

use crate::Failure;
use crate::array::{self, DISKS};
use crate::camera::{self, Camera, Material};
use crate::figures::round;

/// Media time of a commit.
const COMMIT: Duration = Duration::from_millis(500);

/// What is recorded, and where.
pub(crate) struct Load<'a> {
    /// Folder for the disk files.
    pub(crate) dir: &'a Path,
    pub(crate) hours: f64,
    pub(crate) rate_bps: f64,
    /// Leave the disk files there.
    pub(crate) keep: bool,
}

/// Records, lists and reads.
///
/// # Errors
/// If the files can't be made, or a disk fails.
pub(crate) fn run(load: &Load<'_>) -> Result<Value, Failure> {
    let paths: Vec<_> = (0..DISKS).map(|i| load.dir.join(format!("disk{i}"))).collect();
    let bytes = load.rate_bps / 8.0 * load.hours * 3_600.0;
    let disk_bytes = ((bytes * 1.2 / f64::from(array::DATA)) as u64).next_multiple_of(1 << 20);
    let disk_bytes = disk_bytes + (64 << 20);
    let disks: Vec<Arc<FileDisk>> = paths
        .iter()
        .map(|path| FileDisk::create(path, disk_bytes, CreateOptions::default()).map(Arc::new))
        .collect::<Result<_, _>>()?;
    let shared: Vec<Arc<dyn Disk>> = disks.iter().map(|d| d.clone() as Arc<dyn Disk>).collect();
    array::format(&shared, Some(array::UNIT_BYTES))?;
    let clock = Arc::new(ManualClock::at(array::beginning()));
    record(load, &array::open(&shared, &clock)?, &clock)?;

    let read_bytes = || disks.iter().map(|disk| disk.stats().read_bytes).sum::<u64>();
    let mut figures = json!({ "hours": load.hours, "direct": disks.iter().all(|d| d.is_direct()) });
    for (way, plan) in [("list", list as Plan), ("read", read as Plan)] {
        let store = array::open(&shared, &clock)?;
        let (before, started) = (read_bytes(), Instant::now());
        let planner = plan(&store)?;
        let listed = started.elapsed();
        let units = planner.len();
        let plan = planner.finish()?;
        figures["units"] = units.into();
        figures["head_bytes"] = plan.head().len().into();
        figures["media_bytes"] = (plan.total_len() - plan.head().len() as u64).into();
        figures[way] = json!({
            "seconds": round(listed.as_secs_f64(), 3),
            "with_tables_seconds": round(started.elapsed().as_secs_f64(), 3),
            "read_bytes": read_bytes() - before,
        });
    }
    if !load.keep {
        paths.iter().try_for_each(std::fs::remove_file)?;
    }
    Ok(figures)
}

/// A way to plan the whole recording.
type Plan = fn(&Continuous) -> Result<Planner, Failure>;

fn list(store: &Continuous) -> Result<Planner, Failure> {
    let mut listing = store.list(&camera::name(0), TimeRange::ALL)?;
    let mut planner = Planner::new();
    while let Some(item) = listing.next()? {
        match item {
            Item::Tracks(tracks) => planner.set_tracks(&tracks),
            Item::Unit(unit) => planner.push(&unit.meta)?,
            Item::Gap { .. } | Item::Waiting => {}
        }
    }
    Ok(planner)
}

fn read(store: &Continuous) -> Result<Planner, Failure> {
    let options = ReadOptions { until: None, follow: None };
    let mut reader = store.read(&camera::name(0), array::beginning(), options)?;
    let mut planner = Planner::new();
    while let Some(item) = reader.next()? {
        match item {
            Item::Tracks(tracks) => planner.set_tracks(&tracks),
            Item::Unit(unit) => planner.push(&UnitMeta::from(&unit))?,
            Item::Gap { .. } | Item::Waiting => {}
        }
    }
    Ok(planner)
}

fn record(load: &Load<'_>, store: &Continuous, clock: &ManualClock) -> Result<(), Failure> {
    let material = Material::noise(Camera::material_bytes(load.rate_bps));
    let recorder = store.recorder(&camera::name(0), camera::tracks())?;
    let start = array::beginning();
    let mut camera = Camera::new(0, recorder, &material, start, load.rate_bps);
    let commits = (load.hours * 3_600.0 / COMMIT.as_secs_f64()) as u64;
    let mut now = start;
    for _ in 0..commits {
        now += COMMIT;
        clock.set(now);
        camera.record(now)?;
        store.flush()?;
    }
    Ok(())
}
