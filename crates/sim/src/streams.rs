//! Cameras, and what should be recorded of them.

use std::sync::Arc;

use pegasus_base::{StreamName, Time, TimeRange};
use pegasus_continuous::{Continuous, Error, Item, Pushed, ReadOptions, Recorder};
use pegasus_media::{Codec, Shape, Track, TrackId, TrackSet, Unit};

use crate::{Finding, ensure, must};

/// Pictures from one key unit to the next.
const GROUP: u64 = 12;
/// Time from picture to picture.
const PICTURE_MS: i64 = 40;

/// One camera.
pub(crate) struct Camera {
    name: StreamName,
    /// Least and most bytes of a picture.
    len: (usize, usize),
    recorder: Option<Recorder>,
    /// Pictures of the recorder so far.
    pictures: u64,
    /// What was pushed and should be there, or may be there still.
    pushed: Vec<Picture>,
    /// How many of them are acknowledged.
    acknowledged: usize,
    /// It may have been deleted from the front: by retention, or because a deletion was cut short.
    eaten: bool,
    /// Bytes pushed since the last acknowledgement.
    waiting_bytes: usize,
}

/// A picture: all that is needed to make it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Picture {
    seed: u64,
    len: usize,
    time: Time,
    key: bool,
}

impl Picture {
    fn unit(self) -> Unit {
        let mut data = vec![0; self.len];
        fastrand::Rng::with_seed(self.seed).fill(&mut data);
        let ticks = self.time.as_ns() / 1_000_000 * 90;
        Unit {
            track: TrackId(0),
            pts: ticks,
            dts: ticks,
            time: self.time,
            duration: 0,
            key: self.key,
            data: data.into(),
        }
    }

    fn is(self, unit: &Unit) -> bool {
        // The data last: making it costs.
        unit.time == self.time && unit.data.len() == self.len && *unit == self.unit()
    }
}

fn tracks() -> TrackSet {
    Arc::from([Track {
        id: TrackId(0),
        codec: Codec::H264,
        clock_rate: 90_000,
        shape: Shape::Video { width: 640, height: 360 },
        config: bytes::Bytes::from_static(b"configuration"),
    }])
}

impl Camera {
    pub(crate) fn new(name: &str, len: (usize, usize)) -> Self {
        Self {
            name: name.parse().expect("it is a name"),
            len,
            recorder: None,
            pictures: 0,
            pushed: Vec::new(),
            acknowledged: 0,
            eaten: false,
            waiting_bytes: 0,
        }
    }

    /// Pushes some pictures, from `now` on; yields the time behind them.
    pub(crate) fn push(
        &mut self,
        store: &Continuous,
        now: Time,
        rng: &mut fastrand::Rng,
    ) -> Result<Time, Finding> {
        if self.recorder.is_none() {
            self.recorder = Some(must("recording", store.recorder(&self.name, tracks()))?);
            self.pictures = 0;
        }
        let behind = self.pushed.last().map(|last| last.time.offset_ns(PICTURE_MS * 1_000_000));
        if behind != Some(now) && self.pictures > 0 {
            // It was off for a while: what would be the length of the last picture is a pause.
            self.recorder.as_ref().expect("it was made").gap();
            self.pictures = 0;
        }
        let mut time = now;
        for _ in 0..rng.u32(1..30) {
            if self.waiting_bytes > 3 << 20 {
                break; // beyond what the queue takes, it would drop groups
            }
            let recorder = self.recorder.as_ref().expect("it was made");
            let key = self.pictures.is_multiple_of(GROUP);
            let len = rng.usize(self.len.0..self.len.1) * if key { 4 } else { 1 };
            let picture = Picture { seed: rng.u64(..), len, time, key };
            let pushed = recorder.push(Arc::new(picture.unit()));
            ensure(pushed == Pushed::Queued, || format!("{}: a unit was {pushed:?}", self.name))?;
            self.pushed.push(picture);
            self.pictures += 1;
            self.waiting_bytes += len;
            time = Time::from_ns(time.as_ns() + PICTURE_MS * 1_000_000);
        }
        Ok(time)
    }

    /// The model alone, for another store in the same state.
    pub(crate) fn model(&self) -> Self {
        Self {
            name: self.name.clone(),
            len: self.len,
            recorder: None,
            pictures: self.pictures,
            pushed: self.pushed.clone(),
            acknowledged: self.acknowledged,
            eaten: self.eaten,
            waiting_bytes: 0,
        }
    }

    /// The recorder ends: what comes next is another span.
    pub(crate) fn hang_up(&mut self) {
        self.recorder = None;
    }

    /// Everything pushed was committed.
    pub(crate) fn acknowledge(&mut self) {
        self.acknowledged = self.pushed.len();
        self.waiting_bytes = 0;
    }

    /// Retention may have taken the beginning.
    pub(crate) fn may_be_eaten(&mut self) {
        self.eaten = true;
    }

    /// Deletes everything. A cut may leave some of it.
    pub(crate) fn delete(&mut self, store: &Continuous) -> Result<(), Finding> {
        self.eaten = true;
        match store.delete(&self.name, None) {
            Ok(()) | Err(Error::UnknownStream { .. }) => {}
            Err(error) => return Err(Finding(format!("deleting {} failed: {error}", self.name))),
        }
        let left = store.read(&self.name, Time::MIN, ReadOptions::default());
        ensure(matches!(left, Err(Error::UnknownStream { .. })), || {
            format!("{} can be read after it was deleted", self.name)
        })
    }

    /// The deletion was acknowledged.
    pub(crate) fn deleted(&mut self) {
        self.pushed.clear();
        self.acknowledged = 0;
        self.eaten = false;
    }

    /// Reads some of what is durable, and compares.
    pub(crate) fn read_some(
        &self,
        store: &Continuous,
        rng: &mut fastrand::Rng,
    ) -> Result<bool, Finding> {
        if self.acknowledged == 0 {
            return Ok(false);
        }
        let at = rng.usize(..self.acknowledged);
        let from = self.pushed[at].time;
        let mut reader = match store.read(&self.name, from, ReadOptions::default()) {
            Err(Error::UnknownStream { .. }) if self.eaten => return Ok(false),
            reader => must("reading a recording", reader)?,
        };
        let (mut expected, mut left) = (None, rng.u32(1..40));
        while left > 0 {
            let Some(item) = must("reading a recording", reader.next())? else { break };
            let Item::Unit(unit) = item else { continue };
            left -= 1;
            let next = match expected {
                Some(next) => next,
                None => self.begin(at, &unit)?,
            };
            self.compare(next, &unit)?;
            expected = Some(next + 1);
        }
        ensure(expected.is_some() || self.eaten, || {
            format!("{} has nothing from {from} on", self.name)
        })?;
        Ok(expected.is_some())
    }

    /// The picture with which a reader has to begin that asked for the one `at`.
    fn begin(&self, at: usize, unit: &Unit) -> Result<usize, Finding> {
        let found = self.pushed.iter().position(|picture| picture.time == unit.time);
        let key = self.pushed[..=at].iter().rposition(|picture| picture.key);
        let right = match (found, key) {
            (Some(found), Some(key)) => found == key || (self.eaten && found > key),
            _ => false,
        };
        ensure(right, || {
            format!(
                "{}: asked for picture {at}, reading begins with {found:?}, not {key:?}",
                self.name
            )
        })?;
        Ok(found.expect("it is right"))
    }

    fn compare(&self, at: usize, unit: &Unit) -> Result<(), Finding> {
        let right = self.pushed.get(at).is_some_and(|picture| picture.is(unit));
        ensure(right, || {
            let there = self.pushed.iter().position(|picture| picture.is(unit));
            let (name, of) = (&self.name, self.pushed.len());
            match there {
                Some(there) => {
                    format!("{name}: in place of picture {at} of {of} is picture {there}")
                }
                None => {
                    format!("{name}: in place of picture {at} of {of} is one that was never pushed")
                }
            }
        })
    }

    /// After a cut: what is there is some of what was pushed, in order, without a hole, and all that was
    /// acknowledged. From then on that is what should be there.
    pub(crate) fn adopt(&mut self, store: &Continuous) -> Result<(), Finding> {
        self.recorder = None;
        self.waiting_bytes = 0;
        let found = self.read_all(store)?;
        let first = match found.first() {
            None => self.pushed.len(),
            Some(unit) => self.pushed.iter().position(|p| p.is(unit)).ok_or_else(|| {
                Finding(format!(
                    "{} begins with a picture that was never pushed: {}",
                    self.name, unit.time
                ))
            })?,
        };
        ensure(first == 0 || self.eaten || self.acknowledged == 0, || {
            format!("{} lost the first {first} of {} pictures", self.name, self.acknowledged)
        })?;
        let first = if found.is_empty() { 0 } else { first };
        for (at, unit) in (first..).zip(&found) {
            self.compare(at, unit)?;
        }
        let end = first + found.len();
        let all_eaten = found.is_empty() && self.eaten;
        ensure(end >= self.acknowledged || all_eaten, || {
            let (name, acknowledged) = (&self.name, self.acknowledged);
            format!("{name} ends with picture {end}, but {acknowledged} were acknowledged")
        })?;
        self.pushed.truncate(end);
        self.pushed.drain(..first.min(end));
        self.acknowledged = self.pushed.len();
        self.eaten = false;
        Ok(())
    }

    fn read_all(&self, store: &Continuous) -> Result<Vec<Unit>, Finding> {
        let mut reader = match store.read(&self.name, Time::MIN, ReadOptions::default()) {
            Err(Error::UnknownStream { .. }) => return Ok(Vec::new()),
            reader => must("reading a recording", reader)?,
        };
        let mut units = Vec::new();
        while let Some(item) = must("reading a recording", reader.next())? {
            if let Item::Unit(unit) = item {
                units.push(unit);
            }
        }
        let spans = must("listing spans", store.spans(&self.name, TimeRange::ALL))?;
        let counted: u64 = spans.iter().map(|span| span.units).sum();
        // Where retention cut a group of pictures, the rest of it can't be shown.
        let hidden = if self.eaten { GROUP } else { 0 };
        let there = units.len() as u64;
        ensure((there..=there + hidden).contains(&counted), || {
            format!("{}: the spans have {counted} pictures, {there} are there", self.name)
        })?;
        Ok(units)
    }
}
