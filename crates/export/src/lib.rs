//! Recorded ranges as MP4 files that are never written.
//!
//! A file is planned from the units' sizes and times before its first byte is read, so its length is known
//! and any part of it can be had by itself. The store lists these without reading media: an hour is planned
//! in a moment, a day in a second or two. Media is read when it is asked for, unit by unit by its number; what
//! is not what was planned any more is an error, never other bytes.
//!
//! | to | see |
//! | --- | --- |
//! | plan a range, and keep plans that are asked for again | [`Plans`] |
//! | read a planned file | [`Source`], [`Reader`] |
//! | find all recordings as files of an hour | [`Library`] |
#![forbid(unsafe_code)]

mod error;
mod hours;
mod library;
mod numbers;
mod plan;
mod reader;
mod recorded;

pub use error::ExportError;
pub use hours::{Day, Hour};
pub use library::{Library, Piece};
pub use plan::{Planned, Plans};
pub use reader::{Reader, Source};
pub use recorded::Recorded;
