//! Random units that look like their codec's, as far as RTP looks into them.

#![allow(dead_code)] // each test file uses its own part

use bytes::{BufMut, Bytes, BytesMut};
use pegasus_base::Time;
use pegasus_media::codec::{aac, av1, mjpeg, nal, opus};
use pegasus_media::{Codec, Kind, Shape, Track, TrackId, Unit};
use proptest::prelude::*;

/// A track of the codec, configured where its configuration matters here.
pub(crate) fn track_of(codec: Codec) -> Track {
    let (clock_rate, shape) = match codec {
        Codec::Pcmu | Codec::Pcma => (8_000, Shape::Audio { channels: 1, sample_rate: 8_000 }),
        Codec::L16 => (44_100, Shape::Audio { channels: 2, sample_rate: 44_100 }),
        _ if codec.kind() == Kind::Audio => {
            (48_000, Shape::Audio { channels: 2, sample_rate: 48_000 })
        }
        _ => (90_000, Shape::Video { width: 0, height: 0 }),
    };
    let config = match codec {
        // 768x432 Baseline; not the parameter sets of any unit below.
        Codec::H264 => Bytes::from_static(&[
            1, 0x42, 0x80, 0x16, 0xff, 0xe1, 0, 23, 0x67, 0x42, 0x80, 0x16, 0x96, 0x54, 0x06, 0x01,
            0xbd, 0x35, 0x06, 0x06, 0x06, 0x40, 0, 0, 3, 0, 0x40, 0, 0, 6, 0x61, 1, 0, 4, 0x68,
            0xce, 0x35, 0x20,
        ]),
        // Whether there are sets decides about keys, not which.
        Codec::H265 => Bytes::from_static(&[1; 23]),
        Codec::Aac => aac::lc_config(48_000, 2).expect("a usual rate"),
        Codec::Opus => opus::config(2, 312, 48_000),
        _ => Bytes::new(),
    };
    Track { id: TrackId(0), codec, clock_rate, shape, config }
}

/// A track and some units of it, the first one key.
pub(crate) fn stream() -> impl Strategy<Value = (Track, Vec<Unit>)> {
    (0..Codec::ALL.len(), any::<u64>(), 1usize..20).prop_map(|(codec, seed, count)| {
        let track = track_of(Codec::ALL[codec]);
        let mut rng = fastrand::Rng::with_seed(seed);
        let start = i64::from(rng.u32(..1 << 30));
        let units = (0..count).map(|i| {
            let key = track.kind() == Kind::Audio
                || track.codec == Codec::Mjpeg
                || i == 0
                || rng.u8(..4) == 0;
            let pts = start + i as i64 * 3_600;
            let data = unit_of(track.codec, key, &mut rng);
            Unit {
                track: track.id,
                pts,
                dts: pts,
                time: Time::from_secs(0),
                duration: 0,
                key,
                data,
            }
        });
        let units = units.collect();
        (track, units)
    })
}

fn bytes(rng: &mut fastrand::Rng, len: std::ops::Range<usize>) -> Vec<u8> {
    let len = rng.usize(len);
    (0..len).map(|_| rng.u8(..)).collect()
}

/// Often small, sometimes several packets.
fn size(rng: &mut fastrand::Rng) -> std::ops::Range<usize> {
    if rng.bool() { 1..60 } else { 1..4_000 }
}

fn unit_of(codec: Codec, key: bool, rng: &mut fastrand::Rng) -> Bytes {
    match codec {
        Codec::H264 => h264(key, rng),
        Codec::H265 => h265(key, rng),
        Codec::Av1 => av1_unit(key, rng),
        Codec::Vp9 => vp9(key, rng),
        Codec::Mjpeg => jpeg(rng),
        Codec::Aac => bytes(rng, 1..8_000).into(),
        Codec::Opus => [&[0xfc][..], &bytes(rng, 0..1_200)].concat().into(),
        Codec::Pcmu | Codec::Pcma => bytes(rng, 1..3_000).into(),
        Codec::L16 => {
            bytes(rng, 4..3_000).chunks_exact(4).flatten().copied().collect::<Vec<_>>().into()
        }
        other => panic!("no units of {other}"),
    }
}

/// NAL units, none of which looks like a parameter set, and none with a start code inside.
fn h264(key: bool, rng: &mut fastrand::Rng) -> Bytes {
    let mut nals: Vec<Vec<u8>> = Vec::new();
    for header in [9u8, 6, 6] {
        if rng.bool() {
            let range = size(rng);
            let mut body = bytes(rng, range);
            body.iter_mut().for_each(|byte| *byte |= 0x10);
            nals.push([&[header][..], &body].concat());
        }
    }
    for i in 0..rng.usize(1..4) {
        let header = if key { 0x65 } else { 0x41 };
        let first = if i == 0 { 0x80 } else { 0x40 };
        let range = size(rng);
        nals.push([&[header, first][..], &bytes(rng, range)].concat());
    }
    nal::join(nals.iter().map(Vec::as_slice))
}

fn h265(key: bool, rng: &mut fastrand::Rng) -> Bytes {
    let mut nals: Vec<Vec<u8>> = Vec::new();
    for kind in [35u8, 39, 39] {
        if rng.bool() {
            let range = size(rng);
            let mut body = bytes(rng, range);
            body.iter_mut().for_each(|byte| *byte |= 0x10);
            nals.push([&[kind << 1, 1][..], &body].concat());
        }
    }
    for i in 0..rng.usize(1..4) {
        let kind = if key { 19 } else { 1 };
        let first = if i == 0 { 0x80 } else { 0 };
        let range = size(rng);
        nals.push([&[kind << 1, 1, first][..], &bytes(rng, range)].concat());
    }
    nal::join(nals.iter().map(Vec::as_slice))
}

fn av1_unit(key: bool, rng: &mut fastrand::Rng) -> Bytes {
    let mut out = BytesMut::new();
    if key {
        // Of SVT-AV1, 320x240.
        out.put_slice(&[0x0a, 0x0b, 0, 0, 0, 4, 0x3c, 0xff, 0xbc, 0xfb, 0xf9, 0, 0x40]);
    }
    for i in 0..rng.usize(1..4) {
        let range = size(rng);
        let mut payload = bytes(rng, range);
        if i == 0 {
            payload[0] = if key { 0x10 } else { 0x30 };
        }
        let extension = rng.bool().then(|| rng.u8(..));
        let header = 0x32 | if extension.is_some() { 4 } else { 0 };
        av1::Obu { header, extension, payload: payload.into() }.emit(&mut out);
    }
    out.freeze()
}

fn vp9(key: bool, rng: &mut fastrand::Rng) -> Bytes {
    let head: &[u8] =
        if key { &[0x82, 0x49, 0x83, 0x42, 0, 0x13, 0xf0, 0x0e, 0xf0] } else { &[0x86, 0] };
    let range = size(rng);
    [head, &bytes(rng, range)].concat().into()
}

fn jpeg(rng: &mut fastrand::Rng) -> Bytes {
    let range = size(rng);
    let mut scan = bytes(rng, range);
    scan.iter_mut().for_each(|byte| *byte &= 0x7f);
    let picture = mjpeg::Picture {
        width: rng.u16(1..256) * 8,
        height: rng.u16(1..256) * 8,
        sampling: if rng.bool() { mjpeg::Sampling::Yuv420 } else { mjpeg::Sampling::Yuv422 },
        tables: mjpeg::scaled_tables(rng.u8(1..100)),
        restart_interval: if rng.bool() { rng.u16(..) } else { 0 },
        scan: scan.into(),
    };
    picture.to_jfif()
}
