//! A block as fragments: payload split over data fragments, and their parity.
//!
//! The payload is copied once, into the data fragments; its checksums are computed there. Fragments of a
//! block are equally long; how parity is computed is `code`'s.

use std::sync::Arc;

use pegasus_disk::{AlignedBuf, SECTOR};

use crate::code;
use crate::format::fragment::{
    BlockHeader, FragmentHeader, HEADER_BYTES, SegmentKind, fragment_sectors, slice_bytes,
};

/// A block ready to be written.
#[derive(Debug)]
pub(crate) struct Built {
    pub(crate) header: BlockHeader,
    /// The fragments, parity last.
    pub(crate) fragments: Vec<Arc<AlignedBuf>>,
}

/// The checksums of a slice: of its part in the first sector, and of all of it.
struct SliceCrc {
    first: u32,
    slice: u32,
}

/// Builds the fragments of a block from the `parts` of its payload. Fills in what `header` says of
/// the payload: its length, checksum, and the fragments' length.
///
/// # Panics
/// If the payload is empty.
pub(crate) fn build<P: AsRef<[u8]>>(mut header: BlockHeader, parts: &[P]) -> Built {
    let len: usize = parts.iter().map(|part| part.as_ref().len()).sum();
    assert!(len > 0, "a block has a payload");
    header.sectors = fragment_sectors(len, header.data);
    header.payload_bytes = u32::try_from(len).expect("a block fits into a segment");
    let slice = slice_bytes(header.sectors);
    let mut bufs = split(parts, usize::from(header.data), slice);
    let mut crcs = Vec::with_capacity(bufs.len() + 1);
    header.payload_crc = 0;
    for (i, buf) in bufs.iter().enumerate() {
        let filled = len.saturating_sub(i * slice).min(slice);
        // Going over a slice twice, while it is in the cache, is cheaper than combining checksums.
        let payload = &buf[HEADER_BYTES..][..filled];
        header.payload_crc = crc32c::crc32c_append(header.payload_crc, payload);
        crcs.push(slice_crc(&buf[HEADER_BYTES..]));
    }
    for buf in parity_of(&bufs, usize::from(header.parity)) {
        crcs.push(slice_crc(&buf[HEADER_BYTES..]));
        bufs.push(buf);
    }
    for (position, (buf, crc)) in (0_u8..).zip(bufs.iter_mut().zip(&crcs)) {
        put_header(buf, header, position, crc);
    }
    Built { header, fragments: bufs.into_iter().map(Arc::new).collect() }
}

/// Copies the payload into `count` fragments with room for `slice` bytes each.
fn split<P: AsRef<[u8]>>(parts: &[P], count: usize, slice: usize) -> Vec<AlignedBuf> {
    let mut bufs: Vec<AlignedBuf> =
        (0..count).map(|_| AlignedBuf::for_overwrite(slice + HEADER_BYTES)).collect();
    let mut at = 0;
    for part in parts {
        let mut rest = part.as_ref();
        while !rest.is_empty() {
            let (i, from) = (at / slice, at % slice);
            let (now, later) = rest.split_at(rest.len().min(slice - from));
            bufs[i][HEADER_BYTES + from..][..now.len()].copy_from_slice(now);
            at += now.len();
            rest = later;
        }
    }
    for (i, buf) in bufs.iter_mut().enumerate() {
        let filled = at.saturating_sub(i * slice).min(slice);
        buf[HEADER_BYTES + filled..].fill(0);
    }
    bufs
}

fn put_header(buf: &mut AlignedBuf, block: BlockHeader, position: u8, crc: &SliceCrc) {
    let header = FragmentHeader { block, position, slice_crc: crc.slice, first_crc: crc.first };
    buf[..HEADER_BYTES].copy_from_slice(&header.emit());
}

/// The parity of data fragments, in fragments without headers yet.
fn parity_of(bufs: &[AlignedBuf], count: usize) -> Vec<AlignedBuf> {
    let mut parity: Vec<AlignedBuf> =
        (0..count).map(|_| AlignedBuf::for_overwrite(bufs[0].len())).collect();
    let data: Vec<&[u8]> = bufs.iter().map(|buf| &buf[HEADER_BYTES..]).collect();
    let mut slices: Vec<&mut [u8]> =
        parity.iter_mut().map(|buf| &mut buf[HEADER_BYTES..]).collect();
    code::encode(&data, &mut slices);
    parity
}

/// Of a block of which all data fragments are there: which of the parity fragments that are there too are
/// not what they should be, by position.
pub(crate) fn wrong_parity(block: &BlockHeader, got: &[Option<AlignedBuf>]) -> Vec<u8> {
    let data = usize::from(block.data);
    let (data, parity) = got.split_at(data);
    let Some(data) = data.iter().map(Option::as_ref).collect::<Option<Vec<_>>>() else {
        return Vec::new();
    };
    if parity.iter().all(Option::is_none) {
        return Vec::new();
    }
    let data: Vec<&[u8]> = data.into_iter().map(|buf| &buf[HEADER_BYTES..]).collect();
    let mut wanted = vec![vec![0; data[0].len()]; parity.len()];
    code::encode(&data, &mut wanted.iter_mut().map(Vec::as_mut_slice).collect::<Vec<_>>());
    let differs = |(found, wanted): (&Option<AlignedBuf>, &Vec<u8>)| {
        found.as_ref().is_some_and(|found| found[HEADER_BYTES..] != wanted[..])
    };
    let differing = (block.data..).zip(parity.iter().zip(&wanted));
    differing.filter(|(_, pair)| differs(*pair)).map(|(position, _)| position).collect()
}

fn slice_crc(slice: &[u8]) -> SliceCrc {
    let (head, rest) = slice.split_at(SECTOR - HEADER_BYTES);
    let first = crc32c::crc32c(head);
    SliceCrc { first, slice: crc32c::crc32c_append(first, rest) }
}

/// Why a fragment is not the one that was wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadFragment {
    /// There is no valid header: never written, torn, or overwritten.
    NoHeader,
    /// A valid fragment of something else: stale or misdirected.
    Other(FragmentHeader),
    /// Its bytes do not have the checksum its header says.
    Checksum {
        /// What the header says.
        expected: u32,
        /// What the bytes have.
        found: u32,
    },
}

impl std::fmt::Display for BadFragment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoHeader => f.write_str("no fragment there"),
            Self::Other(header) => {
                let block = &header.block;
                write!(
                    f,
                    "a fragment of something else there: number {} of block {} of {}, row {}, commit \
                     {:#x}, payload checksum {:08x}",
                    header.position,
                    block.seq,
                    block.segment,
                    block.row,
                    block.commit,
                    block.payload_crc
                )
            }
            Self::Checksum { expected, found } => {
                write!(f, "checksum {found:08x} instead of {expected:08x}")
            }
        }
    }
}

/// Verifies a whole fragment; `wanted` says whether its header is the one looked for.
pub(crate) fn verify(
    bytes: &[u8],
    wanted: impl FnOnce(&FragmentHeader) -> bool,
) -> Result<FragmentHeader, BadFragment> {
    let header = FragmentHeader::parse(bytes).ok_or(BadFragment::NoHeader)?;
    let len = header.block.sectors as usize * SECTOR;
    if !wanted(&header) || len != bytes.len() {
        return Err(BadFragment::Other(header));
    }
    let found = crc32c::crc32c(&bytes[HEADER_BYTES..]);
    if found != header.slice_crc {
        return Err(BadFragment::Checksum { expected: header.slice_crc, found });
    }
    Ok(header)
}

/// Verifies a fragment's first sector alone.
pub(crate) fn verify_first(sector: &[u8]) -> Result<FragmentHeader, BadFragment> {
    let header = FragmentHeader::parse(sector).ok_or(BadFragment::NoHeader)?;
    let found = crc32c::crc32c(&sector[HEADER_BYTES..SECTOR]);
    if found != header.first_crc {
        return Err(BadFragment::Checksum { expected: header.first_crc, found });
    }
    Ok(header)
}

/// A sector that says in place of a fragment that its block was taken back.
pub(crate) fn void(block: &BlockHeader, position: u8) -> AlignedBuf {
    let mut buf = AlignedBuf::zeroed(SECTOR);
    let block = BlockHeader { kind: SegmentKind::Void, ..*block };
    let crc = slice_crc(&buf[HEADER_BYTES..]);
    let header = FragmentHeader { block, position, slice_crc: crc.slice, first_crc: crc.first };
    buf[..HEADER_BYTES].copy_from_slice(&header.emit());
    buf
}

/// Whole fragments by their positions, as far as there are any.
pub(crate) fn present(got: &[Option<AlignedBuf>]) -> Vec<(u8, &[u8])> {
    let at = (0_u8..).zip(got);
    at.filter_map(|(at, buf)| Some((at, &buf.as_ref()?[..]))).collect()
}

/// The fragments at `missing` positions, from others, by position: at least as many as there is data.
pub(crate) fn rebuild(
    block: &BlockHeader,
    others: &[(u8, &[u8])],
    missing: &[u8],
) -> Vec<AlignedBuf> {
    let slices = restore(block, others, missing);
    let build = |(position, slice): (&u8, Vec<u8>)| {
        let mut buf = AlignedBuf::for_overwrite(block.sectors as usize * SECTOR);
        buf[HEADER_BYTES..].copy_from_slice(&slice);
        put_header(&mut buf, *block, *position, &slice_crc(&slice));
        buf
    };
    missing.iter().zip(slices).map(build).collect()
}

/// What is behind the headers at `missing` positions, from others: of whole fragments, or of their first
/// sectors alone.
pub(crate) fn restore(block: &BlockHeader, others: &[(u8, &[u8])], missing: &[u8]) -> Vec<Vec<u8>> {
    let others: Vec<(usize, &[u8])> =
        others.iter().map(|(at, buf)| (usize::from(*at), &buf[HEADER_BYTES..])).collect();
    let missing: Vec<usize> = missing.iter().map(|at| usize::from(*at)).collect();
    code::restore(block.data.into(), block.parity.into(), &others, &missing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::block::{Owner, SegmentId};
    use pegasus_base::ArrayId;
    use proptest::prelude::*;

    fn header(data: u8, parity: u8) -> BlockHeader {
        BlockHeader {
            array: ArrayId(1),
            segment: SegmentId(2),
            kind: SegmentKind::Continuous,
            owner: Owner::default(),
            seq: 3,
            row: 4,
            columns: data + parity,
            data,
            parity,
            sectors: 0,
            payload_bytes: 0,
            payload_crc: 0,
            previous: 5,
            commit: 6,
        }
    }

    proptest! {
        #[test]
        fn fragments_are_rebuilt(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9_000), 1..6),
            data in 1_u8..6,
            parity in 1_u8..3,
        ) {
            let payload = parts.concat();
            prop_assume!(!payload.is_empty());
            let built = build(header(data, parity), &parts);
            prop_assert_eq!(built.header.payload_crc, crc32c::crc32c(&payload));
            prop_assert_eq!(built.header.payload_bytes as usize, payload.len());
            let slices: Vec<u8> = built.fragments[..usize::from(data)].iter().flat_map(|f| f[HEADER_BYTES..].to_vec()).collect();
            prop_assert_eq!(&slices[..payload.len()], &payload[..]);
            for (position, fragment) in built.fragments.iter().enumerate() {
                let head = verify(fragment, |h| h.block == built.header).unwrap();
                prop_assert_eq!(usize::from(head.position), position);
                prop_assert_eq!(verify_first(&fragment[..SECTOR]), Ok(head));
            }
            for first in 0..data + parity {
                let last = if parity == 2 { data + parity - 1 } else { first };
                for second in first..=last {
                    let mut missing = vec![first, second];
                    missing.dedup();
                    let others: Vec<(u8, &[u8])> = (0_u8..).zip(&built.fragments)
                        .filter(|(i, _)| !missing.contains(i))
                        .map(|(i, f)| (i, &f[..]))
                        .collect();
                    for (position, again) in missing.iter().zip(rebuild(&built.header, &others, &missing)) {
                        prop_assert_eq!(&again[..], &built.fragments[usize::from(*position)][..]);
                    }
                    let firsts: Vec<(u8, &[u8])> = others.iter().map(|(i, f)| (*i, &f[..SECTOR])).collect();
                    let heads = restore(&built.header, &firsts, &missing);
                    for (position, head) in missing.iter().zip(heads) {
                        let fragment = &built.fragments[usize::from(*position)];
                        prop_assert_eq!(&head[..], &fragment[HEADER_BYTES..SECTOR]);
                    }
                }
            }
        }
    }

    #[test]
    fn each_parity_is_compared_with_the_data() {
        for (data, parity) in [(4, 2), (1, 2), (3, 1)] {
            let built = build(header(data, parity), &[vec![7_u8; 30_000]]);
            let whole = |wrong: &[u8]| -> Vec<Option<AlignedBuf>> {
                let copy = |(at, buf): (u8, &Arc<AlignedBuf>)| {
                    let mut copy = AlignedBuf::from_slice(buf);
                    copy[3_000] ^= u8::from(wrong.contains(&at));
                    Some(copy)
                };
                (0_u8..).zip(&built.fragments).map(copy).collect()
            };
            assert_eq!(wrong_parity(&built.header, &whole(&[])), []);
            for position in data..data + parity {
                assert_eq!(wrong_parity(&built.header, &whole(&[position])), [position]);
            }
            let all: Vec<u8> = (data..data + parity).collect();
            assert_eq!(wrong_parity(&built.header, &whole(&all)), all);
            let mut lacking = whole(&all);
            lacking[usize::from(data)] = None;
            assert_eq!(wrong_parity(&built.header, &lacking), all[1..]);
            lacking[0] = None;
            assert_eq!(wrong_parity(&built.header, &lacking), [], "nothing to compare with");
        }
    }

    #[test]
    fn a_flipped_bit_is_noticed() {
        let built = build(header(2, 1), &[vec![7_u8; 10_000]]);
        for bit in [0, 8 * 127, 8 * 128, 8 * 4_000, 8 * 5_000 + 3] {
            let mut bytes = built.fragments[1].to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(verify(&bytes, |_| true).is_err(), "bit {bit}");
        }
    }
}
