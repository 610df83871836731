//! What can go wrong in a device.

/// Why a device can't work. All of it is the fault of this machine or of this program.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// The H.264 encoder refused.
    #[error("the H.264 encoder failed")]
    H264(#[from] openh264::Error),
    /// The H.264 encoder gave nothing for a picture.
    #[error("the H.264 encoder left out the picture at {time_ms} ms")]
    Skipped {
        /// The picture's time on the encoder's clock.
        time_ms: u64,
    },
    /// The H.264 encoder gave no parameter sets.
    #[error("the H.264 encoder gave no parameter sets")]
    NoParameterSets,
    /// The JPEG encoder refused.
    #[error("the JPEG encoder failed")]
    Jpeg(#[from] jpeg_encoder::EncodingError),
    /// The Opus encoder refused.
    #[error("the Opus encoder failed with code {code}")]
    Opus {
        /// libopus's error code, negative.
        code: i32,
    },
    /// No thread could be started.
    #[error("no thread can be started for the test camera")]
    Thread {
        /// The system's reason.
        source: std::io::Error,
    },
}
