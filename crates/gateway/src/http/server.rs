//! Connections: accepting, TLS, limits, stopping.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::connect_info::IntoMakeServiceWithConnectInfo;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tower::Service as _;

use crate::Services;

/// Connections at once.
const CONNECTIONS_MAX: usize = 1_024;
/// How long a TLS handshake may take.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// How long the head of a request may take, also on a connection that is kept.
const HEAD_WITHIN: Duration = Duration::from_secs(60);
/// How long answers may take to end when the node stops.
const STOP_WITHIN: Duration = Duration::from_secs(5);

type App = IntoMakeServiceWithConnectInfo<Router, SocketAddr>;

/// Serves HTTP on `listener` until [`Services::stop`] is cancelled and every answer has ended, or a few
/// seconds have passed. With `tls` it is HTTPS, and HTTP/2 is offered.
pub async fn serve(listener: TcpListener, tls: Option<TlsAcceptor>, services: Services) {
    let stop = services.stop.clone();
    let tls = tls.as_ref().map(offer_http2);
    let app = super::router(services).into_make_service_with_connect_info::<SocketAddr>();
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, usually: others may give some back.
                tracing::warn!(%error, "an HTTP connection can't be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Ok(permit) = Arc::clone(&room).try_acquire_owned() else {
            tracing::warn!(%peer, "turned away: {CONNECTIONS_MAX} HTTP connections are open");
            continue;
        };
        let (tls, app, watcher) = (tls.clone(), app.clone(), graceful.watcher());
        tokio::spawn(async move {
            accept(stream, peer, tls, app, watcher).await;
            drop(permit);
        });
    }
    drop(listener);
    if tokio::time::timeout(STOP_WITHIN, graceful.shutdown()).await.is_err() {
        tracing::warn!("some HTTP answers were cut off");
    }
}

/// The same acceptor, naming the protocols spoken behind it (RFC 7301).
fn offer_http2(tls: &TlsAcceptor) -> TlsAcceptor {
    let mut config = ServerConfig::clone(tls.config());
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

async fn accept(
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<TlsAcceptor>,
    app: App,
    watcher: Watcher,
) {
    // Fragments are small and wanted at once.
    let _ = stream.set_nodelay(true);
    let Some(tls) = tls else { return converse(stream, peer, app, watcher).await };
    match tokio::time::timeout(HANDSHAKE_WITHIN, tls.accept(stream)).await {
        Ok(Ok(stream)) => converse(stream, peer, app, watcher).await,
        Ok(Err(error)) => tracing::debug!(%peer, %error, "no TLS handshake"),
        Err(_) => tracing::debug!(%peer, "a TLS handshake took too long"),
    }
}

async fn converse<S>(stream: S, peer: SocketAddr, mut app: App, watcher: Watcher)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = match app.call(peer).await {
        Ok(service) => TowerToHyperService::new(service),
        Err(never) => match never {},
    };
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_WITHIN);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(HEAD_WITHIN);
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    if let Err(error) = watcher.watch(connection.into_owned()).await {
        // A client that went away or spoke something else.
        tracing::debug!(%peer, %error, "an HTTP connection ended early");
    }
}
