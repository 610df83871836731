//! Uncompressed pictures and what is drawn with.

/// A picture in planar YCbCr 4:2:0, 8 bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    width: usize,
    height: usize,
    luma: Vec<u8>,
    cb: Vec<u8>,
    cr: Vec<u8>,
}

/// Which sample values are black and white. Both use the matrix of ITU-R BT.601.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// 16 to 235, as video codecs expect.
    Limited,
    /// 0 to 255, as JPEG is.
    Full,
}

/// A colour as samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Color {
    y: u8,
    cb: u8,
    cr: u8,
}

/// A rectangle in pixels. What lies outside the picture is not drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rect {
    /// Pixels from the left.
    pub x: usize,
    /// Pixels from the top.
    pub y: usize,
    /// Pixels across.
    pub width: usize,
    /// Pixels down.
    pub height: usize,
}

impl Color {
    /// The colour with these red, green and blue parts of 0 to 255 (BT.601, section 2.5).
    #[must_use]
    pub fn rgb(range: Range, [r, g, b]: [u8; 3]) -> Self {
        let [r, g, b] = [r, g, b].map(|part| f64::from(part) / 255.0);
        let luma = 0.299 * r + 0.587 * g + 0.114 * b;
        let (cb, cr) = ((b - luma) / 1.772, (r - luma) / 1.402);
        let (low, luma_span, chroma_span) = match range {
            Range::Limited => (16.0, 219.0, 224.0),
            Range::Full => (0.0, 255.0, 255.0),
        };
        let sample = |value: f64| value.round().clamp(0.0, 255.0) as u8;
        Self {
            y: sample(low + luma_span * luma),
            cb: sample(128.0 + chroma_span * cb),
            cr: sample(128.0 + chroma_span * cr),
        }
    }

    /// Its luma sample.
    #[must_use]
    pub fn luma(self) -> u8 {
        self.y
    }
}

impl Picture {
    /// A picture filled with `color`.
    ///
    /// # Panics
    /// If width or height is 0 or odd.
    #[must_use]
    pub fn new(width: usize, height: usize, color: Color) -> Self {
        assert!(width > 0 && height > 0, "a picture has pixels");
        assert!(width.is_multiple_of(2) && height.is_multiple_of(2), "4:2:0 needs even dimensions");
        Self {
            width,
            height,
            luma: vec![color.y; width * height],
            cb: vec![color.cb; width * height / 4],
            cr: vec![color.cr; width * height / 4],
        }
    }

    /// Pixels across.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// Pixels down.
    #[must_use]
    pub fn height(&self) -> usize {
        self.height
    }

    /// The luma samples, row by row.
    #[must_use]
    pub fn luma(&self) -> &[u8] {
        &self.luma
    }

    /// The samples of both colour differences, each row by row, half as wide and as high.
    #[must_use]
    pub fn chroma(&self) -> [&[u8]; 2] {
        [&self.cb, &self.cr]
    }

    /// Takes over the samples of a picture of the same size.
    ///
    /// # Panics
    /// If the sizes differ.
    pub fn copy_from(&mut self, other: &Self) {
        assert_eq!((self.width, self.height), (other.width, other.height), "same size");
        self.luma.copy_from_slice(&other.luma);
        self.cb.copy_from_slice(&other.cb);
        self.cr.copy_from_slice(&other.cr);
    }

    /// Fills a rectangle. Its colour covers whole pairs of pixels, its brightness is exact.
    pub fn fill(&mut self, rect: Rect, color: Color) {
        let (left, right) = span(rect.x, rect.width, self.width);
        let (top, bottom) = span(rect.y, rect.height, self.height);
        if left == right {
            return;
        }
        for row in top..bottom {
            self.luma[row * self.width..][left..right].fill(color.y);
        }
        let half = self.width / 2;
        for row in top / 2..bottom.div_ceil(2) {
            self.cb[row * half..][left / 2..right.div_ceil(2)].fill(color.cb);
            self.cr[row * half..][left / 2..right.div_ceil(2)].fill(color.cr);
        }
    }
}

/// The part of `from..from + len` that is below `end`.
fn span(from: usize, len: usize, end: usize) -> (usize, usize) {
    let from = from.min(end);
    (from, from.saturating_add(len).min(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_those_of_the_standard() {
        let of = |range, rgb| {
            let Color { y, cb, cr } = Color::rgb(range, rgb);
            (y, cb, cr)
        };
        assert_eq!(of(Range::Limited, [255; 3]), (235, 128, 128));
        assert_eq!(of(Range::Limited, [0; 3]), (16, 128, 128));
        assert_eq!(of(Range::Limited, [255, 0, 0]), (81, 90, 240));
        assert_eq!(of(Range::Full, [255; 3]), (255, 128, 128));
        assert_eq!(of(Range::Full, [0, 0, 255]), (29, 255, 107));
    }

    #[test]
    fn what_is_outside_is_not_drawn() {
        let black = Color::rgb(Range::Full, [0; 3]);
        let white = Color::rgb(Range::Full, [255; 3]);
        let mut picture = Picture::new(16, 8, black);
        picture.fill(Rect { x: 14, y: 6, width: 100, height: usize::MAX }, white);
        picture.fill(Rect { x: 99, y: 99, width: 1, height: 1 }, white);
        assert_eq!(picture.luma().iter().filter(|y| **y == 255).count(), 4);
    }
}
