//! What cleaning costs: bytes moved for each byte written, in stores that are full to different degrees.
//!
//! A store on simulated disks is filled with files, which are then written over in pieces for a few times
//! its size, while the log is cleaned when it asks for it. The cost is Rosenblum and Ousterhout's
//! (1992, 3.4): all bytes read and written to carry out the writes, over the bytes written; parity apart.
//! By their formula a log that cleans segments as full as itself pays 2 / (1 - u).

use std::sync::Arc;

use clap::ValueEnum;
use pegasus_base::PnodeId;
use pegasus_disk::{Disk, SimDisk};
use pegasus_log::{Cleaning, Log};
use serde_json::{Value, json};

use crate::Failure;
use crate::array::{self, DATA, DISKS};
use crate::figures::round;

/// Length of each write.
const PIECE: u64 = 64 << 10;
/// Pieces of a file.
const FILE_PIECES: u64 = 256;
const DISK_BYTES: u64 = 256 << 20;
const UNIT_BYTES: u32 = 128 << 10;
/// What a pass moves.
const PASS_BYTES: u64 = 2 << 20;

/// Which pieces are written over.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Pattern {
    /// All alike.
    Uniform,
    /// Nine of ten writes go to a tenth of them.
    Hot,
    /// Whole files, deleted and written again, one of ten of them small changes in place.
    Media,
}

/// A store being written to.
struct Store {
    disks: Vec<SimDisk>,
    log: Log,
    files: Vec<PnodeId>,
    rng: fastrand::Rng,
    payload: Vec<u8>,
    written_bytes: u64,
}

/// Fills a store to `full` of its capacity and writes over what is there, `rounds` times its capacity.
///
/// # Errors
/// If the store fails, or there is no room although the cleaner did what it could.
pub(crate) fn run(full: f64, pattern: Pattern, rounds: f64) -> Result<Value, Failure> {
    let mut store = Store::fill(full)?;
    let capacity = store.log.status().capacity_bytes as f64;
    // First until it is in a steady state, then to measure.
    store.churn(pattern, (rounds / 2.0 * capacity) as u64)?;
    let before = store.counts();
    store.churn(pattern, (rounds * capacity) as u64)?;
    let after = store.counts();
    let status = store.log.status();
    let since = |at: usize| (after[at] - before[at]) as f64;
    let (new, read, disks) = (since(0), since(1), since(2));
    // Parity is one of DISKS in wide segments and in most of what is written.
    let written = disks * f64::from(DATA) / DISKS as f64;
    Ok(json!({
        "full": full,
        "new_bytes": new,
        "cost": round((read + written) / new, 3),
        "written_per_byte": round(written / new, 3),
        "cleaner_read_per_byte": round(read / new, 3),
        "formula": round(2.0 / (1.0 - full), 2),
        "moved_per_byte": round(since(3) / new, 3),
        "garbage_entries": status.garbage_entries,
    }))
}

impl Store {
    fn fill(full: f64) -> Result<Self, Failure> {
        let disks = SimDisk::array(DISKS, DISK_BYTES, 1);
        let shared = array::as_disks(&disks);
        array::format(&shared, Some(UNIT_BYTES))?;
        let (log, _) = array::open_log(&shared, array::beginning())?;
        let mut rng = fastrand::Rng::with_seed(7);
        let mut payload = vec![0; (PIECE * 4) as usize];
        rng.fill(&mut payload);
        let mut store = Self { disks, log, files: Vec::new(), rng, payload, written_bytes: 0 };
        let wanted = store.log.status().capacity_bytes as f64 * full;
        let files = (wanted / (FILE_PIECES * PIECE) as f64) as usize;
        for at in 0..files {
            store.make_file(at)?;
        }
        Ok(store)
    }

    /// New content, the file's number in it.
    fn piece(&mut self) -> Vec<u8> {
        let from = self.rng.usize(..self.payload.len() - PIECE as usize);
        self.written_bytes += PIECE;
        self.payload[from..from + PIECE as usize].to_vec()
    }

    /// Writes a file whole, in the place of the one that had its number.
    fn make_file(&mut self, at: usize) -> Result<(), Failure> {
        let pieces: Vec<Vec<u8>> = (0..FILE_PIECES).map(|_| self.piece()).collect();
        let mut batch = self.log.batch();
        if let Some(old) = self.files.get(at) {
            batch.delete_pnode(*old)?;
        }
        let file = batch.create_pnode(9);
        self.log.commit(batch)?;
        self.files.truncate(self.files.len().max(at));
        if at < self.files.len() {
            self.files[at] = file
        } else {
            self.files.push(file)
        }
        for (number, pieces) in (0..).zip(pieces.chunks(16)) {
            let mut batch = self.log.batch();
            batch.write(file, number * 16 * PIECE, &pieces.concat())?;
            self.commit(batch)?;
        }
        Ok(())
    }

    fn commit(&self, batch: pegasus_log::Batch<'_>) -> Result<(), Failure> {
        if self.log.commit(batch)?.checkpoint_due {
            self.log.checkpoint(array::beginning())?;
        }
        while self.log.cleaning() == Cleaning::Urgent {
            if self.log.clean(PASS_BYTES)?.segments == 0 {
                break;
            }
            self.log.checkpoint(array::beginning())?;
        }
        if self.log.cleaning() == Cleaning::Worthwhile {
            self.log.clean(PASS_BYTES)?;
            self.log.checkpoint(array::beginning())?;
        }
        Ok(())
    }

    fn churn(&mut self, pattern: Pattern, bytes: u64) -> Result<(), Failure> {
        let end = self.written_bytes + bytes;
        let all = self.files.len() as u64 * FILE_PIECES;
        while self.written_bytes < end {
            if matches!(pattern, Pattern::Media) {
                let at = self.rng.usize(..self.files.len());
                self.make_file(at)?;
                self.overwrite(FILE_PIECES / 10, all, all)?;
                continue;
            }
            let hot = matches!(pattern, Pattern::Hot) && self.rng.u8(..10) != 0;
            self.overwrite(16, if hot { all / 10 } else { all }, all)?;
        }
        Ok(())
    }

    /// Writes over `count` random pieces out of the first `among` of `all`.
    fn overwrite(&mut self, count: u64, among: u64, all: u64) -> Result<(), Failure> {
        let places: Vec<u64> = (0..count).map(|_| self.rng.u64(..among.min(all))).collect();
        let pieces: Vec<Vec<u8>> = places.iter().map(|_| self.piece()).collect();
        let mut batch = self.log.batch();
        for (place, piece) in places.iter().zip(&pieces) {
            let file = self.files[(place / FILE_PIECES) as usize];
            batch.write(file, place % FILE_PIECES * PIECE, piece)?;
        }
        self.commit(batch)
    }

    /// Bytes written by the client, read by the cleaner, written to the disks, moved by the cleaner.
    fn counts(&self) -> [u64; 4] {
        let cleaner = self.log.status().cleaner;
        let disks = self.disks.iter().map(|disk| Arc::new(disk.clone()).stats().written_bytes);
        [self.written_bytes, cleaner.read_bytes, disks.sum(), cleaner.moved_bytes]
    }
}
