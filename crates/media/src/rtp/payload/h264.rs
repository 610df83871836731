//! H.264 (RFC 6184), packetization modes 0 and 1: single NAL units, STAP-A and FU-A.

use bytes::Bytes;

use super::h26x::{self, Assembly, NalCodec, NalKind};
use super::{Chunk, Collector, Splitter};
use crate::Track;
use crate::codec::h264::{self, ParameterSets};
use crate::codec::nal;

const STAP_A: u8 = 24;
const FU_A: u8 = 28;

impl NalCodec for ParameterSets {
    fn take(
        assembly: &mut Assembly<Self>,
        payload: &[u8],
        out: &mut Collector,
    ) -> Result<(), &'static str> {
        match h264::nal_type(payload) {
            1..=23 => assembly.nal(payload, out),
            STAP_A => assembly.aggregate(&payload[1..], out),
            FU_A => {
                // RFC 6184 section 5.8
                let [indicator, flags, body @ ..] = payload else {
                    return Err("its FU-A is cut short");
                };
                assembly.fragment(&[indicator & 0xe0 | flags & 0x1f], *flags, body, out)
            }
            25..=27 | 29 => Err("it is of the interleaved mode, which nothing announced"),
            _ if payload.is_empty() => Ok(()),
            _ => Err("its NAL unit type is not defined"),
        }
    }

    fn kind(nal: &[u8]) -> NalKind {
        match h264::nal_type(nal) {
            1 | 2 | h264::IDR => NalKind::Slice { first: h264::is_first_slice(nal) },
            3 | 4 => NalKind::Slice { first: false },
            h264::SPS => NalKind::ParameterSet { first: true },
            h264::PPS => NalKind::ParameterSet { first: false },
            h264::AUD => NalKind::Delimiter,
            _ => NalKind::Other,
        }
    }

    fn is_key(data: &Bytes) -> bool {
        h264::is_key(data)
    }

    fn add(&mut self, nal: &Bytes) -> bool {
        Self::add(self, nal)
    }

    fn config(&self) -> Option<Bytes> {
        Self::config(self)
    }

    fn size(&self) -> Option<(u32, u32)> {
        Self::size(self)
    }
}

/// The receiving side of a track.
pub(super) fn receiver(track: &Track) -> Assembly<ParameterSets> {
    Assembly::new(track, ParameterSets::parse(&track.config).unwrap_or_default())
}

#[derive(Debug)]
pub(super) struct Sender;

impl Splitter for Sender {
    fn split(
        &mut self,
        data: &Bytes,
        room: usize,
        out: &mut dyn FnMut(Chunk<'_>),
    ) -> Result<(), &'static str> {
        if !nal::is_whole(data) {
            return Err("it is not NAL units behind 4-byte lengths");
        }
        let nals: Vec<Bytes> = nal::units(data).collect();
        h26x::split(&nals, room, fragment_head, aggregate_head, out);
        Ok(())
    }
}

/// FU indicator and FU header (RFC 6184 section 5.8).
fn fragment_head(nal: &[u8], flags: u8) -> [u8; 2] {
    [nal[0] & 0xe0 | FU_A, flags | nal[0] & 0x1f]
}

/// The aggregate is as important as its most important unit (RFC 6184 section 5.7.1).
fn aggregate_head(run: &[Bytes]) -> [u8; 1] {
    let importance = run.iter().map(|nal| nal[0] & 0x60).max().unwrap_or(0);
    [importance | STAP_A]
}
