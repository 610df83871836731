//! JPEG pictures as far as RTP needs them: baseline, in colour, with the usual Huffman tables. The
//! tables are those of ITU-T T.81 annex K.

use bytes::{BufMut, Bytes, BytesMut};

/// How chroma is sampled; RTP knows two ways (RFC 2435 section 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampling {
    /// Halved across.
    Yuv422,
    /// Halved across and down.
    Yuv420,
}

/// The parts of a picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Pixels across.
    pub width: u16,
    /// Pixels down.
    pub height: u16,
    /// How chroma is sampled.
    pub sampling: Sampling,
    /// Quantization tables of luma and chroma, in zigzag order.
    pub tables: [[u8; 64]; 2],
    /// Macroblocks between restart markers; 0 without any.
    pub restart_interval: u16,
    /// The entropy-coded data, without the end-of-image marker.
    pub scan: Bytes,
}

impl Picture {
    /// Takes a JFIF picture apart.
    ///
    /// # Errors
    /// What RTP can't carry about it, or what is wrong.
    pub fn parse(data: &Bytes) -> Result<Self, &'static str> {
        let mut reader = Reader::default();
        let mut at = 2;
        if data.get(..2) != Some(&[0xff, SOI]) {
            return Err("it does not begin like a JPEG picture");
        }
        loop {
            while data.get(at) == Some(&0xff) && data.get(at + 1) == Some(&0xff) {
                at += 1; // fill bytes
            }
            let Some(&[0xff, marker, high, low]) = data.get(at..).and_then(|d| d.first_chunk())
            else {
                return Err("it ends within its headers");
            };
            let len = usize::from(u16::from_be_bytes([high, low]));
            let segment =
                data.get(at + 4..at + 2 + len).ok_or("a segment of its headers is cut short")?;
            at += 2 + len;
            if marker == SOS {
                return reader.finish(data.slice(at..));
            }
            reader.segment(marker, segment)?;
        }
    }

    /// Puts the picture together as JFIF.
    #[must_use]
    pub fn to_jfif(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(self.scan.len() + 640);
        out.put_slice(&[0xff, SOI]);
        put_segment(&mut out, APP0, &[b"JFIF\0", &[1, 1, 0, 0, 1, 0, 1, 0, 0]]);
        for (id, table) in self.tables.iter().enumerate() {
            put_segment(&mut out, DQT, &[&[id as u8], table]);
        }
        let [height, width] = [self.height.to_be_bytes(), self.width.to_be_bytes()];
        let luma = if self.sampling == Sampling::Yuv420 { 0x22 } else { 0x21 };
        let components = [1, luma, 0, 2, 0x11, 1, 3, 0x11, 1];
        put_segment(&mut out, SOF0, &[&[8], &height, &width, &[3], &components]);
        for (class, counts, symbols) in HUFFMAN {
            put_segment(&mut out, DHT, &[&[*class], *counts, *symbols]);
        }
        if self.restart_interval > 0 {
            put_segment(&mut out, DRI, &[&self.restart_interval.to_be_bytes()]);
        }
        put_segment(&mut out, SOS, &[&[3, 1, 0, 2, 0x11, 3, 0x11, 0, 63, 0]]);
        out.put_slice(&self.scan);
        out.put_slice(&[0xff, EOI]);
        out.freeze()
    }
}

/// Width and height of a JPEG picture of any kind; `None` if its headers don't tell.
#[must_use]
pub fn size(data: &[u8]) -> Option<(u32, u32)> {
    let mut rest = data.strip_prefix(&[0xff, SOI])?;
    loop {
        while let Some(after) = rest.strip_prefix(&[0xff]).filter(|r| r.first() == Some(&0xff)) {
            rest = after;
        }
        let &[0xff, marker, high, low] = rest.first_chunk()? else { return None };
        let segment = rest.get(4..2 + usize::from(u16::from_be_bytes([high, low])))?;
        match marker {
            // Start of frame of any coding; C4, C8 and CC are something else.
            0xc0..=0xcf if !matches!(marker, 0xc4 | 0xc8 | 0xcc) => {
                let &[_, h1, h2, w1, w2] = segment.first_chunk()?;
                let size = (u16::from_be_bytes([w1, w2]), u16::from_be_bytes([h1, h2]));
                return (size.0 > 0 && size.1 > 0).then_some((size.0.into(), size.1.into()));
            }
            SOS | EOI => return None,
            _ => rest = &rest[4 + segment.len()..],
        }
    }
}

/// The tables for quality `q` of 1 to 99 (RFC 2435 section 4.2 and appendix A).
#[must_use]
pub fn scaled_tables(q: u8) -> [[u8; 64]; 2] {
    let q = u32::from(q.clamp(1, 99));
    let scale = if q < 50 { 5_000 / q } else { 200 - 2 * q };
    QUANTIZERS
        .map(|table| table.map(|entry| ((u32::from(entry) * scale + 50) / 100).clamp(1, 255) as u8))
}

/// What has been read of a picture's headers.
#[derive(Default)]
struct Reader {
    tables: [Option<[u8; 64]>; 4],
    frame: Option<(u16, u16, Sampling, [u8; 3])>,
    restart_interval: u16,
}

impl Reader {
    fn segment(&mut self, marker: u8, segment: &[u8]) -> Result<(), &'static str> {
        match marker {
            SOF0 => self.frame = Some(parse_frame(segment)?),
            0xc1..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => {
                return Err("it is not coded as baseline JPEG");
            }
            DQT => self.quantizers(segment)?,
            DHT => check_huffman(segment)?,
            DRI => {
                let interval = segment.first_chunk().ok_or("its restart interval is cut short")?;
                self.restart_interval = u16::from_be_bytes(*interval);
            }
            _ => {}
        }
        Ok(())
    }

    fn quantizers(&mut self, mut rest: &[u8]) -> Result<(), &'static str> {
        while let Some((&id, tail)) = rest.split_first() {
            let (table, tail) =
                tail.split_first_chunk::<64>().ok_or("a quantization table is cut short")?;
            if id > 3 {
                return Err("its quantization tables are not of 8 bits");
            }
            self.tables[usize::from(id)] = Some(*table);
            rest = tail;
        }
        Ok(())
    }

    fn finish(self, rest: Bytes) -> Result<Picture, &'static str> {
        let (width, height, sampling, ids) = self.frame.ok_or("it has no frame header")?;
        if ids[1] != ids[2] {
            return Err("its chroma has two quantization tables");
        }
        let table =
            |id: u8| self.tables[usize::from(id & 3)].ok_or("it lacks a quantization table");
        let tables = [table(ids[0])?, table(ids[1])?];
        // The scan ends at the first marker that is neither a stuffed byte nor a restart.
        let end = rest
            .windows(2)
            .position(|pair| pair[0] == 0xff && !matches!(pair[1], 0 | 0xd0..=0xd7 | 0xff))
            .unwrap_or(rest.len());
        if end == 0 {
            return Err("it has no scan");
        }
        let restart_interval = self.restart_interval;
        Ok(Picture { width, height, sampling, tables, restart_interval, scan: rest.slice(..end) })
    }
}

/// Width, height, sampling and the components' tables.
fn parse_frame(segment: &[u8]) -> Result<(u16, u16, Sampling, [u8; 3]), &'static str> {
    let Some(&[8, h1, h2, w1, w2, 3, _, luma, t0, _, u, t1, _, v, t2]) = segment.first_chunk()
    else {
        return Err("it is not 8-bit JPEG in three colours");
    };
    let sampling = match (luma, u, v) {
        (0x21, 0x11, 0x11) => Sampling::Yuv422,
        (0x22, 0x11, 0x11) => Sampling::Yuv420,
        _ => return Err("its chroma is sampled neither 4:2:0 nor 4:2:2"),
    };
    let (width, height) = (u16::from_be_bytes([w1, w2]), u16::from_be_bytes([h1, h2]));
    if width == 0 || height == 0 {
        return Err("its size is not in its header");
    }
    Ok((width, height, sampling, [t0, t1, t2]))
}

/// RTP does not carry Huffman tables, so they must be the usual ones.
fn check_huffman(mut rest: &[u8]) -> Result<(), &'static str> {
    while let Some((&class, tail)) = rest.split_first() {
        let usual = HUFFMAN.iter().find(|(usual, ..)| *usual == class);
        let (_, counts, symbols) = usual.ok_or("it has more Huffman tables than usual")?;
        rest = tail
            .strip_prefix(*counts)
            .and_then(|tail| tail.strip_prefix(*symbols))
            .ok_or("its Huffman tables are not the usual ones")?;
    }
    Ok(())
}

fn put_segment(out: &mut BytesMut, marker: u8, parts: &[&[u8]]) {
    let len: usize = parts.iter().map(|part| part.len()).sum();
    out.put_slice(&[0xff, marker]);
    out.put_u16(len as u16 + 2);
    parts.iter().for_each(|part| out.put_slice(part));
}

const SOF0: u8 = 0xc0;
const DHT: u8 = 0xc4;
const SOI: u8 = 0xd8;
pub(crate) const EOI: u8 = 0xd9;
const SOS: u8 = 0xda;
const DQT: u8 = 0xdb;
const DRI: u8 = 0xdd;
const APP0: u8 = 0xe0;

/// Luma and chroma quantizers of tables K.1 and K.2, in zigzag order.
const QUANTIZERS: [[u8; 64]; 2] = [
    [
        16, 11, 12, 14, 12, 10, 16, 14, 13, 14, 18, 17, 16, 19, 24, 40, 26, 24, 22, 22, 24, 49, 35,
        37, 29, 40, 58, 51, 61, 60, 57, 51, 56, 55, 64, 72, 92, 78, 64, 68, 87, 69, 55, 56, 80,
        109, 81, 87, 95, 98, 103, 104, 103, 62, 77, 113, 121, 112, 100, 120, 92, 101, 103, 99,
    ],
    [
        17, 18, 18, 24, 21, 24, 47, 26, 26, 47, 99, 66, 56, 66, 99, 99, 99, 99, 99, 99, 99, 99, 99,
        99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
        99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
    ],
];

/// Class and id, counts of codes by length, symbols: of tables K.3, K.5, K.4 and K.6.
const HUFFMAN: &[(u8, &[u8], &[u8])] = &[
    (
        0x00,
        &[0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0],
        &[0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b],
    ),
    (
        0x10,
        &[0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 125],
        &[
            0x01, 0x02, 0x03, 0x00, 0x04, 0x11, 0x05, 0x12, 0x21, 0x31, 0x41, 0x06, 0x13, 0x51,
            0x61, 0x07, 0x22, 0x71, 0x14, 0x32, 0x81, 0x91, 0xa1, 0x08, 0x23, 0x42, 0xb1, 0xc1,
            0x15, 0x52, 0xd1, 0xf0, 0x24, 0x33, 0x62, 0x72, 0x82, 0x09, 0x0a, 0x16, 0x17, 0x18,
            0x19, 0x1a, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2a, 0x34, 0x35, 0x36, 0x37, 0x38, 0x39,
            0x3a, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4a, 0x53, 0x54, 0x55, 0x56, 0x57,
            0x58, 0x59, 0x5a, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x73, 0x74, 0x75,
            0x76, 0x77, 0x78, 0x79, 0x7a, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x92,
            0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7,
            0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba, 0xc2, 0xc3,
            0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8,
            0xd9, 0xda, 0xe1, 0xe2, 0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xf1, 0xf2,
            0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa,
        ],
    ),
    (
        0x01,
        &[0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0],
        &[0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b],
    ),
    (
        0x11,
        &[0, 2, 1, 2, 4, 4, 3, 4, 7, 5, 4, 4, 0, 1, 2, 119],
        &[
            0x00, 0x01, 0x02, 0x03, 0x11, 0x04, 0x05, 0x21, 0x31, 0x06, 0x12, 0x41, 0x51, 0x07,
            0x61, 0x71, 0x13, 0x22, 0x32, 0x81, 0x08, 0x14, 0x42, 0x91, 0xa1, 0xb1, 0xc1, 0x09,
            0x23, 0x33, 0x52, 0xf0, 0x15, 0x62, 0x72, 0xd1, 0x0a, 0x16, 0x24, 0x34, 0xe1, 0x25,
            0xf1, 0x17, 0x18, 0x19, 0x1a, 0x26, 0x27, 0x28, 0x29, 0x2a, 0x35, 0x36, 0x37, 0x38,
            0x39, 0x3a, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4a, 0x53, 0x54, 0x55, 0x56,
            0x57, 0x58, 0x59, 0x5a, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x73, 0x74,
            0x75, 0x76, 0x77, 0x78, 0x79, 0x7a, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89,
            0x8a, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a, 0xa2, 0xa3, 0xa4, 0xa5,
            0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba,
            0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6,
            0xd7, 0xd8, 0xd9, 0xda, 0xe2, 0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xf2,
            0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa,
        ],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn picture() -> Picture {
        Picture {
            width: 320,
            height: 240,
            sampling: Sampling::Yuv420,
            tables: scaled_tables(75),
            restart_interval: 40,
            scan: Bytes::from_static(&[1, 2, 0xff, 0, 3, 0xff, 0xd0, 4]),
        }
    }

    #[test]
    fn a_picture_round_trips() {
        for sampling in [Sampling::Yuv420, Sampling::Yuv422] {
            for restart_interval in [0, 40] {
                let picture = Picture { sampling, restart_interval, ..picture() };
                let jfif = picture.to_jfif();
                assert_eq!(size(&jfif), Some((320, 240)));
                assert_eq!(Picture::parse(&jfif), Ok(picture));
            }
        }
    }

    #[test]
    fn the_tables_of_rfc_2435() {
        // Appendix A begins 16, 11, 12, 14, 12, 10, 16, 14; quality 50 leaves them as they are.
        assert_eq!(scaled_tables(50)[0][..8], [16, 11, 12, 14, 12, 10, 16, 14]);
        assert_eq!(scaled_tables(99)[1][63], 2);
        assert_eq!(scaled_tables(1)[0][0], 255);
    }

    #[test]
    fn what_rtp_cannot_carry_says_so() {
        let jfif = picture().to_jfif().to_vec();
        let at = |marker: u8| jfif.windows(2).position(|w| w == [0xff, marker]).unwrap();
        let changed = |index: usize, byte: u8| {
            let mut bytes = jfif.clone();
            bytes[index] = byte;
            Picture::parse(&bytes.into()).unwrap_err()
        };
        assert!(changed(at(SOF0) + 1, 0xc2).contains("baseline"));
        assert!(changed(at(SOF0) + 11, 0x11).contains("4:2:0"));
        assert!(changed(at(DHT) + 6, 9).contains("Huffman"));
        assert!(changed(0, 0).contains("JPEG"));
        for len in 0..at(SOS) {
            assert!(Picture::parse(&jfif[..len].to_vec().into()).is_err(), "cut to {len} bytes");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged(
            bytes in proptest::collection::vec(any::<u8>(), 0..100), at in 0usize..640, byte: u8,
        ) {
            let mut jfif = picture().to_jfif().to_vec();
            let len = jfif.len();
            jfif[at % len] = byte;
            for data in [jfif, bytes.clone(), [&[0xff, SOI][..], &bytes].concat()] {
                let data = Bytes::from(data);
                let _ = (size(&data), Picture::parse(&data));
            }
        }
    }
}
