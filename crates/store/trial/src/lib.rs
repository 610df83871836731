//! A schedule tried on disks that are there: `pegasus simulate --on` runs [`pegasus_mitra::simulate_on`] with [`RealDisks`] beneath.
//!
//! Blocks lie where the simulation has them; what is there is read, whatever it is, past the page cache where that can be, and thrown away. Nothing is written, and
//! nothing locked. Each disk has a thread that makes the reads of a batch in one sweep; batches are asked for when the
//! schedule says, by the machine's clock. What that can't tell from a slow disk is a machine that has no time for
//! these threads: how late batches were asked for ([`RealDisks::asked_late_ns`]) shows how much there was of that.
//!
//! ```
//! use pegasus_disk::Profile;
//! use pegasus_mitra::{
//!     Arrivals, Degraded, Knobs, Media, Scheduler, Shape, Workload, Zoning, simulate_on,
//! };
//! use pegasus_trial::RealDisks;
//!
//! let folder = tempfile::tempdir()?;
//! let path = folder.path().join("disk");
//! std::fs::write(&path, vec![7; 4 << 20])?;
//! let profiles = [Profile::flash(4 << 20, 200, 400_000_000)];
//! let knobs = Knobs {
//!     disks: 1, stride: 1, period_ns: 20_000_000, groups: 2, window: 2, zones: 1, zoning: Zoning::Fixb, degraded: Degraded::None,
//! };
//! let media = vec![Media { name: "camera".to_owned(), rate_bps: 4_000_000, width: 1, pieces: 1 }];
//! let scheduler = Scheduler::new(Shape::new(&profiles, knobs, media)?)?;
//! let mut disks = RealDisks::open(&[path], scheduler.shape(), &profiles)?;
//! let workload = Workload {
//!     arrivals: Arrivals::Closed { viewers: 2 }, shares: vec![1.0], blocks: 4, periods: 10, seed: 1, fails: None, objects: None, work_ahead: None,
//! };
//! let found = simulate_on(scheduler, &mut disks, &workload, |_| {});
//! assert!(found.blocks > 0);
//! assert_eq!(found.unread, 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

mod disks;
mod error;
mod lane;

pub use disks::{RealDisks, Stopper, TriedDisk};
pub use error::TrialError;
