//! How fast, and which way: the headers `Scale` and `Speed` (RFC 2326, 12.34 and 12.35).
//!
//! `Scale` is about what is shown: 2 shows two seconds of recording in one, -1 shows them backwards. `Speed`
//! is about how fast it is sent: with 2 a second of pictures arrives in half a second, to be shown in one.
//!
//! | scale | what is sent |
//! | --- | --- |
//! | 1 | everything |
//! | below 2, not 1 | the pictures, all of them |
//! | 2 and more, and below 0 | key pictures, of the first video track |

use std::fmt;
use std::time::Duration;

use pegasus_media::{Kind, Track};

use super::dialogue::Refusal;
use super::message::{Request, Status};
use super::range::Range;

/// The fastest and the slowest scale, either way, in thousandths.
const SCALE_MAX: i64 = 32_000;
const SCALE_MIN: i64 = 125;

/// The highest and the lowest speed, in thousandths.
const SPEED_MAX: i64 = 4_000;
const SPEED_MIN: i64 = 250;

/// From this scale on only key pictures are sent.
const KEYS_FROM: i64 = 2_000;

/// About so many key pictures are sent in a second of the player's at most.
const KEYS_A_SECOND: u32 = 8;

/// What a playback is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Matter {
    /// Every unit.
    All,
    /// Every picture.
    Pictures,
    /// Key pictures.
    Keys,
}

/// A thousandth of what the headers say: exact, and never out of range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    scale: i64,
    speed: i64,
}

/// What a request says; headers that it does not have are none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    scale: Option<i64>,
    speed: Option<i64>,
}

impl Rate {
    /// As it was captured, at the time it takes.
    pub const NORMAL: Self = Self { scale: 1_000, speed: 1_000 };

    /// Whether later pictures come first.
    #[must_use]
    pub const fn is_backward(self) -> bool {
        self.scale < 0
    }

    /// What is sent.
    #[must_use]
    pub const fn matter(self) -> Matter {
        match self.scale {
            1_000 => Matter::All,
            1..KEYS_FROM => Matter::Pictures,
            _ => Matter::Keys,
        }
    }

    /// How much recorded time lies at least between two key pictures. It is a tenth less than it would have to
    /// be: where they come just so often, their times vary a little, and none is to be left out for that.
    #[must_use]
    pub fn every(self) -> Duration {
        Duration::from_millis(self.scale.unsigned_abs()) * 9 / 10 / KEYS_A_SECOND
    }

    /// For how long so much recorded time is shown, in any unit; negative where it goes backwards.
    #[must_use]
    pub fn shown(self, time: i64) -> i64 {
        divided(time, self.scale)
    }

    /// How long it takes to send what is shown for so long, in any unit.
    #[must_use]
    pub fn sent(self, time: i64) -> i64 {
        divided(time, self.speed)
    }

    /// What can be served of it to a player that has set up `chosen` of `tracks`: without the first video
    /// track there is nothing to leave out, and scale is 1.
    ///
    /// # Errors
    /// 456 if it is to go backwards then.
    pub fn served(self, tracks: &[Track], chosen: &[usize]) -> Result<Self, Refusal> {
        let first = tracks.iter().position(|track| track.kind() == Kind::Video);
        if self.matter() == Matter::All || first.is_some_and(|first| chosen.contains(&first)) {
            return Ok(self);
        }
        if self.is_backward() {
            let why = "only pictures play backwards; set up the first video track";
            return Err(Refusal::new(Status::HEADER_NOT_VALID, why));
        }
        Ok(Self { scale: Self::NORMAL.scale, ..self })
    }

    /// The values of the headers `Scale` and `Speed`.
    #[must_use]
    pub fn headers(self) -> [(&'static str, String); 2] {
        [("Scale", text(self.scale)), ("Speed", text(self.speed))]
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "scale {}, speed {}", text(self.scale), text(self.speed))
    }
}

impl Asked {
    /// Reads the headers of a PLAY. What is beyond the limits is the nearest within them.
    ///
    /// # Errors
    /// 400 if one is no number, or nothing at all would be shown.
    pub fn of(request: &Request) -> Result<Self, Refusal> {
        let header = |name| request.headers.get(name).map(|text| (name, text));
        let scale = header("Scale").map(|(name, text)| thousandths(name, text)).transpose()?;
        let speed = header("Speed").map(|(name, text)| thousandths(name, text)).transpose()?;
        if let Some(backward) = speed.filter(|speed| *speed < 0) {
            let why = format!("Speed can't be {}; Scale says which way", text(backward));
            return Err(Refusal::new(Status::BAD_REQUEST, why));
        }
        let scale = scale.map(|scale| scale.signum() * scale.abs().clamp(SCALE_MIN, SCALE_MAX));
        let speed = speed.map(|speed| speed.clamp(SPEED_MIN, SPEED_MAX));
        Ok(Self { scale, speed })
    }

    /// The rate, where what is not said stays as in `current`.
    #[must_use]
    pub fn or(self, current: Rate) -> Rate {
        Rate {
            scale: self.scale.unwrap_or(current.scale),
            speed: self.speed.unwrap_or(current.speed),
        }
    }

    /// Whether nothing is said.
    #[must_use]
    pub fn is_nothing(self) -> bool {
        self == Self::default()
    }

    /// The range of the request, which goes the way that the scale says.
    ///
    /// # Errors
    /// 457 if it does not, or can't be read.
    pub fn range(self, request: &Request) -> Result<Option<Range>, Refusal> {
        let parse = match self.scale {
            Some(..0) => Range::parse_back,
            _ => Range::parse,
        };
        let range = request.headers.get("Range").map(parse).transpose();
        range.map_err(|error| Refusal::new(Status::INVALID_RANGE, error))
    }
}

/// Divides by thousandths.
fn divided(time: i64, by: i64) -> i64 {
    let time = i128::from(time) * 1_000 / i128::from(by);
    i64::try_from(time).unwrap_or(if time < 0 { i64::MIN } else { i64::MAX })
}

/// Reads `[-]digits[.digits]`, saturating far beyond all limits. Never 0.
fn thousandths(name: &str, text: &str) -> Result<i64, Refusal> {
    let bad = |why: &str| {
        let text: String = text.chars().take(40).collect();
        Refusal::new(Status::BAD_REQUEST, format!("{name} can't be '{text}': {why}"))
    };
    let no_number = || bad("write a number such as 8 or -0.5");
    let value = text.trim();
    let (negative, value) = match value.strip_prefix('-') {
        Some(value) => (true, value),
        None => (false, value),
    };
    let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) {
        return Err(no_number());
    }
    if value.bytes().all(|b| matches!(b, b'0' | b'.')) {
        return Err(bad("nothing would be shown; PAUSE holds"));
    }
    // Only digits: what does not fit is large.
    let whole = whole.parse::<i64>().unwrap_or(i64::MAX).min(1_000_000);
    let fraction = fraction.bytes().chain(std::iter::repeat(b'0')).take(3);
    let fraction = fraction.fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
    let size = (whole * 1_000 + fraction).max(1);
    Ok(if negative { -size } else { size })
}

/// Thousandths as a number, with one digit behind the point at least.
fn text(thousandths: i64) -> String {
    let (sign, size) = (if thousandths < 0 { "-" } else { "" }, thousandths.unsigned_abs());
    let fraction = format!("{:03}", size % 1_000);
    let fraction = match fraction.trim_end_matches('0') {
        "" => "0",
        digits => digits,
    };
    format!("{sign}{}.{fraction}", size / 1_000)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use pegasus_media::{Codec, Shape, TrackId};
    use proptest::prelude::*;

    use super::super::message::Method;
    use super::*;

    fn asked(headers: &[(&str, &str)]) -> Result<Asked, Refusal> {
        let play = Request::new(Method::Play, "rtsp://h/cam");
        Asked::of(&headers.iter().fold(play, |play, (name, value)| play.with(name, *value)))
    }

    fn scale(text: &str) -> Result<String, u16> {
        let rate = asked(&[("Scale", text)]).map(|asked| asked.or(Rate::NORMAL));
        rate.map(|rate| rate.headers()[0].1.clone()).map_err(|refusal| refusal.status.0)
    }

    #[test]
    fn scales_that_are_served_and_those_that_are_not() {
        for (asked, served) in [
            ("1", "1.0"),
            ("8.000", "8.0"),
            (" -32 ", "-32.0"),
            ("2.5", "2.5"),
            ("0.25", "0.25"),
            ("0.0001", "0.125"),
            ("-0.01", "-0.125"),
            ("1000", "32.0"),
            ("-99999999999999999999999999", "-32.0"),
            ("5.", "5.0"),
            ("1.9999", "1.999"),
        ] {
            assert_eq!(scale(asked).as_deref(), Ok(served), "{asked}");
        }
        for bad in
            ["", "0", "0.000", "-0", "nan", "inf", "1e30", "abc", "--8", "+8", "8x", ".", "8,5"]
        {
            assert_eq!(scale(bad), Err(400), "{bad}");
        }
        for bad in ["-1", "0", "fast"] {
            assert_eq!(asked(&[("Speed", bad)]).unwrap_err().status.0, 400, "{bad}");
        }
        let fast = asked(&[("Speed", "9"), ("Scale", "-2")]).unwrap().or(Rate::NORMAL);
        assert_eq!(fast.to_string(), "scale -2.0, speed 4.0");
        assert_eq!(asked(&[]).unwrap().or(fast), fast);
    }

    #[test]
    fn what_is_sent_at_which_scale() {
        let rate = |text| asked(&[("Scale", text)]).unwrap().or(Rate::NORMAL);
        for (text, matter) in [
            ("1", Matter::All),
            ("0.5", Matter::Pictures),
            ("1.5", Matter::Pictures),
            ("2", Matter::Keys),
            ("-0.5", Matter::Keys),
            ("-16", Matter::Keys),
        ] {
            assert_eq!(rate(text).matter(), matter, "{text}");
        }
        assert_eq!(rate("-16").every(), Duration::from_millis(1_800));
        assert_eq!(rate("-4").shown(8_000), -2_000);
        assert_eq!(rate("0.5").shown(i64::MAX), i64::MAX);
    }

    #[test]
    fn without_pictures_there_is_one_scale() {
        let track = |codec, shape| Track {
            id: TrackId(0),
            codec,
            clock_rate: 90_000,
            shape,
            config: Bytes::new(),
        };
        let sound = track(Codec::Pcmu, Shape::Audio { channels: 1, sample_rate: 8_000 });
        let pictures = track(Codec::H264, Shape::Video { width: 0, height: 0 });
        let tracks = [sound, pictures];
        let rate = |text| asked(&[("Scale", text), ("Speed", "2")]).unwrap().or(Rate::NORMAL);
        assert_eq!(rate("8").served(&tracks, &[0, 1]), Ok(rate("8")));
        assert_eq!(rate("8").served(&tracks, &[0]), Ok(rate("1")));
        assert_eq!(rate("8").served(&tracks[..1], &[0]), Ok(rate("1")));
        let refusal = rate("-8").served(&tracks, &[0]).unwrap_err();
        assert_eq!(refusal.status.0, 456, "{}", refusal.why);
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,40}", digits in "-?[0-9]{0,40}\\.?[0-9]{0,9}") {
            let _ = scale(&text);
            let Ok(served) = scale(&digits) else { return Ok(()) };
            prop_assert_eq!(scale(&served), Ok(served.clone()), "what is served is served again");
        }
    }
}
