//! Fragments read: the samples of one `moof`.

use std::collections::VecDeque;

use mp4_atom::{Tfdt, Tfhd, Trun, TrunEntry};

use super::ReadError;
use super::movie::TrackIn;
use super::samples::Sample;
use super::walk::Found;

/// More samples than any real fragment has; runs without tables could claim billions.
const SAMPLES_MAX: usize = 1 << 20;

/// Sample flag: no decoding can start here (ISO/IEC 14496-12, 8.8.3.1).
const FLAG_NO_SYNC: u32 = 0x0001_0000;

/// What a track has of the fragment being read, and where the next one goes on.
#[derive(Debug, Default)]
pub(super) struct Queue {
    pub(super) samples: VecDeque<Sample>,
    /// Decode time after the last sample, for fragments that don't say theirs.
    pub(super) next_dts: i64,
}

/// Adds the samples of `moof`, which begins at byte `start` of the file.
pub(super) fn read(
    moof: &Found<'_>,
    start: u64,
    tracks: &[TrackIn],
    queues: &mut [Queue],
) -> Result<(), ReadError> {
    // Where data lies that doesn't say: behind that of the traf before (8.8.7.1).
    let mut behind = start;
    for traf in moof.children() {
        let traf = traf?;
        if traf.kind != *b"traf" {
            continue;
        }
        let head: Tfhd = traf.leaf()?;
        let base = match head.base_data_offset {
            Some(base) => base,
            None if head.default_base_is_moof => start,
            None => behind,
        };
        let known = tracks.iter().position(|track| track.number == head.track_id);
        let Some(index) = known else { continue };
        let run = Runs { track: &tracks[index], head: &head, base };
        behind = run.read(&traf, &mut queues[index])?;
    }
    Ok(())
}

struct Runs<'a> {
    track: &'a TrackIn,
    head: &'a Tfhd,
    base: u64,
}

impl Runs<'_> {
    /// Returns where the data of the last run ends.
    fn read(&self, traf: &Found<'_>, queue: &mut Queue) -> Result<u64, ReadError> {
        if let Some(tfdt) = traf.leaf_maybe::<Tfdt>()? {
            queue.next_dts = i64::try_from(tfdt.base_media_decode_time).unwrap_or(i64::MAX);
        }
        let mut at = self.base;
        for found in traf.children() {
            let found = found?;
            if found.kind != *b"trun" {
                continue;
            }
            let run: Trun = found.decode()?;
            if run.samples.len() + queue.samples.len() > SAMPLES_MAX {
                return Err(found.wrong(format!("a run of {} samples", run.samples.len())));
            }
            if let Some(offset) = run.data_offset {
                at = self.base.saturating_add_signed(offset.into());
            }
            for entry in &run.samples {
                let sample = self.sample(entry, at, queue.next_dts);
                at = at.saturating_add(sample.len_bytes);
                queue.next_dts = queue.next_dts.saturating_add(sample.duration.into());
                queue.samples.push_back(sample);
            }
        }
        Ok(at)
    }

    fn sample(&self, entry: TrunEntry, offset: u64, dts: i64) -> Sample {
        let defaults = &self.track.defaults;
        let head = self.head;
        let or = |own: Option<u32>, here: Option<u32>, all: u32| own.or(here).unwrap_or(all);
        let flags = or(entry.flags, head.default_sample_flags, defaults.default_sample_flags);
        let size = or(entry.size, head.default_sample_size, defaults.default_sample_size);
        Sample {
            offset,
            len_bytes: size.into(),
            dts,
            shown_after: entry.cts.unwrap_or(0),
            duration: or(
                entry.duration,
                head.default_sample_duration,
                defaults.default_sample_duration,
            ),
            key: flags & FLAG_NO_SYNC == 0,
            entry: head
                .sample_description_index
                .unwrap_or(defaults.default_sample_description_index),
            number: 0,
        }
    }
}
