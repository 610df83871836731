//! What follows for a stream's view when a batch is durable.

use pegasus_base::Time;

use crate::format::catalogue::StreamRecord;
use crate::format::index::Entry;
use crate::format::segment::{Sealed, SegmentRecord, State};
use crate::stream::{OpenSegment, Stream};

/// What will have happened to a stream when the batch is durable.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    /// How many pending blocks it covers.
    pub(crate) blocks: usize,
    /// Units of these blocks that can't be kept.
    pub(crate) lost_units: u64,
    pub(crate) changes: Vec<Change>,
    /// All of the stream's spans are on disk then.
    pub(crate) spans_written: bool,
    /// The stream's new place in the catalogue, and what stands there.
    pub(crate) created: Option<(u32, StreamRecord)>,
}

/// One of the changes of a stream, in their order.
#[derive(Debug)]
pub(crate) enum Change {
    Opened(SegmentRecord),
    Appended(Entry),
    Sealed(Sealed),
}

impl Draft {
    /// The batch is durable: makes it visible. Returns the stream's new durable end, if it moved.
    pub(crate) fn apply(self, stream: &Stream) -> Option<Time> {
        // The log has the new records already: what is read from now on is right before and after the
        // view changes.
        let opened = self.changes.iter().filter(|c| matches!(c, Change::Opened(_))).count() as u64;
        let next = stream.view(|view| view.segments.end);
        (next.saturating_sub(1)..next + opened).for_each(|index| stream.segment_changed(index));
        stream.view(|view| {
            let before = view.end;
            if let Some(created) = self.created {
                view.catalogued = Some(created);
            }
            for change in self.changes {
                match change {
                    Change::Opened(record) => {
                        view.segments.end += 1;
                        view.front.get_or_insert_with(|| record.clone());
                        view.open = Some(OpenSegment::new(record));
                    }
                    Change::Appended(entry) => {
                        view.spans.extend(&entry.head);
                        view.end = view.end.max(Some(entry.head.end));
                        view.after = entry.head.after();
                        let open = view.open.as_mut().expect("blocks go to the open segment");
                        open.push(entry);
                    }
                    Change::Sealed(sealed) => {
                        let mut record =
                            view.open.take().expect("only open ones are sealed").record;
                        record.state = State::Sealed(sealed);
                        if view.segments.end - view.segments.start == 1 {
                            view.front = Some(record);
                        }
                    }
                }
            }
            if self.spans_written {
                view.spans.written();
            }
            (view.end != before).then_some(view.end).flatten()
        })
    }

    /// The place in the catalogue it takes.
    pub(crate) fn slot(&self) -> Option<u32> {
        self.created.as_ref().map(|&(slot, _)| slot)
    }

    /// Whether nothing is in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.blocks == 0
    }
}
