//! Where a server is, as it was given on the command line.

use std::net::{IpAddr, SocketAddr};

use url::{Host, Url};

/// The address of a server: scheme, host and port, and the prefix of its paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CheckedPlace {
    /// Without query and fragment; its path is the prefix, without a `/` at the end.
    base: Url,
    /// What its name stands for, in the order in which a client tries it.
    pub(super) addresses: Vec<IpAddr>,
    /// The address that answered; that of the first connection that could be made.
    pub(super) answering: Option<SocketAddr>,
}

impl CheckedPlace {
    /// Reads an address. `ws` and `wss` are as good as `http` and `https`, and what clients and libraries add behind the
    /// prefix may be there: `/app/…` and `/apps/…`.
    pub(super) fn read(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" | "ws" => "http",
            "https" | "wss" => "https",
            _ => return None,
        };
        let mut base = Url::parse(&format!("{scheme}://{rest}")).ok().filter(Url::has_host)?;
        base.set_query(None);
        base.set_fragment(None);
        base.set_username("").and_then(|()| base.set_password(None)).ok()?;
        let path = base.path().trim_end_matches('/');
        let end = ["/app/", "/apps/"].iter().filter_map(|added| path.find(added)).min();
        let prefix = path[..end.unwrap_or(path.len())].to_owned();
        base.set_path(&prefix);
        Some(CheckedPlace { base, addresses: Vec::new(), answering: None })
    }

    /// The prefix of all paths: empty, or with a `/` before it and none behind.
    pub(super) fn prefix(&self) -> &str {
        self.base.path().trim_end_matches('/')
    }

    pub(super) fn is_tls(&self) -> bool {
        self.base.scheme() == "https"
    }

    /// The host as a connection is made to it: an address of IPv6 without its brackets.
    pub(super) fn host(&self) -> &str {
        self.base.host_str().unwrap_or_default().trim_matches(['[', ']'])
    }

    /// The address, where the host is one and no name.
    pub(super) fn literal(&self) -> Option<IpAddr> {
        match self.base.host()? {
            Host::Ipv4(address) => Some(address.into()),
            Host::Ipv6(address) => Some(address.into()),
            Host::Domain(_) => None,
        }
    }

    pub(super) fn port(&self) -> u16 {
        self.base.port_or_known_default().unwrap_or(80)
    }

    /// Host and port as a `Host` header has them.
    pub(super) fn authority(&self) -> &str {
        &self.base[url::Position::BeforeHost..url::Position::AfterPort]
    }

    /// The whole address, for messages.
    pub(super) fn shown(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// The same of a WebSocket, for messages.
    pub(super) fn shown_as_socket(&self) -> String {
        self.shown().replacen("http", "ws", 1)
    }

    /// The address of what is at this path behind the prefix, with this query, which may be empty.
    pub(super) fn at(&self, path: &str, query: &str) -> Url {
        self.outright(&format!("{}{path}", self.prefix()), query)
    }

    /// The address of what is at this path, whatever the prefix.
    pub(super) fn outright(&self, path: &str, query: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(path);
        url.set_query((!query.is_empty()).then_some(query));
        url
    }

    /// Whether both are reached by the same connections.
    pub(super) fn is_beside(&self, other: &CheckedPlace) -> bool {
        self.authority() == other.authority() && self.base.scheme() == other.base.scheme()
    }

    /// The same with the other scheme, on the same port.
    pub(super) fn with_tls(&self, tls: bool) -> CheckedPlace {
        let scheme = if tls { "https" } else { "http" };
        let rest = &self.base[url::Position::BeforeHost..url::Position::AfterHost];
        let text = format!("{scheme}://{rest}:{}{}", self.port(), self.prefix());
        let base = Url::parse(&text).unwrap_or_else(|_| self.base.clone());
        CheckedPlace { base, ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pasted_is_cut_to_the_prefix() {
        for (text, shown) in [
            ("https://example.com", "https://example.com"),
            ("wss://example.com/", "https://example.com"),
            ("WS://h:6001/realtime/", "http://h:6001/realtime"),
            ("wss://h/app/key?protocol=7", "https://h"),
            ("https://h/x/apps/1/events", "https://h/x"),
            ("http://user:word@h/x#y", "http://h/x"),
            ("http://h/app", "http://h/app"),
        ] {
            assert_eq!(CheckedPlace::read(text).unwrap().shown(), shown, "{text}");
        }
        for text in ["", "example.com", "example.com:443", "ftp://h", "http://"] {
            assert_eq!(CheckedPlace::read(text), None, "{text}");
        }
    }

    #[test]
    fn a_place_tells_its_parts() {
        let place = CheckedPlace::read("wss://[::1]/x").unwrap();
        assert_eq!((place.host(), place.port(), place.authority()), ("::1", 443, "[::1]"));
        assert_eq!(place.literal(), Some("::1".parse().unwrap()));
        assert_eq!(place.at("/apps/1", "a=b").as_str(), "https://[::1]/x/apps/1?a=b");
        assert_eq!(place.shown_as_socket(), "wss://[::1]/x");
        assert_eq!(place.with_tls(false).shown(), "http://[::1]:443/x");
    }
}
