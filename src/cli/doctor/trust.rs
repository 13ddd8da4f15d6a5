//! TLS with a server whose certificate may be wrong: it is judged as ever, the verdict is kept, and the connection goes on,
//! so that what else is wrong is found as well. Nothing secret goes over it: signatures are, secrets are not sent.

use std::sync::Arc;

use parking_lot::Mutex;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};

use crate::outbound::{ConnectorError, TrustedFile, server_verifier};

/// The certificates that a server has shown, and what is to be thought of them.
#[derive(Clone, Debug)]
pub(super) struct SeenCertificates {
    /// The server's own.
    pub(super) own: CertificateDer<'static>,
    /// Those that it sent with it.
    pub(super) others: Vec<CertificateDer<'static>>,
    /// What everybody else would be told.
    pub(super) verdict: Result<(), Error>,
}

/// Judges certificates, keeps the last verdict, and lets all of them pass.
#[derive(Debug)]
pub(super) struct IndulgentVerifier {
    strict: Arc<WebPkiServerVerifier>,
    seen: Mutex<Option<SeenCertificates>>,
}

impl IndulgentVerifier {
    /// What was seen last.
    pub(super) fn seen(&self) -> Option<SeenCertificates> {
        self.seen.lock().clone()
    }
}

/// TLS that lets all certificates pass, and what judges them.
///
/// # Errors
/// If the file of certificates cannot be used.
pub(super) fn indulgent_tls(
    trusted: Option<TrustedFile<'_>>,
) -> Result<(Arc<ClientConfig>, Arc<IndulgentVerifier>), ConnectorError> {
    let verifier = Arc::new(IndulgentVerifier { strict: server_verifier(trusted)?, seen: Mutex::new(None) });
    let mut tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::<IndulgentVerifier>::clone(&verifier))
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok((Arc::new(tls), verifier))
}

impl ServerCertVerifier for IndulgentVerifier {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verdict = self.strict.verify_server_cert(own, others, name, ocsp, now).map(|_| ());
        let others = others.iter().map(|other| other.clone().into_owned()).collect();
        *self.seen.lock() = Some(SeenCertificates { own: own.clone().into_owned(), others, verdict });
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.strict.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.strict.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.strict.supported_verify_schemes()
    }
}
