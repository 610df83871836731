//! Where the doors are, and who may come in.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;

/// The HTTP door.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    /// Address and port. Default `127.0.0.1:7070`.
    pub listen: SocketAddr,
}

impl Default for Http {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 7070)) }
    }
}

/// The RTSP door.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rtsp {
    /// Address and port. Default `127.0.0.1:8554`.
    pub listen: SocketAddr,
}

impl Default for Rtsp {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 8554)) }
    }
}

/// A certificate chain and its key, PEM files. Turns HTTP into HTTPS and RTSP into RTSPS.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// Certificate chain.
    pub certificate: PathBuf,
    /// Private key.
    pub key: PathBuf,
}

/// Who may come in.
#[derive(Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// User name.
    pub user: String,
    /// The password, or `sha256:` and the hexadecimal digest of it.
    pub password: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credentials {{ user: {:?}, password: *** }}", self.user)
    }
}
