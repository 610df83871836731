//! Signs that more was durable once than can be read now: then nothing may be written over it.
//!
//! A crash tears the newest commit of all at most. So there are two signs that damage, not a crash, ends
//! the log where it ends: a pointer to a checkpoint that the log does not reach, and blocks behind
//! the log's end of a commit after which there was another.

use pegasus_disk::SECTOR;

use crate::SegmentRef;
use crate::array::Array;
use crate::format::checkpoint::Pointer;
use crate::format::fragment::{FragmentHeader, SegmentKind};
use crate::recovery::{read_pointers, same_epoch};
use crate::walk::Tail;

/// Why the state that was recovered is not the newest there was, if it is not. `newest` is the newest commit
/// seen in the log and in open segments.
///
/// Cost: the pointers, and what is left of the log's current segment.
pub(crate) fn of_loss(
    array: &Array,
    pointer: &Pointer,
    tail: &Tail,
    newest: u64,
) -> Option<String> {
    let reached = tail.reached().max(pointer.commit);
    let living = read_pointers(array).into_iter().filter(|(on, _)| array.disks.is_ok(*on));
    if let Some(later) =
        living.map(|(_, p)| p).filter(|p| p.commit > reached).max_by_key(|p| p.commit)
    {
        return Some(format!(
            "checkpoint {} of {} can't be read, and the log ends before it: what is newer than {} is lost",
            later.number, later.time, pointer.time
        ));
    }
    let (cursor, next) = tail.end();
    let behind = commits_in(array, &cursor.segment, cursor.row)
        .into_iter()
        .chain(commits_in(array, &next, 0))
        .filter(|commit| same_epoch(*commit, pointer.commit) && *commit > tail.commit);
    let behind: Vec<u64> = behind.collect();
    let newest = behind.iter().copied().chain([newest]).max()?;
    let (id, row) = (cursor.segment.id, cursor.row);
    behind.iter().any(|commit| *commit < newest).then(|| {
        format!(
            "row {row} of {id} of the log can't be read, and there was more behind it: it is lost"
        )
    })
}

/// Commits of the log's blocks in a segment from a row on.
fn commits_in(array: &Array, segment: &SegmentRef, row: u32) -> Vec<u64> {
    let len = (array.geometry.rows() - row) as usize * SECTOR;
    if len == 0 {
        return Vec::new();
    }
    let held = segment.columns.iter().filter(|column| array.geometry.holds(**column));
    let extents: Vec<_> = held.map(|at| (array.geometry.extent(*at, row), len)).collect();
    let mut commits = Vec::new();
    for bytes in array.read_extents(&extents).into_iter().flatten() {
        for (row, sector) in (row..).zip(bytes.chunks_exact(SECTOR)) {
            let header = FragmentHeader::parse(sector).map(|header| header.block);
            commits.extend(
                header
                    .filter(|block| {
                        block.array == array.id
                            && block.segment == segment.id
                            && block.kind == SegmentKind::Log
                            && block.row == row
                    })
                    .map(|block| block.commit),
            );
        }
    }
    commits
}
