//! Laying out a progressive file from the units' sizes and times.

use pegasus_base::Time;

use super::boxes::Boxes;
use super::header::{MOVIE_CLOCK_HZ, brands};
use super::plan::{Plan, TimePoint, Units};
use super::table::{Laid, Table};
use super::{WriteError, cadence};
use crate::{Track, TrackId, UnitMeta};

/// Plans a progressive MP4 (`moov` first).
///
/// Call [`set_tracks`](Self::set_tracks) before the first sample and whenever the tracks change,
/// [`push`](Self::push) for every unit in the order in which their bytes will lie in the file,
/// [`gap`](Self::gap) where nothing was recorded, and [`finish`](Self::finish) at the end. About 30
/// bytes are kept per sample.
///
/// **Gaps are skipped**: what follows a gap plays right after what precedes it, on all tracks
/// together. [`Plan::time_map`] says which capture time is shown when. Short losses that were not
/// announced as gaps keep their real duration: the picture before them lasts longer.
///
/// The first presented unit is at 0 and the tracks' offsets against one another are exact: edit
/// lists in a movie clock that is a multiple of all tracks' clocks (where one of 31 bits exists).
/// A codec's own delay (AAC priming) is left in.
#[derive(Default)]
pub struct Planner {
    origin: Option<Time>,
    /// Gap time taken out of the line so far.
    skipped_ns: i64,
    tables: Vec<Table>,
    /// Index into `tables` of each track announced, by id.
    current: Vec<(TrackId, usize)>,
    units: Units,
    times: Vec<TimePoint>,
}

impl Planner {
    /// A plan of nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Samples that follow are of these tracks. A new configuration of a track's codec is another
    /// description of the same MP4 track; another codec is another MP4 track.
    pub fn set_tracks(&mut self, tracks: &[Track]) {
        self.current.clear();
        for track in tracks {
            let known = self.tables.iter().rposition(|table| table.continues(track));
            let index = known.unwrap_or_else(|| {
                self.tables.push(Table::new(track));
                self.tables.len() - 1
            });
            self.tables[index].describe(track);
            self.current.push((track.id, index));
        }
    }

    /// Nothing was recorded until `to`: what is captured then follows at once.
    pub fn gap(&mut self, to: Time) {
        let Some(origin) = self.origin else { return };
        let end_ns = self.tables.iter().filter_map(Table::end_ns).max().unwrap_or(0);
        self.skipped_ns = to.ns_since(origin).saturating_sub(end_ns);
        for table in &mut self.tables {
            table.cadence.break_here();
        }
        self.times.push(TimePoint { media_ns: end_ns, time: to });
    }

    /// Adds the next sample of the file.
    ///
    /// # Errors
    /// [`WriteError::UnknownTrack`] if its track was not announced.
    pub fn push(&mut self, sample: &UnitMeta) -> Result<(), WriteError> {
        let known = self.current.iter().find(|(track, _)| *track == sample.track);
        let &(_, index) = known.ok_or(WriteError::UnknownTrack { track: sample.track })?;
        let origin = *self.origin.get_or_insert_with(|| {
            self.times.push(TimePoint { media_ns: 0, time: sample.time });
            sample.time
        });
        let ideal_ns = sample.time.ns_since(origin).saturating_sub(self.skipped_ns);
        let table = &mut self.tables[index];
        let place = table.cadence.place(sample.pts, sample.dts, ideal_ns, sample.key);
        let offset = self.units.len_bytes();
        table.push(place, sample.duration, sample.key, sample.len_bytes, offset);
        self.units.push(sample.len_bytes);
        Ok(())
    }

    /// Samples so far.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.units.len()
    }

    /// Whether there is no sample yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.units.len() == 0
    }

    /// The finished plan.
    ///
    /// # Errors
    /// [`WriteError::Empty`] without samples, [`WriteError::NoConfig`] if a track's configuration
    /// is needed and empty, [`WriteError::TablesTooLarge`] past some hundred million samples.
    ///
    /// # Panics
    /// If an invariant of the planner is broken; not by any sample.
    pub fn finish(mut self) -> Result<Plan, WriteError> {
        self.tables.retain(|table| !table.is_empty());
        if self.tables.is_empty() {
            return Err(WriteError::Empty);
        }
        let movie_hz = movie_clock_hz(self.tables.iter().map(|table| table.track().clock_rate));
        let extents = self.tables.iter().filter_map(|table| table.extent_movie(movie_hz));
        let (first, end) = extents
            .reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
            .expect("a table with samples has an extent");
        let laid = Movie { clock_hz: movie_hz, first, end };

        let head = self.head(&laid)?;
        let zero_ns = cadence::ticks_to_ns(first, movie_hz);
        for point in &mut self.times {
            point.media_ns = point.media_ns.saturating_sub(zero_ns);
        }
        let duration_ns = cadence::ticks_to_ns(end.saturating_sub(first), movie_hz);
        Ok(Plan::new(head, self.units, self.times, u64::try_from(duration_ns).unwrap_or(0)))
    }

    /// Everything before the media data.
    fn head(&self, movie: &Movie) -> Result<Vec<u8>, WriteError> {
        // Offsets of 32 bits unless the file comes near 4 GiB. The tables' size depends on that
        // choice only, so a first pass measures it and a second fills in where the media begins.
        let media_bytes = self.units.len_bytes();
        let mut wide = media_bytes > u64::from(u32::MAX) / 2;
        let mut measured = self.head_at(movie, 0, wide)?.len() as u64;
        if !wide && measured + media_bytes > u64::from(u32::MAX) {
            wide = true;
            measured = self.head_at(movie, 0, wide)?.len() as u64;
        }
        let head = self.head_at(movie, measured, wide)?;
        assert_eq!(head.len() as u64, measured, "a file's tables changed size with its offsets");
        Ok(head)
    }

    fn head_at(&self, movie: &Movie, media_start: u64, wide: bool) -> Result<Vec<u8>, WriteError> {
        let mut out = Boxes::default();
        out.leaf(&brands(b"isom", &[b"isom", b"iso2", b"mp41"]))?;
        out.nest(b"moov", |out| {
            out.leaf(&mp4_atom::Mvhd {
                timescale: movie.clock_hz,
                duration: movie.ticks(movie.first, movie.end),
                rate: 1.into(),
                volume: 1.into(),
                next_track_id: u32::MAX,
                ..mp4_atom::Mvhd::default()
            })?;
            for (table, number) in self.tables.iter().zip(1_u32..) {
                let (first, end) = table
                    .extent_movie(movie.clock_hz)
                    .expect("only tables with samples are written");
                let laid = Laid {
                    wait_movie: movie.ticks(movie.first, first),
                    lasts_movie: movie.ticks(first, end),
                };
                table.write(out, number, laid, media_start, wide)?;
            }
            Ok(())
        })?;
        out.mdat_header(self.units.len_bytes());
        Ok(out.into_vec())
    }
}

/// The time line of the file.
struct Movie {
    clock_hz: u32,
    /// The earliest presentation time, on the planner's line.
    first: i64,
    /// The latest.
    end: i64,
}

impl Movie {
    fn ticks(&self, from: i64, to: i64) -> u64 {
        debug_assert!(self.first <= from && to <= self.end, "a track outside of its movie");
        u64::try_from(to.saturating_sub(from)).unwrap_or(0)
    }
}

/// The least common multiple of the tracks' clock rates, or 90 kHz if that has more than 31 bits.
fn movie_clock_hz(rates: impl Iterator<Item = u32>) -> u32 {
    let common = rates.fold(1_u64, |common, rate| {
        let rate = u64::from(rate.max(1));
        common.saturating_mul(rate / gcd(common, rate))
    });
    match u32::try_from(common) {
        // A clock of a few ticks a second would make everything else coarse.
        Ok(hz @ 1_000..=0x7fff_ffff) => hz,
        Ok(hz @ ..1_000) => hz * 1_000,
        _ => MOVIE_CLOCK_HZ,
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}
