//! Tracks and units for the tests of this door.

use bytes::Bytes;
use pegasus_base::Time;
use pegasus_media::{Codec, Shape, Track, TrackId, Unit};

pub(crate) fn h264(id: u8) -> Track {
    Track {
        id: TrackId(id),
        codec: Codec::H264,
        clock_rate: 90_000,
        shape: Shape::Video { width: 640, height: 360 },
        config: Bytes::from_static(&[1, 0x42, 0xc0, 0x1e, 0xff, 0xe0, 0]),
    }
}

pub(crate) fn aac(id: u8) -> Track {
    Track {
        id: TrackId(id),
        codec: Codec::Aac,
        clock_rate: 48_000,
        shape: Shape::Audio { channels: 2, sample_rate: 48_000 },
        config: Bytes::from_static(&[0x11, 0x90]),
    }
}

pub(crate) fn mjpeg(id: u8) -> Track {
    Track {
        id: TrackId(id),
        codec: Codec::Mjpeg,
        clock_rate: 90_000,
        shape: Shape::Video { width: 640, height: 360 },
        config: Bytes::new(),
    }
}

/// Picture `n` of a 25 Hz track that begins at `start`.
pub(crate) fn picture(track: u8, n: i64, key: bool, start: Time) -> Unit {
    Unit {
        track: TrackId(track),
        pts: n * 3_600,
        dts: n * 3_600,
        time: start.offset_ns(n * 40_000_000),
        duration: 0,
        key,
        data: Bytes::from(vec![n as u8; 100]),
    }
}

/// Packet `n` of an AAC track of 48 kHz that begins at `start`.
pub(crate) fn sound(track: u8, n: i64, start: Time) -> Unit {
    let ticks = n * 1_024;
    Unit {
        track: TrackId(track),
        pts: ticks,
        dts: ticks,
        time: start.offset_ns(ticks * 1_000_000_000 / 48_000),
        duration: 1_024,
        key: true,
        data: Bytes::from(vec![0x21; 30]),
    }
}
