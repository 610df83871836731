//! The payload formats: what is inside the packets of each codec.

mod aac;
mod av1;
mod h264;
mod h265;
mod h26x;
mod mjpeg;
mod simple;
mod vp9;

use bytes::Bytes;

use crate::rtp::depacketizer::Events;
use crate::rtp::{Event, Format, Frame, Loss, Packet};
use crate::{Codec, Track};

/// Why a payload makes no sense. The peer that sent it is at fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{codec} payload of RTP packet {sequence}: {why}")]
pub struct PayloadError {
    /// Codec of the track.
    pub codec: Codec,
    /// Sequence number of the packet.
    pub sequence: u16,
    /// What is wrong.
    pub why: &'static str,
}

/// Puts units together from payloads that arrive in sequence.
pub(crate) trait Payload: Send + Sync + std::fmt::Debug {
    /// Takes the payload of a packet; its time is the collector's. On an error, says what is wrong
    /// with it.
    fn push(&mut self, packet: &Packet, out: &mut Collector) -> Result<(), &'static str>;

    /// The packet just pushed had the marker bit, which ends a picture.
    fn mark(&mut self, out: &mut Collector) {
        self.end(out);
    }

    /// A packet with another time follows (or none): what is in progress ends here. The collector
    /// still has the old time.
    fn end(&mut self, out: &mut Collector);

    /// Packets are missing here: forgets what is in progress. True if there was anything.
    fn lose(&mut self) -> bool;
}

/// Where payload formats put what they have made.
#[derive(Debug, Default)]
pub(crate) struct Collector {
    /// What waits to be polled.
    pub(crate) events: Events,
    /// Time of the packet in hand.
    pub(crate) pts: Option<i64>,
    /// Time of the unit that was thrown away last, so that it is counted once.
    lost: Option<i64>,
    /// Something was lost since the last key unit.
    pub(crate) damaged: bool,
}

impl Collector {
    /// Gives out a unit that lies `ticks` after the packet's time.
    pub(crate) fn frame(&mut self, ticks: i64, duration: u32, key: bool, data: Bytes) {
        let pts = self.pts.unwrap_or(0).saturating_add(ticks);
        self.damaged &= !key;
        let doubtful = self.damaged;
        self.events.push_back(Event::Frame(Frame { pts, duration, key, doubtful, data }));
    }

    /// Tells that the unit of the packet in hand is thrown away.
    pub(crate) fn unit_lost(&mut self) {
        self.lose(0, true);
    }

    /// Tells that `packets` are missing, and whether a unit is thrown away because of that.
    pub(crate) fn lose(&mut self, packets: u32, unit: bool) {
        self.damaged = true;
        let pts = self.pts.unwrap_or(0);
        let again = unit && self.lost == Some(pts);
        if unit {
            self.lost = Some(pts);
        }
        if packets > 0 || !again {
            let units = u32::from(unit && !again);
            self.events.push_back(Event::Lost(Loss { packets, units, pts }));
        }
    }
}

/// What a format whose units come in several packets throws away after a loss.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Skip {
    #[default]
    Nothing,
    /// Packets are missing: whatever does not begin a unit.
    Doubtful,
    /// The rest of the unit in hand.
    Rest,
}

impl Skip {
    /// Whether the payload in hand is to be thrown away; `begins` says that it is surely the first
    /// of its unit.
    fn skips(&mut self, begins: bool, out: &mut Collector) -> bool {
        if *self == Self::Doubtful {
            *self = if begins { Self::Nothing } else { Self::Rest };
            if !begins {
                out.unit_lost();
            }
        }
        *self == Self::Rest
    }

    /// The unit in hand has ended.
    fn unit_ended(&mut self) {
        if *self == Self::Rest {
            *self = Self::Nothing;
        }
    }
}

/// Cuts a unit into payloads.
pub(crate) trait Splitter: Send + Sync + std::fmt::Debug {
    /// Gives the payloads of `data`, each at most `room` bytes, to `out`, in order. On an error
    /// none of them is used.
    fn split(
        &mut self,
        data: &Bytes,
        room: usize,
        out: &mut dyn FnMut(Chunk<'_>),
    ) -> Result<(), &'static str>;
}

/// One payload.
pub(crate) struct Chunk<'a> {
    /// Its bytes, in pieces.
    pub(crate) parts: &'a [&'a [u8]],
    /// Its packet's marker bit.
    pub(crate) marker: bool,
    /// How far after the unit's time it is, in RTP ticks.
    pub(crate) ticks: u32,
}

/// Most bytes a format adds to a packet.
pub(crate) const OVERHEAD_MAX: usize = 16;
/// Most bytes a format adds once for a unit.
pub(crate) const HEAD_MAX: usize = 1_024;
/// Largest unit put together; a stream that goes beyond is broken or hostile.
pub(crate) const UNIT_BYTES_MAX: usize = 16 << 20;

/// The receiving side of a track's payload format.
pub(crate) fn receiver(track: &Track, format: Format) -> Box<dyn Payload> {
    match track.codec {
        Codec::H264 => Box::new(h264::receiver(track)),
        Codec::H265 => Box::new(h265::receiver(track)),
        Codec::Av1 => Box::new(av1::Receiver::new(track)),
        Codec::Vp9 => Box::new(vp9::Receiver::new(track)),
        Codec::Mjpeg => Box::new(mjpeg::Receiver::new(track)),
        Codec::Aac => Box::new(aac::Receiver::new(track, format)),
        Codec::Opus | Codec::Pcmu | Codec::Pcma | Codec::L16 => {
            Box::new(simple::Receiver::new(track))
        }
    }
}

/// The sending side of a track's payload format.
pub(crate) fn splitter(track: &Track) -> Box<dyn Splitter> {
    match track.codec {
        Codec::H264 => Box::new(h264::Sender),
        Codec::H265 => Box::new(h265::Sender),
        Codec::Av1 => Box::new(av1::Sender),
        Codec::Vp9 => Box::new(vp9::Sender::default()),
        Codec::Mjpeg => Box::new(mjpeg::Sender),
        Codec::Aac => Box::new(aac::Sender),
        Codec::Opus | Codec::Pcmu | Codec::Pcma | Codec::L16 => {
            Box::new(simple::Sender::new(track))
        }
    }
}
