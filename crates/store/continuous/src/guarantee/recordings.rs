//! How much of the disks' time recordings take.

use std::collections::VecDeque;
use std::time::Duration;

use super::office::Office;

/// The greatest of so many looks counts: pictures come in groups, and commits in bursts.
const LOOKS: usize = 10;

/// What recordings wrote lately.
#[derive(Debug, Default)]
pub(crate) struct Recordings {
    /// When it was looked at last, and what had been written by then.
    last: Option<(Duration, u64)>,
    shares: VecDeque<f64>,
}

impl Recordings {
    /// Tells the office what recordings take, by what they have `written` altogether so far, parity included, on `disks` disks,
    /// and by `writes`, how many fragments are written to each disk in a second. `now` is told on any clock that goes evenly.
    pub(crate) fn note(
        &mut self,
        office: &Office,
        now: Duration,
        written: u64,
        disks: u64,
        writes: u32,
    ) {
        let Some((at, before)) = self.last.replace((now, written)) else { return };
        let second = (now - at).as_secs_f64().max(0.001);
        let bytes = written.saturating_sub(before) as f64 / second / disks.max(1) as f64;
        // Who is open and writes nothing takes nothing.
        let writes = if bytes < 1.0 { 0 } else { writes };
        let takes = office.takes(writes, bytes as u64);
        self.shares.push_back(takes.as_secs_f64());
        if self.shares.len() > LOOKS {
            self.shares.pop_front();
        }
        office.record(self.shares.iter().copied().fold(0.0, f64::max));
    }
}
