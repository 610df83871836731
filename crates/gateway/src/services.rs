//! What the doors open onto.

use std::sync::Arc;

use pegasus_base::{Clock, Time};
use pegasus_circuit::Switch;
use pegasus_continuous::Continuous;
use tokio_util::sync::CancellationToken;

use crate::sources::Sources;
use crate::{Access, DiskList, Events, Intake, Measuring, Mounts};

/// What every door needs, put together by the node. Cheap to clone.
#[derive(Clone)]
pub struct Services {
    /// The live streams.
    pub switch: Switch,
    /// The recordings.
    pub store: Continuous,
    /// Which streams may be published that are going to be recorded.
    pub intake: Intake,
    /// What is known of the disks' speed.
    pub measuring: Measuring,
    /// Where disks are that the configuration does not name.
    pub disks: Arc<DiskList>,
    /// The streams that the node fetches itself.
    pub sources: Sources,
    /// What mounts the store's files, where that can be done.
    pub mounts: Option<Arc<dyn Mounts>>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Who may come in.
    pub access: Access,
    /// What happened lately.
    pub events: Events,
    /// What the node says of itself.
    pub node: Arc<NodeInfo>,
    /// Cancelled when the node stops: doors close, and what streams ends.
    pub stop: CancellationToken,
}

/// What a node says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeInfo {
    /// The program's version.
    pub version: String,
    /// When the node was started.
    pub started: Time,
    /// Where the console and the API are, such as `http://127.0.0.1:7070/`.
    pub http_url: String,
    /// Where RTSP is, such as `rtsp://127.0.0.1:8554/`.
    pub rtsp_url: String,
}
