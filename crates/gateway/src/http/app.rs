//! What handlers share, and how they read a stream's name.

use std::ops::Deref;
use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use pegasus_base::StreamName;
use pegasus_export::Plans;
use serde::de::DeserializeOwned;

use super::error::ApiError;
use super::hls::Feeds;
use super::metrics::Counters;
use super::playbacks::Playbacks;
use crate::{Mounts, Services};

/// The state of the HTTP door. Cheap to clone.
#[derive(Clone)]
pub(crate) struct App {
    services: Services,
    /// Live streams that somebody watches by HLS.
    pub(crate) feeds: Feeds,
    /// Exports that were planned lately.
    pub(crate) plans: Plans,
    /// Playbacks that were promised.
    pub(crate) playbacks: Arc<Playbacks>,
    /// What is counted.
    pub(crate) counters: Arc<Counters>,
}

impl App {
    pub(crate) fn new(services: Services) -> Self {
        let feeds = Feeds::new(services.switch.clone(), services.stop.clone());
        let (plans, playbacks) = (Plans::default(), Arc::default());
        Self { services, feeds, plans, playbacks, counters: Arc::default() }
    }

    /// The store's files.
    pub(crate) fn files(&self) -> Result<Arc<dyn Mounts>, ApiError> {
        self.mounts.clone().ok_or_else(|| ApiError::missing("this node has no files"))
    }
}

impl Deref for App {
    type Target = Services;

    fn deref(&self) -> &Services {
        &self.services
    }
}

/// The stream named in the path.
pub(crate) struct Named(pub(crate) StreamName);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = Path::<Vec<(String, String)>>::from_request_parts(parts, state).await;
        let path = path.map_err(|error| ApiError::bad(error.body_text()))?;
        let name = path.0.iter().find(|(key, _)| key == "name").map(|(_, value)| value.as_str());
        Ok(Self(StreamName::from_path(name.unwrap_or_default())?))
    }
}

/// The number in the path. What is none is refused as everything else is.
pub(crate) struct Numbered(pub(crate) u64);

impl<S: Send + Sync> FromRequestParts<S> for Numbered {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = Path::<u64>::from_request_parts(parts, state).await;
        path.map(|Path(number)| Self(number)).map_err(|error| ApiError::bad(error.body_text()))
    }
}

/// What the query asks for. What it can't be is refused as everything else is.
pub(crate) struct QueryOf<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for QueryOf<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let query = Query::from_request_parts(parts, state).await;
        query.map(|Query(asked)| Self(asked)).map_err(|error| ApiError::bad(error.body_text()))
    }
}

/// What the body says, as JSON. What it can't be is refused as everything else is.
pub(crate) struct BodyOf<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for BodyOf<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let body = Json::from_request(request, state).await;
        body.map(|Json(said)| Self(said))
            .map_err(|error| ApiError::new(error.status(), error.body_text()))
    }
}

/// Does what waits for disks where it holds up nobody.
pub(crate) async fn blocking<T, E>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, ApiError>
where
    T: Send + 'static,
    E: Into<ApiError> + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(Into::into),
        // Nobody cancels these tasks: it has panicked, and so does its caller.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
