//! Plans of files, kept while players ask for them again.

use std::collections::{BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use pegasus_base::{StreamName, Time, TimeRange};
use pegasus_continuous::{Continuous, Item};
use pegasus_media::mp4::{Plan, Planner};
use sha2::{Digest as _, Sha256};

use crate::numbers::Numbers;
use crate::{ExportError, Recorded};

/// Plans kept.
const PLANS_MAX: usize = 16;
/// Units of a file, and units in all plans kept: a day and a quarter of pictures and sound. A unit takes
/// some 15 to 25 bytes in a plan, and up to 60 while it is made.
const UNITS_MAX: u64 = 8_000_000;

/// A file that can be read.
#[derive(Debug)]
pub struct Planned {
    /// Its bytes, apart from the media.
    pub plan: Plan,
    /// Its units in the recording.
    pub(crate) numbers: Numbers,
    /// What was asked for, cut to what is recorded.
    pub range: TimeRange,
    /// Capture time of the first picture or sound in the file.
    pub first: Time,
    /// Its entity tag, with quotes: two files of the same tag are the same.
    pub tag: String,
}

/// Plans made lately. A handle: clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Plans(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    kept: Mutex<VecDeque<Kept>>,
    making: Mutex<Making>,
    made: Condvar,
}

/// The plans that are being made, and the units they may have altogether: memory has a bound.
#[derive(Debug, Default)]
struct Making {
    plans: Vec<(StreamName, Recorded)>,
    units: u64,
    /// Who waits for memory, by the numbers of those who came: nobody overtakes them.
    line: BTreeSet<u64>,
    came: u64,
}

impl Making {
    /// Whether number `own` may make a plan of so many units. If it is only for memory that he can't, he is in line.
    fn may_begin(&mut self, own: u64, name: &StreamName, recorded: &Recorded, units: u64) -> bool {
        let is_same = self.plans.iter().any(|other| other.0 == *name && other.1 == *recorded);
        let is_first = self.line.range(..own).next().is_none();
        let fits = self.units == 0 || self.units + units <= UNITS_MAX;
        match is_same || is_first && fits {
            true => self.line.remove(&own),
            false => self.line.insert(own),
        };
        !is_same && is_first && fits
    }
}

/// The turn of somebody who makes a plan, until it is dropped.
#[derive(Debug)]
struct Turn<'a> {
    shared: &'a Shared,
    name: &'a StreamName,
    recorded: &'a Recorded,
    units: u64,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut making = self.shared.making.lock();
        making.units -= self.units;
        making.plans.retain(|(name, recorded)| (name, recorded) != (self.name, self.recorded));
        self.shared.made.notify_all();
    }
}

impl Shared {
    /// Waits until nobody else makes the same plan, and there is memory for one of so many units.
    fn turn<'a>(&'a self, name: &'a StreamName, recorded: &'a Recorded, units: u64) -> Turn<'a> {
        let mut making = self.making.lock();
        making.came += 1;
        let own = making.came;
        while !making.may_begin(own, name, recorded, units) {
            self.made.wait(&mut making);
        }
        self.made.notify_all(); // who was behind in line may be next
        making.plans.push((name.clone(), recorded.clone()));
        making.units += units;
        Turn { shared: self, name, recorded, units }
    }
}

#[derive(Debug)]
struct Kept {
    name: StreamName,
    recorded: Recorded,
    planned: Arc<Planned>,
}

impl Plans {
    /// The plan of a range; made from the store unless it is known and nothing was deleted of it or
    /// added to it. Blocks on disks.
    ///
    /// # Errors
    /// [`ExportError::Nothing`], [`ExportError::TooMany`], or the store can't be read.
    pub fn get(
        &self,
        store: &Continuous,
        name: &StreamName,
        range: TimeRange,
    ) -> Result<Arc<Planned>, ExportError> {
        // A span that still grows behind the range is the same file.
        let recorded = Recorded::find(store, name, range)?;
        let units = recorded.units_about();
        let recorded = recorded.cut();
        if let Some(planned) = self.known(name, &recorded) {
            return Ok(planned);
        }
        // Who asks for the same file meanwhile finds it.
        let _turn = self.0.turn(name, &recorded, units);
        if let Some(planned) = self.known(name, &recorded) {
            return Ok(planned);
        }
        let planned = Arc::new(plan(store, name, recorded.range)?);
        let recorded = recorded.clone();
        self.keep(Kept { name: name.clone(), recorded, planned: Arc::clone(&planned) });
        Ok(planned)
    }

    fn known(&self, name: &StreamName, recorded: &Recorded) -> Option<Arc<Planned>> {
        let mut kept = self.0.kept.lock();
        let at = kept.iter().position(|k| k.name == *name && k.recorded == *recorded)?;
        let known = kept.remove(at)?;
        let planned = Arc::clone(&known.planned);
        kept.push_back(known);
        Some(planned)
    }

    fn keep(&self, made: Kept) {
        let mut kept = self.0.kept.lock();
        kept.push_back(made);
        let units =
            |kept: &VecDeque<Kept>| kept.iter().map(|k| k.planned.plan.units()).sum::<u64>();
        while kept.len() > PLANS_MAX || (kept.len() > 1 && units(&kept) > UNITS_MAX) {
            kept.pop_front();
        }
    }
}

fn plan(store: &Continuous, name: &StreamName, range: TimeRange) -> Result<Planned, ExportError> {
    let mut listing = store.list(name, range)?;
    let (mut planner, mut numbers) = (Planner::new(), Numbers::default());
    while let Some(item) = listing.next()? {
        match item {
            Item::Tracks(tracks) => planner.set_tracks(&tracks),
            Item::Gap { to, .. } => planner.gap(to),
            Item::Unit(_) if planner.len() >= UNITS_MAX => {
                return Err(ExportError::TooMany { units: UNITS_MAX });
            }
            Item::Unit(unit) => {
                planner.push(&unit.meta)?;
                numbers.push(unit.number);
            }
            Item::Waiting => {}
        }
    }
    let plan = planner.finish()?;
    let first = plan.time_map().first().map_or(range.start, |point| point.time);
    let tag = tag(&plan, first);
    Ok(Planned { plan, numbers, range, first, tag })
}

/// All tables are in the head: with the capture time, it says which file this is.
fn tag(plan: &Plan, first: Time) -> String {
    let mut hash = Sha256::new();
    hash.update(plan.head());
    hash.update(first.as_ns().to_le_bytes());
    let mut tag = String::from("\"");
    for byte in &hash.finalize()[..16] {
        let _ = write!(tag, "{byte:02x}"); // infallible: writing to a string
    }
    tag.push('"');
    tag
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
    use std::time::Duration;

    use super::*;

    fn recorded(second: i64) -> Recorded {
        let range = TimeRange::new(Time::from_secs(second), Time::from_secs(second + 1));
        Recorded { range, spans: Vec::new() }
    }

    /// How many of these plans are made while one of `units` is: of one stream, from a second on, and so many units.
    fn beside(units: u64, others: &'static [(&str, i64, u64)]) -> u32 {
        let (shared, begun) = (Shared::default(), AtomicU32::new(0));
        let door: StreamName = "/cam/door".parse().unwrap();
        let first = recorded(0);
        std::thread::scope(|scope| {
            let turn = shared.turn(&door, &first, units);
            let (shared, begun) = (&shared, &begun);
            let make = |(name, second, units): &(&str, i64, u64)| {
                let (name, recorded) = (name.parse().unwrap(), recorded(*second));
                let _turn = shared.turn(&name, &recorded, *units);
                begun.fetch_add(1, SeqCst);
            };
            let others: Vec<_> =
                others.iter().map(|other| scope.spawn(move || make(other))).collect();
            std::thread::sleep(Duration::from_millis(50));
            let beside = begun.load(SeqCst);
            drop(turn);
            let count = others.len() as u32;
            others.into_iter().for_each(|other| other.join().unwrap());
            assert_eq!(begun.load(SeqCst), count, "all had their turn");
            beside
        })
    }

    #[test]
    fn nobody_overtakes_who_waits_for_memory() {
        let mut making = Making { units: UNITS_MAX / 2, ..Making::default() };
        let (door, yard) = ("/cam/door".parse().unwrap(), "/cam/yard".parse().unwrap());
        assert!(!making.may_begin(1, &door, &recorded(0), UNITS_MAX), "there is no room");
        assert!(!making.may_begin(2, &yard, &recorded(0), 10), "somebody was before");
        making.units = 0;
        assert!(!making.may_begin(2, &yard, &recorded(0), 10));
        assert!(making.may_begin(1, &door, &recorded(0), UNITS_MAX));
        making.units = UNITS_MAX / 2;
        making.plans.push((yard.clone(), recorded(0)));
        assert!(!making.may_begin(2, &yard, &recorded(0), 10), "the same is being made");
        assert!(
            making.may_begin(3, &door, &recorded(5), 10),
            "who waits for that is in nobody's way"
        );
    }

    #[test]
    fn plans_are_made_at_the_same_time_unless_they_are_the_same_or_large() {
        assert_eq!(beside(1_000, &[("/cam/door", 5, 1_000), ("/cam/yard", 0, 1_000)]), 2);
        assert_eq!(beside(1_000, &[("/cam/door", 0, 1_000), ("/cam/yard", 0, 1_000)]), 1);
        assert_eq!(beside(UNITS_MAX / 2 + 1, &[("/cam/yard", 0, UNITS_MAX / 2)]), 0);
        // One that is too large for others beside it is made alone.
        assert_eq!(beside(1_000, &[("/cam/yard", 0, 2 * UNITS_MAX)]), 0);
    }
}
