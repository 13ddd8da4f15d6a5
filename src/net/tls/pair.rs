//! A certificate chain and its private key, read from two PEM files and checked.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::InconsistentKeys;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::error::{TlsError, TlsFile};
use crate::files::{NotRead, read_whole};

/// Bytes that are read of a file: some hundred certificates.
const MOST_BYTES: u64 = 1024 * 1024;

const A_CERTIFICATE: &str = "a certificate";
const A_KEY: &str = "a private key";

/// The two PEM files of a certificate: `[[server.certificates]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate chain, the server's own first.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// The two files of a pair, and the settings that name them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PairFiles {
    pub(super) certificate: TlsFile,
    pub(super) key: TlsFile,
}

/// What the two files of a pair hold, or what is in the way.
pub(super) struct PairContent {
    certificate: Result<Vec<u8>, TlsError>,
    key: Result<Vec<u8>, TlsError>,
}

/// Tells two contents apart, and keeps neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fingerprint([u8; 32]);

impl Fingerprint {
    pub(super) fn bytes(self) -> [u8; 32] {
        self.0
    }
}

/// A pair that can be served.
#[derive(Clone, Debug)]
pub(super) struct LoadedPair {
    pub(super) fingerprint: Fingerprint,
    pub(super) certified: Arc<CertifiedKey>,
    /// The DNS names that the certificate is for, in lower case, wildcards among them.
    pub(super) names: Vec<String>,
    /// In seconds since 1970.
    pub(super) not_after: i64,
    pub(super) loaded_at: SystemTime,
}

impl PairFiles {
    pub(super) fn read(&self) -> PairContent {
        PairContent { certificate: read(A_CERTIFICATE, &self.certificate), key: read(A_KEY, &self.key) }
    }
}

/// The bytes of a file.
fn read(what: &'static str, file: &TlsFile) -> Result<Vec<u8>, TlsError> {
    read_whole(&file.path, MOST_BYTES).map_err(|not_read| {
        let file = file.clone();
        match not_read {
            NotRead::NotAFile => TlsError::NotAFile { what, file },
            NotRead::TooLarge => TlsError::TooLarge { what, file, bytes: MOST_BYTES },
            NotRead::Failed(error) => TlsError::Unreadable { what, file, error: error.kind() },
        }
    })
}

impl PairContent {
    pub(super) fn fingerprint(&self) -> Fingerprint {
        let mut digest = Sha256::new();
        for part in [&self.certificate, &self.key] {
            match part {
                Ok(bytes) => {
                    digest.update((bytes.len() as u64).to_be_bytes());
                    digest.update(bytes);
                }
                // No file is as long as that.
                Err(error) => {
                    digest.update(u64::MAX.to_be_bytes());
                    digest.update(error.to_string());
                }
            }
        }
        Fingerprint(digest.finalize().into())
    }

    /// What can be served of it.
    pub(super) fn load(self, files: &PairFiles) -> Result<LoadedPair, TlsError> {
        let fingerprint = self.fingerprint();
        let PairContent { certificate, key } = self;
        let (certificate, key) = (certificate?, key?);
        let damaged = |what, file: &TlsFile| {
            let file = file.clone();
            move |error| TlsError::Pem { what, file, error }
        };
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&certificate)
            .collect::<Result<_, _>>()
            .map_err(damaged(A_CERTIFICATE, &files.certificate))?;
        let Some(own) = chain.first() else { return Err(TlsError::NoCertificate(files.certificate.clone())) };
        let (names, not_after) =
            described(own).map_err(|error| TlsError::BadCertificate(files.certificate.clone(), error))?;
        if is_encrypted(&key) {
            return Err(TlsError::EncryptedKey(files.key.clone()));
        }
        let key = PrivateKeyDer::from_pem_slice(&key).map_err(|error| match error {
            pem::Error::NoItemsFound => TlsError::NoKey(files.key.clone()),
            error => damaged(A_KEY, &files.key)(error),
        })?;
        let provider = ring::default_provider();
        let key = provider.key_provider.load_private_key(key);
        let Ok(key) = key else { return Err(TlsError::UnsupportedKey(files.key.clone())) };
        let certified = CertifiedKey::new(chain, key);
        match certified.keys_match() {
            Ok(()) => {}
            Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
            Err(rustls::Error::InconsistentKeys(_)) => {
                let PairFiles { certificate, key } = files.clone();
                return Err(TlsError::KeyMismatch { certificate, key });
            }
            Err(error) => return Err(TlsError::BadCertificate(files.certificate.clone(), error.to_string())),
        }
        let (certified, loaded_at) = (Arc::new(certified), SystemTime::now());
        Ok(LoadedPair { fingerprint, certified, names, not_after, loaded_at })
    }
}

/// Whether a key in PEM form needs a passphrase. The older kind says so in a header, the newer one in its name.
fn is_encrypted(pem: &[u8]) -> bool {
    String::from_utf8_lossy(pem).contains("ENCRYPTED")
}

/// The DNS names that a certificate is for, and until when, in seconds since 1970.
fn described(certificate: &CertificateDer<'_>) -> Result<(Vec<String>, i64), String> {
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|error| error.to_string())?;
    let alternative = parsed.subject_alternative_name().map_err(|error| error.to_string())?;
    let names = alternative.iter().flat_map(|extension| &extension.value.general_names);
    let names = names.filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        _ => None,
    });
    Ok((names.collect(), parsed.validity().not_after.timestamp()))
}
