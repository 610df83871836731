//! The console: the files of `console/dist`, built into the program.

use axum::extract::Request;
use axum::http::{Method, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use rust_embed::RustEmbed;

use super::body::ASK_AGAIN;
use super::error::ApiError;

#[derive(RustEmbed)]
#[folder = "../../console/dist"]
#[allow_missing = true]
struct Files;

/// Only what this node serves may run or be loaded. Workers and media are made from blobs; plots and
/// the timeline are painted by script.
const POLICY: &str = "default-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; \
                      worker-src 'self' blob:; connect-src 'self' ws: wss:; \
                      style-src 'self' 'unsafe-inline'; base-uri 'none'; form-action 'self'; \
                      frame-ancestors 'none'; object-src 'none'";

/// Their names hold a hash of what is in them.
const FOR_EVER: &str = "public, max-age=31536000, immutable";

const NOT_BUILT: &str = "<!doctype html><meta charset=utf-8><title>Pegasus</title>\
    <p>This program was built without its console. Run <code>make console</code>, then build it \
    again. The API is at <a href=/api/v1/status>/api/v1/status</a>.";

/// Whatever no other route answers: a file of the console, or its page, which finds its way by the
/// address.
pub(crate) async fn get_console(request: Request) -> Response {
    let path = request.uri().path();
    if path.starts_with("/api/") || path.starts_with("/hls/") {
        return ApiError::missing(format!("there is nothing at {path}")).into_response();
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let error = ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered here");
        return error.into_response();
    }
    match Files::get(path.trim_start_matches('/')).filter(|_| path != "/index.html") {
        Some(file) => {
            let cache = if path.starts_with("/assets/") { FOR_EVER } else { ASK_AGAIN };
            let kind = file.metadata.mimetype().to_owned();
            let headers = [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, cache.to_owned())];
            (headers, file.data).into_response()
        }
        // A file that is not there is no page.
        None if path.rsplit('/').next().is_some_and(|last| last.contains('.'))
            && path != "/index.html" =>
        {
            ApiError::missing(format!("there is no file {path}")).into_response()
        }
        None => page(),
    }
}

fn page() -> Response {
    let headers = [(header::CONTENT_SECURITY_POLICY, POLICY), (header::CACHE_CONTROL, ASK_AGAIN)];
    let kind = [(header::CONTENT_TYPE, "text/html; charset=utf-8")];
    match Files::get("index.html") {
        Some(index) => (headers, kind, index.data).into_response(),
        None => (StatusCode::NOT_FOUND, headers, Html(NOT_BUILT)).into_response(),
    }
}
