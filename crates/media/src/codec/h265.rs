//! H.265: parameter sets, the MP4 configuration record, key pictures.
//!
//! Only the beginning of the sequence parameter set is read, by hand: cameras that get its far end
//! (the VUI) wrong are common, and nothing here needs it.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};

use super::bits::Bits;
use super::nal::{self, unescape};

/// `nal_unit_type` of a NAL unit (ITU-T H.265 table 7-1); 63 for one without a whole header.
#[must_use]
pub fn nal_type(nal: &[u8]) -> u8 {
    if nal.len() < 2 { 63 } else { nal[0] >> 1 & 0x3f }
}

/// Video parameter set.
pub const VPS: u8 = 32;
/// Sequence parameter set.
pub const SPS: u8 = 33;
/// Picture parameter set.
pub const PPS: u8 = 34;
/// Access unit delimiter.
pub const AUD: u8 = 35;
/// Supplemental enhancement information before the picture.
pub const PREFIX_SEI: u8 = 39;

/// Whether the type is of a slice of an intra random access point picture: decoding can start there.
#[must_use]
pub const fn is_irap(nal_type: u8) -> bool {
    matches!(nal_type, 16..=23)
}

/// Whether decoding can start at this access unit, its NALs behind 4-byte lengths.
#[must_use]
pub fn is_key(data: &Bytes) -> bool {
    let first_slice = nal::units(data).map(|nal| nal_type(&nal)).find(|kind| *kind < 32);
    first_slice.is_some_and(is_irap)
}

/// Whether the slice is the first of its picture (`first_slice_segment_in_pic_flag`).
#[must_use]
pub fn is_first_slice(nal: &[u8]) -> bool {
    nal.get(2).is_some_and(|byte| byte & 0x80 != 0)
}

/// What the beginning of a sequence parameter set says (ITU-T H.265 section 7.3.2.2.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sps {
    /// Its id, 0 to 15.
    pub id: u32,
    /// General profile, compatibility, constraints and level, as they stand in the set.
    pub profile_tier_level: [u8; 12],
    /// Temporal layers, 1 to 7.
    pub layers: u8,
    /// `sps_temporal_id_nesting_flag`.
    pub nested: bool,
    /// `chroma_format_idc`, 0 to 3.
    pub chroma_format: u8,
    /// Bits of a luma sample beyond 8.
    pub luma_depth_above_8: u8,
    /// Bits of a chroma sample beyond 8.
    pub chroma_depth_above_8: u8,
    /// Pixels across, after cropping.
    pub width: u32,
    /// Pixels down, after cropping.
    pub height: u32,
    /// How many pictures may come out later than they were coded, at the highest layer.
    pub reordered_max: u32,
}

impl Sps {
    /// Reads the set, NAL header included; `None` if it is none, is cut short, or says the impossible.
    #[must_use]
    pub fn parse(nal: &[u8]) -> Option<Self> {
        if nal_type(nal) != SPS {
            return None;
        }
        let rbsp = unescape(&nal[2..], 512);
        let profile_tier_level = *rbsp.get(1..)?.first_chunk::<12>()?;
        let mut bits = Bits::new(&rbsp);
        bits.skip(4)?; // the video parameter set's id
        let above_lowest = bits.take(3)?;
        let nested = bits.flag()?;
        bits.skip(96)?;
        skip_layers(&mut bits, above_lowest)?;
        let id = bits.golomb().filter(|id| *id < 16)?;
        let chroma_format = bits.golomb().filter(|format| *format <= 3)?;
        let separate_planes = chroma_format == 3 && bits.flag()?;
        let (width, height) = size(&mut bits, if separate_planes { 0 } else { chroma_format })?;
        let luma_depth_above_8 = bits.golomb().filter(|depth| *depth <= 8)?;
        let chroma_depth_above_8 = bits.golomb().filter(|depth| *depth <= 8)?;
        bits.golomb()?; // the width of picture order counts
        let each = bits.flag()?;
        let mut reordered_max = 0;
        for _ in 0..if each { above_lowest + 1 } else { 1 } {
            bits.golomb()?;
            reordered_max = bits.golomb().filter(|count| *count <= 16)?;
            bits.golomb()?;
        }
        Some(Self {
            id,
            profile_tier_level,
            layers: above_lowest as u8 + 1,
            nested,
            chroma_format: chroma_format as u8,
            luma_depth_above_8: luma_depth_above_8 as u8,
            chroma_depth_above_8: chroma_depth_above_8 as u8,
            width,
            height,
            reordered_max,
        })
    }
}

/// Passes over profile and level of the layers (section 7.3.3).
fn skip_layers(bits: &mut Bits<'_>, above_lowest: u32) -> Option<()> {
    let mut skip = 0;
    for _ in 0..above_lowest {
        skip += if bits.flag()? { 88 } else { 0 };
        skip += if bits.flag()? { 8 } else { 0 };
    }
    if above_lowest > 0 {
        bits.skip(2 * (8 - above_lowest as usize))?;
    }
    bits.skip(skip)
}

/// Width and height after cropping; the window counts in chroma samples.
fn size(bits: &mut Bits<'_>, chroma_format: u32) -> Option<(u32, u32)> {
    let mut size = [bits.golomb()?, bits.golomb()?];
    if bits.flag()? {
        let unit = match chroma_format {
            1 => [2, 2],
            2 => [2, 1],
            _ => [1, 1],
        };
        for (len, unit) in size.iter_mut().zip(unit) {
            let crop = bits.golomb()?.checked_add(bits.golomb()?)?.checked_mul(unit)?;
            *len = len.checked_sub(crop)?;
        }
    }
    (size[0] > 0 && size[1] > 0).then_some((size[0], size[1]))
}

/// The parameter sets in force, by kind and id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParameterSets {
    /// Keyed by NAL unit type and id.
    sets: BTreeMap<(u8, u32), Bytes>,
}

impl ParameterSets {
    /// The sets in an `HEVCDecoderConfigurationRecord` (ISO 14496-15 section 8.3.3.1); `None` if it
    /// is cut short or its NAL lengths are not of 4 bytes.
    #[must_use]
    pub fn parse(config: &[u8]) -> Option<Self> {
        let (head, mut rest) = config.split_first_chunk::<23>()?;
        if head[0] != 1 || head[21] & 3 != 3 {
            return None;
        }
        let mut sets = Self::default();
        for _ in 0..head[22] {
            let (array, tail) = rest.split_first_chunk::<3>()?;
            rest = tail;
            for _ in 0..u16::from_be_bytes([array[1], array[2]]) {
                let (&len, tail) = rest.split_first_chunk::<2>()?;
                let (nal, tail) = tail.split_at_checked(u16::from_be_bytes(len).into())?;
                sets.add(&Bytes::copy_from_slice(nal));
                rest = tail;
            }
        }
        Some(sets)
    }

    /// Puts a parameter set in force. True if it is one and says anything new. A changed sequence
    /// parameter set ends the picture parameter sets that refer to it.
    pub fn add(&mut self, nal: &Bytes) -> bool {
        let kind = nal_type(nal);
        let Some(id) = set_id(kind, nal) else { return false };
        if self.sets.get(&(kind, id)) == Some(nal) {
            return false;
        }
        if kind == SPS {
            self.sets
                .retain(|(kind, _), nal| *kind != PPS || pps_ids(nal).map(|ids| ids.1) != Some(id));
        }
        self.sets.insert((kind, id), nal.clone());
        true
    }

    /// The sets of a NAL unit type, by rising id.
    pub fn of_type(&self, kind: u8) -> impl Iterator<Item = &Bytes> {
        self.sets.range((kind, 0)..=(kind, u32::MAX)).map(|(_, nal)| nal)
    }

    /// All sets: video, sequence, picture parameter sets.
    pub fn nals(&self) -> impl Iterator<Item = &Bytes> {
        self.sets.values()
    }

    /// The first sequence parameter set, if it makes sense.
    #[must_use]
    pub fn sps(&self) -> Option<Sps> {
        Sps::parse(self.of_type(SPS).next()?)
    }

    /// The `HEVCDecoderConfigurationRecord` with these sets; `None` while one of the kinds is missing
    /// or the sequence parameter set makes no sense.
    #[must_use]
    pub fn config(&self) -> Option<Bytes> {
        let sps = self.sps()?;
        let complete = [VPS, SPS, PPS].iter().all(|kind| self.of_type(*kind).next().is_some());
        if !complete || self.nals().any(|nal| nal.len() > usize::from(u16::MAX)) {
            return None;
        }
        let mut out = BytesMut::with_capacity(160);
        out.put_u8(1);
        out.put_slice(&sps.profile_tier_level);
        out.put_u16(0xf000); // spatial segmentation unknown
        out.put_u8(0xfc); // parallelism unknown
        out.put_u8(0xfc | sps.chroma_format);
        out.put_u8(0xf8 | sps.luma_depth_above_8.min(7));
        out.put_u8(0xf8 | sps.chroma_depth_above_8.min(7));
        out.put_u16(0); // average frame rate unknown
        out.put_u8(sps.layers << 3 | u8::from(sps.nested) << 2 | 3);
        out.put_u8(3);
        for kind in [VPS, SPS, PPS] {
            out.put_u8(0x80 | kind);
            out.put_u16(self.of_type(kind).count() as u16);
            for nal in self.of_type(kind) {
                out.put_u16(nal.len() as u16);
                out.put_slice(nal);
            }
        }
        Some(out.freeze())
    }

    /// Width and height in pixels after cropping, if known.
    #[must_use]
    pub fn size(&self) -> Option<(u32, u32)> {
        self.sps().map(|sps| (sps.width, sps.height))
    }
}

/// The id of a parameter set; `None` if it is none.
fn set_id(kind: u8, nal: &Bytes) -> Option<u32> {
    match kind {
        VPS => nal.get(2).map(|byte| u32::from(byte >> 4)),
        // A sequence parameter set that can't be read is kept under an id of its own.
        SPS => Some(Sps::parse(nal).map_or(16, |sps| sps.id)),
        PPS => pps_ids(nal).map(|(id, _)| id).filter(|id| *id < 64),
        _ => None,
    }
}

/// A picture parameter set's id and that of the sequence parameter set it refers to.
fn pps_ids(nal: &[u8]) -> Option<(u32, u32)> {
    let head = unescape(nal.get(2..)?, 16);
    let mut bits = Bits::new(&head);
    Some((bits.golomb()?, bits.golomb()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// x265's sets for 320x240, as ffmpeg wrote them into an MP4.
    const VPS_X265: &[u8] = &[
        0x40, 0x01, 0x0c, 0x01, 0xff, 0xff, 0x01, 0x60, 0x00, 0x00, 0x03, 0x00, 0x90, 0x00, 0x00,
        0x03, 0x00, 0x00, 0x03, 0x00, 0x3c, 0x95, 0x98, 0x09,
    ];
    const SPS_X265: &[u8] = &[
        0x42, 0x01, 0x01, 0x01, 0x60, 0x00, 0x00, 0x03, 0x00, 0x90, 0x00, 0x00, 0x03, 0x00, 0x00,
        0x03, 0x00, 0x3c, 0xa0, 0x0a, 0x08, 0x0f, 0x16, 0x59, 0x59, 0xa4, 0x93, 0x2b, 0xc0, 0x5a,
        0x02, 0x00, 0x00, 0x03, 0x00, 0x02, 0x00, 0x00, 0x03, 0x00, 0x32, 0x10,
    ];
    const PPS_X265: &[u8] = &[0x44, 0x01, 0xc1, 0x72, 0xb4, 0x62, 0x40];

    fn sets() -> ParameterSets {
        let mut sets = ParameterSets::default();
        for nal in [VPS_X265, SPS_X265, PPS_X265] {
            assert!(sets.add(&Bytes::from_static(nal)));
        }
        sets
    }

    #[test]
    fn the_record_round_trips() {
        let config = sets().config().unwrap();
        assert_eq!(ParameterSets::parse(&config), Some(sets()));
        for len in 0..config.len() {
            assert_eq!(ParameterSets::parse(&config[..len]), None, "cut to {len} bytes");
        }
    }

    #[test]
    fn what_the_sps_says() {
        let sps = sets().sps().unwrap();
        assert_eq!((sps.width, sps.height), (320, 240));
        assert_eq!((sps.chroma_format, sps.luma_depth_above_8), (1, 0));
        assert_eq!(sps.profile_tier_level[0], 1, "Main profile");
        assert_eq!(sps.reordered_max, 2);
        for len in 0..24 {
            assert_eq!(Sps::parse(&SPS_X265[..len]), None, "cut to {len} bytes");
        }
    }

    #[test]
    fn a_changed_sps_ends_its_pps() {
        let mut sets = sets();
        assert!(!sets.add(&Bytes::from_static(SPS_X265)), "nothing new");
        let changed: Bytes = [SPS_X265, &[0x80]].concat().into();
        assert!(sets.add(&changed));
        assert_eq!(sets.config(), None);
        assert!(sets.add(&Bytes::from_static(PPS_X265)));
        assert!(sets.config().is_some());
    }

    #[test]
    fn key_pictures() {
        let slice = |kind: u8| nal::join([&[0x46, 1, 0x50][..], &[kind << 1, 1, 0x80]]);
        assert!([19, 20, 21, 16].into_iter().all(|kind| is_key(&slice(kind))));
        assert!(![0, 1, 9].into_iter().any(|kind| is_key(&slice(kind))));
        assert!(!is_key(&Bytes::new()));
    }

    proptest! {
        #[test]
        fn damaged_sets_are_judged(
            changes in proptest::collection::vec((2usize..40, any::<u8>()), 1..6),
        ) {
            let mut sps = SPS_X265.to_vec();
            for (at, byte) in changes {
                sps[at] = byte;
            }
            let mut sets = ParameterSets::default();
            for nal in [VPS_X265, &sps, PPS_X265] {
                sets.add(&Bytes::copy_from_slice(nal));
            }
            let _ = (sets.config(), sets.size());
        }

        #[test]
        fn any_bytes_are_judged(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let data = Bytes::from(bytes);
            let _ = (ParameterSets::parse(&data), is_key(&data));
            let mut sets = ParameterSets::default();
            for kind in [VPS, SPS, PPS] {
                let nal: Bytes = [&[kind << 1, 1][..], &data].concat().into();
                sets.add(&nal);
            }
            let _ = (sets.config(), sets.size());
        }
    }
}
