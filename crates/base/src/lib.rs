//! The words every other crate speaks: ids, time, sizes, stream names, and the seams through which
//! clocks and randomness enter. No I/O beyond [`SystemClock`].
//!
//! Start at [`Time`] and [`StreamName`]; everything else is a small newtype.

#![forbid(unsafe_code)]

mod clock;
mod duration;
mod id;
mod name;
mod size;
mod time;
mod when;

pub use clock::{Clock, ManualClock, SystemClock};
pub use duration::{format_duration, parse_duration};
pub use id::{ArrayId, DiskId, PnodeId, StreamId};
pub use name::{NameError, StreamName};
pub use size::{BitRate, ByteSize, RateError, SizeError};
pub use time::{Time, TimeError, TimeRange};
pub use when::{When, WhenError};
