//! Reading session descriptions.

use bytes::Bytes;

use crate::codec::{aac, h264, h265, opus};
use crate::rtp::{AacFormat, Format};
use crate::sdp::fmtp::Fmtp;
use crate::sdp::{Description, Media, Refused};
use crate::{Codec, Shape, Track, TrackId};

/// Why bytes are not a session description. The peer that sent them is at fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SdpError {
    /// It is far longer than any description.
    #[error("a session description of {len} bytes is too long (at most {LEN_MAX})")]
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// It has no `m=` line.
    #[error("the session description names no track")]
    NoTrack,
}

/// Longest description read, in bytes.
const LEN_MAX: usize = 64 << 10;
/// Most `m=` lines read; those after are refused.
const TRACKS_MAX: usize = 32;

/// Reads a description. Bytes that are not UTF-8 only garble what they stand in.
///
/// # Errors
/// [`SdpError`] if there is no track in it, usable or not. Whether all were refused is for the
/// caller to see.
pub fn parse(body: &[u8]) -> Result<Description, SdpError> {
    if body.len() > LEN_MAX {
        return Err(SdpError::TooLong { len: body.len() });
    }
    let text = String::from_utf8_lossy(body);
    let mut description = Description::default();
    let mut sections: Vec<Section<'_>> = Vec::new();
    for line in text.lines() {
        let Some((kind, value)) = line.trim().split_once('=') else { continue };
        let value = value.trim();
        match (kind, sections.last_mut()) {
            ("m", _) => {
                sections.push(Section {
                    media: value,
                    attributes: Vec::new(),
                    bandwidth_bps: None,
                });
            }
            ("b", Some(section)) => {
                section.bandwidth_bps = bandwidth(value).or(section.bandwidth_bps)
            }
            ("b", None) => {
                description.bandwidth_bps = bandwidth(value).or(description.bandwidth_bps)
            }
            ("a", Some(section)) => section.attributes.push(value),
            ("a", None) => {
                if let Some(control) = value.strip_prefix("control:") {
                    description.control = Some(control.trim().to_owned());
                }
            }
            ("s", None) => description.name = value.to_owned(),
            _ => {}
        }
    }
    if sections.is_empty() {
        return Err(SdpError::NoTrack);
    }
    if description.bandwidth_bps.is_none() {
        let each = sections.iter().filter_map(|section| section.bandwidth_bps);
        description.bandwidth_bps = each.reduce(u64::saturating_add);
    }
    for (line, section) in sections.iter().enumerate() {
        let id = TrackId(description.media.len() as u8);
        let control = section.attribute("control").map(str::to_owned);
        let result = if line < TRACKS_MAX {
            section.read(id)
        } else {
            Err(format!("at most {TRACKS_MAX} tracks are read"))
        };
        match result {
            Ok((track, payload_type, format)) => {
                description.media.push(Media { track, payload_type, format, control, line });
            }
            Err(reason) => description.refused.push(Refused { line, control, reason }),
        }
    }
    Ok(description)
}

/// An `m=` line and the attributes below it.
struct Section<'a> {
    media: &'a str,
    attributes: Vec<&'a str>,
    bandwidth_bps: Option<u64>,
}

/// What a `b=` line says, in bits a second (RFC 8866, 5.8; RFC 3890); `None` if it says something else, or nothing.
fn bandwidth(value: &str) -> Option<u64> {
    let (kind, number) = value.split_once(':')?;
    let number: u64 = number.trim().parse().ok().filter(|number| *number > 0)?;
    match kind.trim() {
        "AS" => number.checked_mul(1_000),
        "TIAS" => Some(number),
        _ => None,
    }
}

/// What a payload type stands for.
struct Encoding<'a> {
    payload_type: u8,
    name: &'a str,
    clock_rate: u32,
    channels: u16,
    fmtp: Fmtp<'a>,
}

impl<'a> Section<'a> {
    /// The value of the first attribute `name`.
    fn attribute(&self, name: &str) -> Option<&'a str> {
        self.attributes
            .iter()
            .find_map(|attribute| Some(attribute.strip_prefix(name)?.strip_prefix(':')?.trim()))
    }

    /// The value of attribute `name` that begins with this payload type.
    fn of_type(&self, name: &str, payload_type: u8) -> Option<&'a str> {
        self.attributes.iter().find_map(|attribute| {
            let value = attribute.strip_prefix(name)?.strip_prefix(':')?.trim_start();
            let (number, rest) = value.split_once(char::is_whitespace)?;
            (number.parse() == Ok(payload_type)).then(|| rest.trim())
        })
    }

    /// The track, or why it can't be used.
    fn read(&self, id: TrackId) -> Result<(Track, u8, Format), String> {
        let mut words = self.media.split_whitespace();
        let kind = words.next().unwrap_or("");
        let protocol = words.nth(1).unwrap_or("");
        if !matches!(kind, "video" | "audio") {
            return Err(format!("a track of '{}' is not supported", clip(kind)));
        }
        let upper = protocol.to_ascii_uppercase();
        if upper.contains("SAVP") {
            return Err("encrypted RTP is not supported".to_owned());
        }
        if !upper.starts_with("RTP/AVP") {
            return Err(format!("'{}' instead of RTP is not supported", clip(protocol)));
        }
        let mut reason = format!("its line 'm={}' names no payload type", clip(self.media));
        for payload_type in words.filter_map(|word| word.parse().ok()).filter(|pt| *pt < 128) {
            let result = self
                .encoding(payload_type)
                .and_then(|encoding| Ok((encoding.track(kind, id)?, encoding.format()?)));
            match result {
                Ok((track, format)) => return Ok((track, payload_type, format)),
                Err(why) => reason = why,
            }
        }
        Err(reason)
    }

    fn encoding(&self, payload_type: u8) -> Result<Encoding<'a>, String> {
        let fmtp = Fmtp(self.of_type("fmtp", payload_type).unwrap_or(""));
        let Some(map) = self.of_type("rtpmap", payload_type) else {
            let (name, clock_rate, channels) = static_type(payload_type)
                .ok_or_else(|| format!("payload type {payload_type} has no rtpmap"))?;
            return Ok(Encoding { payload_type, name, clock_rate, channels, fmtp });
        };
        let mut parts = map.split('/').map(str::trim);
        let name = parts.next().unwrap_or("");
        let static_rate = static_type(payload_type).map(|(_, rate, _)| rate);
        let clock_rate = match parts.next().map(str::parse) {
            Some(Ok(rate)) if rate > 0 => Some(rate),
            _ => static_rate,
        };
        let clock_rate = clock_rate
            .ok_or_else(|| format!("'a=rtpmap:{payload_type} {}' has no clock rate", clip(map)))?;
        let channels = parts.next().and_then(|count| count.parse().ok()).filter(|n| *n > 0);
        let channels = channels.unwrap_or(1);
        Ok(Encoding { payload_type, name, clock_rate, channels, fmtp })
    }
}

impl Encoding<'_> {
    fn track(&self, kind: &str, id: TrackId) -> Result<Track, String> {
        let (codec, config) = self.codec()?;
        let clock_rate = self.clock_rate;
        let shape = self.shape(codec, &config);
        let track = Track { id, codec, clock_rate, shape, config };
        let said = if kind == "video" { crate::Kind::Video } else { crate::Kind::Audio };
        if track.kind() != said {
            return Err(format!("{kind} in {codec} makes no sense"));
        }
        Ok(track)
    }

    fn codec(&self) -> Result<(Codec, Bytes), String> {
        let fmtp = self.fmtp;
        let none = Bytes::new();
        Ok(match self.name.to_ascii_uppercase().as_str() {
            "H264" if fmtp.number("packetization-mode") == Some(2) => {
                return Err("H.264 in interleaved packetization mode is not supported".to_owned());
            }
            "H264" => (Codec::H264, h264_config(fmtp)),
            "H265" | "HEVC" if fmtp.number("sprop-max-don-diff").unwrap_or(0) > 0 => {
                return Err("H.265 sent out of decode order is not supported".to_owned());
            }
            "H265" | "HEVC" => (Codec::H265, h265_config(fmtp)),
            "AV1" => (Codec::Av1, none),
            "VP9" => (Codec::Vp9, none),
            "JPEG" => (Codec::Mjpeg, none),
            "MPEG4-GENERIC" => (Codec::Aac, self.aac_config()?),
            "OPUS" => {
                let channels = if fmtp.number("sprop-stereo") == Some(0) { 1 } else { 2 };
                let rate = fmtp.number("sprop-maxcapturerate").unwrap_or(48_000);
                (Codec::Opus, opus::config(channels, opus::PRE_SKIP_USUAL, rate))
            }
            "PCMU" => (Codec::Pcmu, none),
            "PCMA" => (Codec::Pcma, none),
            "L16" => (Codec::L16, none),
            "" => return Err(format!("payload type {} has no encoding name", self.payload_type)),
            _ => return Err(format!("the encoding {} is not supported", clip(self.name))),
        })
    }

    fn aac_config(&self) -> Result<Bytes, String> {
        let config = match self.fmtp.hex("config").filter(|config| !config.is_empty()) {
            Some(config) => config,
            // Without one, plain AAC at the rate and channels of the rtpmap is the best there is.
            None => aac::lc_config(self.clock_rate, self.channels)
                .ok_or_else(|| format!("AAC at {} Hz needs a config parameter", self.clock_rate))?,
        };
        match aac::AudioConfig::parse(&config) {
            Some(parsed) if matches!(parsed.object_type, 1..=4 | 23 | 39 | 42) => Ok(config),
            Some(parsed) => {
                Err(format!("MPEG-4 audio object type {} is not supported", parsed.object_type))
            }
            None => Err("the config parameter of its AAC can't be read".to_owned()),
        }
    }

    fn format(&self) -> Result<Format, String> {
        if !self.name.eq_ignore_ascii_case("mpeg4-generic") {
            return Ok(Format::Plain);
        }
        let fmtp = self.fmtp;
        if fmtp.text("sizelength").is_none() {
            // AAC-hbr and AAC-lbr fix the widths (RFC 3640 sections 3.3.5 and 3.3.6); a config
            // without either, of one access unit in each packet, is allowed but not seen.
            let low = fmtp.text("mode").is_some_and(|mode| mode.eq_ignore_ascii_case("AAC-lbr"));
            let (size_bits, index_bits) = if low { (6, 2) } else { (13, 3) };
            let index_delta_bits = index_bits;
            return Ok(Format::Aac(AacFormat {
                size_bits,
                index_bits,
                index_delta_bits,
                ..AacFormat::HBR
            }));
        }
        Ok(Format::Aac(AacFormat {
            size_bits: fmtp.bits("sizelength")?,
            index_bits: fmtp.bits("indexlength")?,
            index_delta_bits: fmtp.bits("indexdeltalength")?,
            cts_delta_bits: fmtp.bits("ctsdeltalength")?,
            dts_delta_bits: fmtp.bits("dtsdeltalength")?,
            random_access: fmtp.number("randomaccessindication") == Some(1),
            stream_state_bits: fmtp.bits("streamstateindication")?,
            auxiliary_bits: fmtp.bits("auxiliarydatasizelength")?,
        }))
    }

    fn shape(&self, codec: Codec, config: &[u8]) -> Shape {
        let (width, height) = match codec {
            Codec::H264 => h264::ParameterSets::parse(config).and_then(|sets| sets.size()),
            Codec::H265 => h265::ParameterSets::parse(config).and_then(|sets| sets.size()),
            Codec::Av1 | Codec::Vp9 | Codec::Mjpeg => None,
            Codec::Aac => {
                let config = aac::AudioConfig::parse(config);
                let channels = config.map_or(0, |config| config.channels);
                let channels = if channels > 0 { channels } else { self.channels };
                let sample_rate = config.map_or(self.clock_rate, |config| config.output_rate);
                return Shape::Audio { channels, sample_rate };
            }
            Codec::Opus => {
                let channels = config.get(1).copied().unwrap_or(2).into();
                return Shape::Audio { channels, sample_rate: 48_000 };
            }
            Codec::Pcmu | Codec::Pcma | Codec::L16 => {
                return Shape::Audio { channels: self.channels, sample_rate: self.clock_rate };
            }
        }
        .unwrap_or((0, 0));
        Shape::Video { width, height }
    }
}

/// Encodings of payload types that need no `rtpmap` (RFC 3551 section 6).
fn static_type(payload_type: u8) -> Option<(&'static str, u32, u16)> {
    Some(match payload_type {
        0 => ("PCMU", 8_000, 1),
        8 => ("PCMA", 8_000, 1),
        10 => ("L16", 44_100, 2),
        11 => ("L16", 44_100, 1),
        26 => ("JPEG", 90_000, 1),
        _ => return None,
    })
}

fn h264_config(fmtp: Fmtp<'_>) -> Bytes {
    let mut sets = h264::ParameterSets::default();
    for nal in fmtp.nals("sprop-parameter-sets") {
        sets.add(&nal);
    }
    sets.config().unwrap_or_default()
}

fn h265_config(fmtp: Fmtp<'_>) -> Bytes {
    let mut sets = h265::ParameterSets::default();
    for name in ["sprop-vps", "sprop-sps", "sprop-pps"] {
        for nal in fmtp.nals(name) {
            sets.add(&nal);
        }
    }
    sets.config().unwrap_or_default()
}

/// A peer's text, short enough to quote.
fn clip(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(40).collect()
}
