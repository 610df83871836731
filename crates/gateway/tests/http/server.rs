//! Connections: encryption, stopping.

use std::sync::Arc;
use std::time::Duration;

use pegasus_base::Time;
use pegasus_gateway::http;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, ServerConfig, SignatureScheme};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::support::{Node, PATIENCE, clip, clip_hashes, packet_hashes, units};

const CERTIFICATE: &[u8] = include_bytes!("../data/rtsps-certificate.pem");
const KEY: &[u8] = include_bytes!("../data/rtsps-key.pem");

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn acceptor() -> TlsAcceptor {
    let certificate = CertificateDer::from_pem_slice(CERTIFICATE).unwrap();
    let key = PrivateKeyDer::from_pem_slice(KEY).unwrap();
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    Arc::new(config).into()
}

/// Takes the test's own certificate, which signs itself, and no other.
#[derive(Debug)]
struct Known(Arc<CryptoProvider>);

impl ServerCertVerifier for Known {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        assert_eq!(*end_entity, CertificateDer::from_pem_slice(CERTIFICATE).unwrap());
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

fn connector(protocols: &[&str]) -> TlsConnector {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Known(provider())))
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    Arc::new(config).into()
}

#[tokio::test(flavor = "multi_thread")]
async fn encrypted_in_both_versions_of_http() {
    let node = Node::open();
    let start = Time::from_secs(1_763_600_000);
    let (tracks, units) = units(&clip("car-detection.mp4"), start);
    node.record("/cam/door", &tracks, &units);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(http::serve(listener, Some(acceptor()), node.services.clone()));

    let url = format!("https://{address}/api/v1/streams/cam/door/media.mp4?from={start}&to=+1h");
    let original = clip_hashes("car-detection.mp4").await;
    assert!(packet_hashes(&["-i", &url]).await == original, "ffmpeg, HTTP/1.1");

    let offered: [(&[&str], Option<&[u8]>); 3] =
        [(&["h2", "http/1.1"], Some(b"h2")), (&["http/1.1"], Some(b"http/1.1")), (&[], None)];
    for (protocols, chosen) in offered {
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = connector(protocols).connect(name, stream).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), chosen);
        if chosen == Some(b"h2") {
            // RFC 9113, 3.4: both sides begin with their settings.
            stream
                .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
                .await
                .unwrap();
            let mut head = [0; 9];
            stream.read_exact(&mut head).await.unwrap();
            assert_eq!(head[3], 4, "a SETTINGS frame");
        } else {
            let request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
            stream.write_all(request).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopping_node_ends_what_streams() {
    let node = Node::open();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(http::serve(listener, None, node.services.clone()));
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = b"GET /api/v1/events/live HTTP/1.1\r\nHost: localhost\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut head = [0; 15];
    stream.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 200 OK");
    node.services.stop.cancel();
    let ended = tokio::time::timeout(Duration::from_secs(4), server).await;
    ended.expect("well within the time it would be cut off").unwrap();
    let mut rest = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
    read.expect("the answer ends").unwrap();
    assert!(rest.ends_with(b"0\r\n\r\n"), "it ends properly: {}", String::from_utf8_lossy(&rest));
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_costs_nobody_else_anything() {
    let node = Node::open();
    let address = node.serve().await;
    let mut rng = fastrand::Rng::with_seed(5);
    for _ in 0..50 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let mut bytes = vec![0; rng.usize(1..4_000)];
        rng.fill(&mut bytes);
        let _ = stream.write_all(&bytes).await;
        let _ = stream.shutdown().await;
        let mut answer = Vec::new();
        // Refused or closed, but not left hanging.
        let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
        assert!(read.is_ok(), "seed 5: a connection hangs");
    }
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.0\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains("200 OK"), "{answer}");
}
