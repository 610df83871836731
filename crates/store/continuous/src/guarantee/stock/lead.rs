//! How far ahead of its reader a playback is read.

use std::time::Instant;

use super::{Arrived, Stock};

/// So often a playback is read for before it has to be, if the disks have time: then it can be shown at once, whenever the schedule comes to it next, which
/// is a period and a window later at most.
const LEAD: u64 = 2;

/// What was read for a playback since it began, or since its reader went elsewhere.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lead {
    /// When that was, and whether its reader ever went elsewhere.
    pub(crate) since: Instant,
    pub(crate) has_moved: bool,
    /// How often it was read for, and all of that is there.
    pub(crate) services: u64,
    /// There is no more to be read.
    pub(crate) is_over: bool,
}

impl Stock {
    /// How far ahead it is.
    pub(crate) fn lead(&self) -> Lead {
        let state = self.state.lock();
        let is_asked = state.blocks.iter().any(|held| matches!(held.arrived, Arrived::NotYet));
        Lead {
            since: state.since,
            has_moved: state.moves > 0,
            services: state.services - u64::from(is_asked && state.services > 0),
            is_over: state.is_over && !is_asked,
        }
    }

    /// Whether reading for it once does not make it ready to be shown at once.
    pub(crate) fn lacks_more_than_once(&self) -> bool {
        let state = self.state.lock();
        state.services + 1 < LEAD && !state.is_over
    }

    /// Whether more should be read than is due: a reader waits for a block that was not asked for, or it can't be shown at once yet.
    pub(crate) fn is_wanted(&self) -> bool {
        let state = self.state.lock();
        let is_asked = state.blocks.iter().any(|held| matches!(held.arrived, Arrived::NotYet));
        let is_short = state.services < LEAD && !state.is_over;
        (state.waiting > 0 || is_short) && state.budget.ahead && !is_asked
    }
}
