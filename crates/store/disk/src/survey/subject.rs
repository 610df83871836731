//! What can be measured on this machine: a device, a file, or the disk that a folder is on.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use rustix::fs::{Advice, fadvise, fstatvfs};

use super::SurveyError;
use super::bench::Progress;
use super::ground::Ground;
use crate::{Direct, Disk as _, DiskError, FileDisk, SECTOR};

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubjectKind {
    /// A block device.
    Device,
    /// A regular file: what it is on, as far as the file reaches.
    File,
    /// A folder: what it is on, by a scratch file.
    Folder,
}

/// Something to be measured, open for reading.
///
/// ```
/// use pegasus_disk::{Subject, SubjectKind, SurveyError};
/// let folder = tempfile::tempdir()?;
/// let subject = Subject::open(folder.path(), 16 << 20, &mut |_| {})?;
/// assert_eq!(subject.kind, SubjectKind::Folder);
/// assert_eq!(subject.ground.data_bytes(), 16 << 20);
/// assert_eq!(std::fs::read_dir(folder.path())?.count(), 0, "nobody sees the scratch file");
///
/// let error = Subject::open(folder.path().join("none"), 16 << 20, &mut |_| {}).unwrap_err();
/// assert!(matches!(error, SurveyError::Disk(_)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Subject {
    /// What is read. Writes to it fail, unless it is a scratch file.
    pub disk: FileDisk,
    /// Where there is something to read.
    pub ground: Ground,
    /// What it is.
    pub kind: SubjectKind,
}

/// A scratch file is a tenth of what is free, at most …
const FREE_PARTS: u64 = 10;
/// … and at least this long, in bytes.
const SCRATCH_BYTES_MIN: u64 = 16 << 20;
/// Bytes written at once.
const FILL_BYTES: usize = 4 << 20;

impl Subject {
    /// Opens what is at `path` for reading, beside whoever has it open. In a folder a scratch file is written, as long as
    /// `scratch_bytes` and a tenth of what is free allow, and flushed; it has no name, and is gone when it is closed, however the process ends.
    /// Progress tells how much of it is there.
    ///
    /// # Errors
    /// [`SurveyError::Denied`] if it may not be read; [`SurveyError::NoRoom`] and [`SurveyError::Scratch`] if a folder takes no scratch
    /// file; [`SurveyError::Disk`] if there is nothing, or nothing that can be measured.
    pub fn open(
        path: impl AsRef<Path>,
        scratch_bytes: u64,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Self, SurveyError> {
        let path = path.as_ref();
        let found = fs::metadata(path);
        if found.as_ref().is_ok_and(fs::Metadata::is_dir) {
            return Self::scratch(path, scratch_bytes, progress);
        }
        let disk = FileDisk::open_reading(path, Direct::Auto).map_err(|error| match error {
            DiskError::Open { disk, source, .. }
                if source.kind() == io::ErrorKind::PermissionDenied =>
            {
                SurveyError::Denied { path: disk }
            }
            other => other.into(),
        })?;
        if found.is_ok_and(|found| found.is_file()) {
            let ground = Ground::of_file(disk.file(), disk.size());
            return Ok(Self { disk, ground, kind: SubjectKind::File });
        }
        let ground = Ground::whole(disk.size());
        Ok(Self { disk, ground, kind: SubjectKind::Device })
    }

    fn scratch(
        folder: &Path,
        wanted_bytes: u64,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Self, SurveyError> {
        let label = folder.display().to_string();
        let failed = |source: io::Error| SurveyError::Scratch { folder: label.clone(), source };
        let file = tempfile::tempfile_in(folder).map_err(failed)?;
        let room = fstatvfs(&file).map_err(|e| failed(e.into()))?;
        let free_bytes = room.f_bavail.saturating_mul(room.f_frsize);
        let size_bytes = wanted_bytes.max(SCRATCH_BYTES_MIN).min(free_bytes / FREE_PARTS);
        if size_bytes < SCRATCH_BYTES_MIN {
            let needed_bytes = SCRATCH_BYTES_MIN * FREE_PARTS;
            return Err(SurveyError::NoRoom { folder: label, free_bytes, needed_bytes });
        }
        let size_bytes = size_bytes - size_bytes % SECTOR as u64;
        fill(&file, size_bytes, progress).map_err(failed)?;
        let disk = FileDisk::of_file(file, folder)?;
        Ok(Self { disk, ground: Ground::whole(size_bytes), kind: SubjectKind::Folder })
    }
}

/// Fills a new file with what no drive can compress or tell from before, down to the medium.
fn fill(mut file: &File, size_bytes: u64, progress: &mut dyn FnMut(Progress)) -> io::Result<()> {
    let mut rng = fastrand::Rng::new();
    let mut piece = vec![0; FILL_BYTES];
    let mut written = 0;
    while written < size_bytes {
        let share = written as f64 / size_bytes as f64;
        progress(Progress { what: "writing a scratch file", share });
        let len = FILL_BYTES.min(usize::try_from(size_bytes - written).unwrap_or(FILL_BYTES));
        rng.fill(&mut piece[..len]);
        file.write_all(&piece[..len])?;
        // Little by little, so that it takes as long as it says.
        file.sync_data()?;
        written += len as u64;
    }
    file.sync_all()?;
    // Where direct reads are not to be had, at least the first one comes from the medium. No harm if it can't be done.
    let _ = fadvise(file, 0, None, Advice::DontNeed);
    Ok(())
}
