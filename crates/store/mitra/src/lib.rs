//! Guaranteed rate from many disks, after Mitra: every playback that is admitted keeps its rate, and what would hurt others is refused.
//!
//! All of it is arithmetic and state machines: no clock, no disk, no thread.
//!
//! | to | see |
//! | --- | --- |
//! | cut disks and time | [`Shape`], [`Knobs`], [`Media`] |
//! | know what reads cost at worst | [`Service`] |
//! | admit playbacks, and be told what to read when | [`Scheduler`] |
//! | find out how many there can be, and with which shape | [`plan()`], [`Plan`] |
//! | see it at work on simulated disks, or on others | [`simulate()`], [`simulate_on`], [`Platters`] |
//! | work ahead where disks are done early, and skip who holds enough | [`Pace`], [`WaterMarks`], [`Scheduler::skip`] |
//! | bring a disk's reads into order | [`sweep`] |
//! | lay files out in few pieces, in any order of making and deleting | [`everest`] |
//!
//! One time period holds for all media: a block of each playback is read in every period, so blocks are in proportion to rate
//! (Mitra, section 2). Time is in nanoseconds since the schedule began, rates in bits a second, lengths in bytes.

#![forbid(unsafe_code)]

mod account;
mod ahead;
mod error;
pub mod everest;
#[cfg(test)]
mod invariants;
mod plan;
#[cfg(test)]
mod sample;
mod scheduler;
mod service;
mod shape;
mod simulate;
mod stripe;

pub use account::{Load, Short};
pub use ahead::{Cycles, Pace, Stock, WaterMarks};
pub use error::Error;
pub use plan::{Goal, Plan, Startup, Wish, mean_rate_bps, plan};
pub use scheduler::{Admitted, Batch, Order, PlaybackId, Refusal, Request, Scheduler, sweep};
pub use service::{LogicalZone, Service, logical_zones};
pub use shape::{Degraded, GRANULE, Interval, Knobs, Media, Shape, Zoning};
pub use simulate::{
    Arrivals, Done, Layout, Margins, Objects, Outcome, Platters, SimulatedDisks, Workload,
    simulate, simulate_on,
};
pub use stripe::{Origin, Place};
