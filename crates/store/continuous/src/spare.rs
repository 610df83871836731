//! Opening the disk that is to take a failed one's place.

use std::path::Path;
use std::sync::Arc;

use pegasus_disk::{CreateOptions, Disk, DiskError, FileDisk, OpenOptions, SECTOR};
use pegasus_log::{DiskIndex, Log};

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
        let cant = |why: String| Error::CantReplace { path: old.clone(), why };
        let failed = |error: DiskError| cant(error.to_string());
        let disk = if path.exists() {
            FileDisk::open(path, OpenOptions::default()).map_err(failed)?
        } else {
            let size = self.inner().log.disk_bytes(index);
            FileDisk::create(path, size, CreateOptions::default()).map_err(failed)?
        };
        let first = pegasus_disk::read(&disk, 0, SECTOR).map_err(failed)?;
        let is_blank = first.iter().all(|byte| *byte == 0) && !Log::is_member(&disk);
        if !is_blank && !overwrite {
            let why = format!(
                "{} is not blank; if it may be, say that it may be overwritten",
                path.display()
            );
            return Err(cant(why));
        }
        Ok(Arc::new(disk))
    }
}
