//! Opus: durations (RFC 6716 section 3.1) and the configuration MP4 keeps.

use bytes::{BufMut, Bytes, BytesMut};

/// How long the packet lasts, in samples at 48 kHz; `None` if it is not an Opus packet: empty, or
/// longer than 120 ms.
#[must_use]
pub fn duration_48k(packet: &[u8]) -> Option<u32> {
    let toc = *packet.first()?;
    let frame = match toc >> 3 {
        config @ 0..12 => [480, 960, 1_920, 2_880][usize::from(config % 4)],
        config @ 12..16 => [480, 960][usize::from(config % 2)],
        config => [120, 240, 480, 960][usize::from(config % 4)],
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(*packet.get(1)? & 0x3f),
    };
    let duration = frame * frames;
    (1..=5_760).contains(&duration).then_some(duration)
}

/// The payload of a `dOps` box (Opus in ISOBMFF section 4.3.2) for one or two channels.
///
/// # Panics
/// If `channels` is not 1 or 2: more need a mapping table that RTP does not carry.
#[must_use]
pub fn config(channels: u8, pre_skip: u16, input_rate: u32) -> Bytes {
    assert!(matches!(channels, 1 | 2), "channel mapping family 0 has one or two channels");
    let mut out = BytesMut::with_capacity(11);
    out.put_u8(0); // version
    out.put_u8(channels);
    out.put_u16(pre_skip);
    out.put_u32(input_rate);
    out.put_i16(0); // gain
    out.put_u8(0); // mapping family
    out.freeze()
}

/// Samples at 48 kHz that a decoder drops at the start of what libopus has coded (its look-ahead).
pub const PRE_SKIP_USUAL: u16 = 312;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_of_the_standard() {
        for (packet, duration) in [
            (&[0x00][..], Some(480)),  // SILK 10 ms
            (&[0x78], Some(960)),      // hybrid 20 ms
            (&[0xfc], Some(960)),      // CELT 20 ms
            (&[0xe1], Some(240)),      // CELT 2.5 ms twice
            (&[0x1b, 2], Some(5_760)), // SILK 60 ms, count 2
            (&[0x1b, 3], None),        // 180 ms
            (&[0x1b, 0], None),        // no frame at all
            (&[0x1b], None),           // its count is missing
            (&[], None),
        ] {
            assert_eq!(duration_48k(packet), duration, "{packet:02x?}");
        }
    }

    #[test]
    fn the_config_is_a_dops_payload() {
        assert_eq!(&config(2, 312, 48_000)[..], [0, 2, 1, 56, 0, 0, 187, 128, 0, 0, 0]);
    }
}
