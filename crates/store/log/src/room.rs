//! Room for the next checkpoint, which everything else leaves alone; and for what is in clients' memory.
//!
//! What is in memory until then has been answered for: if the disks were filled up with something else, it could
//! never be written, nothing could be deleted, and the store would be stuck for ever. Pure.

use pegasus_disk::SECTOR;

use crate::format::pnode::LogAddr;
use crate::geometry::Geometry;
use crate::log_plan::LOG_DATA;
use crate::pnode::Changed;

/// What a leaf or a page takes with what stands before it.
const LEAF_BYTES: u64 = 5 << 10;
/// What stands before a piece.
const PIECE_BYTES: u64 = 64;
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
    pub(crate) changed: Changed,
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
        let slots: u64 = geometry.slots.iter().map(u64::from).sum();
        // A block that changed alone changes a leaf alone; in long files many share one.
        let blocks = self.changed.blocks as u64;
        let leaves = blocks.min(64) + blocks / 32 + self.placed_blocks / 32;
        let pages = self.pnodes.min(self.pages + 1);
        self.changed.bytes
            + blocks * PIECE_BYTES
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

/// Slots on each of `living` disks for `bytes` of pnodes' content that are still in their owner's memory.
pub(crate) fn promised_slots(bytes: u64, geometry: &Geometry, living: usize) -> u32 {
    if bytes == 0 {
        return 0;
    }
    // In a transaction, and once more by the checkpoint after it, each with what stands around it.
    let segments = bytes * 2 * 9 / 8 / u64::from(geometry.unit_bytes) + 2;
    let columns = segments * u64::from(LOG_DATA + geometry.parity);
    u32::try_from(columns.div_ceil(living.max(1) as u64)).unwrap_or(u32::MAX)
}

/// Bytes a checkpoint's body can have: its pointer, one sector, names each part of it.
pub(crate) fn body_bytes_max(parity: u8, unit_bytes: u32) -> u64 {
    let part = (LogAddr::BYTES + 12 + 8 * usize::from(LOG_DATA + parity)) as u64;
    let parts = (SECTOR as u64 - 256) / part;
    // Blocks end before segments do.
    parts * u64::from(unit_bytes) / 8 * 7
}

/// Slots there may be in all: half of a body for their bits.
pub(crate) fn slots_max(parity: u8, unit_bytes: u32) -> u64 {
    body_bytes_max(parity, unit_bytes) / 2 * 8
}

/// Segments of the log and of content there may be before files are refused, with so many pages: what is left over is for
/// checkpoints, cleaning and recordings.
pub(crate) fn segments_max(geometry: &Geometry, pages: u64) -> u64 {
    let slots: u64 = geometry.slots.iter().map(u64::from).sum();
    let others = slots / 8 + pages * PAGE_ADDR_BYTES + FIXED_BYTES;
    let bytes = body_bytes_max(geometry.parity, geometry.unit_bytes).saturating_sub(others);
    bytes / SEGMENT_BYTES / 10 * 9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_in_memory_takes_more_room_and_large_slots_few() {
        let geometry = |unit_bytes| Geometry {
            data: 4,
            parity: 1,
            unit_bytes,
            slots: std::iter::repeat_n(1_000, 5).collect(),
        };
        let none = Load::default();
        let changed = Changed { blocks: 2_048, bytes: 2_048 * 16_384 };
        let full = Load { changed, pnodes: 100, ..none };
        assert_eq!(none.slots(&geometry(1 << 20), 5), 1);
        assert_eq!(full.slots(&geometry(1 << 20), 5), 16);
        assert!(full.slots(&geometry(64 << 10), 5) > 200);
        assert!(full.slots(&geometry(1 << 20), 2) > full.slots(&geometry(1 << 20), 5));
    }

    #[test]
    fn a_body_never_has_more_parts_than_its_pointer_names() {
        for parity in 0..=2 {
            let geometry = Geometry {
                data: 4,
                parity,
                unit_bytes: 1 << 20,
                slots: std::iter::repeat_n(4_000_000, 6).collect(),
            };
            let segments = segments_max(&geometry, 1_000);
            // 2 TB of files with 1 MiB each, at least.
            assert!(segments > 350_000, "{segments}");
            let load = Load { segments, pages: 1_000, ..Load::default() };
            assert!(load.bytes(&geometry) < body_bytes_max(parity, 1 << 20));
            assert!(slots_max(parity, 1 << 20) > 190 << 20, "190 TiB with units of 1 MiB");
        }
        let crowded = Geometry {
            data: 4,
            parity: 1,
            unit_bytes: 64 << 10,
            slots: std::iter::repeat_n(100_000_000, 6).collect(),
        };
        assert_eq!(segments_max(&crowded, 0), 0);
    }
}
