//! Where the store's files are mounted. Only programs on the node's own machine may change that.

use std::path::PathBuf;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::http::app::{App, BodyOf, QueryOf, blocking};
use crate::http::error::{ApiError, ErrorBody};
use crate::http::live::Client;
use crate::{FilesReport, Mounts, MountsError};

/// The store's ordinary files.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Files {
    /// Where they are mounted.
    mounts: Vec<String>,
    /// Bytes that can still be written, in the worst case; `null` before the first mount.
    free_bytes: Option<u64>,
    /// Bytes of changes that are not on disk yet.
    pending_bytes: u64,
    /// Snapshots of them.
    snapshots: u64,
    /// Why they can't be written.
    trouble: Option<String>,
}

/// A mount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct MountPoint {
    /// The directory, with all of its path.
    #[schema(example = "/mnt/pegasus")]
    path: String,
}

/// Where the files are mounted.
#[utoipa::path(
    get,
    path = "/api/v1/mounts",
    tag = "files",
    responses((status = 200, body = [MountPoint]))
)]
pub(crate) async fn list_mounts(State(app): State<App>) -> Result<Json<Vec<MountPoint>>, ApiError> {
    let files = Files::from(report(&app).await?);
    Ok(Json(files.mounts.into_iter().map(|path| MountPoint { path }).collect()))
}

/// Mounts the files on an empty directory. For programs on the node's machine only.
#[utoipa::path(
    post,
    path = "/api/v1/mounts",
    tag = "files",
    request_body = MountPoint,
    responses(
        (status = 201, description = "They are mounted", body = MountPoint),
        (status = 403, description = "Asked from another machine", body = ErrorBody),
        (status = 409, description = "Not there, or they are mounted already", body = ErrorBody),
    )
)]
pub(crate) async fn add_mount(
    State(app): State<App>,
    client: Client,
    BodyOf(wanted): BodyOf<MountPoint>,
) -> Result<(StatusCode, Json<MountPoint>), ApiError> {
    let mounts = local(&app, &client)?;
    let path = PathBuf::from(&wanted.path);
    blocking(move || mounts.mount(&path)).await?;
    Ok((StatusCode::CREATED, Json(wanted)))
}

/// Takes a mount away. Programs that use files there may go on with them. For programs on the node's machine
/// only.
#[utoipa::path(
    delete,
    path = "/api/v1/mounts",
    tag = "files",
    params(MountPoint),
    responses(
        (status = 204, description = "All that was written is durable"),
        (status = 403, description = "Asked from another machine", body = ErrorBody),
        (status = 404, description = "They are not mounted there", body = ErrorBody),
    )
)]
pub(crate) async fn remove_mount(
    State(app): State<App>,
    client: Client,
    QueryOf(wanted): QueryOf<MountPoint>,
) -> Result<StatusCode, ApiError> {
    let mounts = local(&app, &client)?;
    blocking(move || mounts.unmount(&PathBuf::from(wanted.path))).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// How the files are doing.
pub(crate) async fn report(app: &App) -> Result<FilesReport, ApiError> {
    let Some(mounts) = app.mounts.clone() else { return Ok(FilesReport::default()) };
    blocking(move || Ok::<_, ApiError>(mounts.status())).await
}

/// What mounts, if the one who asks is on this machine.
fn local(app: &App, client: &Client) -> Result<Arc<dyn Mounts>, ApiError> {
    let peer = client.as_ref().map(|client| client.0.0.ip().to_canonical());
    if !peer.is_some_and(|peer| peer.is_loopback()) {
        let text = "files are mounted only for programs on the node's own machine";
        return Err(ApiError::new(StatusCode::FORBIDDEN, text));
    }
    app.mounts.clone().ok_or_else(|| ApiError::missing("this node can't mount files"))
}

impl From<FilesReport> for Files {
    fn from(report: FilesReport) -> Self {
        let FilesReport { mounts, free_bytes, pending_bytes, snapshots, trouble } = report;
        let mounts = mounts.into_iter().map(|path| path.display().to_string()).collect();
        Self { mounts, free_bytes, pending_bytes, snapshots, trouble }
    }
}

impl From<MountsError> for ApiError {
    fn from(error: MountsError) -> Self {
        let status = match &error {
            MountsError::Refused(_) => StatusCode::CONFLICT,
            MountsError::NotMounted(_)
            | MountsError::NoSnapshot(_)
            | MountsError::NoDirectory(_)
            | MountsError::NoQuota(_) => StatusCode::NOT_FOUND,
            MountsError::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, error.to_string())
    }
}
