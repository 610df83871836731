//! MP4 (ISO/IEC 14496-12) out and in.
//!
//! Three ways out, one in, all pure:
//! - [`init_segment`] and [`Fragmenter`]: fragmented MP4 for live viewers and HLS segments.
//! - [`Planner`] and [`Plan`]: a progressive file as a *plan*. It is laid out from the sizes and
//!   times of the units alone, so its length is known and any byte range of it can be served
//!   before a single coded byte has been read.
//! - [`Mp4File`]: reads progressive and fragmented files as [`Unit`](crate::Unit)s.
//!
//! **Time.** A unit carries its source's exact tick cadence (`pts`, `dts`) and its capture time
//! (`time`), which is slewed. What is written keeps the cadence: the first unit of a track is
//! placed by its capture time, those after it by their ticks. Only when the two have drifted more
//! than 50 ms apart is a track placed anew, at its next key unit, so that tracks stay together
//! over any length; earlier by no more than half a unit at a time, so that however capture times
//! jitter and step, units are decoded and shown in the source's order, each for some time.
//!
//! **Boxes.** The leaf boxes are mp4-atom's. Containers and sample entries are put together here,
//! since a codec's configuration record has to pass through bit for bit.

mod boxes;
mod cadence;
mod describe;
mod entry;
mod error;
mod file;
mod fragment;
mod header;
mod moof;
mod movie;
mod plan;
mod planner;
mod samples;
mod source;
mod table;
mod walk;

pub use error::{ReadError, WriteError};
pub use file::{Item, Mp4File};
pub use fragment::{Fragment, Fragmenter};
pub use header::init_segment;
pub use movie::RefusedTrack;
pub use plan::{Piece, Pieces, Plan, TimePoint};
pub use planner::Planner;
