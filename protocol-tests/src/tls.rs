//! A client's half of TLS, for tests of what a broker does behind it.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme, StreamOwned};

/// Takes whatever certificate a broker of the test's own shows.
#[derive(Debug)]
struct Trusting(WebPkiSupportedAlgorithms);

/// A client that trusts whoever it reaches.
pub fn trusting() -> ClientConfig {
    let provider: Arc<CryptoProvider> = Arc::new(ring::default_provider());
    let verifier = Arc::new(Trusting(provider.signature_verification_algorithms));
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()
}

/// A port at 127.0.0.1 that leads to another one, by TLS: a client without TLS reaches by it a broker that speaks nothing else.
///
/// # Panics
/// If there is no free port.
#[must_use]
pub fn front(to: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    thread::spawn(move || {
        while let Ok((near, _)) = listener.accept() {
            thread::spawn(move || {
                let mut far = TcpStream::connect(("127.0.0.1", to)).expect("a broker");
                let name = "localhost".try_into().unwrap();
                let mut session = ClientConnection::new(Arc::new(trusting()), name).unwrap();
                session.complete_io(&mut far).expect("a TLS handshake");
                carry(near, StreamOwned::new(session, far));
            });
        }
    });
    port
}

/// Carries what comes in both directions until one side has ended.
fn carry(mut near: TcpStream, mut far: StreamOwned<ClientConnection, TcpStream>) {
    const LOOK_AT_THE_OTHER: Duration = Duration::from_millis(2);
    for stream in [&near, &far.sock] {
        let _ = stream.set_nodelay(true);
        stream.set_read_timeout(Some(LOOK_AT_THE_OTHER)).expect("a read timeout");
    }
    let mut bytes = vec![0; 64 * 1024];
    while hand_on(&mut near, &mut far, &mut bytes) && hand_on(&mut far, &mut near, &mut bytes) {}
}

/// Hands on what has come, if something has. Whether both go on.
fn hand_on(from: &mut impl Read, into: &mut impl Write, bytes: &mut [u8]) -> bool {
    match from.read(bytes) {
        Ok(0) => false,
        Ok(count) => into.write_all(&bytes[..count]).is_ok(),
        Err(fault) => matches!(fault.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
    }
}

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
