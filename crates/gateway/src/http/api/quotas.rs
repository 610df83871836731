//! Quotas on directories of the store's files.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::http::app::{App, BodyOf, QueryOf, blocking};
use crate::http::error::{ApiError, ErrorBody};
use crate::{QuotaLimits, QuotaReport};

/// What a directory may hold with all that is in it, and does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Quota {
    /// The directory's path, from the root of the files on.
    #[schema(example = "/projects")]
    path: String,
    /// Most bytes of files; `null` is no limit.
    bytes: Option<u64>,
    /// Most files and directories, itself among them; `null` is no limit.
    files: Option<u64>,
    /// Bytes of files, as long as they are.
    used_bytes: u64,
    /// Files and directories.
    used_files: u64,
    /// What was there before is still being counted; until then nothing is refused.
    counting: bool,
}

/// A quota to be set.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// The directory: its path from the root of the files on, or below where they are mounted.
    #[schema(example = "/projects")]
    path: String,
    /// Most bytes of files; no limit if it is left out.
    #[schema(example = 10_737_418_240_u64)]
    bytes: Option<u64>,
    /// Most files and directories, itself among them; no limit if it is left out.
    files: Option<u64>,
}

/// A directory.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Directory {
    /// As where the quota was set.
    path: String,
}

/// The quotas, oldest first.
#[utoipa::path(
    get,
    path = "/api/v1/quotas",
    tag = "files",
    responses((status = 200, body = [Quota]))
)]
pub(crate) async fn list_quotas(State(app): State<App>) -> Result<Json<Vec<Quota>>, ApiError> {
    let Some(files) = app.mounts.clone() else { return Ok(Json(Vec::new())) };
    let found = blocking(move || files.quotas()).await?;
    Ok(Json(found.into_iter().map(Quota::from).collect()))
}

/// Limits what a directory may hold, or gives its quota other limits.
#[utoipa::path(
    put,
    path = "/api/v1/quotas",
    tag = "files",
    request_body = Wanted,
    responses(
        (status = 200, description = "It holds, and is durable", body = Quota),
        (status = 404, description = "There is no such directory", body = ErrorBody),
        (status = 409, description = "One above or in it has a quota, or no room", body = ErrorBody),
    )
)]
pub(crate) async fn set_quota(
    State(app): State<App>,
    BodyOf(wanted): BodyOf<Wanted>,
) -> Result<Json<Quota>, ApiError> {
    let files = app.files()?;
    let limits = QuotaLimits { bytes: wanted.bytes, files: wanted.files };
    let set = blocking(move || files.set_quota(&wanted.path, limits)).await?;
    Ok(Json(Quota::from(set)))
}

/// Takes the quota of a directory away; what is in it stays.
#[utoipa::path(
    delete,
    path = "/api/v1/quotas",
    tag = "files",
    params(Directory),
    responses(
        (status = 204, description = "It is gone, durably"),
        (status = 404, description = "There is no such directory, or no quota on it", body = ErrorBody),
    )
)]
pub(crate) async fn remove_quota(
    State(app): State<App>,
    QueryOf(wanted): QueryOf<Directory>,
) -> Result<StatusCode, ApiError> {
    let files = app.files()?;
    blocking(move || files.remove_quota(&wanted.path)).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl From<QuotaReport> for Quota {
    fn from(report: QuotaReport) -> Self {
        let QuotaReport { path, limits, used_bytes, used_files, counting } = report;
        Self { path, bytes: limits.bytes, files: limits.files, used_bytes, used_files, counting }
    }
}
