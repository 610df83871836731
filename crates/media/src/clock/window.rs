//! The least of the last minute.

use std::collections::VecDeque;

use pegasus_base::Time;

/// The least value of about the last minute, in buckets of five seconds.
#[derive(Debug, Default)]
pub(super) struct Least {
    /// Start of a bucket and the least value in it.
    buckets: VecDeque<(Time, i128)>,
}

impl Least {
    /// Takes a value of the instant `now`.
    pub(super) fn push(&mut self, now: Time, value: i128) {
        match self.buckets.back_mut() {
            // A clock set back opens a new bucket as well.
            Some((start, least)) if (0..BUCKET_NS).contains(&now.ns_since(*start)) => {
                *least = value.min(*least);
            }
            _ => self.buckets.push_back((now, value)),
        }
        let old = |start: Time| now.ns_since(start) > BUCKETS as i64 * BUCKET_NS;
        while self.buckets.len() > BUCKETS || self.buckets.front().is_some_and(|b| old(b.0)) {
            self.buckets.pop_front();
        }
    }

    /// The least value held; `None` before the first.
    pub(super) fn least(&self) -> Option<i128> {
        self.buckets.iter().map(|(_, least)| *least).min()
    }
}

const BUCKETS: usize = 12;
const BUCKET_NS: i64 = 5_000_000_000;
