//! From the units of one track to packets.

use bytes::{BufMut, Bytes, BytesMut};
use pegasus_base::Time;

use crate::rtp::payload::{self, Chunk, Splitter};
use crate::rtp::{NtpTime, Packet, SenderReport};
use crate::{Track, Unit};

/// Cuts the units of one track into RTP packets.
#[derive(Debug)]
pub struct Packetizer {
    splitter: Box<dyn Splitter>,
    payload_type: u8,
    ssrc: u32,
    room: usize,
    next_sequence: u16,
    timestamp_offset: u32,
    track_rate: u32,
    rtp_rate: u32,
    packets: u32,
    payload_bytes: u32,
}

/// Why a unit can't be sent as RTP. The unit is at fault, or its format has no place in RTP.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a unit of {len} bytes can't be sent as RTP: {why}")]
pub struct PacketizerError {
    /// Length of the unit in bytes.
    pub len: usize,
    /// What is wrong with it.
    pub why: &'static str,
}

impl Packetizer {
    /// Smallest packet size accepted.
    pub const MTU_MIN: usize = 256;

    /// A packetizer for `track`. Packets, header included, have at most `mtu_bytes` (clamped to
    /// [`MTU_MIN`](Self::MTU_MIN)..=65 535), save that a sound packet which its RFC forbids to
    /// split goes out whole. Sequence numbers and timestamps begin at 0 unless set.
    #[must_use]
    pub fn new(track: &Track, payload_type: u8, ssrc: u32, mtu_bytes: usize) -> Self {
        Self {
            splitter: payload::splitter(track),
            payload_type,
            ssrc,
            room: mtu_bytes.clamp(Self::MTU_MIN, 65_535) - Packet::HEADER_LEN,
            next_sequence: 0,
            timestamp_offset: 0,
            track_rate: track.clock_rate.max(1),
            rtp_rate: super::clock_rate(track),
            packets: 0,
            payload_bytes: 0,
        }
    }

    /// Sets the sequence number of the next packet; RFC 3550 wants the first one random.
    pub fn set_next_sequence(&mut self, sequence: u16) {
        self.next_sequence = sequence;
    }

    /// Sets what is added to every unit's time in RTP ticks, modulo 2^32: a random start, or what
    /// makes timestamps go on without a gap after a seek.
    pub fn set_timestamp_offset(&mut self, ticks: u32) {
        self.timestamp_offset = ticks;
    }

    /// The sequence number the next packet will have.
    #[must_use]
    pub const fn next_sequence(&self) -> u16 {
        self.next_sequence
    }

    /// The RTP timestamp of a unit presented at `pts` ticks of the track's clock.
    #[must_use]
    pub fn timestamp(&self, pts: i64) -> u32 {
        let ticks = if self.track_rate == self.rtp_rate {
            i128::from(pts)
        } else {
            let scaled = i128::from(pts) * i128::from(self.rtp_rate);
            // Rounded to the nearest, so that a conversion back gives the same ticks.
            (scaled + i128::from(self.track_rate / 2)).div_euclid(i128::from(self.track_rate))
        };
        (ticks as u32).wrapping_add(self.timestamp_offset)
    }

    /// Gives the packets of `unit` to `out`, each as it goes on the wire.
    ///
    /// # Errors
    /// [`PacketizerError`] if the unit's bytes are not what its codec's
    /// [form](crate::Codec) says, or RTP can't carry them. Nothing was then given out.
    pub fn packetize(
        &mut self,
        unit: &Unit,
        mut out: impl FnMut(Bytes),
    ) -> Result<(), PacketizerError> {
        let timestamp = self.timestamp(unit.pts);
        let data = &unit.data;
        // One allocation for all packets of the unit; each takes a share of it.
        let packets = data.len() / (self.room - payload::OVERHEAD_MAX) + 1;
        let spare = packets * (Packet::HEADER_LEN + payload::OVERHEAD_MAX) + payload::HEAD_MAX;
        let mut buffer = BytesMut::with_capacity(data.len() + spare);
        let mut ready = Vec::with_capacity(packets);
        let first_sequence = self.next_sequence;
        let mut sequence = first_sequence;
        let mut payload_bytes = 0;
        self.splitter
            .split(data, self.room, &mut |chunk: Chunk<'_>| {
                let header = Packet {
                    payload_type: self.payload_type,
                    marker: chunk.marker,
                    sequence,
                    timestamp: timestamp.wrapping_add(chunk.ticks),
                    ssrc: self.ssrc,
                    payload: Bytes::new(),
                };
                header.emit_header(&mut buffer);
                chunk.parts.iter().for_each(|part| buffer.put_slice(part));
                let packet = buffer.split().freeze();
                payload_bytes += packet.len() - Packet::HEADER_LEN;
                sequence = sequence.wrapping_add(1);
                ready.push(packet);
            })
            .map_err(|why| PacketizerError { len: data.len(), why })?;
        self.next_sequence = sequence;
        self.packets = self.packets.wrapping_add(ready.len() as u32);
        self.payload_bytes = self.payload_bytes.wrapping_add(payload_bytes as u32);
        ready.into_iter().for_each(&mut out);
        Ok(())
    }

    /// A sender report that says: `pts` was captured at `time`.
    #[must_use]
    pub fn sender_report(&self, time: Time, pts: i64) -> SenderReport {
        SenderReport {
            ssrc: self.ssrc,
            ntp: NtpTime::from_time(time),
            rtp_timestamp: self.timestamp(pts),
            packets: self.packets,
            payload_bytes: self.payload_bytes,
            blocks: Vec::new(),
        }
    }
}
