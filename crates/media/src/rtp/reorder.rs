//! Puts packets that UDP shuffled back in order.

use std::collections::BTreeMap;
use std::time::Duration;

use pegasus_base::Time;

use crate::rtp::Packet;

/// Holds packets back until those before them have come, or for so long that they won't.
///
/// Push what arrives; after each push, and when [`deadline`](Self::deadline) has passed, poll until
/// there is nothing. A packet in sequence comes out at once. What never comes shows as a gap in the
/// sequence, which [`Depacketizer`](crate::rtp::Depacketizer) sees.
#[derive(Debug)]
pub struct ReorderBuffer {
    /// By place: the sequence number counted without wrapping, across restarts of the sender.
    held: BTreeMap<i64, (Packet, Time)>,
    sender: Option<Sender>,
    wait: Duration,
    packets_max: usize,
}

#[derive(Clone, Copy, Debug)]
struct Sender {
    ssrc: u32,
    /// Sequence number and place of one and the same packet.
    sequence: u16,
    place: i64,
    /// Place of the packet that is to come out next.
    next: i64,
}

impl ReorderBuffer {
    /// Holds at most `packets_max` packets (at least 1), none longer than `wait` after it arrived.
    #[must_use]
    pub fn new(packets_max: usize, wait: Duration) -> Self {
        Self { held: BTreeMap::new(), sender: None, wait, packets_max: packets_max.max(1) }
    }

    /// Takes a packet that arrived at `now`. Late and repeated ones are dropped.
    pub fn push(&mut self, packet: Packet, now: Time) {
        let known = self.sender.filter(|sender| {
            let step = packet.sequence.wrapping_sub(sender.next as u16).wrapping_sub(sender.skew());
            sender.ssrc == packet.ssrc && i32::from(step as i16).abs() <= JUMP_MIN
        });
        let sender = known.unwrap_or_else(|| self.restart(&packet));
        let step = packet.sequence.wrapping_sub(sender.sequence) as i16;
        let place = sender.place + i64::from(step);
        if place >= sender.next {
            self.held.entry(place).or_insert((packet, now));
        }
    }

    /// The next packet in order, with the time it arrived, if it need not be waited for any more.
    pub fn poll(&mut self, now: Time) -> Option<(Packet, Time)> {
        let sender = self.sender.as_mut()?;
        let (&place, (_, arrival)) = self.held.first_key_value()?;
        let full = self.held.len() > self.packets_max;
        if place != sender.next && !full && now < *arrival + self.wait {
            return None;
        }
        sender.next = place + 1;
        let (packet, arrival) = self.held.pop_first().map(|(_, held)| held)?;
        if packet.ssrc == sender.ssrc {
            (sender.sequence, sender.place) = (packet.sequence, place);
        }
        Some((packet, arrival))
    }

    /// When to poll again if nothing arrives before.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        self.held.first_key_value().map(|(_, (_, arrival))| *arrival + self.wait)
    }

    /// `packet` begins a new sequence, behind all that is still held of the old one.
    fn restart(&mut self, packet: &Packet) -> Sender {
        let end = self.held.last_key_value().map(|(place, _)| place + 1);
        let place = end.or(self.sender.map(|sender| sender.next)).unwrap_or(0);
        let next = self.held.first_key_value().map_or(place, |(place, _)| *place);
        let sender = Sender { ssrc: packet.ssrc, sequence: packet.sequence, place, next };
        self.sender = Some(sender);
        sender
    }
}

impl Sender {
    /// What turns a place into a sequence number, modulo 2^16.
    fn skew(&self) -> u16 {
        self.sequence.wrapping_sub(self.place as u16)
    }
}

/// A step of the sequence numbers beyond this is a sender that began anew, not loss or reordering.
const JUMP_MIN: i32 = 3_000;

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use proptest::prelude::*;

    fn packet(ssrc: u32, sequence: u16) -> Packet {
        let payload = Bytes::new();
        Packet { payload_type: 96, marker: false, sequence, timestamp: 0, ssrc, payload }
    }

    fn drain(buffer: &mut ReorderBuffer, now: Time) -> Vec<u16> {
        std::iter::from_fn(|| buffer.poll(now)).map(|(packet, _)| packet.sequence).collect()
    }

    const WAIT: Duration = Duration::from_millis(50);

    #[test]
    fn what_is_missing_is_waited_for_so_long() {
        let mut buffer = ReorderBuffer::new(16, WAIT);
        let start = Time::from_secs(100);
        for sequence in [0xfffe, 0xffff, 1, 2] {
            buffer.push(packet(1, sequence), start);
        }
        assert_eq!(drain(&mut buffer, start), [0xfffe, 0xffff]);
        assert_eq!(buffer.deadline(), Some(start + WAIT));
        assert_eq!(drain(&mut buffer, start + WAIT), [1, 2]);
        buffer.push(packet(1, 0), start + WAIT);
        assert_eq!(drain(&mut buffer, start + WAIT * 2), [], "too late");
    }

    #[test]
    fn a_full_buffer_gives_up_waiting() {
        let mut buffer = ReorderBuffer::new(2, WAIT);
        let now = Time::from_secs(100);
        for sequence in [10, 12, 13] {
            buffer.push(packet(1, sequence), now);
        }
        assert_eq!(drain(&mut buffer, now), [10]);
        buffer.push(packet(1, 14), now);
        assert_eq!(drain(&mut buffer, now), [12, 13, 14]);
    }

    #[test]
    fn a_sender_that_begins_anew_follows_the_old_one() {
        let mut buffer = ReorderBuffer::new(16, WAIT);
        let now = Time::from_secs(100);
        for (ssrc, sequence) in [(1, 10), (1, 12), (2, 40_000), (2, 40_001), (2, 7), (2, 8)] {
            buffer.push(packet(ssrc, sequence), now);
        }
        assert_eq!(drain(&mut buffer, now + WAIT), [10, 12, 40_000, 40_001, 7, 8]);
    }

    proptest! {
        /// Packets shuffled by less than the buffer holds come out in order, each once.
        #[test]
        fn shuffled_packets_come_out_in_order(
            start: u16, keys in proptest::collection::vec((0usize..8, 1u8..3), 1..200),
        ) {
            let mut order: Vec<(usize, u16)> = Vec::new();
            for (i, (delay, copies)) in keys.iter().enumerate() {
                // The first packet is where the receiver begins, so it stays the first.
                let at = if i == 0 { 0 } else { i + delay };
                (0..*copies).for_each(|_| order.push((at, start.wrapping_add(i as u16))));
            }
            order.sort_by_key(|(at, _)| *at);
            let mut buffer = ReorderBuffer::new(64, WAIT);
            let now = Time::from_secs(100);
            let mut out = Vec::new();
            for (_, sequence) in order {
                buffer.push(packet(1, sequence), now);
                out.extend(drain(&mut buffer, now));
            }
            let truth: Vec<u16> = (0..keys.len()).map(|i| start.wrapping_add(i as u16)).collect();
            prop_assert_eq!(out, truth);
        }

        #[test]
        fn any_sequence_is_bounded(packets in proptest::collection::vec((0u32..2, any::<u16>()), 0..400)) {
            let mut buffer = ReorderBuffer::new(32, WAIT);
            let now = Time::from_secs(100);
            for (ssrc, sequence) in packets {
                buffer.push(packet(ssrc, sequence), now);
                drain(&mut buffer, now);
                prop_assert!(buffer.held.len() <= 33);
            }
        }
    }
}
