//! The settings of a listener that concern every request on it.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::net::TrustedProxies;

/// The settings of a listener that concern every request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ListenerSettings {
    /// Put before every path; empty, or `/` and segments.
    pub path_prefix: String,
    /// Whether the listener itself speaks TLS.
    pub tls: bool,
    /// Whether `X-Forwarded-Proto` and `Forwarded` are believed of everybody, where no proxies are named.
    pub trust_forwarded_proto: bool,
    /// The proxies whose word on the client counts.
    pub trusted_proxies: Arc<TrustedProxies>,
    /// Whether answers allow any origin.
    pub cors: bool,
}

impl ListenerSettings {
    /// Whether this peer is believed to say how the client came to it; `None` is one on a Unix socket.
    pub(super) fn believes(&self, peer: Option<SocketAddr>) -> bool {
        if self.trusted_proxies.is_empty() {
            self.trust_forwarded_proto
        } else {
            self.trusted_proxies.trusts(peer)
        }
    }
}
