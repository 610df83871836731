//! How the log is doing.

use bytes::Bytes;
use pegasus_base::{ArrayId, DiskId, PnodeId};
use serde::Serialize;

use crate::{CleanerStatus, DiskIndex};

/// Whether a disk takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DiskState {
    /// It is read and written.
    Ok,
    /// It failed; it is not written any more, and read only where nothing else helps.
    Failed,
    /// It was not there when the store was opened.
    Missing,
    /// It is read and written, and what it lacks - it is new, or was away - is being written to it.
    Rebuilding,
    /// It is written as ever, and hardly read: it takes much longer than the others, which together hold
    /// what it holds.
    Slow,
    /// It is read and written, and what is on it is moved to the others.
    #[serde(rename = "removing")]
    Leaving,
    /// It is no disk of the array any more; such are never listed.
    Removed,
}

/// One disk of the array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskStatus {
    /// Its place in the array.
    pub index: DiskIndex,
    /// Its identity.
    pub id: DiskId,
    /// Its path, or where it was looked for.
    pub path: String,
    /// Whether it takes part.
    pub state: DiskState,
    /// Failed requests, and fragments found bad, since the store was opened.
    pub errors: u64,
    /// Bytes read from it since the store was opened.
    pub read_bytes: u64,
    /// Bytes written to it since the store was opened.
    pub written_bytes: u64,
    /// What a read took of late, in microseconds; `None` if there was none.
    pub read_us: Option<u64>,
    /// Reads it was spared since the store was opened, because it was slow.
    pub shed_reads: u64,
    /// Slots on it in all.
    pub slots: u32,
    /// Slots on it that nothing uses.
    pub free_slots: u32,
}

/// The log as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogStatus {
    /// The array's identity.
    pub array: ArrayId,
    /// The array's label.
    pub label: String,
    /// Data columns of a full stripe.
    pub data: u8,
    /// Parity columns of a stripe: 0 to 2.
    pub parity: u8,
    /// Length of a slot in bytes: the stripe unit.
    pub unit_bytes: u32,
    /// Bytes the array can hold, parity apart.
    pub capacity_bytes: u64,
    /// Bytes in use, parity apart: whole slots.
    pub used_bytes: u64,
    /// Bytes that files' segments can be opened in now or after the next checkpoint, on disks that live; parity and
    /// the log's own reserve apart. No more than checkpoints can tell of.
    pub free_bytes: u64,
    /// Of these, bytes kept for what clients hold in memory, which no segment may take.
    pub promised_bytes: u64,
    /// Slots free after the next checkpoint only.
    pub pending_slots: u64,
    /// Segments of the normal log.
    pub log_segments: u64,
    /// Bytes in them that are in use.
    pub log_live_bytes: u64,
    /// Bytes in them that are not: cleaning gives them back.
    pub log_dead_bytes: u64,
    /// Holes listed in the garbage file.
    pub garbage_entries: u64,
    /// Open continuous segments.
    pub open_segments: u64,
    /// Fragments rebuilt from parity since the store was opened.
    pub rebuilt_fragments: u64,
    /// Commits since the store was opened.
    pub commits: u64,
    /// Checkpoints since the store was opened.
    pub checkpoints: u64,
    /// What the cleaner has done.
    pub cleaner: CleanerStatus,
    /// Why nothing can be written any more, if so.
    pub poisoned: Option<String>,
    /// Its disks, in the order of the array.
    pub disks: Vec<DiskStatus>,
}

/// What is known of a pnode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PnodeInfo {
    /// Its number.
    pub id: PnodeId,
    /// Grows with every change.
    pub version: u64,
    /// What its owner uses it for.
    pub kind: u16,
    /// Bytes at its front that were trimmed away and read as zeros.
    pub front: u64,
    /// Its size in bytes, counted from before the front.
    pub size: u64,
    /// Its attributes.
    pub attributes: Bytes,
}
