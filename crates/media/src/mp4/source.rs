//! Getting boxes and samples out of a reader.

use std::io::{Read, Seek, SeekFrom};

use super::ReadError;
use super::walk::letters;

/// A `moov` or `moof` larger than this is not read: a day of video takes 30 MB.
const TABLES_MAX_BYTES: u64 = 256 << 20;

/// A box at the top level of a file.
pub(super) struct TopBox {
    pub(super) kind: [u8; 4],
    /// Where it begins.
    pub(super) at: u64,
    /// Where its content begins.
    pub(super) body_at: u64,
    /// Where the next box begins. May lie behind the file's end, if it was cut short.
    pub(super) end: u64,
}

/// The box at byte `at`; `None` at the end of the file.
pub(super) fn top_box(
    reader: &mut (impl Read + Seek),
    at: u64,
    len_bytes: u64,
) -> Result<Option<TopBox>, ReadError> {
    if len_bytes.saturating_sub(at) < 8 {
        return Ok(None);
    }
    let head = read_at(reader, at, 8)?;
    let (size, kind) = head.split_at(4);
    let kind: [u8; 4] = kind.try_into().expect("half of 8 bytes");
    let short = u32::from_be_bytes(size.try_into().expect("half of 8 bytes"));
    let (header, size) = match short {
        0 => (8, len_bytes - at),
        1 if len_bytes - at < 16 => (16, 0),
        1 => {
            let long = read_at(reader, at + 8, 8)?;
            (16, u64::from_be_bytes(long.try_into().expect("8 bytes were read")))
        }
        size => (8, u64::from(size)),
    };
    let end = at.checked_add(size).filter(|_| size >= header);
    let end = end.ok_or_else(|| ReadError::Malformed {
        offset: at,
        kind: letters(kind),
        reason: format!("a size of {size} bytes"),
    })?;
    Ok(Some(TopBox { kind, at, body_at: at + header, end }))
}

/// The content of a box that is small enough to hold.
pub(super) fn load(reader: &mut (impl Read + Seek), head: &TopBox) -> Result<Vec<u8>, ReadError> {
    let len_bytes = head.end - head.body_at;
    if len_bytes > TABLES_MAX_BYTES {
        return Err(ReadError::TooLarge {
            offset: head.at,
            kind: letters(head.kind),
            len_bytes,
            limit_bytes: TABLES_MAX_BYTES,
        });
    }
    read_at(reader, head.body_at, len_bytes)
}

/// Exactly these bytes. Memory is taken as they arrive, not as they are promised.
pub(super) fn read_at(
    reader: &mut (impl Read + Seek),
    offset: u64,
    len_bytes: u64,
) -> Result<Vec<u8>, ReadError> {
    let io = |source| ReadError::Io { offset, source };
    reader.seek(SeekFrom::Start(offset)).map_err(io)?;
    let mut bytes = Vec::with_capacity(usize::try_from(len_bytes.min(1 << 20)).unwrap_or(0));
    reader.take(len_bytes).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 != len_bytes {
        return Err(io(std::io::ErrorKind::UnexpectedEof.into()));
    }
    Ok(bytes)
}
