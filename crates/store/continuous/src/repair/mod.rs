//! Offline repair: what the catalogue, the directories and the indexes of recordings have lost is made anew
//! from the segments themselves. Every block says whose it is and where it belongs.
//!
//! First all of it is looked at, and what is wrong and what could be done is told ([`Repair::assess`]); nothing is
//! written before [`Repair::apply`]. Only what the disks prove is done: recordings are listed again, never
//! deleted; slots are given back in which nothing readable of a recording is.

mod assess;
mod found;
mod rebuild;

use std::sync::Arc;

use pegasus_base::{ManualClock, Time};
use pegasus_disk::Disk;
use pegasus_log::{DiskState, Log, OpenOptions, Recovery};

use crate::error::Error;
use crate::settings::Settings;
use crate::{Continuous, Retention};

use assess::Assessment;
use found::Finds;
pub(crate) use rebuild::entries_of;

/// Told how far it is: what is being done, bytes done, bytes in all.
pub type Progress<'a> = &'a mut dyn FnMut(&str, u64, u64);

/// What is wrong with a store, and what can be done about it.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct RepairPlan {
    /// What is wrong, a sentence each.
    pub findings: Vec<String>,
    /// What [`Repair::apply`] does, a sentence each.
    pub actions: Vec<String>,
    /// Why none of it can be done now.
    pub hindrance: Option<String>,
}

/// How to look at a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RepairOptions {
    /// The present.
    pub now: Time,
    /// Whether the store is opened for writing, as [`Repair::apply`] needs it: what a crash left open is settled
    /// then, as by any opening.
    pub writable: bool,
    /// Whether to go on with an older state, where a newer one can't be read.
    pub accept_loss: bool,
}

const LOST: &str = "nothing is written while a newer state may be on the disks: put back all disks that belong to \
    the store, or accept the loss";

/// A repair of a store that nobody has open.
#[derive(Debug)]
pub struct Repair {
    log: Log,
    recovery: Recovery,
    now: Time,
    assessment: Assessment,
    finds: Finds,
    plan: RepairPlan,
}

/// The disks of a store: each with its path, `None` where there is nothing.
pub type Disks = Vec<(String, Option<Arc<dyn Disk>>)>;

impl Repair {
    /// Looks at everything.
    ///
    /// Reads all indexes; and all of the slots whose recordings nothing lists.
    ///
    /// # Errors
    /// If `disks` can't be opened as a store at all.
    pub fn assess(
        disks: Disks,
        options: RepairOptions,
        progress: Progress<'_>,
    ) -> Result<Self, Error> {
        let RepairOptions { now, writable, accept_loss } = options;
        let open = if accept_loss { Log::open_older } else { Log::open };
        let (log, recovery) = open(disks, &OpenOptions { now, read_only: !writable })?;
        let assessment = Assessment::of(&log, &recovery, progress);
        let finds = Finds::find(&log, &assessment, progress)?;
        let mut plan = RepairPlan::default();
        plan.findings.extend(recovery.problems.iter().cloned());
        assessment.describe(&mut plan);
        finds.describe(&mut plan);
        match &recovery.lost {
            Some(_) if accept_loss => {
                plan.actions.insert(0, "go on without what is lost".to_owned())
            }
            Some(_) => plan.hindrance = Some(LOST.to_owned()),
            None => {}
        }
        let away = log.status().disks.into_iter();
        let mut away = away.filter(|d| matches!(d.state, DiskState::Missing | DiskState::Failed));
        if let Some(disk) = away.next().filter(|_| !plan.actions.is_empty()) {
            plan.hindrance = Some(format!(
                "disk {} is not there, and what it holds can't be told from what is lost: put it back first",
                disk.path
            ));
        }
        Ok(Self { log, recovery, now, assessment, finds, plan })
    }

    /// What is wrong, and what would be done.
    #[must_use]
    pub fn plan(&self) -> &RepairPlan {
        &self.plan
    }

    /// Does what the [plan](Self::plan) says. A crash meanwhile leaves a store that can be repaired again.
    ///
    /// # Errors
    /// [`Error::Hindered`]; if there is no room for what has to be written; if disks fail.
    pub fn apply(self, progress: Progress<'_>) -> Result<(), Error> {
        if let Some(why) = self.plan.hindrance {
            return Err(Error::Hindered { why });
        }
        rebuild::write(&self.log, &self.assessment, &self.finds, progress)?;
        Ok(self.log.checkpoint(self.now)?)
    }

    /// Goes over everything that is alive, and writes anew what parity gives. For a store with nothing else to
    /// repair.
    ///
    /// # Errors
    /// If disks fail.
    pub fn scrub(self) -> Result<(), Error> {
        let retention = Retention { keep_free_percent: 0, ..Retention::default() };
        let settings = Settings { retention, ..Settings::default() };
        let clock = Arc::new(ManualClock::at(self.now));
        let store = Continuous::open_undriven(self.log, self.recovery, settings, clock)?;
        store.scrub(None);
        store.tend()?;
        store.close()
    }
}
