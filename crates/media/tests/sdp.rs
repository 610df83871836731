//! Session descriptions as ffmpeg, GStreamer and cameras write them, and our own read back.

mod units;

use bytes::Bytes;
use pegasus_media::rtp::{AacFormat, Format, payload_type};
use pegasus_media::sdp::{Session, emit, parse};
use pegasus_media::{Codec, Shape, Track, TrackId};
use proptest::prelude::*;

fn one(text: &str) -> pegasus_media::sdp::Media {
    let mut description = parse(text.as_bytes()).unwrap();
    assert_eq!(description.refused, [], "{text}");
    assert_eq!(description.media.len(), 1, "{text}");
    description.media.remove(0)
}

fn refusal(text: &str) -> String {
    let mut description = parse(text.as_bytes()).unwrap();
    assert_eq!(description.media, [], "{text}");
    description.refused.remove(0).reason
}

#[test]
fn what_ffmpeg_announces() {
    let text = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=No Name\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
        a=tool:libavformat 59.27.100\r\nm=video 0 RTP/AVP 96\r\nb=AS:614\r\n\
        a=rtpmap:96 H264/90000\r\n\
        a=fmtp:96 packetization-mode=1; sprop-parameter-sets=Z0KAFpZUBgG9NQYGBkAAAAMAQAAABmE=,aM41IA==; profile-level-id=428016\r\n\
        a=control:streamid=0\r\nm=audio 0 RTP/AVP 97\r\nb=AS:128\r\n\
        a=rtpmap:97 MPEG4-GENERIC/48000/2\r\n\
        a=fmtp:97 profile-level-id=1;mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3; config=119056E500\r\n\
        a=control:streamid=1\r\n";
    let description = parse(text.as_bytes()).unwrap();
    assert_eq!(description.name, "No Name");
    assert_eq!(description.refused, []);
    let [video, audio] = &description.media[..] else { panic!("{description:?}") };
    assert_eq!((video.track.codec, video.track.clock_rate), (Codec::H264, 90_000));
    assert_eq!(video.track.shape, Shape::Video { width: 768, height: 432 });
    assert_eq!(video.track.config[..4], [1, 0x42, 0x80, 0x16]);
    assert_eq!((video.payload_type, video.control.as_deref()), (96, Some("streamid=0")));
    assert_eq!(audio.track.id, TrackId(1));
    assert_eq!(audio.track.shape, Shape::Audio { channels: 2, sample_rate: 48_000 });
    assert_eq!(audio.track.config, [0x11, 0x90, 0x56, 0xe5, 0x00][..]);
    assert_eq!(audio.format, Format::Aac(AacFormat::HBR));
}

#[test]
fn what_gstreamer_announces() {
    let text = "v=0\r\no=- 1188340656180883 1 IN IP4 127.0.0.1\r\ns=Session streamed with GStreamer\r\n\
        t=0 0\r\na=tool:GStreamer\r\na=type:broadcast\r\na=control:*\r\na=range:npt=now-\r\n\
        m=audio 0 RTP/AVP 97\r\nc=IN IP4 0.0.0.0\r\n\
        a=rtpmap:97 OPUS/48000/2\r\na=fmtp:97 sprop-stereo=0;sprop-maxcapturerate=48000\r\n\
        a=control:stream=1\r\na=ts-refclk:local\r\na=mediaclk:sender\r\n";
    let media = one(text);
    assert_eq!(media.track.codec, Codec::Opus);
    assert_eq!(media.track.shape, Shape::Audio { channels: 1, sample_rate: 48_000 });
    assert_eq!(media.control.as_deref(), Some("stream=1"));
    assert_eq!(parse(text.as_bytes()).unwrap().control.as_deref(), Some("*"));
}

#[test]
fn cameras_with_their_ways() {
    // A static payload type without a map; spaces and upper case; no session lines at all.
    let plain = one("m=audio 0 RTP/AVP 8\na=control:trackID=4\n");
    assert_eq!((plain.track.codec, plain.payload_type), (Codec::Pcma, 8));
    assert_eq!(plain.track.shape, Shape::Audio { channels: 1, sample_rate: 8_000 });
    // A map that says something else than the payload type's usual.
    let other = one("m=audio 0 RTP/AVP 8\r\na=rtpmap:8 PCMU/8000/1\r\n");
    assert_eq!(other.track.codec, Codec::Pcmu);
    // Parameter sets with a start code behind, or not base64 at all: frames bring them.
    let text = |sets: &str| {
        format!(
            "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000 \r\na=fmtp:96 sprop-parameter-sets={sets};packetization-mode=1\r\n"
        )
    };
    let trailing = one(&text("Z0KAFpZUBgG9NQYGBkAAAAMAQAAABmEAAAAB,aM41IAAAAAE="));
    assert_eq!(trailing.track.size(), Some((768, 432)));
    let broken = one(&text("profile,,"));
    assert!(broken.track.config.is_empty());
    assert_eq!(broken.track.shape, Shape::Video { width: 0, height: 0 });
    // H.265 with its sets in any order.
    let hevc = one("m=video 0 RTP/AVP 98\r\na=control:trackID=0\r\na=rtpmap:98 H265/90000\r\n\
        a=fmtp:98 profile-id=1;sprop-sps=QgEBAWAAAAMAsAAAAwAAAwBaoAWCAeFja5JFL83BQYFBAAADAAEAAAMADKE=;sprop-pps=RAHA8saNA7NA;sprop-vps=QAEMAf//AWAAAAMAsAAAAwAAAwBarAwAAA==\r\n");
    assert_eq!(hevc.track.size(), Some((704, 480)));
    // AAC that only its map describes; the low bit-rate mode.
    let aac = one(
        "m=audio 0 RTP/AVP 97\r\na=rtpmap:97 mpeg4-generic/16000/1\r\na=fmtp:97 mode=AAC-lbr\r\n",
    );
    assert_eq!(aac.track.config, [0x14, 0x08][..]);
    let Format::Aac(format) = aac.format else { panic!("{aac:?}") };
    assert_eq!((format.size_bits, format.index_bits), (6, 2));
    // Several payload types on offer: the first that can be used.
    let choice =
        one("m=video 0 RTP/AVP 100 101\r\na=rtpmap:100 VP8/90000\r\na=rtpmap:101 VP9/90000\r\n");
    assert_eq!((choice.track.codec, choice.payload_type), (Codec::Vp9, 101));
    // A line twice, a line without sense, bytes that are no text.
    let mut bytes = b"v=0\r\nnonsense\r\ns=\xff\xfe\r\nm=video 0 RTP/AVP 26\r\na\r\n".to_vec();
    bytes.extend(b"a=control:first\r\na=control:second\r\n");
    let description = parse(&bytes).unwrap();
    assert_eq!(description.media[0].control.as_deref(), Some("first"));
    assert_eq!(description.media[0].track.codec, Codec::Mjpeg);
}

#[test]
fn tracks_that_cannot_be_used_say_why() {
    for (text, why) in [
        (
            "m=application 0 RTP/AVP 107\r\na=rtpmap:107 vnd.onvif.metadata/90000\r\n",
            "'application'",
        ),
        ("m=video 0 RTP/AVP 96\r\na=rtpmap:96 VP8/90000\r\n", "encoding VP8"),
        ("m=video 0 RTP/AVP 96\r\n", "payload type 96 has no rtpmap"),
        ("m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264\r\n", "no clock rate"),
        ("m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/0\r\n", "no clock rate"),
        ("m=video 0 RTP/AVP\r\n", "no payload type"),
        ("m=video 0 RTP/SAVP 96\r\na=rtpmap:96 H264/90000\r\n", "encrypted"),
        ("m=video 0 udp 33\r\n", "'udp' instead of RTP"),
        ("m=video 0 RTP/AVP 0\r\n", "video in pcmu"),
        (
            "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=2\r\n",
            "interleaved",
        ),
        (
            "m=audio 0 RTP/AVP 96\r\na=rtpmap:96 mpeg4-generic/48000\r\na=fmtp:96 config=zz;sizelength=99\r\n",
            "sizelength is '99'",
        ),
        (
            "m=audio 0 RTP/AVP 96\r\na=rtpmap:96 mpeg4-generic/48000\r\na=fmtp:96 config=4190\r\n",
            "object type 8 ",
        ),
        ("m=audio 0 RTP/AVP 96\r\na=rtpmap:96 MP4A-LATM/48000\r\n", "MP4A-LATM"),
    ] {
        let reason = refusal(text);
        assert!(reason.contains(why), "{text}: {reason}");
    }
}

#[test]
fn one_bad_track_leaves_the_others() {
    let text = "m=video 0 RTP/AVP 96\r\na=rtpmap:96 VP8/90000\r\na=control:a\r\n\
        m=audio 0 RTP/AVP 0\r\na=control:b\r\n";
    let description = parse(text.as_bytes()).unwrap();
    assert_eq!(description.refused[0].line, 0);
    assert_eq!(description.refused[0].control.as_deref(), Some("a"));
    assert_eq!((description.media[0].line, description.media[0].track.id), (1, TrackId(0)));
}

#[test]
fn what_is_no_description_says_so() {
    assert!(parse(b"").unwrap_err().to_string().contains("no track"));
    assert!(parse(b"GET / HTTP/1.1\r\n\r\n").unwrap_err().to_string().contains("no track"));
    assert!(parse(&vec![b'm'; 70_000]).unwrap_err().to_string().contains("too long"));
}

#[test]
fn our_own_descriptions_read_back() {
    for codec in Codec::ALL {
        let mut track = units::track_of(codec);
        // What a description cannot hold is empty, or found in the first key unit.
        if codec == Codec::H265 {
            track.config = Bytes::new();
        }
        let session = Session { name: "/cam/door", id: 7, range: Some("npt=0-12.5") };
        let text = emit(&session, std::slice::from_ref(&track));
        assert!(text.contains("a=range:npt=0-12.5\r\n"), "{text}");
        let media = one(&text);
        assert_eq!(media.payload_type, payload_type(&track), "{codec}");
        assert_eq!(media.control.as_deref(), Some("trackID=0"));
        assert_eq!(media.track.config, track.config, "{codec}");
        let shape = match codec {
            Codec::H264 => Shape::Video { width: 768, height: 432 },
            _ => track.shape,
        };
        assert_eq!(media.track, Track { shape, ..track });
    }
}

#[test]
fn a_name_cannot_break_out_of_its_line() {
    let session = Session { name: "x\r\nm=video 0 RTP/AVP 26", id: 1, range: None };
    let text = emit(&session, &[units::track_of(Codec::Pcmu)]);
    assert_eq!(parse(text.as_bytes()).unwrap().media.len(), 1);
}

proptest! {
    #[test]
    fn any_bytes_parse_or_say_why(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = parse(&bytes);
    }

    #[test]
    fn any_lines_parse_or_say_why(
        lines in proptest::collection::vec(
            "(m=(video|audio) 0 RTP/AVP (0|8|26|96|97)|a=rtpmap:9[67] (H264|H265|AV1|VP9|JPEG|OPUS|L16|mpeg4-generic)/[0-9]{0,6}(/[0-9]{0,3})?|a=fmtp:9[67] (config|sprop-parameter-sets|sprop-sps|sizelength|mode)=[A-Za-z0-9+/=,]{0,40}|a=control:.{0,10}|.{0,20})",
            0..16,
        ),
    ) {
        if let Ok(description) = parse(lines.join("\r\n").as_bytes()) {
            let tracks: Vec<Track> = description.media.iter().map(|m| m.track.clone()).collect();
            let session = Session { name: "again", id: 1, range: None };
            if !tracks.is_empty() {
                let again = parse(emit(&session, &tracks).as_bytes()).unwrap();
                prop_assert_eq!(again.refused, vec![]);
                prop_assert_eq!(again.media.len(), tracks.len());
            }
        }
    }
}

#[test]
fn what_a_session_needs_is_read() {
    let said = |session: &str, tracks: [&str; 2]| {
        let [video, audio] = tracks;
        let text = format!(
            "v=0\r\n{session}m=video 0 RTP/AVP 96\r\n{video}a=rtpmap:96 H264/90000\r\n\
             m=audio 0 RTP/AVP 0\r\n{audio}"
        );
        pegasus_media::sdp::parse(text.as_bytes()).unwrap().bandwidth_bps
    };
    assert_eq!(said("", ["", ""]), None);
    assert_eq!(said("", ["b=AS:4000\r\n", "b=AS:64\r\n"]), Some(4_064_000));
    assert_eq!(said("b=TIAS:5000000\r\n", ["b=AS:4000\r\n", ""]), Some(5_000_000));
    for nonsense in [
        "b=AS:\r\n",
        "b=AS:0\r\n",
        "b=CT:128\r\n",
        "b=4000\r\n",
        "b=AS:-1\r\n",
        "b=AS:99999999999999999999\r\n",
    ] {
        assert_eq!(said("", [nonsense, ""]), None, "{nonsense}");
    }
}
