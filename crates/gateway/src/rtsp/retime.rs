//! The times at which a playback shows what was recorded, where it does not take the time that the recording
//! took. Pure.
//!
//! A playback begins at the capture time of its first unit. From there a unit is shown as much later as it
//! was captured later, or earlier, divided by the scale; where a gap is played across, the same begins anew
//! behind it. So packets, their timestamps and when they are due come out as for any other playback.

use pegasus_base::Time;
use pegasus_media::{Kind, Track, Unit};

use super::rate::{Matter, Rate};

/// Gives units the times at which they are shown.
#[derive(Debug)]
pub(super) struct Retime {
    rate: Rate,
    /// A capture time that is shown at itself.
    anchor: Option<Time>,
}

impl Retime {
    pub(super) fn new(rate: Rate) -> Self {
        Self { rate, anchor: None }
    }

    /// How it plays.
    pub(super) fn rate(&self) -> Rate {
        self.rate
    }

    /// Whether a unit of `track` is shown at all.
    pub(super) fn shows(&self, track: &Track) -> bool {
        self.rate.matter() == Matter::All || track.kind() == Kind::Video
    }

    /// When what was captured at `time` is shown.
    pub(super) fn shown(&mut self, time: Time) -> Time {
        let anchor = *self.anchor.get_or_insert(time);
        anchor.offset_ns(self.rate.shown(time.ns_since(anchor)))
    }

    /// The unit as it is shown.
    pub(super) fn unit(&mut self, unit: Unit, track: &Track) -> Unit {
        if self.rate.matter() == Matter::All {
            return unit;
        }
        let time = self.shown(unit.time);
        let pts = ticks(track, time.as_ns());
        let dts = match self.rate.matter() {
            Matter::Keys => pts,
            _ => pts.saturating_sub(self.rate.shown(unit.pts.saturating_sub(unit.dts))),
        };
        Unit { time, pts, dts, ..unit }
    }

    /// The gap between two capture times, in the order in which it is come upon, as it is shown.
    pub(super) fn gap(&mut self, from: Time, to: Time) -> (Time, Time) {
        let (left, entered) = if self.rate.is_backward() { (to, from) } else { (from, to) };
        let left = self.shown(left);
        self.anchor = Some(entered);
        (left, entered)
    }
}

/// Nanoseconds in ticks of a track's clock.
fn ticks(track: &Track, ns: i64) -> i64 {
    let ticks = i128::from(ns) * i128::from(track.clock_rate);
    i64::try_from(ticks.div_euclid(1_000_000_000)).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use pegasus_media::{Codec, Shape, TrackId};

    use super::super::message::{Method, Request};
    use super::super::rate::Asked;
    use super::*;

    fn retime(scale: &str) -> Retime {
        let play = Request::new(Method::Play, "rtsp://h/cam").with("Scale", scale);
        Retime::new(Asked::of(&play).unwrap().or(Rate::NORMAL))
    }

    fn track() -> Track {
        Track {
            id: TrackId(0),
            codec: Codec::H264,
            clock_rate: 90_000,
            shape: Shape::Video { width: 640, height: 360 },
            config: Bytes::new(),
        }
    }

    fn unit(time: Time) -> Unit {
        let data = Bytes::from_static(b"picture");
        Unit { track: TrackId(0), pts: 77_000, dts: 70_000, time, duration: 0, key: true, data }
    }

    const START: Time = Time::from_secs(1_700_000_000);

    #[test]
    fn later_ones_are_shown_sooner_and_earlier_ones_later() {
        let seconds = Duration::from_secs;
        for (scale, recorded, shown) in [
            ("8", START + seconds(16), START + seconds(2)),
            ("-8", START - seconds(16), START + seconds(2)),
            ("0.5", START + seconds(1), START + seconds(2)),
            ("1", START + seconds(3), START + seconds(3)),
        ] {
            let mut retime = retime(scale);
            assert_eq!(retime.shown(START), START, "{scale}");
            assert_eq!(retime.shown(recorded), shown, "{scale}");
        }
    }

    #[test]
    fn ticks_follow_the_time_shown() {
        let mut fast = retime("4");
        let first = fast.unit(unit(START), &track());
        let second = fast.unit(unit(START + Duration::from_secs(2)), &track());
        assert_eq!(second.pts - first.pts, 45_000);
        assert_eq!((second.dts, second.time), (second.pts, START + Duration::from_millis(500)));
        let slow = retime("0.5").unit(unit(START), &track());
        assert_eq!(slow.pts - slow.dts, 14_000, "reordering is stretched too");
        assert_eq!(retime("1").unit(unit(START), &track()), unit(START));
    }

    #[test]
    fn a_gap_is_left_at_one_end_and_entered_at_the_other() {
        let seconds = Duration::from_secs;
        let (end, start) = (START + seconds(4), START + seconds(100));
        let mut forward = retime("2");
        forward.shown(START);
        assert_eq!(forward.gap(end, start), (START + seconds(2), start));
        assert_eq!(forward.shown(start + seconds(2)), start + seconds(1));
        let mut backward = retime("-2");
        backward.shown(start + seconds(6));
        assert_eq!(backward.gap(end, start), (start + seconds(9), end));
        assert_eq!(backward.shown(START), end + seconds(2));
    }
}
