//! Accepting connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;

use super::connection::Connection;
use super::decode::DecodeLimits;
use super::message::{Response, Status};
use crate::Services;

/// What clients may use at most.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at a time; more are answered 503. Default 1024.
    pub connections_max: usize,
    /// Sizes of messages.
    pub decode: DecodeLimits,
    /// Bytes that may wait to be sent to one client before it is given no more units. It then falls
    /// behind in its stream and loses whole groups of pictures. Default 1 MiB.
    pub write_queue_bytes: usize,
    /// How long a client may take nothing of what waits for it. Default 20 s.
    pub stuck: Duration,
    /// How long a publisher may send nothing. Default 30 s.
    pub publisher_silent: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 1_024,
            decode: DecodeLimits::default(),
            write_queue_bytes: 1 << 20,
            stuck: Duration::from_secs(20),
            publisher_silent: Duration::from_secs(30),
        }
    }
}

/// How long a TLS handshake may take.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// Serves RTSP on `listener` until [`Services::stop`] is cancelled and every connection has ended;
/// RTSPS if there is a `tls`.
pub async fn serve(listener: TcpListener, tls: Option<TlsAcceptor>, services: Services) {
    serve_with(listener, tls, services, Limits::default()).await;
}

/// As [`serve`], with other limits.
pub async fn serve_with(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    services: Services,
    limits: Limits,
) {
    let room = Arc::new(Semaphore::new(limits.connections_max));
    let tracker = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = services.stop.cancelled() => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, usually: others may give some back.
                tracing::warn!(%error, "an RTSP connection can't be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Ok(permit) = Arc::clone(&room).try_acquire_owned() else {
            tracker.spawn(turn_away(stream, peer, limits.connections_max));
            continue;
        };
        let (tls, services) = (tls.clone(), services.clone());
        tracker.spawn(async move {
            accept(stream, peer, tls, services, limits).await;
            drop(permit);
        });
    }
    tracker.close();
    tracker.wait().await;
}

async fn accept(
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<TlsAcceptor>,
    services: Services,
    limits: Limits,
) {
    let _ = stream.set_nodelay(true); // packets are written in batches already
    let Ok(local) = stream.local_addr() else { return };
    let Some(tls) = tls else { return run(stream, peer, local, services, limits).await };
    match tokio::time::timeout(HANDSHAKE_MAX, tls.accept(stream)).await {
        Ok(Ok(stream)) => run(stream, peer, local, services, limits).await,
        Ok(Err(error)) => tracing::info!(%peer, %error, "no TLS handshake with an RTSPS client"),
        Err(_) => tracing::info!(%peer, "an RTSPS client did not finish its TLS handshake"),
    }
}

async fn run<S: AsyncRead + AsyncWrite + Send>(
    stream: S,
    peer: SocketAddr,
    local: SocketAddr,
    services: Services,
    limits: Limits,
) {
    tracing::debug!(%peer, "an RTSP connection opens");
    let connection = Box::pin(Connection::new(stream, peer, local, services, limits).run());
    let ended = connection.await;
    tracing::info!(%peer, why = %ended, "an RTSP connection ends");
}

async fn turn_away(mut stream: TcpStream, peer: SocketAddr, connections_max: usize) {
    tracing::warn!(%peer, connections_max, "an RTSP connection is turned away: there are too many");
    let why = format!("there are {connections_max} connections already");
    let mut bytes = Vec::new();
    Response::refuse(Status::UNAVAILABLE, why).emit(&mut bytes);
    let _ = tokio::time::timeout(Duration::from_secs(1), stream.write_all(&bytes)).await;
}
