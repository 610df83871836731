//! The figures a receiver reports back (RFC 3550 sections 6.4.1 and A.8).

use std::time::Duration;

use pegasus_base::Time;

use crate::rtp::{NtpTime, Packet, ReportBlock};

/// Counts what arrives of one sender, for its receiver report.
#[derive(Clone, Debug)]
pub struct Reception {
    rtp_rate: u32,
    sender: Option<Sender>,
    last_report: Option<(NtpTime, Time)>,
}

#[derive(Clone, Debug)]
struct Sender {
    ssrc: u32,
    first: i64,
    highest: i64,
    received: i64,
    /// Expected and received at the last report.
    reported: (i64, i64),
    /// Transit time of the last packet in ticks, from an arbitrary origin.
    transit: i64,
    /// Jitter in sixteenths of a tick.
    jitter_16: i64,
}

impl Reception {
    /// Counts for a track whose RTP clock has `rtp_rate` ticks per second.
    #[must_use]
    pub fn new(rtp_rate: u32) -> Self {
        Self { rtp_rate, sender: None, last_report: None }
    }

    /// Takes note of a packet that arrived at `now`. A new SSRC starts anew.
    pub fn received(&mut self, packet: &Packet, now: Time) {
        let arrival = i128::from(now.as_ns()) * i128::from(self.rtp_rate) / 1_000_000_000;
        let transit = i64::from((arrival as u32).wrapping_sub(packet.timestamp) as i32);
        let sender = self.sender.get_or_insert_with(|| Sender::new(packet, transit));
        if sender.ssrc != packet.ssrc {
            *sender = Sender::new(packet, transit);
            self.last_report = None;
        }
        let step = i64::from(packet.sequence.wrapping_sub(sender.highest as u16) as i16);
        sender.highest = sender.highest.max(sender.highest + step);
        sender.received += 1;
        // RFC 3550 section A.8: J += (|D| - J) / 16. D is taken modulo 2^32 like the timestamps.
        let change = i64::from((transit as u32).wrapping_sub(sender.transit as u32) as i32).abs();
        sender.transit = transit;
        sender.jitter_16 += change - ((sender.jitter_16 + 8) >> 4);
    }

    /// Takes note of a sender report that arrived at `now`.
    pub fn sender_report(&mut self, ntp: NtpTime, now: Time) {
        self.last_report = Some((ntp, now));
    }

    /// The block to report at `now`; `None` before the first packet.
    pub fn report(&mut self, now: Time) -> Option<ReportBlock> {
        let sender = self.sender.as_mut()?;
        let expected = sender.highest - sender.first + 1;
        let lost = expected - sender.received;
        let expected_now = expected - sender.reported.0;
        let lost_now = expected_now - (sender.received - sender.reported.1);
        sender.reported = (expected, sender.received);
        let fraction_lost =
            if expected_now <= 0 { 0 } else { (lost_now.max(0) * 256 / expected_now).min(255) };
        let since = self.last_report.map_or(Duration::ZERO, |(_, at)| now.since(at));
        Some(ReportBlock {
            ssrc: sender.ssrc,
            fraction_lost: fraction_lost as u8,
            lost: lost.clamp(-0x80_0000, 0x7f_ffff) as i32,
            highest_sequence: sender.highest as u32,
            jitter_ticks: (sender.jitter_16 >> 4) as u32,
            last_report: self.last_report.map_or(0, |(ntp, _)| ntp.middle()),
            delay_since_65536: u32::try_from(since.as_nanos() * 65_536 / 1_000_000_000)
                .unwrap_or(u32::MAX),
        })
    }
}

impl Sender {
    fn new(packet: &Packet, transit: i64) -> Self {
        let first = i64::from(packet.sequence);
        let ssrc = packet.ssrc;
        Self { ssrc, first, highest: first, received: 0, reported: (0, 0), transit, jitter_16: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn packet(sequence: u16, timestamp: u32) -> Packet {
        let payload = Bytes::new();
        Packet { payload_type: 96, marker: false, sequence, timestamp, ssrc: 5, payload }
    }

    #[test]
    fn losses_and_delays_are_counted() {
        let mut reception = Reception::new(90_000);
        let start = Time::from_secs(1_000);
        assert_eq!(reception.report(start), None);
        for i in (0..100u32).filter(|i| i % 4 != 3 || *i == 99) {
            let at = start + Duration::from_millis(u64::from(i) * 10);
            reception.received(&packet(0xfff0_u16.wrapping_add(i as u16), i * 900), at);
        }
        let now = start + Duration::from_secs(2);
        reception.sender_report(NtpTime(0x1234_5678_9abc_def0), start + Duration::from_secs(1));
        let block = reception.report(now).unwrap();
        assert_eq!(block.lost, 24);
        assert_eq!(block.fraction_lost, (24 * 256 / 100) as u8);
        assert_eq!(block.highest_sequence, 0xfff0 + 99);
        assert_eq!(block.jitter_ticks, 0);
        assert_eq!(block.last_report, 0x5678_9abc);
        assert_eq!(block.delay_since_65536, 65_536);
        assert_eq!(reception.report(now).unwrap().fraction_lost, 0, "nothing since");
    }

    #[test]
    fn jitter_is_the_smoothed_change_of_delay() {
        let mut reception = Reception::new(1_000);
        for i in 0..1_000u32 {
            let late_ms = if i % 2 == 0 { 0 } else { 16 };
            let at = Time::from_ms(1_000_000 + i64::from(i) * 20 + late_ms);
            reception.received(&packet(i as u16, i * 20), at);
        }
        let jitter = reception.report(Time::from_secs(1_020)).unwrap().jitter_ticks;
        assert!((15..=16).contains(&jitter), "{jitter}");
    }
}
