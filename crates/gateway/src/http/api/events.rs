//! What happened lately.

use std::convert::Infallible;

use axum::Json;
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::{Stream, stream};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::http::app::{App, QueryOf};
use crate::http::error::ErrorBody;
use crate::{Events, Report};

/// Which events.
#[derive(Debug, Clone, Copy, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Which {
    /// Only events with higher numbers.
    #[serde(default)]
    after: u64,
    /// At most so many, the newest.
    #[serde(default = "all")]
    limit: usize,
}

const fn all() -> usize {
    1_000
}

/// What happened lately, oldest first. The node remembers a thousand events until it stops.
#[utoipa::path(
    get,
    path = "/api/v1/events",
    tag = "node",
    params(Which),
    responses((status = 200, body = Vec<Report>), (status = 400, body = ErrorBody))
)]
pub(crate) async fn list_events(
    State(app): State<App>,
    QueryOf(which): QueryOf<Which>,
) -> Json<Vec<Report>> {
    Json(app.events.after(which.after, which.limit))
}

/// The same as they happen, as server-sent events whose `data` is one event and whose `id` is its
/// number.
#[utoipa::path(
    get,
    path = "/api/v1/events/live",
    tag = "node",
    params(Which),
    responses((status = 200, body = Report, content_type = "text/event-stream"))
)]
pub(crate) async fn follow_events(
    State(app): State<App>,
    QueryOf(which): QueryOf<Which>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let begin = Following { events: app.events.clone(), after: which.after, waiting: Vec::new() };
    let stop = app.stop.clone();
    let reports = stream::unfold((begin, stop), |(mut following, stop)| async move {
        tokio::select! {
            report = following.next() => {
                let event = Event::default().id(report.serial.to_string());
                let event = event.json_data(&report).expect("a report is plain JSON");
                Some((Ok(event), (following, stop)))
            }
            () = stop.cancelled() => None,
        }
    });
    Sse::new(reports).keep_alive(KeepAlive::default())
}

struct Following {
    events: Events,
    after: u64,
    /// Newest first.
    waiting: Vec<Report>,
}

impl Following {
    /// The next event. Cancel safe.
    async fn next(&mut self) -> Report {
        let mut newest = self.events.watch();
        loop {
            if let Some(report) = self.waiting.pop() {
                self.after = report.serial;
                return report;
            }
            newest.borrow_and_update();
            self.waiting = self.events.after(self.after, usize::MAX);
            self.waiting.reverse();
            if self.waiting.is_empty() {
                newest.changed().await.expect("the ring is held here");
            }
        }
    }
}
