//! The payload of a block of units: head, tracks, table of units, their data.

use std::sync::Arc;

use bytes::Bytes;
use pegasus_base::{StreamId, StreamName, Time};
use pegasus_media::{TrackSet, Unit};

use super::bytes::{Fields, FormatError};
use super::outline::Outline;
use super::table::{self, Row};
use super::tracks;

/// First bytes of every payload.
pub(crate) const MAGIC: [u8; 4] = *b"PgUn";
/// Version of the payload's layout. Blocks of version 1 do not name their stream.
pub(crate) const VERSION: u8 = 2;
const VERSION_OLDEST: u8 = 1;
/// A payload of units.
pub(crate) const KIND_UNITS: u8 = 1;
/// A payload that is the index of a segment.
pub(crate) const KIND_INDEX: u8 = 2;
/// Bytes of the head.
pub(crate) const HEAD_LEN: usize = 128;
const NO_KEY: u32 = u32::MAX;

/// Units and bytes of media from the beginning of a stream to some place in it. The difference of two
/// says what lies between.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Totals {
    pub(crate) units: u64,
    pub(crate) bytes: u64,
}

impl Totals {
    pub(crate) fn plus(self, units: u64, bytes: u64) -> Self {
        Self { units: self.units.saturating_add(units), bytes: self.bytes.saturating_add(bytes) }
    }

    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            units: self.units.saturating_sub(earlier.units),
            bytes: self.bytes.saturating_sub(earlier.bytes),
        }
    }

    pub(crate) fn parse(fields: &mut Fields<'_>) -> Result<Self, FormatError> {
        Ok(Self { units: fields.u64()?, bytes: fields.u64()? })
    }

    pub(crate) fn emit(self, out: &mut Vec<u8>) {
        out.extend(self.units.to_le_bytes());
        out.extend(self.bytes.to_le_bytes());
    }
}

/// Which span a block belongs to, enough to rebuild the span's record from its blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SpanHead {
    /// Number of the span in its stream, counted up from 1.
    pub(crate) serial: u64,
    /// Time of its first unit.
    pub(crate) start: Time,
    /// Totals before its first unit.
    pub(crate) before: Totals,
}

/// A mark: the first unit of the block at which decoding can start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Its time.
    pub(crate) time: Time,
    /// Its place in the table of units.
    pub(crate) row: u32,
}

/// What a block's head says: all that seeking and recovery need to know of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) span: SpanHead,
    /// Totals before the block's first unit.
    pub(crate) before: Totals,
    /// Units in the block and bytes of their data.
    pub(crate) holds: Totals,
    /// Least time of a unit.
    pub(crate) first: Time,
    /// Greatest end of a unit, or of the span so far.
    pub(crate) end: Time,
    /// First key unit of the track that is the anchor (see [`anchor`]).
    pub(crate) mark: Option<Mark>,
}

impl Head {
    /// Totals behind the block's last unit.
    pub(crate) fn after(&self) -> Totals {
        self.before.plus(self.holds.units, self.holds.bytes)
    }

    pub(crate) fn emit(&self, out: &mut Vec<u8>) {
        let mark = self.mark.unwrap_or(Mark { time: Time::default(), row: NO_KEY });
        out.extend(self.span.serial.to_le_bytes());
        out.extend(self.span.start.as_ns().to_le_bytes());
        self.span.before.emit(out);
        self.before.emit(out);
        self.holds.emit(out);
        for time in [self.first, self.end, mark.time] {
            out.extend(time.as_ns().to_le_bytes());
        }
        out.extend(mark.row.to_le_bytes());
    }

    pub(crate) fn parse(fields: &mut Fields<'_>) -> Result<Self, FormatError> {
        let span = SpanHead {
            serial: fields.u64()?,
            start: fields.time()?,
            before: Totals::parse(fields)?,
        };
        let (before, holds) = (Totals::parse(fields)?, Totals::parse(fields)?);
        let (first, end) = (fields.time()?, fields.time()?);
        let mark = Mark { time: fields.time()?, row: fields.u32()? };
        let mark = (mark.row != NO_KEY).then_some(mark);
        let sane = first <= end
            && span.before <= before
            && holds.units > 0
            && mark.is_none_or(|mark| u64::from(mark.row) < holds.units);
        if !sane {
            return Err(FormatError::Field { field: "head" });
        }
        Ok(Self { span, before, holds, first, end, mark })
    }
}

/// Bytes [`Head::emit`] writes.
pub(crate) const HEAD_FIELDS_LEN: usize = 92;
/// Head fields stand behind magic, version, kind, two spare bytes and the stream's id; then come the
/// lengths of tracks and table.
const _: () = assert!(24 + HEAD_FIELDS_LEN + 4 + 4 + 4 == HEAD_LEN);

/// Which track's key units begin groups: the first picture track, else the first track.
pub(crate) fn anchor(tracks: &[pegasus_media::Track]) -> pegasus_media::TrackId {
    let video = tracks.iter().find(|track| track.kind() == pegasus_media::Kind::Video);
    video.map_or(pegasus_media::TrackId(0), |track| track.id)
}

/// Reads only the head of a payload; `None` if it is not one of units but an index.
pub(crate) fn parse_head(bytes: &[u8], stream: StreamId) -> Result<Option<Head>, FormatError> {
    let mut fields = Fields::new(bytes);
    match kind(&mut fields, stream)? {
        KIND_UNITS => Head::parse(&mut fields).map(Some),
        _ => Ok(None),
    }
}

/// Checks what all payloads begin with and returns the kind.
pub(crate) fn kind(fields: &mut Fields<'_>, stream: StreamId) -> Result<u8, FormatError> {
    fields.expect_any(MAGIC, VERSION_OLDEST..=VERSION)?;
    let kind = fields.u8()?;
    fields.u16()?;
    if fields.u128()? != stream.0 {
        return Err(FormatError::Foreign { what: "stream" });
    }
    match kind {
        KIND_UNITS | KIND_INDEX => Ok(kind),
        _ => Err(FormatError::Field { field: "kind" }),
    }
}

/// Writes what all payloads begin with.
pub(crate) fn emit_prefix(kind: u8, stream: StreamId, out: &mut Vec<u8>) {
    out.extend_from_slice(&MAGIC);
    out.extend([VERSION, kind, 0, 0]);
    out.extend(stream.to_bytes());
}

/// The stream a block is of. It says so itself, so that the catalogue can be made anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) id: StreamId,
    pub(crate) name: StreamName,
}

/// Writes everything of a payload but the units' data, which follows it.
pub(crate) fn emit(origin: &Origin, head: &Head, tracks: &TrackSet, table: &[u8]) -> Vec<u8> {
    let mut coded_tracks = Vec::new();
    tracks::emit(tracks, &mut coded_tracks);
    let name = origin.name.as_str().as_bytes();
    let mut out = Vec::with_capacity(HEAD_LEN + coded_tracks.len() + table.len() + name.len());
    emit_prefix(KIND_UNITS, origin.id, &mut out);
    head.emit(&mut out);
    for len in [coded_tracks.len(), table.len(), name.len()] {
        out.extend(u32::try_from(len).expect("a block is less than 4 GiB").to_le_bytes());
    }
    assert_eq!(out.len(), HEAD_LEN, "the head has a fixed length");
    out.extend(coded_tracks);
    out.extend(table);
    out.extend(name);
    out
}

/// The stream a payload of units says it is of, by its first bytes; the name if they reach so far and it has one.
pub(crate) fn parse_origin(bytes: &[u8]) -> Result<(StreamId, Option<StreamName>), FormatError> {
    let mut fields = Fields::new(bytes);
    fields.expect_any(MAGIC, VERSION_OLDEST..=VERSION)?;
    fields.take(3)?;
    let stream = StreamId(fields.u128()?);
    let name = Parts::parse(bytes, stream).ok().and_then(|parts| parts.name);
    Ok((stream, name))
}

/// Reads what a payload begins with; `None` if it does not go on up to the end of the table.
pub(crate) fn parse_outline(bytes: &[u8], stream: StreamId) -> Option<Outline> {
    let parts = Parts::parse(bytes, stream).ok()?;
    Outline::new(&tracks::parse(parts.tracks).ok()?, parts.table)
}

/// The parts of a payload of units.
struct Parts<'a> {
    head: Head,
    tracks: &'a [u8],
    table: &'a [u8],
    name: Option<StreamName>,
    data_len: usize,
}

impl<'a> Parts<'a> {
    fn parse(payload: &'a [u8], stream: StreamId) -> Result<Self, FormatError> {
        let mut fields = Fields::new(payload);
        if kind(&mut fields, stream)? != KIND_UNITS {
            return Err(FormatError::Field { field: "kind" });
        }
        let head = Head::parse(&mut fields)?;
        let (tracks_len, table_len) = (fields.u32()? as usize, fields.u32()? as usize);
        let name_len = fields.u32()? as usize;
        let (tracks, table) = (fields.take(tracks_len)?, fields.take(table_len)?);
        let name = std::str::from_utf8(fields.take(name_len)?);
        let name = name.map_err(|_| FormatError::Field { field: "name" })?.parse().ok();
        Ok(Self { head, tracks, table, name, data_len: fields.rest() })
    }
}

/// What is in a block, the data apart.
#[derive(Debug, Clone)]
pub(crate) struct Contents {
    pub(crate) head: Head,
    pub(crate) tracks: TrackSet,
    pub(crate) rows: Arc<[Row]>,
}

/// A block of units, read back.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    pub(crate) contents: Contents,
    data: Bytes,
}

impl Block {
    /// Reads a payload of `stream`.
    pub(crate) fn parse(payload: &Bytes, stream: StreamId) -> Result<Self, FormatError> {
        let parts = Parts::parse(payload, stream)?;
        if parts.data_len as u64 != parts.head.holds.bytes {
            return Err(FormatError::Field { field: "number of bytes" });
        }
        let tracks = tracks::parse(parts.tracks)?;
        let rows = table::parse(parts.table, &parts.head.holds, &tracks)?;
        let data = payload.slice(payload.len() - parts.data_len..);
        let contents = Contents { head: parts.head, tracks, rows: rows.into() };
        Ok(Self { contents, data })
    }

    /// The unit of `row`. Its data is shared with the block.
    pub(crate) fn unit(&self, row: &Row) -> Unit {
        row.with(self.data.slice(row.offset..row.offset + row.len))
    }

    /// Whether the head says of the rows what is true; for the checker.
    pub(crate) fn agrees(&self) -> bool {
        let Contents { head, tracks, rows } = &self.contents;
        let anchor = anchor(tracks);
        let mark = rows.iter().position(|row| row.track == anchor && row.key);
        let first = rows.iter().map(|row| row.time).min();
        let last = rows.iter().map(|row| row.time).max();
        first == Some(head.first)
            && last.is_some_and(|last| last <= head.end)
            && head.mark == mark.map(|row| Mark { time: rows[row].time, row: row as u32 })
            && head.span.start <= head.first
    }
}
