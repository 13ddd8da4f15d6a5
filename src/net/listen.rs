//! Where a broker listens, as it is configured: addresses, paths of Unix sockets, and what holds for one of them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

/// A host to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenHost {
    /// One address of this machine, or every one of a family. `::` stands for both families.
    Address(IpAddr),
    /// Both loopback addresses, as far as the machine has them.
    Localhost,
}

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// A TCP port; 0 takes any free one.
    Tcp(ListenHost, u16),
    /// A Unix socket, by its path.
    Unix(PathBuf),
}

/// `[[server.listeners]]`: one more place to listen, beside the main address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerConfig {
    /// Where.
    pub address: ListenAddress,
    /// The permissions of a Unix socket's file. Of no meaning for TCP.
    pub mode: u32,
    /// On: each connection begins with a header of the PROXY protocol, which names the client's address.
    pub proxy_protocol: bool,
    /// Off: connections are plain, also where the main address serves TLS.
    pub tls: bool,
}

impl ListenHost {
    /// Whether only this machine can reach it.
    pub fn is_loopback(self) -> bool {
        match self {
            ListenHost::Address(address) => address.to_canonical().is_loopback(),
            ListenHost::Localhost => true,
        }
    }

    /// The addresses that it stands for, the one that is told first. Where there are two, a machine may lack one.
    pub(crate) fn addresses(self) -> Vec<IpAddr> {
        match self {
            ListenHost::Address(address) => vec![address],
            ListenHost::Localhost => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
        }
    }

    /// Whether one socket of each could not have the same port.
    fn overlaps(self, other: ListenHost) -> bool {
        let covers =
            |all: IpAddr, one: IpAddr| all.is_unspecified() && (all.is_ipv6() || one.is_ipv4()) || all == one;
        let others = other.addresses();
        self.addresses().iter().any(|a| others.iter().any(|b| covers(*a, *b) || covers(*b, *a)))
    }
}

impl ListenAddress {
    /// Whether a broker cannot listen at both.
    pub(crate) fn overlaps(&self, other: &ListenAddress) -> bool {
        match (self, other) {
            (ListenAddress::Tcp(host, port), ListenAddress::Tcp(other, others)) => {
                *port != 0 && port == others && host.overlaps(*other)
            }
            (ListenAddress::Unix(path), ListenAddress::Unix(other)) => path == other,
            (ListenAddress::Tcp(..), ListenAddress::Unix(_))
            | (ListenAddress::Unix(_), ListenAddress::Tcp(..)) => false,
        }
    }

    /// Whether a socket that listens there is one of those that it stands for.
    pub(crate) fn is_at(&self, address: SocketAddr) -> bool {
        match self {
            ListenAddress::Tcp(host, port) => {
                *port == address.port() && host.addresses().contains(&address.ip())
            }
            ListenAddress::Unix(_) => false,
        }
    }

    /// The host, where it has one.
    pub(crate) fn host(&self) -> Option<ListenHost> {
        match self {
            ListenAddress::Tcp(host, _) => Some(*host),
            ListenAddress::Unix(_) => None,
        }
    }
}

impl ListenerConfig {
    /// The permissions of a Unix socket unless others are configured: its owner and its group may connect.
    pub const DEFAULT_MODE: u32 = 0o660;

    /// Listens there, as the main address does.
    pub fn new(address: ListenAddress) -> Self {
        ListenerConfig { address, mode: Self::DEFAULT_MODE, proxy_protocol: false, tls: true }
    }
}

impl From<IpAddr> for ListenHost {
    fn from(address: IpAddr) -> Self {
        ListenHost::Address(address)
    }
}

impl From<SocketAddr> for ListenAddress {
    fn from(address: SocketAddr) -> Self {
        ListenAddress::Tcp(address.ip().into(), address.port())
    }
}

impl fmt::Display for ListenHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenHost::Address(address) => address.fmt(f),
            ListenHost::Localhost => f.write_str("localhost"),
        }
    }
}

/// As it is written in the configuration.
impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenAddress::Tcp(ListenHost::Address(address), port) => SocketAddr::new(*address, *port).fmt(f),
            ListenAddress::Tcp(ListenHost::Localhost, port) => write!(f, "localhost:{port}"),
            ListenAddress::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str, port: u16) -> ListenAddress {
        let host = match host {
            "localhost" => ListenHost::Localhost,
            address => ListenHost::Address(address.parse().unwrap()),
        };
        ListenAddress::Tcp(host, port)
    }

    #[test]
    fn what_cannot_be_listened_at_together_is_known_before() {
        for (one, other, overlaps) in [
            (tcp("127.0.0.1", 1), tcp("127.0.0.1", 1), true),
            (tcp("127.0.0.1", 1), tcp("127.0.0.1", 2), false),
            (tcp("127.0.0.1", 0), tcp("127.0.0.1", 0), false),
            (tcp("127.0.0.1", 1), tcp("::1", 1), false),
            (tcp("localhost", 1), tcp("::1", 1), true),
            (tcp("0.0.0.0", 1), tcp("192.0.2.1", 1), true),
            (tcp("0.0.0.0", 1), tcp("::1", 1), false),
            (tcp("::", 1), tcp("0.0.0.0", 1), true),
            (tcp("::", 1), tcp("192.0.2.1", 1), true),
            (ListenAddress::Unix("/a".into()), ListenAddress::Unix("/a".into()), true),
            (ListenAddress::Unix("/a".into()), ListenAddress::Unix("/b".into()), false),
            (ListenAddress::Unix("/a".into()), tcp("::", 1), false),
        ] {
            assert_eq!(one.overlaps(&other), overlaps, "{one} {other}");
            assert_eq!(other.overlaps(&one), overlaps, "{other} {one}");
        }
    }

    #[test]
    fn an_address_is_written_as_it_is_configured() {
        let written = [tcp("::1", 6001), tcp("10.0.0.1", 6002), tcp("localhost", 1)].map(|a| a.to_string());
        assert_eq!(written, ["[::1]:6001", "10.0.0.1:6002", "localhost:1"]);
        assert_eq!(ListenAddress::Unix("/run/h.sock".into()).to_string(), "unix:/run/h.sock");
    }

    #[test]
    fn addresses_of_the_other_family_are_loopback_ones_too() {
        let loopback = |host: &str| tcp(host, 1).host().unwrap().is_loopback();
        assert!(["127.0.0.1", "::1", "::ffff:127.0.0.1", "localhost"].into_iter().all(loopback));
        assert!(!["0.0.0.0", "::", "192.0.2.1"].into_iter().any(loopback));
    }
}
