//! What kind of store a seed makes, and how rough a time it has.

use pegasus_disk::SimModel;

/// How long and how rough a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Actions of clients, operators and fate. Default 250.
    pub steps: u32,
    /// Whether each step is told on standard error. Default no.
    pub verbose: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { steps: 250, verbose: false }
    }
}

/// What a seed decides before anything happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) data: u8,
    pub(crate) parity: u8,
    pub(crate) disk_bytes: u64,
    pub(crate) unit_bytes: u32,
    /// Bytes of files' changes that may wait in memory.
    pub(crate) pending_bytes: u64,
    /// Of a thousand steps, how many harm a disk, if one may be harmed.
    pub(crate) harm: u16,
    /// Of a thousand steps, how many end in a power cut.
    pub(crate) cuts: u16,
    /// Whether the clients write more than fits.
    pub(crate) tight: bool,
    /// How fast the disks are: of hard disks more is read ahead.
    pub(crate) model: SimModel,
}

const HARD_DISK: SimModel = SimModel { position_us: 12_000, bytes_per_s: 200_000_000 };

impl Plan {
    pub(crate) fn of(seed: u64, rng: &mut fastrand::Rng) -> Self {
        // Chosen by the seed itself: so many of any few seeds in a row.
        let two_parities = matches!(seed % 7, 4 | 5);
        let (data, parity) = match (rng.u8(..10), two_parities) {
            (0..5, false) => (4, 1),
            (5 | 6, false) => (2, 1),
            (7 | 8, false) => (1, 1),
            (_, false) => (3, 0),
            (0..5, true) => (4, 2),
            (5..8, true) => (2, 2),
            (_, true) => (1, 2),
        };
        let tight = rng.u8(..5) == 0;
        let disk_bytes = match (tight, data) {
            (true, 1) => 12 << 20,
            (true, _) => 6 << 20,
            (false, 1) => 48 << 20,
            (false, _) => 24 << 20,
        };
        let calm = rng.u8(..4) == 0;
        Self {
            data,
            parity,
            disk_bytes,
            unit_bytes: if rng.bool() { 64 << 10 } else { 128 << 10 },
            pending_bytes: if rng.bool() { 256 << 10 } else { 8 << 20 },
            harm: if calm || parity == 0 { 0 } else { rng.u16(20..120) },
            cuts: rng.u16(5..60),
            tight,
            model: if seed % 3 == 2 { HARD_DISK } else { SimModel::default() },
        }
    }

    pub(crate) fn disks(&self) -> usize {
        usize::from(self.data) + usize::from(self.parity)
    }
}
