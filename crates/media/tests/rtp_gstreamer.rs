//! Packets that GStreamer made of known units (see `data/README.md`).

mod units;

use bytes::Bytes;
use pegasus_media::codec::{mjpeg, nal};
use pegasus_media::rtp::{Depacketizer, Event, Frame, Packet};
use pegasus_media::{Codec, Track};

fn data(name: &str) -> Vec<u8> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What comes out of a dump: the frames, and the track as it ends up.
fn receive(codec: Codec, dump: &str) -> (Vec<Frame>, Track) {
    let mut track = units::track_of(codec);
    if codec.kind() == pegasus_media::Kind::Video {
        track.config = Bytes::new(); // all is in the stream
    }
    let mut depacketizer = Depacketizer::new(&track);
    let mut frames = Vec::new();
    let dump = data(dump);
    let mut rest = &dump[..];
    while let Some((&len, tail)) = rest.split_first_chunk::<2>() {
        let (packet, tail) = tail.split_at(u16::from_be_bytes(len).into());
        rest = tail;
        let packet = Packet::parse(Bytes::copy_from_slice(packet)).unwrap();
        depacketizer.push(&packet).unwrap();
        while let Some(event) = depacketizer.poll() {
            match event {
                Event::Frame(frame) => frames.push(frame),
                Event::Track(changed) => track = changed,
                Event::Lost(loss) => panic!("nothing is missing, but {loss:?}"),
            }
        }
    }
    assert!(frames.iter().all(|frame| !frame.doubtful));
    (frames, track)
}

const SIZE: Option<(u32, u32)> = Some((160, 120));

/// The frames are the stream's NAL units; delimiters and repeated parameter sets, which GStreamer
/// takes out or adds, apart.
fn assert_nals(codec: Codec, dump: &str, stream: &str, apart: impl Fn(&[u8]) -> bool) {
    let (frames, track) = receive(codec, dump);
    assert_eq!((frames.len(), track.size()), (12, SIZE));
    let keys: Vec<bool> = frames.iter().map(|frame| frame.key).collect();
    assert_eq!(keys.iter().filter(|key| **key).count(), 2, "{keys:?}");
    assert!(keys[0]);
    let came: Vec<Bytes> =
        frames.iter().flat_map(|frame| nal::units(&frame.data)).filter(|nal| !apart(nal)).collect();
    let stream = data(stream);
    let sent: Vec<&[u8]> = nal::annex_b(&stream).filter(|nal| !apart(nal)).collect();
    assert_eq!(came, sent);
}

#[test]
fn h264() {
    assert_nals(Codec::H264, "gst.h264.rtp", "film.h264", |nal| matches!(nal[0] & 0x1f, 7..=9));
}

#[test]
fn h265() {
    assert_nals(Codec::H265, "gst.h265.rtp", "film.h265", |nal| matches!(nal[0] >> 1, 32..=35));
}

#[test]
fn vp9() {
    let (frames, track) = receive(Codec::Vp9, "gst.vp9.rtp");
    assert_eq!(track.size(), SIZE);
    let file = data("film.ivf");
    let (mut rest, mut sent) = (&file[32..], Vec::new());
    while let Some((&head, tail)) = rest.split_first_chunk::<12>() {
        let (frame, tail) =
            tail.split_at(u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize);
        sent.push(frame);
        rest = tail;
    }
    assert_eq!(frames.iter().map(|frame| &frame.data[..]).collect::<Vec<_>>(), sent);
    assert!(frames[0].key && !frames[1].key);
}

#[test]
fn jpeg() {
    let (frames, track) = receive(Codec::Mjpeg, "gst.jpeg.rtp");
    assert_eq!((frames.len(), track.size()), (4, SIZE));
    let stream = data("film.mjpeg");
    let mut starts: Vec<usize> =
        (0..stream.len() - 2).filter(|at| stream[*at..].starts_with(&[0xff, 0xd8, 0xff])).collect();
    starts.push(stream.len());
    for (frame, ends) in frames.iter().zip(starts.windows(2)) {
        let sent = Bytes::copy_from_slice(&stream[ends[0]..ends[1]]);
        assert_eq!(mjpeg::Picture::parse(&frame.data), mjpeg::Picture::parse(&sent));
    }
}

#[test]
fn aac() {
    let (frames, _) = receive(Codec::Aac, "gst.aac.rtp");
    let stream = data("film.aac");
    let (mut rest, mut sent) = (&stream[..], Vec::new());
    while rest.len() > 7 {
        // ADTS: 13 bits of length from bit 30 on, header included.
        let len =
            usize::from(rest[3] & 3) << 11 | usize::from(rest[4]) << 3 | usize::from(rest[5]) >> 5;
        sent.push(&rest[7..len]);
        rest = &rest[len..];
    }
    assert_eq!(frames.iter().map(|frame| &frame.data[..]).collect::<Vec<_>>(), sent);
    assert!(frames.iter().all(|frame| frame.duration == 1_024));
}

#[test]
fn opus() {
    let (frames, _) = receive(Codec::Opus, "gst.opus.rtp");
    assert_eq!(frames.len(), 20);
    assert!(frames.iter().all(|frame| frame.duration == 960));
    // GStreamer takes what decoders skip off the first packet's time.
    assert!(frames[1..].windows(2).all(|pair| pair[1].pts - pair[0].pts == 960));
}
