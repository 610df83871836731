//! The node's disks: made on the first start, found again on every other.
//!
//! Whether there is a store to find is told by the *marker*, a small file in the data folder with the
//! array's identity, written once the store is made. With a marker, nothing is ever formatted: a
//! missing disk is missing. Without one, disks that already hold a store are taken over, and files or
//! devices are formatted only if they are new or blank.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pegasus_base::{ArrayId, ByteSize, Time};
use pegasus_disk::{CreateOptions, Disk, DiskError, FileDisk, OpenOptions, SECTOR};
use pegasus_gateway::{DiskList, DiskListError};
use pegasus_log::{FormatOptions, Log, LogError, Recovery};

use crate::config::Config;

const MARKER: &str = "store";
const SIZE_MIN: u64 = 256 << 20;
const SIZE_MAX: u64 = 4 << 30;
/// Sizes are rounded down to this: a whole number of the largest stripe unit asked for by default.
const SIZE_GRAIN: u64 = 1 << 20;

/// Why the store can't be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A disk can't be used.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The disks don't make a store.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The list of disks that were added can't be read.
    #[error(transparent)]
    List(#[from] DiskListError),
    /// The data folder can't be used.
    #[error("can't use {path}: {source}")]
    Folder {
        /// The folder or file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A disk holds something that is not ours.
    #[error(
        "{path} holds something that is not a Pegasus store, and the marker {marker} is missing: \
         nothing was touched. If it may be overwritten, clear its first MiB first"
    )]
    Foreign {
        /// The disk.
        path: String,
        /// Where the marker should be.
        marker: PathBuf,
    },
    /// There is no store to check.
    #[error("there is no store in {0}")]
    Absent(PathBuf),
}

/// A disk's path, and the disk if it is there.
pub type Place = (String, Option<Arc<dyn Disk>>);

/// Opens the disks that exist, none of them made or changed.
///
/// # Errors
/// If a disk is in use by another process. Other failures make it a missing disk, with a log line.
pub(crate) fn open_disks(paths: &[PathBuf]) -> Result<Vec<Place>, StoreError> {
    paths.iter().map(|path| Ok((path.display().to_string(), open_disk(path)?))).collect()
}

fn open_disk(path: &Path) -> Result<Option<Arc<dyn Disk>>, StoreError> {
    match FileDisk::open(path, OpenOptions::default()) {
        Ok(disk) => Ok(Some(Arc::new(disk))),
        Err(error @ DiskError::Locked { .. }) => Err(error.into()),
        Err(error) => {
            if path.exists() {
                tracing::error!("{error}");
            }
            Ok(None)
        }
    }
}

/// A node's store.
pub(crate) struct Opened {
    pub(crate) log: Log,
    pub(crate) recovery: Recovery,
    /// Blank disks that may take another's place.
    pub(crate) spares: Vec<Arc<dyn Disk>>,
}

/// Opens the node's store; makes it on the first start.
///
/// # Errors
/// If the disks can't be made, found or put together; see [`StoreError`].
pub(crate) fn open_store(
    config: &Config,
    data: &Path,
    now: Time,
    rng: &mut fastrand::Rng,
) -> Result<Opened, StoreError> {
    let folder = |source| StoreError::Folder { path: data.to_owned(), source };
    std::fs::create_dir_all(data).map_err(folder)?;
    let marker = data.join(MARKER);
    let paths = config.disk_paths(data);
    if !marker.exists() {
        let disks = first_disks(config, data, &paths, &marker)?;
        if let Some(disks) = disks {
            make(config, &disks, &marker, now, rng)?;
        }
    }
    let options = pegasus_log::OpenOptions { now, read_only: false };
    let Found { places, spares, problems } = find(config, data)?;
    let (log, mut recovery) = Log::open(places, &options)?;
    recovery.problems.extend(problems);
    if !marker.exists() {
        write_marker(&marker, log.status().array)?;
    }
    Ok(Opened { log, recovery, spares })
}

/// The disks of a node's store, opened, for checks while the node is stopped.
///
/// # Errors
/// If none of them is there, or one is in use by another process.
pub fn existing_disks(config: &Config, data: &Path) -> Result<Vec<Place>, StoreError> {
    let paths = config.disk_paths(data);
    if !paths.iter().any(|path| path.exists()) {
        return Err(StoreError::Absent(data.to_owned()));
    }
    Ok(find(config, data)?.places)
}

/// What there is for a store.
#[derive(Default)]
struct Found {
    places: Vec<Place>,
    /// Blank ones that may take another's place.
    spares: Vec<Arc<dyn Disk>>,
    /// Spares that are none, a sentence each.
    problems: Vec<String>,
}

/// The disks and spares that the configuration names, and those the store was given later.
fn find(config: &Config, data: &Path) -> Result<Found, StoreError> {
    let paths = config.disk_paths(data);
    let listed = DiskList::of(data).read()?;
    let mut found = Found { places: open_disks(&paths)?, ..Found::default() };
    // One that was removed is blank. If it is not yet, the store knows what to think of it.
    let is_gone = |path: &str| listed.removed.iter().any(|gone| gone.display().to_string() == path);
    found.places.retain(|(path, disk)| {
        !is_gone(path) || disk.as_ref().is_some_and(|disk| Log::is_member(&**disk))
    });
    let mut known: BTreeSet<PathBuf> = paths.into_iter().collect();
    known.extend(listed.removed.iter().filter(|path| !path.exists()).cloned());
    for path in listed.disks.into_iter().filter(|path| known.insert(path.clone())) {
        let disk = open_disk(&path)?;
        // One that is gone is missed, if the store knows of it; one that is blank was never added.
        if disk.as_ref().is_none_or(|disk| Log::is_member(&**disk)) {
            found.places.push((path.display().to_string(), disk));
        }
    }
    let spares = config.store.spares.iter().map(|path| data.join(path)).chain(listed.spares);
    for path in spares.filter(|path| known.insert(path.clone())) {
        found.spare(&path);
    }
    Ok(found)
}

impl Found {
    /// Takes in a spare. It may have become a member when the node ran last. One that is no use keeps nobody
    /// from starting.
    fn spare(&mut self, path: &Path) {
        let name = path.display().to_string();
        let disk = match open_disk(path) {
            Ok(Some(disk)) => disk,
            Ok(None) => {
                self.problems.push(format!("spare disk {name} is not there"));
                return self.places.push((name, None));
            }
            Err(error) => return self.problems.push(format!("spare disk: {error}")),
        };
        match contents(&*disk) {
            Ok(Contents::Blank) => self.spares.push(disk),
            Ok(Contents::Store) => self.places.push((name, Some(disk))),
            Ok(Contents::Other) => {
                self.problems.push(format!("spare disk {name} is not blank: it is left alone"));
            }
            Err(error) => self.problems.push(format!("spare disk: {error}")),
        }
    }
}

/// The disks to format, or `None` if they hold a store already.
fn first_disks(
    config: &Config,
    data: &Path,
    paths: &[PathBuf],
    marker: &Path,
) -> Result<Option<Vec<Arc<dyn Disk>>>, StoreError> {
    let mut disks: Vec<Arc<dyn Disk>> = Vec::new();
    let mut formatted = 0;
    let missing = paths.iter().filter(|path| !path.exists()).count();
    let size = disk_size(config, data, missing)?;
    for path in paths {
        let disk = if path.exists() {
            FileDisk::open(path, OpenOptions::default())?
        } else {
            FileDisk::create(path, size, CreateOptions::default())?
        };
        match contents(&disk)? {
            Contents::Store => formatted += 1,
            Contents::Blank => {}
            Contents::Other => {
                return Err(StoreError::Foreign { path: disk.label(), marker: marker.to_owned() });
            }
        }
        disks.push(Arc::new(disk));
    }
    Ok((formatted == 0).then_some(disks))
}

enum Contents {
    Blank,
    Store,
    Other,
}

/// What the beginning of a disk looks like.
fn contents(disk: &dyn Disk) -> Result<Contents, StoreError> {
    let first = pegasus_disk::read(disk, 0, SECTOR)?;
    Ok(if Log::is_member(disk) {
        Contents::Store
    } else if first.iter().all(|byte| *byte == 0) {
        Contents::Blank
    } else {
        Contents::Other
    })
}

fn make(
    config: &Config,
    disks: &[Arc<dyn Disk>],
    marker: &Path,
    now: Time,
    rng: &mut fastrand::Rng,
) -> Result<(), StoreError> {
    let parity = config.store.parity;
    if parity == 0 {
        tracing::warn!("the store has no parity: the loss of one disk loses recordings");
    }
    let options = FormatOptions {
        data: u8::try_from(disks.len()).unwrap_or(u8::MAX).saturating_sub(parity),
        parity,
        unit_bytes: config.store.stripe_unit.map(|unit| u32::try_from(unit.bytes()).unwrap_or(0)),
        label: String::new(),
        now,
    };
    let array = Log::format(disks, &options, rng)?;
    tracing::info!(%array, disks = disks.len(), "made a store");
    write_marker(marker, array)
}

fn write_marker(marker: &Path, array: ArrayId) -> Result<(), StoreError> {
    let failed = |source| StoreError::Folder { path: marker.to_owned(), source };
    let mut file = std::fs::File::create(marker).map_err(failed)?;
    writeln!(file, "{array}").and_then(|()| file.sync_all()).map_err(failed)
}

/// Size of each disk file to be made.
fn disk_size(config: &Config, data: &Path, files: usize) -> Result<u64, StoreError> {
    if let Some(ByteSize(size)) = config.store.disk_size {
        return Ok(size / SIZE_GRAIN * SIZE_GRAIN);
    }
    let failed =
        |e: rustix::io::Errno| StoreError::Folder { path: data.to_owned(), source: e.into() };
    let free = rustix::fs::statvfs(data).map_err(failed)?;
    let tenth = free.f_bavail.saturating_mul(free.f_frsize) / 10 / files.max(1) as u64;
    Ok(tenth.clamp(SIZE_MIN, SIZE_MAX) / SIZE_GRAIN * SIZE_GRAIN)
}
