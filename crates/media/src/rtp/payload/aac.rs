//! AAC as `mpeg4-generic` (RFC 3640).

use bytes::{BufMut, Bytes, BytesMut};

use super::{Chunk, Collector, Payload, Splitter, UNIT_BYTES_MAX};
use crate::Track;
use crate::codec::aac::AudioConfig;
use crate::codec::bits::Bits;
use crate::rtp::{AacFormat, Format, Packet};

/// Takes aggregated and fragmented access units. Interleaving is refused: nobody announces it.
#[derive(Debug)]
pub(super) struct Receiver {
    format: AacFormat,
    unit_ticks: u32,
    fragment: Option<Fragment>,
    /// After a loss, fragments of a unit whose first part is missing.
    skipping: bool,
}

/// An access unit that arrives in parts.
#[derive(Debug)]
struct Fragment {
    size: usize,
    data: BytesMut,
}

impl Receiver {
    pub(super) fn new(track: &Track, format: Format) -> Self {
        let format = match format {
            Format::Aac(format) => format,
            Format::Plain => AacFormat::HBR,
        };
        let config = AudioConfig::parse(&track.config);
        let unit_ticks = config.map_or(1_024, |config| config.unit_ticks(track.clock_rate));
        Self { format, unit_ticks, fragment: None, skipping: false }
    }

    fn take(&mut self, packet: &Packet, out: &mut Collector) -> Result<(), &'static str> {
        let payload = &packet.payload;
        if self.format.size_bits == 0 {
            out.frame(0, self.unit_ticks, true, payload.clone());
            return Ok(());
        }
        let (sizes, mut at) = self.sizes(payload)?;
        let rest = payload.len() - at;
        if let [size] = sizes[..]
            && (size > rest || self.fragment.is_some() || self.skipping)
        {
            return self.part(size, &payload[at..], packet.marker, out);
        }
        self.fragment = None;
        self.skipping = false;
        for (i, size) in sizes.into_iter().enumerate() {
            let end = at + size;
            if end > payload.len() {
                return Err("its access units are longer than the packet");
            }
            let ticks = i as i64 * i64::from(self.unit_ticks);
            out.frame(ticks, self.unit_ticks, true, payload.slice(at..end));
            at = end;
        }
        Ok(())
    }

    /// Sizes of the access units, and where the first begins (RFC 3640 section 3.2).
    fn sizes(&self, payload: &[u8]) -> Result<(Vec<usize>, usize), &'static str> {
        let format = &self.format;
        let short = "its AU headers are cut short";
        let (&len_bits, rest) = payload.split_first_chunk::<2>().ok_or(short)?;
        let len_bits = usize::from(u16::from_be_bytes(len_bits));
        let mut bits = Bits::new(rest.get(..len_bits.div_ceil(8)).ok_or(short)?);
        let mut sizes = Vec::new();
        while bits.position() < len_bits {
            let first = sizes.is_empty();
            sizes.push(bits.take(format.size_bits.into()).ok_or(short)? as usize);
            let index_bits = if first { format.index_bits } else { format.index_delta_bits };
            let index = bits.take(index_bits.into()).ok_or(short)?;
            if !first && index != 0 {
                return Err("its access units are interleaved, which is not supported");
            }
            skip_options(&mut bits, format).ok_or(short)?;
        }
        let mut start = 2 + len_bits.div_ceil(8);
        if format.auxiliary_bits > 0 {
            let mut bits = Bits::new(&payload[start..]);
            let aux_bits = bits.take(format.auxiliary_bits.into()).ok_or(short)? as usize;
            bits.skip(aux_bits).ok_or(short)?;
            start += bits.position().div_ceil(8);
        }
        if sizes.is_empty() {
            return Err("it has no access unit");
        }
        Ok((sizes, start))
    }

    /// A part of an access unit of `size` bytes; every part names the whole size (section 3.2.3).
    fn part(
        &mut self,
        size: usize,
        part: &[u8],
        marker: bool,
        out: &mut Collector,
    ) -> Result<(), &'static str> {
        if self.skipping {
            self.skipping = !marker;
            return Ok(());
        }
        let mut fragment =
            self.fragment.take().unwrap_or_else(|| Fragment { size, data: BytesMut::new() });
        if fragment.size != size || fragment.data.len() + part.len() > size.min(UNIT_BYTES_MAX) {
            return Err("the parts of its access unit don't fit together");
        }
        fragment.data.put_slice(part);
        if fragment.data.len() == size {
            out.frame(0, self.unit_ticks, true, fragment.data.freeze());
        } else if marker {
            return Err("its access unit ends before all parts have come");
        } else {
            self.fragment = Some(fragment);
        }
        Ok(())
    }
}

/// Passes over the optional fields of an AU header (section 3.2.1.1).
fn skip_options(bits: &mut Bits<'_>, format: &AacFormat) -> Option<()> {
    for delta_bits in [format.cts_delta_bits, format.dts_delta_bits] {
        if delta_bits > 0 && bits.flag()? {
            bits.skip(delta_bits.into())?;
        }
    }
    bits.skip(usize::from(format.random_access))?;
    bits.skip(format.stream_state_bits.into())
}

impl Payload for Receiver {
    fn push(&mut self, packet: &Packet, out: &mut Collector) -> Result<(), &'static str> {
        self.take(packet, out)
    }

    fn mark(&mut self, _out: &mut Collector) {}

    fn end(&mut self, out: &mut Collector) {
        if self.fragment.take().is_some() {
            out.unit_lost();
        }
        self.skipping = false;
    }

    fn lose(&mut self) -> bool {
        self.skipping = true;
        self.fragment.take().is_some()
    }
}

/// Sends each access unit in a packet of its own, or in parts, in `AAC-hbr` mode.
#[derive(Debug)]
pub(super) struct Sender;

impl Splitter for Sender {
    fn split(
        &mut self,
        data: &Bytes,
        room: usize,
        out: &mut dyn FnMut(Chunk<'_>),
    ) -> Result<(), &'static str> {
        if data.is_empty() || data.len() >= 1 << 13 {
            return Err("an AAC access unit has 1 to 8191 bytes");
        }
        let size = (data.len() as u16) << 3; // 13 bits of size, 3 of index
        let head = [0, 16, (size >> 8) as u8, size as u8];
        let count = data.len().div_ceil(room - head.len());
        for (i, part) in data.chunks(room - head.len()).enumerate() {
            out(Chunk { parts: &[&head, part], marker: i + 1 == count, ticks: 0 });
        }
        Ok(())
    }
}
