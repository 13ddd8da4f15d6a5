//! Makes connections to other servers, plain or over TLS.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A file with certificates to trust besides the public ones, or that goes with one to show.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TrustedFile<'p> {
    pub(crate) path: &'p Path,
    /// The setting that names it.
    pub(crate) named_by: &'static str,
}

/// A certificate that tells other servers who connects, and its private key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OwnCertificate<'p> {
    pub(crate) certificate: TrustedFile<'p>,
    pub(crate) key: TrustedFile<'p>,
}

/// Why other servers cannot be connected to.
#[derive(Debug, thiserror::Error)]
pub enum ConnectorError {
    /// The file with more certificates cannot be used.
    #[error("cannot read certificates in {}, named by {named_by}: {error}", .path.display())]
    CaFile {
        /// Where they were looked for.
        path: PathBuf,
        /// The setting that names it.
        named_by: &'static str,
        /// Why.
        error: pem::Error,
    },
    /// It holds none.
    #[error("{}, named by {named_by}, holds no certificate in PEM form", .path.display())]
    NoCertificate {
        /// Where they were looked for.
        path: PathBuf,
        /// The setting that names it.
        named_by: &'static str,
    },
    /// The private key cannot be used.
    #[error("cannot read a private key in {}, named by {named_by}: {error}", .path.display())]
    KeyFile {
        /// Where it was looked for.
        path: PathBuf,
        /// The setting that names it.
        named_by: &'static str,
        /// Why.
        error: pem::Error,
    },
    /// A certificate cannot be shown.
    #[error("the certificate in {}, named by {named_by}, cannot be shown: {error}", .path.display())]
    OwnCertificate {
        /// Where it is.
        path: PathBuf,
        /// The setting that names it.
        named_by: &'static str,
        /// Why.
        error: rustls::Error,
    },
    /// A certificate without its key, or the other way round.
    #[error("only {0} is set: a certificate and its private key belong together")]
    Half(&'static str),
    /// One of them, or TLS itself, is unusable.
    #[error("TLS cannot be used for what the broker sends: {0}")]
    Tls(#[from] rustls::Error),
}

/// How to speak TLS with other servers: the public certificate authorities are trusted, and those of the file if one is
/// named. A certificate is shown to those who ask for one.
///
/// # Errors
/// If a file cannot be used.
pub(crate) fn client_tls(
    trusted: Option<TrustedFile<'_>>,
    own: Option<OwnCertificate<'_>>,
) -> Result<rustls::ClientConfig, ConnectorError> {
    let tls = rustls::ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots(trusted)?);
    let Some(OwnCertificate { certificate, key }) = own else { return Ok(tls.with_no_client_auth()) };
    let TrustedFile { path, named_by } = key;
    let unreadable = |error| ConnectorError::KeyFile { path: path.to_owned(), named_by, error };
    let key = PrivateKeyDer::from_pem_file(path).map_err(unreadable)?;
    let TrustedFile { path, named_by } = certificate;
    let unusable = |error| ConnectorError::OwnCertificate { path: path.to_owned(), named_by, error };
    tls.with_client_auth_cert(certificates(certificate)?, key).map_err(unusable)
}

/// The public certificate authorities, and those of the file if one is named.
///
/// # Errors
/// If the file cannot be used.
fn roots(trusted: Option<TrustedFile<'_>>) -> Result<RootCertStore, ConnectorError> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    for certificate in trusted.map(certificates).transpose()?.unwrap_or_default() {
        roots.add(certificate)?;
    }
    Ok(roots)
}

/// What judges the certificate of another server, as everything here does that speaks TLS with one.
///
/// # Errors
/// If the file cannot be used.
pub(crate) fn server_verifier(
    trusted: Option<TrustedFile<'_>>,
) -> Result<Arc<WebPkiServerVerifier>, ConnectorError> {
    let roots = Arc::new(roots(trusted)?);
    let provider = Arc::new(ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider).build();
    verifier.map_err(|error| ConnectorError::Tls(rustls::Error::General(error.to_string())))
}

/// What makes connections: it trusts the public certificate authorities, and those of the file if one is named.
///
/// # Errors
/// If the file cannot be used.
pub(crate) fn connector(
    trusted: Option<TrustedFile<'_>>,
) -> Result<HttpsConnector<HttpConnector>, ConnectorError> {
    let tls = client_tls(trusted, None)?;
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    let builder = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1();
    Ok(builder.wrap_connector(tcp))
}

/// The certificates of a PEM file.
fn certificates(file: TrustedFile<'_>) -> Result<Vec<CertificateDer<'static>>, ConnectorError> {
    let TrustedFile { path, named_by } = file;
    let unreadable = |error| ConnectorError::CaFile { path: path.to_owned(), named_by, error };
    let found = CertificateDer::pem_file_iter(path).map_err(unreadable)?;
    let found: Vec<_> = found.collect::<Result<_, _>>().map_err(unreadable)?;
    if found.is_empty() {
        return Err(ConnectorError::NoCertificate { path: path.to_owned(), named_by });
    }
    Ok(found)
}
