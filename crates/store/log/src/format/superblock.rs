//! The superblock: which disk of which array this is, and what became of the others.

use pegasus_base::{ArrayId, DiskId, Time};
use pegasus_disk::SECTOR;

use super::block::{DISKS_MAX, DiskIndex};
use super::bytes::{Fields, Put};
use crate::code::PARITY_MAX;

const MAGIC: [u8; 8] = *b"PEGASUS\0";
/// The version of all formats of the log.
pub(crate) const VERSION: u32 = 1;
/// Longest label in bytes.
pub(crate) const LABEL_BYTES_MAX: usize = 64;
/// In the feature bits that a writer must know: a disk is being rebuilt.
const FEATURE_REBUILDING: u32 = 1;
/// And: a disk is being removed.
const FEATURE_LEAVING: u32 = 2;
const WRITER_FEATURES: u32 = FEATURE_REBUILDING | FEATURE_LEAVING;
/// In those that a reader must know: there are more disks than a stripe has columns.
const FEATURE_MORE_DISKS: u32 = 1;
/// And: stripes have two parity columns.
const FEATURE_TWO_PARITIES: u32 = 2;
/// And: a disk was removed.
const FEATURE_REMOVED: u32 = 4;
const FEATURES: u32 = FEATURE_MORE_DISKS | FEATURE_TWO_PARITIES | FEATURE_REMOVED;
/// In a disk's state: it is being removed.
const LEAVING: u32 = 1 << 8;
const CRC_AT: usize = SECTOR - 4;
/// Where the table of disks begins, and the length of an entry.
const TABLE_AT: usize = 192;
const ENTRY_BYTES: usize = 24;

const _: () = assert!(TABLE_AT + DISKS_MAX * ENTRY_BYTES <= CRC_AT);

/// Least and greatest stripe unit in bytes.
pub(crate) const UNIT_BYTES_MIN: u32 = 64 << 10;
pub(crate) const UNIT_BYTES_MAX: u32 = 64 << 20;

/// A disk as all disks of the array know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) id: DiskId,
    /// Slots on it.
    pub(crate) slots: u32,
    /// What became of it.
    pub(crate) state: MemberState,
    /// It is being removed: what is on it is moved to others.
    pub(crate) leaving: bool,
}

impl Member {
    /// A disk that takes part, or does not.
    pub(crate) fn new(id: DiskId, slots: u32, state: MemberState) -> Self {
        Self { id, slots, state, leaving: false }
    }
}

/// What became of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MemberState {
    /// It holds what it should.
    Ok,
    /// It failed and must not be written any more.
    Failed,
    /// It is new, or was away: what it lacks is being written to it.
    Rebuilding,
    /// Nothing is on it any more, and it is no disk of the array. Its index is never used again.
    Removed,
}

impl MemberState {
    pub(super) const ALL: [Self; 4] = [Self::Ok, Self::Failed, Self::Rebuilding, Self::Removed];
}

/// A superblock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Superblock {
    pub(crate) array: ArrayId,
    /// The disk this is on.
    pub(crate) index: DiskIndex,
    pub(crate) data: u8,
    pub(crate) parity: u8,
    pub(crate) unit_bytes: u32,
    /// Size of this disk when it was formatted.
    pub(crate) size_bytes: u64,
    pub(crate) created: Time,
    /// Grows by one whenever the array is opened to be written.
    pub(crate) epoch: u64,
    /// Tells two openings with the same epoch apart: two halves of a mirror opened one without the
    /// other.
    pub(crate) open_id: u64,
    /// Grows whenever superblocks are written.
    pub(crate) update: u64,
    pub(crate) label: String,
    /// All disks of the array, in order; this one among them.
    pub(crate) members: Vec<Member>,
}

/// Why some bytes are not a superblock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotASuperblock {
    /// There is none.
    Absent,
    /// There was one, and it is damaged.
    Damaged,
    /// It has a version or a feature this program does not know.
    Unknown,
}

impl Superblock {
    /// The disk this is on.
    pub(crate) fn member(&self) -> &Member {
        &self.members[usize::from(self.index.0)]
    }

    /// Columns of a full stripe.
    pub(crate) fn columns(&self) -> usize {
        usize::from(self.data) + usize::from(self.parity)
    }

    /// The sector.
    ///
    /// # Panics
    /// If the value is not one that [`Superblock::parse`] would accept.
    pub(crate) fn emit(&self) -> Vec<u8> {
        assert!(self.is_valid(), "an impossible superblock: {self:?}");
        let mut out = Vec::with_capacity(SECTOR);
        out.bytes(&MAGIC);
        out.u32(VERSION);
        // Feature bits: compatible, compatible for reading, incompatible. One that does not know of
        // rebuilding must not take the disk for whole.
        let rebuilding = self.members.iter().any(|m| m.state == MemberState::Rebuilding);
        out.u32(0);
        let leaving = self.members.iter().any(|member| member.leaving);
        let rebuilding = if rebuilding { FEATURE_REBUILDING } else { 0 };
        out.u32(rebuilding | if leaving { FEATURE_LEAVING } else { 0 });
        let more = self.members.len() > self.columns();
        let two = self.parity == 2;
        let more = if more { FEATURE_MORE_DISKS } else { 0 };
        let two = if two { FEATURE_TWO_PARITIES } else { 0 };
        let removed = self.members.iter().any(|m| m.state == MemberState::Removed);
        out.u32(more | two | if removed { FEATURE_REMOVED } else { 0 });
        out.bytes(&[0; 8]);
        out.bytes(&self.array.to_bytes());
        out.bytes(&self.member().id.to_bytes());
        out.u16(self.index.0);
        out.u16(self.members.len() as u16);
        out.u8(self.data);
        out.u8(self.parity);
        out.u16(0);
        out.u32(self.unit_bytes);
        out.u32(self.member().slots);
        out.u64(self.size_bytes);
        out.bytes(&self.created.as_ns().to_le_bytes());
        out.u64(self.epoch);
        out.u64(self.open_id);
        out.u64(self.update);
        out.u8(self.label.len() as u8);
        out.bytes(self.label.as_bytes());
        out.resize(TABLE_AT, 0);
        for member in &self.members {
            out.bytes(&member.id.to_bytes());
            out.u32(member.slots);
            out.u32(member.state as u32 | if member.leaving { LEAVING } else { 0 });
        }
        out.resize(CRC_AT, 0);
        let crc = crc32c::crc32c(&out);
        out.u32(crc);
        out
    }

    /// Reads the sector `bytes`.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, NotASuperblock> {
        let Some((sector, crc)) = bytes.get(..SECTOR).and_then(|b| b.split_last_chunk::<4>())
        else {
            return Err(NotASuperblock::Absent);
        };
        if !sector.starts_with(&MAGIC) {
            return Err(NotASuperblock::Absent);
        }
        if crc32c::crc32c(sector) != u32::from_le_bytes(*crc) {
            return Err(NotASuperblock::Damaged);
        }
        let mut fields = Fields::new(&sector[MAGIC.len()..]);
        let version = fields.u32();
        let _compatible = fields.u32();
        // A later version may set bits in the first field freely. With unknown ones in the other two,
        // this one can't write, or can't even read; it does not tell them apart.
        let unknown = fields.u32().is_none_or(|bits| bits & !WRITER_FEATURES != 0)
            || fields.u32().is_none_or(|bits| bits & !FEATURES != 0);
        if version != Some(VERSION) || unknown {
            return Err(NotASuperblock::Unknown);
        }
        Self::take(fields).filter(Self::is_valid).ok_or(NotASuperblock::Damaged)
    }

    fn take(mut fields: Fields<'_>) -> Option<Self> {
        fields.zeros(8)?;
        let array = ArrayId::from_bytes(fields.array()?);
        let id = DiskId::from_bytes(fields.array()?);
        let index = DiskIndex(fields.u16()?);
        let count = usize::from(fields.u16()?);
        let (data, parity) = (fields.u8()?, fields.u8()?);
        fields.zeros(2)?;
        let (unit_bytes, slots) = (fields.u32()?, fields.u32()?);
        let size_bytes = fields.u64()?;
        let created = Time::from_ns(i64::from_le_bytes(fields.array()?));
        let (epoch, open_id, update) = (fields.u64()?, fields.u64()?, fields.u64()?);
        let label_bytes = usize::from(fields.u8()?);
        let label = std::str::from_utf8(fields.slice(label_bytes)?).ok()?.to_owned();
        fields.zeros((TABLE_AT - 121).checked_sub(label_bytes)?)?;
        let members = (0..count).map(|_| take_member(&mut fields)).collect::<Option<Vec<_>>>()?;
        fields.rest().iter().all(|byte| *byte == 0).then_some(())?;
        let own = members.get(usize::from(index.0))?;
        if (own.id, own.slots) != (id, slots) {
            return None;
        }
        Some(Self {
            array,
            index,
            data,
            parity,
            unit_bytes,
            size_bytes,
            created,
            epoch,
            open_id,
            update,
            label,
            members,
        })
    }

    fn is_valid(&self) -> bool {
        let unit = self.unit_bytes;
        (1..=DISKS_MAX).contains(&self.members.len())
            && self.data > 0
            && self.parity <= PARITY_MAX
            && self.columns() <= self.members.len()
            && usize::from(self.index.0) < self.members.len()
            && unit.is_power_of_two()
            && (UNIT_BYTES_MIN..=UNIT_BYTES_MAX).contains(&unit)
            && self.label.len() <= LABEL_BYTES_MAX
    }
}

fn take_member(fields: &mut Fields<'_>) -> Option<Member> {
    let id = DiskId::from_bytes(fields.array()?);
    let (slots, state) = (fields.u32()?, fields.u32()?);
    let leaving = state & LEAVING != 0;
    let state = MemberState::ALL.into_iter().find(|known| *known as u32 == state & !LEAVING)?;
    Some(Member { id, slots, state, leaving })
}
