//! Every structure survives its bytes; no bytes make a parser panic; a changed byte is noticed; and the
//! bytes themselves are the documented ones.

use pegasus_base::{ArrayId, DiskId, PnodeId, StreamId, Time};
use pegasus_disk::SECTOR;
use proptest::prelude::*;

use super::block::{BlockMap, Column, Extent, Owner, SegmentId, SegmentRef};
use super::bytes::Fields;
use super::checkpoint::{Body, Cursor, LogSegment, OpenSegment, Pointer};
use super::fragment::{BlockHeader, FragmentHeader, SegmentKind};
use super::pnode::{CONTENT_BYTES, Image, LeafAddrs, LogAddr};
use super::record::{BlockNote, LogHead, PieceKind, Record, parse_payload};
use super::superblock::{Member, MemberState, NotASuperblock, Superblock};
use crate::DiskIndex;
use crate::fuzz::parse_all;
use crate::garbage::{Hole, parse_file};

fn segment() -> impl Strategy<Value = SegmentRef> {
    (1_u64.., 1_usize..=8, 0_u16..56, prop::collection::vec(any::<u32>(), 8)).prop_map(
        |(id, count, first, slots)| {
            let column = |at: usize| Column { disk: DiskIndex(first + at as u16), slot: slots[at] };
            SegmentRef { id: SegmentId(id), columns: (0..count).map(column).collect() }
        },
    )
}

fn addr() -> impl Strategy<Value = LogAddr> {
    (1_u64.., any::<[u32; 4]>(), 1_u8.., 1_u16.., 1_u32..).prop_map(
        |(segment, [row, seq, offset, crc], data, sectors, len_bytes)| LogAddr {
            segment: SegmentId(segment),
            row,
            seq,
            data,
            sectors,
            offset,
            len_bytes,
            crc,
        },
    )
}

fn owner() -> impl Strategy<Value = Owner> {
    any::<(u64, u128)>()
        .prop_map(|(pnode, stream)| Owner { pnode: PnodeId(pnode), stream: StreamId(stream) })
}

fn cursor() -> impl Strategy<Value = Cursor> {
    (segment(), any::<[u32; 3]>()).prop_map(|(segment, [row, seq, chain])| Cursor {
        segment,
        row,
        seq,
        chain,
    })
}

fn map() -> impl Strategy<Value = BlockMap> {
    let numbers = (any::<(u64, u32, u32)>(), 1_u32..10_000, any::<prop::sample::Index>());
    (numbers, 1_usize..8, 0_usize..3, 0_u64..1 << 40).prop_map(
        |(((segment, seq, crc), sectors, payload), data, parity, first)| {
            let extent = |at: usize| Extent {
                disk: DiskIndex(at as u16),
                offset: (first + at as u64) * SECTOR as u64,
            };
            let fragment_bytes = sectors * SECTOR as u32;
            BlockMap {
                segment: SegmentId(segment),
                seq,
                fragments: (0..data).map(extent).collect(),
                parity: (data..data + parity).map(extent).collect(),
                fragment_bytes,
                payload_bytes: 1 + payload.index(data * fragment_bytes as usize - 1) as u32,
                crc,
            }
        },
    )
}

fn fragment() -> impl Strategy<Value = FragmentHeader> {
    let lengths = (1_u8..20, 0_u8..=2, 0_u8..5, 1_u32..16_384);
    let places = any::<(prop::sample::Index, prop::sample::Index, bool)>();
    (lengths, places, owner(), any::<[u32; 6]>(), any::<(u128, u64, u64)>()).prop_map(
        |((data, parity, spare, sectors), (position, payload, log), owner, words, ids)| {
            let [seq, row, payload_crc, previous, slice_crc, first_crc] = words;
            let room = (sectors as usize * SECTOR - 128) * usize::from(data);
            let block = BlockHeader {
                array: ArrayId(ids.0),
                segment: SegmentId(ids.1),
                kind: if log { SegmentKind::Log } else { SegmentKind::Continuous },
                owner,
                seq,
                row,
                columns: data + parity + spare,
                data,
                parity,
                sectors,
                payload_bytes: 1 + payload.index(room) as u32,
                payload_crc,
                previous,
                commit: ids.2,
            };
            let position = position.index(usize::from(data + parity)) as u8;
            FragmentHeader { block, position, slice_crc, first_crc }
        },
    )
}

fn superblock() -> impl Strategy<Value = Superblock> {
    let members = prop::collection::vec(any::<(u128, u32, prop::sample::Index)>(), 1..60);
    let shape = (0_u8..3, any::<prop::sample::Index>(), any::<prop::sample::Index>());
    (members, shape, any::<[u64; 4]>(), 16_u32..=26, "[a-z ]{0,64}").prop_map(
        |(members, (parity, index, data), numbers, shift, label)| {
            let parity = parity.min(members.len() as u8 - 1);
            Superblock {
                array: ArrayId(u128::from(numbers[0])),
                index: DiskIndex(index.index(members.len()) as u16),
                data: 1 + data.index(members.len() - usize::from(parity)) as u8,
                parity,
                unit_bytes: 1 << shift,
                size_bytes: numbers[1],
                created: Time::from_secs(5),
                epoch: numbers[2],
                open_id: numbers[3],
                update: numbers[1],
                label,
                members: members
                    .into_iter()
                    .map(|(id, slots, state)| {
                        let state = MemberState::ALL[state.index(MemberState::ALL.len())];
                        Member { id: DiskId(id), slots, state, leaving: slots % 3 == 0 }
                    })
                    .collect(),
            }
        },
    )
}

fn image() -> impl Strategy<Value = Image> {
    let leaves = prop::collection::vec(prop::option::of(addr()), 0..20);
    let attributes = prop::collection::vec(any::<u8>(), 0..100);
    (any::<(u64, u16, u64, u64, u64, u32)>(), attributes, leaves).prop_map(
        |((id, kind, version, a, b, first_leaf), attributes, leaves)| Image {
            id: PnodeId(id),
            kind,
            version,
            front: a.min(b),
            size: a.max(b),
            attributes: attributes.into(),
            first_leaf,
            leaves,
        },
    )
}

fn body() -> impl Strategy<Value = Body> {
    let slots = prop::collection::vec(1_u32..200, 1..8).prop_map(|counts| {
        let bits = |count: u32| {
            let mut bits = vec![0x55; count.div_ceil(8) as usize];
            if !count.is_multiple_of(8) {
                *bits.last_mut().unwrap() &= (1 << (count % 8)) - 1;
            }
            (count, bits)
        };
        counts.into_iter().map(bits).collect()
    });
    let log = (segment(), any::<[u64; 3]>()).prop_map(|(segment, [written, live, holes])| {
        LogSegment { segment, written_bytes: written, live_bytes: live, holes }
    });
    let open = (owner(), 1_u8.., cursor()).prop_map(|(owner, data, cursor)| OpenSegment {
        owner,
        data,
        cursor,
    });
    let logs = prop::collection::vec(log, 0..5);
    let opens = prop::collection::vec(open, 0..5);
    let pages = prop::collection::vec(prop::option::of(addr()), 0..5);
    let dying = prop::collection::vec(addr(), 0..3);
    (any::<[u64; 2]>(), slots, logs, opens, pages, dying).prop_map(
        |([next_segment, next_pnode], slots, log_segments, open_segments, pages, dying)| Body {
            next_segment,
            next_pnode,
            slots,
            log_segments,
            open_segments,
            pages,
            dying,
        },
    )
}

fn pointer() -> impl Strategy<Value = Pointer> {
    let parts = prop::collection::vec((addr(), segment()), 1..10);
    (any::<(u128, u64, u64, i64, u32)>(), cursor(), segment(), parts).prop_map(
        |((array, number, commit, time, body_crc), cursor, next, mut parts)| {
            parts.iter_mut().for_each(|(addr, segment)| addr.segment = segment.id);
            Pointer {
                array: ArrayId(array),
                number,
                commit,
                time: Time::from_ns(time),
                body_crc,
                cursor,
                next,
                parts,
            }
        },
    )
}

fn record() -> impl Strategy<Value = Record> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..300);
    let kind = prop::sample::select(vec![
        PieceKind::Content,
        PieceKind::Image,
        PieceKind::Leaf,
        PieceKind::Page,
        PieceKind::Body,
    ]);
    let id = any::<u64>().prop_map(PnodeId);
    let note = any::<(u64, [u32; 3])>().prop_map(|(segment, [row, seq, crc])| BlockNote {
        segment: SegmentId(segment),
        row,
        seq,
        crc,
    });
    prop_oneof![
        (kind, any::<u64>(), any::<u64>(), bytes())
            .prop_map(|(kind, owner, index, bytes)| Record::Piece { kind, owner, index, bytes }),
        (id.clone(), any::<u16>()).prop_map(|(pnode, kind)| Record::Create { pnode, kind }),
        (id.clone(), 0_u64..1 << 60, bytes()).prop_map(|(pnode, offset, bytes)| Record::Write {
            pnode,
            offset,
            bytes
        }),
        (id.clone(), bytes()).prop_map(|(pnode, bytes)| Record::SetAttributes { pnode, bytes }),
        (id.clone(), any::<u64>()).prop_map(|(pnode, upto)| Record::Trim { pnode, upto }),
        (id.clone(), any::<u64>()).prop_map(|(pnode, size)| Record::Truncate { pnode, size }),
        (id.clone(), any::<u32>(), any::<u32>()).prop_map(|(pnode, offset, len)| {
            Record::Punch { pnode, offset: offset.into(), len: len.into() }
        }),
        id.prop_map(|pnode| Record::Delete { pnode }),
        (segment(), owner(), 1_u8..).prop_map(|(segment, owner, data)| Record::SegmentOpened {
            segment,
            owner,
            data
        }),
        any::<u64>().prop_map(|id| Record::SegmentSealed { segment: SegmentId(id) }),
        segment().prop_map(|segment| Record::SegmentFreed { segment }),
        segment().prop_map(|segment| Record::NextSegment { segment }),
        prop::collection::vec(note, 0..5).prop_map(|notes| Record::Blocks { notes }),
        (16_u64..1000, 0_u64..1 << 40, prop::collection::vec(addr(), 1..5)).prop_map(
            |(pnode, first, mut addrs)| {
                addrs.iter_mut().for_each(|addr| addr.len_bytes = CONTENT_BYTES as u32);
                Record::Placed { pnode: PnodeId(pnode), first, addrs }
            }
        ),
    ]
}

proptest! {
    #[test]
    fn values_survive_their_bytes(
        (segment, map, fragment) in (segment(), map(), fragment()),
        (superblock, image, body, pointer) in (superblock(), image(), body(), pointer()),
        records in prop::collection::vec(record(), 0..6),
        (pieces, last, part) in any::<(bool, bool, u32)>(),
    ) {
        let mut bytes = Vec::new();
        segment.emit(&mut bytes);
        let segment_len = bytes.len();
        map.emit(&mut bytes);
        prop_assert_eq!(SegmentRef::parse(&bytes), Some((segment, segment_len)));
        let map_len = map.emitted_bytes();
        prop_assert_eq!(BlockMap::parse(&bytes[segment_len..]), Some((map, map_len)));
        prop_assert_eq!(bytes.len(), segment_len + map_len);
        prop_assert_eq!(FragmentHeader::parse(&fragment.emit()), Some(fragment));
        // One that does not know of more disks than columns, of two parities, or of removed disks, has to be told by
        // a bit in the last field.
        let bytes = superblock.emit();
        let columns = usize::from(superblock.data + superblock.parity);
        let more = u8::from(superblock.members.len() > columns);
        let two = u8::from(superblock.parity == 2) * 2;
        let is_removed = |member: &Member| member.state == MemberState::Removed;
        let removed = u8::from(superblock.members.iter().any(is_removed)) * 4;
        prop_assert_eq!(&bytes[20..24], &[more | two | removed, 0, 0, 0]);
        prop_assert_eq!(Superblock::parse(&bytes), Ok(superblock));
        prop_assert_eq!(Image::parse(&image.emit()), Some(image));
        prop_assert_eq!(Body::parse(&body.emit()), Some(body));
        prop_assert_eq!(Pointer::parse(&pointer.emit().unwrap()), Some(pointer));
        let head = LogHead { pieces, last, part };
        let mut payload = head.emit().to_vec();
        records.iter().for_each(|record| payload.extend(record.emit()));
        prop_assert_eq!(parse_payload(&payload), Some((head, records)));
    }

    #[test]
    fn addresses_and_holes_survive(leaf in prop::collection::vec(prop::option::of(addr()), 128)) {
        let leaf = super::pnode::Addrs::<128>(leaf);
        prop_assert_eq!(LeafAddrs::parse(&leaf.emit()), Some(leaf.clone()));
        let holes: Vec<Hole> = leaf.0.iter().flatten().filter(|a| a.len_bytes < 1 << 31).map(Hole::of).collect();
        let mut bytes = Vec::new();
        holes.iter().for_each(|hole| hole.emit(&mut bytes));
        prop_assert_eq!(parse_file(&bytes), Some(holes));
    }

    #[test]
    fn a_changed_byte_is_noticed(
        (fragment, superblock, pointer) in (fragment(), superblock(), pointer()),
        (at, flip) in (any::<prop::sample::Index>(), 1_u8..),
    ) {
        let mut bytes = fragment.emit();
        bytes[at.index(128)] ^= flip;
        prop_assert_eq!(FragmentHeader::parse(&bytes), None);
        let mut bytes = superblock.emit();
        bytes[at.index(SECTOR)] ^= flip;
        prop_assert!(Superblock::parse(&bytes).is_err());
        let mut bytes = pointer.emit().unwrap();
        bytes[at.index(SECTOR)] ^= flip;
        prop_assert_eq!(Pointer::parse(&bytes), None);
    }

    #[test]
    fn any_bytes_parse_or_not(bytes in prop::collection::vec(any::<u8>(), 0..600), code in 0_u8..40) {
        parse_all(&bytes);
        // Right at the front, nonsense behind.
        for front in [&b"PGfr\x01\x02"[..], b"PEGASUS\0\x01\0\0\0", b"PEGCKPT\0\x01\0\0\0", b"PGcb\x01\0\0\0", b"\x01\0"] {
            parse_all(&[front, &bytes].concat());
        }
        let mut record = vec![code, 0, 0, 0];
        record.extend((bytes.len() as u32).to_le_bytes());
        record.extend(&bytes);
        let _ = Record::take(&mut Fields::new(&record));
    }
}

/// As above, but with checksums that are right, so that what is behind them is reached.
#[test]
fn sealed_nonsense_is_refused() {
    let mut rng = fastrand::Rng::with_seed(3);
    for magic in [&b"PEGASUS\0\x01\0\0\0"[..], b"PEGCKPT\0\x01\0\0\0"] {
        for round in 0..2_000 {
            let mut sector = vec![0; SECTOR];
            sector[..magic.len()].copy_from_slice(magic);
            let fill = if round % 2 == 0 { SECTOR - 4 } else { 200 };
            rng.fill(&mut sector[magic.len() + 12..fill]);
            let crc = crc32c::crc32c(&sector[..SECTOR - 4]);
            sector[SECTOR - 4..].copy_from_slice(&crc.to_le_bytes());
            assert!(Superblock::parse(&sector).is_err());
            assert_eq!(Pointer::parse(&sector), None);
        }
    }
}

/// The superblock of the tiny array in the documentation.
fn tiny_superblock() -> Superblock {
    Superblock {
        array: ArrayId(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10),
        index: DiskIndex(1),
        data: 1,
        parity: 1,
        unit_bytes: 1 << 20,
        size_bytes: 64 << 20,
        created: Time::from_secs(1_700_000_000),
        epoch: 2,
        open_id: 3,
        update: 4,
        label: "tiny".to_owned(),
        members: vec![
            Member::new(DiskId(0xa), 62, MemberState::Failed),
            Member::new(DiskId(0xb), 62, MemberState::Ok),
        ],
    }
}

/// Byte by byte. If this has to change, the format has changed: raise its version.
#[test]
fn the_superblock_has_the_documented_bytes() {
    let bytes = tiny_superblock().emit();
    assert_eq!(bytes.len(), SECTOR);
    let hex: Vec<String> = bytes[..240]
        .chunks(16)
        .map(|row| row.iter().map(|byte| format!("{byte:02x}")).collect())
        .collect();
    assert_eq!(hex, GOLDEN);
    assert!(bytes[240..SECTOR - 4].iter().all(|byte| *byte == 0));
    assert_eq!(bytes[SECTOR - 4..], crc32c::crc32c(&bytes[..SECTOR - 4]).to_le_bytes());
}

/// A program that knows one parity column at most must not open an array with two.
#[test]
fn two_parities_are_a_feature() {
    let members = |count: u128| -> Vec<Member> {
        (0..count).map(|id| Member::new(DiskId(id), 62, MemberState::Ok)).collect()
    };
    let of = |data, parity, disks| Superblock {
        data,
        parity,
        members: members(disks),
        ..tiny_superblock()
    };
    for (superblock, features) in
        [(of(4, 1, 5), 0), (of(4, 1, 6), 1), (of(4, 2, 6), 2), (of(1, 2, 4), 3)]
    {
        let mut bytes = superblock.emit();
        assert_eq!(bytes[20..24], u32::to_le_bytes(features));
        assert_eq!(Superblock::parse(&bytes), Ok(superblock));
        // What a later program adds, this one refuses in the same way.
        bytes[20] |= 8;
        let crc = crc32c::crc32c(&bytes[..SECTOR - 4]);
        bytes[SECTOR - 4..].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(Superblock::parse(&bytes), Err(NotASuperblock::Unknown));
    }
}

const GOLDEN: [&str; 15] = [
    "50454741535553000100000000000000",
    "00000000000000000000000000000000",
    "100f0e0d0c0b0a090807060504030201",
    "0b000000000000000000000000000000",
    "0100020001010000000010003e000000",
    "000000040000000000002a36fe9c9717",
    "02000000000000000300000000000000",
    "04000000000000000474696e79000000",
    "00000000000000000000000000000000",
    "00000000000000000000000000000000",
    "00000000000000000000000000000000",
    "00000000000000000000000000000000",
    "0a000000000000000000000000000000",
    "3e000000010000000b00000000000000",
    "00000000000000003e00000000000000",
];
