//! Playback that is promised: what is admitted is never late, what would make others late is refused (Mitra; see the crate
//! `pegasus-mitra`).
//!
//! `curve` and `ahead`: how fast a recording has to be read; `aside`: what it takes where it is not read ahead. `terms`: how disks and time are cut, and what reads are billed. `admission`: who has
//! a promise. `office`: where it is asked for. `stock`: what was read for a playback. `rounds`: the thread that reads.
//! `promise`: the handle. `recordings`: what is written meanwhile. `lateness`: whether disks are what they seem.

mod admission;
mod ahead;
mod aside;
mod curve;
mod lateness;
mod office;
mod promise;
mod recordings;
mod rounds;
mod status;
mod stock;
mod terms;

pub use promise::{Promise, Wish};
pub use status::{GuaranteeStatus, PlaybackStatus, Refused};
pub use terms::Guarantee;

#[cfg(test)]
pub(crate) use lateness::Done;
pub(crate) use office::Office;
#[cfg(test)]
pub(crate) use promise::shown_ns;
pub(crate) use recordings::Recordings;
#[cfg(test)]
pub(crate) use rounds::catch_up;
pub(crate) use stock::{Stock, Taken};
