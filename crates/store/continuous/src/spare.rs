//! Opening a disk that is to take a failed one's place, or to be added.

use std::path::Path;
use std::sync::Arc;

use pegasus_disk::{CreateOptions, Disk, DiskError, FileDisk, OpenOptions, SECTOR};
use pegasus_log::{DiskIndex, Log, LogError};

use crate::error::Error;
use crate::store::Continuous;

impl Continuous {
    /// The disk the user means: by its path, or its number in the array.
    #[must_use]
    pub fn find_disk(&self, named: &str) -> Option<DiskIndex> {
        let disks = self.inner().log.status().disks;
        let found = disks.iter().find(|disk| disk.path == named);
        let number = || named.parse().ok().and_then(|number: usize| disks.get(number));
        found.or_else(number).map(|disk| disk.index)
    }

    /// Where a disk is, or was.
    #[must_use]
    pub fn disk_path(&self, index: DiskIndex) -> Option<String> {
        let disks = self.inner().log.status().disks;
        disks.into_iter().find(|disk| disk.index == index).map(|disk| disk.path)
    }

    /// Opens the device or file at `path` to take the place of disk `index`; makes a file of the right size
    /// if there is nothing. What is on it must be `overwrite`able, or zeros.
    ///
    /// # Errors
    /// If it can't be opened, or something is on it.
    pub fn open_spare(
        &self,
        index: DiskIndex,
        path: &Path,
        overwrite: bool,
    ) -> Result<Arc<dyn Disk>, Error> {
        let old = self.disk_path(index).unwrap_or_else(|| index.to_string());
        let size = self.inner().log.disk_bytes(index);
        open_blank(path, size, overwrite).map_err(|why| Error::CantReplace { path: old, why })
    }

    /// Adds the device or file at `path` to the store; makes a file of `size` bytes if there is nothing, or
    /// as large as the largest disk. What is on it must be `overwrite`able, or zeros.
    ///
    /// # Errors
    /// [`Error::CantAdd`], with nothing changed; or the store can't be written.
    pub fn add_disk(&self, path: &Path, size: Option<u64>, overwrite: bool) -> Result<(), Error> {
        let inner = self.inner();
        inner.check_failed()?;
        let size = self.size_of_new(size);
        let is_new = !path.exists();
        let added = open_blank(path, size, overwrite)
            .map_err(|why| Error::CantAdd { path: path.display().to_string(), why })
            .and_then(|disk| self.add(disk));
        if is_new && matches!(added, Err(Error::CantAdd { .. })) {
            // The next attempt may want another size.
            let _ = std::fs::remove_file(path);
        }
        added
    }

    /// Size of a file to be made: what was wanted, or as large as the largest disk.
    pub(crate) fn size_of_new(&self, wanted: Option<u64>) -> u64 {
        let log = &self.inner().log;
        let disks = log.status().disks;
        let largest = disks.into_iter().map(|disk| log.disk_bytes(disk.index)).max();
        wanted.or(largest).unwrap_or(0) / SECTOR as u64 * SECTOR as u64
    }

    /// Adds a disk, whatever is on it.
    ///
    /// # Errors
    /// [`Error::CantAdd`], with nothing changed; or the store can't be written.
    pub fn add(&self, disk: Arc<dyn Disk>) -> Result<(), Error> {
        let inner = self.inner();
        let mut rng = inner.fork_rng();
        match inner.log.add_disk(disk, inner.clock.now(), &mut rng) {
            Ok(_) => Ok(()),
            Err(LogError::CantAdd { disk: path, why }) => Err(Error::CantAdd { path, why }),
            Err(error) => Err(error.into()),
        }
    }
}

/// Opens what is at `path`, or makes a file of `size` bytes; says why it can't be used.
pub(crate) fn open_blank(path: &Path, size: u64, overwrite: bool) -> Result<Arc<dyn Disk>, String> {
    let failed = |error: DiskError| error.to_string();
    let disk = if path.exists() {
        FileDisk::open(path, OpenOptions::default()).map_err(failed)?
    } else {
        FileDisk::create(path, size, CreateOptions::default()).map_err(failed)?
    };
    let first = pegasus_disk::read(&disk, 0, SECTOR).map_err(failed)?;
    let is_blank = first.iter().all(|byte| *byte == 0) && !Log::is_member(&disk);
    if !is_blank && !overwrite {
        let path = path.display();
        return Err(format!("{path} is not blank; if it may be, say that it may be overwritten"));
    }
    Ok(Arc::new(disk))
}
