//! What the disks can do: measured when nobody knows it yet, so that playbacks can be promised.

use std::collections::BTreeMap;
use std::io::{Seek, SeekFrom};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use pegasus_continuous::Continuous;
use pegasus_disk::{Profile, Subject, SurveyOptions, survey};
use pegasus_gateway::{Events, Level};

use crate::config::Playback;

/// Where profiles are kept, in the data folder.
const FOLDER: &str = "profiles";
/// How long a device is measured, and in how long a scratch file where disks are files.
const MEASURE: Duration = Duration::from_secs(2);
const SCRATCH_BYTES: u64 = 64 << 20;

/// How long a period is unless the configuration says so: heads take longer to get anywhere than to read what is there.
const PERIOD: Duration = Duration::from_secs(2);
const PERIOD_WITH_HEADS: Duration = Duration::from_secs(6);
const GROUPS_A_SECOND: f64 = 2.0;

/// Begins to give promises; says so, or why not. Measures disks that have no profile yet: takes some seconds.
pub(crate) fn begin(store: &Continuous, config: &Playback, data: &Path, events: &Events) {
    if !config.guaranteed {
        return;
    }
    match guarantee(store, config, data) {
        Ok(guarantee) => match store.guarantee(Some(guarantee)) {
            Ok(()) => tracing::info!("playback is guaranteed from now on"),
            Err(error) => events.report(Level::Warning, "playback", error.to_string()),
        },
        Err(why) => {
            let text = format!("playback is not guaranteed: {why}");
            events.report(Level::Warning, "playback", text);
        }
    }
}

fn guarantee(
    store: &Continuous,
    config: &Playback,
    data: &Path,
) -> Result<pegasus_continuous::Guarantee, String> {
    let paths = store.status().disks.into_iter().map(|disk| PathBuf::from(disk.path));
    let devices = by_device(paths);
    let sharing = devices.values().map(Vec::len).max().unwrap_or(1);
    let profiles = match &config.profile {
        Some(path) => vec![read(&data.join(path))?],
        None => {
            let each = devices.values().map(|disks| known_or_measured(&disks[0], data));
            each.collect::<Result<Vec<_>, _>>()?
        }
    };
    if profiles.is_empty() {
        return Err("no disk is there".to_owned());
    }
    let has_heads = profiles.iter().any(|profile| profile.rotation_ns() > 0);
    let period = config.period.unwrap_or(if has_heads { PERIOD_WITH_HEADS } else { PERIOD });
    let groups = (period.as_secs_f64() * GROUPS_A_SECOND).round().clamp(1.0, 100.0) as u32;
    let placed = devices.values().flatten().all(|disk| is_all_of_one(disk, &profiles));
    Ok(pegasus_continuous::Guarantee {
        placed,
        period,
        groups: config.groups.unwrap_or(groups),
        others_percent: config.others_percent,
        sharing: u32::try_from(sharing).unwrap_or(u32::MAX),
        ..pegasus_continuous::Guarantee::on(profiles)
    })
}

/// The disks that are there, by the device they are or are on: files of one file system share its time.
fn by_device(paths: impl Iterator<Item = PathBuf>) -> BTreeMap<u64, Vec<PathBuf>> {
    let mut devices: BTreeMap<u64, Vec<PathBuf>> = BTreeMap::new();
    for path in paths {
        let Ok(found) = std::fs::metadata(&path) else { continue };
        let is_device = found.file_type().is_block_device();
        let device = if is_device { found.rdev() } else { found.dev() };
        devices.entry(device).or_default().push(path);
    }
    devices
}

/// Whether one of the profiles is that of the disk itself, as long as it is, and not of a file system that it is a file on: then it is known
/// where on it a recording lies.
fn is_all_of_one(disk: &Path, profiles: &[Profile]) -> bool {
    let len = std::fs::File::open(disk).and_then(|mut file| file.seek(SeekFrom::End(0)));
    len.is_ok_and(|len| {
        let near = |profile: &Profile| profile.capacity_bytes().abs_diff(len) <= len / 100;
        profiles.iter().any(near)
    })
}

fn read(path: &Path) -> Result<Profile, String> {
    let shown = path.display();
    let text =
        std::fs::read_to_string(path).map_err(|error| format!("can't read {shown}: {error}"))?;
    text.parse().map_err(|error| format!("{shown}: {error}"))
}

/// The profile of what `disk` is, or is on.
fn known_or_measured(disk: &Path, data: &Path) -> Result<Profile, String> {
    let name: String = disk
        .display()
        .to_string()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' })
        .collect();
    let kept = data.join(FOLDER).join(format!("{}.toml", name.trim_start_matches('-')));
    if kept.exists() {
        return read(&kept);
    }
    let profile = measured(disk)?;
    let heading = format!("# {}, measured when it was not known yet", disk.display());
    let text = format!("{heading}\n{}", profile.to_toml());
    let folder = data.join(FOLDER);
    let saved = std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(&kept, text));
    if let Err(error) = saved {
        tracing::warn!(path = %kept.display(), %error, "a disk's profile can't be kept: it will be measured again");
    }
    Ok(profile)
}

fn measured(disk: &Path) -> Result<Profile, String> {
    let is_device = std::fs::metadata(disk).is_ok_and(|found| found.file_type().is_block_device());
    // A new disk file was never written: reading it says nothing of the medium.
    let subject = if is_device { disk } else { disk.parent().unwrap_or(Path::new(".")) };
    let options = SurveyOptions { time: MEASURE, ..SurveyOptions::default() };
    let failed =
        |error: pegasus_disk::SurveyError| format!("can't measure {}: {error}", subject.display());
    let opened = Subject::open(subject, SCRATCH_BYTES, &mut |_| {}).map_err(failed)?;
    let found = survey(&opened.disk, &opened.ground, &options, &mut |_| {}).map_err(failed)?;
    tracing::info!(disk = %subject.display(), reads = found.reads, "a disk's profile was measured");
    Ok(found.profile)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_one_file_system_share_it() {
        let folder = tempfile::tempdir().unwrap();
        let paths: Vec<PathBuf> = (0..3).map(|i| folder.path().join(format!("disk{i}"))).collect();
        paths[..2].iter().for_each(|path| std::fs::write(path, "x").unwrap());
        let devices = by_device(paths.into_iter());
        assert_eq!(devices.values().map(Vec::len).collect::<Vec<_>>(), [2], "one is missing");
    }

    #[test]
    fn a_profile_as_long_as_the_disk_is_that_of_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let disk = folder.path().join("disk");
        std::fs::write(&disk, vec![0; 1 << 20]).unwrap();
        let profile = |bytes| Profile::flash(bytes, 100, 1_000_000_000);
        assert!(is_all_of_one(&disk, &[profile(1 << 30), profile(1 << 20)]));
        assert!(!is_all_of_one(&disk, &[profile(1 << 30)]));
        assert!(!is_all_of_one(&folder.path().join("other"), &[profile(1 << 20)]));
    }

    #[test]
    fn what_was_measured_is_kept_and_what_is_kept_is_believed() {
        let folder = tempfile::tempdir().unwrap();
        let disk = folder.path().join("disk0");
        std::fs::write(&disk, "x").unwrap();
        let measured = known_or_measured(&disk, folder.path()).unwrap();
        let kept: Vec<PathBuf> = std::fs::read_dir(folder.path().join(FOLDER))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        assert_eq!(kept.len(), 1);
        assert_eq!(read(&kept[0]).unwrap().zones(), measured.zones());
        let other = Profile::flash(1 << 30, 77, 1_000_000_000);
        std::fs::write(&kept[0], other.to_toml()).unwrap();
        assert_eq!(known_or_measured(&disk, folder.path()).unwrap(), other);
        std::fs::write(&kept[0], "nonsense").unwrap();
        let error = known_or_measured(&disk, folder.path()).unwrap_err();
        assert!(error.contains("disk0.toml"), "{error}");
    }
}
