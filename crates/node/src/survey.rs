//! Measuring disks: for the first time, and anew while they are in use.

use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::time::Duration;

use pegasus_continuous::Continuous;
use pegasus_disk::{
    Disk, DiskError, DiskStats, FileDisk, Profile, Progress, Request, Subject, SurveyError,
    SurveyOptions, Ticket, survey,
};
use tokio_util::sync::CancellationToken;

/// How long a device is measured, and in how long a scratch file where disks are files.
const MEASURE: Duration = Duration::from_secs(2);
const SCRATCH_BYTES: u64 = 64 << 20;

/// Measures what `disk` is, or is on, before it is used; tells `progress` how far it is.
pub(crate) fn measured(disk: &Path, progress: &mut dyn FnMut(Progress)) -> Result<Profile, String> {
    // A new disk file was never written: reading it says nothing of the medium.
    let subject = match is_medium(disk) {
        true => disk,
        false => disk.parent().unwrap_or(Path::new(".")),
    };
    run(subject, None, progress).map_err(|error| failed(subject, &error))
}

/// As [`measured`], of a disk that is in use by `store`: by what is written on it, and so that no playback is late for it. Given up when the node
/// stops.
pub(crate) fn measured_anew(
    disk: &Path,
    (store, stop): (&Continuous, &CancellationToken),
    progress: &mut dyn FnMut(Progress),
) -> Result<Profile, String> {
    match run(disk, Some((store, stop)), progress) {
        Err(SurveyError::Sparse { .. }) => measured(disk, progress),
        outcome => outcome.map_err(|error| failed(disk, &error)),
    }
}

fn run(
    subject: &Path,
    user: Option<(&Continuous, &CancellationToken)>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Profile, SurveyError> {
    let options = SurveyOptions { time: MEASURE, ..SurveyOptions::default() };
    let opened = Subject::open(subject, SCRATCH_BYTES, &mut |_| {})?;
    let polite = user.map(|(store, stop)| Polite { disk: &opened.disk, store, stop });
    let disk: &dyn Disk = match &polite {
        Some(polite) => polite,
        None => &opened.disk,
    };
    let found = survey(disk, &opened.ground, &options, progress)?;
    tracing::info!(disk = %subject.display(), reads = found.reads, "a disk's profile was measured");
    Ok(found.profile)
}

fn failed(subject: &Path, error: &SurveyError) -> String {
    format!("can't measure {}: {error}", subject.display())
}

/// Whether it can be measured itself, written or not: a device, or a file that something is mounted on.
fn is_medium(disk: &Path) -> bool {
    let Ok(found) = std::fs::metadata(disk) else { return false };
    let folder = disk.parent().and_then(|folder| std::fs::metadata(folder).ok());
    found.file_type().is_block_device() || folder.is_some_and(|folder| folder.dev() != found.dev())
}

/// A disk whose reads make way for those that are promised. What they wait is not what the disk takes.
struct Polite<'a> {
    disk: &'a FileDisk,
    store: &'a Continuous,
    stop: &'a CancellationToken,
}

impl Disk for Polite<'_> {
    fn label(&self) -> String {
        self.disk.label()
    }

    fn size(&self) -> u64 {
        self.disk.size()
    }

    fn submit(&self, request: Request) -> Ticket {
        let (_, _, len) = request.span();
        self.store.make_way(len);
        if self.stop.is_cancelled() {
            let (disk, why) = (self.label(), "the node is stopping".to_owned());
            return Ticket::ready(Err(DiskError::Dead { disk, why }));
        }
        self.disk.submit(request)
    }

    fn stats(&self) -> DiskStats {
        self.disk.stats()
    }

    fn probe(&self) -> Result<(), DiskError> {
        self.disk.probe()
    }
}
