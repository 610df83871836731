//! Sample entries read: what a file's track is in our terms, and how its samples become units.

use bytes::{BufMut, Bytes, BytesMut};
use mp4_atom::{Audio, Decode, Visual};

use super::entry::{OBJECT_AAC, OBJECT_JPEG};
use super::walk::{Found, letters};
use crate::{Codec, Shape};

/// What one sample entry says.
#[derive(Clone, Debug)]
pub(super) struct Description {
    pub(super) codec: Codec,
    pub(super) shape: Shape,
    pub(super) config: Bytes,
    pub(super) recast: Recast,
}

/// How samples differ from what [`Codec`] says units hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recast {
    /// Not at all.
    Same,
    /// NAL lengths have this many bytes instead of four.
    NalLength(u8),
    /// 16-bit samples are little endian.
    SwapPairs,
    /// May begin with a temporal delimiter.
    DropDelimiter,
}

/// MPEG-2 AAC, main to SSR: the same bit stream.
const OBJECTS_AAC_MPEG2: std::ops::RangeInclusive<u8> = 0x66..=0x68;

/// The meaning of a sample entry, or why it can't be used.
pub(super) fn describe(entry: &Found<'_>) -> Result<Description, String> {
    match &entry.kind {
        b"avc1" | b"avc3" => nal_coded(entry, Codec::H264, b"avcC", 4),
        b"hvc1" | b"hev1" => nal_coded(entry, Codec::H265, b"hvcC", 21),
        b"av01" => pictures(entry, Codec::Av1, b"av1C", 0, Recast::DropDelimiter),
        b"vp09" => pictures(entry, Codec::Vp9, b"vpcC", 4, Recast::Same),
        b"jpeg" | b"mjpg" => Ok(jpeg(visual(entry)?.0)),
        b"mp4v" => mpeg4_visual(entry),
        b"mp4a" => mpeg4_audio(entry),
        b"Opus" => opus(entry),
        b"ulaw" => sound(entry, Codec::Pcmu, Recast::Same),
        b"alaw" => sound(entry, Codec::Pcma, Recast::Same),
        b"twos" => pcm(entry, Recast::Same),
        b"sowt" => pcm(entry, Recast::SwapPairs),
        b"ipcm" => iso_pcm(entry),
        other => Err(format!("its codec '{}' is not supported", letters(*other))),
    }
}

type Boxes<'a> = Vec<Found<'a>>;

fn visual<'a>(entry: &Found<'a>) -> Result<(Shape, Boxes<'a>), String> {
    let mut rest = entry.body;
    let head = Visual::decode(&mut rest).map_err(|error| format!("its description: {error}"))?;
    let shape = Shape::Video { width: head.width.into(), height: head.height.into() };
    Ok((shape, boxes(entry, rest)))
}

fn audio<'a>(entry: &Found<'a>) -> Result<(Audio, Boxes<'a>), String> {
    let mut rest = entry.body;
    let head = Audio::decode(&mut rest).map_err(|error| format!("its description: {error}"))?;
    Ok((head, boxes(entry, rest)))
}

/// The boxes behind an entry's head. Broken ones at the end are common and harmless.
fn boxes<'a>(entry: &Found<'a>, rest: &[u8]) -> Boxes<'a> {
    entry.children_after(entry.body.len() - rest.len()).map_while(Result::ok).collect()
}

fn config(boxes: &[Found<'_>], kind: &[u8; 4], skip: usize) -> Result<Bytes, String> {
    let found = boxes.iter().find(|found| found.kind == *kind);
    let body = found.ok_or_else(|| format!("it has no '{}' box", letters(*kind)))?.body;
    body.get(skip..)
        .map(Bytes::copy_from_slice)
        .ok_or_else(|| format!("its '{}' box is too short", letters(*kind)))
}

fn pictures(
    entry: &Found<'_>,
    codec: Codec,
    kind: &[u8; 4],
    skip: usize,
    recast: Recast,
) -> Result<Description, String> {
    let (shape, boxes) = visual(entry)?;
    Ok(Description { codec, shape, config: config(&boxes, kind, skip)?, recast })
}

/// H.264 and H.265: byte `at` of the record holds the size of NAL lengths less one.
fn nal_coded(
    entry: &Found<'_>,
    codec: Codec,
    kind: &[u8; 4],
    at: usize,
) -> Result<Description, String> {
    let mut made = pictures(entry, codec, kind, 0, Recast::Same)?;
    let mut record = BytesMut::from(&made.config[..]);
    let lengths = record.get_mut(at).ok_or("its configuration is too short")?;
    let size = (*lengths & 3) + 1;
    if size != 4 {
        *lengths |= 3;
        made.recast = Recast::NalLength(size);
        made.config = record.freeze();
    }
    Ok(made)
}

fn jpeg(shape: Shape) -> Description {
    Description { codec: Codec::Mjpeg, shape, config: Bytes::new(), recast: Recast::Same }
}

fn mpeg4_visual(entry: &Found<'_>) -> Result<Description, String> {
    let (shape, boxes) = visual(entry)?;
    match elementary(&boxes)?.object_type_indication {
        OBJECT_JPEG => Ok(jpeg(shape)),
        other => Err(format!("its MPEG-4 object type {other:#04x} is not supported")),
    }
}

fn mpeg4_audio(entry: &Found<'_>) -> Result<Description, String> {
    let (head, boxes) = audio(entry)?;
    let stream = elementary(&boxes)?;
    let object = stream.object_type_indication;
    if object != OBJECT_AAC && !OBJECTS_AAC_MPEG2.contains(&object) {
        return Err(format!("its MPEG-4 object type {object:#04x} is not supported"));
    }
    let config = stream.dec_specific.map(|specific| specific.raw).unwrap_or_default();
    if config.len() < 2 {
        return Err("its AAC configuration is missing".into());
    }
    let config = config.into();
    Ok(Description { codec: Codec::Aac, shape: shape_of(&head), config, recast: Recast::Same })
}

/// The decoder configuration of an `esds`, which QuickTime puts into a `wave` box.
fn elementary(boxes: &[Found<'_>]) -> Result<mp4_atom::esds::DecoderConfig, String> {
    let direct = boxes.iter().find(|found| found.kind == *b"esds").copied();
    let nested = || {
        let wave = boxes.iter().find(|found| found.kind == *b"wave")?;
        wave.children().map_while(Result::ok).find(|found| found.kind == *b"esds")
    };
    let found = direct.or_else(nested).ok_or("it has no 'esds' box")?;
    let esds: mp4_atom::Esds = found.decode().map_err(|error| error.to_string())?;
    Ok(esds.es_desc.dec_config)
}

fn opus(entry: &Found<'_>) -> Result<Description, String> {
    let (head, boxes) = audio(entry)?;
    let config = config(&boxes, b"dOps", 0)?;
    Ok(Description { codec: Codec::Opus, shape: shape_of(&head), config, recast: Recast::Same })
}

fn sound(entry: &Found<'_>, codec: Codec, recast: Recast) -> Result<Description, String> {
    let (head, _) = audio(entry)?;
    if head.channel_count == 0 {
        return Err("it has no channels".into());
    }
    Ok(Description { codec, shape: shape_of(&head), config: Bytes::new(), recast })
}

fn pcm(entry: &Found<'_>, recast: Recast) -> Result<Description, String> {
    match audio(entry)?.0.sample_size {
        16 => sound(entry, Codec::L16, recast),
        bits => Err(format!("PCM of {bits} bits is not supported, only of 16")),
    }
}

fn iso_pcm(entry: &Found<'_>) -> Result<Description, String> {
    let (_, boxes) = audio(entry)?;
    match config(&boxes, b"pcmC", 4)?[..] {
        [flags, 16, ..] if flags & 1 == 0 => sound(entry, Codec::L16, Recast::Same),
        [_, 16, ..] => sound(entry, Codec::L16, Recast::SwapPairs),
        _ => Err("PCM is supported with 16 bits only".into()),
    }
}

fn shape_of(head: &Audio) -> Shape {
    let sample_rate = head.sample_rate.integer().into();
    Shape::Audio { channels: head.channel_count, sample_rate }
}

impl Recast {
    /// A sample's bytes as a unit's; an error says what is wrong with them.
    pub(super) fn apply(self, sample: Vec<u8>) -> Result<Bytes, &'static str> {
        match self {
            Self::Same => Ok(sample.into()),
            Self::NalLength(size) => widen_lengths(&sample, usize::from(size)),
            Self::SwapPairs => {
                let mut sample = sample;
                sample.as_chunks_mut::<2>().0.iter_mut().for_each(|pair| pair.reverse());
                Ok(sample.into())
            }
            Self::DropDelimiter => {
                let skip = if sample.starts_with(&[0x12, 0x00]) { 2 } else { 0 };
                Ok(Bytes::from(sample).slice(skip..))
            }
        }
    }
}

fn widen_lengths(mut rest: &[u8], size: usize) -> Result<Bytes, &'static str> {
    let mut wide = BytesMut::with_capacity(rest.len() + 64);
    while !rest.is_empty() {
        let (length, after) = rest.split_at_checked(size).ok_or("it ends in a NAL length")?;
        let length = length.iter().fold(0_u32, |sum, &byte| sum << 8 | u32::from(byte));
        let nal = after.get(..length as usize).ok_or("a NAL unit runs past its end")?;
        wide.put_u32(length);
        wide.extend_from_slice(nal);
        rest = &after[nal.len()..];
    }
    Ok(wide.freeze())
}
