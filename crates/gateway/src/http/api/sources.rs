//! Streams that the node fetches itself.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use pegasus_base::StreamName;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::http::app::{App, BodyOf, Named, blocking};
use crate::http::error::{ApiError, ErrorBody};
use crate::sources::SourceStatus;

/// A source to add.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewSource {
    /// The stream it is published as.
    #[schema(example = "/cam/yard")]
    name: String,
    /// Where it comes from.
    #[schema(example = "rtsp://user:pass@camera.local/stream1")]
    url: String,
}

/// All sources and how they fare.
#[utoipa::path(
    get,
    path = "/api/v1/sources",
    tag = "sources",
    responses((status = 200, body = Vec<SourceStatus>))
)]
pub(crate) async fn list_sources(State(app): State<App>) -> Json<Vec<SourceStatus>> {
    Json(app.sources.list())
}

/// Adds a source and starts to pull it. It stays over restarts.
#[utoipa::path(
    post,
    path = "/api/v1/sources",
    tag = "sources",
    request_body = NewSource,
    responses(
        (status = 201, body = SourceStatus),
        (status = 400, body = ErrorBody),
        (status = 409, description = "There is one of this name", body = ErrorBody),
    )
)]
pub(crate) async fn add_source(
    State(app): State<App>,
    BodyOf(source): BodyOf<NewSource>,
) -> Result<(StatusCode, Json<SourceStatus>), ApiError> {
    let name: StreamName = source.name.parse()?;
    let (sources, added) = (app.sources.clone(), name.clone());
    blocking(move || sources.add(&added, &source.url)).await?;
    let mut sources = app.sources.list().into_iter();
    let status = sources.find(|status| status.name == name);
    let gone = || ApiError::missing(format!("{name} was removed at once"));
    Ok((StatusCode::CREATED, Json(status.ok_or_else(gone)?)))
}

/// Stops pulling a source and forgets it. What is recorded of it stays.
#[utoipa::path(
    delete,
    path = "/api/v1/sources/{name}",
    tag = "sources",
    params(("name" = String, Path, description = "The stream", example = "cam/yard")),
    responses(
        (status = 204, description = "Removed"),
        (status = 404, body = ErrorBody),
        (status = 409, description = "It stands in the node's configuration", body = ErrorBody),
    )
)]
pub(crate) async fn remove_source(
    State(app): State<App>,
    Named(name): Named,
) -> Result<StatusCode, ApiError> {
    let sources = app.sources.clone();
    blocking(move || sources.remove(&name)).await?;
    Ok(StatusCode::NO_CONTENT)
}
