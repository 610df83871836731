//! The machine that tries to break the store.
//!
//! A *run* is a whole store - log, recordings, files - on simulated disks, with clients, faults and power
//! cuts, all of it decided by one seed: the same seed is the same run, request by request. The code under
//! test is what runs in production, without its threads; the clock is moved by hand.
//!
//! - `plan`: what kind of store and how rough a time it has. `world`: the store, opened, closed and cut off.
//! - `streams`, `tree`: the clients, each with a plain model of what should be there.
//! - `atlas`: which disk may be harmed and how, so that no fault ever damages more than a stripe can bear.
//!   Whatever is lost is therefore a fault of the store.
//! - `run`: the loop, and what clients do in it; `fate`: what happens to them; `members`: disks that come and go
//!   because somebody wants them to; `check`: what has to hold.
//! - `exhaustive`: every short sequence of operations, cut at every request, with every subset of
//!   what was not flushed.
//! - `coverage`: what has really happened, so that nobody believes a test that tests nothing.
//!
//! **What has to hold** is the contract: after any cut the recordings and the files are what they were at some
//! moment; everything acknowledged is before it; and one disk of a stripe may be missing, late or lying.
//! Besides: no call fails but for want of room; what is read is what was written, byte by byte; after a repair the
//! offline check finds nothing; every slot is accounted for; cleaning costs no more than it may; and a store from
//! which all was deleted is as good as empty.
//!
//! ```
//! let report = pegasus_sim::run(7, &pegasus_sim::Settings::default()).expect("seed 7 is clean");
//! assert!(report.coverage.count("power cut") > 0);
//! ```
#![forbid(unsafe_code)]

mod atlas;
mod check;
mod coverage;
mod exhaustive;
mod fate;
mod members;
mod plan;
mod quotas;
mod run;
mod streams;
mod tree;
mod world;

pub use coverage::Coverage;
pub use exhaustive::{Exhausted, Operation, exhaust};
pub use plan::Settings;
pub use run::{Report, run};

/// Something that should not be: what the store did wrong, in a sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Finding(pub String);

/// A finding, unless `holds`.
pub(crate) fn ensure(holds: bool, what: impl FnOnce() -> String) -> Result<(), Finding> {
    if holds { Ok(()) } else { Err(Finding(what())) }
}

/// What an operation says that should have succeeded.
pub(crate) fn must<T, E: std::fmt::Display>(
    what: &str,
    result: Result<T, E>,
) -> Result<T, Finding> {
    result.map_err(|error| Finding(format!("{what} failed: {error}")))
}
