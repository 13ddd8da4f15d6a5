//! Where the console is for whoever asks: on the admin listener, which has an address and credentials of its own.

use std::net::{IpAddr, SocketAddr};

use crate::http::{names_this_machine, split_host};

/// The URL of the console under the name that the page itself was asked for by, if a browser there can reach it so. `host` is
/// what the request names, `peer` where it came from. There are no credentials in it: whoever follows it shows his own.
pub(super) fn console_link(listeners: &[SocketAddr], host: &str, peer: Option<IpAddr>) -> Option<String> {
    let (name, _) = split_host(host);
    let literal = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let leads_there = |listener: &&SocketAddr| match (listener.ip(), &literal) {
        // A browser that goes on to another name comes as from another site, and would be refused.
        (own, Ok(literal)) if !own.is_unspecified() => own == *literal,
        (own, Ok(literal)) => own.is_ipv6() || literal.is_ipv4(),
        (own, Err(_)) => names_this_machine(host) && (own.is_loopback() || own.is_unspecified()),
    };
    // What a container's own loopback address leads to is not what the browser's does.
    let is_here = || peer.is_some_and(|peer| peer.to_canonical().is_loopback());
    let mut reached = listeners.iter().filter(leads_there);
    let listener = reached.find(|listener| !listener.ip().is_loopback() || is_here())?;
    Some(format!("http://{name}:{}/console/", listener.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_leads_to_where_whoever_asks_can_go() {
        let link = |listener: &str, host: &str, peer: &str| {
            console_link(&[listener.parse().unwrap()], host, peer.parse().ok())
        };
        for (listener, host, peer, expected) in [
            ("127.0.0.1:9601", "127.0.0.1:6001", "127.0.0.1", "http://127.0.0.1:9601/console/"),
            ("127.0.0.1:9601", "localhost:6001", "::ffff:127.0.0.1", "http://localhost:9601/console/"),
            ("127.0.0.1:9601", "app.localhost", "127.0.0.1", "http://app.localhost:9601/console/"),
            ("[::1]:9601", "[::1]:6001", "::1", "http://[::1]:9601/console/"),
            ("0.0.0.0:9601", "192.168.0.7:6001", "192.168.0.9", "http://192.168.0.7:9601/console/"),
            ("[::]:9601", "192.168.0.7:6001", "192.168.0.9", "http://192.168.0.7:9601/console/"),
            ("0.0.0.0:9601", "localhost:6001", "127.0.0.1", "http://localhost:9601/console/"),
            ("192.168.0.7:9601", "192.168.0.7:6001", "192.168.0.9", "http://192.168.0.7:9601/console/"),
        ] {
            assert_eq!(link(listener, host, peer).as_deref(), Some(expected), "{listener} {host} {peer}");
        }
        for (listener, host, peer) in [
            // From elsewhere, by a name that is not ours, or by another address.
            ("127.0.0.1:9601", "192.168.0.7:6001", "192.168.0.9"),
            ("127.0.0.1:9601", "localhost:6001", "172.17.0.1"),
            ("127.0.0.1:9601", "127.0.0.1:6001", ""),
            ("127.0.0.1:9601", "[::1]:6001", "::1"),
            ("127.0.0.1:9601", "broker.example", "127.0.0.1"),
            ("0.0.0.0:9601", "broker.example", "192.168.0.9"),
            ("0.0.0.0:9601", "[::1]:6001", "::1"),
            ("192.168.0.7:9601", "localhost:6001", "127.0.0.1"),
            ("0.0.0.0:9601", "localhost@evil.example", "127.0.0.1"),
        ] {
            assert_eq!(link(listener, host, peer), None, "{listener} {host} {peer}");
        }
        assert_eq!(console_link(&[], "localhost", None), None);
    }
}
