//! What is recorded of a stream.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use pegasus_base::Time;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::tier::Out;
use crate::http::app::{App, Named, QueryOf, blocking};
use crate::http::error::{ApiError, ErrorBody};
use crate::http::query::Between;

/// A gap-free interval of a recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Span {
    /// Time of its first unit.
    #[schema(value_type = String, format = DateTime)]
    start: Time,
    /// End of its last durable unit.
    #[schema(value_type = String, format = DateTime)]
    end: Time,
    /// Bytes of coded media in it.
    bytes: u64,
    /// Units in it, of all tracks.
    units: u64,
    /// What of it is out: in the tier, and not on the disks. Left out if all is in.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    out: Vec<Out>,
}

/// How finely spans are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Resolution {
    /// Gaps shorter than so many milliseconds are not told: for a timeline, what a pixel covers.
    #[serde(default)]
    #[param(example = 60_000)]
    resolution_ms: u64,
}

/// The spans that have an instant in a range, whole, in order. Only what is durable.
#[utoipa::path(
    get,
    path = "/api/v1/streams/{name}/recordings",
    tag = "recordings",
    params(
        ("name" = String, Path, description = "The stream", example = "cam/door"),
        Between,
        Resolution,
    ),
    responses(
        (status = 200, body = Vec<Span>),
        (status = 400, body = ErrorBody),
        (status = 404, description = "Neither live nor recorded", body = ErrorBody),
    )
)]
pub(crate) async fn list_recordings(
    State(app): State<App>,
    Named(name): Named,
    QueryOf(between): QueryOf<Between>,
    QueryOf(resolution): QueryOf<Resolution>,
) -> Result<Json<Vec<Span>>, ApiError> {
    let range = between.resolve(app.clock.now())?;
    let (store, stream) = (app.store.clone(), name.clone());
    let found = blocking(move || {
        let spans = store.spans(&stream, range)?;
        Ok::<_, pegasus_continuous::Error>((spans, store.out(&stream, range)?))
    });
    let (spans, out) = match found.await {
        Ok(found) => found,
        // Live, but nothing is durable yet: an empty list, not an error.
        Err(error)
            if error.status() == StatusCode::NOT_FOUND
                && app.switch.status(&name).is_some_and(|status| status.live) =>
        {
            (Vec::new(), Vec::new())
        }
        Err(error) => return Err(error),
    };
    let mut spans = coarsen(spans.into_iter().map(Span::from).collect(), resolution.resolution_ms);
    mark(&mut spans, out.into_iter().map(Out::from).collect());
    Ok(Json(spans))
}

/// Deletes a range of a recording, widened to whole groups of pictures, or all of it.
#[utoipa::path(
    delete,
    path = "/api/v1/streams/{name}/recordings",
    tag = "recordings",
    params(("name" = String, Path, description = "The stream", example = "cam/door"), Between),
    responses(
        (status = 204, description = "Deleted"),
        (status = 400, body = ErrorBody),
        (status = 404, body = ErrorBody),
        (status = 409, description = "All of a stream that is being recorded", body = ErrorBody),
    )
)]
pub(crate) async fn delete_recordings(
    State(app): State<App>,
    Named(name): Named,
    QueryOf(between): QueryOf<Between>,
) -> Result<StatusCode, ApiError> {
    let range = between.resolve(app.clock.now())?;
    let range = (!between.is_all()).then_some(range);
    let store = app.store.clone();
    blocking(move || store.delete(&name, range)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Joins spans that are less than `resolution_ms` apart.
fn coarsen(spans: Vec<Span>, resolution_ms: u64) -> Vec<Span> {
    let resolution_ns = i64::try_from(resolution_ms.saturating_mul(1_000_000)).unwrap_or(i64::MAX);
    let mut out: Vec<Span> = Vec::new();
    for span in spans {
        match out.last_mut() {
            Some(last) if span.start.ns_since(last.end) < resolution_ns => {
                last.end = last.end.max(span.end);
                last.bytes += span.bytes;
                last.units += span.units;
            }
            _ => out.push(span),
        }
    }
    out
}

/// Says of each span what of it is out: runs of segments, cut where the span begins and ends.
fn mark(spans: &mut [Span], out: Vec<Out>) {
    for run in out {
        let first = spans.partition_point(|span| span.end <= run.start);
        for span in spans[first..].iter_mut().take_while(|span| span.start < run.end) {
            let (start, end) = (run.start.max(span.start), run.end.min(span.end));
            span.out.push(Out { start, end, ..run.clone() });
        }
    }
}

impl From<pegasus_continuous::Span> for Span {
    fn from(span: pegasus_continuous::Span) -> Self {
        let pegasus_continuous::Span { start, end, bytes, units } = span;
        Self { start, end, bytes, units, out: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_spans_are_one_at_a_coarse_resolution() {
        let span = |start, end| Span {
            start: Time::from_ms(start),
            end: Time::from_ms(end),
            bytes: 10,
            units: 1,
            out: Vec::new(),
        };
        let spans =
            vec![span(0, 1_000), span(1_500, 2_000), span(9_000, 9_500), span(9_500, 10_000)];
        assert_eq!(coarsen(spans.clone(), 0), spans);
        let joined = coarsen(spans.clone(), 501);
        assert_eq!(
            joined.iter().map(|s| (s.start, s.end, s.units)).collect::<Vec<_>>(),
            [
                (Time::from_ms(0), Time::from_ms(2_000), 2),
                (Time::from_ms(9_000), Time::from_ms(10_000), 2),
            ]
        );
        assert_eq!(coarsen(spans, u64::MAX).len(), 1);
    }
    #[test]
    fn what_is_out_is_told_of_the_spans_it_is_in() {
        let at = Time::from_ms;
        let span = |start, end| Span {
            start: at(start),
            end: at(end),
            bytes: 10,
            units: 1,
            out: Vec::new(),
        };
        let run = |start, end| Out {
            start: at(start),
            end: at(end),
            bytes: 5,
            segments: 2,
            back_in_ms: Some(7),
        };
        let mut spans = vec![span(0, 1_000), span(2_000, 3_000), span(4_000, 5_000)];
        mark(&mut spans, vec![run(0, 400), run(900, 2_500)]);
        assert_eq!(spans[0].out, [run(0, 400), run(900, 1_000)]);
        assert_eq!(spans[1].out, [run(2_000, 2_500)]);
        assert_eq!(spans[2].out, []);
    }
}
