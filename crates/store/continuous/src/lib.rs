//! Continuous media on the core layer: recorder, index by time, spans, retention, reader.
#![forbid(unsafe_code)]

mod assemble;
mod error;
mod format;
mod queue;
mod read;
mod recorder;
#[cfg(test)]
mod sample;
mod settings;
mod status;
mod store;
mod timeline;
mod tracks;

pub use error::Error;
pub use format::FormatError;
pub use queue::Pushed;
pub use read::{Item, ReadOptions, Reader};
pub use recorder::Recorder;
pub use settings::{Retention, Settings, StreamRetention};
pub use status::{
    DiskStatus, Health, IngestStatus, RecordedStream, RecorderStatus, Span, StoreStatus,
};
pub use store::{Continuous, Durable, Watch};
