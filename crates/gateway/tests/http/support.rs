//! A node's HTTP door with a store on temporary files, and things to record and publish.

use std::net::SocketAddr;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use bytes::Bytes;
use pegasus_base::Time;
use pegasus_circuit::Source;
use pegasus_gateway::{Access, Services, http};
use pegasus_media::mp4::{Item, Mp4File};
use pegasus_media::{TrackSet, Unit};
use tokio::net::TcpListener;
use tower::ServiceExt as _;

pub(crate) use crate::common::{clip, name_of};
use crate::common::{hashes_of, services};

/// How long anything in a test may take before it counts as failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A node's HTTP door with what stands behind it.
pub(crate) struct Node {
    pub(crate) services: Services,
    pub(crate) router: Router,
    folder: tempfile::TempDir,
}

/// What a request was answered.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Node {
    pub(crate) fn open() -> Self {
        Self::open_with(Access::open())
    }

    pub(crate) fn open_with(access: Access) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let services = services(folder.path(), access, "rtsp://127.0.0.1:8554/");
        Self { router: http::router(services.clone()), services, folder }
    }

    /// Opens the door to other programs.
    pub(crate) async fn serve(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(http::serve(listener, None, self.services.clone()));
        address
    }

    pub(crate) async fn ask(&self, request: Request<Body>) -> Answer {
        let answer = self.router.clone().oneshot(request).await.expect("the router never fails");
        let (parts, body) = answer.into_parts();
        let body = tokio::time::timeout(PATIENCE, to_bytes(body, usize::MAX));
        let body = body.await.expect("the answer ends in time").expect("the answer is whole");
        Answer { status: parts.status, headers: parts.headers, body }
    }

    pub(crate) async fn get(&self, uri: &str) -> Answer {
        self.ask(Request::get(uri).body(Body::empty()).unwrap()).await
    }

    /// Overwrites everything that was recorded, on all disks.
    pub(crate) fn spoil(&self) {
        for index in 0..3 {
            let disk = std::fs::File::options()
                .write(true)
                .open(self.folder.path().join(format!("disk{index}")));
            disk.unwrap().write_all_at(&vec![0x5a; 64 << 20], 1 << 20).unwrap();
        }
    }

    /// Records `units` as one span and returns when all of it is durable.
    pub(crate) fn record(&self, name: &str, tracks: &TrackSet, units: &[Unit]) {
        let store = &self.services.store;
        let recorder = store.recorder(&name_of(name), Arc::clone(tracks)).unwrap();
        for (index, unit) in units.iter().enumerate() {
            let _ = recorder.push(Arc::new(unit.clone()));
            // Several blocks, as a recording in real time has them.
            if index % 50 == 49 {
                store.flush().unwrap();
            }
        }
        recorder.finish();
        store.flush().unwrap();
    }
}

impl Answer {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("the answer is JSON")
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the answer is text")
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The sentence of a refusal.
    pub(crate) fn error(&self) -> String {
        self.json()["error"].as_str().expect("an error is told in a sentence").to_owned()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.services.stop.cancel();
    }
}

/// All units of a clip, the first of them captured at `start`.
pub(crate) fn units(file: &Path, start: Time) -> (TrackSet, Vec<Unit>) {
    let mut mp4 = Mp4File::open(std::fs::File::open(file).unwrap()).unwrap();
    let tracks = Arc::clone(mp4.tracks());
    let mut units = Vec::new();
    while let Some(item) = mp4.next(start).unwrap() {
        if let Item::Unit(unit) = item {
            units.push(unit);
        }
    }
    (tracks, units)
}

/// Publishes the units in real time, again and again, until dropped.
pub(crate) struct Publisher(tokio::task::JoinHandle<()>);

impl Publisher {
    pub(crate) fn start(source: Source, units: Vec<Unit>) -> Self {
        Self(tokio::spawn(async move {
            let began = tokio::time::Instant::now();
            let first = units[0].time;
            for unit in units {
                tokio::time::sleep_until(began + unit.time.since(first)).await;
                source.send(unit);
            }
        }))
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Runs a program to its end, which must be a good one without complaints. Yields its output.
pub(crate) async fn run(program: &str, args: &[&str]) -> String {
    let output = tokio::process::Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(PATIENCE, output).await.expect("it ends in time");
    let output = output.unwrap_or_else(|error| panic!("{program} is installed: {error}"));
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && complaints.is_empty(), "{program} {args:?}: {complaints}");
    String::from_utf8(output.stdout).unwrap()
}

/// The checksums of all packets of `input`, by stream and in order.
pub(crate) async fn packet_hashes(input: &[&str]) -> Vec<Vec<String>> {
    let mut args = vec!["-nostdin", "-hide_banner", "-v", "error"];
    args.extend(input);
    args.extend(["-map", "0", "-c", "copy", "-f", "framehash", "-"]);
    hashes_of(&run("ffmpeg", &args).await)
}

/// The checksums of all packets of a clip, also of those that its edit list would have a player skip.
pub(crate) async fn clip_hashes(file: &str) -> Vec<Vec<String>> {
    packet_hashes(&["-ignore_editlist", "1", "-i", arg(&clip(file))]).await
}

/// Asserts that the packets are the same, stream by stream.
pub(crate) fn assert_same_packets(what: &str, shown: &[Vec<String>], original: &[Vec<String>]) {
    assert_eq!(shown.len(), original.len(), "{what}: streams");
    for (stream, (shown, original)) in shown.iter().zip(original).enumerate() {
        let differs = shown.iter().zip(original).position(|(a, b)| a != b);
        let found = (shown.len(), differs);
        assert_eq!(found, (original.len(), None), "{what}: packets, first that differs ({stream})");
    }
}

/// A path as an argument.
pub(crate) fn arg(path: &Path) -> &str {
    path.to_str().expect("test paths are text")
}
