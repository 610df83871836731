//! Which tracks a browser can play, and how to tell it what they are.

use pegasus_media::mp4::init_segment;
use pegasus_media::{Codec, Kind, Track, TrackId, TrackSet, codec_string};
use sha2::{Digest as _, Sha256};

/// Whether Media Source Extensions and HLS have the codec at all. Whether a given browser can decode
/// it is the browser's to say.
pub(crate) fn in_mp4(codec: Codec) -> bool {
    matches!(codec, Codec::H264 | Codec::H265 | Codec::Av1 | Codec::Vp9 | Codec::Aac | Codec::Opus)
}

/// The tracks of a stream that fragments are made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Playable {
    /// Those that browsers play, with their ids in the stream. Never empty.
    pub(crate) tracks: Vec<Track>,
    /// The track whose key units begin segments: the first video track, else the first.
    pub(crate) leading: TrackId,
}

/// Why a stream can't be played in fragments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unplayable {
    /// Its codecs are none a browser plays in MP4.
    Codecs,
    /// A track's parameter sets have not come yet.
    Waiting,
}

impl Playable {
    /// Chooses from `tracks`.
    pub(crate) fn of(tracks: &TrackSet) -> Result<Self, Unplayable> {
        let tracks: Vec<Track> = tracks.iter().filter(|t| in_mp4(t.codec)).cloned().collect();
        let video = tracks.iter().find(|track| track.kind() == Kind::Video);
        let leading = video.or(tracks.first()).ok_or(Unplayable::Codecs)?.id;
        if tracks.iter().any(|track| track.config.is_empty()) {
            return Err(Unplayable::Waiting);
        }
        Ok(Self { tracks, leading })
    }

    /// The leading track.
    pub(crate) fn leading(&self) -> &Track {
        let is_leading = |track: &&Track| track.id == self.leading;
        self.tracks.iter().find(is_leading).expect("the leading track is one of the tracks")
    }

    pub(crate) fn has(&self, track: TrackId) -> bool {
        self.tracks.iter().any(|t| t.id == track)
    }

    /// A number that differs where the initialisation segment does; none if there can be no such segment.
    pub(crate) fn fingerprint(&self) -> Option<u32> {
        let digest = Sha256::digest(init_segment(&self.tracks).ok()?);
        digest.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
    }

    /// RFC 6381 names of all tracks, as HLS `CODECS` and MSE want them.
    pub(crate) fn codecs(&self) -> String {
        self.tracks.iter().map(codec_string).collect::<Vec<_>>().join(",")
    }

    /// The MIME type for a source buffer.
    pub(crate) fn mime(&self) -> String {
        let kind = match self.leading().kind() {
            Kind::Video => "video",
            Kind::Audio => "audio",
        };
        format!("{kind}/mp4; codecs=\"{}\"", self.codecs())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{aac, h264, mjpeg};
    use super::*;

    #[test]
    fn what_browsers_cannot_play_is_left_out() {
        let set: TrackSet = vec![mjpeg(0), aac(1), h264(2)].into();
        let playable = Playable::of(&set).unwrap();
        assert_eq!(playable.leading, TrackId(2));
        assert_eq!(playable.mime(), "video/mp4; codecs=\"mp4a.40.2,avc1.42C01E\"");
        assert_eq!(Playable::of(&vec![mjpeg(0)].into()), Err(Unplayable::Codecs));
        let mut early = h264(0);
        early.config = bytes::Bytes::new();
        assert_eq!(Playable::of(&vec![early].into()), Err(Unplayable::Waiting));
    }
}
