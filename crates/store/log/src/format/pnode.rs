//! Pnodes on disk: images, leaves of their map, and the pages that say where each image is.

use bytes::Bytes;
use pegasus_base::PnodeId;

use super::block::SegmentId;
use super::bytes::{Fields, Put, len_u32};

/// Length of a content block in bytes; the last one of a pnode may be shorter.
pub(crate) const CONTENT_BYTES: usize = 16 << 10;
/// Content blocks in a leaf.
pub(crate) const LEAF_ENTRIES: usize = 128;
/// Images in a page.
pub(crate) const PAGE_ENTRIES: usize = 256;
/// Most leaves between the front and the end of a pnode: 32 GiB. A pnode that grows at its end and is
/// trimmed at its front may go on for ever.
pub(crate) const LEAVES_MAX: u64 = 16_384;
/// Most bytes of attributes.
pub(crate) const ATTRIBUTES_BYTES_MAX: usize = 4096;

const IMAGE_VERSION: u16 = 1;

/// Where a piece of the log's own data is: bytes of the payload of a log block.
///
/// With its own checksum, so that a piece can be read and verified without the rest of its block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LogAddr {
    pub(crate) segment: SegmentId,
    /// First row of the block.
    pub(crate) row: u32,
    /// Number of the block in its segment.
    pub(crate) seq: u32,
    /// Data fragments of the block.
    pub(crate) data: u8,
    /// Length of each of its fragments in sectors.
    pub(crate) sectors: u16,
    /// Where the piece begins in the payload.
    pub(crate) offset: u32,
    /// Its length in bytes; not 0.
    pub(crate) len_bytes: u32,
    /// CRC of the piece.
    pub(crate) crc: u32,
}

impl LogAddr {
    /// Bytes of an address on disk.
    pub(crate) const BYTES: usize = 32;

    pub(crate) fn emit(&self, out: &mut Vec<u8>) {
        out.u64(self.segment.0);
        out.u32(self.row);
        out.u32(self.seq);
        out.u8(self.data);
        out.u8(0);
        out.u16(self.sectors);
        out.u32(self.offset);
        out.u32(self.len_bytes);
        out.u32(self.crc);
    }

    pub(crate) fn take(fields: &mut Fields<'_>) -> Option<Self> {
        Self::take_optional(fields)?
    }

    /// Outer `None`: not an address. Inner `None`: nothing is there (all zeros; no segment has number
    /// 0).
    pub(crate) fn take_optional(fields: &mut Fields<'_>) -> Option<Option<Self>> {
        let bytes: [u8; Self::BYTES] = fields.array()?;
        if bytes == [0; Self::BYTES] {
            return Some(None);
        }
        let mut fields = Fields::new(&bytes);
        let segment = SegmentId(fields.u64()?);
        let (row, seq, data) = (fields.u32()?, fields.u32()?, fields.u8()?);
        fields.zeros(1)?;
        let sectors = fields.u16()?;
        let (offset, len_bytes, crc) = (fields.u32()?, fields.u32()?, fields.u32()?);
        let valid = segment.0 > 0 && data > 0 && sectors > 0 && len_bytes > 0;
        let addr = Self { segment, row, seq, data, sectors, offset, len_bytes, crc };
        valid.then_some(Some(addr))
    }
}

fn emit_optional(addr: Option<&LogAddr>, out: &mut Vec<u8>) {
    match addr {
        Some(addr) => addr.emit(out),
        None => out.bytes(&[0; LogAddr::BYTES]),
    }
}

/// A row of optional addresses, `N` of them: a leaf of a pnode's map, or a page of images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Addrs<const N: usize>(pub(crate) Vec<Option<LogAddr>>);

/// Where the content blocks of one part of a pnode are.
pub(crate) type LeafAddrs = Addrs<LEAF_ENTRIES>;
/// Where the images of some pnodes are.
pub(crate) type PageAddrs = Addrs<PAGE_ENTRIES>;

impl<const N: usize> Addrs<N> {
    pub(crate) fn empty() -> Self {
        Self(vec![None; N])
    }

    /// Up to the last one there is.
    pub(crate) fn emit(&self) -> Vec<u8> {
        let end = self.0.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        let mut out = Vec::with_capacity(end * LogAddr::BYTES);
        for addr in &self.0[..end] {
            emit_optional(addr.as_ref(), &mut out);
        }
        out
    }

    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields::new(bytes);
        let mut addrs = Vec::with_capacity(N);
        while !fields.is_empty() && addrs.len() < N {
            addrs.push(LogAddr::take_optional(&mut fields)?);
        }
        fields.end()?;
        addrs.resize(N, None);
        Some(Self(addrs))
    }
}

/// A pnode as a checkpoint writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Image {
    pub(crate) id: PnodeId,
    pub(crate) kind: u16,
    pub(crate) version: u64,
    /// Bytes trimmed away at the front.
    pub(crate) front: u64,
    pub(crate) size: u64,
    pub(crate) attributes: Bytes,
    /// Number of the first leaf that may hold something.
    pub(crate) first_leaf: u32,
    /// The leaves from there on.
    pub(crate) leaves: Vec<Option<LogAddr>>,
}

impl Image {
    pub(crate) fn emit(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(56 + self.attributes.len() + 32 * self.leaves.len());
        out.u16(IMAGE_VERSION);
        out.u16(self.kind);
        out.u32(0);
        out.u64(self.id.0);
        out.u64(self.version);
        out.u64(self.front);
        out.u64(self.size);
        out.u32(self.first_leaf);
        out.u32(u32::try_from(self.leaves.len()).expect("leaves are bounded"));
        out.u32(len_u32(&self.attributes));
        out.u32(0);
        out.bytes(&self.attributes);
        for leaf in &self.leaves {
            emit_optional(leaf.as_ref(), &mut out);
        }
        out
    }

    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields::new(bytes);
        if fields.u16()? != IMAGE_VERSION {
            return None;
        }
        let kind = fields.u16()?;
        fields.zeros(4)?;
        let id = PnodeId(fields.u64()?);
        let (version, front, size) = (fields.u64()?, fields.u64()?, fields.u64()?);
        let (first_leaf, leaves) = (fields.u32()?, fields.u32()?);
        let attributes = fields.u32()? as usize;
        fields.zeros(4)?;
        if attributes > ATTRIBUTES_BYTES_MAX || u64::from(leaves) > LEAVES_MAX + 1 || front > size {
            return None;
        }
        let attributes = Bytes::copy_from_slice(fields.slice(attributes)?);
        let leaves =
            (0..leaves).map(|_| LogAddr::take_optional(&mut fields)).collect::<Option<_>>()?;
        fields.end()?;
        Some(Self { id, kind, version, front, size, attributes, first_leaf, leaves })
    }
}
