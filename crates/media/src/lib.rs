//! Continuous media as data: tracks and units, RTP payloads, MP4, codec headers, media clocks.
//!
//! Everything here is pure: bytes and times in, values out. Start at [`Track`] and [`Unit`].

#![forbid(unsafe_code)]

pub mod clock;
pub mod codec;
mod codec_string;
pub mod mp4;
pub mod reorder;
pub mod rtp;
pub mod sdp;
mod track;
mod unit;

pub use codec_string::codec_string;
pub use track::{Codec, Kind, Shape, Track, TrackId, TrackSet};
pub use unit::Unit;
