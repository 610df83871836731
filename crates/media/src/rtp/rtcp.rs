//! RTCP (RFC 3550 section 6): sender reports in for capture times, receiver reports out, goodbyes.

use bytes::{BufMut, Bytes, BytesMut};
use pegasus_base::Time;

/// A time as NTP writes it: seconds since 1900 in the upper 32 bits, their fraction in the lower.
///
/// The era is taken so that the time falls between 1968 and 2104.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NtpTime(pub u64);

/// Seconds from 1900 to 1970.
const NTP_TO_UNIX_S: i64 = 2_208_988_800;

impl NtpTime {
    /// The instant in UTC.
    #[must_use]
    pub fn to_time(self) -> Time {
        let seconds = (self.0 >> 32) as i64;
        // Seconds below 2^31 are of the era that begins in 2036 (RFC 4330 section 3).
        let era_s = if seconds < 1 << 31 { 1 << 32 } else { 0 };
        let fraction_ns = ((self.0 & 0xffff_ffff) * 1_000_000_000 + (1 << 31)) >> 32;
        Time::from_secs(seconds + era_s - NTP_TO_UNIX_S).offset_ns(fraction_ns as i64)
    }

    /// The NTP form of `time`.
    #[must_use]
    pub fn from_time(time: Time) -> Self {
        let ns = time.as_ns();
        let seconds = (ns.div_euclid(1_000_000_000) + NTP_TO_UNIX_S) as u64 & 0xffff_ffff;
        let fraction = ((ns.rem_euclid(1_000_000_000) as u64) << 32) / 1_000_000_000;
        Self(seconds << 32 | fraction)
    }

    /// The middle 32 bits, as receiver reports carry them.
    #[must_use]
    pub const fn middle(self) -> u32 {
        (self.0 >> 16) as u32
    }
}

/// What a sender says about its own clock: at `ntp` its RTP clock stood at `rtp_timestamp`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SenderReport {
    /// Who sends.
    pub ssrc: u32,
    /// The sender's wall clock. May be anything if the sender has none; zero means it says so.
    pub ntp: NtpTime,
    /// The same instant on the RTP clock.
    pub rtp_timestamp: u32,
    /// Packets sent so far, wraps.
    pub packets: u32,
    /// Payload bytes sent so far, wraps.
    pub payload_bytes: u32,
    /// What it in turn receives.
    pub blocks: Vec<ReportBlock>,
}

/// What a receiver says about one sender (RFC 3550 section 6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ReportBlock {
    /// The sender reported on.
    pub ssrc: u32,
    /// Share of packets lost since the last report, in 256ths.
    pub fraction_lost: u8,
    /// Packets lost in all; fits 24 bits, saturates.
    pub lost: i32,
    /// Highest sequence number received, with the number of wraps above it.
    pub highest_sequence: u32,
    /// Interarrival jitter in ticks.
    pub jitter_ticks: u32,
    /// Middle bits of the last sender report's time, 0 if none came yet.
    pub last_report: u32,
    /// Since then, in 1/65536 seconds.
    pub delay_since_65536: u32,
}

/// One packet of a compound RTCP packet.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rtcp {
    /// From a sender.
    Sender(SenderReport),
    /// From a receiver.
    Receiver {
        /// Who reports.
        ssrc: u32,
        /// On whom.
        blocks: Vec<ReportBlock>,
    },
    /// Who it is; emitted because every compound must carry a name.
    Name {
        /// Who.
        ssrc: u32,
        /// The canonical name, such as `user@host`.
        cname: String,
    },
    /// These senders leave.
    Bye(Vec<u32>),
    /// A receiver asks for a key unit (RFC 4585 PLI, RFC 5104 FIR).
    KeyUnitWanted {
        /// Of which sender.
        media_ssrc: u32,
    },
    /// Anything else, skipped.
    Other {
        /// Its packet type.
        packet_type: u8,
    },
}

/// Why bytes are not RTCP. The peer that sent them is at fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RtcpError {
    /// A packet reaches beyond the end of the datagram.
    #[error("RTCP packet type {packet_type} at byte {offset} is cut short")]
    Short {
        /// Type of the packet, 0 if not even that is there.
        packet_type: u8,
        /// Where it begins in the compound.
        offset: usize,
    },
    /// The version field is not 2.
    #[error("RTCP version {version} instead of 2 at byte {offset}")]
    Version {
        /// What it says.
        version: u8,
        /// Where.
        offset: usize,
    },
}

impl Rtcp {
    /// Reads a compound packet.
    ///
    /// # Errors
    /// [`RtcpError`] if the bytes are no RTCP or cut short; nothing of the compound is then used.
    pub fn parse_compound(bytes: &[u8]) -> Result<Vec<Self>, RtcpError> {
        let mut packets = Vec::new();
        let mut offset = 0;
        while offset < bytes.len() {
            let rest = &bytes[offset..];
            let packet_type = rest.get(1).copied().unwrap_or(0);
            let short = RtcpError::Short { packet_type, offset };
            if rest.len() < 4 {
                return Err(short);
            }
            if rest[0] >> 6 != 2 {
                return Err(RtcpError::Version { version: rest[0] >> 6, offset });
            }
            let len = 4 * (usize::from(u16::from_be_bytes([rest[2], rest[3]])) + 1);
            let body = rest.get(4..len).ok_or(short.clone())?;
            packets.push(parse_one(packet_type, rest[0] & 0x1f, body).ok_or(short)?);
            offset += len;
        }
        Ok(packets)
    }

    /// The compound of `packets` as it goes on the wire.
    ///
    /// # Panics
    /// If a report has more than 31 blocks, a goodbye more than 31 senders, or a name more than 255
    /// bytes: the format has no room for more.
    #[must_use]
    pub fn emit_compound(packets: &[Self]) -> Bytes {
        let mut out = BytesMut::with_capacity(64 * packets.len());
        for packet in packets {
            emit_one(packet, &mut out);
        }
        out.freeze()
    }
}

fn word(body: &[u8], index: usize) -> Option<u32> {
    let bytes = body.get(4 * index..4 * index + 4)?;
    Some(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}

/// Reads the packet behind its 4-byte header; `None` if it is shorter than its counts say.
fn parse_one(packet_type: u8, count: u8, body: &[u8]) -> Option<Rtcp> {
    Some(match (packet_type, count) {
        (SENDER_REPORT, count) => Rtcp::Sender(SenderReport {
            ssrc: word(body, 0)?,
            ntp: NtpTime(u64::from(word(body, 1)?) << 32 | u64::from(word(body, 2)?)),
            rtp_timestamp: word(body, 3)?,
            packets: word(body, 4)?,
            payload_bytes: word(body, 5)?,
            blocks: parse_blocks(count, body, 6)?,
        }),
        (RECEIVER_REPORT, count) => {
            Rtcp::Receiver { ssrc: word(body, 0)?, blocks: parse_blocks(count, body, 1)? }
        }
        (SOURCE_DESCRIPTION, count) if count > 0 => {
            parse_name(body).unwrap_or(Rtcp::Other { packet_type })
        }
        (BYE, count) => {
            Rtcp::Bye((0..usize::from(count)).map(|i| word(body, i)).collect::<Option<_>>()?)
        }
        (PAYLOAD_FEEDBACK, PLI) => Rtcp::KeyUnitWanted { media_ssrc: word(body, 1)? },
        // FIR names the sender in its own entry; the common field is 0 (RFC 5104 section 4.3.1).
        (PAYLOAD_FEEDBACK, FIR) => Rtcp::KeyUnitWanted { media_ssrc: word(body, 2)? },
        _ => Rtcp::Other { packet_type },
    })
}

fn parse_blocks(count: u8, body: &[u8], first: usize) -> Option<Vec<ReportBlock>> {
    (0..usize::from(count))
        .map(|block| {
            let at = first + 6 * block;
            let losses = word(body, at + 1)?;
            Some(ReportBlock {
                ssrc: word(body, at)?,
                fraction_lost: (losses >> 24) as u8,
                lost: (losses << 8) as i32 >> 8,
                highest_sequence: word(body, at + 2)?,
                jitter_ticks: word(body, at + 3)?,
                last_report: word(body, at + 4)?,
                delay_since_65536: word(body, at + 5)?,
            })
        })
        .collect()
}

/// The canonical name in the first chunk of a source description, if it comes first.
fn parse_name(body: &[u8]) -> Option<Rtcp> {
    let ssrc = word(body, 0)?;
    let (&kind, &len) = (body.get(4)?, body.get(5)?);
    let text = body.get(6..6 + usize::from(len))?;
    (kind == CNAME).then(|| Rtcp::Name { ssrc, cname: String::from_utf8_lossy(text).into_owned() })
}

fn emit_one(packet: &Rtcp, out: &mut BytesMut) {
    let start = out.len();
    let (count, packet_type) = match packet {
        Rtcp::Sender(report) => (report.blocks.len(), SENDER_REPORT),
        Rtcp::Receiver { blocks, .. } => (blocks.len(), RECEIVER_REPORT),
        Rtcp::Name { .. } => (1, SOURCE_DESCRIPTION),
        Rtcp::Bye(senders) => (senders.len(), BYE),
        Rtcp::KeyUnitWanted { .. } => (usize::from(PLI), PAYLOAD_FEEDBACK),
        Rtcp::Other { packet_type } => (0, *packet_type),
    };
    assert!(count <= 31, "an RTCP packet holds at most 31 entries, not {count}");
    out.put_u8(0x80 | count as u8);
    out.put_u8(packet_type);
    out.put_u16(0); // the length, set below
    match packet {
        Rtcp::Sender(report) => emit_sender(report, out),
        Rtcp::Receiver { ssrc, blocks } => {
            out.put_u32(*ssrc);
            blocks.iter().for_each(|block| emit_block(block, out));
        }
        Rtcp::Name { ssrc, cname } => {
            let len = u8::try_from(cname.len()).expect("a canonical name has at most 255 bytes");
            out.put_u32(*ssrc);
            out.put_slice(&[CNAME, len]);
            out.put_slice(cname.as_bytes());
            out.put_u8(0); // at least one zero ends the list
            out.put_bytes(0, (4 - (out.len() - start) % 4) % 4);
        }
        Rtcp::Bye(senders) => senders.iter().for_each(|ssrc| out.put_u32(*ssrc)),
        Rtcp::KeyUnitWanted { media_ssrc } => {
            out.put_u32(0);
            out.put_u32(*media_ssrc);
        }
        Rtcp::Other { .. } => {}
    }
    let words = ((out.len() - start) / 4 - 1) as u16;
    out[start + 2..start + 4].copy_from_slice(&words.to_be_bytes());
}

fn emit_sender(report: &SenderReport, out: &mut BytesMut) {
    out.put_u32(report.ssrc);
    out.put_u64(report.ntp.0);
    out.put_u32(report.rtp_timestamp);
    out.put_u32(report.packets);
    out.put_u32(report.payload_bytes);
    report.blocks.iter().for_each(|block| emit_block(block, out));
}

fn emit_block(block: &ReportBlock, out: &mut BytesMut) {
    let lost = block.lost.clamp(-0x80_0000, 0x7f_ffff) as u32 & 0xff_ffff;
    out.put_u32(block.ssrc);
    out.put_u32(u32::from(block.fraction_lost) << 24 | lost);
    out.put_u32(block.highest_sequence);
    out.put_u32(block.jitter_ticks);
    out.put_u32(block.last_report);
    out.put_u32(block.delay_since_65536);
}

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const SOURCE_DESCRIPTION: u8 = 202;
const BYE: u8 = 203;
const PAYLOAD_FEEDBACK: u8 = 206;
const CNAME: u8 = 1;
const PLI: u8 = 1;
const FIR: u8 = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ntp_crosses_into_its_second_era() {
        for text in ["1970-01-01T00:00:00Z", "2026-11-20T03:12:07.25Z", "2040-01-01T00:00:00.5Z"] {
            let time: Time = text.parse().unwrap();
            assert_eq!(NtpTime::from_time(time).to_time(), time, "{text}");
        }
    }

    #[test]
    fn a_short_report_names_its_place() {
        let mut bytes = Rtcp::emit_compound(&[Rtcp::Bye(vec![1])]).to_vec();
        bytes.extend([0x81, RECEIVER_REPORT, 0, 1, 0, 0, 0, 9]); // one block promised, none there
        let error = Rtcp::parse_compound(&bytes).unwrap_err();
        assert_eq!(error, RtcpError::Short { packet_type: RECEIVER_REPORT, offset: 8 });
    }

    fn block() -> impl Strategy<Value = ReportBlock> {
        (any::<u32>(), any::<u8>(), -0x80_0000..0x80_0000i32, any::<[u32; 4]>()).prop_map(
            |(ssrc, fraction_lost, lost, [a, b, c, d])| ReportBlock {
                ssrc,
                fraction_lost,
                lost,
                highest_sequence: a,
                jitter_ticks: b,
                last_report: c,
                delay_since_65536: d,
            },
        )
    }

    fn packet() -> impl Strategy<Value = Rtcp> {
        let blocks = || proptest::collection::vec(block(), 0..4);
        prop_oneof![
            (any::<[u32; 4]>(), any::<u64>(), blocks()).prop_map(|([a, b, c, d], ntp, blocks)| {
                Rtcp::Sender(SenderReport {
                    ssrc: a,
                    ntp: NtpTime(ntp),
                    rtp_timestamp: b,
                    packets: c,
                    payload_bytes: d,
                    blocks,
                })
            }),
            (any::<u32>(), blocks()).prop_map(|(ssrc, blocks)| Rtcp::Receiver { ssrc, blocks }),
            (any::<u32>(), "[a-z@.]{0,40}").prop_map(|(ssrc, cname)| Rtcp::Name { ssrc, cname }),
            proptest::collection::vec(any::<u32>(), 0..31).prop_map(Rtcp::Bye),
            any::<u32>().prop_map(|media_ssrc| Rtcp::KeyUnitWanted { media_ssrc }),
        ]
    }

    proptest! {
        #[test]
        fn compounds_round_trip(packets in proptest::collection::vec(packet(), 0..5)) {
            prop_assert_eq!(Rtcp::parse_compound(&Rtcp::emit_compound(&packets)), Ok(packets));
        }

        #[test]
        fn any_bytes_parse_or_say_where(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _ = Rtcp::parse_compound(&bytes);
        }
    }
}
