//! What a request is told when it can't be done: a status and one sentence, as JSON.

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use pegasus_base::{NameError, StreamName};
use pegasus_export::ExportError;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::DiskListError;
use crate::sources::SourceError;

/// A refusal or failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiError {
    status: StatusCode,
    text: String,
    position: Option<u64>,
    /// In so many seconds it may be asked for again.
    retry_after_s: Option<u64>,
}

/// The body of every answer that is not a success.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    /// What is wrong, in one sentence.
    #[schema(example = "nothing is recorded of /cam/door")]
    pub error: String,
    /// Of a playback that waited in vain: where it stood in line, 1 the next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<u64>,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self { status, text: text.into(), position: None, retry_after_s: None }
    }

    /// The request makes no sense.
    pub(crate) fn bad(text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, text)
    }

    /// There is no such thing.
    pub(crate) fn missing(text: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, text)
    }

    /// Nobody publishes the stream.
    pub(crate) fn not_live(name: &StreamName) -> Self {
        Self::missing(format!("{name} is not live"))
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        if self.status.is_server_error() {
            tracing::warn!(status = self.status.as_u16(), "{}", self.text);
        }
        let body = Json(ErrorBody { error: self.text, position: self.position });
        match self.retry_after_s {
            Some(s) => (self.status, [(header::RETRY_AFTER, s.to_string())], body).into_response(),
            None => (self.status, body).into_response(),
        }
    }
}

impl From<pegasus_continuous::Error> for ApiError {
    fn from(error: pegasus_continuous::Error) -> Self {
        use pegasus_continuous::Error;
        let status = match &error {
            Error::UnknownStream { .. } => StatusCode::NOT_FOUND,
            Error::Deleted { .. } => StatusCode::GONE,
            Error::Taken { .. } => StatusCode::CONFLICT,
            Error::Full => StatusCode::INSUFFICIENT_STORAGE,
            Error::Closed
            | Error::Refused(_)
            | Error::RecordingRefused(_)
            | Error::Out { .. }
            | Error::Away { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Error::ObjectMissing { .. } => StatusCode::GONE,
            Error::NoTier => StatusCode::CONFLICT,
            Error::NoRoomToReturn => StatusCode::INSUFFICIENT_STORAGE,
            Error::Withdrawn { .. } => StatusCode::GONE,
            Error::CantReplace { .. } | Error::CantAdd { .. } | Error::CantRemove { .. } => {
                StatusCode::CONFLICT
            }
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let position = match &error {
            Error::Refused(refused) => refused.position,
            _ => None,
        };
        let retry_after_s = match &error {
            Error::Out { back_in: Some(wait), .. } => Some(wait.as_secs() + 1),
            _ => None,
        };
        Self { position, retry_after_s, ..Self::new(status, error.to_string()) }
    }
}

impl From<DiskListError> for ApiError {
    fn from(error: DiskListError) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
    }
}

impl From<ExportError> for ApiError {
    fn from(error: ExportError) -> Self {
        let status = match error {
            ExportError::Store(error) => return error.into(),
            ExportError::Media(error) => return error.into(),
            ExportError::Nothing { .. } => StatusCode::NOT_FOUND,
            ExportError::TooMany { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            ExportError::Changed { .. } => StatusCode::GONE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, error.to_string())
    }
}

impl From<SourceError> for ApiError {
    fn from(error: SourceError) -> Self {
        let status = match &error {
            SourceError::Exists { .. } | SourceError::Configured { .. } => StatusCode::CONFLICT,
            SourceError::Unknown { .. } => StatusCode::NOT_FOUND,
            SourceError::Url(_) => StatusCode::BAD_REQUEST,
            SourceError::List(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, error.to_string())
    }
}

impl From<NameError> for ApiError {
    fn from(error: NameError) -> Self {
        Self::bad(error.to_string())
    }
}

impl From<pegasus_media::mp4::WriteError> for ApiError {
    fn from(error: pegasus_media::mp4::WriteError) -> Self {
        use pegasus_media::mp4::WriteError;
        let status = match &error {
            WriteError::Empty => StatusCode::NOT_FOUND,
            WriteError::TablesTooLarge | WriteError::FragmentFull { .. } => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, error.to_string())
    }
}
