//! Chooses the certificate of a handshake by the host name that the client asks for.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::pair::LoadedPair;

/// The certificates in force. Others take their place while handshakes go on.
#[derive(Debug)]
pub(super) struct SniResolver(ArcSwap<SniTable>);

/// Certificates by name.
#[derive(Debug)]
struct SniTable {
    /// By each of their names. Those of one name differ in their keys, which not every client understands.
    by_name: HashMap<String, Vec<Arc<CertifiedKey>>>,
    /// For clients that ask for no name, or for one that no certificate is for.
    default: Option<Arc<CertifiedKey>>,
}

impl SniResolver {
    pub(super) fn new<'p>(pairs: impl Iterator<Item = &'p LoadedPair>) -> Self {
        SniResolver(ArcSwap::from_pointee(SniTable::new(pairs)))
    }

    /// From the next handshake on, these count. The first is the default.
    pub(super) fn set<'p>(&self, pairs: impl Iterator<Item = &'p LoadedPair>) {
        self.0.store(Arc::new(SniTable::new(pairs)));
    }
}

impl SniTable {
    fn new<'p>(pairs: impl Iterator<Item = &'p LoadedPair>) -> Self {
        let mut table = SniTable { by_name: HashMap::new(), default: None };
        for pair in pairs {
            table.default.get_or_insert_with(|| Arc::clone(&pair.certified));
            for name in &pair.names {
                table.by_name.entry(name.clone()).or_default().push(Arc::clone(&pair.certified));
            }
        }
        table
    }

    /// Those for this host: by its name, else by the wildcard that stands for its first label.
    fn of(&self, host: &str) -> Option<&[Arc<CertifiedKey>]> {
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        let wildcard = || host.split_once('.').map(|(_, parent)| format!("*.{parent}"));
        let found = self.by_name.get(&host).or_else(|| self.by_name.get(&wildcard()?));
        found.map(Vec::as_slice)
    }
}

impl ResolvesServerCert for SniResolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let table = self.0.load();
        let fitting = hello.server_name().and_then(|host| table.of(host)).unwrap_or_default();
        let understood =
            |one: &&Arc<CertifiedKey>| one.key.choose_scheme(hello.signature_schemes()).is_some();
        fitting.iter().find(understood).or(fitting.first()).or(table.default.as_ref()).cloned()
    }
}
