//! A playback as its viewers see it.

use crate::{Shape, Stock};

/// Who waits for the first picture.
#[derive(Clone, Copy, Debug)]
pub(super) struct Viewer {
    pub(super) came_ns: u64,
    /// He waited for nobody's end.
    pub(super) at_once: bool,
}

/// A playback as its viewers see it, all of them alike.
#[derive(Debug)]
pub(super) struct Viewing {
    pub(super) media: usize,
    pub(super) blocks: u64,
    /// How many viewers there are.
    pub(super) viewers: usize,
    /// When its first block is shown in the schedule's time.
    pub(super) scheduled_ns: u64,
    pub(super) stock: Stock,
    /// Until it is known when the first block is really shown: who waits for it, and the margins of what is there already, against the
    /// schedule's time.
    pub(super) early: Option<Early>,
    /// All of it is there.
    pub(super) is_over: bool,
}

#[derive(Debug, Default)]
pub(super) struct Early {
    pub(super) viewers: Vec<Viewer>,
    pub(super) margins_ns: Vec<(i64, bool)>,
}

impl Viewing {
    /// By how much real time is behind the schedule's for this playback: what is shown at a time of the schedule really is so much earlier.
    pub(super) fn sooner_ns(&self) -> u64 {
        self.scheduled_ns.saturating_sub(self.stock.shown_ns)
    }

    /// What it holds at `now_ns` if block `block` is the last that was asked for, in bytes.
    pub(super) fn held_bytes(&self, shape: &Shape, block: u64, now_ns: u64) -> u64 {
        let mut held = 0;
        for number in (0..=block).rev() {
            let zone = (self.stock.zone + number as usize) % shape.knobs().zones;
            let ends_ns = self.stock.shown_ns + shape.due_ns(self.stock.zone, number + 1);
            let left_ns = ends_ns.saturating_sub(now_ns).min(shape.block_ns(zone));
            if left_ns == 0 {
                break;
            }
            let bytes = u128::from(shape.block_bytes(self.media, zone)) * u128::from(left_ns);
            held += (bytes / u128::from(shape.block_ns(zone))) as u64;
        }
        held
    }
}
