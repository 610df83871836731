//! What the disks can do: measured when nobody knows it yet, and anew when they are slower, so that playbacks can be promised.

use std::collections::BTreeMap;
use std::io::{Seek, SeekFrom};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use pegasus_continuous::{Continuous, Guarantee};
use pegasus_disk::{Profile, Progress};
use pegasus_gateway::{Events, Level, Measurement, Measuring, PromiseState};
use tokio_util::sync::CancellationToken;

use crate::config::Playback;
use crate::remeasure::Remeasure;
use crate::survey;

/// Where profiles are kept, in the data folder.
const FOLDER: &str = "profiles";

/// How long a period is unless the configuration says so: heads take longer to get anywhere than to read what is there.
const PERIOD: Duration = Duration::from_secs(2);
const PERIOD_WITH_HEADS: Duration = Duration::from_secs(6);
const GROUPS_A_SECOND: f64 = 2.0;

/// How often is looked whether the disks are what they seemed.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Gives promises by what the disks can do, and finds that out.
#[derive(Clone)]
pub(crate) struct Keeping {
    pub(crate) store: Continuous,
    pub(crate) config: Playback,
    pub(crate) data: PathBuf,
    pub(crate) events: Events,
    pub(crate) measuring: Measuring,
    /// Cancelled when the node stops.
    pub(crate) stop: CancellationToken,
}

impl Keeping {
    /// Gives promises until the node stops; measures disks that turn out slower than their profile says.
    pub(crate) async fn run(self) {
        if !self.config.guaranteed {
            return;
        }
        self.measuring.tell(|status| status.state = PromiseState::Measuring);
        let own = self.clone();
        if tokio::task::spawn_blocking(move || own.begin()).await.is_err() {
            return; // the panic was told by its thread
        }
        let (begun, mut remeasure) = (Instant::now(), Remeasure::default());
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = self.stop.cancelled() => return,
            }
            let Some(status) = self.store.guarantee_status() else { continue };
            if remeasure.is_due(begun.elapsed(), status.slowdown, status.playbacks.len()) {
                let own = self.clone();
                let _ = tokio::task::spawn_blocking(move || own.measure_anew()).await;
            }
        }
    }

    /// Begins to give promises; says so, or why not. Measures disks that have no profile yet: takes some seconds.
    fn begin(&self) {
        let begun = self.guarantee().and_then(|guarantee| {
            self.store.guarantee(Some(guarantee)).map_err(|error| error.to_string())
        });
        match begun {
            Ok(()) => {
                tracing::info!("playback is guaranteed from now on");
                self.measuring.tell(|status| status.state = PromiseState::Guaranteed);
            }
            Err(why) => {
                let text = format!("playback is not guaranteed: {why}");
                self.events.report(Level::Warning, "playback", text);
                self.measuring.tell(|status| {
                    (status.state, status.reason) = (PromiseState::Failed, Some(why));
                });
            }
        }
        self.measuring.tell(|status| status.measurement = None);
    }

    fn devices(&self) -> BTreeMap<u64, Vec<PathBuf>> {
        by_device(self.store.status().disks.into_iter().map(|disk| PathBuf::from(disk.path)))
    }

    fn guarantee(&self) -> Result<Guarantee, String> {
        let devices = self.devices();
        let sharing = devices.values().map(Vec::len).max().unwrap_or(1);
        let profiles = match &self.config.profile {
            Some(path) => vec![read(&self.data.join(path))?],
            None => {
                let known = |disk: &Path| known_or_measured(disk, &self.data, &mut self.told(disk));
                let each = devices.values().map(|disks| known(&disks[0]));
                each.collect::<Result<Vec<_>, _>>()?
            }
        };
        if profiles.is_empty() {
            return Err("no disk is there".to_owned());
        }
        let has_heads = profiles.iter().any(|profile| profile.rotation_ns() > 0);
        let usual = if has_heads { PERIOD_WITH_HEADS } else { PERIOD };
        let period = self.config.period.unwrap_or(usual);
        let groups = (period.as_secs_f64() * GROUPS_A_SECOND).round().clamp(1.0, 100.0) as u32;
        Ok(Guarantee {
            placed: devices.values().flatten().all(|disk| is_all_of_one(disk, &profiles)),
            period,
            groups: self.config.groups.unwrap_or(groups),
            others_percent: self.config.others_percent,
            sharing: u32::try_from(sharing).unwrap_or(u32::MAX),
            ..Guarantee::on(profiles)
        })
    }

    /// Measures all disks while they are in use, keeps what was found, and promises by that from now on. If it can't be, all is as before.
    fn measure_anew(&self) {
        let outcome = self
            .profiles_anew()
            .and_then(|profiles| self.store.adopt(&profiles).map_err(|error| error.to_string()));
        let (level, text) = match outcome {
            Ok(()) => {
                self.measuring.tell(|status| status.remeasured += 1);
                let kept = self.data.join(FOLDER);
                let from_now = "promises are given by that from now on";
                let later = match &self.config.profile {
                    Some(path) => format!("; the next start goes by {} again", path.display()),
                    None => String::new(),
                };
                let text = format!(
                    "the disks were measured anew, see {}: {from_now}{later}",
                    kept.display()
                );
                (Level::Warning, text)
            }
            Err(why) => {
                (Level::Error, format!("the disks are slower than their profile says: {why}"))
            }
        };
        self.measuring.tell(|status| status.measurement = None);
        if !self.stop.is_cancelled() {
            self.events.report(level, "playback", text);
        }
    }

    fn profiles_anew(&self) -> Result<Vec<Profile>, String> {
        let anew = |disks: &Vec<PathBuf>| {
            let disk = &disks[0];
            let profile =
                survey::measured_anew(disk, (&self.store, &self.stop), &mut self.told(disk))?;
            keep(disk, &self.data, &profile, "measured anew when it was slower than was thought");
            Ok(profile)
        };
        self.devices().values().map(anew).collect()
    }

    /// Tells how far the measurement of `disk` is.
    fn told(&self, disk: &Path) -> impl FnMut(Progress) {
        let (measuring, disk) = (self.measuring.clone(), disk.display().to_string());
        move |progress| {
            let done_percent = (progress.share * 100.0).round();
            let measurement = Measurement { disk: disk.clone(), done_percent };
            measuring.tell(|status| status.measurement = Some(measurement));
        }
    }
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
fn known_or_measured(
    disk: &Path,
    data: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<Profile, String> {
    let kept = kept(disk, data);
    if kept.exists() {
        return read(&kept);
    }
    let profile = survey::measured(disk, progress)?;
    keep(disk, data, &profile, "measured when it was not known yet");
    Ok(profile)
}

/// Where a disk's profile is kept.
fn kept(disk: &Path, data: &Path) -> PathBuf {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
    let name: String = disk.display().to_string().chars().map(plain).collect();
    data.join(FOLDER).join(format!("{}.toml", name.trim_start_matches('-')))
}

/// Keeps a disk's profile for the next start, in one step.
fn keep(disk: &Path, data: &Path, profile: &Profile, how: &str) {
    let kept = kept(disk, data);
    let text = format!("# {}, {how}\n{}", disk.display(), profile.to_toml());
    let new = kept.with_extension("new");
    let saved = std::fs::create_dir_all(data.join(FOLDER))
        .and_then(|()| std::fs::write(&new, text))
        .and_then(|()| std::fs::rename(&new, &kept));
    if let Err(error) = saved {
        tracing::warn!(path = %kept.display(), %error, "a disk's profile can't be kept: it will be measured again");
    }
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
        let measured = known_or_measured(&disk, folder.path(), &mut |_| {}).unwrap();
        let kept: Vec<PathBuf> = std::fs::read_dir(folder.path().join(FOLDER))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        assert_eq!(kept.len(), 1);
        assert_eq!(read(&kept[0]).unwrap().zones(), measured.zones());
        let other = Profile::flash(1 << 30, 77, 1_000_000_000);
        std::fs::write(&kept[0], other.to_toml()).unwrap();
        assert_eq!(known_or_measured(&disk, folder.path(), &mut |_| {}).unwrap(), other);
        std::fs::write(&kept[0], "nonsense").unwrap();
        let error = known_or_measured(&disk, folder.path(), &mut |_| {}).unwrap_err();
        assert!(error.contains("disk0.toml"), "{error}");
    }
}
