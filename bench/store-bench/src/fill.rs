//! A long past that nobody recorded: sealed segments without blocks, listed by their streams' directories.
//!
//! Streams are made as they always are. Then their directories are continued by the log's own means, many
//! segments in a commit: each is opened, sealed and listed, and what would be in it is left out. Lists are
//! written in such lengths as the cleaner would have brought them to: into content segments, once, with parity.

use std::sync::Arc;
use std::time::Duration;

use pegasus_base::{ManualClock, PnodeId, StreamId, Time};
use pegasus_continuous::fabricate;
use pegasus_disk::Disk;
use pegasus_log::{Batch, Log, Owner, SegmentRef};

use crate::Failure;
use crate::array::{self, DATA};
use crate::camera::{self, push, unit};

/// Segments of a stream made at once: their records fill four blocks of content.
const RUN: u64 = 256;
/// Streams continued in a commit.
const STREAMS_AT_ONCE: usize = 16;
/// Commits between checkpoints: 64 MiB of log, to save time.
const CHECKPOINT_EVERY: usize = 64;
/// How long what fills a segment takes at 4 Mb/s.
const STEP: Duration = Duration::from_millis(8_389);
/// Segments remembered, evenly spread.
const SAMPLES: u64 = 4_096;

/// Streams and what of their past is made.
pub(crate) struct Past {
    directories: Vec<Directory>,
    /// Segments that each stream will have.
    wanted: u64,
    record_len: u64,
    pub(crate) samples: Vec<Sample>,
}

struct Directory {
    owner: Owner,
    /// Records that were there before, which go to the end.
    tail: Vec<u8>,
    made: u64,
}

/// A segment, and where it is listed.
pub(crate) struct Sample {
    pub(crate) pnode: PnodeId,
    pub(crate) offset: u64,
    pub(crate) segment: SegmentRef,
    pub(crate) first: Time,
}

/// Makes streams, each with a unit recorded.
///
/// # Errors
/// If the store fails.
pub(crate) fn make_streams(disks: &[Arc<dyn Disk>], count: usize) -> Result<(), Failure> {
    let clock = Arc::new(ManualClock::at(array::beginning()));
    let store = array::open(disks, &clock)?;
    let data = bytes::Bytes::from(vec![0; 4 << 10]);
    for number in 0..count {
        let recorder = store.recorder(&camera::name(number), camera::tracks())?;
        push(&recorder, unit(array::beginning(), true, data.clone()))?;
    }
    store.flush()?;
    store.close()?;
    Ok(())
}

/// So many segments or some more: all streams have as many, in whole runs.
pub(crate) fn whole_runs(segments: u64, streams: usize) -> u64 {
    segments.div_ceil(streams as u64).next_multiple_of(RUN) * streams as u64
}

impl Past {
    /// A past of so many segments for the streams there are.
    ///
    /// # Errors
    /// If the catalogue can't be read.
    pub(crate) fn new(log: &Log, segments: u64) -> Result<Self, Failure> {
        let directory = |(stream, pnode): (StreamId, PnodeId)| -> Result<_, Failure> {
            let tail = log.read_pnode(pnode, 0, 1 << 20)?;
            Ok(Directory { owner: Owner { pnode, stream }, tail, made: 0 })
        };
        let directories: Vec<_> =
            fabricate::directories(log)?.into_iter().map(directory).collect::<Result<_, _>>()?;
        let wanted = whole_runs(segments, directories.len()) / directories.len() as u64;
        let record_len = fabricate::record_len(log) as u64;
        Ok(Self { directories, wanted, record_len, samples: Vec::new() })
    }

    /// Segments made.
    pub(crate) fn segments(&self) -> u64 {
        self.directories.iter().map(|directory| directory.made).sum()
    }

    /// Goes on until `share` (0 to 1) of it are made.
    ///
    /// # Errors
    /// If the log fails.
    pub(crate) fn fill(&mut self, log: &Log, share: f64) -> Result<(), Failure> {
        let upto = ((self.wanted as f64 * share) as u64).min(self.wanted);
        let mut commits = 0;
        while self.directories[0].made < upto {
            for first in (0..self.directories.len()).step_by(STREAMS_AT_ONCE) {
                let mut batch = log.batch();
                let last = self.directories.len().min(first + STREAMS_AT_ONCE);
                for at in first..last {
                    self.run_of(log, &mut batch, at)?;
                }
                log.commit(batch)?;
                commits += 1;
                if commits % CHECKPOINT_EVERY == 0 {
                    log.checkpoint(array::beginning())?;
                }
            }
        }
        log.checkpoint(array::beginning())?;
        Ok(())
    }

    /// Segments of a stream, side by side.
    fn run_of(&mut self, log: &Log, batch: &mut Batch<'_>, at: usize) -> Result<(), Failure> {
        let all = self.wanted * self.directories.len() as u64;
        let sample_every = (all / SAMPLES).max(1);
        let directory = &mut self.directories[at];
        let offset = directory.made * self.record_len;
        let mut records = Vec::with_capacity((RUN * self.record_len) as usize);
        for number in directory.made..directory.made + RUN {
            let segment = batch.open_segment(directory.owner, DATA)?;
            batch.seal_segment(segment.id)?;
            let first = array::beginning() - STEP * (self.wanted - number) as u32;
            if segment.id.0.is_multiple_of(sample_every) {
                self.samples.push(Sample {
                    pnode: directory.owner.pnode,
                    offset: number * self.record_len,
                    segment: segment.clone(),
                    first,
                });
            }
            records.extend(fabricate::sealed(log, segment, first, first + STEP));
        }
        directory.made += RUN;
        batch.write(directory.owner.pnode, offset, &records)?;
        Ok(())
    }

    /// Puts the records that were there before behind those that were made.
    ///
    /// # Errors
    /// If the log fails.
    pub(crate) fn finish(&self, log: &Log) -> Result<(), Failure> {
        let mut batch = log.batch();
        for directory in &self.directories {
            let offset = directory.made * self.record_len;
            batch.write(directory.owner.pnode, offset, &directory.tail)?;
        }
        log.commit(batch)?;
        log.checkpoint(array::beginning())?;
        Ok(())
    }
}
