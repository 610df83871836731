//! The sample table of a progressive file, walked lazily: memory is that of the tables as they
//! stand in the file, however many samples they claim.

use mp4_atom::{Co64, Ctts, Stco, Stsc, Stss, Stsz, StszSamples, Stts};

use super::ReadError;
use super::walk::Found;

/// Where a sample is and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    /// Its place in the file.
    pub(super) offset: u64,
    pub(super) len_bytes: u64,
    /// Decode time in ticks of the media.
    pub(super) dts: i64,
    /// Presentation time less decode time.
    pub(super) shown_after: i64,
    pub(super) duration: u32,
    pub(super) key: bool,
    /// Which sample description, from 1.
    pub(super) entry: u32,
    /// Its number in the track, from 1; 0 in a fragment.
    pub(super) number: u64,
}

/// The tables of one track.
#[derive(Debug, Default)]
pub(super) struct SampleTable {
    steps: Vec<mp4_atom::SttsEntry>,
    shown_after: Vec<mp4_atom::CttsEntry>,
    chunk_runs: Vec<mp4_atom::StscEntry>,
    chunks: Vec<u64>,
    sizes: StszSamples,
    keys: Option<Vec<u32>>,
}

impl SampleTable {
    pub(super) fn read(stbl: &Found<'_>) -> Result<Self, ReadError> {
        let chunks = match stbl.leaf_maybe::<Co64>()? {
            Some(wide) => wide.entries,
            None => {
                let narrow = stbl.leaf_maybe::<Stco>()?.unwrap_or_default();
                narrow.entries.into_iter().map(u64::from).collect()
            }
        };
        let table = Self {
            steps: stbl.leaf_maybe::<Stts>()?.unwrap_or_default().entries,
            shown_after: stbl.leaf_maybe::<Ctts>()?.unwrap_or_default().entries,
            chunk_runs: stbl.leaf_maybe::<Stsc>()?.unwrap_or_default().entries,
            chunks,
            sizes: stbl.leaf_maybe::<Stsz>()?.unwrap_or_default().samples,
            keys: stbl.leaf_maybe::<Stss>()?.map(|keys| keys.entries),
        };
        table.check(stbl)?;
        Ok(table)
    }

    fn check(&self, stbl: &Found<'_>) -> Result<(), ReadError> {
        let ordered = self.chunk_runs.windows(2).all(|w| w[0].first_chunk < w[1].first_chunk);
        let begun = self.chunk_runs.first().is_none_or(|run| run.first_chunk == 1);
        if !(ordered && begun) {
            return Err(stbl.wrong("its runs of chunks are out of order".into()));
        }
        if self.chunk_runs.is_empty() && !self.chunks.is_empty() {
            return Err(stbl.wrong("it does not say how many samples a chunk has".into()));
        }
        Ok(())
    }

    /// Every sample has this many bytes at least. Old QuickTime files give samples of sound the
    /// size 1, whatever they have.
    pub(super) fn widen(&mut self, frame_bytes: u64) {
        if let StszSamples::Identical { size, .. } = &mut self.sizes {
            *size = (*size).max(u32::try_from(frame_bytes).unwrap_or(u32::MAX));
        }
    }

    /// Sum of all durations, in ticks.
    pub(super) fn ticks(&self) -> u64 {
        self.steps.iter().fold(0, |sum: u64, run| {
            sum.saturating_add(u64::from(run.sample_count) * u64::from(run.sample_delta))
        })
    }

    /// The lowest presentation time less decode time: negative if some are.
    pub(super) fn shown_after_min(&self) -> i64 {
        self.shown_after.iter().map(|run| run.sample_offset).min().unwrap_or(0).min(0)
    }

    fn size(&self, index: u64) -> Option<u64> {
        match &self.sizes {
            StszSamples::Identical { count, size } => {
                (index < u64::from(*count)).then_some((*size).into())
            }
            StszSamples::Different { sizes } => {
                sizes.get(usize::try_from(index).ok()?).map(|&size| size.into())
            }
        }
    }
}

/// A place in a [`SampleTable`].
#[derive(Clone, Debug, Default)]
pub(super) struct Cursor {
    /// Samples passed.
    index: u64,
    dts: i64,
    step_run: Run,
    shown_run: Run,
    chunk: usize,
    chunk_run: usize,
    in_chunk: u32,
    chunk_bytes: u64,
    key: usize,
}

/// A place in a run-length coded table.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    entry: usize,
    passed: u32,
}

impl Run {
    /// The current entry; passes over used-up and empty ones.
    fn at<T>(&mut self, entries: &[T], count: impl Fn(&T) -> u32) -> Option<usize> {
        while self.passed >= count(entries.get(self.entry)?) {
            self.entry += 1;
            self.passed = 0;
        }
        self.passed += 1;
        Some(self.entry)
    }
}

impl Cursor {
    /// The next sample; `None` at the end of the tables, whichever ends first.
    pub(super) fn next(&mut self, table: &SampleTable) -> Option<Sample> {
        let len_bytes = table.size(self.index)?;
        let run = self.enter_chunk(table)?;
        let (per_chunk, entry) = (run.samples_per_chunk, run.sample_description_index);
        let offset = table.chunks[self.chunk].saturating_add(self.chunk_bytes);
        let step = self.step_run.at(&table.steps, |run| run.sample_count);
        // A table of durations that ends too early: the last one goes on.
        let step = step.map(|at| &table.steps[at]).or(table.steps.last());
        let duration = step.map_or(0, |run| run.sample_delta);
        let shown = self.shown_run.at(&table.shown_after, |run| run.sample_count);
        let shown_after = shown.map_or(0, |at| table.shown_after[at].sample_offset);
        let key = self.pass_key(table);
        let sample = Sample {
            offset,
            len_bytes,
            dts: self.dts,
            shown_after,
            duration,
            key,
            entry,
            number: self.index + 1,
        };
        self.index += 1;
        self.dts = self.dts.saturating_add(duration.into());
        self.in_chunk += 1;
        self.chunk_bytes = self.chunk_bytes.saturating_add(len_bytes);
        if self.in_chunk >= per_chunk {
            self.leave_chunk();
        }
        Some(sample)
    }

    /// The next samples of sound as one, if each has `frame_bytes` and lasts one tick: up to
    /// `samples_max` of a chunk.
    pub(super) fn next_run(
        &mut self,
        table: &SampleTable,
        frame_bytes: u64,
        samples_max: u32,
    ) -> Option<Sample> {
        let single = |sample: &Sample| sample.len_bytes == frame_bytes && sample.duration == 1;
        let mut run = self.next(table)?;
        if !single(&run) {
            return Some(run);
        }
        while run.duration < samples_max && self.in_chunk > 0 {
            let mut ahead = self.clone();
            if !ahead.next(table).is_some_and(|sample| single(&sample)) {
                break;
            }
            *self = ahead;
            run.len_bytes += frame_bytes;
            run.duration += 1;
        }
        Some(run)
    }

    /// The run of the chunk that has the next sample.
    fn enter_chunk<'t>(&mut self, table: &'t SampleTable) -> Option<&'t mp4_atom::StscEntry> {
        loop {
            table.chunks.get(self.chunk)?;
            let next = table.chunk_runs.get(self.chunk_run + 1);
            if next.is_some_and(|next| self.chunk as u64 + 1 >= u64::from(next.first_chunk)) {
                self.chunk_run += 1;
            }
            let run = table.chunk_runs.get(self.chunk_run)?;
            if self.in_chunk < run.samples_per_chunk {
                return Some(run);
            }
            self.leave_chunk(); // an empty one
        }
    }

    fn leave_chunk(&mut self) {
        self.chunk += 1;
        self.in_chunk = 0;
        self.chunk_bytes = 0;
    }

    fn pass_key(&mut self, table: &SampleTable) -> bool {
        let Some(keys) = &table.keys else { return true };
        let number = self.index + 1;
        while keys.get(self.key).is_some_and(|&key| u64::from(key) < number) {
            self.key += 1;
        }
        keys.get(self.key).is_some_and(|&key| u64::from(key) == number)
    }
}
