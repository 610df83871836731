//! The `moov` box: what is common to fragmented and progressive files.

use bytes::Bytes;
use mp4_atom::{
    Dinf, Dref, DrefEntry, Elst, Ftyp, Hdlr, Mdhd, Mvhd, Smhd, Stco, Stsc, Stsz, Stts, Tkhd, Trex,
    Url, Vmhd,
};

use super::boxes::{Boxes, kind};
use super::{WriteError, entry};
use crate::{Kind, Track, TrackId};

/// Ticks per second of the movie header where no track asks for more.
pub(super) const MOVIE_CLOCK_HZ: u32 = 90_000;

/// The start of a fragmented MP4: `ftyp` and `moov`, without any unit. Fragments made by a
/// [`Fragmenter`](super::Fragmenter) of the same tracks follow it. The track `TrackId(n)` has the
/// MP4 track number `n + 1`.
///
/// # Errors
/// [`WriteError::NoConfig`] if a track's configuration is needed and empty.
pub fn init_segment(tracks: &[Track]) -> Result<Bytes, WriteError> {
    let mut out = Boxes::default();
    out.leaf(&brands(b"iso6", &[b"iso6", b"mp41"]))?;
    out.nest(b"moov", |out| {
        out.leaf(&Mvhd {
            timescale: MOVIE_CLOCK_HZ,
            rate: 1.into(),
            volume: 1.into(),
            next_track_id: u32::MAX,
            ..Mvhd::default()
        })?;
        for track in tracks {
            let head = TrackHead {
                number: number(track.id),
                kind: track.kind(),
                size: track.size(),
                clock_rate: track.clock_rate,
                movie_ticks: 0,
                media_ticks: 0,
                edits: None,
            };
            head.write(out, std::slice::from_ref(track), no_samples)?;
        }
        out.nest(b"mvex", |out| {
            tracks.iter().try_for_each(|track| out.leaf(&extends(number(track.id))))
        })
    })?;
    Ok(out.into_vec().into())
}

/// The MP4 track number of a track; 0 is not allowed.
pub(super) fn number(track: TrackId) -> u32 {
    u32::from(track.0) + 1
}

/// The file type box.
pub(super) fn brands(major: &[u8; 4], compatible: &[&[u8; 4]]) -> Ftyp {
    Ftyp {
        major_brand: kind(major),
        minor_version: 0x200,
        compatible_brands: compatible.iter().map(|letters| kind(letters)).collect(),
    }
}

fn extends(track_id: u32) -> Trex {
    Trex { track_id, default_sample_description_index: 1, ..Trex::default() }
}

/// What a `trak` says besides its sample table.
pub(super) struct TrackHead {
    /// MP4 track number, from 1.
    pub(super) number: u32,
    /// Picture or sound.
    pub(super) kind: Kind,
    /// Pixels, for video.
    pub(super) size: Option<(u32, u32)>,
    /// Ticks per second of the media.
    pub(super) clock_rate: u32,
    /// Presented duration in ticks of the movie.
    pub(super) movie_ticks: u64,
    /// Duration in ticks of the media.
    pub(super) media_ticks: u64,
    /// How the media is laid on the movie's time line.
    pub(super) edits: Option<Elst>,
}

impl TrackHead {
    /// Appends the `trak`: `entries` are its sample descriptions, `samples` appends the tables.
    pub(super) fn write(
        &self,
        out: &mut Boxes,
        entries: &[Track],
        samples: impl FnOnce(&mut Boxes) -> Result<(), WriteError>,
    ) -> Result<(), WriteError> {
        out.nest(b"trak", |out| {
            out.leaf(&self.track_header())?;
            if let Some(edits) = &self.edits {
                out.nest(b"edts", |out| out.leaf(edits))?;
            }
            out.nest(b"mdia", |out| {
                out.leaf(&self.media_header())?;
                out.leaf(&self.handler())?;
                out.nest(b"minf", |out| {
                    match self.kind {
                        Kind::Video => out.leaf(&Vmhd::default())?,
                        Kind::Audio => out.leaf(&Smhd::default())?,
                    }
                    out.leaf(&same_file())?;
                    out.nest(b"stbl", |out| {
                        describe(out, entries)?;
                        samples(out)
                    })
                })
            })
        })
    }

    fn track_header(&self) -> Tkhd {
        let (width, height) = self.size.unwrap_or((0, 0));
        let clip = |pixels: u32| u16::try_from(pixels).unwrap_or(u16::MAX);
        let audio = self.kind == Kind::Audio;
        Tkhd {
            track_id: self.number,
            duration: self.movie_ticks,
            // Tracks of one kind are alternatives of one another.
            alternate_group: u16::from(audio),
            enabled: true,
            in_movie: true,
            volume: u8::from(audio).into(),
            width: clip(width).into(),
            height: clip(height).into(),
            ..Tkhd::default()
        }
    }

    fn media_header(&self) -> Mdhd {
        Mdhd {
            timescale: self.clock_rate,
            duration: self.media_ticks,
            language: "und".into(),
            ..Mdhd::default()
        }
    }

    fn handler(&self) -> Hdlr {
        let (handler, name) = match self.kind {
            Kind::Video => (b"vide", "video"),
            Kind::Audio => (b"soun", "audio"),
        };
        Hdlr { handler: kind(handler), name: name.into() }
    }
}

fn same_file() -> Dinf {
    Dinf { dref: Dref { entries: vec![DrefEntry::Url(Url::default())] } }
}

fn describe(out: &mut Boxes, entries: &[Track]) -> Result<(), WriteError> {
    out.nest(b"stsd", |out| {
        let count = u32::try_from(entries.len()).map_err(|_| WriteError::TablesTooLarge)?;
        out.raw(&[0; 4]);
        out.raw(&count.to_be_bytes());
        entries.iter().try_for_each(|track| entry::write(out, track))
    })
}

fn no_samples(out: &mut Boxes) -> Result<(), WriteError> {
    out.leaf(&Stts::default())?;
    out.leaf(&Stsc::default())?;
    out.leaf(&Stsz::default())?;
    out.leaf(&Stco::default())
}
