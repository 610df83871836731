//! The core layer: log segments, stripes and parity, pnodes, checkpoints, recovery, garbage file.
#![forbid(unsafe_code)]

mod alloc;
mod array;
mod batch;
mod check;
mod checkpoint;
mod disks;
mod error;
mod format;
pub mod fuzz;
mod garbage;
mod geometry;
mod log;
mod log_plan;
mod open;
mod pnode;
mod pnodes;
mod reading;
mod recovery;
mod replay;
mod scan;
mod segments;
mod status;
mod stripe;
mod superblocks;
mod walk;
mod writer;

pub use batch::Batch;
pub use check::{CheckReport, Checker};
pub use error::LogError;
pub use format::block::{BlockMap, Column, DiskIndex, Extent, Owner, SegmentId, SegmentRef};
pub use log::{Committed, Log};
pub use open::{FormatOptions, OpenOptions, Recovered, RecoveredBlock, Recovery};
pub use status::{DiskState, DiskStatus, LogStatus, PnodeInfo};
