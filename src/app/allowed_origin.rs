//! Which web pages may connect: patterns for the `Origin` that browsers send.

use std::fmt;
use std::str::FromStr;

/// A pattern for origins: `https://example.com`, `https://*.example.com`, `example.com`, `localhost:*`, or `*`.
///
/// What is left out matches as follows: without a scheme any scheme fits, without a port only an origin without one,
/// which is the scheme's own port. `*.` in front of a host stands for one or more labels, so not for the bare domain;
/// `:*` stands for any port and for none. Letter case does not matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedOrigin {
    /// As it was written.
    text: String,
    pattern: OriginPattern,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum OriginPattern {
    /// `*`: whatever comes.
    Any,
    /// `null`: what browsers send for files and for sandboxed frames.
    Opaque,
    Of {
        scheme: Option<String>,
        host: OriginHost,
        port: OriginPort,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum OriginHost {
    Exactly(String),
    /// What follows the star, with its dot.
    Below(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum OriginPort {
    Own,
    Any,
    Exactly(u16),
}

/// The text is no pattern for origins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an origin such as \"https://example.com\" or \"https://*.example.com\"")]
pub struct BadOrigin;

impl AllowedOrigin {
    /// Whether an `Origin` header of this value fits.
    pub fn admits(&self, origin: &str) -> bool {
        let OriginPattern::Of { scheme, host, port } = &self.pattern else {
            return self.pattern == OriginPattern::Any || origin.eq_ignore_ascii_case("null");
        };
        let origin = origin.to_ascii_lowercase();
        let Some((its_scheme, authority)) = origin.split_once("://") else { return false };
        let (its_host, its_port) = split_port(authority);
        let host_fits = match host {
            OriginHost::Exactly(host) => its_host == host,
            OriginHost::Below(domain) => {
                its_host.strip_suffix(domain.as_str()).is_some_and(|sub| !sub.is_empty())
            }
        };
        let port_fits = match (port, its_port) {
            (OriginPort::Any, _) | (OriginPort::Own, None) => true,
            (OriginPort::Exactly(port), Some(its_port)) => its_port == port.to_string(),
            (OriginPort::Own, Some(_)) | (OriginPort::Exactly(_), None) => false,
        };
        host_fits && port_fits && scheme.as_ref().is_none_or(|scheme| its_scheme == scheme)
    }
}

impl FromStr for AllowedOrigin {
    type Err = BadOrigin;

    fn from_str(text: &str) -> Result<Self, BadOrigin> {
        let pattern = match text.to_ascii_lowercase().as_str() {
            "*" => OriginPattern::Any,
            "null" => OriginPattern::Opaque,
            text => {
                let (scheme, authority) = match text.split_once("://") {
                    Some((scheme, authority)) => (Some(scheme), authority),
                    None => (None, text),
                };
                let is_scheme = |s: &str| {
                    s.starts_with(|c: char| c.is_ascii_alphabetic())
                        && s.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
                };
                if scheme.is_some_and(|scheme| !is_scheme(scheme)) {
                    return Err(BadOrigin);
                }
                let (host, port) = split_port(authority);
                let port = match port {
                    None => OriginPort::Own,
                    Some("*") => OriginPort::Any,
                    Some(port) => OriginPort::Exactly(port.parse().map_err(|_| BadOrigin)?),
                };
                OriginPattern::Of { scheme: scheme.map(str::to_owned), host: host_pattern(host)?, port }
            }
        };
        Ok(AllowedOrigin { text: text.to_owned(), pattern })
    }
}

fn host_pattern(text: &str) -> Result<OriginHost, BadOrigin> {
    let (host, below) = match text.strip_prefix("*.") {
        Some(domain) => (domain, true),
        None => (text, false),
    };
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_host = match address {
        Some(address) => !below && address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => host.split('.').all(|label| {
            // Underscores are no host name's, but browsers do not mind them.
            !label.is_empty() && label.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
        }),
    };
    match (is_host, below) {
        (false, _) => Err(BadOrigin),
        (true, true) => Ok(OriginHost::Below(format!(".{host}"))),
        (true, false) => Ok(OriginHost::Exactly(host.to_owned())),
    }
}

/// The host and the port of `host:port`. An IPv6 address stands in brackets.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

impl fmt::Display for AllowedOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_admits_what_it_says_and_nothing_else() {
        let table: [(&str, &[&str], &[&str]); 8] = [
            (
                "https://example.com",
                &["https://example.com", "HTTPS://Example.com"],
                &["http://example.com", "https://example.com:8443", "https://www.example.com", "null", ""],
            ),
            (
                "https://*.example.com",
                &["https://www.example.com", "https://a.b.example.com"],
                &[
                    "https://example.com",
                    "https://.example.com",
                    "https://badexample.com",
                    "https://example.com.evil",
                ],
            ),
            (
                "example.com",
                &["https://example.com", "http://example.com"],
                &["https://example.com:1", "example.com"],
            ),
            (
                "http://localhost:3000",
                &["http://localhost:3000"],
                &["http://localhost", "http://localhost:30001"],
            ),
            ("localhost:*", &["http://localhost", "https://localhost:5173"], &["http://localhost.evil:1"]),
            ("http://[::1]:80", &["http://[::1]:80"], &["http://[::1]", "http://[::2]:80"]),
            ("null", &["null"], &["https://null", ""]),
            ("*", &["null", "https://anything.at.all:1", ""], &[]),
        ];
        for (pattern, admitted, refused) in table {
            let pattern: AllowedOrigin = pattern.parse().unwrap();
            for origin in admitted {
                assert!(pattern.admits(origin), "{pattern} {origin}");
            }
            for origin in refused {
                assert!(!pattern.admits(origin), "{pattern} {origin}");
            }
        }
    }

    #[test]
    fn what_is_no_origin_is_refused() {
        for text in [
            "",
            "https://",
            "https://example.com/",
            "https://example.com/path",
            "https://*",
            "https://a.*.com",
            "https://*example.com",
            "*.*.com",
            "https://example.com:x",
            "https://example.com:70000",
            "ht tp://example.com",
            "://example.com",
            "https://exa mple.com",
            "https://user@example.com",
            "http://[::g]",
            "*.[::1]",
        ] {
            assert_eq!(text.parse::<AllowedOrigin>(), Err(BadOrigin), "{text}");
        }
    }
}
