//! VP9: the uncompressed header (VP9 Bitstream Specification section 6.2), the MP4 configuration, key
//! frames.

use bytes::{BufMut, Bytes, BytesMut};

use super::bits::Bits;

/// What the header of a key frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyHeader {
    /// 0 to 3.
    pub profile: u8,
    /// Bits of a sample: 8, 10 or 12.
    pub bit_depth: u8,
    /// `color_space`, 0 to 7.
    pub color_space: u8,
    /// Samples use the full range of values.
    pub full_range: bool,
    /// Chroma halved across and down.
    pub subsampling: (bool, bool),
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
}

impl KeyHeader {
    /// Reads the beginning of a frame or superframe; `None` if that is no key frame.
    #[must_use]
    pub fn parse(frame: &[u8]) -> Option<Self> {
        let bits = &mut Bits::new(frame);
        let profile = profile(bits)?;
        let existing = bits.flag()?;
        let inter = bits.flag()?;
        if existing || inter {
            return None;
        }
        bits.skip(2)?; // show_frame, error_resilient_mode
        if bits.take(24)? != 0x49_83_42 {
            return None;
        }
        let bit_depth = match profile >= 2 {
            true if bits.flag()? => 12,
            true => 10,
            false => 8,
        };
        let color_space = bits.take(3)? as u8;
        let full = profile & 1 == 1;
        let mut subsampling = (!full, !full);
        let full_range = if color_space == RGB { true } else { bits.flag()? };
        if full {
            if color_space != RGB {
                subsampling = (bits.flag()?, bits.flag()?);
            }
            bits.flag()?;
        }
        let (width, height) = (bits.take(16)? + 1, bits.take(16)? + 1);
        Some(Self { profile, bit_depth, color_space, full_range, subsampling, width, height })
    }

    /// The payload of a `vpcC` box behind its version and flags (VP Codec in ISOBMFF section 2.2).
    #[must_use]
    pub fn config(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(8);
        let subsampling = match self.subsampling {
            (true, true) => 1,
            (true, false) => 2,
            _ => 3,
        };
        // Primaries, transfer and matrix (ITU-T H.273) for each color_space; 2 is "unknown".
        let color = match self.color_space {
            1 | 3 => [6, 6, 6],
            2 => [1, 1, 1],
            4 => [7, 7, 7],
            5 => [9, 14, 9],
            RGB => [1, 13, 0],
            _ => [2, 2, 2],
        };
        out.put_u8(self.profile);
        out.put_u8(self.level());
        out.put_u8(self.bit_depth << 4 | subsampling << 1 | u8::from(self.full_range));
        out.put_slice(&color);
        out.put_u16(0); // no initialization data
        out.freeze()
    }

    /// The lowest level whose pictures are as large, times ten. (VP9 Levels; its rates of pictures
    /// are unknown here.)
    fn level(&self) -> u8 {
        let pixels = u64::from(self.width) * u64::from(self.height);
        let levels = [
            (36_864, 10),
            (73_728, 11),
            (122_880, 20),
            (245_760, 21),
            (552_960, 30),
            (983_040, 31),
            (2_228_224, 40),
            (8_912_896, 50),
        ];
        levels.iter().find(|(most, _)| pixels <= *most).map_or(60, |(_, level)| *level)
    }
}

/// Whether decoding can start at this frame or superframe.
#[must_use]
pub fn is_key(frame: &[u8]) -> bool {
    KeyHeader::parse(frame).is_some()
}

/// The profile in a [`config`](KeyHeader::config).
#[must_use]
pub fn profile_of_config(config: &[u8]) -> Option<u8> {
    config.first().copied().filter(|profile| *profile <= 3)
}

fn profile(bits: &mut Bits<'_>) -> Option<u8> {
    if bits.take(2)? != 2 {
        return None;
    }
    let low = bits.take(1)? as u8;
    let profile = low | (bits.take(1)? as u8) << 1;
    if profile == 3 && bits.flag()? {
        return None;
    }
    Some(profile)
}

const RGB: u8 = 7;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_a_key_frame_says() {
        // 8-bit 4:2:0 of 320x240, as libvpx writes it.
        let frame = [0x82, 0x49, 0x83, 0x42, 0x00, 0x13, 0xf0, 0x0e, 0xf0, 0x00];
        let header = KeyHeader::parse(&frame).unwrap();
        assert_eq!((header.width, header.height), (320, 240));
        assert_eq!((header.profile, header.bit_depth), (0, 8));
        assert_eq!(&header.config()[..3], [0, 20, 0x82]);
        assert!(!is_key(&[0x86, 0x49, 0x83, 0x42, 0, 0, 0, 0, 0, 0]), "an inter frame");
        assert!(!is_key(&frame[..8]), "cut short");
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged(bytes in proptest::collection::vec(any::<u8>(), 0..20)) {
            if let Some(header) = KeyHeader::parse(&bytes) {
                prop_assert_eq!(header.config().len(), 8);
            }
        }
    }
}
