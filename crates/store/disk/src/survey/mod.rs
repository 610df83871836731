//! What a disk can do, found out by reading it: the samples, and the [`Profile`] they come to.
//!
//! Nothing is written to the disk and nothing is locked, so that one in use can be measured too, though it is slower then. Times
//! are the disk's own ([`crate::DiskStats`]): a simulated disk is measured in no time, and has to come out as its profile says.
//!
//! Four things are looked at, one after the other, each within its part of the time:
//!
//! 1. How fast long reads are at many places (`rates`); where that changes, one zone ends and another begins (`zones`).
//! 2. How long a short read takes after a move over a known distance (`moves`); the least of it is the seek, what it varies by is the
//!    turn (`heads`).
//! 3. How many short reads at once the disk does in a second, and
//! 4. how long reads of several lengths take (`load`).
//!
//! Sampling and reckoning are apart: `zones` and `heads` are functions of samples. Places are visited in an order that jumps, so that a
//! disk that becomes slower with time is not taken for one with zones.
//!
//! ```
//! use pegasus_disk::{Ground, Profile, SimDisk, SurveyOptions, survey};
//! let disk = SimDisk::new("flash", 1 << 30).with_profile(Profile::flash(1 << 30, 100, 4_000_000_000), 1);
//! let found = survey(&disk, &Ground::whole(1 << 30), &SurveyOptions::default(), &mut |_| {})?;
//! assert_eq!(found.profile.zones().len(), 1);
//! assert_eq!(found.profile.rotation_ns(), 0);
//! # Ok::<(), pegasus_disk::SurveyError>(())
//! ```

mod bench;
mod ground;
mod heads;
mod load;
mod moves;
mod rates;
mod subject;
mod zones;

use std::time::Duration;

pub use self::bench::Progress;
pub use self::ground::Ground;
pub use self::moves::Move;
pub use self::rates::Rate;
pub use self::subject::{Subject, SubjectKind};

use self::bench::Bench;
use crate::{Disk, DiskError, Profile, Seek};

/// How to measure.
#[derive(Clone, Copy, Debug)]
pub struct SurveyOptions {
    /// How long the disk may be kept busy, about; 30 s by default. Too little time costs accuracy: a certain number of
    /// samples is always taken. A disk that is quick enough is done earlier.
    pub time: Duration,
    /// Decides which places are read; 0 by default.
    pub seed: u64,
}

impl SurveyOptions {
    /// About five seconds: enough for rates and the turn, coarse as to zones and seeks.
    #[must_use]
    pub fn quick() -> Self {
        Self { time: Duration::from_secs(5), ..Self::default() }
    }
}

impl Default for SurveyOptions {
    fn default() -> Self {
        Self { time: Duration::from_secs(30), seed: 0 }
    }
}

/// What was found out.
#[derive(Clone, Debug)]
pub struct Survey {
    /// What it comes to.
    pub profile: Profile,
    /// How fast long reads were, by offset.
    pub rates: Vec<Rate>,
    /// How long it took to begin, after which moves; in the order they were made.
    pub moves: Vec<Move>,
    /// Reads that were made to measure.
    pub reads: u64,
    /// Reads that failed. They count for nothing.
    pub failed_reads: u64,
    /// Reads that found zeros where they began.
    pub blank_reads: u64,
}

/// Why there is no profile.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SurveyError {
    /// There is too little to read.
    #[error(
        "{disk} has {size_bytes} bytes; at least {needed_bytes} are needed to measure anything"
    )]
    TooSmall {
        /// The disk's label.
        disk: String,
        /// Its size in bytes.
        size_bytes: u64,
        /// What would do, in bytes.
        needed_bytes: u64,
    },

    /// There would be enough to read, had it been written.
    #[error(
        "{disk} is sparse: of its {size_bytes} bytes only {data_bytes} were ever written in pieces long enough to measure, \
         and the rest is answered without the medium; measure the folder it is in, or the device"
    )]
    Sparse {
        /// The disk's label.
        disk: String,
        /// Its size in bytes.
        size_bytes: u64,
        /// What is there in long enough pieces, in bytes.
        data_bytes: u64,
    },

    /// A folder has no room for a scratch file.
    #[error(
        "{folder} has room for {free_bytes} bytes; {needed_bytes} must be free, since a scratch file takes a tenth of it at most"
    )]
    NoRoom {
        /// The folder.
        folder: String,
        /// What is free there, in bytes.
        free_bytes: u64,
        /// What would do, in bytes.
        needed_bytes: u64,
    },

    /// A folder takes no scratch file.
    #[error("no scratch file can be written in {folder}: {source}")]
    Scratch {
        /// The folder.
        folder: String,
        /// What the system said.
        source: std::io::Error,
    },

    /// It may not be read.
    #[error(
        "{path} may not be read: a device takes root or the group it belongs to, and a container must be given it"
    )]
    Denied {
        /// What was to be measured.
        path: String,
    },

    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// Least data, in bytes, that anything is measured on.
const DATA_BYTES_MIN: u64 = 4 << 20;
/// A disk is divided into this many cylinders at most: it does not show the true ones.
const CYLINDERS_MAX: u64 = 4_096;
/// … of at least this many bytes on average.
const CYLINDER_BYTES_MIN: u64 = 1 << 20;

/// Measures `disk` where there is data, `ground`, by reading alone; tells `progress` how far it is.
///
/// Whoever else uses the disk meanwhile is slowed down, and slows it down: what is measured then is what is left.
///
/// # Errors
/// [`SurveyError::TooSmall`] and [`SurveyError::Sparse`] if there is too little data, and as the disk's: if it is dead, or
/// too many of its reads fail.
pub fn survey(
    disk: &dyn Disk,
    ground: &Ground,
    options: &SurveyOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<Survey, SurveyError> {
    let (size_bytes, label) = (disk.size(), disk.label());
    let ground = ground.of_pieces(rates::PLACE_BYTES_MIN);
    if size_bytes < DATA_BYTES_MIN {
        let needed_bytes = DATA_BYTES_MIN;
        return Err(SurveyError::TooSmall { disk: label, size_bytes, needed_bytes });
    }
    if ground.data_bytes() < DATA_BYTES_MIN {
        let data_bytes = ground.data_bytes();
        return Err(SurveyError::Sparse { disk: label, size_bytes, data_bytes });
    }
    let mut bench = Bench::new(disk, options, progress);
    let rates = rates::sample(&mut bench, &ground)?;
    let map = map(&rates, size_bytes);
    let moves = moves::sample(&mut bench, &ground, &map)?;
    let mut profile = with_heads(&map, &heads::find(&moves));
    profile.queue = load::by_depth(&mut bench, &ground)?;
    profile.service = load::by_length(&mut bench, &ground)?;
    let (reads, failed_reads, blank_reads) = bench.end();
    Ok(Survey { profile, rates, moves, reads, failed_reads, blank_reads })
}

/// Zones as they were found, and cylinders by which moves can be told; nothing of the heads.
fn map(rates: &[Rate], size_bytes: u64) -> Profile {
    let cylinders = (size_bytes / CYLINDER_BYTES_MIN).clamp(1, CYLINDERS_MAX) as u32;
    let zones = zones::find(rates, size_bytes, cylinders);
    let still = Seek::new(&[(0, 0.0)]).expect("no distance takes no time");
    Profile::new(size_bytes, 0.0, still, zones).expect("zones that were found hold something")
}

/// The same zones, with what was found of the heads.
fn with_heads(map: &Profile, heads: &heads::Heads) -> Profile {
    let seek = Seek::new(&heads.seek).expect("what was found is rising and bounded");
    let (size_bytes, zones) = (map.capacity_bytes(), map.zones().to_vec());
    let disk = Profile::new(size_bytes, heads.rotation_ms, seek, zones);
    let disk = disk.expect("zones were good before, and turns are bounded");
    disk.with_overhead(heads.overhead_ms).expect("what was found is bounded")
}
