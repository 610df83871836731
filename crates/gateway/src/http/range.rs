//! Byte ranges of HTTP (RFC 9110, 14).

use std::ops::Range;

/// What a request's `Range` header asks of a representation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// All of it: there is no header, or one that a server may ignore (RFC 9110, 14.2): malformed, of
    /// another unit, or of several ranges.
    Whole,
    /// This part, not empty and inside.
    Part(Range<u64>),
    /// Nothing that exists: answered by 416.
    Nothing,
}

/// Reads a `Range` header for a representation of `len_bytes`.
///
/// ```
/// use pegasus_gateway::http::range::{Asked, asked};
/// assert_eq!(asked(Some("bytes=0-99"), 1_000), Asked::Part(0..100));
/// assert_eq!(asked(Some("bytes=-100"), 1_000), Asked::Part(900..1_000));
/// assert_eq!(asked(Some("bytes=1000-"), 1_000), Asked::Nothing);
/// assert_eq!(asked(None, 1_000), Asked::Whole);
/// ```
#[must_use]
pub fn asked(header: Option<&str>, len_bytes: u64) -> Asked {
    header.and_then(parse).map_or(Asked::Whole, |spec| spec.of(len_bytes))
}

/// The value of `Content-Range` for a part.
#[must_use]
pub fn content_range(part: &Range<u64>, len_bytes: u64) -> String {
    format!("bytes {}-{}/{len_bytes}", part.start, part.end.saturating_sub(1))
}

enum Spec {
    /// First and last byte.
    From(u64, Option<u64>),
    /// So many last bytes.
    Last(u64),
}

fn parse(header: &str) -> Option<Spec> {
    let (unit, set) = header.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") || set.contains(',') {
        return None;
    }
    let (first, last) = set.trim().split_once('-')?;
    match (first, last) {
        ("", suffix) => Some(Spec::Last(number(suffix)?)),
        (first, "") => Some(Spec::From(number(first)?, None)),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some(Spec::From(first, Some(last)))
        }
    }
}

/// Digits only; more than fit are as good as the largest.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

impl Spec {
    fn of(self, len: u64) -> Asked {
        let part = match self {
            Self::From(first, last) => {
                first..last.map_or(len, |last| last.saturating_add(1).min(len))
            }
            Self::Last(count) => len.saturating_sub(count)..len,
        };
        if part.is_empty() { Asked::Nothing } else { Asked::Part(part) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn headers_a_server_ignores() {
        for header in [
            "",
            "bytes",
            "items=0-1",
            "bytes=5-2",
            "bytes=a-b",
            "bytes=0-1,3-4",
            "bytes=-",
            "bytes=+1-2",
        ] {
            assert_eq!(asked(Some(header), 10), Asked::Whole, "{header}");
        }
    }

    #[test]
    fn edges() {
        assert_eq!(asked(Some("bytes=0-0"), 1), Asked::Part(0..1));
        assert_eq!(asked(Some("bytes=0-"), 0), Asked::Nothing);
        assert_eq!(asked(Some("bytes=-0"), 10), Asked::Nothing);
        assert_eq!(asked(Some("bytes=-99"), 10), Asked::Part(0..10));
        assert_eq!(asked(Some("bytes=3-99999999999999999999999"), 10), Asked::Part(3..10));
        assert_eq!(asked(Some("Bytes = 3-4"), 10), Asked::Part(3..5));
        assert_eq!(content_range(&(3..5), 10), "bytes 3-4/10");
    }

    proptest! {
        #[test]
        fn a_part_is_always_inside(header in "(bytes=)?[0-9]{0,21}-[0-9]{0,21}|.{0,30}", len in 0..5_000_u64) {
            if let Asked::Part(part) = asked(Some(&header), len) {
                prop_assert!(part.start < part.end && part.end <= len);
            }
        }
    }
}
