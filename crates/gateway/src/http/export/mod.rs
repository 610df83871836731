//! A recorded range as one MP4 file, with byte ranges.
//!
//! [`pegasus_export`] plans and reads it; here it is sent as it is read. An answer ends early rather than
//! with other bytes than were planned. Plans are kept for a while, as players ask for one file many times.

mod read;

use std::ops::Range;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use pegasus_base::{StreamName, TimeRange};
use pegasus_continuous::Promise;
use pegasus_export::Planned;
use serde::Deserialize;
use utoipa::IntoParams;

use super::app::{App, Named, QueryOf, blocking};
use super::body::ASK_AGAIN;
use super::error::{ApiError, ErrorBody};
use super::names;
use super::query::Between;
use super::range::{Asked, asked, content_range};

/// What is recorded in a range, as an MP4 file. Begins with the key unit at or before `from`; plays
/// straight across gaps. Byte ranges are served; the entity tag stays the same for the same range.
#[utoipa::path(
    get,
    path = "/api/v1/streams/{name}/media.mp4",
    tag = "recordings",
    params(("name" = String, Path, description = "The stream", example = "cam/door"), Between, Under),
    responses(
        (status = 200, description = "The file", content_type = "video/mp4"),
        (status = 206, description = "Part of it", content_type = "video/mp4"),
        (status = 307, description = "Parts of a relative range: to where that range is now"),
        (status = 404, description = "Nothing is recorded there, or there is no such playback", body = ErrorBody),
        (status = 410, description = "The promise was taken back", body = ErrorBody),
        (status = 416, description = "The file is shorter", body = ErrorBody),
        (status = 422, description = "The file would have too many units", body = ErrorBody),
        (status = 503, description = "Too many files are being sent", body = ErrorBody),
    )
)]
pub(crate) async fn get_media(
    State(app): State<App>,
    Named(name): Named,
    QueryOf(between): QueryOf<Between>,
    QueryOf(under): QueryOf<Under>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let range = between.resolve(app.clock.now())?;
    let promise = under.promise(&app, &name)?;
    let (store, plans, stream) = (app.store.clone(), app.plans.clone(), name.clone());
    let first = promise.clone();
    let plan = move || plans.get(&store, &stream, range);
    let planned = blocking(move || match first {
        Some(promise) => promise.hurry(plan),
        None => plan(),
    });
    let planned = planned.await?;

    let part = text(&headers, header::RANGE);
    if part.is_some() && !between.is_absolute() {
        // The parts that a player asks for one after the other have to be those of one file.
        let there = under.kept(path(&name, planned.range));
        return Ok(Redirect::temporary(&there).into_response());
    }
    let len_bytes = planned.plan.total_len();
    let is_known = |tags: &str| tags.split(',').any(|tag| tag.trim() == planned.tag || tag == "*");
    if text(&headers, header::IF_NONE_MATCH).is_some_and(is_known) {
        return Ok(
            (StatusCode::NOT_MODIFIED, [(header::ETAG, planned.tag.clone())]).into_response()
        );
    }
    // Without a match of its condition a part is not wanted (RFC 9110, 13.1.5).
    let fits = text(&headers, header::IF_RANGE).is_none_or(|tag| tag.trim() == planned.tag);
    let mut response = match asked(part.filter(|_| fits), len_bytes) {
        Asked::Nothing => {
            let text = format!("the file has {len_bytes} bytes");
            let error = ApiError::new(StatusCode::RANGE_NOT_SATISFIABLE, text);
            let whole = [(header::CONTENT_RANGE, format!("bytes */{len_bytes}"))];
            return Ok((whole, error).into_response());
        }
        Asked::Whole => send(&app, &name, (&planned, promise), 0..len_bytes, &method)?,
        Asked::Part(part) => {
            let range = [(header::CONTENT_RANGE, content_range(&part, len_bytes))];
            let body = send(&app, &name, (&planned, promise), part, &method)?;
            (StatusCode::PARTIAL_CONTENT, range, body).into_response()
        }
    };
    describe(response.headers_mut(), &name, &planned);
    Ok(response)
}

/// `?playback=`: the promise under which it is read.
#[derive(Clone, Copy, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Under {
    /// The number of a playback that was promised; it is renewed by this.
    #[param(example = 7)]
    playback: Option<u64>,
}

impl Under {
    /// Where a request is sent on to, with its promise.
    fn kept(self, there: String) -> String {
        match self.playback {
            Some(id) => format!("{there}&playback={id}"),
            None => there,
        }
    }

    fn promise(self, app: &App, name: &StreamName) -> Result<Option<Arc<Promise>>, ApiError> {
        let Some(id) = self.playback else { return Ok(None) };
        let promise = app.playbacks.get(id)?.promise;
        if !promise.streams().any(|own| own == name) {
            return Err(ApiError::bad(format!("playback {id} is not of {name}")));
        }
        Ok(Some(promise))
    }
}

/// The bytes of `part`; none of them for a `HEAD`.
fn send(
    app: &App,
    name: &StreamName,
    (planned, promise): (&Arc<Planned>, Option<Arc<Promise>>),
    part: Range<u64>,
    method: &Method,
) -> Result<Response, ApiError> {
    let len_bytes = [(header::CONTENT_LENGTH, (part.end - part.start).to_string())];
    let body = match *method {
        Method::HEAD => Body::empty(),
        _ => read::stream(app, name.clone(), (Arc::clone(planned), promise), part)?,
    };
    Ok((len_bytes, body).into_response())
}

fn describe(headers: &mut HeaderMap, name: &StreamName, planned: &Planned) {
    let file = format!("{}-{}.mp4", names::in_path(name).replace('/', "-"), planned.first);
    let disposition = format!("attachment; filename=\"{}\"", file.replace(':', ""));
    let values = [
        (header::CONTENT_TYPE, "video/mp4".to_owned()),
        (header::ACCEPT_RANGES, "bytes".to_owned()),
        (header::ETAG, planned.tag.clone()),
        (header::CACHE_CONTROL, ASK_AGAIN.to_owned()),
        (header::CONTENT_DISPOSITION, disposition),
        (header::CONTENT_LOCATION, path(name, planned.range)),
    ];
    for (key, value) in values {
        headers.insert(key, value.parse().expect("names, times and numbers are plain text"));
    }
}

/// Where the file of a fixed range is.
fn path(name: &StreamName, range: TimeRange) -> String {
    let TimeRange { start, end } = range;
    format!("/api/v1/streams/{}/media.mp4?from={start}&to={end}", names::in_path(name))
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}
