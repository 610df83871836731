//! What the payload of a log block is: a head and records.
//!
//! A transaction is one block, or several in a row of which only the last is marked so. A checkpoint's
//! pieces stand in blocks of their own kind, each piece with its owner, so that a cleaner that finds
//! one alive knows whose map to change. Blocks of content segments hold pieces too.

use pegasus_base::{PnodeId, StreamId};

use super::block::{Owner, SegmentId, SegmentRef};
use super::bytes::{Fields, Put, len_u32};
use super::pnode::{CONTENT_BYTES, LogAddr};

/// Length of the head of a log block's payload.
pub(crate) const HEAD_BYTES: usize = 8;
/// Length of a record's head: its type and length.
pub(crate) const RECORD_HEAD_BYTES: usize = 8;
/// What stands before a piece in its block: the record's head, and whose the piece is.
pub(crate) const PIECE_HEAD_BYTES: usize = RECORD_HEAD_BYTES + 16;

/// The head of a log block's payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogHead {
    /// Whether it holds a checkpoint's pieces rather than a part of a transaction.
    pub(crate) pieces: bool,
    /// Whether the transaction ends with this block.
    pub(crate) last: bool,
    /// Number of the part in its transaction, from 0.
    pub(crate) part: u32,
}

impl LogHead {
    pub(crate) fn emit(&self) -> [u8; HEAD_BYTES] {
        let mut out = [0; HEAD_BYTES];
        out[0] = if self.pieces { 2 } else { 1 };
        out[1] = u8::from(self.last);
        out[4..].copy_from_slice(&self.part.to_le_bytes());
        out
    }

    pub(crate) fn take(fields: &mut Fields<'_>) -> Option<Self> {
        let pieces = match fields.u8()? {
            1 => false,
            2 => true,
            _ => return None,
        };
        let last = match fields.u8()? {
            0 => false,
            1 => true,
            _ => return None,
        };
        fields.zeros(2)?;
        Some(Self { pieces, last, part: fields.u32()? })
    }
}

/// What a piece is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PieceKind {
    /// A content block; owner: the pnode; index: its number in it.
    Content,
    /// A pnode's image; owner: the pnode; index: its version.
    Image,
    /// A leaf of a pnode's map; owner: the pnode; index: its number.
    Leaf,
    /// A page of images; owner: 0; index: its number.
    Page,
    /// A part of a checkpoint's body; owner: the checkpoint's number; index: the part's.
    Body,
}

/// One continuous block of a commit, named by its transaction: the transaction counts only if its
/// blocks arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockNote {
    pub(crate) segment: SegmentId,
    pub(crate) row: u32,
    pub(crate) seq: u32,
    pub(crate) crc: u32,
}

/// A record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// A piece of a checkpoint.
    Piece {
        kind: PieceKind,
        owner: u64,
        index: u64,
        bytes: Vec<u8>,
    },
    Create {
        pnode: PnodeId,
        kind: u16,
    },
    Write {
        pnode: PnodeId,
        offset: u64,
        bytes: Vec<u8>,
    },
    SetAttributes {
        pnode: PnodeId,
        bytes: Vec<u8>,
    },
    Trim {
        pnode: PnodeId,
        upto: u64,
    },
    Truncate {
        pnode: PnodeId,
        size: u64,
    },
    Delete {
        pnode: PnodeId,
    },
    /// A range of bytes became nothing.
    Punch {
        pnode: PnodeId,
        offset: u64,
        len: u64,
    },
    SegmentOpened {
        segment: SegmentRef,
        owner: Owner,
        data: u8,
    },
    SegmentSealed {
        segment: SegmentId,
    },
    SegmentFreed {
        segment: SegmentRef,
    },
    /// Where the log goes on after this segment. First record of a segment's first block.
    NextSegment {
        segment: SegmentRef,
    },
    /// Content blocks that this commit wrote where they stay, one after the other from number `first` on.
    Placed {
        pnode: PnodeId,
        first: u64,
        addrs: Vec<LogAddr>,
    },
    /// The continuous blocks of this commit.
    Blocks {
        notes: Vec<BlockNote>,
    },
}

impl Record {
    fn code(&self) -> u8 {
        match self {
            Self::Piece { kind, .. } => match kind {
                PieceKind::Content => 1,
                PieceKind::Image => 2,
                PieceKind::Leaf => 3,
                PieceKind::Page => 4,
                PieceKind::Body => 5,
            },
            Self::Create { .. } => 16,
            Self::Write { .. } => 17,
            Self::SetAttributes { .. } => 18,
            Self::Trim { .. } => 19,
            Self::Truncate { .. } => 20,
            Self::Delete { .. } => 21,
            Self::SegmentOpened { .. } => 22,
            Self::SegmentSealed { .. } => 23,
            Self::SegmentFreed { .. } => 24,
            Self::NextSegment { .. } => 25,
            Self::Blocks { .. } => 26,
            Self::Placed { .. } => 27,
            Self::Punch { .. } => 28,
        }
    }

    /// The record with its head.
    pub(crate) fn emit(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        out.u8(self.code());
        out.bytes(&[0; 7]);
        self.emit_body(&mut out);
        let len = len_u32(&out[RECORD_HEAD_BYTES..]);
        out[4..8].copy_from_slice(&len.to_le_bytes());
        out
    }

    fn emit_body(&self, out: &mut Vec<u8>) {
        match self {
            Self::Piece { owner, index, bytes, .. } => {
                out.u64(*owner);
                out.u64(*index);
                out.bytes(bytes);
            }
            Self::Create { pnode, kind } => {
                out.u64(pnode.0);
                out.u16(*kind);
                out.bytes(&[0; 6]);
            }
            Self::Write { pnode, offset, bytes } => {
                out.u64(pnode.0);
                out.u64(*offset);
                out.bytes(bytes);
            }
            Self::SetAttributes { pnode, bytes } => {
                out.u64(pnode.0);
                out.bytes(bytes);
            }
            Self::Trim { pnode, upto: at } | Self::Truncate { pnode, size: at } => {
                out.u64(pnode.0);
                out.u64(*at);
            }
            Self::Delete { pnode } => out.u64(pnode.0),
            Self::Punch { pnode, offset, len } => {
                out.u64(pnode.0);
                out.u64(*offset);
                out.u64(*len);
            }
            Self::SegmentOpened { segment, owner, data } => {
                emit_owner(owner, out);
                out.u64(u64::from(*data));
                segment.emit(out);
            }
            Self::SegmentSealed { segment } => out.u64(segment.0),
            Self::SegmentFreed { segment } | Self::NextSegment { segment } => segment.emit(out),
            Self::Placed { pnode, first, addrs } => {
                out.u64(pnode.0);
                out.u64(*first);
                addrs.iter().for_each(|addr| addr.emit(out));
            }
            Self::Blocks { notes } => {
                for note in notes {
                    out.u64(note.segment.0);
                    out.u32(note.row);
                    out.u32(note.seq);
                    out.u32(note.crc);
                    out.u32(0);
                }
            }
        }
    }

    /// Takes the next record; `None` if there is no valid one.
    pub(crate) fn take(fields: &mut Fields<'_>) -> Option<Self> {
        let code = fields.u8()?;
        fields.zeros(3)?;
        let len = fields.u32()? as usize;
        let mut body = Fields::new(fields.slice(len)?);
        let record = Self::take_body(code, &mut body)?;
        body.end()?;
        Some(record)
    }

    fn take_body(code: u8, body: &mut Fields<'_>) -> Option<Self> {
        Some(match code {
            1..=5 => {
                let kind = match code {
                    1 => PieceKind::Content,
                    2 => PieceKind::Image,
                    3 => PieceKind::Leaf,
                    4 => PieceKind::Page,
                    _ => PieceKind::Body,
                };
                let (owner, index) = (body.u64()?, body.u64()?);
                Self::Piece { kind, owner, index, bytes: take_rest(body) }
            }
            16 => {
                let (pnode, kind) = (PnodeId(body.u64()?), body.u16()?);
                body.zeros(6)?;
                Self::Create { pnode, kind }
            }
            17 => {
                let (pnode, offset) = (PnodeId(body.u64()?), body.u64()?);
                let bytes = take_rest(body);
                offset.checked_add(bytes.len() as u64)?;
                Self::Write { pnode, offset, bytes }
            }
            18 => Self::SetAttributes { pnode: PnodeId(body.u64()?), bytes: take_rest(body) },
            19 => Self::Trim { pnode: PnodeId(body.u64()?), upto: body.u64()? },
            20 => Self::Truncate { pnode: PnodeId(body.u64()?), size: body.u64()? },
            21 => Self::Delete { pnode: PnodeId(body.u64()?) },
            22 => {
                let owner = take_owner(body)?;
                let data = u8::try_from(body.u64()?).ok().filter(|data| *data > 0)?;
                Self::SegmentOpened { segment: SegmentRef::take(body)?, owner, data }
            }
            23 => Self::SegmentSealed { segment: SegmentId(body.u64()?) },
            24 => Self::SegmentFreed { segment: SegmentRef::take(body)? },
            25 => Self::NextSegment { segment: SegmentRef::take(body)? },
            26 => Self::Blocks { notes: take_notes(body)? },
            27 => take_placed(body)?,
            28 => {
                let (pnode, offset, len) = (PnodeId(body.u64()?), body.u64()?, body.u64()?);
                offset.checked_add(len)?;
                Self::Punch { pnode, offset, len }
            }
            _ => return None,
        })
    }
}

fn take_placed(body: &mut Fields<'_>) -> Option<Record> {
    let (pnode, first) = (PnodeId(body.u64()?), body.u64()?);
    let mut addrs = Vec::new();
    while !body.is_empty() {
        let addr = LogAddr::take(body)?;
        addrs.push(Some(addr).filter(|addr| addr.len_bytes as usize == CONTENT_BYTES)?);
    }
    // So that offsets stay in range.
    first.checked_add(addrs.len() as u64)?.checked_mul(CONTENT_BYTES as u64)?;
    (!addrs.is_empty()).then_some(Record::Placed { pnode, first, addrs })
}

fn take_notes(body: &mut Fields<'_>) -> Option<Vec<BlockNote>> {
    let mut notes = Vec::new();
    while !body.is_empty() {
        let segment = SegmentId(body.u64()?);
        let (row, seq, crc) = (body.u32()?, body.u32()?, body.u32()?);
        body.zeros(4)?;
        notes.push(BlockNote { segment, row, seq, crc });
    }
    Some(notes)
}

fn take_rest(body: &mut Fields<'_>) -> Vec<u8> {
    let rest = body.rest();
    body.slice(rest.len()).unwrap_or_default().to_vec()
}

pub(crate) fn emit_owner(owner: &Owner, out: &mut Vec<u8>) {
    out.u64(owner.pnode.0);
    out.bytes(&owner.stream.to_bytes());
}

pub(crate) fn take_owner(fields: &mut Fields<'_>) -> Option<Owner> {
    let pnode = PnodeId(fields.u64()?);
    Some(Owner { pnode, stream: StreamId::from_bytes(fields.array()?) })
}

/// All of a log block's payload; `None` if any of it is invalid.
pub(crate) fn parse_payload(payload: &[u8]) -> Option<(LogHead, Vec<Record>)> {
    let mut fields = Fields::new(payload);
    let head = LogHead::take(&mut fields)?;
    let mut records = Vec::new();
    while !fields.is_empty() {
        records.push(Record::take(&mut fields)?);
    }
    Some((head, records))
}
