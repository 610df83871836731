//! Turning measurements into figures.

use std::time::Duration;

/// Milliseconds, to the microsecond.
pub(crate) fn ms(took: Duration) -> f64 {
    round(took.as_secs_f64() * 1e3, 3)
}

/// CPU time of this thread so far; zero where the system does not tell. On a busy machine it says more
/// than the clock does.
pub(crate) fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let ns = stat.split(' ').next().and_then(|ns| ns.parse().ok());
    Duration::from_nanos(ns.unwrap_or(0))
}

/// The measurement that `share` (0 to 1) of all are not above, in milliseconds.
///
/// # Panics
/// If nothing was measured.
pub(crate) fn quantile_ms(took: &mut [Duration], share: f64) -> f64 {
    took.sort_unstable();
    let last = took.len().checked_sub(1).expect("something was measured");
    ms(took[(share * last as f64).round() as usize])
}

/// As [`quantile_ms`], in microseconds, to the hundredth.
///
/// # Panics
/// If nothing was measured.
pub(crate) fn quantile_us(took: &mut [Duration], share: f64) -> f64 {
    took.sort_unstable();
    let last = took.len().checked_sub(1).expect("something was measured");
    round(took[(share * last as f64).round() as usize].as_nanos() as f64 / 1e3, 2)
}

/// `value` with so many digits behind the point.
pub(crate) fn round(value: f64, digits: i32) -> f64 {
    let scale = 10_f64.powi(digits);
    (value * scale).round() / scale
}
