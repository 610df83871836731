//! Guaranteed rate from many disks, after Mitra: every playback that is admitted keeps its rate, and what would hurt others is refused.
//!
//! All of it is arithmetic and state machines: no clock, no disk, no thread.

#![forbid(unsafe_code)]

pub mod everest;
