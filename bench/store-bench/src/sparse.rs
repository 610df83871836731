//! A simulated disk for stores larger than memory: what is not zero lies in a file that nobody else sees.
//!
//! Disks are far larger than what is ever written to them, so they are kept by mebibytes, each where the
//! file had room when it was first written, zeros left out. Copies share what was there before them.
//! Every operation completes when it is submitted; two models of a disk say what it would have cost.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;
use pegasus_disk::{
    AlignedBuf, Disk, DiskError, DiskStats, Done, Op, Request, SECTOR, SimModel, Ticket,
};

use crate::array::{FLASH, HARD_DISK};

/// Bytes that are kept in one place; slots are at multiples of it.
const CHUNK: u64 = 1 << 20;
const CHUNK_SECTORS: usize = CHUNK as usize / SECTOR;

/// Where chunks lie, of all disks and their copies.
struct Spool {
    file: File,
    chunks: AtomicU64,
}

/// A disk. Clones are the same one.
#[derive(Clone)]
pub(crate) struct SparseDisk {
    label: String,
    size_bytes: u64,
    spool: Arc<Spool>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    chunks: HashMap<u64, Chunk>,
    /// Chunks placed before this one are shared with a copy.
    own_from: u64,
    stats: DiskStats,
    /// Where the last operation ended.
    head: u64,
    flash_ns: u64,
    hard_disk_ns: u64,
}

#[derive(Clone)]
struct Chunk {
    place: u64,
    /// Sectors that were ever written with something else than zeros.
    written: [bool; CHUNK_SECTORS],
}

impl SparseDisk {
    /// So many disks of zeros, whose file lies in `folder` without a name.
    ///
    /// # Errors
    /// If the file can't be made.
    pub(crate) fn array(count: usize, size_bytes: u64, folder: &Path) -> io::Result<Vec<Self>> {
        let path = folder.join(format!("pegasus-spool-{}", std::process::id()));
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        std::fs::remove_file(&path)?;
        let spool = Arc::new(Spool { file, chunks: AtomicU64::new(0) });
        let disk = |number| Self {
            label: format!("sparse{number}"),
            size_bytes,
            spool: spool.clone(),
            state: Arc::default(),
        };
        Ok((0..count).map(disk).collect())
    }

    /// A copy of the disk as it is; what is done to either leaves the other alone.
    pub(crate) fn fork(&self) -> Self {
        let mut state = self.state.lock();
        state.own_from = self.spool.chunks.load(Relaxed);
        let copy =
            State { chunks: state.chunks.clone(), own_from: state.own_from, ..State::default() };
        Self { state: Arc::new(Mutex::new(copy)), ..self.clone() }
    }

    /// How long flash would have been busy so far, and a hard disk.
    pub(crate) fn busy(&self) -> [Duration; 2] {
        let state = self.state.lock();
        [state.flash_ns, state.hard_disk_ns].map(Duration::from_nanos)
    }

    fn perform(&self, request: &Request) -> io::Result<Done> {
        let mut state = self.state.lock();
        let (op, offset, len) = request.span();
        state.count(op, offset, len as u64);
        match request {
            Request::Flush => Ok(Done::Flushed),
            Request::Read { offset, len } => {
                let mut buf = AlignedBuf::zeroed(*len);
                for (chunk, from, part) in parts(*offset, *len) {
                    if let Some(found) = state.chunks.get(&chunk) {
                        let at = found.place * CHUNK + from;
                        self.spool.read(at, &mut buf[part])?;
                    }
                }
                Ok(Done::Read(buf))
            }
            Request::Write { offset, buf } => {
                for (chunk, from, part) in parts(*offset, buf.len()) {
                    self.spool.write(&mut state, chunk, from, &buf[part])?;
                }
                Ok(Done::Written)
            }
        }
    }
}

/// The chunks that a range touches: number, where in it, and which bytes of the range.
fn parts(offset: u64, len: usize) -> impl Iterator<Item = (u64, u64, std::ops::Range<usize>)> {
    let end = offset + len as u64;
    (offset / CHUNK..end.div_ceil(CHUNK)).map(move |chunk| {
        let (from, upto) = (offset.max(chunk * CHUNK), end.min((chunk + 1) * CHUNK));
        (chunk, from % CHUNK, (from - offset) as usize..(upto - offset) as usize)
    })
}

impl State {
    fn count(&mut self, op: Op, offset: u64, len: u64) {
        let stats = &mut self.stats;
        match op {
            Op::Read => (stats.reads, stats.read_bytes) = (stats.reads + 1, stats.read_bytes + len),
            Op::Write => {
                (stats.writes, stats.written_bytes) = (stats.writes + 1, stats.written_bytes + len);
            }
            _ => stats.flushes += 1,
        }
        let moves = op == Op::Flush || offset != self.head;
        let cost = |model: SimModel| {
            let position_ns = if moves { model.position_us * 1_000 } else { 0 };
            position_ns + len * 1_000_000_000 / model.bytes_per_s
        };
        self.flash_ns += cost(FLASH);
        self.hard_disk_ns += cost(HARD_DISK);
        if op != Op::Flush {
            self.head = offset + len;
        }
    }
}

impl Spool {
    /// Reads up to the file's end; behind it all is zeros.
    fn read(&self, at: u64, mut buf: &mut [u8]) -> io::Result<()> {
        let mut at = at;
        while !buf.is_empty() {
            let len = self.file.read_at(buf, at)?;
            if len == 0 {
                return Ok(());
            }
            buf = &mut buf[len..];
            at += len as u64;
        }
        Ok(())
    }

    /// Writes what is not zeros, or goes over something that was not.
    fn write(&self, state: &mut State, number: u64, from: u64, bytes: &[u8]) -> io::Result<()> {
        if let Some(shared) = state.chunks.get(&number).filter(|chunk| chunk.place < state.own_from)
        {
            let mut content = vec![0; CHUNK as usize];
            self.read(shared.place * CHUNK, &mut content)?;
            let mut own = Chunk::new(self);
            own.write(self, 0, &content)?;
            state.chunks.insert(number, own);
        }
        let is_known = state.chunks.contains_key(&number);
        if !is_known && bytes.iter().all(|byte| *byte == 0) {
            return Ok(());
        }
        state.chunks.entry(number).or_insert_with(|| Chunk::new(self)).write(self, from, bytes)
    }
}

impl Chunk {
    fn new(spool: &Spool) -> Self {
        let place = spool.chunks.fetch_add(1, Relaxed);
        Self { place, written: [false; CHUNK_SECTORS] }
    }

    fn write(&mut self, spool: &Spool, from: u64, bytes: &[u8]) -> io::Result<()> {
        let first = from as usize / SECTOR;
        let is_zeros =
            |sector: &[u8]| sector.chunks(64).all(|c| c.iter().fold(0, |all, b| all | b) == 0);
        let mut kept = Vec::with_capacity(bytes.len() / SECTOR);
        for (at, sector) in (first..).zip(bytes.chunks(SECTOR)) {
            let keep = self.written[at] || !is_zeros(sector);
            self.written[at] = keep;
            kept.push(keep);
        }
        let mut at = 0;
        for run in kept.chunk_by(|a, b| a == b) {
            let part = at * SECTOR..(at + run.len()) * SECTOR;
            if run[0] {
                let place = self.place * CHUNK + from + part.start as u64;
                spool.file.write_all_at(&bytes[part], place)?;
            }
            at += run.len();
        }
        Ok(())
    }
}

impl Disk for SparseDisk {
    fn label(&self) -> String {
        self.label.clone()
    }

    fn size(&self) -> u64 {
        self.size_bytes
    }

    fn submit(&self, request: Request) -> Ticket {
        let (op, offset, len) = request.span();
        let failed = |source| DiskError::Io {
            disk: self.label.clone(),
            op,
            offset,
            len_bytes: len as u64,
            source: Arc::new(source),
        };
        Ticket::ready(self.perform(&request).map_err(failed))
    }

    fn stats(&self) -> DiskStats {
        self.state.lock().stats
    }

    fn probe(&self) -> Result<(), DiskError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pegasus_disk::{read, write};

    #[test]
    fn copies_and_zeros_are_kept_apart() {
        let disk = SparseDisk::array(1, 8 << 20, &std::env::temp_dir()).unwrap().remove(0);
        let across = CHUNK - SECTOR as u64;
        write(&disk, across, AlignedBuf::from_slice(&[7; 2 * SECTOR])).unwrap();
        let copy = disk.fork();
        write(&disk, across, AlignedBuf::zeroed(SECTOR)).unwrap();
        write(&copy, CHUNK, AlignedBuf::from_slice(&[9; SECTOR])).unwrap();
        let sectors = |disk: &SparseDisk| {
            let bytes = read(disk, across - SECTOR as u64, 4 * SECTOR).unwrap();
            [0, 1, 2, 3].map(|at| bytes[at * SECTOR])
        };
        assert_eq!((sectors(&disk), sectors(&copy)), ([0, 0, 7, 0], [0, 7, 9, 0]));
    }
}
