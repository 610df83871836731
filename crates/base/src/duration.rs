//! Durations as people type them.

use std::fmt::Write as _;
use std::time::Duration;

/// Reads `1h30m`, `1.5s`, `250ms`, `30d` or a bare number of seconds. `None` for anything else.
///
/// ```
/// use std::time::Duration;
/// assert_eq!(pegasus_base::parse_duration("1h30m"), Some(Duration::from_secs(5_400)));
/// assert_eq!(pegasus_base::parse_duration("soon"), None);
/// ```
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total_s = 0.0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let value: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        total_s += value
            * match &rest[..letters] {
                "ms" => 1e-3,
                "" | "s" => 1.0,
                "m" | "min" => 60.0,
                "h" => 3_600.0,
                "d" => 86_400.0,
                _ => return None,
            };
        rest = &rest[letters..];
    }
    Duration::try_from_secs_f64(total_s).ok()
}

/// Prints whole seconds as [`parse_duration`] reads them, two units at most: `1d 2h`, `4m 5s`.
#[must_use]
pub fn format_duration(d: Duration) -> String {
    let mut rest = d.as_secs();
    let mut text = String::new();
    let mut parts = 0;
    for (unit, seconds) in [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)] {
        let count = rest / seconds;
        rest %= seconds;
        if count > 0 && parts < 2 {
            let space = if parts > 0 { " " } else { "" };
            let _ = write!(text, "{space}{count}{unit}");
            parts += 1;
        } else if parts > 0 {
            break;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_most_two_units_print() {
        for (s, text) in
            [(0, "0s"), (59, "59s"), (3_600, "1h"), (3_661, "1h 1m"), (90_061, "1d 1h")]
        {
            assert_eq!(format_duration(Duration::from_secs(s)), text);
        }
    }
}
