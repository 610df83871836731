//! Playback that is promised: what is admitted is never late, what would make others late is refused (Mitra; see the crate
//! `pegasus-mitra`).
//!
//! `curve` and `ahead`: how fast a recording has to be read. `ladder`: rates, and how disks and time are cut. `office`: who has
//! a promise, and what is read in each interval. `stock`: what was read for a playback. `rounds`: the thread that reads.
//! `promise`: the handle. `recordings`: what is written meanwhile. `lateness`: whether disks are what they seem.

mod ahead;
mod curve;
mod ladder;
mod lateness;
mod office;
mod promise;
mod recordings;
mod rounds;
mod status;
mod stock;

pub use ladder::Guarantee;
pub use promise::{Promise, Wish};
pub use status::{GuaranteeStatus, PlaybackStatus, Refused};

pub(crate) use curve::Part;
#[cfg(test)]
pub(crate) use lateness::Done;
pub(crate) use office::Office;
#[cfg(test)]
pub(crate) use promise::shown_ns;
pub(crate) use recordings::Recordings;
#[cfg(test)]
pub(crate) use rounds::catch_up;
pub(crate) use stock::{Stock, Taken};
