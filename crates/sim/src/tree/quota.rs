//! Quotas that programs set, and what they say to what is done.

use pegasus_files::{Errno, Files, FilesError, Ino, Limits};

use super::Tree;

impl Tree {
    /// Gives a directory a quota, or takes it away.
    pub(super) fn quota(
        &mut self,
        files: &Files,
        len_max: usize,
        rng: &mut fastrand::Rng,
    ) -> Result<Option<&'static str>, FilesError> {
        let tops = self.quotas.tops();
        if let Some(dir) = rng.choice(&tops).filter(|_| rng.bool()) {
            files.remove_quota(*dir)?;
            self.quotas.remove(*dir);
            return Ok(Some("quota removed"));
        }
        let dir = self.any_dir(rng);
        let below = self.below(dir);
        if tops.iter().any(|top| below.contains(top) || self.below(*top).contains(&dir)) {
            return Ok(None);
        }
        let limits = Limits {
            bytes: Some(rng.u64(..4 * len_max as u64 + 1)),
            files: rng.bool().then(|| rng.u64(1..20)),
        };
        files.set_quota(dir, limits)?;
        self.quotas.set(dir, limits, below);
        Ok(Some("quota set"))
    }

    /// What a quota says to a file of this length.
    pub(super) fn refusal(&self, ino: Ino, len: usize) -> Option<Errno> {
        let more = len.saturating_sub(self.len(ino)) as u64;
        self.quotas.refusal(ino, (more, 0), |ino| self.len(ino))
    }
}
