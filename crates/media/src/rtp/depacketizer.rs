//! From the packets of one track to its units.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::rtp::payload::{self, Collector, Payload};
use crate::rtp::{Format, Packet, PayloadError, Unwrapper};
use crate::{Codec, Track};

/// Puts the units of one track together from its packets.
///
/// Push packets in sequence (over UDP through a [`ReorderBuffer`](crate::rtp::ReorderBuffer)); after
/// each push, poll until there is nothing more. Late and repeated packets are dropped. A gap in the
/// sequence costs each unit that it may have taken a part of. So a unit that comes out is as it was
/// sent, with one exception: at the very beginning nothing tells whether packets are missing.
/// Units after a gap are `doubtful` until the next key unit, because what they refer to may be
/// missing.
#[derive(Debug)]
pub struct Depacketizer {
    codec: Codec,
    payload: Box<dyn Payload>,
    collector: Collector,
    unwrapper: Unwrapper,
    source: Option<Source>,
}

/// Where the sequence stands.
#[derive(Clone, Copy, Debug)]
struct Source {
    ssrc: u32,
    next_sequence: u16,
}

/// What comes out of a [`Depacketizer`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The track's configuration or shape changed; the frames that follow are of this track.
    Track(Track),
    /// A unit, in decode order.
    Frame(Frame),
    /// Something is missing here.
    Lost(Loss),
}

/// A unit without its capture time and decode time.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    /// Presentation time in ticks of the RTP clock, unwrapped.
    pub pts: i64,
    /// How long it lasts in ticks; 0 if unknown (pictures).
    pub duration: u32,
    /// Whether decoding can start here.
    pub key: bool,
    /// Whether something that it refers to may be missing: true between a loss and the next key
    /// unit. The unit itself is as it was sent.
    pub doubtful: bool,
    /// The coded bytes; see [`Codec`](crate::Codec).
    pub data: Bytes,
}

/// What was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Packets that never came; 0 if the loss is due to bytes that make no sense.
    pub packets: u32,
    /// Units thrown away though some of them arrived; each is told once.
    pub units: u32,
    /// Where: time of the last packet before the loss, in unwrapped ticks.
    pub pts: i64,
}

impl Depacketizer {
    /// A depacketizer for `track` in its usual payload format.
    #[must_use]
    pub fn new(track: &Track) -> Self {
        Self::with_format(track, Format::Plain)
    }

    /// A depacketizer for `track` in the payload format its SDP gave.
    #[must_use]
    pub fn with_format(track: &Track, format: Format) -> Self {
        Self {
            codec: track.codec,
            payload: payload::receiver(track, format),
            collector: Collector::default(),
            unwrapper: Unwrapper::default(),
            source: None,
        }
    }

    /// Takes the next packet.
    ///
    /// # Errors
    /// [`PayloadError`] if its payload makes no sense; the unit it belongs to is then discarded, a
    /// [`Event::Lost`] tells so in its place, and the next packet may be pushed as usual.
    pub fn push(&mut self, packet: &Packet) -> Result<(), PayloadError> {
        if !self.follow(packet) {
            return Ok(());
        }
        let pts = self.unwrapper.unwrap(packet.timestamp);
        if self.collector.pts != Some(pts) {
            self.payload.end(&mut self.collector);
        }
        self.collector.pts = Some(pts);
        let result = self.payload.push(packet, &mut self.collector);
        if result.is_err() {
            self.payload.lose();
            self.collector.unit_lost();
        } else if packet.marker {
            self.payload.mark(&mut self.collector);
        }
        result.map_err(|why| PayloadError { codec: self.codec, sequence: packet.sequence, why })
    }

    /// The next thing that came together.
    pub fn poll(&mut self) -> Option<Event> {
        self.collector.events.pop_front()
    }

    /// The stream has ended. A unit in progress is thrown away: neither a marker nor a next packet
    /// says that it is whole.
    pub fn finish(&mut self) {
        if self.payload.lose() {
            self.collector.unit_lost();
        }
    }

    /// An RTP timestamp of this track (of a sender report) in unwrapped ticks. Reports may come
    /// before the first packet, which then counts on from them.
    pub fn unwrap_timestamp(&mut self, rtp_timestamp: u32) -> i64 {
        if self.unwrapper.started() {
            self.unwrapper.nearest(rtp_timestamp)
        } else {
            self.unwrapper.unwrap(rtp_timestamp)
        }
    }

    /// Checks `packet`'s place in the sequence. False if it is late or a repetition.
    fn follow(&mut self, packet: &Packet) -> bool {
        let next = packet.sequence.wrapping_add(1);
        match self.source {
            Some(source) if source.ssrc == packet.ssrc => {
                let ahead = packet.sequence.wrapping_sub(source.next_sequence) as i16;
                if (-LATE_MAX..0).contains(&ahead) {
                    return false;
                }
                if ahead != 0 {
                    // A step far back is a sender that began anew: how much is missing is unknown.
                    self.lose(u32::try_from(ahead).unwrap_or(1));
                }
            }
            Some(_) => self.lose(0),
            None => {}
        }
        self.source = Some(Source { ssrc: packet.ssrc, next_sequence: next });
        true
    }

    fn lose(&mut self, packets: u32) {
        let unit = self.payload.lose();
        self.collector.lose(packets, unit);
    }
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let key = if self.key { " key" } else { "" };
        let doubtful = if self.doubtful { " after a loss" } else { "" };
        write!(f, "frame at {} of {} bytes{key}{doubtful}", self.pts, self.data.len())
    }
}

/// How far back a packet may be and still count as late or repeated.
const LATE_MAX: i16 = 512;

/// What a payload format gives its units to.
pub(crate) type Events = VecDeque<Event>;
