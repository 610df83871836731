//! Places of recordings: asked for at the doors, before anything is sent.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use pegasus_base::{BitRate, StreamName, Time};
use pegasus_media::TrackSet;
use serde::{Deserialize, Serialize};

use super::intake::{Array, Exceeding, Intake, Load, Said, guess_bps};
use super::office::Office;
use crate::error::Error;
use crate::inner::Inner;
use crate::store::Continuous;
use crate::stream::Stream;

/// What is shorter says little of a rate.
const TELLS: Duration = Duration::from_secs(5);

/// Who has a place, and when it was looked last.
#[derive(Debug)]
pub(crate) struct Places {
    begun: Instant,
    intake: Mutex<Intake>,
}

impl Default for Places {
    fn default() -> Self {
        Self { begun: Instant::now(), intake: Mutex::default() }
    }
}

impl Places {
    /// Looks at what each recording writes. To be called about every second.
    pub(crate) fn look(&self, inner: &Inner) {
        self.look_at(inner, self.begun.elapsed());
    }

    pub(crate) fn look_at(&self, inner: &Inner, now: Duration) {
        let attached = |stream: &Arc<Stream>| stream.queue(|queue| queue.is_attached());
        let streams: Vec<_> = inner.all_streams().into_iter().filter(attached).collect();
        let recorded = streams.iter().map(|stream| {
            let guess_bps = stream.queue(|queue| guess_bps(queue.tracks()));
            (&stream.name, stream.view(|view| view.after.bytes), guess_bps)
        });
        self.intake.lock().look(now, recorded);
    }
}

/// A recording's place among those that the disks can take. Held while it is published; dropped without
/// [`Place::give_back`] it is kept for a minute, for who comes back.
pub struct Place {
    inner: Arc<Inner>,
    name: StreamName,
    may_come_back: bool,
}

impl Place {
    /// Who had it says that he leaves.
    pub fn give_back(mut self) {
        self.may_come_back = false;
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Place").field(&self.name).finish()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let places = &self.inner.places;
        places.intake.lock().leave(&self.name, places.begun.elapsed(), self.may_come_back);
    }
}

/// Why a recording was refused, and what would do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecordingRefused {
    /// The stream.
    pub stream: StreamName,
    /// Bits a second that it is taken to need.
    pub rate_bps: u64,
    /// Where that is known from.
    pub said: Said,
    /// Recordings that have a place.
    pub recordings: u64,
    /// Share of the disks' time that all would take with it, in percent.
    pub takes_percent: f64,
    /// Share that recordings may take, in percent.
    pub limit_percent: f64,
    /// Bits a second of the greatest recording that would fit now; 0 if none does.
    pub fits_bps: u64,
}

impl fmt::Display for RecordingRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (stream, rate) = (&self.stream, BitRate(self.rate_bps));
        let known = match self.said {
            Said::Declared => "",
            Said::Before => ", as last time",
            Said::Guessed => ", which is a guess as nobody says",
        };
        write!(f, "the disks have no time to record {stream} at {rate}{known}: ")?;
        let (takes, limit) = (self.takes_percent, self.limit_percent);
        write!(f, "with the {} that have a place it takes {takes:.0} % of it, ", self.recordings)?;
        write!(f, "and recordings may take {limit:.0} %")?;
        match self.fits_bps {
            0 => write!(f, "; nothing more fits"),
            fits => write!(f, "; {} would fit now", BitRate(fits)),
        }
    }
}

/// How recordings go with what the disks can take.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct IntakeStatus {
    /// Share of the disks' time that recordings took in the last ten seconds, in percent; `None` while nobody knows what the disks
    /// can do.
    pub takes_percent: Option<f64>,
    /// Share that they may take, in percent.
    pub limit_percent: Option<f64>,
    /// Recordings refused since the store was opened.
    pub refused: u64,
    /// Who writes more than was said, by name.
    pub exceeding: Vec<Exceeding>,
}

impl IntakeStatus {
    /// Whether recordings take more than the disks have.
    #[must_use]
    pub fn is_overcommitted(&self) -> bool {
        self.takes_percent.zip(self.limit_percent).is_some_and(|(takes, limit)| takes > limit)
    }

    /// What is wrong, as a sentence, if they do.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        let (takes, limit) = self.takes_percent.zip(self.limit_percent)?;
        if takes <= limit {
            return None;
        }
        let mut text = format!(
            "the disks are over-committed: recordings take {takes:.0} % of their time, and may take {limit:.0} %"
        );
        for one in &self.exceeding {
            let Exceeding { stream, said_bps, writes_bps } = one;
            let (said, writes) = (BitRate(*said_bps), BitRate(*writes_bps));
            text += &format!("; {stream} writes {writes} and said {said}");
        }
        Some(text)
    }
}

impl Continuous {
    /// Asks for a place for a recording, before anything is sent: whether the disks can write it beside those that have
    /// a place, with no playback at all. `declared_bps` is what its sender says that it needs; without that it is what it took last time, and else
    /// a guess by its tracks. Who has a place already, for so much or more, keeps it. Where nobody knows what the disks can do everybody has one.
    ///
    /// A recorder may be opened without a place: it is counted, and not refused.
    ///
    /// # Errors
    /// [`Error::RecordingRefused`] with what would fit.
    pub fn place(
        &self,
        name: &StreamName,
        declared_bps: Option<u64>,
        tracks: &TrackSet,
    ) -> Result<Place, Error> {
        let inner = self.inner();
        let declared = declared_bps.filter(|bps| *bps > 0).map(|bps| (bps, Said::Declared));
        let (rate_bps, said) = match declared {
            Some(declared) => declared,
            None => match inner.before_bps(name) {
                Some(bps) => (bps, Said::Before),
                None => (guess_bps(tracks), Said::Guessed),
            },
        };
        let (array, office) = (inner.array(), inner.office());
        let mut intake = inner.places.intake.lock();
        let has_enough = intake.has_bps(name).is_some_and(|has| has >= rate_bps);
        if let Some(office) = office.filter(|_| !has_enough) {
            let (others, recordings) = intake.others(name, &array);
            let limit = office.recording_limit();
            let takes = |bps| office.recording_share(others + array.load(bps));
            let share = takes(rate_bps);
            if share > limit {
                intake.refused += 1;
                return Err(Error::RecordingRefused(Box::new(RecordingRefused {
                    stream: name.clone(),
                    rate_bps,
                    said,
                    recordings,
                    takes_percent: share * 100.0,
                    limit_percent: limit * 100.0,
                    fits_bps: greatest(rate_bps, |bps| takes(bps) <= limit),
                })));
            }
        }
        intake.enter(name, rate_bps, said);
        Ok(Place { inner: inner.clone(), name: name.clone(), may_come_back: true })
    }
}

/// The greatest rate below `refused_bps` that fits, to a hundredth of that, in bits a second.
fn greatest(refused_bps: u64, fits: impl Fn(u64) -> bool) -> u64 {
    let steps: Vec<u64> = (1..100).map(|percent| refused_bps * percent / 100).collect();
    steps.partition_point(|bps| fits(*bps)).checked_sub(1).map_or(0, |at| steps[at])
}

impl Inner {
    pub(crate) fn intake_status(&self) -> IntakeStatus {
        let (array, office) = (self.array(), self.office());
        let (written, refused, exceeding) = {
            let intake = self.places.intake.lock();
            (intake.written(&array), intake.refused, intake.exceeding())
        };
        IntakeStatus {
            takes_percent: office.as_ref().map(|office| office.recording_share(written) * 100.0),
            limit_percent: office.map(|office| office.recording_limit() * 100.0),
            refused,
            exceeding,
        }
    }

    /// What `name` took last time, in bits a second: what is remembered, or else the mean of its last span that says anything.
    fn before_bps(&self, name: &StreamName) -> Option<u64> {
        if let Some(bps) = self.places.intake.lock().before_bps(name) {
            return Some(bps);
        }
        let spans = self.stream(name)?.spans(&self.log, Time::MIN, Time::MAX).ok()?;
        spans.iter().rev().find_map(|span| {
            let lasted = span.end.since(span.head.start);
            let bytes = span.after.since(span.head.before).bytes;
            (lasted >= TELLS).then(|| (bytes as f64 * 8.0 / lasted.as_secs_f64()) as u64)
        })
    }

    fn array(&self) -> Array {
        let status = self.log.status();
        Array {
            data: f64::from(status.data),
            parity: f64::from(status.parity),
            disks: status.disks.len() as f64,
            commits_per_s: self.commit_interval().as_secs_f64().recip(),
        }
    }
}

impl Office {
    /// Share of the disks' time that writing takes, 0 to 1 and beyond.
    fn recording_share(&self, load: Load) -> f64 {
        self.takes(load.writes.ceil() as u32, load.bytes as u64).as_secs_f64()
    }

    /// Share that all recordings together may take: all but what is kept for everything else.
    fn recording_limit(&self) -> f64 {
        1.0 - f64::from(self.state.lock().terms.guarantee().others_percent) / 100.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_would_do_and_trouble_whose_it_is() {
        let mut refused = RecordingRefused {
            stream: "/cam/door".parse().unwrap(),
            rate_bps: 8_000_000,
            said: Said::Declared,
            recordings: 12,
            takes_percent: 104.3,
            limit_percent: 80.0,
            fits_bps: 2_100_000,
        };
        assert_eq!(
            refused.to_string(),
            "the disks have no time to record /cam/door at 8.0 Mb/s: with the 12 that have a place it takes 104 % of it, \
             and recordings may take 80 %; 2.1 Mb/s would fit now"
        );
        (refused.said, refused.fits_bps) = (Said::Guessed, 0);
        assert!(
            refused.to_string().contains("a guess")
                && refused.to_string().ends_with("nothing more fits")
        );
        let mut status = IntakeStatus {
            takes_percent: Some(96.0),
            limit_percent: Some(80.0),
            refused: 0,
            exceeding: vec![Exceeding {
                stream: "/cam/door".parse().unwrap(),
                said_bps: 4_000_000,
                writes_bps: 40_000_000,
            }],
        };
        let text = status.trouble().unwrap();
        assert!(text.ends_with("; /cam/door writes 40.0 Mb/s and said 4.0 Mb/s"), "{text}");
        status.takes_percent = Some(70.0);
        assert_eq!(
            status.trouble(),
            None,
            "who exceeds what he said where there is time hurts nobody"
        );
    }

    #[test]
    fn the_greatest_that_fits_is_found() {
        assert_eq!(greatest(1_000_000, |bps| bps <= 333_333), 330_000);
        assert_eq!(greatest(1_000_000, |_| false), 0);
    }
}
