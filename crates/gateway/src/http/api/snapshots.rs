//! Snapshots of the store's files.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use pegasus_base::Time;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::SnapshotReport;
use crate::http::app::{App, BodyOf, QueryOf, blocking};
use crate::http::error::{ApiError, ErrorBody};

/// All files as they were at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Snapshot {
    /// Its name, by which it is found in `.snapshots` where the files are mounted.
    #[schema(example = "before-the-upgrade")]
    name: String,
    /// The moment it shows.
    #[schema(value_type = String, format = DateTime)]
    time: Time,
}

/// The name of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, ToSchema, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct SnapshotName {
    /// Up to 255 bytes, without a slash or control characters, and not beginning with a dot.
    #[schema(example = "before-the-upgrade")]
    name: String,
}

/// The snapshots, oldest first.
#[utoipa::path(
    get,
    path = "/api/v1/snapshots",
    tag = "files",
    responses((status = 200, body = [Snapshot]))
)]
pub(crate) async fn list_snapshots(
    State(app): State<App>,
) -> Result<Json<Vec<Snapshot>>, ApiError> {
    let Some(files) = app.mounts.clone() else { return Ok(Json(Vec::new())) };
    let found = blocking(move || files.snapshots()).await?;
    Ok(Json(found.into_iter().map(Snapshot::from).collect()))
}

/// Keeps all files as they are now under a name.
#[utoipa::path(
    post,
    path = "/api/v1/snapshots",
    tag = "files",
    request_body = SnapshotName,
    responses(
        (status = 201, description = "It is durable", body = Snapshot),
        (status = 409, description = "There is one of this name, it is no name, or no room", body = ErrorBody),
    )
)]
pub(crate) async fn create_snapshot(
    State(app): State<App>,
    BodyOf(wanted): BodyOf<SnapshotName>,
) -> Result<(StatusCode, Json<Snapshot>), ApiError> {
    let files = app.files()?;
    let made = blocking(move || files.create_snapshot(&wanted.name)).await?;
    Ok((StatusCode::CREATED, Json(Snapshot::from(made))))
}

/// Removes a snapshot, and gives back the room that it alone took.
#[utoipa::path(
    delete,
    path = "/api/v1/snapshots",
    tag = "files",
    params(SnapshotName),
    responses(
        (status = 204, description = "It is gone, durably"),
        (status = 404, description = "There is none of this name", body = ErrorBody),
    )
)]
pub(crate) async fn remove_snapshot(
    State(app): State<App>,
    QueryOf(wanted): QueryOf<SnapshotName>,
) -> Result<StatusCode, ApiError> {
    let files = app.files()?;
    blocking(move || files.remove_snapshot(&wanted.name)).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl From<SnapshotReport> for Snapshot {
    fn from(report: SnapshotReport) -> Self {
        Self { name: report.name, time: report.made }
    }
}
