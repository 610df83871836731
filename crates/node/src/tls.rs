//! The certificate of both doors.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::config::Tls;

/// Why the certificate can't be used.
#[derive(Debug, thiserror::Error)]
#[error("can't use the certificate in {path}: {why}")]
pub struct TlsError {
    path: PathBuf,
    why: String,
}

/// Reads certificate and key.
///
/// # Errors
/// If a file can't be read, or they don't belong together.
pub(crate) fn acceptor(config: &Tls) -> Result<TlsAcceptor, TlsError> {
    let failed = |path: &PathBuf, why: String| TlsError { path: path.clone(), why };
    let chain = CertificateDer::pem_file_iter(&config.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|e| failed(&config.certificate, e.to_string()))?;
    let key = PrivateKeyDer::from_pem_file(&config.key)
        .map_err(|e| failed(&config.key, e.to_string()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|e| failed(&config.certificate, e.to_string()))?;
    Ok(TlsAcceptor::from(Arc::new(server)))
}
