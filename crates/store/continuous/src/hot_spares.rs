//! Spare disks: blank ones that take a failed or missing one's place by themselves.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use pegasus_disk::Disk;
use pegasus_log::{DiskIndex, DiskState};
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::inner::Inner;
use crate::spare::open_blank;
use crate::store::Continuous;

/// A disk that waits for another to fail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpareStatus {
    /// Where it is.
    pub path: String,
    /// Its size in bytes.
    pub size_bytes: u64,
}

/// The spares.
#[derive(Default)]
pub(crate) struct Spares(Vec<Arc<dyn Disk>>);

impl std::fmt::Debug for Spares {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|disk| disk.label())).finish()
    }
}

impl Spares {
    pub(crate) fn push(&mut self, disk: Arc<dyn Disk>) {
        self.0.push(disk);
    }

    pub(crate) fn status(&self) -> Vec<SpareStatus> {
        let status =
            |disk: &Arc<dyn Disk>| SpareStatus { path: disk.label(), size_bytes: disk.size() };
        self.0.iter().map(status).collect()
    }

    /// The smallest that has `bytes`.
    fn take(&mut self, bytes: u64) -> Option<Arc<dyn Disk>> {
        let fitting = self.0.iter().enumerate().filter(|(_, disk)| disk.size() >= bytes);
        let at = fitting.min_by_key(|(_, disk)| disk.size()).map(|(at, _)| at)?;
        Some(self.0.remove(at))
    }

    /// Leaves out those that are gone; what is wrong with them.
    fn probe(&mut self) -> Vec<String> {
        let mut gone = Vec::new();
        self.0.retain(|disk| match disk.probe() {
            Ok(()) => true,
            Err(error) => {
                gone.push(error.to_string());
                false
            }
        });
        gone
    }
}

/// Places whose disk failed or is missing, and since when. Pure: time is told.
#[derive(Debug, Default)]
pub(crate) struct Vacancies(BTreeMap<DiskIndex, Duration>);

impl Vacancies {
    /// The place that has been vacant longest, if that is `settling` or more. A failure is often not alone, or
    /// is the beginning of a machine's end: it is not to be answered at once.
    pub(crate) fn due(
        &mut self,
        vacant: &[DiskIndex],
        now: Duration,
        settling: Duration,
    ) -> Option<DiskIndex> {
        self.0.retain(|index, _| vacant.contains(index));
        for index in vacant {
            self.0.entry(*index).or_insert(now);
        }
        let (index, since) = self.0.iter().min_by_key(|(_, since)| **since)?;
        (now.saturating_sub(*since) >= settling).then_some(*index)
    }
}

impl Continuous {
    /// Keeps the device or file at `path` as a spare; makes a file of `size` bytes if there is nothing, or as
    /// large as the largest disk. What is on it must be `overwrite`able, or zeros.
    ///
    /// # Errors
    /// [`Error::CantAdd`], with nothing changed.
    pub fn add_spare(&self, path: &Path, size: Option<u64>, overwrite: bool) -> Result<(), Error> {
        let cant = |why: String| Error::CantAdd { path: path.display().to_string(), why };
        if self.inner().log.shape().1 == 0 {
            return Err(cant("the store has no parity to rebuild a disk from".to_owned()));
        }
        let size = self.size_of_new(size);
        self.keep_spare(open_blank(path, size, overwrite).map_err(cant)?);
        Ok(())
    }

    /// Keeps a blank disk as a spare.
    pub fn keep_spare(&self, disk: Arc<dyn Disk>) {
        self.inner().care.spares.lock().push(disk);
    }
}

/// Puts a spare in the place of a disk that has been gone for a while, and has it rebuilt.
pub(crate) fn take_spare(inner: &Inner, vacancies: &mut Vacancies, now: Duration) {
    for why in inner.care.spares.lock().probe() {
        tracing::error!("a spare is no use any more: {why}");
    }
    let gone = |state| matches!(state, DiskState::Failed | DiskState::Missing);
    let status = inner.log.status();
    if status.parity == 0 || status.poisoned.is_some() {
        return;
    }
    let vacant: Vec<DiskIndex> =
        status.disks.iter().filter(|disk| gone(disk.state)).map(|disk| disk.index).collect();
    let settling = inner.settings().spare_after;
    let Some(index) = vacancies.due(&vacant, now, settling) else { return };
    let spare = inner.care.spares.lock().take(inner.log.disk_bytes(index));
    let Some(spare) = spare else { return };
    let path = spare.label();
    match inner.replace_disk(index, spare) {
        Ok(()) => {
            tracing::warn!(path, %index, "a spare takes the place of a disk that is gone");
            inner.care.ask(|state| state.rebuild_rate = None);
        }
        Err(error) => tracing::error!(path, %error, "a spare is no use"),
    }
}

#[cfg(test)]
mod tests {
    use pegasus_disk::SimDisk;

    use super::*;

    #[test]
    fn a_place_is_due_once_it_was_vacant_for_a_while() {
        let (mut vacancies, s) = (Vacancies::default(), Duration::from_secs);
        let (one, two) = (DiskIndex(1), DiskIndex(2));
        let mut due = |vacant: &[DiskIndex], now| vacancies.due(vacant, s(now), s(30));
        assert_eq!(due(&[], 0), None);
        assert_eq!(due(&[one], 1), None);
        assert_eq!(due(&[two], 20), None, "the first is back");
        assert_eq!(due(&[one, two], 30), None);
        assert_eq!(due(&[one, two], 49), None);
        assert_eq!(due(&[one, two], 50), Some(two));
        assert_eq!(due(&[one], 59), None);
        assert_eq!(due(&[one], 60), Some(one));
    }

    #[test]
    fn the_smallest_that_fits_is_taken() {
        let mut spares = Spares::default();
        for size in [4 << 20, 16 << 20, 8 << 20] {
            spares.push(Arc::new(SimDisk::new(&format!("{size}"), size)));
        }
        assert_eq!(spares.take(5 << 20).map(|disk| disk.size()), Some(8 << 20));
        assert_eq!(spares.take(5 << 20).map(|disk| disk.size()), Some(16 << 20));
        assert!(spares.take(5 << 20).is_none());
        assert_eq!(spares.status().len(), 1);
    }
}
