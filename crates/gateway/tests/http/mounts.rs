//! Mounting, as programs ask for it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use pegasus_base::Time;
use pegasus_gateway::{
    FilesReport, Mounts, MountsError, QuotaLimits, QuotaReport, SnapshotReport, http,
};
use serde_json::{Value, json};

use crate::support::Node;

const LOCAL: Option<&str> = Some("127.0.0.1:5000");

/// Remembers what it was asked to mount.
#[derive(Default)]
struct Asked(Mutex<Vec<PathBuf>>, Mutex<Vec<SnapshotReport>>, Mutex<Vec<QuotaReport>>);

impl Mounts for Asked {
    fn mount(&self, path: &Path) -> Result<(), MountsError> {
        if path.is_relative() {
            return Err(MountsError::Refused("not all of its path".to_owned()));
        }
        self.0.lock().unwrap().push(path.to_owned());
        Ok(())
    }

    fn unmount(&self, path: &Path) -> Result<(), MountsError> {
        Err(MountsError::NotMounted(path.to_owned()))
    }

    fn status(&self) -> FilesReport {
        let mounts = self.0.lock().unwrap().clone();
        FilesReport { mounts, free_bytes: Some(7), ..FilesReport::default() }
    }

    fn snapshots(&self) -> Result<Vec<SnapshotReport>, MountsError> {
        Ok(self.1.lock().unwrap().clone())
    }

    fn create_snapshot(&self, name: &str) -> Result<SnapshotReport, MountsError> {
        if self.1.lock().unwrap().iter().any(|made| made.name == name) {
            return Err(MountsError::Refused("it is there".to_owned()));
        }
        let made = SnapshotReport { name: name.to_owned(), made: Time::from_secs(1_700_000_000) };
        self.1.lock().unwrap().push(made.clone());
        Ok(made)
    }

    fn remove_snapshot(&self, name: &str) -> Result<(), MountsError> {
        let mut all = self.1.lock().unwrap();
        let at = all.iter().position(|made| made.name == name);
        all.remove(at.ok_or_else(|| MountsError::NoSnapshot(name.to_owned()))?);
        Ok(())
    }

    fn quotas(&self) -> Result<Vec<QuotaReport>, MountsError> {
        Ok(self.2.lock().unwrap().clone())
    }

    fn set_quota(&self, path: &str, limits: QuotaLimits) -> Result<QuotaReport, MountsError> {
        if path == "/nowhere" {
            return Err(MountsError::NoDirectory(path.to_owned()));
        }
        let path = path.to_owned();
        let set = QuotaReport { path, limits, used_bytes: 512, used_files: 2, counting: false };
        self.2.lock().unwrap().push(set.clone());
        Ok(set)
    }

    fn remove_quota(&self, path: &str) -> Result<(), MountsError> {
        let mut all = self.2.lock().unwrap();
        let at = all.iter().position(|quota| quota.path == path);
        all.remove(at.ok_or_else(|| MountsError::NoQuota(path.to_owned()))?);
        Ok(())
    }
}

async fn mount(node: &Node, path: &str, peer: Option<&str>) -> u16 {
    let request = Request::post("/api/v1/mounts").header("content-type", "application/json");
    ask(node, request.body(json!({ "path": path }).to_string().into()).unwrap(), peer).await
}

async fn unmount(node: &Node, path: &str, peer: Option<&str>) -> u16 {
    let request = Request::delete(format!("/api/v1/mounts?path={path}"));
    ask(node, request.body(Body::empty()).unwrap(), peer).await
}

async fn ask(node: &Node, mut request: Request<Body>, peer: Option<&str>) -> u16 {
    if let Some(peer) = peer {
        let peer: SocketAddr = peer.parse().unwrap();
        request.extensions_mut().insert(ConnectInfo(peer));
    }
    node.ask(request).await.status.as_u16()
}

#[tokio::test]
async fn files_are_mounted_for_programs_on_this_machine_only() {
    let mut node = Node::open();
    assert_eq!(mount(&node, "/mnt/pegasus", LOCAL).await, 404, "nothing mounts here");
    assert_eq!(node.get("/api/v1/mounts").await.json(), json!([]));

    let asked = Arc::new(Asked::default());
    node.services.mounts = Some(asked.clone());
    node.router = http::router(node.services.clone());
    for stranger in [Some("192.0.2.1:5000"), Some("[2001:db8::1]:5000"), None] {
        assert_eq!(mount(&node, "/mnt/pegasus", stranger).await, 403, "{stranger:?}");
        assert_eq!(unmount(&node, "/mnt/pegasus", stranger).await, 403, "{stranger:?}");
    }
    assert!(asked.0.lock().unwrap().is_empty());
    assert_eq!(mount(&node, "/mnt/pegasus", LOCAL).await, 201);
    assert_eq!(mount(&node, "/a", Some("[::ffff:127.0.0.1]:9")).await, 201);
    assert_eq!(mount(&node, "here", LOCAL).await, 409);
    assert_eq!(unmount(&node, "/elsewhere", LOCAL).await, 404);

    let listed = node.get("/api/v1/mounts").await.json();
    assert_eq!(listed, json!([{ "path": "/mnt/pegasus" }, { "path": "/a" }]));
    let files = &node.get("/api/v1/status").await.json()["files"];
    assert_eq!(files["free_bytes"], 7);
    assert_eq!(files["trouble"], Value::Null);
    let metrics = node.get("/metrics").await;
    assert!(metrics.text().contains("pegasus_files_mounts 2"), "{}", metrics.text());
}

#[tokio::test]
async fn snapshots_are_made_listed_and_removed() {
    let mut node = Node::open();
    assert_eq!(node.get("/api/v1/snapshots").await.json(), json!([]));
    node.services.mounts = Some(Arc::new(Asked::default()));
    node.router = http::router(node.services.clone());
    let make = |name: &str| {
        let request = Request::post("/api/v1/snapshots").header("content-type", "application/json");
        request.body(Body::from(json!({ "name": name }).to_string())).unwrap()
    };
    assert_eq!(ask(&node, make("täglich 1"), LOCAL).await, 201);
    assert_eq!(ask(&node, make("täglich 1"), LOCAL).await, 409);
    let listed = node.get("/api/v1/snapshots").await.json();
    assert_eq!(listed, json!([{ "name": "täglich 1", "time": "2023-11-14T22:13:20.000000000Z" }]));
    let remove = || {
        let request = Request::delete("/api/v1/snapshots?name=t%C3%A4glich%201");
        request.body(Body::empty()).unwrap()
    };
    assert_eq!(ask(&node, remove(), LOCAL).await, 204);
    assert_eq!(ask(&node, remove(), LOCAL).await, 404);
}

#[tokio::test]
async fn quotas_are_set_listed_and_removed() {
    let mut node = Node::open();
    assert_eq!(node.get("/api/v1/quotas").await.json(), json!([]));
    node.services.mounts = Some(Arc::new(Asked::default()));
    node.router = http::router(node.services.clone());
    let set = |body: Value| {
        let request = Request::put("/api/v1/quotas").header("content-type", "application/json");
        request.body(Body::from(body.to_string())).unwrap()
    };
    assert_eq!(ask(&node, set(json!({ "path": "/nowhere" })), LOCAL).await, 404);
    assert_eq!(ask(&node, set(json!({ "path": "/a", "blocks": 1 })), LOCAL).await, 422);
    assert_eq!(ask(&node, set(json!({ "path": "/a", "bytes": 1024 })), LOCAL).await, 200);
    let listed = node.get("/api/v1/quotas").await.json();
    let expected = json!([{ "path": "/a", "bytes": 1024, "files": null, "used_bytes": 512,
        "used_files": 2, "counting": false }]);
    assert_eq!(listed, expected);
    let remove = || Request::delete("/api/v1/quotas?path=/a").body(Body::empty()).unwrap();
    assert_eq!(ask(&node, remove(), LOCAL).await, 204);
    assert_eq!(ask(&node, remove(), LOCAL).await, 404);
}
