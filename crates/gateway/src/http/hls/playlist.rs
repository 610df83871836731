//! The text of playlists (RFC 8216 and its successor draft-pantos-hls-rfc8216bis, "bis"). Pure.

use std::fmt::Write as _;

use pegasus_base::Time;

use super::cut::Cut;
use super::segmenter::PART_NS;
use super::window::{Segment, Window};
use crate::http::playable::Playable;

/// Parts are listed for segments so near the end, in target durations (bis, 4.4.4.9).
const PARTS_WITHIN_TARGETS: u64 = 3;

/// A list of one variant, which says what the media is before any of it is loaded.
pub(crate) fn multivariant(playable: &Playable, bandwidth_bps: u64, media_uri: &str) -> String {
    let mut out = String::from("#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-INDEPENDENT-SEGMENTS\n");
    let _ = write!(
        out,
        "#EXT-X-STREAM-INF:BANDWIDTH={},CODECS=\"{}\"",
        bandwidth_bps.max(1),
        playable.codecs()
    );
    if let Some((width, height)) = playable.leading().size() {
        let _ = write!(out, ",RESOLUTION={width}x{height}");
    }
    let _ = writeln!(out, "\n{media_uri}");
    out
}

/// The media playlist of a live stream, low latency.
pub(crate) fn live(window: &Window) -> String {
    let target_s = window.longest_ns.max(1).div_ceil(1_000_000_000);
    let part_ns = window.longest_part_ns.max(PART_NS);
    let mut out = String::from("#EXTM3U\n#EXT-X-VERSION:9\n");
    let _ = writeln!(out, "#EXT-X-TARGETDURATION:{target_s}");
    let _ = writeln!(
        out,
        "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,HOLD-BACK={},PART-HOLD-BACK={}",
        3 * target_s,
        seconds(3 * part_ns),
    );
    let _ = writeln!(out, "#EXT-X-PART-INF:PART-TARGET={}", seconds(part_ns));
    let first = window.segments.front();
    let _ = writeln!(out, "#EXT-X-MEDIA-SEQUENCE:{}", first.map_or(0, |first| first.number));
    // The first one listed has nothing before it to differ from: its own discontinuity counts here.
    let gone = window.discontinuities + u64::from(first.is_some_and(|first| first.discontinuity));
    let _ = writeln!(out, "#EXT-X-DISCONTINUITY-SEQUENCE:{gone}");
    out.push_str("#EXT-X-INDEPENDENT-SEGMENTS\n");

    // Counted from the end: only the newest segments are listed in parts.
    let mut left_ns: u64 = window.segments.iter().map(Segment::duration_ns).sum();
    let mut init = None;
    for segment in &window.segments {
        let with_parts = left_ns <= PARTS_WITHIN_TARGETS * target_s * 1_000_000_000;
        live_segment(&mut out, segment, &mut init, with_parts || !segment.complete);
        left_ns -= segment.duration_ns();
    }
    match window.growing() {
        _ if window.ended => out.push_str("#EXT-X-ENDLIST\n"),
        Some(number) => {
            let part = part_uri(number, window.growing_parts());
            let _ = writeln!(out, "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"{part}\"");
        }
        None => {}
    }
    out
}

fn live_segment(out: &mut String, segment: &Segment, init: &mut Option<u64>, with_parts: bool) {
    if segment.parts.is_empty() {
        return; // nothing of it can be loaded yet
    }
    if segment.discontinuity && init.is_some() {
        out.push_str("#EXT-X-DISCONTINUITY\n");
    }
    if *init != Some(segment.init) {
        let _ = writeln!(out, "#EXT-X-MAP:URI=\"init-{}.mp4\"", segment.init);
        *init = Some(segment.init);
    }
    let _ = writeln!(out, "#EXT-X-PROGRAM-DATE-TIME:{}", date_time(segment.start));
    if with_parts {
        for (index, part) in segment.parts.iter().enumerate() {
            let uri = part_uri(segment.number, index);
            let independent = if part.independent { ",INDEPENDENT=YES" } else { "" };
            let duration = seconds(part.duration_ns);
            let _ = writeln!(out, "#EXT-X-PART:DURATION={duration},URI=\"{uri}\"{independent}");
        }
    }
    if segment.complete {
        let duration = seconds(segment.duration_ns());
        let _ = writeln!(out, "#EXTINF:{duration},\nseg-{}.m4s", segment.number);
    }
}

fn part_uri(number: u64, index: usize) -> String {
    format!("part-{number}-{index}.m4s")
}

/// The media playlist of a recorded range. `media_origin` is the capture time of media time 0, the
/// same for all segments of the list.
pub(crate) fn recorded(cuts: &[Cut<Option<u32>>], media_origin: Time) -> String {
    let longest_ns = cuts.iter().map(Cut::duration_ns).max().unwrap_or(1);
    let mut out = String::from("#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-PLAYLIST-TYPE:VOD\n");
    // Rounded to the nearest, each duration may not exceed it (RFC 8216, 4.3.3.1).
    let _ = writeln!(out, "#EXT-X-TARGETDURATION:{}", longest_ns.div_ceil(1_000_000_000).max(1));
    out.push_str("#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-INDEPENDENT-SEGMENTS\n");
    for (index, cut) in cuts.iter().enumerate() {
        if cut.discontinuity && index > 0 {
            out.push_str("#EXT-X-DISCONTINUITY\n");
        }
        if cut.discontinuity || index == 0 {
            // Also where the tracks are the same as before: a list need not know all of them.
            let _ = writeln!(out, "#EXT-X-MAP:URI=\"vod-init-{}.mp4\"", cut.start.as_ns());
            let _ = writeln!(out, "#EXT-X-PROGRAM-DATE-TIME:{}", date_time(cut.start));
        }
        let (start, end) = (cut.start.as_ns(), cut.end.as_ns());
        let tracks = cut.tracks.map(|tracks| format!("-{tracks}")).unwrap_or_default();
        let _ = writeln!(
            out,
            "#EXTINF:{},\nvod-{start}-{end}-{}{tracks}.m4s",
            seconds(cut.duration_ns()),
            media_origin.as_ns()
        );
    }
    out.push_str("#EXT-X-ENDLIST\n");
    out
}

/// Decimal seconds to the microsecond.
fn seconds(ns: u64) -> String {
    let us = (ns + 500) / 1_000;
    format!("{}.{:06}", us / 1_000_000, us % 1_000_000)
}

/// ISO 8601 with milliseconds, which is what players take.
fn date_time(time: Time) -> String {
    let mut text = time.to_string(); // 2026-11-20T03:12:07.250000000Z
    text.truncate(text.len() - 7);
    text.push('Z');
    text
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use pegasus_circuit::Event;
    use pegasus_media::Unit;

    use super::super::segmenter::Segmenter;
    use super::*;
    use crate::http::testing::{aac, h264, picture};

    const START: Time = Time::from_secs(1_000);

    #[test]
    fn times_and_durations_print_as_players_read_them() {
        assert_eq!(date_time(Time::from_ms(1_250)), "1970-01-01T00:00:01.250Z");
        assert_eq!(seconds(2_000_000_499), "2.000000");
        assert_eq!(seconds(33_366_667), "0.033367");
    }

    #[test]
    fn a_multivariant_list() {
        let playable = Playable::of(&vec![h264(0), aac(1)].into()).unwrap();
        assert_eq!(
            multivariant(&playable, 1_000_000, "live.m3u8"),
            "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-INDEPENDENT-SEGMENTS\n\
             #EXT-X-STREAM-INF:BANDWIDTH=1000000,CODECS=\"avc1.42C01E,mp4a.40.2\",RESOLUTION=640x360\n\
             live.m3u8\n"
        );
    }

    #[test]
    fn a_live_list() {
        let mut segmenter = Segmenter::default();
        let unit = |n, key| -> Arc<Unit> { Arc::new(picture(0, n, key, START)) };
        segmenter.handle(&Event::Live(vec![h264(0)].into()));
        for n in 0..65 {
            segmenter.handle(&Event::Unit(unit(n, n % 50 == 0)));
        }
        segmenter.handle(&Event::Idle);
        segmenter.handle(&Event::Live(vec![h264(0)].into()));
        for n in 100..120 {
            segmenter.handle(&Event::Unit(unit(n, n % 50 == 0)));
        }
        assert_eq!(
            live(segmenter.window()),
            "#EXTM3U\n\
             #EXT-X-VERSION:9\n\
             #EXT-X-TARGETDURATION:2\n\
             #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,HOLD-BACK=6,PART-HOLD-BACK=1.500000\n\
             #EXT-X-PART-INF:PART-TARGET=0.500000\n\
             #EXT-X-MEDIA-SEQUENCE:1000\n\
             #EXT-X-DISCONTINUITY-SEQUENCE:0\n\
             #EXT-X-INDEPENDENT-SEGMENTS\n\
             #EXT-X-MAP:URI=\"init-0.mp4\"\n\
             #EXT-X-PROGRAM-DATE-TIME:1970-01-01T00:16:40.000Z\n\
             #EXT-X-PART:DURATION=0.480000,URI=\"part-1000-0.m4s\",INDEPENDENT=YES\n\
             #EXT-X-PART:DURATION=0.480000,URI=\"part-1000-1.m4s\"\n\
             #EXT-X-PART:DURATION=0.480000,URI=\"part-1000-2.m4s\"\n\
             #EXT-X-PART:DURATION=0.480000,URI=\"part-1000-3.m4s\"\n\
             #EXT-X-PART:DURATION=0.080000,URI=\"part-1000-4.m4s\"\n\
             #EXTINF:2.000000,\n\
             seg-1000.m4s\n\
             #EXT-X-PROGRAM-DATE-TIME:1970-01-01T00:16:42.000Z\n\
             #EXT-X-PART:DURATION=0.480000,URI=\"part-1001-0.m4s\",INDEPENDENT=YES\n\
             #EXT-X-PART:DURATION=0.120000,URI=\"part-1001-1.m4s\"\n\
             #EXTINF:0.600000,\n\
             seg-1001.m4s\n\
             #EXT-X-DISCONTINUITY\n\
             #EXT-X-PROGRAM-DATE-TIME:1970-01-01T00:16:44.000Z\n\
             #EXT-X-PART:DURATION=0.480000,URI=\"part-1002-0.m4s\",INDEPENDENT=YES\n\
             #EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"part-1002-1.m4s\"\n"
        );
        segmenter.handle(&Event::Closed);
        assert!(live(segmenter.window()).ends_with("seg-1002.m4s\n#EXT-X-ENDLIST\n"));
    }

    #[test]
    fn a_recorded_list_crosses_gaps_and_track_changes() {
        let cut = |start, end, tracks, discontinuity| Cut {
            start: Time::from_secs(start),
            end: Time::from_ms(end),
            tracks,
            discontinuity,
        };
        let cuts = [
            cut(10, 14_000, Some(7), true),
            cut(14, 17_500, Some(7), false),
            cut(60, 64_040, None, true),
            cut(65, 66_000, Some(8), true),
        ];
        assert_eq!(
            recorded(&cuts, Time::from_secs(9)),
            "#EXTM3U\n\
             #EXT-X-VERSION:7\n\
             #EXT-X-PLAYLIST-TYPE:VOD\n\
             #EXT-X-TARGETDURATION:5\n\
             #EXT-X-MEDIA-SEQUENCE:0\n\
             #EXT-X-INDEPENDENT-SEGMENTS\n\
             #EXT-X-MAP:URI=\"vod-init-10000000000.mp4\"\n\
             #EXT-X-PROGRAM-DATE-TIME:1970-01-01T00:00:10.000Z\n\
             #EXTINF:4.000000,\n\
             vod-10000000000-14000000000-9000000000-7.m4s\n\
             #EXTINF:3.500000,\n\
             vod-14000000000-17500000000-9000000000-7.m4s\n\
             #EXT-X-DISCONTINUITY\n\
             #EXT-X-MAP:URI=\"vod-init-60000000000.mp4\"\n\
             #EXT-X-PROGRAM-DATE-TIME:1970-01-01T00:01:00.000Z\n\
             #EXTINF:4.040000,\n\
             vod-60000000000-64040000000-9000000000.m4s\n\
             #EXT-X-DISCONTINUITY\n\
             #EXT-X-MAP:URI=\"vod-init-65000000000.mp4\"\n\
             #EXT-X-PROGRAM-DATE-TIME:1970-01-01T00:01:05.000Z\n\
             #EXTINF:1.000000,\n\
             vod-65000000000-66000000000-9000000000-8.m4s\n\
             #EXT-X-ENDLIST\n"
        );
    }
}
