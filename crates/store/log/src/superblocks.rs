//! Finding out which disks belong together.
//!
//! Each disk has four superblocks; the newest valid one counts. Of all disks given, those count that
//! belong to the array of most of them; of those, the newest superblock says what the array is like. A
//! disk that is missing, foreign, damaged, given twice, or was away while the array went on, is named.

use std::sync::Arc;

use pegasus_base::ArrayId;
use pegasus_disk::{Batch, Disk, Done, Request, SECTOR};

use crate::disks::{Disks, Entry};
use crate::format::superblock::{Member, MemberState, NotASuperblock, Superblock};
use crate::geometry::superblock_offsets;
use crate::{DiskIndex, DiskState, Log, LogError};

/// A disk as it was given: where, and what is there.
pub(crate) type Given = (String, Option<Arc<dyn Disk>>);

/// Disks that belong together.
#[derive(Debug)]
pub(crate) struct Assembled {
    pub(crate) superblock: Superblock,
    pub(crate) disks: Disks,
    /// What is wrong, a sentence each.
    pub(crate) problems: Vec<String>,
    /// What is worth saying though nothing is wrong with the array.
    pub(crate) remarks: Vec<String>,
}

/// One disk and what its superblocks say.
struct Candidate {
    given_at: usize,
    path: String,
    disk: Arc<dyn Disk>,
    superblock: Superblock,
    /// The newest epoch in the copies that are written last; `None` if neither can be read.
    settled: Option<u64>,
    /// What is wrong with it.
    found: Vec<String>,
}

/// Puts an array together.
pub(crate) fn assemble(given: Vec<Given>, read_only: bool) -> Result<Assembled, LogError> {
    let mut problems = Vec::new();
    let mut candidates = Vec::new();
    let mut unseated = Vec::new();
    for (given_at, (path, disk)) in given.into_iter().enumerate() {
        let Some(disk) = disk else {
            unseated.push((given_at, path));
            continue;
        };
        let mut found = Vec::new();
        match read_superblock(&*disk, &mut found, &path) {
            Ok((superblock, settled)) => {
                candidates.push(Candidate { given_at, path, disk, superblock, settled, found });
            }
            Err(why) => {
                problems.push(format!("disk {path} {why}"));
                unseated.push((given_at, path));
            }
        }
    }
    let Some(array) = commonest(&candidates) else {
        let why =
            if problems.is_empty() { "there are no disks".to_owned() } else { problems.join("; ") };
        return Err(LogError::NotAnArray { why });
    };
    let newest = candidates
        .iter()
        .map(|candidate| &candidate.superblock)
        .filter(|superblock| superblock.array == array)
        .max_by_key(|superblock| (superblock.epoch, superblock.update))
        .expect("the commonest array has a disk")
        .clone();
    let began = last_begun(&newest, &candidates);
    let mut remarks = Vec::new();
    let mut seats = seat(&newest, candidates, &mut unseated, &mut problems, &mut remarks)?;
    let states: Vec<MemberState> = seats
        .iter()
        .zip(&newest.members)
        .map(|(seat, member)| match (member.state, seat) {
            (MemberState::Failed | MemberState::Removed, _) | (_, None) => member.state,
            (_, Some(own)) => state_of(own, &newest, began, &mut problems),
        })
        .collect();
    let mut entries = Vec::new();
    for (index, member) in newest.members.iter().enumerate() {
        if member.state == MemberState::Removed {
            entries.push(Entry::new(member, "removed".to_owned(), None));
            continue;
        }
        let (path, disk) = match seats[index].take() {
            Some(candidate) => (candidate.path, Some(candidate.disk)),
            None => (take_path(&mut unseated, index), None),
        };
        if disk.is_none() {
            problems.push(format!("disk {path} is missing (disk {index} of the array)"));
        } else if member.state == MemberState::Failed {
            problems.push(format!("disk {path} failed earlier and is not written any more"));
        } else if member.state == MemberState::Rebuilding {
            problems.push(format!("disk {path} is not rebuilt yet"));
        }
        let member = Member { state: states[index], ..*member };
        entries.push(Entry::new(&member, path, disk));
    }
    let disks = Disks::new(entries, newest.columns());
    check_enough(&newest, &disks, read_only)?;
    Ok(Assembled { superblock: newest, disks, problems, remarks })
}

/// The newest valid superblock of a disk.
fn read_superblock(
    disk: &dyn Disk,
    problems: &mut Vec<String>,
    path: &str,
) -> Result<(Superblock, Option<u64>), String> {
    let mut batch = Batch::new();
    for offset in superblock_offsets(disk.size()) {
        batch.add(disk, Request::Read { offset, len: SECTOR });
    }
    let copies: Vec<Result<Superblock, String>> = batch
        .wait_all()
        .into_iter()
        .map(|outcome| {
            let buf =
                outcome.map(Done::into_buf).map_err(|error| format!("can't be read: {error}"))?;
            Superblock::parse(&buf).map_err(|why| match why {
                NotASuperblock::Absent => {
                    "has no superblock: it is empty, or no disk of a store".to_owned()
                }
                NotASuperblock::Damaged => "has a damaged superblock".to_owned(),
                NotASuperblock::Unknown => {
                    "was formatted by a later version of this program".to_owned()
                }
            })
        })
        .collect();
    let newest = copies.iter().flatten().max_by_key(|copy| (copy.epoch, copy.update)).cloned();
    let Some(newest) = newest else {
        let worst = copies.into_iter().find_map(Result::err);
        return Err(worst.unwrap_or_default());
    };
    if newest.size_bytes > disk.size() {
        problems.push(format!(
            "disk {path} was cut from {} to {} bytes",
            newest.size_bytes,
            disk.size()
        ));
    } else if newest.size_bytes == disk.size() {
        for (number, copy) in copies.iter().enumerate() {
            if let Err(why) = copy {
                let at = superblock_offsets(disk.size())[number];
                problems.push(format!(
                    "disk {path} offset {at}: copy {number} of its superblock: it {why}"
                ));
            }
        }
    }
    let settled = [1, 3].into_iter().filter_map(|copy| copies[copy].as_ref().ok()).map(|c| c.epoch);
    let settled = settled.max();
    Ok((newest, settled))
}

/// The array most of the disks belong to; of equals the one with the newest superblock.
fn commonest(candidates: &[Candidate]) -> Option<ArrayId> {
    let key = |array: ArrayId| {
        let own = candidates.iter().filter(|c| c.superblock.array == array);
        (own.clone().count(), own.map(|c| c.superblock.epoch).max())
    };
    candidates.iter().map(|c| c.superblock.array).max_by_key(|array| key(*array))
}

/// Where the missing disk was looked for: most likely at the place it has in the array.
fn take_path(unseated: &mut Vec<(usize, String)>, index: usize) -> String {
    let at = unseated.iter().position(|(given_at, _)| *given_at == index);
    match at.or((!unseated.is_empty()).then_some(0)) {
        Some(at) => unseated.remove(at).1,
        None => format!("number {index}"),
    }
}

/// Gives each disk its place in the array.
fn seat(
    newest: &Superblock,
    candidates: Vec<Candidate>,
    unseated: &mut Vec<(usize, String)>,
    problems: &mut Vec<String>,
    remarks: &mut Vec<String>,
) -> Result<Vec<Option<Candidate>>, LogError> {
    let mut seats: Vec<Option<Candidate>> = newest.members.iter().map(|_| None).collect();
    for mut candidate in candidates {
        let found = std::mem::take(&mut candidate.found);
        let Candidate { given_at, path, superblock, .. } = &candidate;
        if superblock.array != newest.array {
            problems.push(format!(
                "disk {path} is foreign: it belongs to store {} ('{}'), not to {}",
                superblock.array, superblock.label, newest.array
            ));
            unseated.push((*given_at, path.clone()));
            continue;
        }
        let index = usize::from(superblock.index.0);
        if index >= seats.len() {
            problems.push(format!(
                "disk {path} was to be added to the store, which went on without it: it is left out"
            ));
            continue;
        }
        if index != *given_at && seats.len() > *given_at {
            tracing::info!(
                path,
                index,
                given_at,
                "disks are given in another order than formatted"
            );
        }
        if newest.members[index].state == MemberState::Removed {
            remarks.push(format!("disk {path} was removed from the store"));
            continue;
        }
        if newest.members.get(index).map(|member| member.id) != Some(superblock.member().id) {
            // Where another has its place nobody misses it, and what is wrong with it is no matter.
            remarks.push(format!(
                "disk {path} was replaced in the store and does not belong to it any more"
            ));
            continue;
        }
        problems.extend(found);
        sit(&mut seats[index], candidate, problems);
    }
    Ok(seats)
}

/// Gives a disk its place, unless a newer copy of it sits there.
fn sit(seat: &mut Option<Candidate>, candidate: Candidate, problems: &mut Vec<String>) {
    let mut copy = |old: &Candidate, new: &Candidate| {
        let (old, new) = (&old.path, &new.path);
        problems.push(format!("disk {old} is an old copy of disk {new} and is left out"));
    };
    let age = |disk: &Candidate| (disk.superblock.epoch, disk.superblock.update);
    match seat {
        Some(first) if age(first) >= age(&candidate) => {
            copy(&candidate, first);
        }
        _ => {
            if let Some(first) = seat {
                copy(first, &candidate);
            }
            *seat = Some(candidate);
        }
    }
}

/// The last epoch in which something may have been written. Where a disk can't tell, it is not far back: the one
/// before the newest at least.
fn last_begun(newest: &Superblock, candidates: &[Candidate]) -> u64 {
    let own = candidates.iter().filter(|disk| disk.superblock.array == newest.array);
    let begun = |disk: &Candidate| disk.settled.unwrap_or(newest.epoch.saturating_sub(1));
    own.map(begun).max().unwrap_or(newest.epoch)
}

/// What is to become of a disk that has not failed. One that has a history of its own is not mixed in;
/// one that was merely away is welcome: what it lacks, its fragments' headers tell.
///
/// Nothing was written in epochs after the last that `began`: cuts came while their first superblocks were
/// written, and the disks of that epoch lack nothing.
fn state_of(
    own: &Candidate,
    newest: &Superblock,
    began: u64,
    problems: &mut Vec<String>,
) -> MemberState {
    let (path, superblock) = (&own.path, &own.superblock);
    if superblock.epoch == newest.epoch && superblock.open_id != newest.open_id {
        problems.push(format!("disk {path} was used without the others, as they were without it"));
        return MemberState::Failed;
    }
    if superblock.epoch < began {
        problems.push(format!(
            "disk {path} was away while the store was used; what it lacks is given by parity"
        ));
        if newest.parity > 0 {
            return MemberState::Rebuilding;
        }
    }
    newest.members[usize::from(superblock.index.0)].state
}

/// Refuses to go on without disks that may know more than those that are here.
fn check_enough(newest: &Superblock, disks: &Disks, read_only: bool) -> Result<(), LogError> {
    let gone: Vec<DiskIndex> = disks
        .iter()
        .filter(|(index, entry)| {
            entry.state() == DiskState::Missing
                && newest.members[usize::from(index.0)].state != MemberState::Failed
        })
        .map(|(index, _)| index)
        .collect();
    if read_only || gone.len() <= usize::from(newest.parity) {
        return Ok(());
    }
    let names: Vec<String> = gone.iter().map(|index| disks.entry(*index).label.clone()).collect();
    Err(LogError::NotAnArray {
        why: format!(
            "{} of its {} disks are missing ({}), and it can do without {}",
            gone.len(),
            newest.members.len(),
            names.join(", "),
            newest.parity
        ),
    })
}

impl Log {
    /// Whether `disk` belongs to an array, this program's or another's: whether one of its superblocks
    /// can be read. For callers that must not format what is in use.
    #[must_use]
    pub fn is_member(disk: &dyn Disk) -> bool {
        read_superblock(disk, &mut Vec::new(), &disk.label()).is_ok()
    }
}
