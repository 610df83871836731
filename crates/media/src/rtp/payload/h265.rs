//! H.265 (RFC 7798): single NAL units, aggregation packets and fragmentation units, in decode order.

use bytes::Bytes;

use super::h26x::{self, Assembly, NalCodec, NalKind};
use super::{Chunk, Collector, Payload, PayloadError, Splitter};
use crate::codec::h265::{self, ParameterSets};
use crate::codec::nal;
use crate::rtp::Packet;
use crate::{Codec, Track};

const AGGREGATION: u8 = 48;
const FRAGMENTATION: u8 = 49;
const PACI: u8 = 50;

impl NalCodec for ParameterSets {
    fn kind(nal: &[u8]) -> NalKind {
        match h265::nal_type(nal) {
            kind @ 0..32 => {
                NalKind::Slice { first_of_key: h265::is_irap(kind) && h265::is_first_slice(nal) }
            }
            h265::VPS => NalKind::ParameterSet { first: true },
            h265::SPS | h265::PPS => NalKind::ParameterSet { first: false },
            h265::AUD | h265::PREFIX_SEI => NalKind::Prefix,
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

#[derive(Debug)]
pub(super) struct Receiver(Assembly<ParameterSets>);

impl Receiver {
    pub(super) fn new(track: &Track) -> Self {
        let sets = ParameterSets::parse(&track.config).unwrap_or_default();
        Self(Assembly::new(track, sets))
    }

    fn take(&mut self, payload: &[u8], out: &mut Collector) -> Result<(), &'static str> {
        if payload.is_empty() {
            return Ok(());
        }
        if payload.len() < 2 {
            return Err("its NAL unit header is cut short");
        }
        match h265::nal_type(payload) {
            0..AGGREGATION => self.0.nal(payload, out),
            AGGREGATION => {
                let mut rest = &payload[2..];
                while let Some((len, tail)) = rest.split_first_chunk::<2>() {
                    let len = usize::from(u16::from_be_bytes(*len));
                    let (nal, tail) = tail
                        .split_at_checked(len)
                        .ok_or("a NAL unit of its aggregation is cut short")?;
                    self.0.nal(nal, out)?;
                    rest = tail;
                }
                Ok(())
            }
            FRAGMENTATION => self.fragment(payload, out),
            PACI => Err("it carries PACI extensions, which nothing announced"),
            _ => Err("its NAL unit type is not defined"),
        }
    }

    /// A fragment of a NAL unit (RFC 7798 section 4.4.3).
    fn fragment(&mut self, payload: &[u8], out: &mut Collector) -> Result<(), &'static str> {
        let [first, second, header, body @ ..] = payload else {
            return Err("its fragmentation unit is cut short");
        };
        if header & START != 0 {
            self.0.begin(&[first & 0x81 | (header & 0x3f) << 1, *second], body, out)?;
        } else if !self.0.extend(body, out)? {
            return Err("it goes on with a NAL unit that never began");
        }
        if header & END != 0 {
            self.0.close();
        }
        Ok(())
    }
}

const START: u8 = 0x80;
const END: u8 = 0x40;

impl Payload for Receiver {
    fn push(&mut self, packet: &Packet, out: &mut Collector) -> Result<(), PayloadError> {
        let sequence = packet.sequence;
        self.take(&packet.payload, out).map_err(|why| PayloadError {
            codec: Codec::H265,
            sequence,
            why,
        })
    }

    fn mark(&mut self, out: &mut Collector) {
        self.0.finish(out);
    }

    fn end(&mut self, out: &mut Collector) {
        self.0.finish(out);
    }

    fn lose(&mut self) -> bool {
        self.0.lose()
    }
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
        let runs = h26x::runs(&nals, room, 2);
        for (i, run) in runs.iter().enumerate() {
            let last = i + 1 == runs.len();
            match run {
                [nal] if nal.len() > room => fragments(nal, room, last, out),
                [nal] => out(Chunk { parts: &[nal], marker: last, ticks: 0 }),
                _ => aggregate(run, last, out),
            }
        }
        Ok(())
    }
}

fn fragments(nal: &[u8], room: usize, last: bool, out: &mut dyn FnMut(Chunk<'_>)) {
    let kind = h265::nal_type(nal);
    let count = (nal.len() - 2).div_ceil(room - 3);
    for (i, part) in nal[2..].chunks(room - 3).enumerate() {
        let start = if i == 0 { START } else { 0 };
        let end = if i + 1 == count { END } else { 0 };
        let head = [nal[0] & 0x81 | FRAGMENTATION << 1, nal[1], start | end | kind];
        out(Chunk { parts: &[&head, part], marker: last && end != 0, ticks: 0 });
    }
}

fn aggregate(run: &[Bytes], last: bool, out: &mut dyn FnMut(Chunk<'_>)) {
    // Layer and temporal ids are the lowest of all aggregated (RFC 7798 section 4.4.2).
    let layer = run.iter().map(|nal| (nal[0] & 1) << 5 | nal[1] >> 3).min().unwrap_or(0);
    let temporal = run.iter().map(|nal| nal[1] & 7).min().unwrap_or(1);
    let head = [AGGREGATION << 1 | layer >> 5, layer << 3 | temporal];
    let lens: Vec<[u8; 2]> = run.iter().map(|nal| (nal.len() as u16).to_be_bytes()).collect();
    let mut parts: Vec<&[u8]> = vec![&head];
    for (len, nal) in lens.iter().zip(run) {
        parts.extend([&len[..], &nal[..]]);
    }
    out(Chunk { parts: &parts, marker: last, ticks: 0 });
}
