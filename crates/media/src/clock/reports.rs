//! What sender reports say about a stream as a whole.

use pegasus_base::Time;

use super::MS;
use super::window::Least;

/// The sender's wall clock, as its reports show it, against ours.
///
/// A sender's clock may be set while it sends. Offsets are kept in terms of the clock as it stood
/// at first (the first epoch); `shift_ns` is by how much it has been set since. The tracks' reports
/// show a step one after the other, so the epoch before is remembered too.
#[derive(Debug, Default)]
pub(super) struct Reports {
    shift_ns: i128,
    shift_before_ns: i128,
    /// Arrival less the sender's time in its first epoch, over all tracks.
    delays: Least,
    /// The sender's clock agrees with ours.
    trusted: bool,
}

impl Reports {
    /// A track's report: `raw_ns` is the sender's wall clock less media time, `known_ns` that of the
    /// report before in terms of the first epoch. Gives the new one in these terms.
    pub(super) fn accept(&mut self, raw_ns: i128, known_ns: Option<i128>) -> i128 {
        let Some(known_ns) = known_ns else { return raw_ns - self.shift_ns };
        for shift_ns in [self.shift_ns, self.shift_before_ns] {
            let offset_ns = raw_ns - shift_ns;
            if (offset_ns - known_ns).abs() < STEP_MIN_NS {
                return offset_ns;
            }
        }
        self.shift_before_ns = self.shift_ns;
        self.shift_ns = raw_ns - known_ns;
        known_ns
    }

    /// A unit arrived this long after the time the sender gives it, in terms of the first epoch.
    pub(super) fn arrived(&mut self, arrival: Time, delay_ns: i128) {
        self.delays.push(arrival, delay_ns);
        let ahead_ns = self.delays.least().unwrap_or(0) - self.shift_ns;
        let limit_ns = if self.trusted { TRUST_END_NS } else { TRUST_NS };
        self.trusted = ahead_ns.abs() < limit_ns;
    }

    /// What to add to the sender's time in its first epoch: nothing but the epoch's shift if its
    /// clock is right, else what makes its least delayed unit arrive without delay.
    pub(super) fn correction_ns(&self) -> i128 {
        let least_ns = self.delays.least().unwrap_or(0);
        if self.trusted { self.shift_ns } else { least_ns }
    }
}

/// Above this, two reports of a track differ because the sender's clock was set.
const STEP_MIN_NS: i128 = 250 * MS;
/// Within this of ours, a sender's clock is taken to be right.
const TRUST_NS: i128 = 1_000 * MS;
/// Beyond this, no longer.
const TRUST_END_NS: i128 = 1_500 * MS;
