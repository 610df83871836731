//! JPEG pictures (RFC 2435).

use std::collections::HashMap;

use bytes::{BufMut, Bytes, BytesMut};

use super::{Chunk, Collector, Payload, Skip, Splitter, UNIT_BYTES_MAX};
use crate::codec::mjpeg::{EOI, Picture, Sampling, scaled_tables};
use crate::rtp::{Event, Packet};
use crate::{Shape, Track};

type Tables = [[u8; 64]; 2];

#[derive(Debug)]
pub(super) struct Receiver {
    track: Track,
    picture: Option<Picture>,
    scan: BytesMut,
    /// Tables a sender gave for qualities 128 to 254, which it may then leave out (section 4.2).
    tables: HashMap<u8, Tables>,
    skip: Skip,
}

/// The main header, and the restart header if there is one (sections 3.1.1 to 3.1.7).
struct Header<'a> {
    offset: usize,
    sampling: Sampling,
    quality: u8,
    /// Both sides in blocks of 8 pixels; 0 if they are larger than the format can say.
    blocks: (u8, u8),
    restart_interval: u16,
    rest: &'a [u8],
}

impl<'a> Header<'a> {
    fn parse(payload: &'a [u8]) -> Result<Self, &'static str> {
        let short = "its JPEG header is cut short";
        let (&[_, o1, o2, o3, kind, quality, width, height], mut rest) =
            payload.split_first_chunk::<8>().ok_or(short)?;
        let sampling = match kind & 0x3f {
            0 => Sampling::Yuv422,
            1 => Sampling::Yuv420,
            _ => return Err("its type of JPEG is not defined"),
        };
        let mut restart_interval = 0;
        if (64..128).contains(&kind) {
            let (&[high, low, _, _], tail) = rest.split_first_chunk::<4>().ok_or(short)?;
            restart_interval = u16::from_be_bytes([high, low]);
            rest = tail;
        } else if kind >= 128 {
            return Err("its type of JPEG is not defined");
        }
        let offset = u32::from_be_bytes([0, o1, o2, o3]) as usize;
        Ok(Self { offset, sampling, quality, blocks: (width, height), restart_interval, rest })
    }
}

impl Receiver {
    pub(super) fn new(track: &Track) -> Self {
        Self {
            track: track.clone(),
            picture: None,
            scan: BytesMut::new(),
            tables: HashMap::new(),
            skip: Skip::default(),
        }
    }

    fn take(&mut self, payload: &[u8], out: &mut Collector) -> Result<(), &'static str> {
        let mut header = Header::parse(payload)?;
        if self.skip.skips(header.offset == 0, out) {
            return Ok(());
        }
        if header.offset == 0 {
            if self.picture.is_some() {
                out.unit_lost(); // the one before had no end
            }
            self.begin(&mut header)?;
        }
        if self.picture.is_none() || header.offset != self.scan.len() {
            return Err("a part of its picture is missing or comes twice");
        }
        if self.scan.len() + header.rest.len() > UNIT_BYTES_MAX {
            return Err("its picture is larger than 16 MiB");
        }
        self.scan.put_slice(header.rest);
        Ok(())
    }

    fn begin(&mut self, header: &mut Header<'_>) -> Result<(), &'static str> {
        let tables = match header.quality {
            0 | 100..=127 => return Err("its quality is not defined"),
            1..=99 => scaled_tables(header.quality),
            quality => self.quantizers(quality, header)?,
        };
        let (width, height) = match (header.blocks, self.track.size()) {
            ((width @ 1.., height @ 1..), _) => (u16::from(width) * 8, u16::from(height) * 8),
            (_, Some((width, height))) if width.max(height) <= 65_535 => {
                (width as u16, height as u16)
            }
            _ => return Err("its picture is larger than 2040 pixels, and nothing says how large"),
        };
        let (sampling, restart_interval) = (header.sampling, header.restart_interval);
        let scan = Bytes::new();
        self.scan.clear();
        self.picture = Some(Picture { width, height, sampling, tables, restart_interval, scan });
        Ok(())
    }

    /// The tables in the packet, or those that came before (section 3.1.8).
    fn quantizers(&mut self, quality: u8, header: &mut Header<'_>) -> Result<Tables, &'static str> {
        let short = "its quantization tables are cut short";
        let (&[_, precision, high, low], tail) =
            header.rest.split_first_chunk::<4>().ok_or(short)?;
        let len = usize::from(u16::from_be_bytes([high, low]));
        let (tables, tail) = tail.split_at_checked(len).ok_or(short)?;
        header.rest = tail;
        if len == 0 {
            return self.tables.get(&quality).copied().ok_or("its quantization tables never came");
        }
        if precision & 3 != 0 {
            return Err("its quantization tables are not of 8 bits");
        }
        let (luma, rest) = tables.split_first_chunk::<64>().ok_or(short)?;
        // Some cameras send one table for all.
        let chroma = rest.first_chunk::<64>().unwrap_or(luma);
        if quality < 255 {
            self.tables.insert(quality, [*luma, *chroma]);
        }
        Ok([*luma, *chroma])
    }

    fn finish(&mut self, out: &mut Collector) {
        self.skip.unit_ended();
        let Some(mut picture) = self.picture.take() else { return };
        let mut scan = self.scan.split().freeze();
        self.scan = BytesMut::new();
        if scan.ends_with(&[0xff, EOI]) {
            scan.truncate(scan.len() - 2);
        }
        if scan.is_empty() {
            return out.unit_lost();
        }
        picture.scan = scan;
        let shape = Shape::Video { width: picture.width.into(), height: picture.height.into() };
        if shape != self.track.shape {
            self.track.shape = shape;
            out.events.push_back(Event::Track(self.track.clone()));
        }
        out.frame(0, 0, true, picture.to_jfif());
    }
}

impl Payload for Receiver {
    fn push(&mut self, packet: &Packet, out: &mut Collector) -> Result<(), &'static str> {
        self.take(&packet.payload, out)
    }

    fn end(&mut self, out: &mut Collector) {
        // Without a marker the end may be missing, but nothing in the sequence is: it is whole.
        self.finish(out);
    }

    fn lose(&mut self) -> bool {
        self.skip = Skip::Doubtful;
        self.scan.clear();
        self.picture.take().is_some()
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
        let picture = Picture::parse(data)?;
        let blocks = [picture.width, picture.height].map(|pixels| pixels.div_ceil(8));
        if blocks[0].max(blocks[1]) > 255 {
            return Err("JPEG in RTP has at most 2040 pixels across and down");
        }
        if picture.scan.len() >= 1 << 24 {
            return Err("JPEG in RTP has at most 16 MiB");
        }
        let restart = picture.restart_interval > 0;
        let kind = u8::from(picture.sampling == Sampling::Yuv420) | if restart { 64 } else { 0 };
        // Restart intervals are not aligned to packets: first, last and count say so (section 3.1.7).
        let [high, low] = picture.restart_interval.to_be_bytes();
        let restart_header = [high, low, 0xff, 0xff];
        let restart_header = if restart { &restart_header[..] } else { &[] };
        let tables = [&[0, 0, 0, 128], &picture.tables[0][..], &picture.tables[1]].concat();
        let mut offset = 0;
        while offset < picture.scan.len() {
            let tables = if offset == 0 { &tables[..] } else { &[] };
            // The smallest packet has room for all headers and some of the scan.
            let free = room - (8 + restart_header.len() + tables.len());
            let end = picture.scan.len().min(offset + free);
            let [_, o1, o2, o3] = (offset as u32).to_be_bytes();
            let header = [0, o1, o2, o3, kind, 255, blocks[0] as u8, blocks[1] as u8];
            let parts = [&header[..], restart_header, tables, &picture.scan[offset..end]];
            out(Chunk { parts: &parts, marker: end == picture.scan.len(), ticks: 0 });
            offset = end;
        }
        Ok(())
    }
}
