//! How the log names the peer of a connection.

use std::fmt;
use std::net::SocketAddr;

use tracing::field::{DisplayValue, display};

/// The peer of a connection: the address that it has, or `unix`, for it has none over a Unix socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PeerName(Option<SocketAddr>);

/// The same, as a field of the log.
pub(crate) type PeerField = DisplayValue<PeerName>;

/// The peer as a field of the log, where `None` stands for one that came by a Unix socket.
pub(crate) fn peer_field(address: Option<SocketAddr>) -> PeerField {
    display(PeerName(address))
}

impl fmt::Display for PeerName {
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
    }
}
