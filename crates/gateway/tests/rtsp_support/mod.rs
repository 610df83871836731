//! What the RTSP tests share: a server in this process, ffmpeg beside it, and a client that speaks
//! RTSP by hand.

#![allow(dead_code, missing_docs, unreachable_pub)] // each test file uses its part

pub mod client;
#[path = "../common/mod.rs"]
mod common;
pub mod ffmpeg;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pegasus_circuit::{Event, Start};
use pegasus_gateway::{Access, Services, rtsp};
use pegasus_media::{TrackSet, Unit};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

pub use common::{clip, name_of};

/// How long anything in a test may take before it counts as failed.
pub const PATIENCE: Duration = Duration::from_secs(30);

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
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let services = common::services(folder.path(), access, &format!("rtsp://{address}/"));
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

/// Waits until `true`, or fails the test saying what was waited for.
pub async fn until(what: &str, mut is: impl FnMut() -> bool) {
    let wait = async {
        while !is() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, wait).await.is_ok(), "waited in vain until {what}");
}
