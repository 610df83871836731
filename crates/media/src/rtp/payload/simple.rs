//! Formats without a header of their own: Opus (RFC 7587), G.711 and L16 (RFC 3551 section 4.5).

use bytes::Bytes;

use super::{Chunk, Collector, Payload, Splitter};
use crate::codec::opus;
use crate::rtp::Packet;
use crate::{Codec, Shape, Track};

/// Each packet is a unit.
#[derive(Debug)]
pub(super) struct Receiver {
    codec: Codec,
    bytes_per_tick: usize,
}

impl Receiver {
    pub(super) fn new(track: &Track) -> Self {
        Self { codec: track.codec, bytes_per_tick: bytes_per_tick(track) }
    }
}

impl Payload for Receiver {
    fn push(&mut self, packet: &Packet, out: &mut Collector) -> Result<(), &'static str> {
        let data = packet.payload.clone();
        if data.is_empty() {
            // Some senders mark silence so (RFC 7587 section 4.2 allows it for discontinuous Opus).
            return Ok(());
        }
        let duration = if self.codec == Codec::Opus {
            opus::duration_48k(&data).ok_or("not an Opus packet")?
        } else {
            if !data.len().is_multiple_of(self.bytes_per_tick) {
                return Err("it ends within a sample");
            }
            (data.len() / self.bytes_per_tick) as u32
        };
        out.frame(0, duration, true, data);
        Ok(())
    }

    fn mark(&mut self, _out: &mut Collector) {}

    fn end(&mut self, _out: &mut Collector) {}

    fn lose(&mut self) -> bool {
        false
    }
}

/// Sends an Opus packet whole, samples in as many packets as it takes.
#[derive(Debug)]
pub(super) struct Sender {
    codec: Codec,
    bytes_per_tick: usize,
}

impl Sender {
    pub(super) fn new(track: &Track) -> Self {
        Self { codec: track.codec, bytes_per_tick: bytes_per_tick(track) }
    }
}

impl Splitter for Sender {
    fn split(
        &mut self,
        data: &Bytes,
        room: usize,
        out: &mut dyn FnMut(Chunk<'_>),
    ) -> Result<(), &'static str> {
        if data.is_empty() {
            return Err("it is empty");
        }
        if self.codec == Codec::Opus {
            // One packet carries one Opus packet, never a part (RFC 7587 section 4.2).
            if data.len() > PAYLOAD_MAX {
                return Err("it is longer than a packet can be, and Opus may not be split");
            }
            out(Chunk { parts: &[data], marker: false, ticks: 0 });
            return Ok(());
        }
        if !data.len().is_multiple_of(self.bytes_per_tick) {
            return Err("it ends within a sample");
        }
        let step = (room / self.bytes_per_tick).max(1);
        for (i, part) in data.chunks(step * self.bytes_per_tick).enumerate() {
            out(Chunk { parts: &[part], marker: false, ticks: (i * step) as u32 });
        }
        Ok(())
    }
}

/// Longest payload a datagram has room for.
const PAYLOAD_MAX: usize = 65_535 - 8 - 40 - Packet::HEADER_LEN;

/// Bytes of one sample of every channel. (Opus packets are not counted in samples.)
fn bytes_per_tick(track: &Track) -> usize {
    let channels = match track.shape {
        Shape::Audio { channels, .. } => usize::from(channels.max(1)),
        Shape::Video { .. } => 1,
    };
    if track.codec == Codec::L16 { 2 * channels } else { channels }
}
