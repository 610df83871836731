//! The RTSP door (RFC 2326).

pub mod decode;
pub mod message;
pub mod range;
pub mod session;
pub mod target;
pub mod transport;
