//! Which slots are free, and which of them a new segment gets.

use std::collections::BTreeSet;

use crate::DiskIndex;
use crate::format::block::Column;
use crate::geometry::{Geometry, cleaning_of, reserve_of};

/// The slots of all disks. Pure: changed only by what it is told.
#[derive(Clone, Debug)]
pub(crate) struct Allocator {
    disks: Vec<Slots>,
    /// Freed, but perhaps met by a recovery that starts from the last checkpoint: used again after the
    /// next one.
    pending: BTreeSet<Column>,
    /// Breaks ties between disks with equally many free slots, so that all take turns.
    turn: usize,
    /// Given back since [`Allocator::watch`] was called last; `None` while nobody wants to know.
    given_back: Option<BTreeSet<Column>>,
    /// Slots of each disk that only the next checkpoint may take; and how many when it has nothing to write.
    aside: u32,
    aside_least: u32,
    /// Slots of each disk promised to what is in clients' memory.
    promised: u32,
}

#[derive(Clone, Debug)]
struct Slots {
    /// A bit for each slot, set if it is in use or pending.
    bits: Vec<u8>,
    count: u32,
    free: u32,
    /// Where to look next: segments of one time lie near each other.
    hint: u32,
    reserve: u32,
    /// That part of the reserve which is the cleaner's alone.
    cleaning: u32,
}

/// What a segment is allocated for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// May use everything.
    Checkpoint,
    /// Leaves what is set aside for the next checkpoint.
    Cleaning,
    /// Leaves the cleaner a little, too: without any, garbage could never become room.
    Log,
    /// Leaves the whole reserve: content that was promised room.
    Content,
    /// Leaves what others were promised, too.
    Continuous,
}

impl Allocator {
    /// All slots free.
    pub(crate) fn new(geometry: &Geometry) -> Self {
        let disks = geometry.slots.iter().map(Slots::new).collect();
        Self {
            disks,
            pending: BTreeSet::new(),
            turn: 0,
            given_back: None,
            aside: 0,
            aside_least: 0,
            promised: 0,
        }
    }

    /// Another disk, all of its slots free.
    pub(crate) fn add(&mut self, slots: u32) {
        self.disks.push(Slots::new(slots));
    }

    /// As a checkpoint's body tells; `None` if it tells of other disks. Of disks that were added after it
    /// was written it tells nothing: they are free.
    pub(crate) fn restore(geometry: &Geometry, slots: &[(u32, Vec<u8>)]) -> Option<Self> {
        let mut new = Self::new(geometry);
        if slots.len() > new.disks.len() {
            return None;
        }
        for (disk, (count, bits)) in new.disks.iter_mut().zip(slots) {
            if *count != disk.count || bits.len() != disk.bits.len() {
                return None;
            }
            let used: u32 = bits.iter().map(|byte| byte.count_ones()).sum();
            disk.bits.clone_from(bits);
            disk.free = disk.count - used;
        }
        Some(new)
    }

    /// What a checkpoint's body tells: pending slots, and those in `also_free`, are free in it.
    pub(crate) fn snapshot(&self, also_free: &[Column]) -> Vec<(u32, Vec<u8>)> {
        let mut slots: Vec<_> =
            self.disks.iter().map(|disk| (disk.count, disk.bits.clone())).collect();
        for column in self.pending.iter().chain(also_free) {
            let (_, bits) = &mut slots[usize::from(column.disk.0)];
            bits[column.slot as usize / 8] &= !(1 << (column.slot % 8));
        }
        slots
    }

    /// Takes a slot on each of `width` disks out of `eligible`: those with the most room, in turn.
    /// Nothing is taken if there are fewer.
    pub(crate) fn take(
        &mut self,
        width: usize,
        eligible: &BTreeSet<DiskIndex>,
        purpose: Purpose,
    ) -> Option<Vec<Column>> {
        let mut disks = self.with_room(eligible, purpose);
        if width == 0 || disks.len() < width {
            return None;
        }
        let (turn, all) = (self.turn, self.disks.len());
        let order = |disk: &DiskIndex| (usize::from(disk.0) + all - turn % all) % all;
        disks.sort_by_key(|disk| {
            (std::cmp::Reverse(self.disks[usize::from(disk.0)].free), order(disk))
        });
        disks.truncate(width);
        disks.sort_by_key(order);
        self.turn = (turn + width) % all;
        Some(disks.into_iter().map(|disk| self.disks[usize::from(disk.0)].take(disk)).collect())
    }

    /// The disks out of `eligible` on which a segment could be opened now.
    pub(crate) fn with_room(
        &self,
        eligible: &BTreeSet<DiskIndex>,
        purpose: Purpose,
    ) -> Vec<DiskIndex> {
        let has_room = |disk: &&DiskIndex| {
            let slots = &self.disks[usize::from(disk.0)];
            let left = match purpose {
                Purpose::Checkpoint => 0,
                Purpose::Cleaning => self.aside,
                Purpose::Log => self.aside + slots.cleaning,
                Purpose::Content => self.aside + slots.reserve,
                Purpose::Continuous => self.aside + slots.reserve + self.promised,
            };
            slots.free > left
        };
        eligible.iter().filter(has_room).copied().collect()
    }

    /// Marks slots in use that a record says are; false if one is already.
    pub(crate) fn claim(&mut self, columns: &[Column]) -> bool {
        if !columns.iter().all(|column| self.exists(*column) && !self.is_used(*column)) {
            return false;
        }
        for column in columns {
            self.disks[usize::from(column.disk.0)].set(column.slot);
        }
        true
    }

    /// Whether all these slots are in use (pending ones are not).
    pub(crate) fn owns(&self, columns: &[Column]) -> bool {
        columns.iter().all(|column| {
            self.exists(*column) && self.is_used(*column) && !self.pending.contains(column)
        })
    }

    fn exists(&self, column: Column) -> bool {
        self.disks.get(usize::from(column.disk.0)).is_some_and(|disk| column.slot < disk.count)
    }

    /// Whether the slot is in use or pending.
    pub(crate) fn is_used(&self, column: Column) -> bool {
        self.disks[usize::from(column.disk.0)].get(column.slot)
    }

    /// Frees slots that were never written to: at once.
    ///
    /// # Panics
    /// If one is not in use.
    pub(crate) fn release(&mut self, columns: &[Column]) {
        self.note_given_back(columns);
        for column in columns {
            self.disks[usize::from(column.disk.0)].clear(column.slot);
        }
    }

    /// Frees slots for use after the next checkpoint.
    pub(crate) fn retire(&mut self, columns: &[Column]) {
        self.note_given_back(columns);
        self.pending.extend(columns);
    }

    /// From now on takes note of slots that are given back.
    pub(crate) fn watch(&mut self) {
        self.given_back = Some(BTreeSet::new());
    }

    /// Nobody wants to know any more.
    pub(crate) fn unwatch(&mut self) {
        self.given_back = None;
    }

    fn note_given_back(&mut self, columns: &[Column]) {
        if let Some(given_back) = &mut self.given_back {
            given_back.extend(columns);
        }
    }

    /// Whether slots that were somebody's when [`Allocator::watch`] was called are his still.
    pub(crate) fn kept(&self, columns: &[Column]) -> bool {
        let Some(given_back) = &self.given_back else { return false };
        self.owns(columns) && !columns.iter().any(|column| given_back.contains(column))
    }

    /// A checkpoint is durable: makes the slots that were pending free.
    pub(crate) fn release_pending(&mut self) {
        let freed: Vec<Column> = std::mem::take(&mut self.pending).into_iter().collect();
        self.release(&freed);
    }

    pub(crate) fn pending(&self) -> &BTreeSet<Column> {
        &self.pending
    }

    /// Sets slots of each disk aside for the next checkpoint; `least` are for one with nothing to write.
    pub(crate) fn set_aside(&mut self, slots: u32, least: u32) {
        (self.aside, self.aside_least) = (slots, least);
    }

    /// Keeps so many slots of each disk for what was promised room.
    pub(crate) fn set_promised(&mut self, slots: u32) {
        self.promised = slots;
    }

    /// Slots of each disk set aside for the next checkpoint.
    pub(crate) fn aside(&self) -> u32 {
        self.aside
    }

    /// Whether there will be more room after a checkpoint.
    pub(crate) fn waits(&self) -> bool {
        !self.pending.is_empty() || self.aside > self.aside_least
    }

    pub(crate) fn free(&self, disk: DiskIndex) -> u32 {
        self.disks[usize::from(disk.0)].free
    }
}

impl Slots {
    fn new(count: u32) -> Self {
        let bits = vec![0; count.div_ceil(8) as usize];
        Self {
            bits,
            count,
            free: count,
            hint: 0,
            reserve: reserve_of(count),
            cleaning: cleaning_of(count),
        }
    }

    fn get(&self, slot: u32) -> bool {
        self.bits[slot as usize / 8] & (1 << (slot % 8)) != 0
    }

    fn set(&mut self, slot: u32) {
        assert!(!self.get(slot), "slot {slot} is in use already");
        self.bits[slot as usize / 8] |= 1 << (slot % 8);
        self.free -= 1;
    }

    fn clear(&mut self, slot: u32) {
        assert!(self.get(slot), "slot {slot} is not in use");
        self.bits[slot as usize / 8] &= !(1 << (slot % 8));
        self.free += 1;
    }

    /// Takes the next free slot behind the last one taken.
    fn take(&mut self, disk: DiskIndex) -> Column {
        let found = self.free_from(self.hint).or_else(|| self.free_from(0));
        let slot = found.expect("only disks with a free slot are asked");
        self.set(slot);
        self.hint = slot + 1;
        Column { disk, slot }
    }

    /// The first free slot from `slot` on. A disk that is nearly full has millions in use one behind the
    /// other: they are passed over many at a time.
    fn free_from(&self, slot: u32) -> Option<u32> {
        let byte = slot as usize / 8;
        let before = (1 << (slot % 8)) - 1;
        let first = self.bits.get(byte)? | before;
        let rest = &self.bits[byte + 1..];
        let (byte, bits) = match first {
            u8::MAX => {
                let is_full =
                    |bytes: &&[u8]| bytes.iter().fold(u8::MAX, |all, b| all & b) == u8::MAX;
                let full = rest.chunks(64).take_while(is_full).count() * 64;
                let at = full + rest.get(full..)?.iter().position(|bits| *bits != u8::MAX)?;
                (byte + 1 + at, rest[at])
            }
            bits => (byte, bits),
        };
        let slot = byte as u32 * 8 + bits.trailing_ones();
        (slot < self.count).then_some(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn geometry() -> Geometry {
        Geometry {
            data: 4,
            parity: 1,
            unit_bytes: 1 << 20,
            slots: [21, 20, 19, 20, 33].into_iter().collect(),
        }
    }

    #[test]
    fn disks_take_turns_and_the_reserve_is_kept() {
        let geometry = Geometry { slots: [20; 5].into_iter().collect(), ..geometry() };
        let mut alloc = Allocator::new(&geometry);
        let all: BTreeSet<_> = geometry.indices().collect();
        let mut uses = [0; 5];
        let mut segments = 0;
        while let Some(columns) = alloc.take(2, &all, Purpose::Continuous) {
            columns.iter().for_each(|column| uses[usize::from(column.disk.0)] += 1);
            segments += 1;
            let (least, most) = (uses.iter().min().unwrap(), uses.iter().max().unwrap());
            assert!(most - least <= 1, "{uses:?}");
        }
        assert_eq!(segments, (20 - 3) * 5 / 2);
        assert!(alloc.take(5, &all, Purpose::Log).is_some());
    }

    #[test]
    fn what_is_retired_is_free_only_after_the_checkpoint() {
        let geometry = geometry();
        let mut alloc = Allocator::new(&geometry);
        let all: BTreeSet<_> = geometry.indices().collect();
        let columns = alloc.take(5, &all, Purpose::Log).unwrap();
        assert!(alloc.owns(&columns));
        alloc.retire(&columns);
        assert!(!alloc.owns(&columns) && !alloc.clone().claim(&columns));
        let after = Allocator::restore(&geometry, &alloc.snapshot(&[])).unwrap();
        assert_eq!(after.free(DiskIndex(0)), 21);
        alloc.release_pending();
        assert!(alloc.claim(&columns));
    }

    proptest! {
        /// Against looking at each slot.
        #[test]
        fn the_next_free_slot_is_found(count in 1_u32..2_000, free in prop::collection::vec(any::<prop::sample::Index>(), 1..4), hint in any::<prop::sample::Index>()) {
            let mut slots = Slots::new(count);
            let free: BTreeSet<u32> = free.iter().map(|at| at.index(count as usize) as u32).collect();
            (0..count).filter(|slot| !free.contains(slot)).for_each(|slot| slots.set(slot));
            slots.hint = hint.index(count as usize + 1) as u32;
            let next = free.range(slots.hint..).next().or(free.first()).copied();
            prop_assert_eq!(Some(slots.take(DiskIndex(0)).slot), next);
        }

        /// Against sets of columns as the model.
        #[test]
        fn no_slot_is_given_out_twice(steps in prop::collection::vec((0_u8..3, 1_usize..6, any::<prop::sample::Index>()), 1..200)) {
            let geometry = geometry();
            let mut alloc = Allocator::new(&geometry);
            let all: BTreeSet<_> = geometry.indices().collect();
            let mut segments: Vec<Vec<Column>> = Vec::new();
            let mut pending = 0;
            for (what, width, index) in steps {
                if what < 2 {
                    if let Some(columns) = alloc.take(width, &all, Purpose::Continuous) {
                        prop_assert_eq!(columns.len(), width);
                        let disks: BTreeSet<_> = columns.iter().map(|c| c.disk).collect();
                        prop_assert_eq!(disks.len(), width);
                        prop_assert!(columns.iter().all(|c| geometry.holds(*c) && !segments.iter().flatten().any(|o| o == c)));
                        segments.push(columns);
                    }
                } else if !segments.is_empty() {
                    let columns = segments.swap_remove(index.index(segments.len()));
                    pending += columns.len();
                    alloc.retire(&columns);
                    if width > 3 {
                        alloc.release_pending();
                        pending = 0;
                    }
                }
                let used: u32 = geometry.indices().map(|d| geometry.slots.get(d).unwrap() - alloc.free(d)).sum();
                prop_assert_eq!(used as usize, segments.iter().flatten().count() + pending);
                let again = Allocator::restore(&geometry, &alloc.snapshot(&[])).unwrap();
                prop_assert!(segments.iter().all(|columns| again.owns(columns)));
            }
        }
    }
}
