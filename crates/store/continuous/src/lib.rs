//! Continuous media on the core layer: recorder, index by time, spans, retention, reader.
#![forbid(unsafe_code)]

mod assemble;
mod commit;
mod delete;
mod directory;
mod driver;
mod error;
mod format;
mod gate;
mod indexes;
mod locate;
mod open;
mod queue;
mod read;
mod recorder;
mod retain;
#[cfg(test)]
mod sample;
mod settings;
mod spans;
mod status;
mod store;
mod stream;
mod timeline;
mod tracks;
mod writer;

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
