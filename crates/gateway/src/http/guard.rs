//! Who is let through: credentials, and pages of strangers kept out.
//!
//! A browser sends requests for whatever page it shows. So that a stranger's page can't drive a
//! node on the same machine, whatever changes something and every WebSocket must come from a page of
//! this node or from no page at all (`Origin`). And while everybody may come in, the node answers
//! only to addresses and names that a stranger can't have pointed here (`Host`): an address as such,
//! `localhost`, or the node's own name.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::uri::Authority;
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::app::App;
use super::error::ApiError;
use super::names;
use crate::Level;

/// Lets the request through, or says why not.
pub(crate) async fn guard(State(app): State<App>, request: Request, next: Next) -> Response {
    let mut response = match check(&app, &request) {
        Ok(()) => next.run(request).await,
        Err(error) => refuse(error),
    };
    harden(response.headers_mut());
    response
}

/// Encodes the slashes in stream names before the request is routed.
pub(crate) async fn fold(mut request: Request) -> Request {
    if let Some(path) = names::fold(request.uri().path()) {
        let query = request.uri().query().map(|q| format!("?{q}")).unwrap_or_default();
        let mut parts = request.uri().clone().into_parts();
        // The characters are those of a valid path, so it stays one.
        parts.path_and_query = format!("{path}{query}").parse().ok().or(parts.path_and_query);
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
    }
    request
}

fn check(app: &App, request: &Request) -> Result<(), ApiError> {
    let headers = request.headers();
    let host = host(headers, request.uri());
    if let Some(host) = host.as_deref()
        && app.access.is_open()
        && !may_be_asked_as(host, &app.node.http_url)
    {
        let text = format!("this node does not answer to '{host}' without credentials");
        return Err(ApiError::new(StatusCode::MISDIRECTED_REQUEST, text));
    }
    let origin = text(headers, &header::ORIGIN);
    if let Some(origin) = origin
        && changes_something(request.method(), headers)
        && !is_same_origin(origin, host.as_deref())
    {
        let text = format!("requests from pages of {origin} are refused");
        return Err(ApiError::new(StatusCode::FORBIDDEN, text));
    }
    // Probes have no credentials, and learn no more than whether the store can be written.
    let authorization = text(headers, &header::AUTHORIZATION);
    if request.uri().path() == "/healthz" || app.access.check_basic(authorization) {
        return Ok(());
    }
    if authorization.is_some() {
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
        let peer = peer.map_or_else(|| "http".to_owned(), |peer| format!("http {}", peer.0.ip()));
        app.events.report(Level::Warning, peer, "wrong credentials");
    }
    Err(ApiError::new(StatusCode::UNAUTHORIZED, "credentials are required"))
}

fn refuse(error: ApiError) -> Response {
    let status = error.status();
    let mut response = error.into_response();
    if status == StatusCode::UNAUTHORIZED {
        let challenge = HeaderValue::from_static("Basic realm=\"Pegasus\", charset=\"UTF-8\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

/// Says what a browser may not do with any answer.
fn harden(headers: &mut HeaderMap) {
    const ALWAYS: [(HeaderName, &str); 3] = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    for (name, value) in ALWAYS {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().unwrap_or(""))
}

/// Whom the request is for: `Host`, or `:authority` in HTTP/2.
fn host(headers: &HeaderMap, uri: &Uri) -> Option<String> {
    let authority = uri.authority().map(Authority::as_str);
    text(headers, &header::HOST).or(authority).map(str::to_ascii_lowercase)
}

fn changes_something(method: &Method, headers: &HeaderMap) -> bool {
    let safe = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
    let upgrade = text(headers, &header::UPGRADE);
    !safe || upgrade.is_some_and(|to| to.eq_ignore_ascii_case("websocket"))
}

fn is_same_origin(origin: &str, host: Option<&str>) -> bool {
    let from = origin.strip_prefix("https://").or(origin.strip_prefix("http://"));
    matches!((from, host), (Some(from), Some(host)) if from.eq_ignore_ascii_case(host))
}

fn may_be_asked_as(host: &str, http_url: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let name = authority.host().trim_matches(['[', ']']);
    let own = http_url.parse::<Uri>().ok();
    let is_own = own.as_ref().and_then(Uri::host).is_some_and(|own| own.eq_ignore_ascii_case(name));
    name == "localhost" || name.ends_with(".localhost") || name.parse::<IpAddr>().is_ok() || is_own
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_a_stranger_can_point_here_are_refused() {
        for host in ["127.0.0.1:7070", "[::1]:7070", "localhost", "a.localhost:1", "cam.lan:7070"] {
            assert!(may_be_asked_as(host, "http://cam.lan:7070/"), "{host}");
        }
        for host in ["evil.example", "localhost.evil.example", "", "127.0.0.1.evil.example:7070"] {
            assert!(!may_be_asked_as(host, "http://cam.lan:7070/"), "{host}");
        }
    }

    #[test]
    fn an_origin_is_ours_or_not() {
        let host = Some("127.0.0.1:7070");
        assert!(is_same_origin("http://127.0.0.1:7070", host));
        for origin in ["http://127.0.0.1", "http://evil.example", "null", "127.0.0.1:7070", ""] {
            assert!(!is_same_origin(origin, host), "{origin}");
        }
        assert!(!is_same_origin("http://127.0.0.1:7070", None));
    }
}
