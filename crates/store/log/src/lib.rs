//! The core layer: log segments, stripes and parity, pnodes, checkpoints, recovery, garbage file.
#![forbid(unsafe_code)]

mod batch;
mod check;
mod error;
mod format;
mod log;
mod status;

pub use batch::Batch;
pub use check::{CheckReport, Checker};
pub use error::LogError;
pub use format::block::{BlockMap, Column, DiskIndex, Extent, Owner, SegmentId, SegmentRef};
pub use log::{Committed, FormatOptions, Log, OpenOptions, Recovered, RecoveredBlock, Recovery};
pub use status::{DiskState, DiskStatus, LogStatus, PnodeInfo};
