//! How a disk is divided: superblocks, checkpoint slots, and slots of one stripe unit each.

use std::sync::OnceLock;

use pegasus_disk::{Measured, SECTOR};

use crate::code::PARITY_MAX;
use crate::format::block::{Column, DISKS_MAX, Extent};
use crate::format::pnode::{ATTRIBUTES_BYTES_MAX, LogAddr};
use crate::format::superblock::{Superblock, UNIT_BYTES_MAX, UNIT_BYTES_MIN};
use crate::room::slots_max;
use crate::{DiskIndex, LogError};

/// Where slots begin, in bytes.
const SLOTS_START: u64 = 1 << 20;
/// Bytes at the end of a disk that no slot reaches into.
const TAIL_BYTES: u64 = 64 << 10;
/// Where the two checkpoint pointers of a disk are: checkpoint number `c` uses the one at `c % 2`.
pub(crate) const POINTER_OFFSETS: [u64; 2] = [128 << 10, 192 << 10];
/// Fewest slots of a disk: what the log needs and one segment.
pub(crate) const SLOTS_MIN: u32 = 8;
/// Share of the disks' time that positioning may cost.
const POSITIONING_LOSS_MAX: f64 = 0.1;
/// Least stripe unit that is chosen without being asked for.
const UNIT_BYTES_CHOSEN_MIN: u32 = 1 << 20;
/// A disk is divided into at least so many slots where the unit is chosen.
const SLOTS_CHOSEN_MIN: u64 = 256;

/// Where a disk of `size_bytes` has its superblocks.
pub(crate) fn superblock_offsets(size_bytes: u64) -> [u64; 4] {
    [0, 64 << 10, size_bytes.saturating_sub(TAIL_BYTES), size_bytes.saturating_sub(SECTOR as u64)]
}

/// The shape of an array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    pub(crate) data: u8,
    pub(crate) parity: u8,
    pub(crate) unit_bytes: u32,
    /// Slots of each disk.
    pub(crate) slots: SlotTable,
}

/// How many slots each disk has. Disks are added, and none is ever taken away, so that what was true of
/// a disk stays true while others look at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SlotTable(Vec<OnceLock<u32>>);

impl FromIterator<u32> for SlotTable {
    fn from_iter<I: IntoIterator<Item = u32>>(slots: I) -> Self {
        let mut table: Vec<OnceLock<u32>> = slots.into_iter().map(OnceLock::from).collect();
        table.resize_with(DISKS_MAX.max(table.len()), OnceLock::new);
        Self(table)
    }
}

impl SlotTable {
    /// Slots of a disk, if there is such a disk.
    pub(crate) fn get(&self, disk: DiskIndex) -> Option<u32> {
        self.0.get(usize::from(disk.0)).and_then(OnceLock::get).copied()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> {
        self.0.iter().map_while(OnceLock::get).copied()
    }

    pub(crate) fn len(&self) -> usize {
        self.iter().count()
    }

    /// Another disk's slots.
    ///
    /// # Panics
    /// If there is no room: whoever adds a disk has looked before.
    pub(crate) fn push(&self, slots: u32) {
        let vacant = self.0.iter().find(|entry| entry.get().is_none());
        vacant.expect("there is room for another disk").get_or_init(|| slots);
    }
}

impl Geometry {
    /// The shape of a new array on disks of these sizes.
    pub(crate) fn new(
        data: u8,
        parity: u8,
        unit_bytes: u32,
        sizes_bytes: &[u64],
    ) -> Result<Self, LogError> {
        let bad = |why: String| Err(LogError::BadGeometry { why });
        let disks = usize::from(data) + usize::from(parity);
        if data == 0 || parity > PARITY_MAX || disks > DISKS_MAX {
            return bad(format!(
                "{data} data and {parity} parity columns; there may be up to {DISKS_MAX} in all, \
                 at least 1 of data and at most {PARITY_MAX} of parity"
            ));
        }
        if sizes_bytes.len() != disks {
            let given = sizes_bytes.len();
            return bad(format!(
                "{data} data and {parity} parity columns need {disks} disks, not {given}"
            ));
        }
        if !unit_bytes.is_power_of_two() || !(UNIT_BYTES_MIN..=UNIT_BYTES_MAX).contains(&unit_bytes)
        {
            return bad(format!(
                "a stripe unit of {unit_bytes} bytes is not a power of two from {UNIT_BYTES_MIN} \
                 to {UNIT_BYTES_MAX}"
            ));
        }
        let slots: SlotTable = sizes_bytes.iter().map(|size| slots_of(*size, unit_bytes)).collect();
        if let Some(at) = slots.iter().position(|slots| slots < SLOTS_MIN) {
            let least = SLOTS_START + TAIL_BYTES + u64::from(SLOTS_MIN) * u64::from(unit_bytes);
            return bad(format!(
                "disk {at} has {} bytes, fewer than the {least} it takes with a stripe unit of \
                 {unit_bytes}",
                sizes_bytes[at]
            ));
        }
        let all: u64 = slots.iter().map(u64::from).sum();
        if all > slots_max(parity, unit_bytes) {
            return bad(too_many_slots(parity, unit_bytes));
        }
        Ok(Self { data, parity, unit_bytes, slots })
    }

    /// The shape a superblock tells of.
    pub(crate) fn of(superblock: &Superblock) -> Self {
        Self {
            data: superblock.data,
            parity: superblock.parity,
            unit_bytes: superblock.unit_bytes,
            slots: superblock.members.iter().map(|member| member.slots).collect(),
        }
    }

    /// Parity columns of a segment with so many columns. Fewer than the array's only where so few disks
    /// lived or had room that there was one data column.
    pub(crate) fn parity_of(&self, columns: usize) -> usize {
        usize::from(self.parity).min(columns.saturating_sub(1))
    }

    pub(crate) fn disks(&self) -> usize {
        self.slots.len()
    }

    /// All disks of the array.
    pub(crate) fn indices(&self) -> impl Iterator<Item = DiskIndex> + use<> {
        (0..self.slots.len() as u16).map(DiskIndex)
    }

    /// Sectors of a slot.
    pub(crate) fn rows(&self) -> u32 {
        self.unit_bytes / SECTOR as u32
    }

    /// Whether the array has this slot.
    pub(crate) fn holds(&self, column: Column) -> bool {
        self.slots.get(column.disk).is_some_and(|slots| column.slot < slots)
    }

    /// Most leaves of a pnode, so that its image fits into a slot.
    pub(crate) fn leaves_max(&self) -> u64 {
        let beside = ATTRIBUTES_BYTES_MAX + 2 * SECTOR;
        ((self.unit_bytes as usize - beside) / LogAddr::BYTES - 1) as u64
    }

    /// Where `row` of a column is.
    pub(crate) fn extent(&self, column: Column, row: u32) -> Extent {
        let slot = SLOTS_START + u64::from(column.slot) * u64::from(self.unit_bytes);
        Extent { disk: column.disk, offset: slot + u64::from(row) * SECTOR as u64 }
    }

    /// The row that is at `offset` of any disk, if a slot is there.
    pub(crate) fn row_at(&self, offset: u64) -> Option<u32> {
        let within = offset.checked_sub(SLOTS_START)? % u64::from(self.unit_bytes);
        Some((within / SECTOR as u64) as u32)
    }

    /// Slots of a disk kept for the log, so that freeing and checkpoints go on when the store is full.
    pub(crate) fn reserve(&self, disk: DiskIndex) -> u32 {
        reserve_of(self.slots.get(disk).unwrap_or(0))
    }
}

/// How many of a disk's slots are kept for the log, and for cleaning it.
pub(crate) fn reserve_of(slots: u32) -> u32 {
    (slots / 32).clamp(2, 16) + cleaning_of(slots)
}

/// How many of them are kept for the cleaner: what the log takes for anything else must leave so many, or what is nearly
/// all garbage could not be moved any more, and the store would be full for ever. Enough to move a content segment
/// when few disks live, with two parities.
pub(crate) fn cleaning_of(slots: u32) -> u32 {
    (slots / 16).min(5)
}

/// Why there can't be as many slots.
pub(crate) fn too_many_slots(parity: u8, unit_bytes: u32) -> String {
    let most = slots_max(parity, unit_bytes);
    let tib = (u128::from(most) * u128::from(unit_bytes)) >> 40;
    format!(
        "with stripe units of {unit_bytes} bytes there may be {most} in all ({tib} TiB of disks), as checkpoints have to \
         tell of each: it takes a store with larger ones"
    )
}

/// Bytes of a disk with so many slots.
pub(crate) fn bytes_for(slots: u32, unit_bytes: u32) -> u64 {
    SLOTS_START + TAIL_BYTES + u64::from(slots) * u64::from(unit_bytes)
}

/// How many slots a disk of `size_bytes` has.
pub(crate) fn slots_of(size_bytes: u64, unit_bytes: u32) -> u32 {
    let room = size_bytes.saturating_sub(SLOTS_START + TAIL_BYTES);
    u32::try_from(room / u64::from(unit_bytes)).unwrap_or(u32::MAX)
}

/// The stripe unit for disks that measured so: the least power of two with which positioning costs
/// under a tenth of each disk's time, but not so large that a disk has only a few slots.
pub(crate) fn choose_unit(measured: &[Measured], least_size_bytes: u64) -> u32 {
    let cheap = |unit: &u32| {
        let loses = |disk: &Measured| disk.positioning_loss(u64::from(*unit));
        measured.iter().all(|disk| loses(disk) < POSITIONING_LOSS_MAX)
    };
    let units = || (0..).map(|shift| UNIT_BYTES_MIN << shift).take_while(|u| *u <= UNIT_BYTES_MAX);
    let wanted = units().filter(|u| *u >= UNIT_BYTES_CHOSEN_MIN).find(cheap);
    let fits = |unit: &u32| u64::from(*unit) <= least_size_bytes / SLOTS_CHOSEN_MIN;
    let allowed = units().take_while(fits).last();
    wanted.unwrap_or(UNIT_BYTES_MAX).min(allowed.unwrap_or(UNIT_BYTES_MIN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_stay_clear_of_superblocks() {
        let size = 64 << 20;
        let geometry = Geometry::new(1, 1, 1 << 20, &[size; 2]).unwrap();
        let last =
            Column { disk: DiskIndex(0), slot: geometry.slots.get(DiskIndex(0)).unwrap() - 1 };
        assert!(geometry.holds(last));
        let end = geometry.extent(last, geometry.rows()).offset;
        assert!(end <= superblock_offsets(size)[2]);
        assert!(geometry.extent(Column { disk: DiskIndex(0), slot: 0 }, 0).offset >= SLOTS_START);
        assert_eq!(geometry.row_at(geometry.extent(last, 7).offset), Some(7));
    }

    #[test]
    fn impossible_arrays_are_refused() {
        for (data, parity, unit, disks) in [
            (0, 1, 1 << 20, 1),
            (1, 3, 1 << 20, 4),
            (4, 1, 1 << 20, 4),
            (4, 2, 1 << 20, 5),
            (1, 1, 3 << 20, 2),
        ] {
            let sizes = vec![1 << 30; disks];
            assert!(Geometry::new(data, parity, unit, &sizes).is_err(), "{data} {parity} {unit}");
        }
        assert!(Geometry::new(1, 0, 1 << 20, &[4 << 20]).is_err(), "too small");
    }

    #[test]
    fn the_unit_follows_the_disk() {
        let flash = Measured { position_us: 100, bytes_per_s: 500_000_000 };
        let disk = Measured { position_us: 10_000, bytes_per_s: 200_000_000 };
        let large = 1 << 40;
        assert_eq!(choose_unit(&[flash; 5], large), 1 << 20);
        // 10 ms against 2 MB per 10 ms: 9 times that is over 16 MiB.
        assert_eq!(choose_unit(&[disk], large), 32 << 20);
        assert_eq!(choose_unit(&[flash, disk], large), 32 << 20);
        assert_eq!(choose_unit(&[flash], 64 << 20), 256 << 10, "a small disk");
    }
}
