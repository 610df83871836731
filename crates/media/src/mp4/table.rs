//! The sample table of one track of a planned file, gathered sample by sample.

use mp4_atom::{
    Co64, Ctts, CttsEntry, Elst, ElstEntry, Stco, Stsc, StscEntry, Stss, Stsz, StszSamples, Stts,
    SttsEntry,
};

use super::WriteError;
use super::boxes::Boxes;
use super::cadence::{Cadence, Place, ticks_to_ns};
use super::header::TrackHead;
use crate::{Kind, Track};

/// A chunk is closed beyond this, so that players need not read far to alternate between tracks.
const CHUNK_MAX_BYTES: u64 = 1 << 20;

/// One MP4 track. A source track becomes another one when its codec or clock changes; a change of
/// configuration alone is another sample description of the same one.
pub(super) struct Table {
    pub(super) cadence: Cadence,
    entries: Vec<Track>,
    entry: u32,
    sizes: Vec<u32>,
    steps: Vec<SttsEntry>,
    offsets: Vec<CttsEntry>,
    keys: Vec<u32>,
    chunks: Vec<Chunk>,
    extent: Option<Extent>,
}

/// Samples that lie one after the other in the file.
struct Chunk {
    /// From the start of the media data.
    offset: u64,
    len_bytes: u64,
    samples: u32,
    entry: u32,
}

/// What the samples so far cover, in ticks.
#[derive(Clone, Copy)]
struct Extent {
    dts_first: i64,
    dts_last: i64,
    pts_min: i64,
    pts_end: i64,
    /// How long the last sample lasts.
    lasting: u32,
}

/// How the track lies on the movie's time line.
#[derive(Clone, Copy)]
pub(super) struct Laid {
    /// Ticks of the movie before the track begins.
    pub(super) wait_movie: u64,
    /// Presented ticks of the movie.
    pub(super) lasts_movie: u64,
}

impl Table {
    pub(super) fn new(track: &Track) -> Self {
        Self {
            // The media's own zero is its first decode time, so any place on the line will do.
            cadence: Cadence::new(track.clock_rate, i64::MIN / 2),
            entries: vec![track.clone()],
            entry: 1,
            sizes: Vec::new(),
            steps: Vec::new(),
            offsets: Vec::new(),
            keys: Vec::new(),
            chunks: Vec::new(),
            extent: None,
        }
    }

    /// The track as last described.
    pub(super) fn track(&self) -> &Track {
        self.entries.last().expect("a table begins with a description")
    }

    /// Whether `track` can go on in this table.
    pub(super) fn continues(&self, track: &Track) -> bool {
        let own = self.track();
        own.id == track.id && own.codec == track.codec && own.clock_rate == track.clock_rate
    }

    /// Samples that follow are of `track`.
    pub(super) fn describe(&mut self, track: &Track) {
        let known = self.entries.iter().position(|entry| entry == track);
        let index = known.unwrap_or_else(|| {
            self.entries.push(track.clone());
            self.entries.len() - 1
        });
        self.entry = u32::try_from(index + 1).expect("fewer descriptions than samples");
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sizes.is_empty()
    }

    /// Adds a sample that lies `offset` bytes into the media data.
    pub(super) fn push(&mut self, place: Place, duration: u32, key: bool, len: u32, offset: u64) {
        let lasting = if duration > 0 { duration } else { self.cadence.step() };
        if let Some(extent) = &mut self.extent {
            let step = place.dts.saturating_sub(extent.dts_last);
            add_step(&mut self.steps, u32::try_from(step).unwrap_or(u32::MAX));
            extent.follow(place, lasting);
        } else {
            self.extent = Some(Extent::begin(place, lasting));
        }
        add_offset(&mut self.offsets, place.offset().into());
        self.sizes.push(len);
        if key {
            self.keys.push(u32::try_from(self.sizes.len()).unwrap_or(u32::MAX));
        }
        self.chunk(u64::from(len), offset);
    }

    fn chunk(&mut self, len: u64, offset: u64) {
        match self.chunks.last_mut() {
            Some(last)
                if last.offset + last.len_bytes == offset
                    && last.entry == self.entry
                    && last.len_bytes + len <= CHUNK_MAX_BYTES =>
            {
                last.len_bytes += len;
                last.samples += 1;
            }
            _ => {
                let chunk = Chunk { offset, len_bytes: len, samples: 1, entry: self.entry };
                self.chunks.push(chunk);
            }
        }
    }

    /// By how many ticks all samples are decoded earlier than placed, so that none is shown before it is
    /// decoded. Sources that did not know at first how much they reorder have such samples.
    fn earlier(&self) -> i64 {
        let least = self.offsets.iter().map(|entry| entry.sample_offset).min();
        least.unwrap_or(0).min(0).saturating_neg()
    }

    /// Where the presentation of the track ends so far, on the planner's line.
    pub(super) fn end_ns(&self) -> Option<i64> {
        self.extent.map(|extent| ticks_to_ns(extent.pts_end, self.track().clock_rate))
    }

    /// First and last presentation time in ticks of a clock of `movie_hz`.
    pub(super) fn extent_movie(&self, movie_hz: u32) -> Option<(i64, i64)> {
        let rate = self.track().clock_rate;
        self.extent
            .map(|e| (rescale(e.pts_min, rate, movie_hz), rescale(e.pts_end, rate, movie_hz)))
    }

    /// Appends the `trak` box. `media_start` is where the media data begins in the file.
    pub(super) fn write(
        &self,
        out: &mut Boxes,
        number: u32,
        laid: Laid,
        media_start: u64,
        wide: bool,
    ) -> Result<(), WriteError> {
        let extent = self.extent.expect("only tracks with samples are written");
        let track = self.track();
        let media_ticks = extent.dts_last.saturating_sub(extent.dts_first);
        let media_ticks = media_ticks.saturating_add(extent.lasting.into());
        let head = TrackHead {
            number,
            kind: track.kind(),
            size: track.size(),
            clock_rate: track.clock_rate,
            movie_ticks: laid.wait_movie.saturating_add(laid.lasts_movie),
            media_ticks: u64::try_from(media_ticks).unwrap_or(0),
            edits: Some(edits(laid, extent, self.earlier())),
        };
        head.write(out, &self.entries, |out| self.samples(out, extent.lasting, media_start, wide))
    }

    fn samples(
        &self,
        out: &mut Boxes,
        lasting: u32,
        media_start: u64,
        wide: bool,
    ) -> Result<(), WriteError> {
        let mut steps = self.steps.clone();
        add_step(&mut steps, lasting);
        out.leaf(&Stts { entries: steps })?;
        let mut entries = self.offsets.clone();
        entries.iter_mut().for_each(|entry| entry.sample_offset += self.earlier());
        if entries.iter().any(|entry| entry.sample_offset != 0) {
            out.leaf(&Ctts { entries })?;
        }
        // Without the box every sample is one to start at.
        if self.keys.len() < self.sizes.len() && self.track().kind() == Kind::Video {
            out.leaf(&Stss { entries: self.keys.clone() })?;
        }
        out.leaf(&self.sample_to_chunk())?;
        out.leaf(&Stsz { samples: StszSamples::Different { sizes: self.sizes.clone() } })?;
        let offsets = self.chunks.iter().map(|chunk| media_start + chunk.offset);
        if wide {
            out.leaf(&Co64 { entries: offsets.collect() })
        } else {
            let narrow = |at: u64| u32::try_from(at).expect("the whole file is under 4 GiB");
            out.leaf(&Stco { entries: offsets.map(narrow).collect() })
        }
    }

    fn sample_to_chunk(&self) -> Stsc {
        let mut entries: Vec<StscEntry> = Vec::new();
        for (chunk, first_chunk) in self.chunks.iter().zip(1_u32..) {
            let same = entries.last().is_some_and(|last| {
                last.samples_per_chunk == chunk.samples
                    && last.sample_description_index == chunk.entry
            });
            if !same {
                entries.push(StscEntry {
                    first_chunk,
                    samples_per_chunk: chunk.samples,
                    sample_description_index: chunk.entry,
                });
            }
        }
        Stsc { entries }
    }
}

impl Extent {
    fn begin(place: Place, lasting: u32) -> Self {
        Self {
            dts_first: place.dts,
            dts_last: place.dts,
            pts_min: place.pts,
            pts_end: place.pts.saturating_add(i64::from(lasting)),
            lasting,
        }
    }

    fn follow(&mut self, place: Place, lasting: u32) {
        self.dts_last = place.dts;
        self.pts_min = self.pts_min.min(place.pts);
        self.pts_end = self.pts_end.max(place.pts.saturating_add(i64::from(lasting)));
        self.lasting = lasting;
    }
}

/// An empty edit until the track begins, then the media from its first presented sample on.
fn edits(laid: Laid, extent: Extent, earlier: i64) -> Elst {
    let mut entries = Vec::with_capacity(2);
    let edit = |segment_duration, media_time| ElstEntry {
        segment_duration,
        media_time,
        media_rate: 1.into(),
    };
    if laid.wait_movie > 0 {
        entries.push(edit(laid.wait_movie, None));
    }
    let skipped = extent.pts_min.saturating_sub(extent.dts_first).saturating_add(earlier);
    entries.push(edit(laid.lasts_movie, Some(u64::try_from(skipped).unwrap_or(0))));
    Elst { entries }
}

fn add_step(steps: &mut Vec<SttsEntry>, sample_delta: u32) {
    match steps.last_mut() {
        Some(last) if last.sample_delta == sample_delta => last.sample_count += 1,
        _ => steps.push(SttsEntry { sample_count: 1, sample_delta }),
    }
}

fn add_offset(offsets: &mut Vec<CttsEntry>, sample_offset: i64) {
    match offsets.last_mut() {
        Some(last) if last.sample_offset == sample_offset => last.sample_count += 1,
        _ => offsets.push(CttsEntry { sample_count: 1, sample_offset }),
    }
}

/// Exact where `to_hz` is a multiple of `from_hz`, else rounded down.
fn rescale(ticks: i64, from_hz: u32, to_hz: u32) -> i64 {
    let scaled = i128::from(ticks) * i128::from(to_hz);
    let scaled = scaled.div_euclid(i128::from(from_hz.max(1)));
    i64::try_from(scaled).unwrap_or(if scaled < 0 { i64::MIN } else { i64::MAX })
}
