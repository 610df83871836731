//! Sample entries (`stsd`): how a track's codec and configuration are written.

use mp4_atom::{Audio, Visual, esds};

use super::WriteError;
use super::boxes::Boxes;
use crate::{Codec, Kind, Shape, Track};

/// Object type of JPEG pictures in an `mp4v` entry (ISO/IEC 14496-1, table 5).
pub(super) const OBJECT_JPEG: u8 = 0x6c;
/// Object type of AAC in an `mp4a` entry.
pub(super) const OBJECT_AAC: u8 = 0x40;

const STREAM_VISUAL: u8 = 0x04;
const STREAM_AUDIO: u8 = 0x05;

/// Appends the sample entry of `track`.
pub(super) fn write(out: &mut Boxes, track: &Track) -> Result<(), WriteError> {
    if needs_config(track.codec) && track.config.is_empty() {
        return Err(WriteError::NoConfig { track: track.id, codec: track.codec });
    }
    out.nest(entry_kind(track.codec), |out| {
        match track.kind() {
            Kind::Video => out.part(&visual(track))?,
            Kind::Audio => out.part(&audio(track))?,
        }
        config(out, track)
    })
}

/// The four letters of the codec's sample entry.
pub(super) const fn entry_kind(codec: Codec) -> &'static [u8; 4] {
    match codec {
        Codec::H264 => b"avc1",
        Codec::H265 => b"hvc1",
        Codec::Av1 => b"av01",
        Codec::Vp9 => b"vp09",
        Codec::Mjpeg => b"mp4v",
        Codec::Aac => b"mp4a",
        Codec::Opus => b"Opus",
        // QuickTime's, read by every tool; the ISO forms of PCM (ISO/IEC 23003-5) are not.
        Codec::Pcmu => b"ulaw",
        Codec::Pcma => b"alaw",
        Codec::L16 => b"twos",
    }
}

/// Whether a decoder can't start without the configuration record.
const fn needs_config(codec: Codec) -> bool {
    match codec {
        Codec::H264 | Codec::H265 | Codec::Av1 | Codec::Vp9 | Codec::Aac | Codec::Opus => true,
        Codec::Mjpeg | Codec::Pcmu | Codec::Pcma | Codec::L16 => false,
    }
}

fn config(out: &mut Boxes, track: &Track) -> Result<(), WriteError> {
    let record = &track.config;
    let boxed = |out: &mut Boxes, kind: &[u8; 4], version: &[u8]| {
        out.nest(kind, |out| {
            out.raw(version);
            out.raw(record);
            Ok(())
        })
    };
    match track.codec {
        Codec::H264 => boxed(out, b"avcC", &[]),
        Codec::H265 => boxed(out, b"hvcC", &[]),
        Codec::Av1 => boxed(out, b"av1C", &[]),
        Codec::Vp9 => boxed(out, b"vpcC", &[1, 0, 0, 0]),
        Codec::Opus => boxed(out, b"dOps", &[]),
        Codec::Aac => out.leaf(&descriptor(OBJECT_AAC, STREAM_AUDIO, Some(record))),
        Codec::Mjpeg => out.leaf(&descriptor(OBJECT_JPEG, STREAM_VISUAL, None)),
        Codec::Pcmu | Codec::Pcma | Codec::L16 => Ok(()),
    }
}

fn descriptor(object: u8, stream: u8, config: Option<&[u8]>) -> mp4_atom::Esds {
    let specific =
        config.map(|raw| esds::DecoderSpecific { raw: raw.to_vec(), ..Default::default() });
    mp4_atom::Esds {
        es_desc: esds::EsDescriptor {
            dec_config: esds::DecoderConfig {
                object_type_indication: object,
                stream_type: stream,
                dec_specific: specific,
                ..Default::default()
            },
            ..Default::default()
        },
    }
}

fn visual(track: &Track) -> Visual {
    let (width, height) = track.size().unwrap_or((0, 0));
    let clip = |pixels: u32| u16::try_from(pixels).unwrap_or(u16::MAX);
    Visual {
        data_reference_index: 1,
        width: clip(width),
        height: clip(height),
        ..Visual::default()
    }
}

fn audio(track: &Track) -> Audio {
    let (channels, rate) = match track.shape {
        Shape::Audio { channels, sample_rate } => (channels, sample_rate),
        Shape::Video { .. } => (1, track.clock_rate),
    };
    Audio {
        data_reference_index: 1,
        channel_count: channels,
        sample_size: 16,
        // The field has 16 bits; where they don't suffice readers take the codec's own record.
        sample_rate: u16::try_from(rate).unwrap_or(0).into(),
    }
}
