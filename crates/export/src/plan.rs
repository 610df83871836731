//! Plans of files, kept while players ask for them again.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::Arc;

use parking_lot::Mutex;
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
pub struct Plans {
    kept: Arc<Mutex<VecDeque<Kept>>>,
    /// Held while a plan is made.
    making: Arc<Mutex<()>>,
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
        let recorded = Recorded::find(store, name, range)?.cut();
        if let Some(planned) = self.known(name, &recorded) {
            return Ok(planned);
        }
        // One at a time: who asks for the same file meanwhile finds it, and memory has a bound.
        let _turn = self.making.lock();
        if let Some(planned) = self.known(name, &recorded) {
            return Ok(planned);
        }
        let planned = Arc::new(plan(store, name, recorded.range)?);
        self.keep(Kept { name: name.clone(), recorded, planned: Arc::clone(&planned) });
        Ok(planned)
    }

    fn known(&self, name: &StreamName, recorded: &Recorded) -> Option<Arc<Planned>> {
        let mut kept = self.kept.lock();
        let at = kept.iter().position(|k| k.name == *name && k.recorded == *recorded)?;
        let known = kept.remove(at)?;
        let planned = Arc::clone(&known.planned);
        kept.push_back(known);
        Some(planned)
    }

    fn keep(&self, made: Kept) {
        let mut kept = self.kept.lock();
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
