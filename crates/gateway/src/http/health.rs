//! Whether the node does its work, for probes.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use pegasus_continuous::{Health as StoreHealth, StoreStatus};
use serde::Serialize;
use utoipa::ToSchema;

use super::app::{App, blocking};
use super::error::ApiError;

/// Whether the node does its work.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Health {
    /// Whether the store takes recordings.
    ok: bool,
    /// Why not, or what is wrong though it does.
    reason: Option<String>,
}

/// Whether the node does its work: 200 while the store takes recordings, else 503.
#[utoipa::path(
    get,
    path = "/healthz",
    tag = "node",
    responses((status = 200, body = Health), (status = 503, body = Health))
)]
pub(crate) async fn get_health(
    State(app): State<App>,
) -> Result<(StatusCode, Json<Health>), ApiError> {
    let store = app.store.clone();
    let status = blocking(move || Ok::<_, ApiError>(store.status())).await?;
    let health = health(status);
    let code = if health.ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Ok((code, Json(health)))
}

fn health(status: StoreStatus) -> Health {
    let ok = matches!(status.health, StoreHealth::Ok | StoreHealth::Degraded);
    Health { ok, reason: status.reason }
}
