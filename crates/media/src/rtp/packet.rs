//! The RTP packet (RFC 3550 section 5.1).

use bytes::{BufMut, Bytes, BytesMut};

/// One RTP packet, its payload shared with the bytes it was parsed from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// What the payload is, as the SDP maps it; 0 to 127.
    pub payload_type: u8,
    /// For video the last packet of a picture; for audio the first after silence.
    pub marker: bool,
    /// Counts packets, wraps.
    pub sequence: u16,
    /// In ticks of the track's RTP clock, wraps.
    pub timestamp: u32,
    /// The sender's random identity.
    pub ssrc: u32,
    /// What follows the header and its extension, without padding.
    pub payload: Bytes,
}

/// Why bytes are not an RTP packet. The peer that sent them is at fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PacketError {
    /// The header, its extension or the padding reaches beyond the end.
    #[error("an RTP packet of {len} bytes is too short for its {what}")]
    Short {
        /// Length of the whole packet in bytes.
        len: usize,
        /// What does not fit.
        what: &'static str,
    },
    /// The version field is not 2.
    #[error("RTP version {0} instead of 2: this is not RTP")]
    Version(u8),
}

impl Packet {
    /// Bytes of a header without contributing sources or extension.
    pub const HEADER_LEN: usize = 12;

    /// Reads a packet. Contributing sources and the header extension are skipped, padding is removed.
    ///
    /// # Errors
    /// [`PacketError`] if this is not RTP or is cut short.
    pub fn parse(bytes: Bytes) -> Result<Self, PacketError> {
        let len = bytes.len();
        let short = |what| PacketError::Short { len, what };
        if len < Self::HEADER_LEN {
            return Err(short("header"));
        }
        if bytes[0] >> 6 != 2 {
            return Err(PacketError::Version(bytes[0] >> 6));
        }
        let mut start = Self::HEADER_LEN + 4 * usize::from(bytes[0] & 0x0f);
        if bytes[0] & 0x10 != 0 {
            let extension = bytes.get(start..start + 4).ok_or(short("header extension"))?;
            start += 4 + 4 * usize::from(u16::from_be_bytes([extension[2], extension[3]]));
        }
        let padding = if bytes[0] & 0x20 != 0 { usize::from(bytes[len - 1]) } else { 0 };
        let end = len.checked_sub(padding).ok_or(short("padding"))?;
        if start > end {
            return Err(short("contributing sources, extension and padding"));
        }
        Ok(Self {
            payload_type: bytes[1] & 0x7f,
            marker: bytes[1] & 0x80 != 0,
            sequence: u16::from_be_bytes([bytes[2], bytes[3]]),
            timestamp: u32::from_be_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]),
            ssrc: u32::from_be_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]),
            payload: bytes.slice(start..end),
        })
    }

    /// The packet as it goes on the wire.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(Self::HEADER_LEN + self.payload.len());
        self.emit_header(&mut out);
        out.put_slice(&self.payload);
        out.freeze()
    }

    /// Appends the 12 bytes of the header to `out`.
    pub(crate) fn emit_header(&self, out: &mut BytesMut) {
        out.put_u8(0x80);
        out.put_u8(self.payload_type & 0x7f | u8::from(self.marker) << 7);
        out.put_u16(self.sequence);
        out.put_u32(self.timestamp);
        out.put_u32(self.ssrc);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sources_extension_and_padding_are_left_out() {
        let mut bytes = vec![0xb1, 0x80 | 96, 0, 7, 0, 0, 0, 9, 0, 0, 0, 1];
        bytes.extend([1, 1, 1, 1]); // one contributing source
        bytes.extend([0xbe, 0xde, 0, 1, 9, 9, 9, 9]); // an extension of one word
        bytes.extend(b"data");
        bytes.extend([0, 0, 3]); // padding
        let packet = Packet::parse(bytes.into()).unwrap();
        assert_eq!(&packet.payload[..], b"data");
        assert!(packet.marker);
        assert_eq!((packet.payload_type, packet.sequence, packet.timestamp), (96, 7, 9));
    }

    #[test]
    fn what_is_not_rtp_says_so() {
        let parse = |bytes: &'static [u8]| Packet::parse(Bytes::from_static(bytes)).unwrap_err();
        assert_eq!(parse(b"GET / HTTP/1.1"), PacketError::Version(1));
        assert!(parse(&[0x80; 11]).to_string().contains("11 bytes"));
        assert!(parse(&[0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 13]).to_string().contains("padding"));
        assert!(parse(&[0x90; 12]).to_string().contains("extension"));
    }

    proptest! {
        #[test]
        fn any_bytes_parse_or_say_why(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = Packet::parse(bytes.into());
        }

        #[test]
        fn round_trip(
            payload_type in 0u8..128, marker: bool, sequence: u16, timestamp: u32, ssrc: u32,
            payload in proptest::collection::vec(any::<u8>(), 0..80),
        ) {
            let packet =
                Packet { payload_type, marker, sequence, timestamp, ssrc, payload: payload.into() };
            prop_assert_eq!(Packet::parse(packet.to_bytes()), Ok(packet));
        }
    }
}
