//! RTSPS for a client that only speaks RTSP: a port on loopback whose one connection is carried on to
//! the server inside TLS.

use std::fmt;
use std::net::Ipv4Addr;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use sha2::{Digest as _, Sha256};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tokio_rustls::TlsConnector;
use url::Url;

use super::url::RtspUrl;

/// The port of RTSPS (RFC 7826, 19.3.2).
const PORT: u16 = 322;

/// Keeps the bridge standing; dropping it closes both sides.
pub(super) struct Bridge(AbortHandle);

impl Drop for Bridge {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Connects to the server and opens the bridge. Yields the URL to ask for on this side.
///
/// # Errors
/// If the server can't be reached, or is not the one it should be.
pub(super) async fn open(url: &RtspUrl) -> Result<(Url, Option<Bridge>), String> {
    let host = url.plain.host_str().ok_or("the URL names no host")?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let name = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
    let connector = TlsConnector::from(Arc::new(config(url.certificate)?));
    let port = url.plain.port().unwrap_or(PORT);
    let stream = TcpStream::connect((host, port)).await.map_err(|error| error.to_string())?;
    let _ = stream.set_nodelay(true); // only delays; the connection works without
    let mut server = connector.connect(name, stream).await.map_err(|error| error.to_string())?;

    let io = |error: std::io::Error| error.to_string();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(io)?;
    let port = listener.local_addr().map_err(io)?.port();
    let carry = async move {
        // One connection only: the port is nobody else's.
        let Ok((mut client, _)) = listener.accept().await else { return };
        drop(listener);
        let _ = client.set_nodelay(true);
        // However it ends, both sides see their connection close.
        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
    };
    let bridge = Bridge(tokio::spawn(carry).abort_handle());
    let path = &url.plain[url::Position::BeforePath..];
    let local = Url::parse(&format!("rtsp://127.0.0.1:{port}{path}"));
    Ok((local.map_err(|error| error.to_string())?, Some(bridge)))
}

fn config(certificate: Option<[u8; 32]>) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let usual = WebPkiServerVerifier::builder_with_provider(roots.into(), Arc::clone(&provider))
        .build()
        .map_err(|error| error.to_string())?;
    let verifier: Arc<dyn ServerCertVerifier> = match certificate {
        None => usual,
        Some(digest) => Arc::new(Pinned { digest, provider: Arc::clone(&provider) }),
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

/// Accepts one certificate, known by its digest, whoever signed it and for whatever name.
struct Pinned {
    digest: [u8; 32],
    provider: Arc<CryptoProvider>,
}

impl fmt::Debug for Pinned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pinned to {:02x?}", self.digest)
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if Sha256::digest(end_entity)[..] == self.digest {
            return Ok(ServerCertVerified::assertion());
        }
        Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
