//! What the RTSP tests share: a server in this process, ffmpeg beside it, and a client that speaks
//! RTSP by hand.

#![allow(dead_code, missing_docs, unreachable_pub)] // each test file uses its part

pub mod client;
pub mod ffmpeg;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use pegasus_base::{Clock, StreamName, SystemClock};
use pegasus_circuit::{Event, Limits, Start, Switch};
use pegasus_continuous::{Continuous, Settings};
use pegasus_disk::{CreateOptions, Disk, FileDisk};
use pegasus_gateway::rtsp;
use pegasus_gateway::sources::Sources;
use pegasus_gateway::{Access, Events, NodeInfo, Services};
use pegasus_log::{FormatOptions, Log, OpenOptions};
use pegasus_media::{TrackSet, Unit};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// How long anything in a test may take before it counts as failed.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Size of each disk of a test's store.
const DISK_BYTES: u64 = 256 << 20;

/// A node's RTSP door with what stands behind it.
pub struct Door {
    pub services: Services,
    pub address: SocketAddr,
    pub folder: tempfile::TempDir,
    server: Option<JoinHandle<()>>,
}

impl Door {
    pub async fn open() -> Self {
        Self::open_with(Access::open(), rtsp::Limits::default()).await
    }

    pub async fn open_with(access: Access, limits: rtsp::Limits) -> Self {
        Self::open_tls(access, limits, None).await
    }

    pub async fn open_tls(access: Access, limits: rtsp::Limits, tls: Option<TlsAcceptor>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let switch = Switch::new(Limits::default());
        let list = folder.path().join("sources.json");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let services = Services {
            store: open_store(folder.path(), Arc::clone(&clock)),
            sources: Sources::open(list, switch.clone(), Arc::clone(&clock)).unwrap(),
            switch,
            access,
            events: Events::new(Arc::clone(&clock)),
            node: Arc::new(NodeInfo {
                version: "test".to_owned(),
                started: clock.now(),
                http_url: "http://127.0.0.1/".to_owned(),
                rtsp_url: format!("rtsp://{address}/"),
            }),
            clock,
            stop: CancellationToken::new(),
        };
        let server = tokio::spawn(rtsp::serve_with(listener, tls, services.clone(), limits));
        Self { services, address, folder, server: Some(server) }
    }

    pub fn url(&self, name: &str) -> String {
        format!("rtsp://{}{name}", self.address)
    }

    /// Stops the door as a node does; every connection must end by itself.
    pub async fn close(mut self) {
        self.services.stop.cancel();
        let server = self.server.take().unwrap();
        tokio::time::timeout(PATIENCE, server).await.expect("the door closes").unwrap();
    }

    /// Collects what is published as `name`, from its first unit until its publisher leaves.
    pub fn collect(&self, name: &str) -> JoinHandle<Collected> {
        let mut sink = self.services.switch.subscribe(&name_of(name), Start::Held);
        tokio::spawn(async move {
            let mut collected = Collected::default();
            loop {
                match sink.next().await {
                    Event::Live(tracks) => collected.tracks.push(tracks),
                    Event::Unit(unit) => collected.units.push(unit),
                    Event::Lost(loss) => panic!("the test's sink was too slow: {loss:?}"),
                    Event::Idle | Event::Closed => return collected,
                }
            }
        })
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.services.stop.cancel();
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

/// What a publisher published.
#[derive(Default)]
pub struct Collected {
    pub tracks: Vec<TrackSet>,
    pub units: Vec<Arc<Unit>>,
}

impl Collected {
    /// The units of one track.
    pub fn track(&self, id: u8) -> Vec<&Unit> {
        self.units.iter().map(|unit| &**unit).filter(|unit| unit.track.0 == id).collect()
    }
}

pub fn name_of(name: &str) -> StreamName {
    name.parse().unwrap()
}

/// A clip of the project's test media.
pub fn clip(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/media").join(file)
}

/// Waits until `true`, or fails the test saying what was waited for.
pub async fn until(what: &str, mut is: impl FnMut() -> bool) {
    let wait = async {
        while !is() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, wait).await.is_ok(), "waited in vain until {what}");
}
