//! From the units of a stream to the packets of a player: timestamps, sender reports, goodbyes.
//!
//! Each play begins a new line of RTP time: `rtptime` of the reply stands for the first unit's
//! capture time, and every track counts from there. Gaps that a playback skips take no RTP time.
//! Sender reports carry the true capture times; one goes out before the first packet of a play, one
//! after each gap, and then one every [`REPORT_EVERY`].

use std::time::Duration;

use bytes::Bytes;
use pegasus_base::Time;
use pegasus_media::rtp::{self, Packetizer, PacketizerError, Rtcp, SenderReport};
use pegasus_media::{TrackSet, Unit};

/// How often each track's capture time is reported.
pub const REPORT_EVERY: Duration = Duration::from_secs(5);

/// How far ticks and capture time may drift apart before the timestamps are set anew.
const DRIFT_MAX: Duration = Duration::from_millis(50);

/// A packet for the player.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Place of the track among those set up.
    pub lane: usize,
    /// RTCP rather than RTP.
    pub control: bool,
    /// The packet.
    pub data: Bytes,
}

/// Turns units into packets. Pure: what it draws at random comes from the seed it is given.
#[derive(Debug)]
pub struct Outlet {
    lanes: Vec<Lane>,
    cname: String,
    /// Capture time that the lanes' `base` stands for; none until the first unit of a play.
    origin: Option<Time>,
    /// Capture time skipped since, in nanoseconds; backwards it is negative.
    skipped_ns: i64,
}

#[derive(Debug)]
struct Lane {
    track: usize,
    ssrc: u32,
    rate: u32,
    packetizer: Packetizer,
    payload_type: u8,
    mtu_bytes: usize,
    /// RTP time of `origin`.
    base: u32,
    /// The offset given to the packetizer; none until the lane's first unit of a play.
    offset: Option<u32>,
    /// RTP time behind everything sent.
    end: u32,
    reported: Option<Time>,
}

impl Outlet {
    /// An outlet for the tracks chosen: number of the track and identity as sender. Packets have at
    /// most `mtu_bytes`.
    ///
    /// # Panics
    /// If a number is not one of `tracks`.
    #[must_use]
    pub fn new(
        tracks: &TrackSet,
        chosen: &[(usize, u32)],
        mtu_bytes: usize,
        rng: &mut fastrand::Rng,
    ) -> Self {
        let lane = |&(track, ssrc): &(usize, u32)| {
            let (rate, payload_type) =
                (rtp::clock_rate(&tracks[track]), rtp::payload_type(&tracks[track]));
            let mut packetizer = Packetizer::new(&tracks[track], payload_type, ssrc, mtu_bytes);
            packetizer.set_next_sequence(rng.u16(..));
            // Clients subtract the base without regard to wrapping, and units of other tracks may lie
            // a little before it: so it is kept away from both ends of the range.
            let base = rng.u32(1 << 28..1 << 30);
            let (offset, end, reported) = (None, base, None);
            Lane {
                track,
                ssrc,
                rate,
                packetizer,
                payload_type,
                mtu_bytes,
                base,
                offset,
                end,
                reported,
            }
        };
        Self {
            lanes: chosen.iter().map(lane).collect(),
            cname: format!("pegasus-{:08x}", rng.u32(..)),
            origin: None,
            skipped_ns: 0,
        }
    }

    /// Begins a new play behind what has been sent. Yields for `RTP-Info`: track, next sequence
    /// number, timestamp of the play's first instant.
    pub fn begin(&mut self) -> Vec<(usize, u16, u32)> {
        self.origin = None;
        self.skipped_ns = 0;
        let begin = |lane: &mut Lane| {
            lane.base = lane.end;
            lane.offset = None;
            lane.reported = None;
            (lane.track, lane.packetizer.next_sequence(), lane.base)
        };
        self.lanes.iter_mut().map(begin).collect()
    }

    /// The publisher changed a track's configuration: the lanes go on with the new one.
    ///
    /// False, and nothing is changed, if a lane's track is gone or coded otherwise: its player was
    /// told another codec and can't go on.
    pub fn retrack(&mut self, old: &TrackSet, new: &TrackSet) -> bool {
        let same = |lane: &Lane| {
            let (old, new) = (&old[lane.track], new.get(lane.track));
            new.is_some_and(|new| new.codec == old.codec && rtp::clock_rate(new) == lane.rate)
        };
        if !self.lanes.iter().all(same) {
            return false;
        }
        for lane in &mut self.lanes {
            let (track, sequence) = (&new[lane.track], lane.packetizer.next_sequence());
            lane.packetizer = Packetizer::new(track, lane.payload_type, lane.ssrc, lane.mtu_bytes);
            lane.packetizer.set_next_sequence(sequence);
            lane.offset = None; // another publisher's ticks may begin anywhere
        }
        true
    }

    /// Nothing is shown from one time to the other, which may be earlier: the RTP time goes on without it.
    pub fn gap(&mut self, from: Time, to: Time) {
        self.skipped_ns = self.skipped_ns.saturating_add(to.ns_since(from));
        for lane in &mut self.lanes {
            lane.offset = None;
            lane.reported = None;
        }
    }

    /// Gives the packets of `unit` to `out`, reports before them where they are due. Units of tracks
    /// that are not set up give none.
    ///
    /// # Errors
    /// If the unit can't be sent as RTP; the next may be tried as usual.
    pub fn send(
        &mut self,
        unit: &Unit,
        out: &mut impl FnMut(Outgoing),
    ) -> Result<(), PacketizerError> {
        let track = usize::from(unit.track.0);
        let Some(lane) = self.lanes.iter().position(|lane| lane.track == track) else {
            return Ok(());
        };
        let origin = *self.origin.get_or_insert(unit.time);
        let played_ns = unit.time.ns_since(origin).saturating_sub(self.skipped_ns);
        self.lanes[lane].align(unit, played_ns);
        self.report(unit.time, played_ns, out);
        let current = &mut self.lanes[lane];
        let timestamp = current.packetizer.timestamp(unit.pts);
        // The next play begins a picture later, or where this unit's sound ends.
        let after = current.ticks(40_000_000) as u32;
        if timestamp.wrapping_sub(current.end) as i32 >= 0 {
            current.end = timestamp.wrapping_add(after);
        }
        current.packetizer.packetize(unit, |data| out(Outgoing { lane, control: false, data }))
    }

    /// Reports every lane whose report is due: what its RTP clock shows at `time`.
    fn report(&mut self, time: Time, played_ns: i64, out: &mut impl FnMut(Outgoing)) {
        let Self { lanes, cname, .. } = self;
        for (index, lane) in lanes.iter_mut().enumerate() {
            let due = lane.reported.is_none_or(|last| time.since(last) >= REPORT_EVERY);
            if !due {
                continue;
            }
            lane.reported = Some(time);
            let rtp_timestamp = lane.base.wrapping_add(lane.ticks(played_ns) as u32);
            let counted = lane.packetizer.sender_report(time, 0);
            let report = Rtcp::Sender(SenderReport { rtp_timestamp, ..counted });
            let name = Rtcp::Name { ssrc: lane.ssrc, cname: cname.clone() };
            let data = Rtcp::emit_compound(&[report, name]);
            out(Outgoing { lane: index, control: true, data });
        }
    }

    /// Tells the player that nothing more comes.
    pub fn goodbye(&mut self, out: &mut impl FnMut(Outgoing)) {
        for (index, lane) in self.lanes.iter().enumerate() {
            let empty = Rtcp::Receiver { ssrc: lane.ssrc, blocks: Vec::new() };
            let name = Rtcp::Name { ssrc: lane.ssrc, cname: self.cname.clone() };
            let data = Rtcp::emit_compound(&[empty, name, Rtcp::Bye(vec![lane.ssrc])]);
            out(Outgoing { lane: index, control: true, data });
        }
    }
}

impl Lane {
    /// Nanoseconds in ticks of the RTP clock.
    fn ticks(&self, ns: i64) -> i64 {
        (i128::from(ns) * i128::from(self.rate)).div_euclid(1_000_000_000) as i64
    }

    /// Lets the packetizer's timestamps follow the source's own cadence, set so that they agree with
    /// capture time; set anew when the two have drifted apart.
    fn align(&mut self, unit: &Unit, played_ns: i64) {
        let wanted = self.base.wrapping_add(self.ticks(played_ns) as u32);
        let offset = self.offset.unwrap_or(0);
        self.packetizer.set_timestamp_offset(offset);
        let shown = self.packetizer.timestamp(unit.pts);
        let drift = i64::from(wanted.wrapping_sub(shown) as i32);
        if self.offset.is_some() && drift.abs() <= self.ticks(DRIFT_MAX.as_nanos() as i64) {
            return;
        }
        if self.offset.is_some() {
            self.reported = None;
        }
        let offset = offset.wrapping_add(wanted.wrapping_sub(shown));
        self.packetizer.set_timestamp_offset(offset);
        self.offset = Some(offset);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use pegasus_media::rtp::Packet;
    use pegasus_media::{Codec, Shape, Track, TrackId};
    use proptest::prelude::*;

    use super::*;

    fn tracks() -> TrackSet {
        let audio = |id, codec, sample_rate| Track {
            id: TrackId(id),
            codec,
            clock_rate: sample_rate,
            shape: Shape::Audio { channels: 1, sample_rate },
            config: Bytes::new(),
        };
        Arc::from([audio(0, Codec::Pcmu, 8_000), audio(1, Codec::L16, 48_000)])
    }

    fn unit(track: u8, pts: i64, time: Time) -> Unit {
        let data = Bytes::from_static(&[1; 160]);
        Unit { track: TrackId(track), pts, dts: pts, time, duration: 160, key: true, data }
    }

    fn outlet() -> Outlet {
        let rng = &mut fastrand::Rng::with_seed(3);
        Outlet::new(&tracks(), &[(0, 11), (1, 22)], 1_200, rng)
    }

    fn send(outlet: &mut Outlet, unit: &Unit) -> Vec<Outgoing> {
        let mut packets = Vec::new();
        outlet.send(unit, &mut |packet| packets.push(packet)).unwrap();
        packets
    }

    fn timestamp(packets: &[Outgoing]) -> u32 {
        let media = packets.iter().find(|packet| !packet.control).expect("a packet of media");
        Packet::parse(media.data.clone()).unwrap().timestamp
    }

    fn report(packet: &Outgoing) -> SenderReport {
        let parsed = Rtcp::parse_compound(&packet.data).unwrap();
        let Rtcp::Sender(report) = &parsed[0] else { panic!("{parsed:?}") };
        report.clone()
    }

    #[test]
    fn tracks_agree_on_time_and_reports_say_it() {
        let mut outlet = outlet();
        let info = outlet.begin();
        let start = Time::from_secs(1_000);
        let first = send(&mut outlet, &unit(0, 777, start));
        assert_eq!(timestamp(&first), info[0].2);
        let reports: Vec<_> = first.iter().filter(|p| p.control).map(report).collect();
        assert_eq!(reports.len(), 2, "both tracks are reported before the first packet");
        for (report, info) in reports.iter().zip(&info) {
            assert_eq!(report.ntp.to_time().since(start), Duration::ZERO);
            assert_eq!(report.rtp_timestamp, info.2);
        }
        let other = send(&mut outlet, &unit(1, -5, start + Duration::from_millis(500)));
        assert_eq!(timestamp(&other), info[1].2 + 24_000);
        assert!(other.iter().all(|packet| !packet.control));
    }

    #[test]
    fn gaps_take_no_rtp_time_and_are_reported() {
        let mut outlet = outlet();
        let base = outlet.begin()[0].2;
        let start = Time::from_secs(1_000);
        send(&mut outlet, &unit(0, 0, start));
        let (from, to) = (start + Duration::from_millis(20), start + Duration::from_secs(3_600));
        outlet.gap(from, to);
        let after = send(&mut outlet, &unit(0, 99_999_999, to));
        assert_eq!(timestamp(&after), base + 160);
        assert_eq!(report(&after[0]).rtp_timestamp, base + 160);
        assert!(report(&after[0]).ntp.to_time().since(to) < Duration::from_micros(1));
    }

    #[test]
    fn a_new_play_goes_on_behind_the_old() {
        let mut outlet = outlet();
        let base = outlet.begin()[0].2;
        send(&mut outlet, &unit(0, 0, Time::from_secs(1_000)));
        let info = outlet.begin();
        assert_eq!(info[0].2, base + 320, "40 ms at 8 kHz behind the last unit");
        let again = send(&mut outlet, &unit(0, 5, Time::from_secs(20)));
        assert_eq!(timestamp(&again), info[0].2);
    }

    #[test]
    fn another_codec_ends_a_play_another_configuration_does_not() {
        let mut outlet = outlet();
        outlet.begin();
        let old = tracks();
        let mut other: Vec<Track> = old.to_vec();
        other[1].config = Bytes::from_static(b"new");
        assert!(outlet.retrack(&old, &other.clone().into()));
        other[1].codec = Codec::Pcma;
        assert!(!outlet.retrack(&old, &other.clone().into()));
        assert!(!outlet.retrack(&old, &other[..1].to_vec().into()));
    }

    proptest! {
        /// Whatever the source's clock does, timestamps stay within the drift of capture time, and
        /// follow the source's cadence where the two agree.
        #[test]
        fn timestamps_follow_capture_time(
            steps in proptest::collection::vec((1_i64..5_000, -3_000_000_i64..3_000_000), 1..60),
        ) {
            let mut outlet = outlet();
            let base = outlet.begin()[0].2;
            let start = Time::from_secs(1_000);
            let (mut pts, mut time) = (0_i64, start);
            for (step, wobble_ns) in steps {
                let packets = send(&mut outlet, &unit(0, pts, time));
                let shown = i64::from(timestamp(&packets).wrapping_sub(base) as i32);
                let true_ticks = time.ns_since(start) / 125_000;
                prop_assert!((shown - true_ticks).abs() <= 401, "{shown} against {true_ticks}");
                pts += step;
                time = time.offset_ns(step * 125_000 + wobble_ns.max(-step * 125_000));
            }
        }
    }
}
