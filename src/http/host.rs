//! The host that a request is for: its name and port, and whether it is one of this machine, or one that nobody can own.

use std::net::{IpAddr, Ipv6Addr};

use actix_web::http::header::{self, HeaderMap};

/// The `Host` header. What proxies say it was is not believed: a page can say it, too.
pub(crate) fn host(headers: &HeaderMap) -> &str {
    headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default()
}

/// Whether a host, with or without a port, is one of the loopback names of this machine.
pub(crate) fn names_this_machine(host: &str) -> bool {
    let (name, _) = split_host(host);
    if !is_authority(host) {
        return false;
    }
    let address = name.trim_start_matches('[').trim_end_matches(']');
    let loopback = address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    loopback || name.eq_ignore_ascii_case("localhost") || name.to_ascii_lowercase().ends_with(".localhost")
}

/// The name and the port of a `Host` header. A bare IPv6 address stands in brackets.
pub(crate) fn split_host(host: &str) -> (&str, Option<u16>) {
    match host.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') || name.ends_with(']') => (name, port.parse().ok()),
        _ => (host, None),
    }
}

/// Whether a host cannot be a name that strangers own, which they could have resolved to this address so that their
/// page counts as one of this host: an address, a name without a dot, or one below a domain that is kept for local use
/// (RFC 6761, 6762, 8375, and `internal`).
pub(crate) fn is_local(host: &str) -> bool {
    const LOCAL: [&str; 5] = [".local", ".internal", ".test", ".home.arpa", ".localhost"];
    let (name, _) = split_host(host);
    let name = name.to_ascii_lowercase();
    let name = name.strip_suffix('.').unwrap_or(&name);
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok();
    is_authority(host)
        && (address || !name.contains('.') || LOCAL.iter().any(|domain| name.ends_with(domain)))
}

/// Whether a text is a host's name or address, with or without a port, and nothing besides.
pub(super) fn is_authority(text: &str) -> bool {
    let (name, port) = split_host(text);
    let fits = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    let bracketed = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    let name_fits = match bracketed {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => !name.is_empty() && fits(name),
    };
    // A port that is no number would be taken for none.
    name_fits && (port.is_some() || text == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_nobody_can_own_are_local() {
        for host in [
            "192.168.0.7:6001",
            "[fe80::1]:6001",
            "heliostat",
            "heliostat:6001",
            "mac.local:6001",
            "MAC.LOCAL.",
            "app.test",
            "host.docker.internal:6001",
        ] {
            assert!(is_local(host), "{host}");
        }
        for host in [
            "",
            "evil.example:6001",
            "local.evil.example",
            "evil.example.",
            "a/b",
            "[x]",
            "x@y",
            "mac.local:x",
        ] {
            assert!(!is_local(host), "{host}");
        }
    }

    #[test]
    fn only_loopback_names_are_this_machine() {
        for host in
            ["localhost", "localhost:6001", "127.0.0.1:6001", "127.1.2.3", "[::1]:80", "app.localhost:1"]
        {
            assert!(names_this_machine(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "localhost.evil.example:6001",
            "10.0.0.1",
            "[::2]:80",
            "notlocalhost",
            "evil].localhost",
            "evil/.localhost",
            "localhost:x",
        ] {
            assert!(!names_this_machine(host), "{host}");
        }
    }

    #[test]
    fn a_host_header_falls_into_name_and_port() {
        assert_eq!(split_host("localhost:6001"), ("localhost", Some(6001)));
        assert_eq!(split_host("localhost"), ("localhost", None));
        assert_eq!(split_host("[::1]:6001"), ("[::1]", Some(6001)));
        assert_eq!(split_host("[::1]"), ("[::1]", None));
    }
}
