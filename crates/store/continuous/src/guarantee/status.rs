//! What is said of promises: to those who are refused, and to status pages.

use std::fmt;

use pegasus_base::{BitRate, StreamName};
use serde::{Deserialize, Serialize};

/// Why a playback was refused, and what would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// The stream that did not fit.
    pub stream: StreamName,
    /// Bits a second that its playback takes, all its disks together.
    pub rate_bps: u64,
    /// By how much the disks' time does not suffice in each period, in microseconds; 0 if no disk is fast enough even when idle.
    pub short_us: u64,
    /// The period, in milliseconds.
    pub period_ms: u64,
    /// Bits a second of the greatest playback like this one that would fit now; 0 if none does.
    pub fits_bps: u64,
    /// Playbacks that have a promise.
    pub playing: u64,
    /// When the first of them ends whose end is known, in milliseconds from now.
    pub first_end_ms: Option<u64>,
    /// How many wait for a promise.
    pub waiting: u64,
    /// Which of them this one is, 1 the next, if he waits.
    pub position: Option<u64>,
    /// Whether it would not fit though nobody played. Told to those who are ready to wait.
    pub never: bool,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stream, rate_bps, .. } = self;
        write!(f, "the disks have no time to play {stream} at {}: ", BitRate(*rate_bps))?;
        match self.short_us {
            0 if self.waiting > 0 => write!(f, "others wait for it")?,
            0 => write!(f, "they are not fast enough even when idle")?,
            short => {
                let (ms, period) = (short.div_ceil(1_000), self.period_ms);
                write!(f, "they are short of {ms} ms in every {period} ms")?;
            }
        }
        let playing = self.playing;
        match (self.fits_bps, playing) {
            (0, 0) => {}
            (0, _) => write!(f, "; nothing more fits beside the {playing} that play")?,
            (fits, _) => write!(f, "; {} would fit now", BitRate(fits))?,
        }
        if let Some(ms) = self.first_end_ms {
            write!(f, "; the first of them ends in {} s", ms.div_ceil(1_000))?;
        }
        match (self.position, self.waiting) {
            (Some(position), _) => write!(f, "; it waited, and was number {position} in line"),
            (None, 0) => Ok(()),
            (None, waiting) => write!(f, "; {waiting} wait"),
        }
    }
}

/// A playback that has a promise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlaybackStatus {
    /// The promise it belongs to; those of one promise were admitted together.
    pub promise: u64,
    /// What is played.
    pub stream: StreamName,
    /// How fast: 1 is as recorded, negative is backwards.
    pub scale: f64,
    /// Bits a second that are reserved for it.
    pub reserved_bps: u64,
    /// Bits a second of what it plays, on the average.
    pub mean_bps: u64,
    /// Bits a second of what it plays, where it takes most.
    pub peak_bps: u64,
    /// Bytes read ahead of it.
    pub held_bytes: u64,
    /// Blocks it was given from what was read ahead.
    pub blocks: u64,
    /// Blocks that were not there when they were wanted: 0 as long as the promise is kept.
    pub late_blocks: u64,
}

/// How promises are kept.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct GuaranteeStatus {
    /// The time period in milliseconds.
    pub period_ms: u64,
    /// Share of the disks' time in each period that is promised to playbacks, in percent of what they may have.
    pub promised_percent: f64,
    /// Share of the disks' time that recordings take, in percent.
    pub recording_percent: f64,
    /// Share of it that is kept for playbacks that are not read ahead: by key units, and backwards.
    pub aside_percent: f64,
    /// Share kept for everything else, in percent.
    pub others_percent: f64,
    /// How many times as long as their profiles say the disks take: 1 if they are what they seemed.
    pub slowdown: f64,
    /// Bits a second of the greatest playback from all disks that would fit now.
    pub fits_bps: u64,
    /// Who plays, in the order of admission.
    pub playbacks: Vec<PlaybackStatus>,
    /// How many wait for a promise.
    pub waiting: u64,
    /// Playbacks admitted and refused, and promises taken back because disks were slower than they seemed.
    pub admitted: u64,
    /// See `admitted`.
    pub refused: u64,
    /// See `admitted`.
    pub withdrawn: u64,
    /// Batches of reads, and those that were not done in time.
    pub batches: u64,
    /// See `batches`.
    pub late_batches: u64,
    /// Blocks that were not there when a viewer wanted them, of all playbacks ever.
    pub late_blocks: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_would_do() {
        let mut refused = Refused {
            stream: "/cam/door".parse().unwrap(),
            rate_bps: 8_000_000,
            short_us: 2_500,
            period_ms: 2_000,
            fits_bps: 4_100_000,
            playing: 12,
            first_end_ms: Some(61_200),
            waiting: 0,
            position: None,
            never: false,
        };
        assert_eq!(
            refused.to_string(),
            "the disks have no time to play /cam/door at 8.0 Mb/s: they are short of 3 ms in every 2000 ms; \
             4.1 Mb/s would fit now; the first of them ends in 62 s"
        );
        (refused.fits_bps, refused.first_end_ms) = (0, None);
        let text = refused.to_string();
        assert!(text.ends_with("; nothing more fits beside the 12 that play"), "{text}");
        (refused.waiting, refused.position) = (3, Some(2));
        let text = refused.to_string();
        assert!(text.ends_with("; it waited, and was number 2 in line"), "{text}");
    }
}
