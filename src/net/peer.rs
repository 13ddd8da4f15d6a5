//! How the log names the peer of a connection.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use tracing::field::{DisplayValue, display};

/// The peer of a connection: the address that it has, or `unix`, for it has none over a Unix socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PeerName(Option<SocketAddr>);

/// The same, as a field of the log.
pub(crate) type PeerField = DisplayValue<PeerName>;

/// A proxy that a client came by: its address, or `unix`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ProxyName(Option<IpAddr>);

/// The same, as a field of the log, of whoever came by one.
pub(crate) type ProxyField = Option<DisplayValue<ProxyName>>;

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ConnectionPeers {
    /// The client's address; `None` of one on a Unix socket.
    pub(crate) peer: Option<SocketAddr>,
    /// The proxy that a header of the PROXY protocol came from.
    pub(crate) proxy: Option<ProxyName>,
    /// That header names no client (`UNKNOWN`, `LOCAL`): the proxy itself speaks, or somebody of whom nothing is known.
    /// The address is the proxy's then, its authority is not.
    pub(crate) nameless: bool,
}

impl ConnectionPeers {
    /// Who is there without a header that says more.
    pub(crate) fn direct(peer: Option<SocketAddr>) -> Self {
        ConnectionPeers { peer, proxy: None, nameless: false }
    }

    /// Whom a proxy at this address has named, if anybody.
    pub(crate) fn by_proxy(proxy: Option<SocketAddr>, client: Option<SocketAddr>) -> Self {
        let nameless = client.is_none();
        ConnectionPeers { peer: client.or(proxy), proxy: Some(ProxyName::of(proxy)), nameless }
    }
}

impl ProxyName {
    /// The proxy at this address; `None` stands for one on a Unix socket.
    pub(crate) fn of(address: Option<SocketAddr>) -> Self {
        ProxyName(address.map(|address| address.ip()))
    }
}

/// The peer as a field of the log, where `None` stands for one that came by a Unix socket.
pub(crate) fn peer_field(address: Option<SocketAddr>) -> PeerField {
    display(PeerName(address))
}

impl fmt::Display for PeerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            // A proxy that names a client does not always tell its port.
            Some(address) if address.port() == 0 => address.ip().fmt(f),
            Some(address) => address.fmt(f),
            None => f.write_str("unix"),
        }
    }
}

impl fmt::Display for ProxyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) => address.fmt(f),
            None => f.write_str("unix"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_came_by_a_unix_socket_is_named_too() {
        let named = |address| PeerName(address).to_string();
        assert_eq!(named(None), "unix");
        assert_eq!(named(Some(([192, 0, 2, 1], 80).into())), "192.0.2.1:80");
        assert_eq!(named(Some(([192, 0, 2, 1], 0).into())), "192.0.2.1");
        assert_eq!(ProxyName::of(Some(([192, 0, 2, 1], 80).into())).to_string(), "192.0.2.1");
        assert_eq!(ProxyName::of(None).to_string(), "unix");
    }
}
