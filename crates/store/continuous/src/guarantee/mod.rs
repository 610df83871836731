//! Playback that is promised: what is admitted is never late, what would make others late is refused (Mitra; see the crate
//! `pegasus-mitra`).
//!
//! `curve` and `ahead`: how fast a recording has to be read; `aside`: what it takes where it is not read ahead. `terms`: how disks and
//! time are cut, and what reads are billed. `admission`: who has a promise. `office`: where it is asked for. `stock`: what was
//! read for a playback. `rounds`: the thread that reads. `promise`: the handle. `line`: whose turn it is of those who wait for
//! one, `waiting`: where they do. `recordings`: what is written meanwhile. `intake`: which recordings the disks can take at
//! all, `places`: where that is asked. `lateness`: whether disks are what they seem.

mod admission;
mod ahead;
mod aside;
mod curve;
mod intake;
mod lateness;
mod line;
mod office;
mod places;
mod promise;
mod recordings;
mod rounds;
mod status;
mod stock;
mod terms;
mod waiting;

pub use intake::{Exceeding, Said};
pub use places::{IntakeStatus, Place, RecordingRefused};
pub use promise::{Promise, Wish};
pub use status::{GuaranteeStatus, PlaybackStatus, Refused};
pub use terms::Guarantee;
pub use waiting::{InLine, Waiting};

pub(crate) use curve::Part;
#[cfg(test)]
pub(crate) use lateness::Done;
pub(crate) use office::Office;
pub(crate) use places::Places;
#[cfg(test)]
pub(crate) use promise::{shown_ns, starts_ns};
pub(crate) use recordings::Recordings;
#[cfg(test)]
pub(crate) use rounds::catch_up;
pub(crate) use stock::{Stock, Taken};
pub(crate) use waiting::Waiters;
