//! Which peers are proxies whose word on the client's address counts.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net};

/// Bits by which an IPv4 address within IPv6 begins.
const MAPPED_BITS: u8 = 96;

/// The proxies that are trusted, each a network or every peer on a Unix socket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<TrustedProxy>);

/// One entry of [`TrustedProxies`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrustedProxy {
    /// A network: `10.0.0.0/8`, `2001:db8::/32`; or one address.
    Network(IpNet),
    /// Whoever comes by a Unix socket: `unix`.
    Unix,
}

/// The text is no network, no address and not `unix`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no network such as 10.0.0.0/8, no address, and not \"unix\"")]
pub struct NotAProxy;

impl TrustedProxies {
    /// Whether nobody is trusted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The entries.
    pub fn iter(&self) -> impl Iterator<Item = &TrustedProxy> {
        self.0.iter()
    }

    /// Whether the word of this peer counts; of `None`, one on a Unix socket.
    pub(crate) fn trusts(&self, peer: Option<SocketAddr>) -> bool {
        let address = peer.map(|peer| peer.ip().to_canonical());
        self.0.iter().any(|proxy| match (proxy, address) {
            (TrustedProxy::Network(network), Some(address)) => network.contains(&address),
            (TrustedProxy::Unix, None) => true,
            (TrustedProxy::Network(_), None) | (TrustedProxy::Unix, Some(_)) => false,
        })
    }
}

impl FromIterator<TrustedProxy> for TrustedProxies {
    fn from_iter<I: IntoIterator<Item = TrustedProxy>>(proxies: I) -> Self {
        TrustedProxies(proxies.into_iter().collect())
    }
}

impl FromStr for TrustedProxy {
    type Err = NotAProxy;

    /// A network has no bits beyond its prefix: who writes `10.0.0.1/8` may mean either.
    fn from_str(text: &str) -> Result<Self, NotAProxy> {
        if text == "unix" {
            return Ok(TrustedProxy::Unix);
        }
        let network = match text.parse::<IpAddr>() {
            Ok(address) => IpNet::from(address.to_canonical()),
            Err(_) => canonical(text.parse().map_err(|_| NotAProxy)?),
        };
        if network == network.trunc() { Ok(TrustedProxy::Network(network)) } else { Err(NotAProxy) }
    }
}

/// IPv4 within IPv6 as IPv4, as peers are looked at.
fn canonical(network: IpNet) -> IpNet {
    match (network, network.addr().to_canonical()) {
        (IpNet::V6(mapped), IpAddr::V4(address)) if mapped.prefix_len() >= MAPPED_BITS => {
            Ipv4Net::new(address, mapped.prefix_len() - MAPPED_BITS).map_or(network, IpNet::V4)
        }
        _ => network,
    }
}

impl fmt::Display for TrustedProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TrustedProxy::Network(network) if network.prefix_len() == network.max_prefix_len() => {
                network.addr().fmt(f)
            }
            TrustedProxy::Network(network) => network.fmt(f),
            TrustedProxy::Unix => f.write_str("unix"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_and_written() {
        for (text, written) in [
            ("10.0.0.0/8", Some("10.0.0.0/8")),
            ("192.0.2.7", Some("192.0.2.7")),
            ("192.0.2.7/32", Some("192.0.2.7")),
            ("0.0.0.0/0", Some("0.0.0.0/0")),
            ("2001:db8::/32", Some("2001:db8::/32")),
            ("::1", Some("::1")),
            ("::ffff:10.0.0.0/104", Some("10.0.0.0/8")),
            ("::ffff:192.0.2.7", Some("192.0.2.7")),
            ("unix", Some("unix")),
            ("10.0.0.1/8", None),
            ("10.0.0.0/33", None),
            ("10.0.0.0/", None),
            ("10.0.0", None),
            ("localhost", None),
            ("[::1]", None),
            ("10.0.0.1:80", None),
            ("", None),
            ("UNIX", None),
        ] {
            let read = text.parse::<TrustedProxy>().ok().map(|proxy| proxy.to_string());
            assert_eq!(read.as_deref(), written, "{text}");
        }
    }

    #[test]
    fn peers_are_found_in_networks_of_their_family() {
        let proxies: TrustedProxies =
            ["10.0.0.0/8", "2001:db8::/32"].into_iter().filter_map(|text| text.parse().ok()).collect();
        let trusts = |peer: &str| proxies.trusts(Some(peer.parse().unwrap()));
        assert!(trusts("10.1.2.3:4") && trusts("[2001:db8::1]:4") && trusts("[::ffff:10.1.2.3]:4"));
        assert!(!trusts("11.0.0.1:4") && !trusts("[2001:db9::1]:4") && !trusts("[::ffff:11.0.0.1]:4"));
        assert!(!proxies.trusts(None));
        let unix: TrustedProxies = [TrustedProxy::Unix].into_iter().collect();
        assert!(unix.trusts(None) && !unix.trusts(Some("127.0.0.1:4".parse().unwrap())));
    }
}
