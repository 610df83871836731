//! The disk seam: everything the store does to a disk goes through [`Disk`].
//!
//! A disk is a row of 4 KiB sectors that can be read, written and flushed, with one promise: what
//! was written *before* a flush that succeeded survives a power cut. What was not flushed may be
//! there afterwards, or not, or in part. Nothing more is assumed; checksums, parity and
//! generations above this seam take care of disks that lie or die.
//!
//! - [`FileDisk`]: a regular file or a block device, direct I/O where the file system has it, a
//!   few threads of its own so that the disks of an array work in parallel; [`Reads`] do without them.
//! - [`SimDisk`]: in memory, sparse, with [faults](Fault) by seed or at an exact operation, and
//!   images of what a power cut at any operation would leave.
//! - [`measure`]: positioning time and rate, from which the stripe unit is chosen.
//! - [`Profile`]: what a disk can do as a table, and [`Mechanics`], a disk that does just that in virtual time;
//!   [`Elevator`], its queue.
//! - [`survey`]: a profile of any disk, found by reading it; [`Subject`] is what can be measured on this machine.
//!
//! One suite (`tests/conformance.rs`) runs against all of them.
//!
//! Start at [`Disk`], [`Request`] and [`Batch`]:
//!
//! ```
//! use std::sync::Arc;
//! use pegasus_disk::{AlignedBuf, Batch, Disk, Request, SECTOR, SimDisk};
//!
//! let disks = [SimDisk::new("a", 1 << 20), SimDisk::new("b", 1 << 20)];
//! let mut buf = AlignedBuf::zeroed(SECTOR);
//! buf[..5].copy_from_slice(b"hello");
//! let buf = Arc::new(buf);
//!
//! let mut batch = Batch::new(); // both disks write at the same time
//! for disk in &disks {
//!     batch.add(disk, Request::Write { offset: 0, buf: buf.clone() });
//! }
//! assert!(batch.wait_all().iter().all(Result::is_ok));
//! let back = pegasus_disk::read(&disks[1], 0, SECTOR)?;
//! assert_eq!(&back[..5], b"hello");
//! # Ok::<(), pegasus_disk::DiskError>(())
//! ```

mod buf;
mod elevator;
mod error;
mod file;
mod measure;
mod mechanics;
mod profile;
mod reads;
mod request;
mod sim;
mod stats;
mod survey;

pub use buf::AlignedBuf;
pub use elevator::Elevator;
pub use error::{Change, DiskError, Op};
pub use file::{CreateOptions, Direct, FileDisk, OpenOptions};
pub use measure::{Measured, measure};
pub use mechanics::Mechanics;
pub use profile::{Profile, ProfileError, QueueDepth, Seek, ServiceTimes, Zone, transfer_ns};
pub use reads::Reads;
pub use request::{Batch, Done, Promise, Request, Ticket, flush, read, write};
pub use sim::{Effect, Fault, OpCounter, OpRecord, SimDisk, SimModel, TearAt, Trigger};
pub use stats::DiskStats;
pub use survey::{
    Ground, Move, Progress, Rate, Subject, SubjectKind, Survey, SurveyError, SurveyOptions, survey,
};

/// The unit of all offsets and lengths, in bytes. Every disk accepts direct I/O at this grain.
pub const SECTOR: usize = 4096;

/// The longest read or write in bytes (256 MiB); above it a length is taken for nonsense.
pub const REQUEST_LEN_MAX: usize = 256 << 20;

/// One disk. Usually held as `Arc<dyn Disk>`; all methods may be called from any thread.
///
/// # Order
///
/// Writes that overlap take effect in the order they were submitted. A flush covers every write
/// submitted before it, whether or not its [`Ticket`] was waited for. A read sees every write
/// that had *completed* before the read was submitted; against a write still under way it may
/// return old or new sectors, or a mixture.
pub trait Disk: Send + Sync {
    /// What people call the disk: its path. For messages.
    fn label(&self) -> String;

    /// Size in bytes, a multiple of [`SECTOR`]; fixed while the disk is open.
    fn size(&self) -> u64;

    /// Starts `request`, never waiting for the medium. Memory held by requests under way is not
    /// bounded here: whoever submits waits for earlier tickets at some point.
    ///
    /// Dropping the ticket does not cancel the request.
    fn submit(&self, request: Request) -> Ticket;

    /// Counters since the disk was opened.
    fn stats(&self) -> DiskStats;

    /// Looks, cheaply, whether the disk is still there and still the same: the file not deleted,
    /// replaced or cut short behind our back. Worth calling every few seconds: reads and writes
    /// of a deleted file go on working, yet its data is lost when it is closed.
    ///
    /// # Errors
    /// [`DiskError::Changed`] or [`DiskError::Dead`]; both are final for this open disk.
    fn probe(&self) -> Result<(), DiskError>;

    /// The disk, if it is a file or a block device that the kernel may read for whoever asks, without the disk's threads;
    /// see [`Reads`].
    fn as_file(&self) -> Option<&FileDisk> {
        None
    }
}
