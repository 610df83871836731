//! Codec names as players want them (RFC 6381), for HLS `CODECS` and Media Source Extensions.

use std::fmt::Write;

use crate::{Codec, Track};

/// The track's codec in the form of RFC 6381: `avc1.64001F`, `mp4a.40.2`, ...
///
/// It names the sample entry that [`mp4`](crate::mp4) writes. Where the configuration is still
/// empty or too short, the sample entry's four letters alone.
///
/// ```
/// use pegasus_media::{Codec, Shape, Track, TrackId, codec_string};
/// let track = Track {
///     id: TrackId(0),
///     codec: Codec::Aac,
///     clock_rate: 48_000,
///     shape: Shape::Audio { channels: 2, sample_rate: 48_000 },
///     config: vec![0x11, 0x90].into(),
/// };
/// assert_eq!(codec_string(&track), "mp4a.40.2");
/// ```
#[must_use]
pub fn codec_string(track: &Track) -> String {
    let config = &track.config[..];
    match track.codec {
        Codec::H264 => avc(config).unwrap_or_else(|| "avc1".into()),
        Codec::H265 => hevc(config).unwrap_or_else(|| "hvc1".into()),
        Codec::Av1 => av1(config).unwrap_or_else(|| "av01".into()),
        Codec::Vp9 => vp9(config).unwrap_or_else(|| "vp09".into()),
        Codec::Aac => aac(config).unwrap_or_else(|| "mp4a.40".into()),
        Codec::Mjpeg => "mp4v.6C".into(),
        Codec::Opus => "opus".into(),
        Codec::Pcmu => "ulaw".into(),
        Codec::Pcma => "alaw".into(),
        Codec::L16 => "twos".into(),
    }
}

/// Profile, constraint flags and level, as three hexadecimal bytes (RFC 6381, 3.3).
fn avc(record: &[u8]) -> Option<String> {
    let [_, profile, constraints, level, ..] = record else { return None };
    Some(format!("avc1.{profile:02X}{constraints:02X}{level:02X}"))
}

/// ISO/IEC 14496-15, annex E.3.
fn hevc(record: &[u8]) -> Option<String> {
    let (fixed, _) = record.split_first_chunk::<13>()?;
    let mut text = String::from("hvc1.");
    match fixed[1] >> 6 {
        0 => {}
        space => text.push(char::from(b'A' + space - 1)),
    }
    let compatibility = u32::from_be_bytes([fixed[2], fixed[3], fixed[4], fixed[5]]);
    let tier = if fixed[1] & 0x20 == 0 { 'L' } else { 'H' };
    // Infallible: writing to a string.
    let _ =
        write!(text, "{}.{:X}.{tier}{}", fixed[1] & 0x1f, compatibility.reverse_bits(), fixed[12]);
    let constraints = &fixed[6..12];
    let used = constraints.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    for byte in &constraints[..used] {
        let _ = write!(text, ".{byte:X}");
    }
    Some(text)
}

/// Profile, level, tier and bit depth (AV1 in ISOBMFF, section 5).
fn av1(record: &[u8]) -> Option<String> {
    let [_, profile_level, flags, ..] = record else { return None };
    let tier = if flags & 0x80 == 0 { 'M' } else { 'H' };
    let depth = match (flags & 0x40 != 0, flags & 0x20 != 0) {
        (true, true) => 12,
        (true, false) => 10,
        (false, _) => 8,
    };
    let (profile, level) = (profile_level >> 5, profile_level & 0x1f);
    Some(format!("av01.{profile}.{level:02}{tier}.{depth:02}"))
}

/// Profile, level and bit depth (VP Codec ISO Media File Format Binding).
fn vp9(record: &[u8]) -> Option<String> {
    let [profile, level, depth, ..] = record else { return None };
    Some(format!("vp09.{profile:02}.{level:02}.{:02}", depth >> 4))
}

/// The audio object type of an `AudioSpecificConfig` (ISO/IEC 14496-3, 1.6.2.1).
fn aac(config: &[u8]) -> Option<String> {
    let [first, second, ..] = config else { return None };
    let object = match first >> 3 {
        31 => 32 + ((first & 7) << 3 | second >> 5),
        object => object,
    };
    Some(format!("mp4a.40.{object}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Kind, Shape, TrackId};

    fn named(codec: Codec, config: &[u8]) -> String {
        let shape = match codec.kind() {
            Kind::Video => Shape::Video { width: 2, height: 2 },
            Kind::Audio => Shape::Audio { channels: 1, sample_rate: 8_000 },
        };
        let config = config.to_vec().into();
        codec_string(&Track { id: TrackId(0), codec, clock_rate: 8_000, shape, config })
    }

    #[test]
    fn known_names() {
        assert_eq!(named(Codec::H264, &[1, 0x64, 0, 0x1f, 0xff]), "avc1.64001F");
        // The examples of ISO/IEC 14496-15: Main profile, level 3.1, progressive.
        let main = [1, 0x01, 0x60, 0, 0, 0, 0xb0, 0, 0, 0, 0, 0, 93, 0xf0];
        assert_eq!(named(Codec::H265, &main), "hvc1.1.6.L93.B0");
        let tier = [1, 0x62, 0x20, 0, 0, 0, 0x90, 0, 0x01, 0, 0, 0, 150];
        assert_eq!(named(Codec::H265, &tier), "hvc1.A2.4.H150.90.0.1");
        assert_eq!(named(Codec::Av1, &[0x81, 0x04, 0x0c, 0]), "av01.0.04M.08");
        assert_eq!(named(Codec::Av1, &[0x81, 0x2d, 0xe0, 0]), "av01.1.13H.12");
        assert_eq!(named(Codec::Vp9, &[2, 10, 0xa2, 1, 1, 1, 0, 0]), "vp09.02.10.10");
        assert_eq!(named(Codec::Aac, &[0x12, 0x10]), "mp4a.40.2");
        assert_eq!(named(Codec::Aac, &[0xf9, 0x40]), "mp4a.40.42"); // xHE-AAC, escaped
    }

    #[test]
    fn a_short_configuration_names_the_codec_only() {
        for codec in Codec::ALL {
            let name = named(codec, &[]);
            assert!(name.len() >= 4 && !name.ends_with('.'), "{name}");
        }
    }
}
