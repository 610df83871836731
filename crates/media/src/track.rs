//! What a track is: kind, codec, clock rate and the codec's own configuration.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Number of a track in its stream, from 0.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct TrackId(pub u8);

/// What a track carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Pictures.
    Video,
    /// Sound.
    Audio,
}

/// How a track is coded. The comment of each says what [`Track::config`] and
/// [`Unit::data`](crate::Unit::data) hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Codec {
    /// H.264. Config: `AVCDecoderConfigurationRecord` (ISO 14496-15). Data: an access unit, each
    /// NAL behind a 4-byte length, all NALs as they came.
    H264,
    /// H.265. Config: `HEVCDecoderConfigurationRecord`. Data: as for H.264.
    H265,
    /// AV1. Config: `AV1CodecConfigurationRecord`. Data: a temporal unit in low-overhead format
    /// without temporal delimiters.
    Av1,
    /// VP9. Config: the payload of `vpcC` behind its version and flags. Data: a frame or superframe.
    Vp9,
    /// JPEG pictures. Config: empty. Data: a whole JFIF picture.
    Mjpeg,
    /// AAC. Config: `AudioSpecificConfig`. Data: one raw access unit, no ADTS.
    Aac,
    /// Opus. Config: the payload of `dOps` (RFC 7845 in ISOBMFF). Data: one packet.
    Opus,
    /// G.711 mu-law. Config: empty. Data: samples.
    Pcmu,
    /// G.711 A-law. Config: empty. Data: samples.
    Pcma,
    /// Signed 16-bit PCM, big endian (L16). Config: empty. Data: interleaved samples.
    L16,
}

impl Codec {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::H264,
        Self::H265,
        Self::Av1,
        Self::Vp9,
        Self::Mjpeg,
        Self::Aac,
        Self::Opus,
        Self::Pcmu,
        Self::Pcma,
        Self::L16,
    ];

    /// Whether it codes pictures or sound.
    #[must_use]
    pub const fn kind(self) -> Kind {
        match self {
            Self::H264 | Self::H265 | Self::Av1 | Self::Vp9 | Self::Mjpeg => Kind::Video,
            Self::Aac | Self::Opus | Self::Pcmu | Self::Pcma | Self::L16 => Kind::Audio,
        }
    }

    /// Its name in JSON, logs and the command: `h264`, `aac`, ...
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::H264 => "h264",
            Self::H265 => "h265",
            Self::Av1 => "av1",
            Self::Vp9 => "vp9",
            Self::Mjpeg => "mjpeg",
            Self::Aac => "aac",
            Self::Opus => "opus",
            Self::Pcmu => "pcmu",
            Self::Pcma => "pcma",
            Self::L16 => "l16",
        }
    }

    /// Its number in the on-disk format; never reused.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::H264 => 1,
            Self::H265 => 2,
            Self::Av1 => 3,
            Self::Vp9 => 4,
            Self::Mjpeg => 5,
            Self::Aac => 16,
            Self::Opus => 17,
            Self::Pcmu => 18,
            Self::Pcma => 19,
            Self::L16 => 20,
        }
    }

    /// The codec with this on-disk number.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| codec.code() == code)
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Codec {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|codec| codec.name() == text).ok_or(())
    }
}

/// Dimensions of a track.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shape {
    /// Width and height in pixels; 0 where not yet known.
    Video {
        /// Pixels across.
        width: u32,
        /// Pixels down.
        height: u32,
    },
    /// Channels and samples per second.
    Audio {
        /// Number of channels.
        channels: u16,
        /// Samples per second of each channel.
        sample_rate: u32,
    },
}

/// One track of a stream.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Track {
    /// Its number in the stream.
    pub id: TrackId,
    /// How it is coded.
    pub codec: Codec,
    /// Ticks per second of its units' time stamps. Never 0.
    pub clock_rate: u32,
    /// Dimensions.
    pub shape: Shape,
    /// The codec's configuration record; see [`Codec`] for its form. May be empty for pictures until
    /// the first parameter sets (AV1: sequence header, VP9: key frame) have been seen.
    pub config: Bytes,
}

impl Track {
    /// Whether the track carries pictures or sound.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.codec.kind()
    }

    /// Width and height in pixels, if this is video and they are known.
    #[must_use]
    pub fn size(&self) -> Option<(u32, u32)> {
        match self.shape {
            Shape::Video { width, height } if width > 0 && height > 0 => Some((width, height)),
            _ => None,
        }
    }

    /// `ticks` of this track's clock in nanoseconds. Saturates.
    #[must_use]
    pub fn ticks_to_ns(&self, ticks: i64) -> i64 {
        let ns = i128::from(ticks) * 1_000_000_000 / i128::from(self.clock_rate.max(1));
        i64::try_from(ns).unwrap_or(if ns < 0 { i64::MIN } else { i64::MAX })
    }
}

impl fmt::Debug for Track {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "track {} {} {:?} at {} Hz", self.id.0, self.codec, self.shape, self.clock_rate)?;
        write!(f, " ({} bytes of configuration)", self.config.len())
    }
}

/// All tracks of a stream, in the order of their ids (`tracks[i].id == i`). Cheap to clone; replaced
/// as a whole when the source changes a codec or its configuration.
pub type TrackSet = Arc<[Track]>;
