//! H.264 (RFC 6184), packetization modes 0 and 1: single NAL units, STAP-A and FU-A.

use bytes::Bytes;

use super::h26x::{self, Assembly, NalCodec, NalKind};
use super::{Chunk, Collector, Payload, PayloadError, Splitter};
use crate::codec::h264::{self, ParameterSets};
use crate::codec::nal;
use crate::rtp::Packet;
use crate::{Codec, Track};

const STAP_A: u8 = 24;
const FU_A: u8 = 28;

#[derive(Debug)]
pub(super) struct Receiver(Assembly<ParameterSets>);

impl NalCodec for ParameterSets {
    fn kind(nal: &[u8]) -> NalKind {
        match h264::nal_type(nal) {
            h264::IDR => NalKind::Slice { first_of_key: h264::is_first_slice(nal) },
            1..=4 => NalKind::Slice { first_of_key: false },
            h264::SPS => NalKind::ParameterSet { first: true },
            h264::PPS => NalKind::ParameterSet { first: false },
            h264::AUD | h264::SEI => NalKind::Prefix,
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

impl Receiver {
    pub(super) fn new(track: &Track) -> Self {
        let sets = ParameterSets::parse(&track.config).unwrap_or_default();
        Self(Assembly::new(track, sets))
    }

    fn take(&mut self, payload: &[u8], out: &mut Collector) -> Result<(), &'static str> {
        match h264::nal_type(payload) {
            1..=23 => self.0.nal(payload, out),
            STAP_A => {
                let mut rest = &payload[1..];
                while let Some((len, tail)) = rest.split_first_chunk::<2>() {
                    let len = usize::from(u16::from_be_bytes(*len));
                    let (nal, tail) = tail
                        .split_at_checked(len)
                        .ok_or("a NAL unit of its STAP-A is cut short")?;
                    self.0.nal(nal, out)?;
                    rest = tail;
                }
                Ok(())
            }
            FU_A => self.fragment(payload, out),
            25..=27 | 29 => Err("it is of the interleaved mode, which nothing announced"),
            _ if payload.is_empty() => Ok(()),
            _ => Err("its NAL unit type is not defined"),
        }
    }

    /// A fragment of a NAL unit (RFC 6184 section 5.8).
    fn fragment(&mut self, payload: &[u8], out: &mut Collector) -> Result<(), &'static str> {
        let [indicator, header, body @ ..] = payload else { return Err("its FU-A is cut short") };
        if header & START != 0 {
            self.0.begin(&[indicator & 0xe0 | header & 0x1f], body, out)?;
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
            codec: Codec::H264,
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
        if !nal::is_whole(data) {
            return Err("it is not NAL units behind 4-byte lengths");
        }
        let nals: Vec<Bytes> = nal::units(data).collect();
        let runs = h26x::runs(&nals, room, 1);
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
    let indicator = nal[0] & 0xe0 | FU_A;
    let count = (nal.len() - 1).div_ceil(room - 2);
    for (i, part) in nal[1..].chunks(room - 2).enumerate() {
        let start = if i == 0 { START } else { 0 };
        let end = if i + 1 == count { END } else { 0 };
        let head = [indicator, start | end | nal[0] & 0x1f];
        out(Chunk { parts: &[&head, part], marker: last && end != 0, ticks: 0 });
    }
}

fn aggregate(run: &[Bytes], last: bool, out: &mut dyn FnMut(Chunk<'_>)) {
    // The aggregate is as important as its most important unit (RFC 6184 section 5.7.1).
    let importance = run.iter().map(|nal| nal[0] & 0x60).max().unwrap_or(0);
    let head = [importance | STAP_A];
    let lens: Vec<[u8; 2]> = run.iter().map(|nal| (nal.len() as u16).to_be_bytes()).collect();
    let mut parts: Vec<&[u8]> = vec![&head];
    for (len, nal) in lens.iter().zip(run) {
        parts.extend([&len[..], &nal[..]]);
    }
    out(Chunk { parts: &parts, marker: last, ticks: 0 });
}
