//! Where groups of pictures begin and end.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use pegasus_base::{StreamName, Time, TimeRange};
use pegasus_continuous::{Continuous, Error, Group};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::http::app::{App, Named, QueryOf, blocking};
use crate::http::error::{ApiError, ErrorBody};
use crate::http::query::Between;

/// Most groups in one answer, and how many there are if nothing is said.
const PAGE_MAX: usize = 1_000;

/// A group of pictures: a key unit of the first video track (or of the first track, where there is no
/// video) and what follows of the track up to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct KeyGroup {
    /// Time of its key unit.
    #[schema(value_type = String, format = DateTime)]
    time: Time,
    /// Time of the next key unit, listed or not, or the end of the span so far.
    #[schema(value_type = String, format = DateTime)]
    until: Time,
    /// Units of the track in it.
    units: u64,
}

/// Some groups.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct KeysPage {
    /// In order.
    keys: Vec<KeyGroup>,
    /// What to ask for as `from`, all else being the same, to get those that follow; null if these are all.
    #[schema(value_type = Option<String>, format = DateTime)]
    next: Option<Time>,
}

/// Which groups are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Sparsely {
    /// Groups are left out of which the key unit lies less than so many milliseconds behind that of the one
    /// told before.
    #[serde(default)]
    #[param(example = 5_000)]
    every_ms: u64,
    /// At most so many, 1 to 1000. Left out: 1000.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// The groups of pictures that have an instant in a range, in order. Only what is durable.
#[utoipa::path(
    get,
    path = "/api/v1/streams/{name}/keys",
    tag = "recordings",
    params(
        ("name" = String, Path, description = "The stream", example = "cam/door"),
        Between,
        Sparsely,
    ),
    responses(
        (status = 200, body = KeysPage),
        (status = 400, body = ErrorBody),
        (status = 404, description = "Neither live nor recorded", body = ErrorBody),
    )
)]
pub(crate) async fn list_keys(
    State(app): State<App>,
    Named(name): Named,
    QueryOf(between): QueryOf<Between>,
    QueryOf(sparsely): QueryOf<Sparsely>,
) -> Result<Json<KeysPage>, ApiError> {
    let range = between.resolve(app.clock.now())?;
    let limit = sparsely.limit.unwrap_or(PAGE_MAX);
    if !(1..=PAGE_MAX).contains(&limit) {
        return Err(ApiError::bad(format!("limit is 1 to {PAGE_MAX}, not {limit}")));
    }
    let every = Duration::from_millis(sparsely.every_ms);
    let (store, stream) = (app.store.clone(), name.clone());
    match blocking(move || page(&store, &stream, range, every, limit)).await {
        Ok(page) => Ok(Json(page)),
        // Live, but nothing is durable yet: an empty list, not an error.
        Err(error)
            if error.status() == StatusCode::NOT_FOUND
                && app.switch.status(&name).is_some_and(|status| status.live) =>
        {
            Ok(Json(KeysPage::default()))
        }
        Err(error) => Err(error),
    }
}

/// The first `limit` groups of `name` in `range`.
fn page(
    store: &Continuous,
    name: &StreamName,
    range: TimeRange,
    every: Duration,
    limit: usize,
) -> Result<KeysPage, Error> {
    let mut groups = store.groups(name, range.start, every)?;
    let mut page = KeysPage::default();
    while let Some(Group { time, until, units, .. }) = groups.next()? {
        if time >= range.end {
            break;
        }
        // A range in a gap, or an end that was deleted meanwhile.
        if until <= range.start {
            continue;
        }
        if page.keys.len() == limit {
            page.next = Some(time);
            break;
        }
        page.keys.push(KeyGroup { time, until, units });
    }
    Ok(page)
}
