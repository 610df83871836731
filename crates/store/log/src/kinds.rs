//! What a block holds, kind by kind and in words: for those who say what is damaged.

use std::collections::BTreeSet;
use std::ops::Range;

use pegasus_base::PnodeId;

use crate::format::bytes::Fields;
use crate::format::fragment::{BlockHeader, SegmentKind, slice_bytes};
use crate::format::record::{LogHead, PieceKind, Record};
use crate::garbage::GARBAGE_PNODE;
use crate::log::ROOT_PNODE;

/// No more things than this are named of one fragment.
const NAMED_MAX: usize = 4;

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident,)*) => {
        /// A kind of what stands on the disks.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Kind {
            $($(#[$doc])* $kind,)*
        }

        impl Kind {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$kind,)*];
        }
    };
}

kinds! {
    /// A superblock.
    Superblock,
    /// A pointer to a checkpoint.
    Pointer,
    /// The head of a log block's payload.
    Head,
    /// Record: a pnode was created.
    Created,
    /// Record: bytes were written.
    Written,
    /// Record: attributes were set.
    AttributesSet,
    /// Record: the front was trimmed.
    Trimmed,
    /// Record: the end was cut.
    Truncated,
    /// Record: a pnode was deleted.
    Deleted,
    /// Record: a range became nothing.
    Punched,
    /// Record: a segment was opened.
    SegmentOpened,
    /// Record: a segment was sealed.
    SegmentSealed,
    /// Record: a segment was freed.
    SegmentFreed,
    /// Record: where the log goes on.
    NextSegment,
    /// Record: content stands where it stays.
    Placed,
    /// Record: the commit's blocks.
    Blocks,
    /// Piece of a checkpoint: a content block.
    Content,
    /// Piece in a content segment: a content block.
    Bulk,
    /// Piece: a content block of the garbage file.
    Garbage,
    /// Piece: a pnode's image.
    Image,
    /// Piece: a leaf of a pnode's map.
    Leaf,
    /// Piece: a page of images.
    Page,
    /// Piece: a part of a checkpoint's body.
    Body,
    /// A block of a segment that belongs to somebody else than the log.
    Owned,
}

/// A thing in a block's payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Thing {
    pub(crate) kind: Kind,
    /// Where in the payload.
    pub(crate) range: Range<usize>,
    pub(crate) text: String,
}

/// What the payload of a block holds, in order; as far as it makes sense.
pub(crate) fn things(header: &BlockHeader, payload: &[u8]) -> Vec<Thing> {
    let bulk = header.kind == SegmentKind::Continuous;
    if bulk && header.owner.pnode != PnodeId(0) {
        let text = "recorded units or their index".to_owned();
        return vec![Thing { kind: Kind::Owned, range: 0..payload.len(), text }];
    }
    let mut fields = Fields::new(payload);
    let mut found = Vec::new();
    if LogHead::take(&mut fields).is_some() {
        let range = 0..payload.len() - fields.rest().len();
        found.push(Thing { kind: Kind::Head, range, text: "the payload's head".to_owned() });
    }
    while !fields.is_empty() {
        let begin = payload.len() - fields.rest().len();
        let Some(record) = Record::take(&mut fields) else { break };
        let (kind, text) = thing(&record, bulk);
        found.push(Thing { kind, range: begin..payload.len() - fields.rest().len(), text });
    }
    found
}

/// A pnode, as people know it.
fn name(pnode: PnodeId) -> String {
    match pnode {
        ROOT_PNODE => "the catalogue (pnode 1)".to_owned(),
        GARBAGE_PNODE => "the garbage file (pnode 2)".to_owned(),
        PnodeId(number) => format!("pnode {number}"),
    }
}

fn thing(record: &Record, bulk: bool) -> (Kind, String) {
    let change = |what: &str, pnode: &PnodeId| format!("a record that {} was {what}", name(*pnode));
    match record {
        Record::Piece { kind, owner, index, .. } => piece(*kind, *owner, *index, bulk),
        Record::Create { pnode, .. } => (Kind::Created, change("created", pnode)),
        Record::Write { pnode, .. } => (Kind::Written, change("written", pnode)),
        Record::SetAttributes { pnode, .. } => {
            (Kind::AttributesSet, change("given attributes", pnode))
        }
        Record::Trim { pnode, .. } => (Kind::Trimmed, change("trimmed", pnode)),
        Record::Truncate { pnode, .. } => (Kind::Truncated, change("truncated", pnode)),
        Record::Delete { pnode } => (Kind::Deleted, change("deleted", pnode)),
        Record::Punch { pnode, .. } => (Kind::Punched, change("punched", pnode)),
        Record::Placed { pnode, .. } => (Kind::Placed, change("written in bulk", pnode)),
        Record::SegmentOpened { segment, .. } => {
            (Kind::SegmentOpened, format!("a record that {} was opened", segment.id))
        }
        Record::SegmentSealed { segment } => {
            (Kind::SegmentSealed, format!("a record that {segment} was sealed"))
        }
        Record::SegmentFreed { segment } => {
            (Kind::SegmentFreed, format!("a record that {} was freed", segment.id))
        }
        Record::NextSegment { segment } => {
            (Kind::NextSegment, format!("a record that the log goes on in {}", segment.id))
        }
        Record::Blocks { .. } => (Kind::Blocks, "the list of a commit's blocks".to_owned()),
    }
}

fn piece(kind: PieceKind, owner: u64, index: u64, bulk: bool) -> (Kind, String) {
    let whose = name(PnodeId(owner));
    match kind {
        PieceKind::Content => {
            let kind = match PnodeId(owner) {
                GARBAGE_PNODE => Kind::Garbage,
                _ if bulk => Kind::Bulk,
                _ => Kind::Content,
            };
            (kind, format!("content block {index} of {whose}"))
        }
        PieceKind::Image => (Kind::Image, format!("the image of {whose}")),
        PieceKind::Leaf => (Kind::Leaf, format!("leaf {index} of the map of {whose}")),
        PieceKind::Page => (Kind::Page, format!("page {index} of images")),
        PieceKind::Body => (Kind::Body, format!("part {index} of the body of checkpoint {owner}")),
    }
}

/// In words: what the fragment at `position` is, and what it holds of the payload.
pub(crate) fn fragment_holds(header: &BlockHeader, payload: &[u8], position: u8) -> String {
    let slice = slice_bytes(header.sectors);
    let parity = position >= header.data;
    let from = usize::from(position) * slice;
    let own = if parity { 0..payload.len() } else { from..from + slice };
    let mut named: Vec<String> = Vec::new();
    let mut seen = BTreeSet::new();
    for thing in things(header, payload) {
        let beside = thing.range.end <= own.start || thing.range.start >= own.end;
        if !beside && thing.kind != Kind::Head && seen.insert(thing.text.clone()) {
            named.push(thing.text);
        }
    }
    let more = named.len().saturating_sub(NAMED_MAX);
    named.truncate(NAMED_MAX);
    if more > 0 {
        named.push(format!("{more} more"));
    }
    let what = if named.is_empty() { "nothing but padding".to_owned() } else { named.join(", ") };
    if parity { format!("parity of {what}") } else { what }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::block::{Owner, SegmentId};
    use pegasus_base::ArrayId;

    #[test]
    fn a_fragment_is_said_to_hold_what_is_in_its_slice() {
        let mut payload = LogHead { pieces: true, last: true, part: 0 }.emit().to_vec();
        let content =
            Record::Piece { kind: PieceKind::Content, owner: 17, index: 3, bytes: vec![1; 9_000] };
        payload.extend(content.emit());
        let first = payload.len();
        let leaf =
            Record::Piece { kind: PieceKind::Leaf, owner: 2, index: 0, bytes: vec![2; 4_000] };
        payload.extend(leaf.emit());
        let header = BlockHeader {
            array: ArrayId(1),
            segment: SegmentId(2),
            kind: SegmentKind::Log,
            owner: Owner::default(),
            seq: 0,
            row: 0,
            columns: 3,
            data: 2,
            parity: 1,
            sectors: 3,
            payload_bytes: payload.len() as u32,
            payload_crc: 0,
            previous: 0,
            commit: 1,
        };
        let found = things(&header, &payload);
        let kinds: Vec<Kind> = found.iter().map(|thing| thing.kind).collect();
        assert_eq!(kinds, [Kind::Head, Kind::Content, Kind::Leaf]);
        assert_eq!(found[2].range, first..payload.len());
        let leaf = "leaf 0 of the map of the garbage file (pnode 2)";
        assert!(first < slice_bytes(3), "both reach into the first slice");
        let both = format!("content block 3 of pnode 17, {leaf}");
        assert_eq!(fragment_holds(&header, &payload, 0), both);
        assert_eq!(fragment_holds(&header, &payload, 1), leaf);
        assert_eq!(fragment_holds(&header, &payload, 2), format!("parity of {both}"));
    }
}
