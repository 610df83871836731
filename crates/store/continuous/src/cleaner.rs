//! The thread that cleans the log at leisure.
//!
//! It works a little and rests four times as long, so that recorders and readers hardly notice; only
//! when slots run short does it go on without a rest.

use std::time::{Duration, Instant};

use pegasus_log::Cleaning;

use crate::Error;
use crate::inner::Inner;

/// How often it looks whether there is something to do.
const LOOK: Duration = Duration::from_secs(2);
/// What one pass moves at most when slots run short.
const URGENT_PASS_BYTES: u64 = 4 << 20;
/// How many times as long as it works it rests.
const REST: u32 = 4;

/// Cleans until the driver stops.
pub(crate) fn run(inner: &Inner) {
    let mut pause = LOOK;
    let mut in_trouble = false;
    while inner.wake.wait_interval(pause) {
        let wanted = inner.log.cleaning();
        pause = LOOK;
        if wanted == Cleaning::NotNeeded || inner.check_failed().is_err() {
            continue;
        }
        let begun = Instant::now();
        let urgent = wanted == Cleaning::Urgent;
        let bytes = if urgent { URGENT_PASS_BYTES } else { inner.log.pass_bytes() };
        match pass(inner, bytes) {
            Ok(()) => {
                in_trouble = false;
                pause = if urgent { Duration::from_millis(1) } else { begun.elapsed() * REST };
            }
            Err(error) if !in_trouble => {
                in_trouble = true;
                tracing::error!(%error, "the log can't be cleaned: it will take more and more room");
            }
            Err(_) => {}
        }
    }
}

/// One pass, and the checkpoint that makes its segments free.
fn pass(inner: &Inner, bytes: u64) -> Result<(), Error> {
    inner.log.clean(bytes)?;
    inner.core.lock().checkpoint(inner, inner.clock.now())
}
