//! Live pictures for browsers, as soon as they arrive.

pub(crate) mod mjpeg;
pub(crate) mod socket;

use std::net::SocketAddr;

use axum::Extension;
use axum::extract::ConnectInfo;

/// Where a request comes from; none if it does not come by a connection of its own.
pub(crate) type Client = Option<Extension<ConnectInfo<SocketAddr>>>;

/// How a viewer is called in the stream's status.
fn label(what: &str, client: &Client) -> String {
    match client {
        Some(Extension(ConnectInfo(peer))) => format!("{what} {peer}"),
        None => what.to_owned(),
    }
}
