//! Stores of five disks, four for data and one for parity, on simulated or real disks.

use std::sync::Arc;

use pegasus_base::{ManualClock, Time};
use pegasus_continuous::{Continuous, Retention, Settings};
use pegasus_disk::{Disk, SimDisk, SimModel};
use pegasus_log::{FormatOptions, Log, OpenOptions, Recovery};

use crate::Failure;

/// Disks of an array.
pub(crate) const DISKS: usize = 5;
/// Those of them that hold data.
pub(crate) const DATA: u8 = 4;
/// The stripe unit chosen on flash, in bytes.
pub(crate) const UNIT_BYTES: u32 = 1 << 20;
/// What a segment takes that is as wide as the array, in bytes.
pub(crate) const SEGMENT_BYTES: f64 = DATA as f64 * UNIT_BYTES as f64;
/// Two kinds of disk, for what operations would cost.
pub(crate) const FLASH: SimModel = SimModel { position_us: 100, bytes_per_s: 500_000_000 };
pub(crate) const HARD_DISK: SimModel = SimModel { position_us: 12_000, bytes_per_s: 200_000_000 };

/// When recordings begin; any instant does.
pub(crate) fn beginning() -> Time {
    Time::from_secs(1_790_000_000)
}

/// Makes an array; the stripe unit is measured unless given.
///
/// # Errors
/// If a disk fails.
pub(crate) fn format(disks: &[Arc<dyn Disk>], unit_bytes: Option<u32>) -> Result<(), Failure> {
    let options = FormatOptions {
        data: DATA,
        parity: 1,
        unit_bytes,
        label: "bench".to_owned(),
        now: beginning(),
    };
    Log::format(disks, &options, &mut fastrand::Rng::with_seed(1))?;
    Ok(())
}

/// Opens the log of an array.
///
/// # Errors
/// If it can't be opened, or something is wrong with it.
pub(crate) fn open_log(disks: &[Arc<dyn Disk>], now: Time) -> Result<(Log, Recovery), Failure> {
    let named = disks.iter().map(|disk| (disk.label(), Some(disk.clone()))).collect();
    let (log, recovery) = Log::open(named, &OpenOptions { now, read_only: false })?;
    if recovery.problems.is_empty() {
        return Ok((log, recovery));
    }
    Err(recovery.problems.join("; ").into())
}

/// Opens a store that commits only when told to; `clock` says what time it is.
///
/// # Errors
/// As [`open_log`].
pub(crate) fn open(
    disks: &[Arc<dyn Disk>],
    clock: &Arc<ManualClock>,
) -> Result<Continuous, Failure> {
    let (log, recovery) = open_log(disks, pegasus_base::Clock::now(&**clock))?;
    Ok(Continuous::open_undriven(log, recovery, settings(), clock.clone())?)
}

/// Settings under which only lack of room deletes, and a queue takes whatever is pushed at once.
pub(crate) fn settings() -> Settings {
    Settings {
        retention: Retention { keep_free_percent: 1, ..Retention::default() },
        queue_bytes_max: Some(64 << 20),
        seed: Some(1),
        ..Settings::default()
    }
}

/// The disks as the store wants them.
pub(crate) fn as_disks<D: Disk + Clone + 'static>(disks: &[D]) -> Vec<Arc<dyn Disk>> {
    disks.iter().map(|disk| Arc::new(disk.clone()) as Arc<dyn Disk>).collect()
}

/// Copies of the disks as they are; what is done to them leaves these alone.
pub(crate) fn forks(disks: &[SimDisk]) -> Vec<SimDisk> {
    disks.iter().map(SimDisk::fork).collect()
}
