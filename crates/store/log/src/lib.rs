//! The core layer of the store: an array of disks as a log.
//!
//! Blocks of continuous data go into segments of their own, striped over the disks with parity. What
//! describes them goes into small files - pnodes - in the normal log beside. A [`Batch`] of both becomes
//! durable together by [`Log::commit`], in one phase of writes and one of flushes over all disks. A
//! checkpoint now and then bounds what recovery has to read.
//!
//! **The contract:** after any crash the store equals its state at some moment; everything acknowledged
//! as durable is before that moment; and as many
//! disks of a stripe as there is parity - one, or two - may be missing or lying. More precisely:
//! of a batch, either all changes to pnodes and segments are there, and then all its blocks too, or none
//! of those changes; of blocks appended to segments that were open before, a crash may keep some.
//!
//! What it is not: a file system (the services above make files and recordings of it), or a cache.
//!
//! # Map
//!
//! - `format/`: every structure on the disks, value by value; the bytes are in `docs/design/log.md`.
//! - `geometry`, `alloc`: how disks are divided into slots, and which slots a segment gets. Pure.
//! - `code`: parity, and what is computed from it. `stripe`: a block as fragments and parity. `segments`: appending to a segment. Pure.
//! - `content`: bulk content that is written where it stays, beside the log.
//! - `preload`: reading ahead what a batch of small writes needs.
//! - `room`: what is kept free for the next checkpoint. `log_plan`: where the log's next blocks go. Pure but for the allocator it is handed.
//! - `disks`: which disks live; writing to all of them at once. `array`, `reading`, `pieces`: reading, verified
//!   and rebuilt. `rating` (pure), `patience`: which disks are slow, and reading without waiting for one.
//! - `pnode`, `pnodes`: pnodes in memory; `numbers`: which there are. `garbage`: the holes in the log. `cleaner`: which segments to
//!   clean (pure); `cleaning`: doing it.
//! - `log`, `batch`, `writer`, `checkpoint`: the handle and what it does. Start at [`Log`].
//! - `superblocks`, `recovery`, `walk`, `scan`, `replay`, `open`: from disks to the last durable state; `evidence`: signs that
//!   it is not the last.
//! - `replace`: a new disk in a failed one's place. `add`: one more. `mend`, `mend_heads`, `pass`: writing anew what is
//!   missing or damaged.
//! - `sweep`: many blocks read at once, as a schedule has them; `gate`: where other reads make way for them.
//! - `check`: every byte verified, every slot accounted for. `kinds`: what a damaged fragment held, in words. `survey`: what
//!   lies in slots, by their fragments alone; `places`: where everything is.
//!
//! One writer at a time: a [`Batch`] holds the writer's lock from its beginning to its end. Readers take
//! only the lock of the shared state, for moments, and never wait for a commit's disks. Locks are taken in
//! the order mending, cleaner, writer, shared.
//!
//! # Example
//!
//! ```
//! use std::sync::Arc;
//! use pegasus_base::{StreamId, Time};
//! use pegasus_disk::{Disk, SimDisk};
//! use pegasus_log::{FormatOptions, Log, OpenOptions, Owner};
//!
//! let now = Time::from_secs(1_700_000_000);
//! let disks: Vec<Arc<dyn Disk>> =
//!     SimDisk::array(5, 64 << 20, 1).into_iter().map(|disk| Arc::new(disk) as _).collect();
//! let options =
//!     FormatOptions { data: 4, parity: 1, unit_bytes: None, label: "example".into(), now };
//! Log::format(&disks, &options, &mut fastrand::Rng::with_seed(1))?;
//!
//! let given = |missing: Option<usize>| {
//!     let disk = |at: usize| (Some(at) != missing).then(|| disks[at].clone());
//!     (0..5).map(|at| (format!("disk{at}"), disk(at))).collect()
//! };
//! let (log, _) = Log::open(given(None), &OpenOptions { now, read_only: false })?;
//! let owner = Owner { pnode: log.root(), stream: StreamId(7) };
//! let mut batch = log.batch();
//! let segment = batch.open_segment(owner, 4)?;
//! let map = batch.append(segment.id, &[b"pictures, ".as_slice(), b"sound"])?;
//! batch.write(log.root(), 0, b"where it is")?;
//! log.commit(batch)?; // durable from here on
//! drop(log);
//!
//! // Some time later, with one disk gone.
//! let (log, recovery) = Log::open(given(Some(2)), &OpenOptions { now, read_only: false })?;
//! assert_eq!(recovery.open_segments[0].blocks[0].map, map);
//! assert_eq!(log.read_block(&map)?, b"pictures, sound".as_slice());
//! assert_eq!(log.read_pnode(log.root(), 0, 100)?, b"where it is");
//! # Ok::<(), pegasus_log::LogError>(())
//! ```
#![forbid(unsafe_code)]

mod add;
mod ahead;
mod alloc;
mod array;
mod batch;
mod check;
mod checkpoint;
mod cleaner;
mod cleaning;
mod code;
mod content;
mod disks;
mod error;
mod evidence;
mod format;
pub mod fuzz;
mod garbage;
mod gate;
mod geometry;
mod kinds;
mod log;
mod log_plan;
mod mend;
mod mend_heads;
mod numbers;
mod open;
mod part;
mod pass;
mod patience;
mod pieces;
mod places;
mod pnode;
mod pnodes;
mod preload;
mod rating;
mod reading;
mod recovery;
mod remove;
mod replace;
mod replay;
mod room;
mod scan;
mod segments;
mod status;
mod stripe;
mod superblocks;
mod survey;
mod sweep;
mod tail;
mod walk;
mod writer;
mod writing;

pub use batch::Batch;
pub use check::{CheckReport, Checker};
pub use cleaner::CleanerStatus;
pub use cleaning::{Cleaned, Cleaning};
pub use error::LogError;
pub use format::block::{BlockMap, Column, DiskIndex, Extent, Owner, SegmentId, SegmentRef};
pub use gate::{Cost, Hurry, Passing, Urgent};
pub use kinds::Kind;
pub use log::{Committed, Log};
pub use mend::{Listed, Mended, Mending, Pace, Scope};
pub use open::{FormatOptions, OpenOptions, Recovered, RecoveredBlock, Recovery};
pub use pass::{Owners, Pass, Position};
pub use places::{Part, Place};
pub use preload::Preloaded;
pub use remove::Leaving;
pub use status::{DiskState, DiskStatus, LogStatus, PnodeInfo};
pub use survey::{Survey, Surveyed};
pub use sweep::Sweep;
