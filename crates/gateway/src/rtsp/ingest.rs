//! From the packets of a sender to the units of a stream: reordering, depacketising, capture and
//! decode times, receiver reports. Used for publishers and for pulled sources alike.
//!
//! A unit that comes out is one that was sent, to the last byte; one of which a part is missing is left
//! out. Pictures that follow a missing one are passed on as they came, as other receivers do: a decoder
//! makes the best of them, and they may be all there is of a moment. [`Ingest::take_damage`] counts both.
//!
//! Hand in what arrives with [`Ingest::rtp`] and [`Ingest::rtcp`], take out what came together with
//! [`Ingest::poll`] after each, and again when [`Ingest::deadline`] has passed.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use pegasus_base::Time;
use pegasus_circuit::Damage;
use pegasus_media::clock::MediaClock;
use pegasus_media::codec::{h264, h265};
use pegasus_media::reorder::DecodeTimes;
use pegasus_media::rtp::{self, Depacketizer, Frame, Packet, Reception, ReorderBuffer, Rtcp};
use pegasus_media::{Codec, Kind, Track, TrackSet, Unit, sdp};

/// How long a packet that came too early over UDP waits for those before it.
const REORDER_WAIT: Duration = Duration::from_millis(100);

/// How many packets may wait for one that is late.
const REORDER_PACKETS_MAX: usize = 512;

/// What comes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ingested {
    /// The tracks have changed; the units that follow belong to these.
    Tracks(TrackSet),
    /// A unit, in decode order of its track.
    Unit(Unit),
}

/// Turns packets into units. Pure: times of arrival come in as arguments.
#[derive(Debug)]
pub struct Ingest {
    lanes: Vec<Lane>,
    clock: MediaClock,
    tracks: TrackSet,
    ready: VecDeque<Ingested>,
    damage: Damage,
    /// The server's identity in receiver reports.
    ssrc: u32,
}

#[derive(Debug)]
struct Lane {
    track: Track,
    payload_type: u8,
    /// Only where packets come as datagrams.
    reorder: Option<ReorderBuffer>,
    depacketizer: Depacketizer,
    reception: Reception,
    decode_times: DecodeTimes,
    /// The sender, once known.
    sender_ssrc: u32,
    /// Whether the first key unit has come: what precedes it can't be decoded by anybody.
    begun: bool,
}

impl Ingest {
    /// An ingest for announced tracks. `datagrams` says that packets may come out of order; `ssrc` is
    /// what reports are signed with.
    #[must_use]
    pub fn new(media: &[sdp::Media], datagrams: bool, ssrc: u32) -> Self {
        let tracks: TrackSet = media.iter().map(|media| media.track.clone()).collect();
        Self {
            lanes: media.iter().map(|media| Lane::new(media, datagrams)).collect(),
            clock: MediaClock::new(&tracks),
            tracks,
            ready: VecDeque::new(),
            damage: Damage::default(),
            ssrc,
        }
    }

    /// The tracks as they are now.
    #[must_use]
    pub fn tracks(&self) -> &TrackSet {
        &self.tracks
    }

    /// Takes a packet of the track at `index` that arrived at `now`.
    ///
    /// # Errors
    /// What is wrong with it, in words; the packet is dropped.
    ///
    /// # Panics
    /// If there is no such track.
    pub fn rtp(&mut self, index: usize, bytes: Bytes, now: Time) -> Result<(), String> {
        let packet = Packet::parse(bytes).map_err(|error| error.to_string())?;
        let lane = &mut self.lanes[index];
        if packet.payload_type != lane.payload_type {
            // Comfort noise, retransmissions and the like have a type of their own.
            return Ok(());
        }
        lane.sender_ssrc = packet.ssrc;
        lane.reception.received(&packet, now);
        match &mut lane.reorder {
            None => self.push(index, &packet, now),
            Some(reorder) => {
                reorder.push(packet, now);
                self.release(index, now)
            }
        }
    }

    /// Takes an RTCP packet of the track at `index` that arrived at `now`. True if the sender says
    /// goodbye.
    ///
    /// # Errors
    /// What is wrong with it, in words; the packet is dropped.
    ///
    /// # Panics
    /// If there is no such track.
    pub fn rtcp(&mut self, index: usize, bytes: &[u8], now: Time) -> Result<bool, String> {
        let packets = Rtcp::parse_compound(bytes).map_err(|error| error.to_string())?;
        let lane = &mut self.lanes[index];
        let mut bye = false;
        for packet in packets {
            match packet {
                Rtcp::Sender(report) => {
                    lane.reception.sender_report(report.ntp, now);
                    let pts = lane.depacketizer.unwrap_timestamp(report.rtp_timestamp);
                    self.clock.sender_report(lane.track.id, report.ntp, pts, now);
                }
                Rtcp::Bye(_) => bye = true,
                _ => {}
            }
        }
        Ok(bye)
    }

    /// Releases packets that waited long enough, then yields the next thing that came together.
    pub fn poll(&mut self, now: Time) -> Option<Ingested> {
        for index in 0..self.lanes.len() {
            // A packet that makes no sense counts as damage.
            let _ = self.release(index, now);
        }
        self.ready.pop_front()
    }

    /// What was missing since the last call.
    pub fn take_damage(&mut self) -> Damage {
        std::mem::take(&mut self.damage)
    }

    /// When to poll although nothing arrives.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        self.lanes.iter().filter_map(|lane| lane.reorder.as_ref()?.deadline()).min()
    }

    /// The sender is gone: what is still held is all there will be.
    pub fn finish(&mut self, now: Time) {
        for index in 0..self.lanes.len() {
            let _ = self.release(index, now + REORDER_WAIT);
            self.lanes[index].depacketizer.finish();
            self.collect(index, now);
        }
    }

    /// The receiver report of the track at `index`; none before its first packet.
    ///
    /// # Panics
    /// If there is no such track.
    pub fn report(&mut self, index: usize, now: Time) -> Option<Bytes> {
        let block = self.lanes[index].reception.report(now)?;
        let report = Rtcp::Receiver { ssrc: self.ssrc, blocks: vec![block] };
        Some(Rtcp::emit_compound(&[report, self.name()]))
    }

    /// A request for a key unit of the track at `index` (RFC 4585, 6.3.1); none for sound, or before
    /// its first packet.
    ///
    /// # Panics
    /// If there is no such track.
    #[must_use]
    pub fn key_unit_request(&self, index: usize) -> Option<Bytes> {
        let lane = &self.lanes[index];
        if lane.track.kind() != Kind::Video || lane.sender_ssrc == 0 {
            return None;
        }
        let empty = Rtcp::Receiver { ssrc: self.ssrc, blocks: Vec::new() };
        let wanted = Rtcp::KeyUnitWanted { media_ssrc: lane.sender_ssrc };
        Some(Rtcp::emit_compound(&[empty, self.name(), wanted]))
    }

    fn name(&self) -> Rtcp {
        Rtcp::Name { ssrc: self.ssrc, cname: format!("pegasus-{:08x}", self.ssrc) }
    }

    /// Moves on what the reorder buffer need not hold any more.
    fn release(&mut self, index: usize, now: Time) -> Result<(), String> {
        let mut outcome = Ok(());
        while let Some((packet, arrival)) =
            self.lanes[index].reorder.as_mut().and_then(|reorder| reorder.poll(now))
        {
            outcome = outcome.and(self.push(index, &packet, arrival));
        }
        outcome
    }

    fn push(&mut self, index: usize, packet: &Packet, arrival: Time) -> Result<(), String> {
        let outcome = self.lanes[index].depacketizer.push(packet);
        self.collect(index, arrival);
        outcome.map_err(|error| error.to_string())
    }

    fn collect(&mut self, index: usize, arrival: Time) {
        while let Some(event) = self.lanes[index].depacketizer.poll() {
            match event {
                rtp::Event::Track(track) => self.retrack(index, track),
                rtp::Event::Frame(frame) => self.frame(index, frame, arrival),
                rtp::Event::Lost(loss) => {
                    self.damage.lost_packets += u64::from(loss.packets);
                    self.damage.damaged_units += u64::from(loss.units);
                }
            }
        }
    }

    fn retrack(&mut self, index: usize, track: Track) {
        let lane = &mut self.lanes[index];
        lane.decode_times.deepen(reorder_depth(&track));
        lane.track = track;
        self.tracks = self.lanes.iter().map(|lane| lane.track.clone()).collect();
        self.ready.push_back(Ingested::Tracks(self.tracks.clone()));
    }

    fn frame(&mut self, index: usize, frame: Frame, arrival: Time) {
        let lane = &mut self.lanes[index];
        lane.begun |= frame.key;
        if !lane.begun {
            return;
        }
        self.damage.doubtful_units += u64::from(frame.doubtful);
        let dts = match lane.track.kind() {
            Kind::Video => lane.decode_times.push(frame.pts),
            Kind::Audio => frame.pts,
        };
        let track = lane.track.id;
        let time = self.clock.time(track, frame.pts, arrival);
        let Frame { pts, duration, key, mut data, .. } = frame;
        if lane.track.kind() == Kind::Audio {
            // A slice of what was received would keep far more than itself in memory; pictures have
            // been put together, and so copied, already.
            data = Bytes::copy_from_slice(&data);
        }
        self.ready.push_back(Ingested::Unit(Unit { track, pts, dts, time, duration, key, data }));
    }
}

impl Lane {
    fn new(media: &sdp::Media, datagrams: bool) -> Self {
        let track = media.track.clone();
        Self {
            payload_type: media.payload_type,
            reorder: datagrams.then(|| ReorderBuffer::new(REORDER_PACKETS_MAX, REORDER_WAIT)),
            depacketizer: Depacketizer::with_format(&track, media.format),
            reception: Reception::new(rtp::clock_rate(&track)),
            decode_times: DecodeTimes::new(track.clock_rate, reorder_depth(&track)),
            sender_ssrc: 0,
            begun: false,
            track,
        }
    }
}

/// How many pictures the track's parameter sets say may be shown before one decoded earlier; 0 if
/// they don't say, or aren't known yet.
fn reorder_depth(track: &Track) -> usize {
    let depth = match track.codec {
        Codec::H264 => {
            h264::ParameterSets::parse(&track.config).and_then(|sets| sets.reordered_max())
        }
        Codec::H265 => h265::ParameterSets::parse(&track.config)
            .and_then(|sets| sets.sps())
            .map(|sps| sps.reordered_max),
        _ => None,
    };
    depth.map_or(0, |depth| depth as usize)
}

#[cfg(test)]
#[path = "ingest_tests.rs"]
mod tests;
