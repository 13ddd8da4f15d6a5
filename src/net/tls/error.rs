//! Why TLS cannot be served: one sentence for each fault, which names the file and the setting that named it.

use std::fmt;
use std::io;
use std::path::PathBuf;

use rustls::pki_types::pem;

/// A file, and the setting that names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFile {
    /// Where it is looked for.
    pub path: PathBuf,
    /// `server.tls_key`, or `server.certificates[0].key`.
    pub setting: String,
}

impl fmt::Display for TlsFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, named by {}", self.path.display(), self.setting)
    }
}

/// Why TLS cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Only one half is configured.
    #[error("server.tls_certificate and server.tls_key go together, but only {0} is set")]
    Half(&'static str),
    /// A file is missing, or may not be read.
    #[error("cannot read {what} in {file}: {}", because(*.error))]
    Unreadable {
        /// What it should hold.
        what: &'static str,
        /// The file.
        file: TlsFile,
        /// Why.
        error: io::ErrorKind,
    },
    /// A directory, a pipe or a device.
    #[error("cannot read {what} in {file}: it is not a file")]
    NotAFile {
        /// What it should hold.
        what: &'static str,
        /// What it is instead.
        file: TlsFile,
    },
    /// It is far larger than what it should hold.
    #[error("cannot read {what} in {file}: it is larger than {bytes} bytes")]
    TooLarge {
        /// What it should hold.
        what: &'static str,
        /// The file.
        file: TlsFile,
        /// The most that is read.
        bytes: u64,
    },
    /// It is damaged.
    #[error("cannot read {what} in {file}: it is no sound PEM: {}", fault(.error))]
    Pem {
        /// What it should hold.
        what: &'static str,
        /// The file.
        file: TlsFile,
        /// Where it is damaged.
        error: pem::Error,
    },
    /// The file with the chain holds none.
    #[error("{0}, holds no certificate in PEM form: expected -----BEGIN CERTIFICATE-----")]
    NoCertificate(TlsFile),
    /// What stands where the server's own certificate should be is none.
    #[error("the first certificate in {0}, cannot be understood: {1}")]
    BadCertificate(TlsFile, String),
    /// The file with the key holds none.
    #[error("{0}, holds no private key in PEM form: expected -----BEGIN PRIVATE KEY----- or the like")]
    NoKey(TlsFile),
    /// The key is protected by a passphrase, which nobody is there to type.
    #[error(
        "the private key in {0}, is encrypted: give it without its passphrase, as `openssl pkey -in KEY -out PLAIN` \
         writes it"
    )]
    EncryptedKey(TlsFile),
    /// The key is of a kind that is not spoken.
    #[error(
        "the private key in {0}, is of no supported kind: expected RSA of 2048 bits or more, ECDSA on P-256 or P-384, \
         or Ed25519"
    )]
    UnsupportedKey(TlsFile),
    /// They do not belong together.
    #[error(
        "the private key in {key}, does not belong to the first certificate in {certificate}: the server's own \
         certificate comes first, then those of its issuers"
    )]
    KeyMismatch {
        /// The file with the chain.
        certificate: TlsFile,
        /// The file with the key.
        key: TlsFile,
    },
    /// They cannot be used for another reason.
    #[error("TLS cannot be served: {0}")]
    Unusable(#[from] rustls::Error),
}

fn because(error: io::ErrorKind) -> String {
    match error {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::PermissionDenied => {
            "permission denied: the user who runs the broker has to be able to read it, and to enter the folders above it"
                .to_owned()
        }
        other => other.to_string(),
    }
}

fn fault(error: &pem::Error) -> String {
    match error {
        pem::Error::MissingSectionEnd { end_marker } => {
            format!(
                "the line -----END {}----- is missing, as if it were cut off",
                String::from_utf8_lossy(end_marker)
            )
        }
        pem::Error::IllegalSectionStart { .. } => {
            "a line begins with -----BEGIN and does not end with -----".to_owned()
        }
        other => other.to_string(),
    }
}
