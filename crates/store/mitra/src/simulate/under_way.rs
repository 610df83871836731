//! Blocks that were asked for and are not there yet.

use std::collections::BTreeMap;

use super::platters::Done;
use crate::PlaybackId;

/// A block of which some fragments are still to come.
#[derive(Clone, Copy, Debug)]
struct Waited {
    fragments: u32,
    due_ns: u64,
    there_ns: u64,
    is_last: bool,
    is_read: bool,
}

/// A block whose fragments are all over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct There {
    pub(super) playback: PlaybackId,
    /// How long before its time it was there, in nanoseconds.
    pub(super) margin_ns: i64,
    /// It is its playback's last.
    pub(super) is_last: bool,
    /// All of its fragments were read.
    pub(super) is_read: bool,
}

/// All such blocks: a block is there when its last fragment is.
#[derive(Clone, Debug, Default)]
pub(super) struct UnderWay(BTreeMap<(PlaybackId, u64), Waited>);

impl UnderWay {
    /// One fragment more of a block is asked for, which is to be shown at `due_ns`. Whether it is the block's first.
    pub(super) fn ask(
        &mut self,
        (playback, block): (PlaybackId, u64),
        due_ns: u64,
        is_last: bool,
    ) -> bool {
        let new = Waited { fragments: 0, due_ns, there_ns: 0, is_last, is_read: true };
        let waited = self.0.entry((playback, block)).or_insert(new);
        waited.fragments += 1;
        waited.fragments == 1
    }

    /// A fragment is over; its block, if that was the last one.
    ///
    /// # Panics
    /// If it was not asked for.
    pub(super) fn done(&mut self, done: &Done) -> Option<There> {
        let key = (done.order.playback, done.order.block);
        let waited = self.0.get_mut(&key).expect("only what was asked for is done");
        waited.fragments -= 1;
        waited.there_ns = waited.there_ns.max(done.done_ns);
        waited.is_read &= done.is_read;
        let Waited { fragments, due_ns, there_ns, is_last, is_read } = *waited;
        if fragments > 0 {
            return None;
        }
        self.0.remove(&key);
        let margin_ns = due_ns.cast_signed().saturating_sub(there_ns.cast_signed());
        Some(There { playback: key.0, margin_ns, is_last, is_read })
    }

    /// How much later than their time it is at `end_ns`, for those whose time has passed, in nanoseconds.
    pub(super) fn late_at(&self, end_ns: u64) -> impl Iterator<Item = u64> {
        self.0.values().filter_map(move |waited| end_ns.checked_sub(waited.due_ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Order;

    const BLOCK: (PlaybackId, u64) = (PlaybackId(7), 3);

    fn done(fragment: u32, done_ns: u64, is_read: bool) -> Done {
        let (playback, block) = BLOCK;
        let order =
            Order { playback, object: 1, block, fragment, disk: fragment, zone: 0, bytes: 4_096 };
        Done { order, offset: 0, done_ns, is_read }
    }

    #[test]
    fn a_block_is_there_when_its_last_fragment_is() {
        let mut under_way = UnderWay::default();
        assert!(under_way.ask(BLOCK, 100, true));
        assert!(!under_way.ask(BLOCK, 100, true));
        assert_eq!(under_way.done(&done(1, 130, true)), None);
        let there = under_way.done(&done(0, 90, true)).unwrap();
        assert_eq!(
            there,
            There { playback: BLOCK.0, margin_ns: -30, is_last: true, is_read: true }
        );
        assert_eq!(under_way.late_at(u64::MAX).count(), 0);
    }

    #[test]
    fn one_fragment_that_failed_is_enough() {
        let mut under_way = UnderWay::default();
        (0..3).for_each(|number| assert_eq!(under_way.ask(BLOCK, 100, false), number == 0));
        assert_eq!(under_way.done(&done(2, 10, true)), None);
        assert_eq!(under_way.done(&done(0, 20, false)), None);
        let there = under_way.done(&done(1, 30, true)).unwrap();
        assert_eq!((there.margin_ns, there.is_read, there.is_last), (70, false, false));
    }

    #[test]
    fn what_never_came_is_late_once_its_time_has_passed() {
        let mut under_way = UnderWay::default();
        under_way.ask(BLOCK, 100, false);
        assert_eq!(under_way.late_at(99).count(), 0);
        assert_eq!(under_way.late_at(140).collect::<Vec<_>>(), [40]);
    }
}
