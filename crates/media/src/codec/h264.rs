//! H.264: parameter sets, the MP4 configuration record, key pictures.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};
use h264_reader::nal::sps::SeqParameterSet;
use h264_reader::rbsp::{BitReader, ByteReader};

use super::bits::Bits;
use super::nal::{self, unescape};

/// `nal_unit_type` of a NAL unit (ITU-T H.264 table 7-1); 0 for an empty one.
#[must_use]
pub fn nal_type(nal: &[u8]) -> u8 {
    nal.first().map_or(0, |header| header & 0x1f)
}

/// A slice of an IDR picture.
pub const IDR: u8 = 5;
/// Supplemental enhancement information.
pub const SEI: u8 = 6;
/// Sequence parameter set.
pub const SPS: u8 = 7;
/// Picture parameter set.
pub const PPS: u8 = 8;
/// Access unit delimiter.
pub const AUD: u8 = 9;

/// The parameter sets in force, by their ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParameterSets {
    sps: BTreeMap<u32, Bytes>,
    /// With the id of the sequence parameter set each refers to.
    pps: BTreeMap<u32, (u32, Bytes)>,
}

impl ParameterSets {
    /// The sets in an `AVCDecoderConfigurationRecord` (ISO 14496-15 section 5.3.3.1); `None` if it
    /// is cut short or its NAL lengths are not of 4 bytes.
    #[must_use]
    pub fn parse(config: &[u8]) -> Option<Self> {
        let (&head, mut rest) = config.split_first_chunk::<6>()?;
        if head[0] != 1 || head[4] & 3 != 3 {
            return None;
        }
        let mut sets = Self::default();
        let mut count = head[5] & 0x1f;
        for kind in [SPS, PPS] {
            for _ in 0..count {
                let (&len, tail) = rest.split_first_chunk::<2>()?;
                let (nal, tail) = tail.split_at_checked(u16::from_be_bytes(len).into())?;
                if nal_type(nal) == kind {
                    sets.add(&Bytes::copy_from_slice(nal));
                }
                rest = tail;
            }
            if kind == SPS {
                (count, rest) = rest.split_first().map(|(count, rest)| (*count, rest))?;
            }
        }
        Some(sets)
    }

    /// Puts a parameter set in force. True if it is one and says anything new. A changed sequence
    /// parameter set ends the picture parameter sets that refer to it.
    pub fn add(&mut self, nal: &Bytes) -> bool {
        let head = unescape(nal.get(1..).unwrap_or(&[]), 32);
        match nal_type(nal) {
            SPS => {
                // profile_idc, constraint flags, level_idc; then seq_parameter_set_id.
                let Some(id) = head.get(3..).and_then(|rest| Bits::new(rest).golomb()) else {
                    return false;
                };
                if id > 31 || self.sps.get(&id) == Some(nal) {
                    return false;
                }
                self.pps.retain(|_, (sps, _)| *sps != id);
                self.sps.insert(id, nal.clone());
                true
            }
            PPS => {
                let mut bits = Bits::new(&head);
                let (Some(id), Some(sps)) = (bits.golomb(), bits.golomb()) else { return false };
                let new = (sps, nal.clone());
                if id > 255 || sps > 31 || self.pps.get(&id) == Some(&new) {
                    return false;
                }
                self.pps.insert(id, new);
                true
            }
            _ => false,
        }
    }

    /// All sets, sequence parameter sets first.
    pub fn nals(&self) -> impl Iterator<Item = &Bytes> {
        self.sps.values().chain(self.pps.values().map(|(_, nal)| nal))
    }

    /// The `AVCDecoderConfigurationRecord` with these sets; `None` while one of the kinds is missing.
    #[must_use]
    pub fn config(&self) -> Option<Bytes> {
        let first = self.sps.values().next().filter(|sps| sps.len() >= 4)?;
        if self.pps.is_empty() || self.nals().any(|nal| nal.len() > usize::from(u16::MAX)) {
            return None;
        }
        let mut out = BytesMut::with_capacity(64);
        out.put_slice(&[
            1,
            first[1],
            first[2],
            first[3],
            0xff,
            0xe0 | self.sps.len().min(31) as u8,
        ]);
        for sps in self.sps.values().take(31) {
            out.put_u16(sps.len() as u16);
            out.put_slice(sps);
        }
        out.put_u8(self.pps.len().min(255) as u8);
        for (_, pps) in self.pps.values().take(255) {
            out.put_u16(pps.len() as u16);
            out.put_slice(pps);
        }
        if let Some(sps) = parse_sps(first).filter(|_| has_extension(first[1])) {
            let chroma = &sps.chroma_info;
            out.put_u8(0xfc | chroma.chroma_format.to_u32() as u8);
            out.put_u8(0xf8 | chroma.bit_depth_luma_minus8);
            out.put_u8(0xf8 | chroma.bit_depth_chroma_minus8);
            out.put_u8(0); // no sequence parameter set extensions
        }
        Some(out.freeze())
    }

    /// Width and height in pixels after cropping, if the first sequence parameter set tells.
    #[must_use]
    pub fn size(&self) -> Option<(u32, u32)> {
        let sps = parse_sps(self.sps.values().next()?)?;
        sps.pixel_dimensions().ok().filter(|(width, height)| *width > 0 && *height > 0)
    }

    /// How many pictures may come out later than they were coded, if the first sequence parameter
    /// set tells (`max_num_reorder_frames`, or none by the profile or the order count type).
    #[must_use]
    pub fn reordered_max(&self) -> Option<u32> {
        let sps = parse_sps(self.sps.values().next()?)?;
        let restrictions =
            sps.vui_parameters.as_ref().and_then(|vui| vui.bitstream_restrictions.as_ref());
        match restrictions {
            Some(restrictions) => Some(restrictions.max_num_reorder_frames),
            // Baseline has no B slices; order count type 2 means output order is decode order.
            None if sps.profile().profile_idc() == 66 => Some(0),
            None => matches!(sps.pic_order_cnt, h264_reader::nal::sps::PicOrderCntType::TypeTwo)
                .then_some(0),
        }
    }
}

/// Whether decoding can start at this access unit, its NALs behind 4-byte lengths: an IDR picture, or
/// an intra picture that says it is a recovery point.
#[must_use]
pub fn is_key(data: &Bytes) -> bool {
    let mut recovery = false;
    let mut intra = None;
    for nal in nal::units(data) {
        match nal_type(&nal) {
            IDR => return true,
            SEI => recovery |= is_recovery_point(&nal),
            // The message stands before the picture; without it the slices need no look.
            1 | 2 if recovery => intra = Some(intra.unwrap_or(true) && is_intra_slice(&nal)),
            _ => {}
        }
    }
    recovery && intra == Some(true)
}

/// Whether the slice is the first of its picture: `first_mb_in_slice` is 0.
#[must_use]
pub fn is_first_slice(nal: &[u8]) -> bool {
    nal.get(1).is_some_and(|byte| byte & 0x80 != 0)
}

/// Whether every macroblock of the slice is intra coded (`slice_type` I or SI).
pub(crate) fn is_intra_slice(nal: &[u8]) -> bool {
    let head = unescape(nal.get(1..).unwrap_or(&[]), 16);
    let mut bits = Bits::new(&head);
    let slice_type = bits.golomb().and_then(|_| bits.golomb());
    slice_type.is_some_and(|slice_type| matches!(slice_type % 5, 2 | 4))
}

/// Whether the SEI has a recovery point message with `recovery_frame_cnt` 0 (ITU-T H.264 D.1.8).
pub(crate) fn is_recovery_point(nal: &[u8]) -> bool {
    let payload = unescape(nal.get(1..).unwrap_or(&[]), 4_096);
    let mut rest = &payload[..];
    while rest.len() > 2 {
        let Some((kind, after)) = sei_number(rest) else { return false };
        let Some((len, after)) = sei_number(after) else { return false };
        let Some((message, after)) = after.split_at_checked(len) else { return false };
        if kind == 6 {
            return Bits::new(message).golomb() == Some(0);
        }
        rest = after;
    }
    false
}

/// A number of the SEI syntax: 255 as often as it fits, then the rest (ITU-T H.264 section 7.3.2.3.1).
fn sei_number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let full = bytes.iter().take_while(|byte| **byte == 255).count();
    let last = *bytes.get(full)?;
    Some((255 * full + usize::from(last), &bytes[full + 1..]))
}

/// Whether the record of this profile ends with chroma format and bit depths.
fn has_extension(profile_idc: u8) -> bool {
    !matches!(profile_idc, 66 | 77 | 88)
}

fn parse_sps(nal: &[u8]) -> Option<SeqParameterSet> {
    let reader = BitReader::new(ByteReader::skipping_h264_header(nal));
    SeqParameterSet::from_bits(reader).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// 768x432 Baseline.
    const SPS_BASELINE: &[u8] = &[
        0x67, 0x42, 0x80, 0x16, 0x96, 0x54, 0x06, 0x01, 0xbd, 0x35, 0x06, 0x06, 0x06, 0x40, 0x00,
        0x00, 0x03, 0x00, 0x40, 0x00, 0x00, 0x06, 0x61,
    ];
    /// 704x480 High, with a VUI, of a camera.
    const SPS_HIGH: &[u8] = &[
        0x67, 0x64, 0x00, 0x1e, 0xac, 0x2c, 0x6a, 0x82, 0xc0, 0xf6, 0x9b, 0x82, 0x80, 0x82, 0xa0,
        0x00, 0x00, 0x03, 0x00, 0x20, 0x00, 0x00, 0x03, 0x03, 0xd0, 0x80, 0x00,
    ];
    const PPS_PLAIN: &[u8] = &[0x68, 0xce, 0x35, 0x20];

    fn sets(nals: &[&'static [u8]]) -> ParameterSets {
        let mut sets = ParameterSets::default();
        for nal in nals {
            sets.add(&Bytes::from_static(nal));
        }
        sets
    }

    #[test]
    fn the_record_round_trips() {
        let sets = sets(&[SPS_BASELINE, PPS_PLAIN]);
        let config = sets.config().unwrap();
        assert_eq!(ParameterSets::parse(&config), Some(sets.clone()));
        assert_eq!(sets.size(), Some((768, 432)));
        assert_eq!(sets.reordered_max(), Some(0));
        for len in 0..config.len() {
            assert_eq!(ParameterSets::parse(&config[..len]), None, "cut to {len} bytes");
        }
    }

    #[test]
    fn a_changed_sps_ends_its_pps() {
        let mut sets = sets(&[SPS_BASELINE, PPS_PLAIN]);
        assert!(!sets.add(&Bytes::from_static(SPS_BASELINE)), "nothing new");
        let mut changed = SPS_BASELINE.to_vec();
        changed[3] = 0x1f;
        assert!(sets.add(&changed.into()));
        assert_eq!(sets.config(), None);
        assert!(sets.add(&Bytes::from_static(PPS_PLAIN)));
        assert_eq!(sets.config().unwrap()[3], 0x1f);
    }

    #[test]
    fn key_pictures() {
        let recovery = [6, 6, 1, 0xc4, 0x80];
        let no_recovery = [6, 6, 1, 0x44, 0x80];
        let (intra, inter) = ([0x41, 0x88, 0x80], [0x41, 0x9a, 0x80]);
        assert!(is_intra_slice(&intra) && !is_intra_slice(&inter));
        assert!(is_key(&nal::join([&[0x65, 0x88][..]])));
        assert!(is_key(&nal::join([&recovery[..], &intra])));
        assert!(!is_key(&nal::join([&recovery[..], &intra, &inter])));
        assert!(!is_key(&nal::join([&no_recovery[..], &intra])));
        assert!(!is_key(&nal::join([&intra[..]])));
        assert!(!is_key(&Bytes::new()));
    }

    #[test]
    fn high_profile_has_more_in_its_record() {
        let sets = sets(&[SPS_HIGH, PPS_PLAIN]);
        let config = sets.config().unwrap();
        assert_eq!(config[config.len() - 4..], [0xfd, 0xf8, 0xf8, 0]);
        assert_eq!(sets.size(), Some((704, 480)));
        assert_eq!(ParameterSets::parse(&config), Some(sets));
    }

    proptest! {
        #[test]
        fn damaged_sets_are_judged(
            high: bool, changes in proptest::collection::vec((1usize..64, any::<u8>()), 1..6),
        ) {
            let mut sps = if high { SPS_HIGH } else { SPS_BASELINE }.to_vec();
            for (at, byte) in changes {
                let at = at % sps.len();
                if at > 0 {
                    sps[at] = byte;
                }
            }
            let mut sets = ParameterSets::default();
            sets.add(&sps.into());
            sets.add(&Bytes::from_static(PPS_PLAIN));
            let _ = (sets.config(), sets.size(), sets.reordered_max());
        }

        #[test]
        fn any_bytes_are_judged(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let data = Bytes::from(bytes);
            let _ = (ParameterSets::parse(&data), is_key(&data), is_recovery_point(&data));
            let mut sets = ParameterSets::default();
            for kind in [SPS, PPS] {
                let nal: Bytes = [&[0x60 | kind][..], &data].concat().into();
                sets.add(&nal);
            }
            let _ = (sets.config(), sets.size(), sets.reordered_max());
        }
    }
}
