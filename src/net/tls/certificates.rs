//! The certificates that are served, and taking others from the same files while connections go on.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use rustls::crypto::ring;
use tracing::{error, info};

use super::error::{TlsError, TlsFile};
use super::expiry::{self, ExpiryWarning};
use super::pair::{CertificateFiles, Fingerprint, LoadedPair, PairFiles};
use super::sni::SniResolver;

/// The certificates that a broker serves. The first is the default.
#[derive(Debug)]
pub(crate) struct Certificates {
    resolver: Arc<SniResolver>,
    served: Mutex<Vec<ServedPair>>,
    failed_reloads: AtomicU64,
}

/// A pair that is served, and what became of its files since.
#[derive(Clone, Debug)]
struct ServedPair {
    files: PairFiles,
    loaded: LoadedPair,
    /// Other content that the last look found. If the next one finds the same, nobody is writing.
    pending: Option<Fingerprint>,
    /// Other content that cannot be served, which has been said.
    refused: Option<Fingerprint>,
    failed_reloads: u64,
}

/// Certificates that were read and can be served, on their way to being so.
#[derive(Debug)]
pub(crate) struct PreparedCertificates(Vec<(PairFiles, LoadedPair)>);

/// What there is to know of a certificate that is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateStatus {
    /// The file with the chain.
    pub certificate: PathBuf,
    /// The DNS names that it is for.
    pub names: Vec<String>,
    /// Until when clients take it, in seconds since 1970.
    pub not_after: i64,
    /// When it was read from its file, in seconds since 1970.
    pub loaded_at: u64,
    /// How often its files were changed into what could not be served.
    pub failed_reloads: u64,
}

/// The pairs that these settings name, the default first; none where TLS is not served.
///
/// # Errors
/// If only one half of the default is named.
pub(crate) fn pair_files(
    certificate: Option<&Path>,
    key: Option<&Path>,
    further: &[CertificateFiles],
) -> Result<Vec<PairFiles>, TlsError> {
    let file = |path: &Path, setting: &str| TlsFile { path: path.to_owned(), setting: setting.to_owned() };
    let default = match (certificate, key) {
        (None, None) => None,
        (Some(_), None) => return Err(TlsError::Half("server.tls_certificate")),
        (None, Some(_)) => return Err(TlsError::Half("server.tls_key")),
        (Some(certificate), Some(key)) => Some(PairFiles {
            certificate: file(certificate, "server.tls_certificate"),
            key: file(key, "server.tls_key"),
        }),
    };
    let further = further.iter().enumerate().map(|(n, CertificateFiles { certificate, key })| PairFiles {
        certificate: file(certificate, &format!("server.certificates[{n}].certificate")),
        key: file(key, &format!("server.certificates[{n}].key")),
    });
    Ok(default.into_iter().chain(further).collect())
}

/// Reads the pairs and checks them.
///
/// # Errors
/// If one of them cannot be served.
pub(crate) fn prepare(pairs: Vec<PairFiles>) -> Result<PreparedCertificates, TlsError> {
    let loaded = pairs.into_iter().map(|files| {
        let loaded = files.read().load(&files)?;
        Ok((files, loaded))
    });
    loaded.collect::<Result<_, _>>().map(PreparedCertificates)
}

impl PreparedCertificates {
    /// What is odd about them: those that have expired, or soon will.
    pub(crate) fn warnings(&self, now: SystemTime) -> Vec<String> {
        let warnings = self.0.iter().filter_map(|(files, loaded)| expiry::warning(files, loaded, now));
        warnings.map(|warning| warning.to_string()).collect()
    }

    /// Tells them apart from others, of whose files only the content is another.
    pub(crate) fn fingerprints(&self) -> Vec<[u8; 32]> {
        self.0.iter().map(|(_, loaded)| loaded.fingerprint.bytes()).collect()
    }
}

impl Certificates {
    /// Certificates that are served from now on. What is odd about them is logged.
    pub(crate) fn new(prepared: PreparedCertificates) -> Arc<Self> {
        let PreparedCertificates(pairs) = prepared;
        let resolver = Arc::new(SniResolver::new(pairs.iter().map(|(_, loaded)| loaded)));
        let served = pairs.into_iter().map(|(files, loaded)| ServedPair::new(files, loaded, 0)).collect();
        let certificates =
            Certificates { resolver, served: Mutex::new(served), failed_reloads: AtomicU64::new(0) };
        certificates.warn_of_expiry(SystemTime::now());
        Arc::new(certificates)
    }

    /// The TLS settings that show them. Sessions are resumed, by tickets whose keys are drawn at each start and renewed.
    ///
    /// # Errors
    /// If the system has no randomness for the tickets.
    pub(crate) fn server_config(&self) -> Result<rustls::ServerConfig, TlsError> {
        let mut config = rustls::ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&self.resolver) as _);
        config.ticketer = ring::Ticketer::new()?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }

    /// Reads these pairs, to be served in place of those that are.
    ///
    /// # Errors
    /// If one of them cannot be served, which is counted.
    pub(crate) fn prepare(&self, pairs: Vec<PairFiles>) -> Result<PreparedCertificates, TlsError> {
        let mut loaded = Vec::new();
        for files in pairs {
            let content = files.read();
            let fingerprint = content.fingerprint();
            match content.load(&files) {
                Ok(pair) => loaded.push((files, pair)),
                Err(error) => {
                    self.failed_reloads.fetch_add(1, Ordering::Relaxed);
                    let mut served = self.served.lock();
                    if let Some(pair) = served.iter_mut().find(|pair| pair.files == files) {
                        pair.failed_reloads += 1;
                        // Whoever asked for it says so.
                        pair.refused = Some(fingerprint);
                    }
                    return Err(error);
                }
            }
        }
        Ok(PreparedCertificates(loaded))
    }

    /// The files of those that are not served as they are now.
    pub(crate) fn would_renew(&self, prepared: &PreparedCertificates) -> Vec<PathBuf> {
        let served = self.served.lock();
        let is_served = |files: &PairFiles, loaded: &LoadedPair| {
            let known = served.iter().find(|pair| pair.files == *files);
            known.is_some_and(|pair| pair.loaded.fingerprint == loaded.fingerprint)
        };
        let new = prepared.0.iter().filter(|(files, loaded)| !is_served(files, loaded));
        new.map(|(files, _)| files.certificate.path.clone()).collect()
    }

    /// Serves these from the next handshake on; returns the files of those that are new.
    pub(crate) fn serve(&self, prepared: PreparedCertificates) -> Vec<PathBuf> {
        let mut served = self.served.lock();
        let mut renewed = Vec::new();
        let next = prepared.0.into_iter().map(|(files, loaded)| {
            let known = served.iter().find(|pair| pair.files == files);
            match known {
                Some(pair) if pair.loaded.fingerprint == loaded.fingerprint => pair.settled(),
                _ => {
                    renewed.push(files.certificate.path.clone());
                    let pair = ServedPair::new(files, loaded, known.map_or(0, |pair| pair.failed_reloads));
                    pair.tell();
                    pair
                }
            }
        });
        let next: Vec<_> = next.collect();
        self.resolver.set(next.iter().map(|pair| &pair.loaded));
        *served = next;
        renewed
    }

    /// Looks at the files, and takes what is new in them once two looks have found the same. What cannot be served is
    /// logged, once, and changes nothing: of a pair of which only one half has been written yet, the old one stays.
    pub(crate) fn look(&self) {
        let files: Vec<_> = self.served.lock().iter().map(|pair| pair.files.clone()).collect();
        // Without the lock: a disk may take its time.
        for files in files {
            let content = files.read();
            let found = content.fingerprint();
            let mut served = self.served.lock();
            let Some(pair) = served.iter_mut().find(|pair| pair.files == files) else { continue };
            if found == pair.loaded.fingerprint {
                *pair = pair.settled();
                continue;
            }
            if pair.refused == Some(found) || pair.pending.replace(found) != Some(found) {
                continue;
            }
            match content.load(&files) {
                Ok(loaded) => {
                    *pair = ServedPair::new(files, loaded, pair.failed_reloads);
                    pair.tell();
                    self.resolver.set(served.iter().map(|pair| &pair.loaded));
                }
                Err(error) => {
                    pair.refused = Some(found);
                    pair.failed_reloads += 1;
                    self.failed_reloads.fetch_add(1, Ordering::Relaxed);
                    error!(%error, "a certificate has changed and cannot be served: the one before stays");
                }
            }
        }
    }

    /// Logs which of them have expired, or soon will.
    pub(crate) fn warn_of_expiry(&self, now: SystemTime) {
        self.served
            .lock()
            .iter()
            .filter_map(|pair| pair.expiry_warning(now))
            .for_each(|warning| warning.log());
    }

    /// What there is to know of each.
    pub(crate) fn status(&self) -> Vec<CertificateStatus> {
        self.served.lock().iter().map(ServedPair::status).collect()
    }

    /// How often certificates were to be read again and could not be served, those included that never were.
    pub(crate) fn failed_reloads(&self) -> u64 {
        self.failed_reloads.load(Ordering::Relaxed)
    }
}

impl ServedPair {
    fn new(files: PairFiles, loaded: LoadedPair, failed_reloads: u64) -> Self {
        ServedPair { files, loaded, pending: None, refused: None, failed_reloads }
    }

    /// The same, whose files hold what is served.
    fn settled(&self) -> Self {
        ServedPair { pending: None, refused: None, ..self.clone() }
    }

    fn expiry_warning(&self, now: SystemTime) -> Option<ExpiryWarning> {
        expiry::warning(&self.files, &self.loaded, now)
    }

    /// Logs that it is served from now on, and what is odd about it.
    fn tell(&self) {
        let (certificate, names) = (self.files.certificate.path.display(), self.loaded.names.join(", "));
        let until = expiry::date(self.loaded.not_after);
        info!(%certificate, names, until, "a new certificate is served");
        if let Some(warning) = self.expiry_warning(SystemTime::now()) {
            warning.log();
        }
    }

    fn status(&self) -> CertificateStatus {
        let loaded_at = self.loaded.loaded_at.duration_since(UNIX_EPOCH);
        CertificateStatus {
            certificate: self.files.certificate.path.clone(),
            names: self.loaded.names.clone(),
            not_after: self.loaded.not_after,
            loaded_at: loaded_at.map_or(0, |since| since.as_secs()),
            failed_reloads: self.failed_reloads,
        }
    }
}
