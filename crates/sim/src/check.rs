//! What has to hold, apart from what the clients see.

use pegasus_disk::{Disk, SimDisk};
use pegasus_log::Cleaning;

use crate::atlas::Harm;
use crate::run::Run;
use crate::{Finding, ensure, must};

/// A cleaned segment is at most nine tenths alive.
const LIVE_PERCENT_MAX: u64 = 90;

impl Run {
    /// Closes the store, verifies every byte, and opens it again. Where disks lie, only those are blamed.
    pub(crate) fn check_offline(&mut self) -> Result<(), Finding> {
        self.close()?;
        let report = self.world.check()?;
        let lying = self.atlas.with(Harm::Lies);
        if self.atlas.count() == 0 {
            self.coverage.note("checked: offline");
            ensure(report.ok && report.problems.is_empty(), || {
                format!("the offline check finds: {:#?}", report.problems)
            })?;
        } else if lying.len() == self.atlas.count() {
            self.coverage.note("checked: a damaged store blames the damaged disk");
            let labels: Vec<String> =
                lying.iter().map(|at| self.world.disks[*at].label()).collect();
            let blames = |problem: &String| labels.iter().any(|label| problem.contains(label));
            let wrong: Vec<_> = report.problems.iter().filter(|problem| !blames(problem)).collect();
            ensure(wrong.is_empty(), || format!("{labels:?} are damaged, but: {wrong:#?}"))?;
        }
        self.world.open(&[])
    }

    /// Everything pushed was recorded: no unit was dropped.
    pub(crate) fn check_ingest(&self) -> Result<(), Finding> {
        let ingest = self.world.store().store.status().ingest;
        ensure(ingest.dropped_units == 0 && ingest.late_units == 0, || {
            format!("{} units were dropped, {} came late", ingest.dropped_units, ingest.late_units)
        })?;
        ensure(ingest.queued_bytes == 0, || {
            format!("{} bytes still wait after a commit", ingest.queued_bytes)
        })
    }

    /// What the cleaner did was worth it.
    pub(crate) fn check_cleaner(&mut self) -> Result<(), Finding> {
        let status = self.world.store().log.status();
        let (segments, moved) = self.cleaned;
        // A segment is read but for one column, a mirrored one once.
        let segment_bytes = u64::from(status.unit_bytes) * u64::from(status.data.max(1));
        let most = segments * segment_bytes * LIVE_PERCENT_MAX / 100;
        self.coverage.note("checked: cleaning costs what it may");
        ensure(moved <= most, || {
            format!("{segments} segments were cleaned, and {moved} bytes moved")
        })
    }

    /// At the end: everything is repaired and checked, then deleted; the store is as good as empty.
    pub(crate) fn last_checks(&mut self) -> Result<(), Finding> {
        if !self.atlas.with(Harm::Lies).is_empty() {
            self.world.disks.iter().for_each(SimDisk::heal);
            self.look_at_disks()?;
            self.check_offline()?;
            self.look_at_disks()?;
        }
        let acknowledged = self.repair()?;
        self.acknowledge(acknowledged);
        self.check_offline()?;
        self.cameras.iter_mut().for_each(|camera| camera.hang_up());
        self.tick()?;
        for camera in &mut self.cameras {
            camera.delete(&self.world.store().store)?;
        }
        self.programs.clear(&self.world.store().files)?;
        self.sync()?;
        self.clean_all()?;
        self.check_offline()?;
        self.coverage.note("checked: nothing is left after all was deleted");
        let status = self.world.store().log.status();
        let segment = u64::from(status.unit_bytes) * u64::from(status.data);
        // The log's current and next segments, a content segment, and what the last passes and checkpoints left.
        let most = 24 * segment;
        ensure(status.used_bytes <= most, || {
            let (used, log) = (status.used_bytes, status.log_segments);
            format!(
                "{used} bytes are in use though all was deleted; {log} log segments, {status:?}"
            )
        })
    }

    fn clean_all(&mut self) -> Result<(), Finding> {
        for _ in 0..50 {
            let open = self.world.store();
            open.store.request_checkpoint();
            must("committing", open.store.flush())?;
            if open.log.cleaning() == Cleaning::NotNeeded {
                break;
            }
            must("cleaning", open.log.clean(4 << 20))?;
        }
        Ok(())
    }
}
