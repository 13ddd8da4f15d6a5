//! Where a client is, by the word of the proxies that are trusted: `X-Forwarded-For` and `Forwarded` (RFC 7239).
//!
//! Each proxy adds the address of its peer at the end. So the way back begins at the end, and goes on as long as it leads
//! from one trusted proxy to the next: what stands before that, anybody may have written.

use std::net::{IpAddr, SocketAddr};

use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::forwarded::elements;
use crate::net::TrustedProxies;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Proxies that a way back leads over. A request passes a few.
const MOST_PROXIES: usize = 32;

/// Bytes of one address. An IPv6 one in brackets, with a port, has 47.
const MOST_ADDRESS_BYTES: usize = 64;

/// Bytes of one line of `Forwarded`; one that is longer tells nothing.
const MOST_FORWARDED_BYTES: usize = 8 * 1024;

/// Where the client is whose request came from this peer with these headers: the last address that is not one of a trusted
/// proxy. Its port is 0 where that is not told. Where the two headers contradict each other, one of them is the client's
/// own invention: then the peer counts.
pub(super) fn client_address(
    headers: &HeaderMap,
    peer: Option<SocketAddr>,
    trusted: &TrustedProxies,
) -> Option<SocketAddr> {
    if !trusted.trusts(peer) {
        return peer;
    }
    let lines: Vec<_> = headers.get_all(FORWARDED_FOR).collect();
    let by_list = (!lines.is_empty()).then(|| {
        let entries = lines.iter().rev().flat_map(|line| text(line).rsplit(','));
        walk(entries.map(address), peer, trusted)
    });
    let lines: Vec<_> = headers.get_all(header::FORWARDED).collect();
    let by_elements = lines.iter().any(|line| text(line).to_ascii_lowercase().contains("for=")).then(|| {
        let entries = lines.iter().rev().flat_map(|line| elements_of(line).into_iter().rev());
        walk(entries, peer, trusted)
    });
    match (by_list, by_elements) {
        (Some(address), Some(other)) if address.map(|a| a.ip()) != other.map(|a| a.ip()) => peer,
        (Some(address), _) | (None, Some(address)) => address,
        (None, None) => peer,
    }
}

/// Goes from the peer to the address before it, and so on, as far as that is told by somebody who is trusted.
fn walk(
    addresses: impl Iterator<Item = Option<SocketAddr>>,
    peer: Option<SocketAddr>,
    trusted: &TrustedProxies,
) -> Option<SocketAddr> {
    let mut last = peer;
    for address in addresses.take(MOST_PROXIES) {
        // What cannot be understood ends the way at the last address that could.
        let Some(address) = address else { break };
        last = Some(address);
        if !trusted.trusts(last) {
            break;
        }
    }
    last
}

/// The line, or one that means nothing.
fn text(line: &HeaderValue) -> &str {
    line.to_str().unwrap_or("?")
}

/// The address of each element of a line of `Forwarded`, where it has one.
fn elements_of(line: &HeaderValue) -> Vec<Option<SocketAddr>> {
    if line.len() > MOST_FORWARDED_BYTES {
        return vec![None];
    }
    let address_of = |pairs: Vec<&str>| {
        let pairs = pairs.into_iter().filter_map(|pair| pair.trim().split_once('='));
        let mut told = pairs.filter(|(name, _)| name.trim().eq_ignore_ascii_case("for"));
        // Of two in one element, one was slipped in.
        told.next().filter(|_| told.next().is_none()).and_then(|(_, value)| address(value))
    };
    elements(text(line)).map(address_of).collect()
}

/// An address as proxies write them: with a port or without, IPv6 in brackets or without, in quotes or without. Not
/// `unknown`, and no name that hides one.
fn address(written: &str) -> Option<SocketAddr> {
    let written = written.trim();
    if written.len() > MOST_ADDRESS_BYTES {
        return None;
    }
    let unquoted = written.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(written);
    let bracketed = || unquoted.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let with_port = unquoted.parse::<SocketAddr>().ok().map(|address| (address.ip(), address.port()));
    let alone = |text: &str| text.parse::<IpAddr>().ok().map(|address| (address, 0));
    let (address, port) =
        with_port.or_else(|| alone(unquoted)).or_else(|| alone(bracketed()?).filter(|(a, _)| a.is_ipv6()))?;
    Some(SocketAddr::new(address.to_canonical(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    const X: &str = "x-forwarded-for";
    const F: &str = "forwarded";

    fn of(peer: &str, headers: &[(&str, &str)]) -> String {
        let trusted = ["10.0.0.0/8", "fd00::/8", "unix"].into_iter().filter_map(|text| text.parse().ok());
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            map.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value);
        }
        let found = client_address(&map, peer.parse().ok(), &trusted.collect());
        found.map_or("none".to_owned(), |address| match address.port() {
            0 => address.ip().to_string(),
            _ => address.to_string(),
        })
    }

    #[test]
    fn the_last_address_that_is_no_trusted_proxy_is_the_clients() {
        const PROXY: &str = "10.0.0.1:80";
        let long = format!("{}192.0.2.1", "10.0.0.2, ".repeat(10_000));
        for (peer, headers, expected) in [
            (PROXY, &[][..], PROXY),
            (PROXY, &[(X, "192.0.2.1")], "192.0.2.1"),
            (PROXY, &[(X, "192.0.2.1:4711")], "192.0.2.1:4711"),
            (PROXY, &[(X, "198.51.100.9, 192.0.2.1")], "192.0.2.1"),
            (PROXY, &[(X, "198.51.100.9, 192.0.2.1, 10.0.0.2,10.0.0.3")], "192.0.2.1"),
            (PROXY, &[(X, "198.51.100.9"), (X, "192.0.2.1"), (X, "10.0.0.2")], "192.0.2.1"),
            (PROXY, &[(X, "10.0.0.3, 10.0.0.2")], "10.0.0.3"),
            (PROXY, &[(X, "2001:db8::1")], "2001:db8::1"),
            (PROXY, &[(X, "[2001:db8::1]")], "2001:db8::1"),
            (PROXY, &[(X, "[2001:db8::1]:99")], "[2001:db8::1]:99"),
            (PROXY, &[(X, "::ffff:192.0.2.1")], "192.0.2.1"),
            (PROXY, &[(X, "192.0.2.1, ::ffff:10.0.0.2")], "192.0.2.1"),
            ("[fd00::1]:80", &[(X, "192.0.2.1, fd00::2")], "192.0.2.1"),
            ("[::ffff:10.0.0.1]:80", &[(X, "192.0.2.1")], "192.0.2.1"),
            ("unix", &[(X, "192.0.2.1")], "192.0.2.1"),
            ("unix", &[], "none"),
            // Whoever is not trusted says what he likes.
            ("192.0.2.9:80", &[(X, "198.51.100.9"), (F, "for=198.51.100.9")], "192.0.2.9:80"),
            // What means nothing ends the way.
            (PROXY, &[(X, "192.0.2.1, unknown")], PROXY),
            (PROXY, &[(X, "192.0.2.1, _hidden, 10.0.0.2")], "10.0.0.2"),
            (PROXY, &[(X, "192.0.2.1, , 10.0.0.2")], "10.0.0.2"),
            (PROXY, &[(X, "")], PROXY),
            (PROXY, &[(X, "192.0.2.1:99999")], PROXY),
            (PROXY, &[(X, "[192.0.2.1]")], PROXY),
            (PROXY, &[(X, "fe80::1%eth0")], PROXY),
            (PROXY, &[(X, "192.0.2.1\u{e4}")], PROXY),
            (PROXY, &[(X, "192.0.2.1\tpeer=198.51.100.9")], PROXY),
            (PROXY, &[(X, &long)], "192.0.2.1"),
            (PROXY, &[(X, &long[..long.len() - 11])], "10.0.0.2"),
            // The other header says the same in more words.
            (PROXY, &[(F, "for=192.0.2.1;proto=https")], "192.0.2.1"),
            (
                PROXY,
                &[(F, "for=198.51.100.9, proto=https;For=\"192.0.2.1:47\", for=10.0.0.2")],
                "192.0.2.1:47",
            ),
            (PROXY, &[(F, "for=198.51.100.9"), (F, "for=\"[2001:db8::1]:99\"")], "[2001:db8::1]:99"),
            (PROXY, &[(F, "for=192.0.2.1, for=unknown")], PROXY),
            (PROXY, &[(F, "for=192.0.2.1, for=_a, for=10.0.0.2")], "10.0.0.2"),
            (PROXY, &[(F, "for=192.0.2.1, proto=https")], PROXY),
            (PROXY, &[(F, "for=192.0.2.1;for=198.51.100.9")], PROXY),
            (PROXY, &[(F, "for=\"198.51.100.9, for=192.0.2.1")], PROXY),
            (PROXY, &[(F, "proto=https")], PROXY),
            // Of two that contradict each other, neither is believed.
            (PROXY, &[(X, "192.0.2.1"), (F, "proto=https")], "192.0.2.1"),
            (PROXY, &[(X, "192.0.2.1"), (F, "for=192.0.2.1")], "192.0.2.1"),
            (PROXY, &[(X, "192.0.2.1"), (F, "for=198.51.100.9")], PROXY),
        ] {
            let shown: Vec<_> =
                headers.iter().map(|(name, value)| (name, &value[..value.len().min(80)])).collect();
            assert_eq!(of(peer, headers), expected, "{peer} {shown:?}");
        }
        let too_long = format!("for=192.0.2.1{}, for=192.0.2.1", ", for=10.0.0.2".repeat(1000));
        assert_eq!(of(PROXY, &[(F, &too_long)]), PROXY);
    }
}
