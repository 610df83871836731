//! RTP both ways: packets, sender and receiver reports, reordering, and the payload formats.
//!
//! - Receiving: [`Packet::parse`], over UDP a [`ReorderBuffer`], then a [`Depacketizer`] per track,
//!   which yields [`Event`]s: whole units in decode order, changed parameter sets, losses.
//! - Sending: a [`Packetizer`] per track turns units into packets.
//! - [`Rtcp`] reads and writes reports; [`Reception`] keeps the figures of a receiver report.
//!
//! Nothing here reads a clock: times of arrival come in as arguments.

mod depacketizer;
mod packet;
mod packetizer;
mod payload;
mod reception;
mod reorder;
mod rtcp;
mod unwrap;

pub use depacketizer::{Depacketizer, Event, Frame, Loss};
pub use packet::{Packet, PacketError};
pub use packetizer::{Packetizer, PacketizerError};
pub use payload::PayloadError;
pub use reception::Reception;
pub use reorder::ReorderBuffer;
pub use rtcp::{NtpTime, ReportBlock, Rtcp, RtcpError, SenderReport};
pub use unwrap::Unwrapper;

use crate::{Codec, Kind, Shape, Track};

/// How a track's payloads are laid out where its RFC leaves a choice; an SDP's `fmtp` line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Format {
    /// As the codec's RFC has it without options; for AAC `AAC-hbr`.
    #[default]
    Plain,
    /// AAC with these widths of the AU header's fields (RFC 3640 section 3.2.1), in bits.
    Aac(AacFormat),
}

/// Widths in bits of the fields of an AU header (RFC 3640 section 4.1); 0 where a field is absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AacFormat {
    /// `sizeLength`: length of an access unit in bytes; 0 if each packet holds just one.
    pub size_bits: u8,
    /// `indexLength`: serial number of the first access unit in a packet.
    pub index_bits: u8,
    /// `indexDeltaLength`: distance of each further one.
    pub index_delta_bits: u8,
    /// `CTSDeltaLength`.
    pub cts_delta_bits: u8,
    /// `DTSDeltaLength`.
    pub dts_delta_bits: u8,
    /// `randomAccessIndication`: one bit if present.
    pub random_access: bool,
    /// `streamStateIndication`.
    pub stream_state_bits: u8,
    /// `auxiliaryDataSizeLength`.
    pub auxiliary_bits: u8,
}

impl AacFormat {
    /// The high bit-rate mode nearly everybody uses (RFC 3640 section 3.3.6).
    pub const HBR: Self = Self {
        size_bits: 13,
        index_bits: 3,
        index_delta_bits: 3,
        cts_delta_bits: 0,
        dts_delta_bits: 0,
        random_access: false,
        stream_state_bits: 0,
        auxiliary_bits: 0,
    };
}

/// Ticks per second of a track's RTP clock, which its codec's RFC fixes: 90 000 for pictures, 48 000
/// for Opus, the sample rate for other sound. A track read from a file may have another clock rate
/// of its own; [`Packetizer`] converts.
#[must_use]
pub fn clock_rate(track: &Track) -> u32 {
    match (track.codec, track.shape) {
        (Codec::Opus, _) => 48_000,
        (codec, _) if codec.kind() == Kind::Video => 90_000,
        (Codec::Pcmu | Codec::Pcma, Shape::Audio { sample_rate: 0, .. }) => 8_000,
        (_, Shape::Audio { sample_rate, .. }) if sample_rate > 0 => sample_rate,
        _ => track.clock_rate.max(1),
    }
}

/// The payload type a track is sent with: the static one of RFC 3551 where there is one, else
/// a dynamic one from 96 up by the track's number.
#[must_use]
pub fn payload_type(track: &Track) -> u8 {
    match (track.codec, track.shape) {
        (Codec::Pcmu, Shape::Audio { channels: 1, sample_rate: 8_000 }) => 0,
        (Codec::Pcma, Shape::Audio { channels: 1, sample_rate: 8_000 }) => 8,
        (Codec::L16, Shape::Audio { channels: 2, sample_rate: 44_100 }) => 10,
        (Codec::L16, Shape::Audio { channels: 1, sample_rate: 44_100 }) => 11,
        (Codec::Mjpeg, _) => 26,
        _ => 96 + track.id.0 % 32,
    }
}
