//! Writing session descriptions.

use std::fmt::Write as _;

use crate::codec::{aac, av1, h264, h265, vp9};
use crate::rtp::{clock_rate, payload_type};
use crate::sdp::fmtp::{base64_nals, hex};
use crate::{Codec, Kind, Shape, Track};

/// What a description says beside its tracks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session<'a> {
    /// Name of the session, usually the stream's.
    pub name: &'a str,
    /// Number that tells this description from others of the same origin.
    pub id: u64,
    /// What can be asked for: `npt=0-`, `npt=now-`, `npt=0-12.5` or `clock=...`; RFC 2326 C.1.5.
    pub range: Option<&'a str>,
}

/// The description of `tracks`, each with the control attribute `trackID=` and its number, and the
/// payload type that [`payload_type`] gives it.
#[must_use]
pub fn emit(session: &Session<'_>, tracks: &[Track]) -> String {
    let mut out = String::with_capacity(512);
    // A line must not be empty, nor end early.
    let name: String = session.name.chars().filter(|c| !c.is_control()).collect();
    let name = if name.is_empty() { "-" } else { &name };
    let _ = write!(
        out,
        "v=0\r\no=- {} 1 IN IP4 0.0.0.0\r\ns={name}\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\na=tool:Pegasus\r\na=control:*\r\n",
        session.id
    );
    if let Some(range) = session.range {
        let _ = write!(out, "a=range:{range}\r\n");
    }
    for track in tracks {
        emit_track(track, &mut out);
    }
    out
}

fn emit_track(track: &Track, out: &mut String) {
    let kind = match track.kind() {
        Kind::Video => "video",
        Kind::Audio => "audio",
    };
    let (payload_type, rate) = (payload_type(track), clock_rate(track));
    let name = match track.codec {
        Codec::H264 => "H264",
        Codec::H265 => "H265",
        Codec::Av1 => "AV1",
        Codec::Vp9 => "VP9",
        Codec::Mjpeg => "JPEG",
        Codec::Aac => "mpeg4-generic",
        Codec::Opus => "opus",
        Codec::Pcmu => "PCMU",
        Codec::Pcma => "PCMA",
        Codec::L16 => "L16",
    };
    let _ =
        write!(out, "m={kind} 0 RTP/AVP {payload_type}\r\na=rtpmap:{payload_type} {name}/{rate}");
    // RFC 7587 section 7: an Opus rtpmap always says two channels.
    let channels = match (track.codec, track.shape) {
        (Codec::Opus, _) => 2,
        (_, Shape::Audio { channels, .. }) => channels,
        _ => 1,
    };
    if track.codec == Codec::Opus || track.codec == Codec::Aac || channels > 1 {
        let _ = write!(out, "/{channels}");
    }
    out.push_str("\r\n");
    if let Some(parameters) = parameters(track) {
        let _ = write!(out, "a=fmtp:{payload_type} {parameters}\r\n");
    }
    let _ = write!(out, "a=control:trackID={}\r\n", track.id.0);
}

/// The codec's parameters, as its RFC names them; nothing where they come in the stream only.
fn parameters(track: &Track) -> Option<String> {
    match track.codec {
        Codec::H264 => Some(h264_parameters(&track.config)),
        Codec::H265 => h265_parameters(&track.config),
        Codec::Av1 => {
            let header = av1::SequenceHeader::of_config(&track.config)?;
            let (profile, level, tier) = (header.profile, header.level, u8::from(header.high_tier));
            Some(format!("profile={profile};level-idx={level};tier={tier}"))
        }
        Codec::Vp9 => {
            let profile = vp9::profile_of_config(&track.config)?;
            Some(format!("profile-id={profile}"))
        }
        Codec::Aac => Some(aac_parameters(&track.config)),
        Codec::Opus => {
            let stereo = u8::from(track.config.get(1) != Some(&1));
            Some(format!("sprop-stereo={stereo}"))
        }
        Codec::Mjpeg | Codec::Pcmu | Codec::Pcma | Codec::L16 => None,
    }
}

fn h264_parameters(config: &[u8]) -> String {
    let mut out = "packetization-mode=1".to_owned();
    if let Some(sets) = h264::ParameterSets::parse(config) {
        let _ = write!(out, ";profile-level-id={}", hex(&config[1..4]));
        let _ = write!(out, ";sprop-parameter-sets={}", base64_nals(sets.nals()));
    }
    out
}

fn h265_parameters(config: &[u8]) -> Option<String> {
    let sets = h265::ParameterSets::parse(config)?;
    let named = [("vps", h265::VPS), ("sps", h265::SPS), ("pps", h265::PPS)];
    let parameters =
        named.map(|(name, kind)| format!("sprop-{name}={}", base64_nals(sets.of_type(kind))));
    Some(parameters.join(";"))
}

fn aac_parameters(config: &[u8]) -> String {
    // Audio profile and level (ISO 14496-3 table 1.14): AAC at level 2 for up to stereo at 48 kHz,
    // level 4 above. Players take the config for what it is and hardly look here.
    let parsed = aac::AudioConfig::parse(config);
    let large = parsed.is_some_and(|config| config.channels > 2 || config.core_rate > 48_000);
    let level = if large { 0x2a } else { 0x29 };
    format!(
        "streamtype=5;profile-level-id={level};mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3;config={}",
        hex(config)
    )
}
