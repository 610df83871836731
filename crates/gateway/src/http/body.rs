//! Answers of several shared pieces, and their headers.

use std::convert::Infallible;

use axum::body::Body;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;

/// What never changes under its address may be kept by the browser that asked for it.
pub(crate) const KEEP: &str = "private, max-age=3600, immutable";
/// What changes has to be asked for every time.
pub(crate) const ASK_AGAIN: &str = "no-cache";

/// An answer made of `chunks`, which are not copied.
pub(crate) fn chunked(
    content_type: &'static str,
    cache: &'static str,
    chunks: Vec<Bytes>,
) -> Response {
    let len_bytes: usize = chunks.iter().map(Bytes::len).sum();
    let headers = [
        (header::CONTENT_TYPE, content_type.to_owned()),
        (header::CACHE_CONTROL, cache.to_owned()),
        (header::CONTENT_LENGTH, len_bytes.to_string()),
    ];
    let chunks = chunks.into_iter().map(Ok::<_, Infallible>);
    (headers, Body::from_stream(stream::iter(chunks))).into_response()
}

/// A text that is made anew for every request.
pub(crate) fn text(content_type: &'static str, text: String) -> Response {
    let headers = [(header::CONTENT_TYPE, content_type), (header::CACHE_CONTROL, ASK_AGAIN)];
    (headers, text).into_response()
}
