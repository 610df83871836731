//! Room for the next checkpoint, which everything else leaves alone.
//!
//! What is in memory until then has been answered for: if the disks were filled up with something else, it could
//! never be written, nothing could be deleted, and the store would be stuck for ever. Pure.

use crate::format::pnode::CONTENT_BYTES;
use crate::geometry::Geometry;
use crate::log_plan::LOG_DATA;

/// What a leaf or a page takes with what stands before it.
const LEAF_BYTES: u64 = 5 << 10;
const PAGE_BYTES: u64 = 9 << 10;
/// What an image takes, most often.
const IMAGE_BYTES: u64 = 1 << 10;
/// The garbage file's last blocks, its maps, and parts of the body that do not grow.
const FIXED_BYTES: u64 = 160 << 10;
/// Of the body, for each log segment and for each page.
const SEGMENT_BYTES: u64 = 96;
const PAGE_ADDR_BYTES: u64 = 32;
/// An entry in the garbage file.
const ENTRY_BYTES: u64 = 24;

/// What the next checkpoint will have to write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Load {
    /// Content blocks in memory.
    pub(crate) changed_blocks: u64,
    /// Content blocks placed: their maps change.
    pub(crate) placed_blocks: u64,
    /// Pnodes changed.
    pub(crate) pnodes: u64,
    /// Holes that become final.
    pub(crate) holes: u64,
    /// Log segments there are.
    pub(crate) segments: u64,
    /// Pages of images there are.
    pub(crate) pages: u64,
}

impl Load {
    fn bytes(&self, geometry: &Geometry) -> u64 {
        let slots: u64 = geometry.slots.iter().copied().map(u64::from).sum();
        // A block that changed alone changes a leaf alone; in long files many share one.
        let leaves =
            self.changed_blocks.min(64) + self.changed_blocks / 32 + self.placed_blocks / 32;
        let pages = self.pnodes.min(self.pages + 1);
        self.changed_blocks * (CONTENT_BYTES as u64 + 64)
            + leaves * LEAF_BYTES
            + self.pnodes * IMAGE_BYTES
            + pages * PAGE_BYTES
            + self.holes * ENTRY_BYTES
            + self.segments * SEGMENT_BYTES
            + self.pages * PAGE_ADDR_BYTES
            + slots / 8
            + FIXED_BYTES
    }

    /// Slots on each disk that it takes at most, of `living` disks.
    pub(crate) fn slots(&self, geometry: &Geometry, living: usize) -> u32 {
        // Blocks end before segments do.
        let segments = self.bytes(geometry) * 9 / 8 / u64::from(geometry.unit_bytes) + 1;
        let columns = segments * u64::from(LOG_DATA + geometry.parity);
        u32::try_from(columns.div_ceil(living.max(1) as u64)).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_in_memory_takes_more_room_and_large_slots_few() {
        let geometry =
            |unit_bytes| Geometry { data: 4, parity: 1, unit_bytes, slots: vec![1_000; 5] };
        let none = Load::default();
        let full = Load { changed_blocks: 2_048, pnodes: 100, ..none };
        assert_eq!(none.slots(&geometry(1 << 20), 5), 1);
        assert_eq!(full.slots(&geometry(1 << 20), 5), 16);
        assert!(full.slots(&geometry(64 << 10), 5) > 200);
        assert!(full.slots(&geometry(1 << 20), 2) > full.slots(&geometry(1 << 20), 5));
    }
}
