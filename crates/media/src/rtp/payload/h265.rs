//! H.265 (RFC 7798): single NAL units, aggregation packets and fragmentation units, in decode order.

use bytes::Bytes;

use super::h26x::{self, Assembly, NalCodec, NalKind};
use super::{Chunk, Collector, Splitter};
use crate::Track;
use crate::codec::h265::{self, ParameterSets};
use crate::codec::nal;

const AGGREGATION: u8 = 48;
const FRAGMENTATION: u8 = 49;
const PACI: u8 = 50;

impl NalCodec for ParameterSets {
    fn take(
        assembly: &mut Assembly<Self>,
        payload: &[u8],
        out: &mut Collector,
    ) -> Result<(), &'static str> {
        if payload.is_empty() {
            return Ok(());
        }
        if payload.len() < 2 {
            return Err("its NAL unit header is cut short");
        }
        match h265::nal_type(payload) {
            0..AGGREGATION => assembly.nal(payload, out),
            AGGREGATION => assembly.aggregate(&payload[2..], out),
            FRAGMENTATION => {
                // RFC 7798 section 4.4.3
                let [first, second, flags, body @ ..] = payload else {
                    return Err("its fragmentation unit is cut short");
                };
                let head = [first & 0x81 | (flags & 0x3f) << 1, *second];
                assembly.fragment(&head, *flags, body, out)
            }
            PACI => Err("it carries PACI extensions, which nothing announced"),
            _ => Err("its NAL unit type is not defined"),
        }
    }

    fn kind(nal: &[u8]) -> NalKind {
        match h265::nal_type(nal) {
            0..32 => NalKind::Slice { first: h265::is_first_slice(nal) },
            h265::VPS => NalKind::ParameterSet { first: true },
            h265::SPS | h265::PPS => NalKind::ParameterSet { first: false },
            h265::AUD => NalKind::Delimiter,
            _ => NalKind::Other,
        }
    }

    fn is_key(data: &Bytes) -> bool {
        h265::is_key(data)
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
        if !nal::is_whole(data) || nal::units(data).any(|nal| nal.len() < 2) {
            return Err("it is not H.265 NAL units behind 4-byte lengths");
        }
        let nals: Vec<Bytes> = nal::units(data).collect();
        h26x::split(&nals, room, fragment_head, aggregate_head, out);
        Ok(())
    }
}

/// Payload header and FU header (RFC 7798 section 4.4.3).
fn fragment_head(nal: &[u8], flags: u8) -> [u8; 3] {
    [nal[0] & 0x81 | FRAGMENTATION << 1, nal[1], flags | h265::nal_type(nal)]
}

/// Layer and temporal ids are the lowest of all aggregated (RFC 7798 section 4.4.2).
fn aggregate_head(run: &[Bytes]) -> [u8; 2] {
    let layer = run.iter().map(|nal| (nal[0] & 1) << 5 | nal[1] >> 3).min().unwrap_or(0);
    let temporal = run.iter().map(|nal| nal[1] & 7).min().unwrap_or(1);
    [AGGREGATION << 1 | layer >> 5, layer << 3 | temporal]
}
