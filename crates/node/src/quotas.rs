//! Quotas on directories of the node's files, which are named by their paths.

use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

use pegasus_files::{Files, FilesError, Ino, Limits, Quota};
use pegasus_gateway::{MountsError, QuotaLimits, QuotaReport};

use crate::files::refusal;

/// All quotas, oldest first.
pub(crate) fn list(files: &Files) -> Result<Vec<QuotaReport>, MountsError> {
    let quotas = files.quotas().map_err(refusal)?;
    let dirs: Vec<Ino> = quotas.iter().map(|quota| quota.dir).collect();
    let paths = files.paths_of(&dirs).map_err(refusal)?;
    let reports = quotas.iter().zip(paths).filter_map(|(quota, path)| Some(report(quota, &path?)));
    Ok(reports.collect())
}

/// Sets one, durably.
pub(crate) fn set(
    files: &Files,
    mount: Option<&Path>,
    path: &str,
    limits: QuotaLimits,
) -> Result<QuotaReport, MountsError> {
    let dir = find(files, mount, path)?;
    let limits = Limits { bytes: limits.bytes, files: limits.files };
    let quota = files.set_quota(dir, limits).map_err(refusal)?;
    files.sync().map_err(refusal)?;
    tracing::info!(path, bytes = limits.bytes, files = limits.files, "a quota was set");
    Ok(report(&quota, &files.path_of(dir).map_err(refusal)?))
}

/// Removes one, durably.
pub(crate) fn remove(files: &Files, mount: Option<&Path>, path: &str) -> Result<(), MountsError> {
    let dir = find(files, mount, path)?;
    files.remove_quota(dir).map_err(|error| match error {
        FilesError::NoQuota { .. } => MountsError::NoQuota(path.to_owned()),
        error => refusal(error),
    })?;
    tracing::info!(path, "a quota was removed");
    files.sync().map_err(refusal)
}

fn report(quota: &Quota, path: &[u8]) -> QuotaReport {
    let Quota { limits, used, counting, .. } = *quota;
    QuotaReport {
        path: String::from_utf8_lossy(path).into_owned(),
        limits: QuotaLimits { bytes: limits.bytes, files: limits.files },
        used_bytes: used.bytes,
        used_files: used.files,
        counting,
    }
}

/// The directory of a path that begins at the root of the files, or at where they are mounted. Symbolic links
/// are not followed.
fn find(files: &Files, mount: Option<&Path>, path: &str) -> Result<Ino, MountsError> {
    let whole = Path::new(path);
    if !whole.is_absolute() {
        let text = format!("{path}: a directory is given with all of its path");
        return Err(MountsError::Refused(text));
    }
    let below = mount.and_then(|mount| whole.strip_prefix(mount).ok()).unwrap_or(whole);
    let mut at = files.root();
    for part in below.components() {
        let name = match part {
            Component::Normal(name) => name.as_bytes(),
            Component::ParentDir => b"..",
            _ => continue,
        };
        at = match files.lookup(at, name) {
            Ok(found) => found.ino,
            Err(FilesError::NoEntry { .. } | FilesError::NoInode { .. }) => {
                return Err(MountsError::NoDirectory(path.to_owned()));
            }
            Err(error) => return Err(refusal(error)),
        };
    }
    Ok(at)
}
