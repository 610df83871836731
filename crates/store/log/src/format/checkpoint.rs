//! A checkpoint: the pointer in its slot on every disk, and the body in the log that it points to.

use pegasus_base::{ArrayId, Time};
use pegasus_disk::SECTOR;

use super::block::{DISKS_MAX, Owner, SegmentRef};
use super::bytes::{Fields, Put, len_u32};
use super::pnode::LogAddr;
use super::record::{emit_owner, take_owner};

const MAGIC: [u8; 8] = *b"PEGCKPT\0";
const VERSION: u32 = 1;
const CRC_AT: usize = SECTOR - 4;
const BODY_MAGIC: [u8; 4] = *b"PGcb";

/// Where the next log block goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) segment: SegmentRef,
    pub(crate) row: u32,
    pub(crate) seq: u32,
    /// Chain value of the block before.
    pub(crate) chain: u32,
}

/// A checkpoint's pointer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pointer {
    pub(crate) array: ArrayId,
    /// Number of the checkpoint.
    pub(crate) number: u64,
    /// Number of the commit that wrote the body; only later ones count beyond it.
    pub(crate) commit: u64,
    pub(crate) time: Time,
    /// CRC of the whole body.
    pub(crate) body_crc: u32,
    /// Where the log goes on behind the body.
    pub(crate) cursor: Cursor,
    /// Where it goes on when that segment is full.
    pub(crate) next: SegmentRef,
    /// The parts of the body: where, and where that segment lies.
    pub(crate) parts: Vec<(LogAddr, SegmentRef)>,
}

impl Pointer {
    /// The sector; `None` if the body has more parts than a pointer can name.
    pub(crate) fn emit(&self) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(SECTOR);
        out.bytes(&MAGIC);
        out.u32(VERSION);
        out.u32(0);
        out.bytes(&self.array.to_bytes());
        out.u64(self.number);
        out.u64(self.commit);
        out.bytes(&self.time.as_ns().to_le_bytes());
        out.u32(self.body_crc);
        out.u32(u32::try_from(self.parts.len()).ok()?);
        emit_cursor(&self.cursor, &mut out);
        self.next.emit(&mut out);
        for (addr, segment) in &self.parts {
            addr.emit(&mut out);
            segment.emit(&mut out);
        }
        if out.len() > CRC_AT {
            return None;
        }
        out.resize(CRC_AT, 0);
        let crc = crc32c::crc32c(&out);
        out.u32(crc);
        Some(out)
    }

    /// Reads the sector `bytes`. `None` if there is no valid pointer.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let (sector, crc) = bytes.get(..SECTOR)?.split_last_chunk::<4>()?;
        if !sector.starts_with(&MAGIC) || crc32c::crc32c(sector) != u32::from_le_bytes(*crc) {
            return None;
        }
        let mut fields = Fields::new(&sector[MAGIC.len()..]);
        if fields.u32()? != VERSION {
            return None;
        }
        fields.zeros(4)?;
        let array = ArrayId::from_bytes(fields.array()?);
        let (number, commit) = (fields.u64()?, fields.u64()?);
        let time = Time::from_ns(i64::from_le_bytes(fields.array()?));
        let (body_crc, parts) = (fields.u32()?, fields.u32()?);
        let cursor = take_cursor(&mut fields)?;
        let next = SegmentRef::take(&mut fields)?;
        let parts = (0..parts)
            .map(|_| Some((LogAddr::take(&mut fields)?, SegmentRef::take(&mut fields)?)))
            .collect::<Option<Vec<_>>>()?;
        if parts.is_empty() || parts.iter().any(|(addr, segment)| addr.segment != segment.id) {
            return None;
        }
        Some(Self { array, number, commit, time, body_crc, cursor, next, parts })
    }
}

fn emit_cursor(cursor: &Cursor, out: &mut Vec<u8>) {
    out.u32(cursor.row);
    out.u32(cursor.seq);
    out.u32(cursor.chain);
    out.u32(0);
    cursor.segment.emit(out);
}

fn take_cursor(fields: &mut Fields<'_>) -> Option<Cursor> {
    let (row, seq, chain) = (fields.u32()?, fields.u32()?, fields.u32()?);
    fields.zeros(4)?;
    Some(Cursor { segment: SegmentRef::take(fields)?, row, seq, chain })
}

/// A segment of the normal log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogSegment {
    pub(crate) segment: SegmentRef,
    /// Bytes of records written into it.
    pub(crate) written_bytes: u64,
    /// Those of them in use.
    pub(crate) live_bytes: u64,
    /// Entries the garbage file has for it.
    pub(crate) holes: u64,
}

/// An open continuous segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OpenSegment {
    pub(crate) owner: Owner,
    /// Data columns.
    pub(crate) data: u8,
    /// Where its next block goes.
    pub(crate) cursor: Cursor,
}

/// A checkpoint's body: everything recovery starts from.
///
/// The counts of log segments are as before the body itself was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Body {
    pub(crate) next_segment: u64,
    pub(crate) next_pnode: u64,
    /// For each disk its number of slots, and a bit for each, set if it is in use.
    pub(crate) slots: Vec<(u32, Vec<u8>)>,
    pub(crate) log_segments: Vec<LogSegment>,
    pub(crate) open_segments: Vec<OpenSegment>,
    /// Where the pages of pnode images are.
    pub(crate) pages: Vec<Option<LogAddr>>,
    /// Pieces that are dead once this is not the last checkpoint any more: the body before this one.
    pub(crate) dying: Vec<LogAddr>,
}

impl Body {
    pub(crate) fn emit(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.bytes(&BODY_MAGIC);
        out.u32(VERSION);
        out.u64(self.next_segment);
        out.u64(self.next_pnode);
        out.u32(self.slots.len() as u32);
        out.u32(u32::try_from(self.log_segments.len()).expect("fewer segments than slots"));
        out.u32(u32::try_from(self.open_segments.len()).expect("fewer segments than slots"));
        out.u32(u32::try_from(self.pages.len()).expect("pnodes are bounded by the disks"));
        for (count, bits) in &self.slots {
            out.u32(*count);
            out.u32(len_u32(bits));
            out.bytes(bits);
        }
        for log in &self.log_segments {
            log.segment.emit(&mut out);
            out.u64(log.written_bytes);
            out.u64(log.live_bytes);
            out.u64(log.holes);
        }
        for open in &self.open_segments {
            emit_owner(&open.owner, &mut out);
            out.u64(u64::from(open.data));
            emit_cursor(&open.cursor, &mut out);
        }
        for page in &self.pages {
            match page {
                Some(addr) => addr.emit(&mut out),
                None => out.bytes(&[0; LogAddr::BYTES]),
            }
        }
        out.u32(u32::try_from(self.dying.len()).expect("a body has few parts"));
        for addr in &self.dying {
            addr.emit(&mut out);
        }
        out
    }

    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields::new(bytes);
        if fields.array()? != BODY_MAGIC || fields.u32()? != VERSION {
            return None;
        }
        let (next_segment, next_pnode) = (fields.u64()?, fields.u64()?);
        let (disks, logs) = (fields.u32()? as usize, fields.u32()?);
        let (opens, pages) = (fields.u32()?, fields.u32()?);
        if disks > DISKS_MAX {
            return None;
        }
        let slots = (0..disks).map(|_| take_slots(&mut fields)).collect::<Option<_>>()?;
        let log_segments = (0..logs).map(|_| take_log(&mut fields)).collect::<Option<_>>()?;
        let open_segments = (0..opens).map(|_| take_open(&mut fields)).collect::<Option<_>>()?;
        let pages =
            (0..pages).map(|_| LogAddr::take_optional(&mut fields)).collect::<Option<_>>()?;
        let dying = fields.u32()?;
        let dying = (0..dying).map(|_| LogAddr::take(&mut fields)).collect::<Option<_>>()?;
        fields.end()?;
        Some(Self { next_segment, next_pnode, slots, log_segments, open_segments, pages, dying })
    }
}

fn take_slots(fields: &mut Fields<'_>) -> Option<(u32, Vec<u8>)> {
    let (count, len) = (fields.u32()?, fields.u32()?);
    if count.div_ceil(8) != len {
        return None;
    }
    let bits = fields.slice(len as usize)?.to_vec();
    // No bit may be set beyond the last slot.
    let spare = if count % 8 == 0 { 0 } else { bits.last()? >> (count % 8) };
    (spare == 0).then_some((count, bits))
}

fn take_log(fields: &mut Fields<'_>) -> Option<LogSegment> {
    let segment = SegmentRef::take(fields)?;
    let (written_bytes, live_bytes, holes) = (fields.u64()?, fields.u64()?, fields.u64()?);
    Some(LogSegment { segment, written_bytes, live_bytes, holes })
}

fn take_open(fields: &mut Fields<'_>) -> Option<OpenSegment> {
    let owner = take_owner(fields)?;
    let data = u8::try_from(fields.u64()?).ok().filter(|data| *data > 0)?;
    Some(OpenSegment { owner, data, cursor: take_cursor(fields)? })
}
