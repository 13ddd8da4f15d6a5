//! TLS for a listener: certificates and their keys from PEM files, chosen by the name that a client asks for, and read
//! again while connections go on.

mod certificates;
mod error;
mod expiry;
mod handshakes;
mod pair;
mod self_made;
mod sni;
mod watch;

pub use certificates::CertificateStatus;
pub(crate) use certificates::{Certificates, PreparedCertificates, pair_files, prepare};
pub use error::{TlsError, TlsFile};
pub(crate) use handshakes::accepting;
pub use pair::CertificateFiles;
pub(crate) use pair::PairFiles;
pub(crate) use self_made::{SelfMadeCertificate, self_made};
pub(crate) use watch::watch;

/// A TLS connection whose handshake is done.
pub(crate) type TlsStream<S> = actix_tls::accept::rustls_0_23::TlsStream<S>;

#[cfg(test)]
mod tests;
