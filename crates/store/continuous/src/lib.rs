//! Continuous media on the core layer: recorder, index by time, spans, retention, reader.
#![forbid(unsafe_code)]

mod error;
mod queue;
mod read;
mod recorder;
mod settings;
mod status;
mod store;
mod tracks;

pub use error::Error;
pub use queue::Pushed;
pub use read::{Item, ReadOptions, Reader};
pub use recorder::Recorder;
pub use settings::{Retention, Settings, StreamRetention};
pub use status::{
    DiskStatus, Health, IngestStatus, RecordedStream, RecorderStatus, Span, StoreStatus,
};
pub use store::{Continuous, Durable, Watch};
