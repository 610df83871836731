//! VP9 (RFC 9628).

use bytes::{BufMut, Bytes, BytesMut};

use super::{Chunk, Collector, Payload, Skip, Splitter, UNIT_BYTES_MAX};
use crate::codec::bits::Bits;
use crate::codec::vp9::{self, KeyHeader};
use crate::rtp::{Event, Packet};
use crate::{Shape, Track};

/// Puts the frames of a picture together, those of all its spatial layers behind each other.
#[derive(Debug)]
pub(super) struct Receiver {
    track: Track,
    data: BytesMut,
    /// The last packet ended a frame.
    ended: bool,
    skip: Skip,
}

/// What matters of a payload descriptor (section 4.2).
struct Descriptor {
    len: usize,
    inter: bool,
    begins: bool,
    ends: bool,
    spatial_layer: u8,
}

impl Descriptor {
    fn parse(payload: &[u8]) -> Option<Self> {
        let bits = &mut Bits::new(payload);
        let picture_id = bits.flag()?;
        let inter = bits.flag()?;
        let layers = bits.flag()?;
        let flexible = bits.flag()?;
        let begins = bits.flag()?;
        let ends = bits.flag()?;
        let structure = bits.flag()?;
        bits.flag()?;
        if picture_id {
            let long = bits.flag()?;
            bits.skip(if long { 15 } else { 7 })?;
        }
        let mut spatial_layer = 0;
        if layers {
            bits.skip(4)?; // temporal layer, switching up point
            spatial_layer = bits.take(3)? as u8;
            bits.flag()?;
            if !flexible {
                bits.skip(8)?; // TL0PICIDX
            }
        }
        if flexible && inter {
            let mut references = 1;
            bits.skip(7)?;
            while bits.flag()? {
                references += 1;
                if references > 3 {
                    return None;
                }
                bits.skip(7)?;
            }
        }
        if structure {
            skip_structure(bits)?;
        }
        Some(Self { len: bits.position().div_ceil(8), inter, begins, ends, spatial_layer })
    }
}

/// Passes over the scalability structure (section 4.2.1).
fn skip_structure(bits: &mut Bits<'_>) -> Option<()> {
    let layers = bits.take(3)? as usize + 1;
    let sizes = bits.flag()?;
    let group = bits.flag()?;
    bits.skip(3)?;
    if sizes {
        bits.skip(32 * layers)?;
    }
    if group {
        for _ in 0..bits.take(8)? {
            bits.skip(4)?; // temporal layer, switching up point
            let references = bits.take(2)? as usize;
            bits.skip(2 + 8 * references)?;
        }
    }
    Some(())
}

impl Receiver {
    pub(super) fn new(track: &Track) -> Self {
        Self { track: track.clone(), data: BytesMut::new(), ended: true, skip: Skip::default() }
    }

    fn take(&mut self, payload: &[u8], out: &mut Collector) -> Result<(), &'static str> {
        let descriptor = Descriptor::parse(payload).ok_or("its descriptor is cut short")?;
        let key = descriptor.begins && !descriptor.inter && descriptor.spatial_layer == 0;
        if self.skip.skips(key, out) {
            return Ok(());
        }
        if descriptor.begins != self.ended {
            return Err("a frame in it begins or goes on where it should not");
        }
        let body = &payload[descriptor.len..];
        if self.data.len() + body.len() > UNIT_BYTES_MAX {
            return Err("its picture is larger than 16 MiB");
        }
        self.data.put_slice(body);
        self.ended = descriptor.ends;
        Ok(())
    }

    fn finish(&mut self, out: &mut Collector) {
        self.skip.unit_ended();
        let data = self.data.split().freeze();
        self.data = BytesMut::new();
        let ended = std::mem::replace(&mut self.ended, true);
        if data.is_empty() {
            return;
        }
        if !ended {
            return out.unit_lost();
        }
        let header = KeyHeader::parse(&data);
        if let Some(header) = header {
            let shape = Shape::Video { width: header.width, height: header.height };
            let config = header.config();
            if config != self.track.config || shape != self.track.shape {
                self.track.config = config;
                self.track.shape = shape;
                out.events.push_back(Event::Track(self.track.clone()));
            }
        }
        out.frame(0, 0, header.is_some(), data);
    }
}

impl Payload for Receiver {
    fn push(&mut self, packet: &Packet, out: &mut Collector) -> Result<(), &'static str> {
        self.take(&packet.payload, out)
    }

    fn end(&mut self, out: &mut Collector) {
        self.finish(out);
    }

    fn lose(&mut self) -> bool {
        let had = !self.data.is_empty();
        self.data.clear();
        self.ended = true;
        self.skip = Skip::Doubtful;
        had
    }
}

/// Sends each unit as one frame, in non-flexible mode without layers.
#[derive(Debug, Default)]
pub(super) struct Sender {
    picture_id: u16,
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
        let inter = if vp9::is_key(data) { 0 } else { 0x40 };
        let id = 0x8000 | self.picture_id;
        self.picture_id = (self.picture_id + 1) & 0x7fff;
        let count = data.len().div_ceil(room - 3);
        for (i, part) in data.chunks(room - 3).enumerate() {
            let begins = if i == 0 { 0x08 } else { 0 };
            let last = i + 1 == count;
            let ends = if last { 0x04 } else { 0 };
            let head = [0x80 | inter | begins | ends, (id >> 8) as u8, id as u8];
            out(Chunk { parts: &[&head, part], marker: last, ticks: 0 });
        }
        Ok(())
    }
}
