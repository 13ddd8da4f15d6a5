//! TLS for the whole listener, from a certificate and a key in PEM files.

mod handshakes;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use actix_web::rt::net::TcpStream;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

pub(crate) use handshakes::accepting;

/// A TLS connection whose handshake is done.
pub(crate) type TlsStream = actix_tls::accept::rustls_0_23::TlsStream<TcpStream>;

/// Why TLS cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Only one half is configured.
    #[error("server.tls_certificate and server.tls_key go together, but only {0} is set")]
    Half(&'static str),
    /// A file is missing, unreadable, or holds something else.
    #[error("cannot read {what} in {path}, named by {key}: {error}")]
    File {
        /// What it should hold.
        what: &'static str,
        /// Where it was looked for.
        path: PathBuf,
        /// The setting.
        key: &'static str,
        /// Why.
        error: pem::Error,
    },
    /// The file with the chain holds none.
    #[error("{0}, named by server.tls_certificate, holds no certificate in PEM form")]
    NoCertificate(PathBuf),
    /// The key is protected by a passphrase, which nobody is there to type.
    #[error(
        "the private key in {0}, named by server.tls_key, is encrypted: give it without its passphrase, as \
         `openssl pkey -in KEY -out PLAIN` writes it"
    )]
    EncryptedKey(PathBuf),
    /// The key is of a kind that is not spoken.
    #[error(
        "the private key in {0}, named by server.tls_key, is of no supported kind: expected RSA of 2048 bits or more, \
         ECDSA on P-256 or P-384, or Ed25519"
    )]
    UnsupportedKey(PathBuf),
    /// They do not belong together, or cannot be used.
    #[error("server.tls_certificate and server.tls_key cannot be used: {0}")]
    Unusable(#[from] rustls::Error),
}

/// The TLS settings that two PEM files make; `None` if neither is named. Sessions are resumed, by tickets whose keys
/// are drawn at each start and renewed.
///
/// # Errors
/// If only one is named, or they cannot be used.
pub(crate) fn load(
    certificate: Option<&Path>,
    key: Option<&Path>,
) -> Result<Option<rustls::ServerConfig>, TlsError> {
    let (certificate, key) = match (certificate, key) {
        (None, None) => return Ok(None),
        (Some(_), None) => return Err(TlsError::Half("server.tls_certificate")),
        (None, Some(_)) => return Err(TlsError::Half("server.tls_key")),
        (Some(certificate), Some(key)) => (certificate, key),
    };
    let of_certificate = |error| TlsError::File {
        what: "a certificate",
        path: certificate.to_owned(),
        key: "server.tls_certificate",
        error,
    };
    let of_key =
        |error| TlsError::File { what: "a private key", path: key.to_owned(), key: "server.tls_key", error };
    let chain = CertificateDer::pem_file_iter(certificate).map_err(of_certificate)?;
    let chain: Vec<_> = chain.collect::<Result<_, _>>().map_err(of_certificate)?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate(certificate.to_owned()));
    }
    let is_encrypted =
        || std::fs::read(key).is_ok_and(|pem| String::from_utf8_lossy(&pem).contains("ENCRYPTED"));
    let private = match PrivateKeyDer::from_pem_file(key) {
        Err(_) if is_encrypted() => return Err(TlsError::EncryptedKey(key.to_owned())),
        read => read.map_err(of_key)?,
    };
    let provider = Arc::new(ring::default_provider());
    if is_encrypted() {
        return Err(TlsError::EncryptedKey(key.to_owned()));
    }
    if provider.key_provider.load_private_key(private.clone_key()).is_err() {
        return Err(TlsError::UnsupportedKey(key.to_owned()));
    }
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, private)?;
    config.ticketer = ring::Ticketer::new()?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Some(config))
}

#[cfg(test)]
mod tests;
