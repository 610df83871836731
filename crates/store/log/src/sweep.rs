//! Many blocks read at the same time, as a schedule has them: each disk makes its reads in the order they lie on it, and those that
//! lie side by side as one.

use std::time::{Duration, Instant};

use bytes::Bytes;
use pegasus_disk::{AlignedBuf, Reads};

use crate::gate::{Cost, Hurry, Passing};
use crate::reading::Reading;
use crate::{BlockMap, DiskIndex, Extent, Log, LogError};

/// One request reads at most so much.
const RUN_BYTES_MAX: u64 = 8 << 20;

/// How [`Log::read_blocks`] reads.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sweep {
    /// What lies between two fragments on a disk is read along with them, and forgotten, if it is no more than so many bytes: for
    /// disks with heads, which pass over it anyway. 0: only what lies side by side is read as one.
    pub gap_bytes: u64,
    /// When everything should be there. What one disk has not read by then parity stands in for, if it can; the rest is waited
    /// for all the same. `None`: whatever it takes.
    pub deadline: Option<Instant>,
}

/// A fragment that is wanted: which of the blocks it belongs to, its position, and where it is.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    block: usize,
    position: usize,
    place: Extent,
    len: u64,
}

/// One request: what is read from a disk in one go.
#[derive(Debug)]
struct Run {
    disk: DiskIndex,
    offset: u64,
    len: u64,
    parts: Vec<Wanted>,
}

impl Log {
    /// A batch of promised reads begins, which the calling thread makes by [`Log::read_blocks`]: until what is returned is dropped, all other reads
    /// go first as long as they take no more than `slack` altogether, by what they `cost`, and then wait.
    pub fn begin_batch(&self, slack: Duration, cost: Cost) -> Passing<'_> {
        self.array.gate.begin(slack, cost)
    }

    /// The calling thread is about to begin playing: until what is returned is dropped its reads go before others' that were not promised, of which one is
    /// made at a time meanwhile.
    pub fn hurry(&self) -> Hurry<'_> {
        self.array.gate.hurry()
    }

    /// Waits until a read of `bytes` from a disk, made by somebody else than the log, hurts nobody to whom a batch was promised.
    pub fn make_way(&self, bytes: usize) {
        drop(self.array.gate.pass(1, bytes));
    }

    /// Reads blocks, all at the same time, and verifies them; what is bad or gone parity gives. Outcomes are in the order
    /// of `maps`. Costs one request for each run of fragments on a disk; blocks that follow each other in a segment are one run.
    pub fn read_blocks(&self, maps: &[BlockMap], how: Sweep) -> Vec<Result<Bytes, LogError>> {
        let mut readings: Vec<_> = maps.iter().map(|map| Reading::new(&self.array, map)).collect();
        let mut wanted = Vec::new();
        for (block, (reading, map)) in readings.iter().zip(maps).enumerate() {
            let Ok(reading) = reading else { continue };
            let len = u64::from(map.fragment_bytes);
            let fragment = |(position, place)| Wanted { block, position, place, len };
            wanted.extend(reading.first_wanted().into_iter().map(fragment));
        }
        let runs = runs(wanted, how.gap_bytes);
        let outcomes = self.read_runs(&runs, how.deadline);
        for (run, outcome) in runs.iter().zip(outcomes) {
            for part in &run.parts {
                let fragment = outcome.as_ref().map(|read| match read {
                    Ok(buf) => Ok(cut(buf, run, part)),
                    Err(why) => Err(why.clone()),
                });
                if let Ok(reading) = &mut readings[part.block] {
                    reading.take(part.position, fragment);
                }
            }
        }
        readings.into_iter().map(|reading| reading?.complete()).collect()
    }

    /// Reads runs; `None` of those that were not waited for.
    fn read_runs(
        &self,
        runs: &[Run],
        deadline: Option<Instant>,
    ) -> Vec<Option<Result<AlignedBuf, String>>> {
        let disks = &self.array.disks;
        let mut reads = Reads::new();
        let add = |run: &Run| {
            let entry = disks.entry(run.disk);
            let len = usize::try_from(run.len).expect("runs are bounded");
            Some(reads.add(&**entry.disk()?, run.offset, len))
        };
        let began: Vec<_> = runs.iter().map(add).collect();
        if let Some(deadline) = deadline {
            let parity = usize::from(self.array.geometry.parity);
            let spare = most_of(runs, parity);
            let mut until = deadline;
            while reads.wait_until(Some(until)) > spare {
                until = Instant::now() + disks.patience();
            }
        } else {
            reads.wait_until(None);
        }
        let mut done = reads.into_outcomes();
        let outcome = |(run, read): (&Run, Option<usize>)| {
            let Some(read) = read else {
                return Some(Err(self
                    .array
                    .missing(Extent { disk: run.disk, offset: run.offset })));
            };
            let Some(ended) = done[read].take() else {
                disks.lose_patience(run.disk);
                return None;
            };
            Some(disks.ended_read(run.disk, ended).map_err(|error| error.to_string()))
        };
        runs.iter().zip(began).map(outcome).collect()
    }
}

/// How many runs the `disks` disks have that have most: if no more are missing, parity may stand in for all of them.
fn most_of(runs: &[Run], disks: usize) -> usize {
    let mut counts: Vec<usize> = runs.chunk_by(|a, b| a.disk == b.disk).map(<[Run]>::len).collect();
    counts.sort_unstable_by(|a, b| b.cmp(a));
    counts.iter().take(disks).sum()
}

/// Brings fragments into the order they lie in, and joins those that lie near each other.
fn runs(mut wanted: Vec<Wanted>, gap_bytes: u64) -> Vec<Run> {
    wanted.sort_unstable_by_key(|one| (one.place.disk, one.place.offset));
    let mut runs: Vec<Run> = Vec::new();
    for one in wanted {
        let (disk, offset) = (one.place.disk, one.place.offset);
        let joins = |run: &&mut Run| {
            let end = run.offset + run.len;
            run.disk == disk
                && (end..=end + gap_bytes).contains(&offset)
                && offset + one.len - run.offset <= RUN_BYTES_MAX
        };
        match runs.last_mut().filter(joins) {
            Some(run) => {
                run.len = offset + one.len - run.offset;
                run.parts.push(one);
            }
            None => runs.push(Run { disk, offset, len: one.len, parts: vec![one] }),
        }
    }
    runs
}

/// A fragment's bytes out of its run's.
fn cut(buf: &AlignedBuf, run: &Run, part: &Wanted) -> AlignedBuf {
    let from = usize::try_from(part.place.offset - run.offset).expect("parts are within their run");
    let len = usize::try_from(part.len).expect("runs are bounded");
    AlignedBuf::from_slice(&buf[from..from + len])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(disk: u16, offset: u64, len: u64) -> Wanted {
        Wanted { block: 0, position: 0, place: Extent { disk: DiskIndex(disk), offset }, len }
    }

    fn joined(gap_bytes: u64) -> Vec<(u16, u64, u64)> {
        let all = vec![
            wanted(1, 4096, 4096),
            wanted(0, 12_288, 4096),
            wanted(0, 4096, 8192),
            wanted(0, 24_576, 4096),
            wanted(1, 8 << 20, 4096),
        ];
        let runs = runs(all, gap_bytes);
        runs.iter().map(|run| (run.disk.0, run.offset, run.len)).collect()
    }

    #[test]
    fn what_lies_side_by_side_is_one_read() {
        let far = [(1, 4096, 4096), (1, 8 << 20, 4096)];
        assert_eq!(joined(0)[..2], [(0, 4096, 12_288), (0, 24_576, 4096)]);
        assert_eq!(joined(0)[2..], far);
        assert_eq!(joined(8192)[0], (0, 4096, 24_576), "over the gap");
        assert_eq!(joined(8192)[1..], far);
        assert_eq!(joined(u64::from(u32::MAX)).len(), 2);
    }

    #[test]
    fn as_much_as_one_disk_has_may_be_missing() {
        let runs = runs(
            (0..3).flat_map(|d| (0..=d).map(move |i| wanted(d as u16, i << 20, 4096))).collect(),
            0,
        );
        assert_eq!([0, 1, 2].map(|disks| most_of(&runs, disks)), [0, 3, 5]);
    }
}
