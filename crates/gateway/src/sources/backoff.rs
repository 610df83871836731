//! How long to wait before trying again.

use std::time::Duration;

/// The first wait, doubled after each failure up to the longest.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);

/// A source that was live so long has recovered: the next failure is a new one.
const RECOVERED: Duration = Duration::from_secs(30);

/// Waits of 1, 2, 4, 8, 16, 30, 30, ... seconds.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    last: Option<Duration>,
}

impl Backoff {
    /// The wait after a failure of something that had been live for `lasted`.
    pub(super) fn next(&mut self, lasted: Duration) -> Duration {
        let wait = match self.last {
            Some(last) if lasted < RECOVERED => (last * 2).min(LONGEST),
            _ => FIRST,
        };
        self.last = Some(wait);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_until_a_source_has_recovered() {
        let mut backoff = Backoff::default();
        let waits: Vec<u64> = (0..7).map(|_| backoff.next(Duration::ZERO).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(backoff.next(Duration::from_secs(31)).as_secs(), 1);
        assert_eq!(backoff.next(Duration::from_secs(29)).as_secs(), 2);
    }
}
