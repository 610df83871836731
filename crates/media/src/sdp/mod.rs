//! Session descriptions (RFC 8866) as RTSP uses them: which tracks there are, how they are coded, and
//! by which URL each is controlled.
//!
//! [`parse`] reads what a publisher announces, [`emit`] writes what a player asks for. Reading is
//! tolerant: a track that can't be used is refused with a reason, the others stay.

mod emit;
mod fmtp;
mod parse;

pub use emit::{Session, emit};
pub use parse::{SdpError, parse};

use crate::Track;
use crate::rtp::Format;

/// What a session description says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// Its name (`s=`); may be empty.
    pub name: String,
    /// Control attribute of the whole session, as it stands.
    pub control: Option<String>,
    /// What it needs, in bits a second (`b=AS`, `b=TIAS`): as said of the session, or else of the tracks together.
    pub bandwidth_bps: Option<u64>,
    /// The tracks that can be used, in their order, numbered from 0.
    pub media: Vec<Media>,
    /// The tracks that can't.
    pub refused: Vec<Refused>,
}

/// A track as a session description has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    /// The track. Its clock rate is that of RTP.
    pub track: Track,
    /// Payload type of its packets.
    pub payload_type: u8,
    /// Layout of its payloads.
    pub format: Format,
    /// Control attribute, as it stands: relative to the session's URL or absolute. `None` if absent.
    pub control: Option<String>,
    /// Which `m=` line it is, from 0.
    pub line: usize,
}

/// A track that can't be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Which `m=` line it is, from 0.
    pub line: usize,
    /// Its control attribute.
    pub control: Option<String>,
    /// Why, in a clause: `"video in VP8 is not supported"`.
    pub reason: String,
}
