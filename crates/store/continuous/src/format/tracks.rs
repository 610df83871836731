//! The tracks of a stream as they stand at the head of every block.

use bytes::Bytes;
use pegasus_media::{Codec, Shape, Track, TrackId, TrackSet};

use super::bytes::{Fields, FormatError};
use crate::tracks::check_tracks;

/// Bytes of a track before its configuration.
const TRACK_LEN: usize = 18;
const VIDEO: u8 = 1;
const AUDIO: u8 = 2;

/// Appends `tracks` to `out`.
pub(crate) fn emit(tracks: &[Track], out: &mut Vec<u8>) {
    out.push(u8::try_from(tracks.len()).expect("at most 64 tracks are recorded"));
    for track in tracks {
        let (kind, a, b) = match track.shape {
            Shape::Video { width, height } => (VIDEO, width, height),
            Shape::Audio { channels, sample_rate } => (AUDIO, u32::from(channels), sample_rate),
        };
        out.extend([track.codec.code(), kind]);
        for value in [track.clock_rate, a, b, track.config.len() as u32] {
            out.extend(value.to_le_bytes());
        }
        out.extend_from_slice(&track.config);
    }
}

/// Bytes [`emit`] appends.
pub(crate) fn coded_len(tracks: &[Track]) -> usize {
    1 + tracks.iter().map(|track| TRACK_LEN + track.config.len()).sum::<usize>()
}

/// Reads what [`emit`] wrote.
pub(crate) fn parse(bytes: &[u8]) -> Result<TrackSet, FormatError> {
    let mut fields = Fields::new(bytes);
    let count = fields.u8()?;
    let tracks: Vec<Track> =
        (0..count).map(|id| track(&mut fields, TrackId(id))).collect::<Result<_, _>>()?;
    if fields.rest() > 0 || check_tracks(&tracks).is_err() {
        return Err(FormatError::Field { field: "track table" });
    }
    Ok(tracks.into())
}

fn track(fields: &mut Fields<'_>, id: TrackId) -> Result<Track, FormatError> {
    let code = fields.u8()?;
    let codec = Codec::from_code(code).ok_or(FormatError::Field { field: "codec" })?;
    let kind = fields.u8()?;
    let clock_rate = fields.u32()?;
    let (a, b) = (fields.u32()?, fields.u32()?);
    let shape = match kind {
        VIDEO => Shape::Video { width: a, height: b },
        AUDIO => {
            let channels =
                u16::try_from(a).map_err(|_| FormatError::Field { field: "channels" })?;
            Shape::Audio { channels, sample_rate: b }
        }
        _ => return Err(FormatError::Field { field: "kind of track" }),
    };
    let len = fields.u32()? as usize;
    let config = Bytes::copy_from_slice(fields.take(len)?);
    Ok(Track { id, codec, clock_rate, shape, config })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn any_tracks() -> impl Strategy<Value = TrackSet> {
        let track = (
            0..Codec::ALL.len(),
            1u32..200_000,
            any::<(bool, u16, u32)>(),
            proptest::collection::vec(any::<u8>(), 0..60),
        );
        proptest::collection::vec(track, 1..5).prop_map(|tracks| {
            tracks
                .into_iter()
                .enumerate()
                .map(|(i, (codec, clock_rate, (video, a, b), config))| Track {
                    id: TrackId(i as u8),
                    codec: Codec::ALL[codec],
                    clock_rate,
                    shape: if video {
                        Shape::Video { width: a.into(), height: b }
                    } else {
                        Shape::Audio { channels: a, sample_rate: b }
                    },
                    config: config.into(),
                })
                .collect::<Vec<_>>()
                .into()
        })
    }

    proptest! {
        #[test]
        fn round_trip(tracks in any_tracks()) {
            let mut out = Vec::new();
            emit(&tracks, &mut out);
            prop_assert_eq!(parse(&out), Ok(tracks));
        }

        #[test]
        fn any_bytes_parse_or_fail(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = parse(&bytes);
        }
    }
}
