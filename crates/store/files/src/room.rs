//! How much may be written, and what is done when that is too little.

use parking_lot::MutexGuard;
use pegasus_log::LogError;

use crate::FilesError;
use crate::volume::{Inner, State};

/// What one pass of the cleaner moves at most, when a program waits for room.
const PASS_BYTES: u64 = 16 << 20;
/// After so many passes that gave no room there is none.
pub(crate) const VAIN_MAX: u32 = 8;

impl Inner {
    /// Waits until fewer bytes wait than may.
    pub(crate) fn wait_for_room(
        &self,
        state: &mut MutexGuard<'_, State>,
    ) -> Result<(), FilesError> {
        loop {
            if state.closed {
                return Err(FilesError::Closed);
            }
            if state.cache.dirty_bytes < state.pending_bytes_max {
                return Ok(());
            }
            if state.flushing {
                self.flushed.wait(state);
            } else {
                self.flush(state)?;
            }
        }
    }

    /// Whether the store has room for so many bytes more.
    pub(crate) fn admits(&self, state: &mut State, bytes: u64) -> bool {
        let wanted_bytes = state.cache.pending_bytes() + bytes;
        if wanted_bytes > self.acceptable(state) {
            self.note_free(state);
        }
        wanted_bytes <= self.acceptable(state)
    }

    /// What the store is full of may be garbage: cleans, as whoever wants the room, until there is more of it.
    ///
    /// # Errors
    /// [`FilesError::Full`]: there is nothing to be gained.
    pub(crate) fn make_room(
        &self,
        state: &mut MutexGuard<'_, State>,
        bytes: u64,
    ) -> Result<(), FilesError> {
        let _turn = MutexGuard::unlocked(state, || self.making_room.lock());
        if self.admits(state, bytes) {
            return Ok(());
        }
        // What waits in memory is reckoned with as the worst it can be; what was freed or written since the last
        // checkpoint counts only with the next one.
        MutexGuard::unlocked(state, || self.sync())?;
        MutexGuard::unlocked(state, || self.log.checkpoint(self.clock.now()))?;
        let (mut most, mut vain) = (self.acceptable(state), 0);
        while !self.admits(state, bytes) {
            let wanted_bytes = state.cache.pending_bytes() + bytes;
            // No cleaning gives files more than their share.
            let in_share = wanted_bytes <= state.share_bytes;
            if !in_share || vain >= VAIN_MAX || !MutexGuard::unlocked(state, || self.clean())? {
                let free_bytes = self.acceptable(state);
                return Err(FilesError::Full { wanted_bytes, free_bytes });
            }
            // What becomes free on a disk that is being removed is of no use: checkpoints make garbage for ever.
            self.note_free(state);
            let now = self.acceptable(state);
            vain = if now > most { 0 } else { vain + 1 };
            most = most.max(now);
        }
        Ok(())
    }

    /// One pass of the cleaner; false if nothing is left to be cleaned.
    pub(crate) fn clean(&self) -> Result<bool, FilesError> {
        match self.log.clean(PASS_BYTES) {
            Ok(cleaned) if cleaned.segments > 0 => {}
            Ok(_) | Err(LogError::Full { .. }) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        self.log.checkpoint(self.clock.now())?;
        Ok(true)
    }

    /// Asks the log how much is free.
    pub(crate) fn note_free(&self, state: &mut State) {
        let status = self.log.status();
        if std::mem::replace(&mut state.checkpoints, status.checkpoints) != status.checkpoints {
            state.unsettled_bytes = 0;
        }
        state.used_bytes = status.used_bytes;
        let (share, of) = self.cost();
        // Left alone: what the next checkpoint writes, the maps of it, and what the log itself keeps.
        let unsettled = state.unsettled_bytes * share / of;
        let slack = (status.capacity_bytes / 16).min(32 << 20);
        state.free_bytes = status.free_bytes.saturating_sub(unsettled + slack);
        // What is open, or nearly full, is never cleaned.
        state.dead_bytes = status.log_dead_bytes.saturating_sub(slack + status.log_live_bytes / 10);
        let kept = u64::from(self.settings.kept_from_files_percent.min(100));
        let share = status.capacity_bytes / 100 * (100 - kept);
        state.share_bytes = share.saturating_sub(status.log_live_bytes + state.unsettled_bytes);
    }

    /// Bytes of files that can be written if they come in pieces that are placed.
    pub(crate) fn free_bytes(&self, state: &State) -> u64 {
        let free = state.free_bytes + state.dead_bytes;
        free.min(state.share_bytes).saturating_sub(state.cache.pending_bytes())
    }

    /// Bytes of files that fit: into the log, and into what files may take.
    fn acceptable(&self, state: &State) -> u64 {
        self.writable(state.free_bytes).min(state.share_bytes)
    }

    /// What a byte on one column and its parity takes of the log's free bytes, as a fraction.
    fn cost(&self) -> (u64, u64) {
        let (data, parity) = self.log.shape();
        let (data, parity) = (u64::from(data), u64::from(parity));
        ((1 + parity) * data, data + parity)
    }

    /// Bytes of files that so much of the log takes: everything is written twice, in its transaction and
    /// by the next checkpoint.
    pub(crate) fn writable(&self, free_bytes: u64) -> u64 {
        let (share, of) = self.cost();
        free_bytes / (2 * share) * of
    }
}
