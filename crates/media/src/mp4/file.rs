//! MP4 files as units.

use std::io::{Read, Seek, SeekFrom};

use pegasus_base::Time;

use super::ReadError;
use super::cadence::ticks_to_ns;
use super::moof::{self, Queue};
use super::movie::{Movie, RefusedTrack, TrackIn};
use super::samples::{Cursor, Sample};
use super::source::{load, read_at, top_box};
use super::walk::Found;
use crate::{Kind, TrackId, TrackSet, Unit};

/// A sample larger than this is taken for garbage.
const SAMPLE_MAX_BYTES: u64 = 128 << 20;

/// How much sound of a codec without packets makes one unit.
const SOUND_UNIT_MS: u32 = 20;
const SOUND_UNIT_MAX: u32 = 4_096;

/// How many samples of fragments are read ahead to find one of each track.
const AHEAD_MAX: usize = 4_096;

/// What a file holds next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// The tracks of the units that follow: comes first, and when a description changes.
    Tracks(TrackSet),
    /// A unit.
    Unit(Unit),
}

/// Reads an MP4 file, progressive or fragmented, over anything that reads and seeks.
///
/// Units come in decode order within each track, the tracks interleaved by decode time. `pts` and
/// `dts` are the file's own ticks; `time` is the start asked for plus the presentation time, the
/// file's edit lists obeyed as far as they delay or trim a track's beginning. Tracks that are
/// neither pictures nor sound, or of a codec that isn't supported, are left out and listed in
/// [`refused`](Self::refused).
///
/// Memory is bounded by the file's own tables (at most 256 MiB) and one sample. Garbage gives an
/// error that says where.
///
/// ```no_run
/// use pegasus_base::Time;
/// use pegasus_media::mp4::{Item, Mp4File};
/// let mut file = Mp4File::open(std::fs::File::open("film.mp4")?)?;
/// while let Some(item) = file.next(Time::from_secs(1_000))? {
///     if let Item::Unit(unit) = item {
///         assert!(!unit.data.is_empty());
///     }
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Mp4File<R> {
    reader: R,
    len_bytes: u64,
    tracks: Vec<TrackIn>,
    refused: Vec<RefusedTrack>,
    set: TrackSet,
    /// Where the first box behind `moov` begins, if fragments may follow.
    fragments_at: Option<u64>,
    state: State,
}

/// How far reading has come.
struct State {
    told: bool,
    cursors: Vec<Cursor>,
    /// The next sample of each track.
    ahead: Vec<Option<Sample>>,
    queues: Vec<Queue>,
    /// The next box to look at for fragments; `None` when there are no more.
    next_box: Option<u64>,
    entries: Vec<u32>,
    /// How much later samples are shown than decoded at least: negative if a file says so.
    shown_after_min: Vec<i64>,
    last_dts: Vec<i64>,
}

impl<R: Read + Seek> Mp4File<R> {
    /// Reads the file's tables.
    ///
    /// # Errors
    /// [`ReadError`]: the file is not MP4, is cut short, malformed, or has no usable track.
    pub fn open(mut reader: R) -> Result<Self, ReadError> {
        let io = |source| ReadError::Io { offset: 0, source };
        let len_bytes = reader.seek(SeekFrom::End(0)).map_err(io)?;
        let (movie, behind) = find_movie(&mut reader, len_bytes)?;
        if movie.tracks.is_empty() {
            return Err(ReadError::NoTracks { refused: movie.refused });
        }
        let fragments_at = movie.fragmented.then_some(behind);
        let tracks = movie.tracks;
        let state = State::begin(&tracks, fragments_at);
        let set = track_set(&tracks, &state.entries);
        Ok(Self { reader, len_bytes, tracks, refused: movie.refused, set, fragments_at, state })
    }

    /// The tracks of the units that come next.
    #[must_use]
    pub fn tracks(&self) -> &TrackSet {
        &self.set
    }

    /// The tracks left out, and why.
    #[must_use]
    pub fn refused(&self) -> &[RefusedTrack] {
        &self.refused
    }

    /// How long a progressive file plays; `None` for a fragmented one, which does not say.
    #[must_use]
    pub fn duration_ns(&self) -> Option<u64> {
        if self.fragments_at.is_some() {
            return None;
        }
        let end = |track: &TrackIn| {
            let ticks = i64::try_from(track.table.ticks()).unwrap_or(i64::MAX);
            ticks_to_ns(ticks, track.clock_rate).saturating_add(track.shift_ns.max(0))
        };
        self.tracks.iter().map(end).max().and_then(|ns| u64::try_from(ns).ok())
    }

    /// Begins again with the first unit.
    pub fn rewind(&mut self) {
        self.state = State::begin(&self.tracks, self.fragments_at);
        self.set = track_set(&self.tracks, &self.state.entries);
    }

    /// What comes next; `None` at the end. Presentation time 0 of the file is `start`.
    ///
    /// # Errors
    /// [`ReadError`]. The file can't be read on from there.
    ///
    /// # Panics
    /// If an invariant of the reader is broken; not by any file.
    pub fn next(&mut self, start: Time) -> Result<Option<Item>, ReadError> {
        if !self.state.told {
            self.state.told = true;
            return Ok(Some(Item::Tracks(self.set.clone())));
        }
        loop {
            let Some(index) = self.earliest()? else { return Ok(None) };
            let sample = self.state.ahead[index].take().expect("the earliest track has a sample");
            let track = &self.tracks[index];
            if track.described(sample.entry).is_none() || sample.len_bytes == 0 {
                continue; // of a codec that isn't supported, or nothing
            }
            if sample.entry != self.state.entries[index] {
                self.state.entries[index] = sample.entry;
                self.state.ahead[index] = Some(sample);
                let set = track_set(&self.tracks, &self.state.entries);
                if set != self.set {
                    self.set = set;
                    return Ok(Some(Item::Tracks(self.set.clone())));
                }
                continue;
            }
            return self.unit(index, sample, start).map(|unit| Some(Item::Unit(unit)));
        }
    }

    /// The track whose next sample is decoded first.
    fn earliest(&mut self) -> Result<Option<usize>, ReadError> {
        // Some writers give each track its own fragments: look ahead until all have a sample.
        while self.state.lacks(&self.tracks) && self.next_fragment()? {}
        let next = self.state.ahead.iter().zip(&self.tracks).enumerate();
        let times = next.filter_map(|(index, (sample, track))| {
            let decoded_ns = ticks_to_ns(sample.as_ref()?.dts, track.clock_rate);
            Some((decoded_ns.saturating_add(track.shift_ns), index))
        });
        Ok(times.min().map(|(_, index)| index))
    }

    /// Reads the next `moof`; false if there is none.
    fn next_fragment(&mut self) -> Result<bool, ReadError> {
        while let Some(at) = self.state.next_box {
            let Some(head) = top_box(&mut self.reader, at, self.len_bytes)? else {
                self.state.next_box = None;
                break;
            };
            self.state.next_box = Some(head.end);
            if head.kind == *b"moof" {
                let body = load(&mut self.reader, &head)?;
                let found = Found { kind: head.kind, at: head.body_at, body: &body };
                moof::read(&found, head.at, &self.tracks, &mut self.state.queues)?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn unit(&mut self, index: usize, sample: Sample, start: Time) -> Result<Unit, ReadError> {
        let track = &self.tracks[index];
        let id = self.set[index].id;
        let end = sample.offset.checked_add(sample.len_bytes);
        if end.is_none_or(|end| end > self.len_bytes) || sample.len_bytes > SAMPLE_MAX_BYTES {
            return Err(ReadError::Sample {
                track: id,
                sample: sample.number,
                offset: sample.offset,
                len_bytes: sample.len_bytes,
            });
        }
        let bytes = read_at(&mut self.reader, sample.offset, sample.len_bytes)?;
        let data = track
            .recast(sample.entry)
            .apply(bytes)
            .map_err(|reason| ReadError::Content { track: id, offset: sample.offset, reason })?;
        let pts = sample.dts.saturating_add(sample.shown_after);
        let shown_ns = ticks_to_ns(pts, track.clock_rate).saturating_add(track.shift_ns);
        Ok(Unit {
            track: id,
            pts,
            dts: self.state.decode_time(index, &sample),
            time: start.offset_ns(shown_ns),
            duration: sample.duration,
            key: sample.key || self.set[index].kind() == Kind::Audio,
            data,
        })
    }
}

impl State {
    fn begin(tracks: &[TrackIn], fragments_at: Option<u64>) -> Self {
        Self {
            told: false,
            cursors: tracks.iter().map(|_| Cursor::default()).collect(),
            ahead: tracks.iter().map(|_| None).collect(),
            queues: tracks.iter().map(|_| Queue::default()).collect(),
            next_box: fragments_at,
            entries: tracks.iter().map(TrackIn::first_entry).collect(),
            shown_after_min: tracks.iter().map(|track| track.table.shown_after_min()).collect(),
            last_dts: tracks.iter().map(|_| i64::MIN).collect(),
        }
    }

    /// Takes the next sample of every track, from its table first and then from its fragments.
    /// Whether one lacks a sample that a further fragment may have.
    fn lacks(&mut self, tracks: &[TrackIn]) -> bool {
        for (index, track) in tracks.iter().enumerate() {
            if self.ahead[index].is_none() {
                let table_next = self.table_next(index, track);
                self.ahead[index] = table_next.or_else(|| self.queues[index].samples.pop_front());
            }
        }
        let queued: usize = self.queues.iter().map(|queue| queue.samples.len()).sum();
        let enough = queued >= AHEAD_MAX && self.ahead.iter().any(Option::is_some);
        self.next_box.is_some() && !enough && self.ahead.iter().any(Option::is_none)
    }

    /// The next sample of the table; single samples of sound are put together to a unit.
    fn table_next(&mut self, index: usize, track: &TrackIn) -> Option<Sample> {
        let cursor = &mut self.cursors[index];
        let samples_max = (track.clock_rate / 1_000 * SOUND_UNIT_MS).clamp(1, SOUND_UNIT_MAX);
        match track.frame_bytes {
            Some(frame_bytes) => cursor.next_run(&track.table, frame_bytes, samples_max),
            None => cursor.next(&track.table),
        }
    }

    /// The decode time in our terms: not above the presentation time. Files may say otherwise
    /// (negative composition offsets), by a constant that has no meaning but in the file.
    fn decode_time(&mut self, index: usize, sample: &Sample) -> i64 {
        let lead = &mut self.shown_after_min[index];
        *lead = sample.shown_after.min(*lead);
        let dts = sample.dts.saturating_add(*lead).max(self.last_dts[index]);
        self.last_dts[index] = dts;
        dts
    }
}

/// The `moov` box, and where the box behind it begins.
fn find_movie(reader: &mut (impl Read + Seek), len_bytes: u64) -> Result<(Movie, u64), ReadError> {
    let mut at = 0;
    while let Some(head) = top_box(reader, at, len_bytes)? {
        if head.kind == *b"moov" {
            let body = load(reader, &head)?;
            let found = Found { kind: head.kind, at: head.body_at, body: &body };
            return Ok((Movie::read(&found)?, head.end));
        }
        at = head.end;
    }
    Err(ReadError::NoMovie)
}

fn track_set(tracks: &[TrackIn], entries: &[u32]) -> TrackSet {
    let ids = (0..=u8::MAX).map(TrackId);
    let described = tracks.iter().zip(entries).zip(ids).map(|((track, &entry), id)| {
        track.track(id, entry).expect("only supported sample descriptions are entered")
    });
    described.collect()
}
