//! AV1 ("RTP Payload Format For AV1", AOM, version 1.0.0).

use bytes::{BufMut, Bytes, BytesMut};

use super::{Chunk, Collector, Payload, Skip, Splitter, UNIT_BYTES_MAX};
use crate::codec::av1::{self, Obu, SequenceHeader};
use crate::rtp::{Event, Packet};
use crate::{Shape, Track};

/// Aggregation header (section 4.4): the first element goes on with one of the packet before.
const CONTINUES: u8 = 0x80;
/// The last element goes on in the next packet.
const WILL_CONTINUE: u8 = 0x40;
/// A coded video sequence begins with this packet.
const NEW_SEQUENCE: u8 = 0x08;

/// Puts temporal units together.
#[derive(Debug)]
pub(super) struct Receiver {
    track: Track,
    /// Whole units so far, each with its size.
    data: BytesMut,
    /// The unit that goes on in the next packet.
    fragment: Option<BytesMut>,
    /// The sequence header in `data`.
    sequence: Option<Obu>,
    skip: Skip,
}

impl Receiver {
    pub(super) fn new(track: &Track) -> Self {
        Self {
            track: track.clone(),
            data: BytesMut::new(),
            fragment: None,
            sequence: None,
            skip: Skip::default(),
        }
    }

    fn take(&mut self, payload: &Bytes, out: &mut Collector) -> Result<(), &'static str> {
        let &head = payload.first().ok_or("it is empty")?;
        let begins = head & NEW_SEQUENCE != 0 && head & CONTINUES == 0;
        if self.skip.skips(begins, out) {
            return Ok(());
        }
        let elements = elements(head, payload.slice(1..))?;
        let last = elements.len().wrapping_sub(1);
        for (i, element) in elements.into_iter().enumerate() {
            let goes_on = i == last && head & WILL_CONTINUE != 0;
            if i == 0 && head & CONTINUES != 0 {
                let fragment =
                    self.fragment.as_mut().ok_or("it goes on with a unit that never began")?;
                if fragment.len() + element.len() > UNIT_BYTES_MAX {
                    return Err("its unit is larger than 16 MiB");
                }
                fragment.put_slice(&element);
                if !goes_on {
                    let whole = self.fragment.take().unwrap_or_default().freeze();
                    self.unit(whole)?;
                }
                continue;
            }
            if self.fragment.take().is_some() {
                return Err("the unit begun before does not go on");
            }
            if goes_on {
                self.fragment = Some(BytesMut::from(&element[..]));
            } else {
                self.unit(element)?;
            }
        }
        Ok(())
    }

    /// Adds a whole unit, which may have a size or not.
    fn unit(&mut self, mut bytes: Bytes) -> Result<(), &'static str> {
        if bytes.is_empty() {
            return Ok(());
        }
        let unit = Obu::take(&mut bytes).ok_or("a unit in it is cut short")?;
        if unit.kind() == av1::TEMPORAL_DELIMITER {
            return Ok(());
        }
        if self.data.len() + unit.payload.len() > UNIT_BYTES_MAX {
            return Err("its temporal unit is larger than 16 MiB");
        }
        unit.emit(&mut self.data);
        if unit.kind() == av1::SEQUENCE_HEADER {
            self.sequence = Some(unit);
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut Collector) {
        self.skip.unit_ended();
        let cut = self.fragment.take().is_some();
        let data = self.data.split().freeze();
        self.data = BytesMut::new();
        let sequence = self.sequence.take();
        if cut {
            return out.unit_lost();
        }
        if data.is_empty() {
            return;
        }
        if let Some(config) = sequence.as_ref().and_then(av1::config)
            && config != self.track.config
        {
            self.track.config = config;
            if let Some(header) = SequenceHeader::of_config(&self.track.config) {
                self.track.shape = Shape::Video { width: header.width, height: header.height };
            }
            out.events.push_back(Event::Track(self.track.clone()));
        }
        let key = av1::is_key(&data);
        out.frame(0, 0, key, data);
    }
}

/// The elements of a payload behind its aggregation header.
fn elements(head: u8, mut rest: Bytes) -> Result<Vec<Bytes>, &'static str> {
    let count = usize::from(head >> 4 & 3);
    let mut elements = Vec::new();
    while !rest.is_empty() {
        if count > 0 && elements.len() + 1 == count {
            elements.push(std::mem::take(&mut rest));
            break;
        }
        let (size, len) = av1::read_leb128(&rest).ok_or("the size of an element is cut short")?;
        if rest.len() - len < size {
            return Err("an element in it is cut short");
        }
        elements.push(rest.slice(len..len + size));
        rest = rest.slice(len + size..);
    }
    if count > 0 && elements.len() != count {
        return Err("it has fewer elements than it says");
    }
    Ok(elements)
}

impl Payload for Receiver {
    fn push(&mut self, packet: &Packet, out: &mut Collector) -> Result<(), &'static str> {
        self.take(&packet.payload, out)
    }

    fn end(&mut self, out: &mut Collector) {
        self.finish(out);
    }

    fn lose(&mut self) -> bool {
        let had = !self.data.is_empty() || self.fragment.is_some();
        self.data.clear();
        self.fragment = None;
        self.sequence = None;
        self.skip = Skip::Doubtful;
        had
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
        let units = av1::units(data).ok_or("it is not AV1 units with sizes")?;
        let mut packet = Packing {
            room,
            head: if av1::is_key(data) { NEW_SEQUENCE } else { 0 },
            body: BytesMut::with_capacity(room),
            elements: 0,
            out,
        };
        for unit in units.iter().filter(|unit| unit.kind() != av1::TEMPORAL_DELIMITER) {
            packet.add(unit);
        }
        packet.give(true);
        Ok(())
    }
}

/// The packet being filled. Every element has its size, so their number need not be known.
struct Packing<'a> {
    room: usize,
    head: u8,
    body: BytesMut,
    /// How many elements it has.
    elements: usize,
    out: &'a mut dyn FnMut(Chunk<'_>),
}

impl Packing<'_> {
    /// Adds a unit, in parts where it does not fit.
    fn add(&mut self, unit: &Obu) {
        let mut bytes = BytesMut::with_capacity(unit.payload.len() + 2);
        // In RTP units go without a size of their own (section 5).
        bytes.put_u8(unit.header & !0x02);
        if let Some(extension) = unit.extension {
            bytes.put_u8(extension);
        }
        bytes.put_slice(&unit.payload);
        let mut rest = bytes.freeze();
        while !rest.is_empty() {
            // One byte of aggregation header, and up to 3 of size.
            let free = self.room.saturating_sub(1 + self.body.len() + 3);
            if free == 0 {
                self.give(false);
                continue;
            }
            let part = rest.split_to(free.min(rest.len()));
            av1::put_leb128(part.len(), &mut self.body);
            self.body.put_slice(&part);
            self.elements += 1;
            if !rest.is_empty() {
                self.head |= WILL_CONTINUE;
                self.give(false);
                self.head |= CONTINUES;
            }
        }
    }

    /// Sends the packet.
    fn give(&mut self, marker: bool) {
        if self.elements > 0 || marker {
            (self.out)(Chunk { parts: &[&[self.head], &self.body], marker, ticks: 0 });
        }
        self.head = 0;
        self.elements = 0;
        self.body.clear();
    }
}
