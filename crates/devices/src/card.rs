//! What a test camera sees: moving patterns with a burnt-in clock and frame counter.

use pegasus_base::Time;

use crate::font::{CELL_HEIGHT, draw_text, text_width};
use crate::picture::{Color, Picture, Range, Rect};

/// Which picture a test camera sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// Colour bars, a grey ramp, a box that runs to and fro; clock and counter below.
    Card,
    /// A large clock on a dark ground, with a bar that grows through each second.
    Clock,
}

/// Draws a pattern: frame `n` at time `t` always gives the same picture.
///
/// Along the lower edge runs the frame counter in a form machines read, see [`read_counter`]; in the
/// first tenth of each second (UTC) a white square is lit in the upper right corner, together with
/// the beep of the sound.
pub struct Card {
    pattern: Pattern,
    title: String,
    palette: Palette,
    ground: Picture,
    picture: Picture,
}

struct Palette {
    black: Color,
    white: Color,
    dark: Color,
    mark: Color,
    range: Range,
}

/// Bits of the counter strip.
const COUNTER_BITS: usize = 32;

impl Card {
    /// A pattern of this size with `title` written on it.
    ///
    /// # Panics
    /// If width or height is odd, or below 160 by 96.
    #[must_use]
    pub fn new(
        pattern: Pattern,
        title: &str,
        (width, height): (usize, usize),
        range: Range,
    ) -> Self {
        assert!(width >= 160 && height >= 96, "{width} by {height} is too small for the clock");
        let color = |rgb| Color::rgb(range, rgb);
        let palette = Palette {
            black: color([0; 3]),
            white: color([255; 3]),
            dark: color([16, 24, 40]),
            mark: color([255, 160, 0]),
            range,
        };
        let mut ground = Picture::new(width, height, palette.dark);
        if pattern == Pattern::Card {
            draw_bars(&mut ground, &palette);
        }
        let picture = ground.clone();
        Self { pattern, title: title.to_owned(), palette, ground, picture }
    }

    /// Draws frame number `frame`, captured at `time`.
    pub fn draw(&mut self, frame: u64, time: Time) -> &Picture {
        self.picture.copy_from(&self.ground);
        match self.pattern {
            Pattern::Card => self.draw_card(frame, time),
            Pattern::Clock => self.draw_clock(frame, time),
        }
        self.draw_flash(time);
        self.draw_counter(frame);
        &self.picture
    }

    fn draw_card(&mut self, frame: u64, time: Time) {
        let (width, height) = (self.picture.width(), self.picture.height());
        let scale = (width / 150).max(1);
        // The box runs to and fro in four seconds, so its place tells the time as well.
        let side = (height / 8) & !1;
        let phase = time.as_ns().rem_euclid(4_000_000_000) as usize;
        let way = (width - side) * 2 * (phase / 1_000_000) / 4_000;
        let x = way.min((width - side) * 2 - way);
        let y = bars_height(height) / 2 - side / 2;
        self.picture.fill(Rect { x, y, width: side, height: side }, self.palette.black);
        let inner = Rect { x: x + 4, y: y + 4, width: side - 8, height: side - 8 };
        self.picture.fill(inner, self.palette.mark);
        let top = bars_height(height) + ramp_height(height) + 2 * scale;
        let line = (CELL_HEIGHT + 3) * scale;
        let clock = clock_text(time);
        self.centre(&clock, top, scale, self.palette.white);
        let below = format!("{}  #{frame:07}", self.title);
        self.centre(&below, top + line, scale, self.palette.mark);
    }

    fn draw_clock(&mut self, frame: u64, time: Time) {
        let (width, height) = (self.picture.width(), self.picture.height());
        let (large, small) = ((width / 54).max(1), (width / 150).max(1));
        self.centre(&self.title.clone(), height / 16, small, self.palette.mark);
        let text = clock_text(time);
        let (date, clock) = text.split_at(11);
        let (clock, milliseconds) = clock.split_at(8);
        self.centre(clock, height / 4, large, self.palette.white);
        let below = height / 4 + (CELL_HEIGHT + 2) * large;
        let line = format!("{date}{milliseconds}  #{frame:07}");
        self.centre(&line, below, small, self.palette.white);
        let passed = time.as_ns().rem_euclid(1_000_000_000) as usize / 1_000_000;
        let y = below + (CELL_HEIGHT + 4) * small;
        let bar = Rect { x: 0, y, width: width * passed / 1_000, height: height / 16 };
        self.picture.fill(bar, self.palette.mark);
    }

    fn draw_flash(&mut self, time: Time) {
        if in_beep(time) {
            let side = self.picture.height() / 10;
            let x = self.picture.width() - side;
            self.picture.fill(Rect { x, y: 0, width: side, height: side }, self.palette.white);
        }
    }

    fn draw_counter(&mut self, frame: u64) {
        let strip = strip(&self.picture);
        for bit in 0..COUNTER_BITS {
            let set = (frame >> (COUNTER_BITS - 1 - bit)) & 1 == 1;
            let color = if set { self.palette.white } else { self.palette.black };
            let x = bit * strip.width / COUNTER_BITS;
            let end = (bit + 1) * strip.width / COUNTER_BITS;
            self.picture.fill(Rect { x, width: end - x, ..strip }, color);
        }
    }

    fn centre(&mut self, text: &str, y: usize, scale: usize, color: Color) {
        let x = self.picture.width().saturating_sub(text_width(text, scale)) / 2;
        draw_text(&mut self.picture, text, (x, y), scale, color);
    }
}

/// Reads the frame counter (its low 32 bits) off a picture's luma samples: 32 cells, black or white,
/// the highest bit at the left, along the lower 1/24 of the picture. Survives lossy coding.
///
/// # Panics
/// If there are fewer samples than `width * height`.
#[must_use]
pub fn read_counter(luma: &[u8], width: usize, height: usize) -> u32 {
    let row = height - strip_height(height) / 2 - 1;
    let samples = &luma[row * width..][..width];
    (0..COUNTER_BITS).fold(0, |counter, bit| {
        let middle = (2 * bit + 1) * width / (2 * COUNTER_BITS);
        (counter << 1) | u32::from(samples[middle] >= 128)
    })
}

/// Whether sound beeps and picture flashes at `time`: in the first tenth of each second.
pub(crate) fn in_beep(time: Time) -> bool {
    time.as_ns().rem_euclid(1_000_000_000) < 100_000_000
}

fn strip_height(height: usize) -> usize {
    (height / 24).max(4)
}

fn strip(picture: &Picture) -> Rect {
    let height = strip_height(picture.height());
    Rect { x: 0, y: picture.height() - height, width: picture.width(), height }
}

fn bars_height(height: usize) -> usize {
    (height * 5 / 9) & !1
}

fn ramp_height(height: usize) -> usize {
    (height / 9) & !1
}

/// Eight bars at three quarters of full colour, and a ramp from black to white below them.
fn draw_bars(ground: &mut Picture, palette: &Palette) {
    let (width, height) = (ground.width(), ground.height());
    let bars = bars_height(height);
    for bar in 0..8_usize {
        // White, yellow, cyan, green, magenta, red, blue, black: green, red, blue count down.
        let on = |bit: usize| if ((7 - bar) >> bit) & 1 == 1 { 191 } else { 0 };
        let color = Color::rgb(palette.range, [on(1), on(2), on(0)]);
        let (x, end) = (bar * width / 8, (bar + 1) * width / 8);
        ground.fill(Rect { x, y: 0, width: end - x, height: bars }, color);
    }
    for step in 0..16 {
        let grey = Color::rgb(palette.range, [(step * 17) as u8; 3]);
        let (x, end) = (step * width / 16, (step + 1) * width / 16);
        ground.fill(Rect { x, y: bars, width: end - x, height: ramp_height(height) }, grey);
    }
}

/// `2026-11-20 03:12:07.250`, UTC.
fn clock_text(time: Time) -> String {
    let text = time.to_string(); // 2026-11-20T03:12:07.250000000Z
    text[..23].replace('T', " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(text: &str) -> Time {
        text.parse().unwrap()
    }

    #[test]
    fn the_counter_can_be_read_back() {
        for pattern in [Pattern::Card, Pattern::Clock] {
            for size in [(640, 360), (384, 216), (160, 96)] {
                let mut card = Card::new(pattern, "/test", size, Range::Limited);
                for frame in [0, 1, 2, 25, 90_000, 0xdead_beef] {
                    let picture = card.draw(frame, at("2026-11-20T03:12:07.25Z"));
                    let read = read_counter(picture.luma(), size.0, size.1);
                    assert_eq!(u64::from(read), frame, "{pattern:?} {size:?}");
                }
            }
        }
    }

    #[test]
    fn each_frame_differs_from_the_last_and_repeats_exactly() {
        let start = at("2026-11-20T03:12:07Z");
        for pattern in [Pattern::Card, Pattern::Clock] {
            let mut card = Card::new(pattern, "/test", (640, 360), Range::Full);
            let mut draw =
                |frame: u64| card.draw(frame, start + Duration::from_millis(40 * frame)).clone();
            let first: Vec<_> = (0..30).map(&mut draw).collect();
            assert!(first.windows(2).all(|pair| pair[0] != pair[1]));
            assert!((0..30).all(|frame| draw(frame) == first[frame as usize]));
        }
    }

    #[test]
    fn the_clock_shows_milliseconds() {
        assert_eq!(clock_text(at("2026-11-20T03:12:07.25Z")), "2026-11-20 03:12:07.250");
        assert_eq!(clock_text(Time::MIN), "1677-09-21 00:12:43.145");
        assert_eq!(clock_text(Time::MAX), "2262-04-11 23:47:16.854");
    }
}
