//! What the array allows: how wide segments are, and what fits them.

use pegasus_base::PnodeId;
use pegasus_log::{DiskState, LogStatus};

use crate::assemble::PayloadMax;
use crate::format::index;
use crate::writer::Writer;

/// A stream's segments are as wide as its blocks are multiples of this, so that a fragment is worth a
/// disk's trouble.
const FRAGMENT_BYTES: u64 = 64 << 10;
/// What a fragment may take beyond its share of the payload: its header, and padding.
const FRAGMENT_OVERHEAD: usize = 8 << 10;

/// What is the same for all streams of an array.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Geometry {
    /// Bytes of a slot.
    pub(crate) unit_bytes: usize,
    /// Most data columns that living disks allow.
    pub(crate) width_max: u8,
    /// Disks of the array.
    pub(crate) columns: usize,
    /// Parity columns.
    pub(crate) parity: usize,
    /// Bytes of a record of a directory.
    pub(crate) record_len: usize,
    /// The catalogue.
    pub(crate) root: PnodeId,
}

impl Geometry {
    /// What an array in this state allows.
    pub(crate) fn of(status: &LogStatus, record_len: usize, root: PnodeId) -> Self {
        let parity = usize::from(status.parity);
        let writable =
            |state| matches!(state, DiskState::Ok | DiskState::Rebuilding | DiskState::Slow);
        let living = status.disks.iter().filter(|disk| writable(disk.state)).count();
        let width_max = living.saturating_sub(parity).clamp(1, usize::from(status.data.max(1)));
        Self {
            unit_bytes: status.unit_bytes as usize,
            width_max: width_max as u8,
            columns: usize::from(status.data) + parity,
            parity,
            record_len,
            root,
        }
    }

    /// Payload bytes that a segment of `width` takes at least, its index aside.
    fn room(&self, width: usize) -> usize {
        width * self.unit_bytes.saturating_sub(FRAGMENT_OVERHEAD)
    }

    /// Room to keep in a segment of `width` for an index of `index_bytes`.
    pub(crate) fn reserve(index_bytes: usize, width: usize) -> usize {
        index_bytes + width * FRAGMENT_OVERHEAD
    }

    /// Payload bytes that the only block of a segment of `width` may have.
    fn room_for_one(&self, width: usize) -> usize {
        let index = Self::reserve(index::single_len_max(self.columns), width);
        self.room(width).saturating_sub(index)
    }

    /// Data columns for a segment whose next block has `payload` bytes, of a stream that makes
    /// `bytes` a commit.
    pub(crate) fn width(&self, payload: usize, bytes: u64) -> u8 {
        let worth = bytes.div_ceil(FRAGMENT_BYTES).clamp(1, u64::from(self.width_max)) as u8;
        (worth..self.width_max)
            .find(|&width| self.room_for_one(width.into()) >= payload)
            .unwrap_or(self.width_max)
    }

    /// Bytes of media the next segment of a stream would take up, parity apart.
    pub(crate) fn segment_bytes(&self, writer: &Writer) -> u64 {
        let payload = writer.assembler.ready().front().map_or(0, |pending| pending.payload_len);
        u64::from(self.width(payload, writer.commit_bytes)) * self.unit_bytes as u64
    }

    /// Largest payload of a block. If it can be divided, it is to fit a segment even if as many more disks die
    /// before it is written as there is parity.
    pub(crate) fn payload_max(&self) -> PayloadMax {
        let width = usize::from(self.width_max);
        PayloadMax {
            lone: self.room_for_one(width),
            shared: self.room_for_one(width.saturating_sub(self.parity).max(1)),
        }
    }

    /// Whether a block fits a segment at all.
    pub(crate) fn fits(&self, payload: usize) -> bool {
        payload <= self.payload_max().lone
    }
}
