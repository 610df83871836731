//! AV1: open bitstream units, the sequence header, the MP4 configuration record, key units. Section
//! numbers are those of the AV1 Bitstream & Decoding Process Specification.

use bytes::{BufMut, Bytes, BytesMut};

use super::bits::Bits;

/// `obu_type` (section 6.2.2) of a sequence header.
pub const SEQUENCE_HEADER: u8 = 1;
/// Of a temporal delimiter.
pub const TEMPORAL_DELIMITER: u8 = 2;
/// Of a frame header on its own.
pub const FRAME_HEADER: u8 = 3;
/// Of a frame: header and tiles.
pub const FRAME: u8 = 6;

/// One open bitstream unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obu {
    /// Its first byte, as it stands.
    pub header: u8,
    /// Its extension byte, if it has one.
    pub extension: Option<u8>,
    /// What follows header and size.
    pub payload: Bytes,
}

impl Obu {
    /// `obu_type`.
    #[must_use]
    pub const fn kind(&self) -> u8 {
        self.header >> 3 & 0x0f
    }

    /// Takes the first unit off `data`; one without a size reaches up to the end. `None` if it is cut
    /// short, or `data` is empty.
    #[must_use]
    pub fn take(data: &mut Bytes) -> Option<Self> {
        let header = *data.first()?;
        let extension = if header & EXTENSION != 0 { Some(*data.get(1)?) } else { None };
        let mut start = 1 + usize::from(extension.is_some());
        let mut end = data.len();
        if header & HAS_SIZE != 0 {
            let (size, len) = read_leb128(&data[start..])?;
            start += len;
            end = start.checked_add(size).filter(|end| *end <= data.len())?;
        }
        let payload = data.slice(start..end);
        *data = data.slice(end..);
        Some(Self { header, extension, payload })
    }

    /// Appends the unit with a size, as the low-overhead format has it (section 5.2).
    pub fn emit(&self, out: &mut BytesMut) {
        out.put_u8(self.header | HAS_SIZE);
        if let Some(extension) = self.extension {
            out.put_u8(extension);
        }
        put_leb128(self.payload.len(), out);
        out.put_slice(&self.payload);
    }
}

/// The units of a temporal unit in low-overhead format; `None` if it is cut short or empty.
#[must_use]
pub fn units(data: &Bytes) -> Option<Vec<Obu>> {
    let mut rest = data.clone();
    let mut units = Vec::new();
    while !rest.is_empty() {
        units.push(Obu::take(&mut rest)?);
    }
    (!units.is_empty()).then_some(units)
}

/// Whether decoding can start at this temporal unit: a shown key frame, with its sequence header.
#[must_use]
pub fn is_key(data: &Bytes) -> bool {
    let units = units(data).unwrap_or_default();
    let sequence = units
        .iter()
        .find(|unit| unit.kind() == SEQUENCE_HEADER)
        .and_then(|unit| SequenceHeader::parse(&unit.payload));
    let frame = units.iter().find(|unit| matches!(unit.kind(), FRAME | FRAME_HEADER));
    let (Some(sequence), Some(frame)) = (sequence, frame) else { return false };
    if sequence.reduced {
        return true; // a still picture is nothing else
    }
    // show_existing_frame 0, frame_type KEY_FRAME 0, show_frame 1 (section 5.9.2).
    frame.payload.first().is_some_and(|byte| byte >> 4 == 0b0001)
}

/// What a sequence header says (section 5.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SequenceHeader {
    /// `seq_profile`, 0 to 2.
    pub profile: u8,
    /// `seq_level_idx` of the first operating point.
    pub level: u8,
    /// `seq_tier` of the first operating point.
    pub high_tier: bool,
    /// `reduced_still_picture_header`.
    pub reduced: bool,
    /// Bits of a sample: 8, 10 or 12.
    pub bit_depth: u8,
    /// Without colour.
    pub monochrome: bool,
    /// Chroma halved across and down.
    pub subsampling: (bool, bool),
    /// `chroma_sample_position`.
    pub chroma_position: u8,
    /// Most pixels across.
    pub width: u32,
    /// Most pixels down.
    pub height: u32,
}

impl SequenceHeader {
    /// Reads the payload of a sequence header; `None` if it is cut short or says the impossible.
    #[must_use]
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let bits = &mut Bits::new(payload);
        let profile = bits.take(3).filter(|profile| *profile <= 2)? as u8;
        bits.flag()?; // still_picture
        let reduced = bits.flag()?;
        let (level, high_tier) =
            if reduced { (bits.take(5)? as u8, false) } else { operating_points(bits)? };
        let (width_bits, height_bits) = (bits.take(4)? + 1, bits.take(4)? + 1);
        let (width, height) = (bits.take(width_bits)? + 1, bits.take(height_bits)? + 1);
        if !reduced && bits.flag()? {
            bits.skip(7)?; // lengths of frame ids
        }
        bits.skip(3)?; // superblocks of 128, filter intra, intra edge filter
        if !reduced {
            skip_inter_tools(bits)?;
        }
        bits.skip(3)?; // super resolution, CDEF, restoration
        let color = Color::parse(bits, profile)?;
        Some(Self {
            profile,
            level,
            high_tier,
            reduced,
            bit_depth: color.bit_depth,
            monochrome: color.monochrome,
            subsampling: color.subsampling,
            chroma_position: color.position,
            width,
            height,
        })
    }

    /// The header in an `AV1CodecConfigurationRecord`; `None` if the record has none.
    #[must_use]
    pub fn of_config(config: &Bytes) -> Option<Self> {
        if config.len() < 4 || config[0] != 0x81 {
            return None;
        }
        let units = units(&config.slice(4..))?;
        let unit = units.iter().find(|unit| unit.kind() == SEQUENCE_HEADER)?;
        Self::parse(&unit.payload)
    }
}

/// The `AV1CodecConfigurationRecord` (AV1 in ISOBMFF section 2.3) for a sequence header unit; `None`
/// if that makes no sense.
#[must_use]
pub fn config(sequence_header: &Obu) -> Option<Bytes> {
    let header = SequenceHeader::parse(&sequence_header.payload)?;
    let mut out = BytesMut::with_capacity(32);
    out.put_u8(0x81);
    out.put_u8(header.profile << 5 | header.level);
    out.put_u8(
        u8::from(header.high_tier) << 7
            | u8::from(header.bit_depth > 8) << 6
            | u8::from(header.bit_depth > 10) << 5
            | u8::from(header.monochrome) << 4
            | u8::from(header.subsampling.0) << 3
            | u8::from(header.subsampling.1) << 2
            | header.chroma_position,
    );
    out.put_u8(0); // initial presentation delay unknown
    sequence_header.emit(&mut out);
    Some(out.freeze())
}

/// Level and tier of the first operating point; passes over all of them.
fn operating_points(bits: &mut Bits<'_>) -> Option<(u8, bool)> {
    let mut delay_bits = None;
    if bits.flag()? {
        bits.skip(64)?; // display tick, time scale
        if bits.flag()? {
            bits.golomb()?; // ticks per picture; its uvlc is an Exp-Golomb code
        }
        if bits.flag()? {
            delay_bits = Some(bits.take(5)? as usize + 1);
            bits.skip(32 + 5 + 5)?;
        }
    }
    let display_delay = bits.flag()?;
    let mut first = None;
    for _ in 0..=bits.take(5)? {
        bits.skip(12)?;
        let level = bits.take(5)? as u8;
        let tier = level > 7 && bits.flag()?;
        if let Some(delay_bits) = delay_bits
            && bits.flag()?
        {
            bits.skip(2 * delay_bits + 1)?;
        }
        if display_delay && bits.flag()? {
            bits.skip(4)?;
        }
        first.get_or_insert((level, tier));
    }
    first
}

fn skip_inter_tools(bits: &mut Bits<'_>) -> Option<()> {
    bits.skip(4)?; // interintra, masked, warped, dual filter
    let order_hint = bits.flag()?;
    if order_hint {
        bits.skip(2)?; // joint compound, reference motion vectors
    }
    // Screen content tools are forced on (2: chosen per frame) or off by the sequence.
    let screen_content = bits.flag()? || bits.flag()?;
    if screen_content && !bits.flag()? {
        bits.skip(1)?; // integer motion vectors forced on or off
    }
    if order_hint {
        bits.skip(3)?;
    }
    Some(())
}

/// `color_config` (section 5.5.2).
struct Color {
    bit_depth: u8,
    monochrome: bool,
    subsampling: (bool, bool),
    position: u8,
}

impl Color {
    fn parse(bits: &mut Bits<'_>, profile: u8) -> Option<Self> {
        let high = bits.flag()?;
        let twelve = profile == 2 && high && bits.flag()?;
        let bit_depth = if twelve { 12 } else { 8 + 2 * u8::from(high) };
        let monochrome = profile != 1 && bits.flag()?;
        let described = bits.flag()?;
        let description = if described { bits.take(24)? } else { 0x02_02_02 };
        let mut color = Self { bit_depth, monochrome, subsampling: (true, true), position: 0 };
        if monochrome {
            return Some(color);
        }
        if description == 0x01_0d_00 {
            color.subsampling = (false, false); // sRGB
            return Some(color);
        }
        bits.flag()?; // range
        color.subsampling = match profile {
            0 => (true, true),
            1 => (false, false),
            _ if bit_depth == 12 => {
                let across = bits.flag()?;
                (across, across && bits.flag()?)
            }
            _ => (true, false),
        };
        if color.subsampling == (true, true) {
            color.position = bits.take(2)? as u8;
        }
        Some(color)
    }
}

const EXTENSION: u8 = 0x04;
const HAS_SIZE: u8 = 0x02;

/// A number of the `leb128` syntax (section 4.10.5) and its length; `None` if it is cut short or
/// above 2^32.
#[must_use]
pub fn read_leb128(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0u64;
    for (i, byte) in bytes.iter().take(8).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return u32::try_from(value).ok().map(|value| (value as usize, i + 1));
        }
    }
    None
}

/// Appends a number in the `leb128` syntax, as short as it can be.
pub fn put_leb128(mut value: usize, out: &mut BytesMut) {
    while value > 0x7f {
        out.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// SVT-AV1's for 320x240 at 25 frames/s, with its size.
    const SEQUENCE: &[u8] =
        &[0x0a, 0x0b, 0x00, 0x00, 0x00, 0x04, 0x3c, 0xff, 0xbc, 0xfb, 0xf9, 0x00, 0x40];

    fn sequence() -> Obu {
        Obu::take(&mut Bytes::from_static(SEQUENCE)).unwrap()
    }

    #[test]
    fn what_the_sequence_header_says() {
        let header = SequenceHeader::parse(&sequence().payload).unwrap();
        assert_eq!((header.profile, header.bit_depth), (0, 8));
        assert_eq!((header.width, header.height), (320, 240));
        assert_eq!(header.subsampling, (true, true));
        let config = config(&sequence()).unwrap();
        assert_eq!(SequenceHeader::of_config(&config), Some(header));
        assert_eq!(&config[4..], SEQUENCE);
    }

    #[test]
    fn key_units_have_both_headers() {
        let unit = |frame: &[u8]| -> Bytes { [SEQUENCE, frame].concat().into() };
        assert!(is_key(&unit(&[0x32, 1, 0x10])));
        assert!(!is_key(&unit(&[0x32, 1, 0x30])), "an inter frame");
        assert!(!is_key(&unit(&[0x32, 1, 0x80])), "an existing frame shown");
        assert!(!is_key(&Bytes::from_static(&[0x32, 1, 0x10])), "no sequence header");
    }

    #[test]
    fn a_unit_cut_short_is_none() {
        assert_eq!(units(&Bytes::from_static(&[0x32, 5, 1])), None);
        assert_eq!(units(&Bytes::new()), None);
        assert_eq!(read_leb128(&[0x80, 0x80]), None);
        assert_eq!(read_leb128(&[0xff, 0xff, 0xff, 0xff, 0x7f]), None, "above 2^32");
    }

    proptest! {
        #[test]
        fn leb128_round_trips(value in 0usize..1 << 32) {
            let mut out = BytesMut::new();
            put_leb128(value, &mut out);
            prop_assert_eq!(read_leb128(&out), Some((value, out.len())));
        }

        #[test]
        fn any_bytes_are_judged(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let data = Bytes::from(bytes);
            let _ = (is_key(&data), SequenceHeader::parse(&data), SequenceHeader::of_config(&data));
        }
    }
}
