//! A volume without a node: mounts the files of five disk files until its input ends.
//!
//! `cargo run -p pegasus-fuse --example volume FOLDER MOUNTPOINT [BYTES]`
//!
//! A line of its input that is `snapshot NAME` or `remove NAME` makes or removes a snapshot; `.snapshots` has it then.

use std::io::BufRead;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;

use pegasus_base::{Clock, SystemClock};
use pegasus_disk::{CreateOptions, Disk, FileDisk, OpenOptions as DiskOptions};
use pegasus_files::{Files, FilesError, Settings};
use pegasus_fuse::{Mount, MountOptions};
use pegasus_log::{FormatOptions, Log, OpenOptions};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [folder, mountpoint, more @ ..] = words.as_slice() else {
        return Err("usage: volume FOLDER MOUNTPOINT [BYTES]".into());
    };
    let size_bytes = more.first().map_or(Ok(256 << 20), |bytes| bytes.parse())?;
    let log = Arc::new(open(Path::new(folder), size_bytes)?);
    let (due, dues) = mpsc::channel();
    let told = due.clone();
    let checkpoint_due = Box::new(move || {
        let _ = told.send(true); // at the end nobody listens
    });
    let clock = Arc::new(SystemClock);
    let files = Arc::new(Files::open(log.clone(), Settings::default(), clock, checkpoint_due)?);
    let options = MountOptions { allow_other: true };
    let mount = Mount::new(files.clone(), None, Path::new(mountpoint), options)?;
    let asked = files.clone();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if let Err(error) = obey(&asked, &line) {
                tracing::error!(%error, line, "that can't be done");
            }
        }
        due.send(false)
    });
    while dues.recv()? {
        log.checkpoint(SystemClock.now())?;
    }
    mount.unmount()?;
    files.close()?;
    log.checkpoint(SystemClock.now())?;
    Ok(())
}

fn obey(files: &Files, line: &str) -> Result<(), FilesError> {
    match line.split_once(' ') {
        Some(("snapshot", name)) => files.create_snapshot(name).map(|_| ())?,
        Some(("remove", name)) => files.remove_snapshot(name)?,
        _ => {}
    }
    files.sync()
}

/// The log on the folder's disks, which are made if they are not there.
fn open(folder: &Path, size_bytes: u64) -> Result<Log, Box<dyn std::error::Error>> {
    std::fs::create_dir_all(folder)?;
    let paths: Vec<_> = (0..5).map(|n| folder.join(format!("disk{n}"))).collect();
    let now = SystemClock.now();
    let fresh = !paths[0].exists();
    let disks = paths
        .iter()
        .map(|path| {
            let disk = match fresh {
                true => FileDisk::create(path, size_bytes, CreateOptions::default())?,
                false => FileDisk::open(path, DiskOptions::default())?,
            };
            Ok(Arc::new(disk) as Arc<dyn Disk>)
        })
        .collect::<Result<Vec<_>, pegasus_disk::DiskError>>()?;
    if fresh {
        let options =
            FormatOptions { data: 4, parity: 1, unit_bytes: None, label: String::new(), now };
        Log::format(&disks, &options, &mut fastrand::Rng::new())?;
    }
    let named = disks.iter().map(|disk| (disk.label(), Some(disk.clone()))).collect();
    Ok(Log::open(named, &OpenOptions { now, read_only: false })?.0)
}
