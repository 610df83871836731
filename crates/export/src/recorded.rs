//! What of a recording lies in a range that was asked for.

use pegasus_base::{StreamName, TimeRange};
use pegasus_continuous::{Continuous, Span};

use crate::ExportError;

/// The durable part of a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// The range, cut to where something is recorded.
    pub range: TimeRange,
    /// The spans that have an instant in it, whole.
    pub spans: Vec<Span>,
}

impl Recorded {
    /// Looks in the store.
    ///
    /// # Errors
    /// [`ExportError::Nothing`], or the store can't be read.
    pub fn find(
        store: &Continuous,
        name: &StreamName,
        range: TimeRange,
    ) -> Result<Self, ExportError> {
        let spans = store.spans(name, range)?;
        let ends = spans.first().zip(spans.last());
        let (first, last) = ends.ok_or_else(|| Self::nothing(name, range))?;
        let range = range.intersect(&TimeRange::new(first.start, last.end));
        Ok(Self { range, spans })
    }

    /// The error where there is nothing.
    #[must_use]
    pub fn nothing(name: &StreamName, range: TimeRange) -> ExportError {
        ExportError::Nothing { name: name.clone(), range }
    }

    /// As far as a plan of the range depends on it: not on how much there is outside.
    pub(crate) fn cut(mut self) -> Self {
        for span in &mut self.spans {
            let (start, end) = (span.start.max(self.range.start), span.end.min(self.range.end));
            *span = Span { start, end, bytes: 0, units: 0 };
        }
        self
    }

    /// About how many units the range has: as many of each span's as it has of the span's time.
    pub(crate) fn units_about(&self) -> u64 {
        let units = |span: &Span| {
            let (start, end) = (span.start.max(self.range.start), span.end.min(self.range.end));
            let (whole, within) = (span.end.since(span.start), end.since(start));
            let share = within.as_secs_f64() / whole.as_secs_f64().max(f64::MIN_POSITIVE);
            (span.units as f64 * share.clamp(0.0, 1.0)).ceil() as u64
        };
        self.spans.iter().map(units).sum()
    }

    /// Bits per second of what is recorded, on average.
    #[must_use]
    pub fn bitrate_bps(&self) -> u64 {
        let bytes: u64 = self.spans.iter().map(|span| span.bytes).sum();
        let seconds: f64 = self.spans.iter().map(|s| s.end.since(s.start).as_secs_f64()).sum();
        if seconds > 0.0 { (bytes as f64 * 8.0 / seconds) as u64 } else { 0 }
    }
}
