//! Why a recording can't be had as a file.

use pegasus_base::{StreamName, TimeRange};

/// Why a recording can't be had as a file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The range is empty.
    #[error("nothing is recorded of {name} in that range")]
    Nothing {
        /// The stream.
        name: StreamName,
        /// What was asked for.
        range: TimeRange,
    },
    /// A plan of so much would not fit into memory.
    #[error("the range holds more than {units} pictures and packets of sound; export it in parts")]
    TooMany {
        /// How many would be fine.
        units: u64,
    },
    /// What was planned is not there any more.
    #[error("the recording of {name} has been deleted or changed meanwhile")]
    Changed {
        /// The stream.
        name: StreamName,
    },
    /// The store can't be read.
    #[error(transparent)]
    Store(#[from] pegasus_continuous::Error),
    /// The units make no file.
    #[error(transparent)]
    Media(#[from] pegasus_media::mp4::WriteError),
}
