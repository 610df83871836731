//! What can be wrong with a wish.

/// Why something can't be planned or scheduled at all, however idle the disks are.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A disk can't be cut into as many logical zones.
    #[error("{wanted} zones were asked for, and the disk has {has}: ask for 1 to {has}")]
    Zones {
        /// How many were asked for.
        wanted: usize,
        /// How many the disk's profile has.
        has: usize,
    },
    /// A shape contradicts itself.
    #[error("{0}")]
    Shape(String),
    /// A medium is as wide as all disks, or wider.
    #[error("{media} is to lie on {width} disks at once, and there are {disks}")]
    Width {
        /// Which.
        media: String,
        /// On how many, parity included.
        width: u32,
        /// How many there are.
        disks: u32,
    },
    /// Not even one playback of a medium can be kept.
    #[error(
        "not even one playback of {media} can be kept: a block takes {takes_us} us of {has_us}"
    )]
    Medium {
        /// Which.
        media: String,
        /// What one block's fragment takes of a disk at worst.
        takes_us: u64,
        /// What there is.
        has_us: u64,
    },
    /// Water marks are too low, or too near to each other, for skips to be possible.
    #[error(
        "water marks of {low} and {high} blocks do not suffice: the low one is at least {least_low} here, which the schedule itself needs, and the high one \
        {apart} above it, as a skip leaves out {cycle} blocks or a multiple; say {least_low},{} or more", least_low + apart
    )]
    Marks {
        /// The low mark, in blocks.
        low: u64,
        /// The high mark, in blocks.
        high: u64,
        /// The least low mark.
        least_low: u64,
        /// By how much the high mark is above the low one at least.
        apart: u64,
        /// How many blocks a skip leaves out at least.
        cycle: u64,
    },
    /// Who has read nothing yet has nothing to skip for.
    #[error("playback {0} has not begun: let its first block be read before it skips any")]
    Unbegun(u64),
}
