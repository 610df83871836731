//! Which recordings the disks are asked to take: what each said that it would write, and what it writes. Pure.
//!
//! A recording counts as what it said until it has been measured for ten seconds, and from then on as the most that it wrote
//! in any ten seconds of the last ten minutes: what is dark for a moment is not given to others at once. Who is gone without having said
//! so keeps his place for a minute, so that a camera that lost its connection finds it again.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use pegasus_base::StreamName;
use pegasus_media::{Kind, Track};
use serde::{Deserialize, Serialize};

/// How long a recording is looked at before it counts as what it writes.
const MEASURED: Duration = Duration::from_secs(10);
/// Of so many such times the greatest counts.
const TIMES: usize = 60;
/// How long a place is kept for who comes back.
const KEPT: Duration = Duration::from_secs(60);
/// What is more than this times what it said exceeds it: rates are told roundly, and pictures come in groups.
const TOLERANCE: f64 = 1.25;
/// What is guessed of tracks of which nobody says anything, in bits a second.
const GUESS_VIDEO_BPS: u64 = 4_000_000;
const GUESS_AUDIO_BPS: u64 = 128_000;
/// A recording's blocks are as wide as they are multiples of this: see `Geometry`.
const FRAGMENT_BYTES: f64 = 65_536.0;
/// What a fragment takes beyond its share: header and padding, on the average.
const OVERHEAD_BYTES: f64 = 4_096.0;

/// Where the rate is known from that a recording is taken to need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Said {
    /// Whoever sends it said so.
    Declared,
    /// It took so much last time.
    Before,
    /// Nobody knows: by its tracks.
    Guessed,
}

/// What recordings do to each disk in a second.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Load {
    pub(crate) writes: f64,
    pub(crate) bytes: f64,
}

impl std::ops::Add for Load {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { writes: self.writes + other.writes, bytes: self.bytes + other.bytes }
    }
}

/// What makes a load of a rate.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Array {
    pub(crate) data: f64,
    pub(crate) parity: f64,
    pub(crate) disks: f64,
    pub(crate) commits_per_s: f64,
}

impl Array {
    /// What a recording of `bps` does to each disk, on the average.
    pub(crate) fn load(&self, bps: u64) -> Load {
        if bps == 0 {
            return Load::default();
        }
        let bytes = bps as f64 / 8.0;
        let width =
            (bytes / self.commits_per_s / FRAGMENT_BYTES).ceil().clamp(1.0, self.data.max(1.0));
        let columns = width + self.parity;
        let writes = columns * self.commits_per_s;
        let bytes = bytes * columns / width + writes * OVERHEAD_BYTES;
        let disks = self.disks.max(1.0);
        Load { writes: writes / disks, bytes: bytes / disks }
    }
}

/// A recording that writes more than it said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exceeding {
    /// The stream.
    pub stream: StreamName,
    /// Bits a second that it said, or took last time.
    pub said_bps: u64,
    /// Bits a second that it wrote in the last ten seconds.
    pub writes_bps: u64,
}

/// What is asked of the disks, by stream.
#[derive(Debug, Default)]
pub(crate) struct Intake {
    claims: BTreeMap<StreamName, Claim>,
    pub(crate) refused: u64,
}

#[derive(Debug)]
struct Claim {
    said: Said,
    said_bps: u64,
    /// How many have a place by this name; more than one only while one follows another.
    places: u32,
    is_recorded: bool,
    /// When the last of them was gone.
    left: Option<Duration>,
    /// Bytes written altogether, at each look of the last ten seconds.
    looks: VecDeque<(Duration, u64)>,
    /// Bits a second in each ten seconds, the last first.
    times: VecDeque<u64>,
    timed: Duration,
}

impl Claim {
    fn new(said_bps: u64, said: Said) -> Self {
        Self {
            said,
            said_bps,
            places: 0,
            is_recorded: false,
            left: None,
            looks: VecDeque::new(),
            times: VecDeque::new(),
            timed: Duration::ZERO,
        }
    }

    /// Bits a second of late; `None` if it has not been seen twice.
    fn late_bps(&self) -> Option<u64> {
        let (&(first, from), &(last, to)) = (self.looks.front()?, self.looks.back()?);
        let second = last.saturating_sub(first).as_secs_f64();
        (second > 0.0).then(|| (to.saturating_sub(from) as f64 * 8.0 / second) as u64)
    }

    /// Bits a second in the last ten seconds; `None` if it is not that old.
    fn writes_bps(&self) -> Option<u64> {
        let (first, last) = (self.looks.front()?.0, self.looks.back()?.0);
        self.late_bps().filter(|_| last.saturating_sub(first) >= MEASURED)
    }

    /// Bits a second that it counts as.
    fn counts_bps(&self) -> u64 {
        match self.times.iter().copied().chain(self.writes_bps()).max() {
            Some(measured) => measured,
            None => self.said_bps.max(self.late_bps().unwrap_or(0)),
        }
    }

    fn look(&mut self, now: Duration, bytes: u64) {
        if self.looks.is_empty() {
            self.timed = now;
        }
        self.looks.push_back((now, bytes));
        while self.looks.get(1).is_some_and(|(at, _)| now.saturating_sub(*at) >= MEASURED) {
            self.looks.pop_front();
        }
        if let Some(bps) = self.writes_bps().filter(|_| now.saturating_sub(self.timed) >= MEASURED)
        {
            self.timed = now;
            self.times.push_front(bps);
            self.times.truncate(TIMES);
        }
    }

    /// Nobody records it any more.
    fn stop(&mut self) {
        if let Some(bps) = self.times.iter().copied().max() {
            (self.said, self.said_bps) = (Said::Before, bps);
        }
        self.is_recorded = false;
        self.looks.clear();
        self.times.clear();
    }

    fn is_over(&self, now: Duration) -> bool {
        let gone = self.places == 0 && !self.is_recorded;
        gone && self.left.is_none_or(|left| now.saturating_sub(left) >= KEPT)
    }
}

impl Intake {
    /// Somebody has a place for `name`.
    pub(crate) fn enter(&mut self, name: &StreamName, said_bps: u64, said: Said) {
        let claim = self.claims.entry(name.clone()).or_insert_with(|| Claim::new(said_bps, said));
        (claim.said, claim.said_bps) = (said, said_bps);
        claim.places += 1;
        claim.left = None;
    }

    /// He is gone. Whether he may come back: who has not said that he leaves keeps his place for a while.
    pub(crate) fn leave(&mut self, name: &StreamName, now: Duration, may_come_back: bool) {
        let Some(claim) = self.claims.get_mut(name) else { return };
        claim.places = claim.places.saturating_sub(1);
        if claim.places == 0 {
            claim.left = may_come_back.then_some(now);
            if !may_come_back && !claim.is_recorded {
                self.claims.remove(name);
            }
        }
    }

    /// These are being recorded, and so many bytes were written of each altogether. To be told about every second.
    pub(crate) fn look<'a>(
        &mut self,
        now: Duration,
        recorded: impl IntoIterator<Item = (&'a StreamName, u64, u64)>,
    ) {
        let mut seen = BTreeMap::new();
        for (name, bytes, guess_bps) in recorded {
            // Who has not asked is counted all the same.
            let new = || Claim::new(guess_bps, Said::Guessed);
            let claim = self.claims.entry(name.clone()).or_insert_with(new);
            claim.is_recorded = true;
            claim.look(now, bytes);
            seen.insert(name, ());
        }
        for (name, claim) in &mut self.claims {
            if claim.is_recorded && !seen.contains_key(name) {
                claim.stop();
            }
        }
        self.claims.retain(|_, claim| !claim.is_over(now));
    }

    /// What `name` took when it was here last, in bits a second, if that is remembered.
    pub(crate) fn before_bps(&self, name: &StreamName) -> Option<u64> {
        let claim = self.claims.get(name)?;
        let measured = claim.times.iter().copied().max();
        measured.or((claim.said == Said::Before).then_some(claim.said_bps))
    }

    /// What `name` counts as in bits a second, if it has a place or is recorded.
    pub(crate) fn has_bps(&self, name: &StreamName) -> Option<u64> {
        self.claims.get(name).map(Claim::counts_bps)
    }

    /// What all but `name` come to, and how many they are.
    pub(crate) fn others(&self, name: &StreamName, array: &Array) -> (Load, u64) {
        let others = self.claims.iter().filter(|(other, _)| *other != name);
        others.fold((Load::default(), 0), |(load, count), (_, claim)| {
            (load + array.load(claim.counts_bps()), count + 1)
        })
    }

    /// What was really written in the last ten seconds.
    pub(crate) fn written(&self, array: &Array) -> Load {
        let late = self.claims.values().filter_map(Claim::late_bps);
        late.fold(Load::default(), |load, bps| load + array.load(bps))
    }

    /// Who writes more than he said; what was guessed is nobody's word.
    pub(crate) fn exceeding(&self) -> Vec<Exceeding> {
        let one = |(name, claim): (&StreamName, &Claim)| {
            let writes_bps = claim.writes_bps()?;
            let exceeds = claim.said != Said::Guessed
                && writes_bps as f64 > claim.said_bps as f64 * TOLERANCE;
            let said_bps = claim.said_bps;
            exceeds.then(|| Exceeding { stream: name.clone(), said_bps, writes_bps })
        };
        self.claims.iter().filter_map(one).collect()
    }
}

/// What tracks take of which nobody says anything, in bits a second.
pub(crate) fn guess_bps(tracks: &[Track]) -> u64 {
    let guess = |track: &Track| match track.kind() {
        Kind::Video => GUESS_VIDEO_BPS,
        Kind::Audio => GUESS_AUDIO_BPS,
    };
    tracks.iter().map(guess).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ARRAY: Array = Array { data: 4.0, parity: 1.0, disks: 5.0, commits_per_s: 2.0 };

    fn name(text: &str) -> StreamName {
        text.parse().unwrap()
    }

    fn seconds(s: u64) -> Duration {
        Duration::from_secs(s)
    }

    /// What `name` counts as, in bits a second.
    fn counts(intake: &Intake, name: &StreamName) -> u64 {
        intake.claims.get(name).map_or(0, Claim::counts_bps)
    }

    #[test]
    fn a_load_is_as_wide_as_the_rate_is_worth() {
        let narrow = ARRAY.load(64_000);
        assert_eq!(narrow.writes, 2.0 * 2.0 / 5.0, "a column and its parity, twice a second");
        let wide = ARRAY.load(80_000_000);
        assert_eq!(wide.writes, 2.0);
        let bytes = 10_000_000.0 * 5.0 / 4.0 / 5.0 + 2.0 * 4_096.0;
        assert!((wide.bytes - bytes).abs() < 1.0, "{wide:?}");
        assert_eq!(ARRAY.load(0), Load::default());
    }

    #[test]
    fn what_is_said_counts_until_it_is_measured_and_who_exceeds_it_is_named() {
        let (mut intake, cam) = (Intake::default(), name("/cam/door"));
        intake.enter(&cam, 4_000_000, Said::Declared);
        assert_eq!(counts(&intake, &cam), 4_000_000);
        for second in 0..=20 {
            // It writes ten times what it said.
            intake.look(seconds(second), [(&cam, second * 5_000_000, 0)]);
            let exceeds = intake.exceeding();
            match second {
                0 => assert_eq!(counts(&intake, &cam), 4_000_000),
                1..10 => assert_eq!((counts(&intake, &cam), exceeds.len()), (40_000_000, 0)),
                _ => {
                    assert_eq!(exceeds[0].said_bps, 4_000_000);
                    assert_eq!(exceeds[0].writes_bps, 40_000_000);
                }
            }
        }
        // It is dark: for ten minutes it counts as before, and does not exceed anything.
        for second in 21..=500 {
            intake.look(seconds(second), [(&cam, 100_000_000, 0)]);
        }
        assert_eq!((counts(&intake, &cam), intake.exceeding()), (40_000_000, vec![]));
        for second in 501..=700 {
            intake.look(seconds(second), [(&cam, 100_000_000, 0)]);
        }
        assert_eq!(counts(&intake, &cam), 0);
    }

    #[test]
    fn who_is_lost_keeps_his_place_for_a_minute_and_who_leaves_does_not() {
        let (mut intake, cam, yard) = (Intake::default(), name("/cam/door"), name("/cam/yard"));
        for (cam, may_come_back) in [(&cam, true), (&yard, false)] {
            intake.enter(cam, 4_000_000, Said::Declared);
            intake.leave(cam, seconds(0), may_come_back);
        }
        assert_eq!(intake.others(&name("/x"), &ARRAY).1, 1);
        assert_eq!(intake.others(&cam, &ARRAY).1, 0, "his own place is no other's");
        intake.look(seconds(59), []);
        assert_eq!(counts(&intake, &cam), 4_000_000);
        intake.look(seconds(60), []);
        assert_eq!(counts(&intake, &cam), 0);
    }

    #[test]
    fn what_it_took_before_is_remembered_and_who_did_not_ask_is_counted() {
        let (mut intake, cam) = (Intake::default(), name("/cam/door"));
        for second in 0..=12 {
            intake.look(seconds(second), [(&cam, second * 1_000_000, 4_000_000)]);
        }
        assert_eq!(intake.before_bps(&cam), Some(8_000_000));
        intake.enter(&cam, 1, Said::Declared);
        intake.look(seconds(13), []);
        assert_eq!(intake.before_bps(&cam), Some(8_000_000));
    }

    proptest! {
        /// Whoever is there counts, as what was said or more, until it is measured; nobody who is gone for a minute does.
        #[test]
        fn places_are_neither_lost_nor_kept_for_ever(
            steps in prop::collection::vec((0..4_usize, 0..4_u8, any::<bool>(), 1..40_u64), 1..80),
        ) {
            let names: Vec<StreamName> = (0..4).map(|n| name(&format!("/cam/{n}"))).collect();
            let mut intake = Intake::default();
            let (mut held, mut left) = ([0_u32; 4], [None; 4]);
            let mut now = 0;
            for (who, what, politely, passes) in steps {
                match what {
                    0 => {
                        intake.enter(&names[who], 1_000_000, Said::Declared);
                        held[who] += 1;
                        left[who] = None;
                    }
                    1 if held[who] > 0 => {
                        intake.leave(&names[who], seconds(now), !politely);
                        held[who] -= 1;
                        if held[who] == 0 && !politely {
                            left[who] = Some(now);
                        }
                    }
                    _ => {
                        now += passes;
                        intake.look(seconds(now), []);
                        for at in &mut left {
                            *at = at.filter(|at| now - at < 60);
                        }
                    }
                }
                for who in 0..4 {
                    let there = held[who] > 0 || left[who].is_some();
                    prop_assert_eq!(counts(&intake, &names[who]), u64::from(there) * 1_000_000);
                }
            }
        }
    }
}
