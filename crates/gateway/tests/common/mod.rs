//! What the tests of all doors share: the services of a node with a store on temporary files, and the
//! project's clips.

#![allow(dead_code, missing_docs, unreachable_pub)] // each test file uses its part

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use pegasus_base::{Clock, StreamName, SystemClock};
use pegasus_circuit::{Limits, Switch};
use pegasus_continuous::{Continuous, Settings};
use pegasus_disk::{CreateOptions, Disk, FileDisk};
use pegasus_gateway::sources::Sources;
use pegasus_gateway::{Access, DiskList, Events, Intake, Measuring, NodeInfo, Services};
use pegasus_log::{FormatOptions, Log, OpenOptions};
use tokio_util::sync::CancellationToken;

/// Size of each disk of a test's store.
const DISK_BYTES: u64 = 256 << 20;

/// What stands behind a node's doors, in `folder`.
pub fn services(folder: &Path, access: Access, rtsp_url: &str) -> Services {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let switch = Switch::new(Limits::default());
    let list = folder.join("sources.json");
    let store = open_store(folder, Arc::clone(&clock));
    let intake = Intake::new(store.clone(), |_| true);
    Services {
        store,
        disks: Arc::new(DiskList::of(folder)),
        sources: Sources::open(list, switch.clone(), Arc::clone(&clock), intake.clone()).unwrap(),
        switch,
        intake,
        measuring: Measuring::default(),
        mounts: None,
        access,
        events: Events::new(Arc::clone(&clock)),
        node: Arc::new(NodeInfo {
            version: "1.2.3".to_owned(),
            started: clock.now(),
            http_url: "http://127.0.0.1:7070/".to_owned(),
            rtsp_url: rtsp_url.to_owned(),
        }),
        clock,
        stop: CancellationToken::new(),
    }
}

/// A store of three disks in the folder.
fn open_store(folder: &Path, clock: Arc<dyn Clock>) -> Continuous {
    let now = clock.now();
    let disk = |index: usize| -> (String, Option<Arc<dyn Disk>>) {
        let path = folder.join(format!("disk{index}"));
        let options = CreateOptions { sparse: true, ..CreateOptions::default() };
        let disk = FileDisk::create(&path, DISK_BYTES, options).unwrap();
        (path.display().to_string(), Some(Arc::new(disk)))
    };
    let disks: Vec<_> = (0..3).map(disk).collect();
    let options =
        FormatOptions { data: 2, parity: 1, unit_bytes: Some(1 << 20), label: String::new(), now };
    let array: Vec<Arc<dyn Disk>> = disks.iter().filter_map(|(_, disk)| disk.clone()).collect();
    Log::format(&array, &options, &mut fastrand::Rng::with_seed(1)).unwrap();
    let (log, recovery) = Log::open(disks, &OpenOptions { now, read_only: false }).unwrap();
    let settings = Settings { durable_within: Duration::from_millis(200), ..Settings::default() };
    Continuous::open(log, recovery, settings, clock).unwrap()
}

pub fn name_of(name: &str) -> StreamName {
    name.parse().unwrap()
}

/// A clip of the project's test media.
pub fn clip(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/media").join(file)
}

/// The checksums of packets in ffmpeg's `framehash` format, by stream and in order.
pub fn hashes_of(framehash: &str) -> Vec<Vec<String>> {
    let mut hashes: Vec<Vec<String>> = Vec::new();
    for line in framehash.lines().filter(|line| !line.starts_with('#')) {
        // stream, dts, pts, duration, size, hash; behind it side data, if there are any
        let fields: Vec<&str> = line.split(',').map(str::trim).collect();
        let stream: usize = fields[0].parse().unwrap();
        hashes.resize_with(hashes.len().max(stream + 1), Vec::new);
        hashes[stream].push(fields[5].to_owned());
    }
    hashes
}
