//! The `moov` box read: tracks, their edits and tables.

use bytes::Bytes;
use mp4_atom::{Elst, Hdlr, Mdhd, Mvhd, Tkhd, Trex};

use super::ReadError;
use super::describe::{Description, Recast, describe};
use super::samples::SampleTable;
use super::walk::{Found, letters};
use crate::{Codec, Shape, Track, TrackId};

/// A track of the file that can't be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedTrack {
    /// Its number in the file.
    pub number: u32,
    /// Why, in a few words.
    pub reason: String,
}

/// What `moov` says.
pub(super) struct Movie {
    pub(super) tracks: Vec<TrackIn>,
    pub(super) refused: Vec<RefusedTrack>,
    pub(super) fragmented: bool,
}

/// One usable track of the file.
#[derive(Debug)]
pub(super) struct TrackIn {
    pub(super) number: u32,
    pub(super) clock_rate: u32,
    /// Time in the movie of the media's time 0.
    pub(super) shift_ns: i64,
    /// The sample descriptions, with those of other codecs left out.
    pub(super) descriptions: Vec<Option<Description>>,
    pub(super) table: SampleTable,
    /// Bytes of one sample of all channels, for codecs whose samples are no packets.
    pub(super) frame_bytes: Option<u64>,
    /// What fragments leave out.
    pub(super) defaults: Trex,
}

impl Movie {
    pub(super) fn read(moov: &Found<'_>) -> Result<Self, ReadError> {
        let movie_hz = moov.leaf_maybe::<Mvhd>()?.map_or(0, |head| head.timescale);
        let mut movie = Self { tracks: Vec::new(), refused: Vec::new(), fragmented: false };
        for child in moov.children() {
            let child = child?;
            if child.kind == *b"trak" {
                movie.add(&child, movie_hz);
            }
        }
        if let Some(mvex) = moov.child(b"mvex")? {
            movie.fragmented = true;
            for trex in mvex.children().filter_map(Result::ok).filter(|c| c.kind == *b"trex") {
                let trex: Trex = trex.decode()?;
                let tracks = movie.tracks.iter_mut();
                tracks
                    .filter(|t| t.number == trex.track_id)
                    .for_each(|t| t.defaults = trex.clone());
            }
        }
        Ok(movie)
    }

    /// One bad track does not spoil the others.
    fn add(&mut self, trak: &Found<'_>, movie_hz: u32) {
        let number = trak.leaf::<Tkhd>().map_or(0, |head| head.track_id);
        let read = TrackIn::read(trak, number, movie_hz);
        match read {
            Ok(_) if self.tracks.len() > usize::from(u8::MAX) => {
                let reason = "only 256 tracks are read".into();
                self.refused.push(RefusedTrack { number, reason });
            }
            Ok(track) => self.tracks.push(track),
            Err(reason) => self.refused.push(RefusedTrack { number, reason }),
        }
    }
}

impl TrackIn {
    fn read(trak: &Found<'_>, number: u32, movie_hz: u32) -> Result<Self, String> {
        let said = |error: ReadError| error.to_string();
        let mdia = trak.expect(b"mdia").map_err(said)?;
        let handler = mdia.leaf::<Hdlr>().map_err(said)?.handler;
        if !matches!(handler.as_ref(), b"vide" | b"soun") {
            let handler = letters(*handler.as_ref());
            return Err(format!("it carries '{handler}', neither pictures nor sound"));
        }
        let clock_rate = mdia.leaf::<Mdhd>().map_err(said)?.timescale;
        if clock_rate == 0 {
            return Err("its clock has no ticks".into());
        }
        let minf = mdia.expect(b"minf").map_err(said)?;
        let stbl = minf.expect(b"stbl").map_err(said)?;
        let descriptions = descriptions(&stbl)?;
        let edits = match trak.child(b"edts").map_err(said)? {
            Some(edts) => edts.leaf_maybe::<Elst>().map_err(said)?.unwrap_or_default(),
            None => Elst::default(),
        };
        let frame_bytes = descriptions.iter().flatten().find_map(frame_bytes);
        let mut table = SampleTable::read(&stbl).map_err(said)?;
        if let Some(frame_bytes) = frame_bytes {
            table.widen(frame_bytes);
        }
        Ok(Self {
            number,
            clock_rate,
            shift_ns: shift_ns(&edits, movie_hz, clock_rate),
            descriptions,
            table,
            frame_bytes,
            defaults: Trex::default(),
        })
    }

    /// The track as described by sample entry `entry` (from 1).
    pub(super) fn described(&self, entry: u32) -> Option<&Description> {
        let index = usize::try_from(entry.checked_sub(1)?).ok()?;
        self.descriptions.get(index)?.as_ref()
    }

    /// The first usable description, by its number.
    pub(super) fn first_entry(&self) -> u32 {
        let first = self.descriptions.iter().position(Option::is_some).unwrap_or(0);
        u32::try_from(first + 1).unwrap_or(1)
    }

    /// The track in our terms, as sample entry `entry` describes it.
    pub(super) fn track(&self, id: TrackId, entry: u32) -> Option<Track> {
        let made = self.described(entry)?;
        let shape = match made.shape {
            // The field is too small for high rates; the media clock is the sample clock then.
            Shape::Audio { channels, sample_rate: 0 } => {
                Shape::Audio { channels, sample_rate: self.clock_rate }
            }
            shape => shape,
        };
        let config: Bytes = made.config.clone();
        Some(Track { id, codec: made.codec, clock_rate: self.clock_rate, shape, config })
    }

    pub(super) fn recast(&self, entry: u32) -> Recast {
        self.described(entry).map_or(Recast::Same, |made| made.recast)
    }
}

fn frame_bytes(made: &Description) -> Option<u64> {
    let Shape::Audio { channels, .. } = made.shape else { return None };
    match made.codec {
        Codec::Pcmu | Codec::Pcma => Some(channels.into()),
        Codec::L16 => Some(2 * u64::from(channels)),
        _ => None,
    }
}

fn descriptions(stbl: &Found<'_>) -> Result<Vec<Option<Description>>, String> {
    let stsd = stbl.expect(b"stsd").map_err(|error| error.to_string())?;
    let mut all = Vec::new();
    let mut reason = None;
    for entry in stsd.children_after(8).map_while(Result::ok).take(ENTRIES_MAX) {
        match describe(&entry) {
            Ok(made) => all.push(Some(made)),
            Err(why) => {
                reason.get_or_insert(why);
                all.push(None);
            }
        }
    }
    if all.iter().all(Option::is_none) {
        return Err(reason.unwrap_or_else(|| "it has no sample description".into()));
    }
    Ok(all)
}

/// More sample descriptions than any writer makes.
const ENTRIES_MAX: usize = 4_096;

/// Leading empty edits delay the media; the first real edit says which media time comes first.
/// Further edits (cuts) are not followed.
fn shift_ns(edits: &Elst, movie_hz: u32, clock_rate: u32) -> i64 {
    let mut waiting = 0_i128;
    for edit in &edits.entries {
        match edit.media_time {
            None => waiting += i128::from(edit.segment_duration),
            Some(media_time) => {
                let waited = waiting * NS / i128::from(movie_hz.max(1));
                let skipped = i128::from(media_time) * NS / i128::from(clock_rate);
                return i64::try_from(waited - skipped).unwrap_or(0);
            }
        }
    }
    0
}

const NS: i128 = 1_000_000_000;
