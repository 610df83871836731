//! Doors for strangers: RTSP, HLS, HTTP API, WebSocket, metrics and the console.
//!
//! Every door is given [`Services`] and translates between a protocol the world speaks and the two
//! things inside: live streams (the switch) and recordings (the store). Doors hold no state of their
//! own that matters: a door that fails takes nothing with it.
//!
//! - [`rtsp`]: publishers and players by RTSP; [`sources`]: streams the node pulls itself.
//! - [`http`]: the JSON API, MP4 export, HLS, live fragments over WebSocket, metrics, the console.
//! - [`Access`]: who may come in, the same at every door. [`Intake`]: whether the disks can take it. [`Events`]: what happened lately.
//!   [`DiskList`]: disks the store was given meanwhile.

#![forbid(unsafe_code)]

mod access;
mod disks;
mod events;
pub mod http;
mod intake;
mod measuring;
mod mounts;
pub mod rtsp;
mod services;
pub mod sources;

pub use access::{Access, AccessError};
pub use disks::{DiskList, DiskListError, ListedDisks, Role};
pub use events::{Events, Level, Report};
pub use intake::Intake;
pub use measuring::{Measurement, Measuring, MeasuringStatus, PromiseState};
pub use mounts::{FilesReport, Mounts, MountsError, QuotaLimits, QuotaReport, SnapshotReport};
pub use services::{NodeInfo, Services};
