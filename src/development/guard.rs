//! Guards the development endpoints: they answer this machine's own programs, the pages that it serves, and nobody by
//! way of a proxy.
//!
//! A web page that a developer visits can send requests to this machine, and so can whoever reaches a proxy in front of
//! it. So the name that is asked for, the page that asks and the way that the request came are looked at, all by what no
//! page and no stranger can choose: browsers set `Host` and `Origin` themselves.

use std::net::{IpAddr, Ipv6Addr};

use actix_web::HttpRequest;
use actix_web::http::header::{self, HeaderMap, HeaderValue};
use url::Url;

use crate::http::{ApiError, segments};
use crate::net::ProxyName;

/// Whether a request is for a path below `/dev/`, as the router sees it: decoded, after the path prefix.
pub(crate) fn is_guarded(request: &HttpRequest, path_prefix: &str) -> bool {
    let path = request.path().strip_prefix(path_prefix);
    path.is_some_and(|path| {
        segments(path).find(|segment| !segment.is_empty()).is_some_and(|first| first == "dev")
    })
}

/// Whether a request for a path below `/dev/` may be answered.
///
/// # Errors
/// With what speaks against it.
pub(super) fn check(request: &HttpRequest) -> Result<(), ApiError> {
    let headers = request.headers();
    let by_header = || request.conn_data::<ProxyName>().map(|_| "PROXY".to_owned());
    if let Some(trace) = proxied(headers).or_else(by_header) {
        return Err(ApiError::Proxied(trace));
    }
    match foreign_origin(headers) {
        Some(origin) => Err(ApiError::ForeignOrigin(origin)),
        None => Ok(()),
    }
}

/// Lets the page that asked read the answer, if it may; its origin alone.
pub(crate) fn allow_origin(request: &HttpRequest, answer: &mut HeaderMap) {
    answer.append(header::VARY, HeaderValue::from_static("Origin"));
    let asked = request.headers();
    if let Some(origin) = asked.get(header::ORIGIN).filter(|_| foreign_origin(asked).is_none()) {
        answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    }
}

/// The name of a header that only proxies add. Not every proxy adds one: this is one lock of several.
fn proxied(headers: &HeaderMap) -> Option<String> {
    let adds = |name: &str| name == "forwarded" || name == "via" || name.starts_with("x-forwarded-");
    headers.keys().map(|name| name.as_str()).find(|name| adds(name)).map(str::to_owned)
}

/// The origin that asks, if it is neither a page of this machine nor one of the host that is asked. `null`, what
/// browsers send for files and sandboxed frames, is anybody's. Without an `Origin`, which browsers leave out where the
/// page cannot read the answer, `Referer` and `Sec-Fetch-Site` tell of another site's page.
fn foreign_origin(headers: &HeaderMap) -> Option<String> {
    let own = host(headers).to_ascii_lowercase();
    let foreign = |page: &HeaderValue| {
        let text = String::from_utf8_lossy(page.as_bytes()).to_ascii_lowercase();
        (!is_of_this_machine_or(&own, &text)).then_some(text)
    };
    if headers.contains_key(header::ORIGIN) {
        return headers.get_all(header::ORIGIN).find_map(foreign);
    }
    let referring = |page: &HeaderValue| {
        let page = String::from_utf8_lossy(page.as_bytes());
        let origin = Url::parse(&page).ok().map(|page| page.origin().ascii_serialization());
        HeaderValue::try_from(origin.as_deref().unwrap_or(&page)).ok().and_then(|origin| foreign(&origin))
    };
    let cross_site = |site: &HeaderValue| {
        site.as_bytes().eq_ignore_ascii_case(b"cross-site").then(|| "another site".to_owned())
    };
    let referrer = headers.get_all(header::REFERER).find_map(referring);
    referrer.or_else(|| headers.get_all("sec-fetch-site").find_map(cross_site))
}

/// Whether a text is an origin, a scheme and an authority without anything else, of a page of this machine or of the host
/// `own`.
fn is_of_this_machine_or(own: &str, origin: &str) -> bool {
    let Some((_, authority)) = origin.split_once("://") else { return false };
    is_authority(authority) && (names_this_machine(authority) || authority == own)
}

/// Whether a text is a host's name or address, with or without a port, and nothing besides.
fn is_authority(text: &str) -> bool {
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

/// Whether a host cannot be a name that strangers own, which they could have resolved to this address so that their
/// page counts as one of this host: an address, a name without a dot, or one below a domain that is kept for local use
/// (RFC 6761, 6762, 8375, and `internal`).
pub(super) fn is_local(host: &str) -> bool {
    const LOCAL: [&str; 5] = [".local", ".internal", ".test", ".home.arpa", ".localhost"];
    let (name, _) = split_host(host);
    let name = name.to_ascii_lowercase();
    let name = name.strip_suffix('.').unwrap_or(&name);
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok();
    is_authority(host)
        && (address || !name.contains('.') || LOCAL.iter().any(|domain| name.ends_with(domain)))
}

/// The `Host` header. What proxies say it was is not believed: a page can say it, too.
pub(crate) fn host(headers: &HeaderMap) -> &str {
    headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default()
}

/// Whether a host, with or without a port, is one of the loopback names of this machine.
pub(super) fn names_this_machine(host: &str) -> bool {
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

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn request(path: &str, headers: &[(&str, &str)]) -> HttpRequest {
        let request = TestRequest::default().uri(path);
        headers.iter().fold(request, |request, header| request.append_header(*header)).to_http_request()
    }

    #[test]
    fn a_path_is_guarded_however_it_is_spelled() {
        for path in
            ["/dev/config.json", "/dev/config%2ejson", "/%64ev/auth", "/d%65%76/x", "/dev", "//dev/auth"]
        {
            assert!(is_guarded(&request(path, &[]), ""), "{path}");
            assert!(is_guarded(&request(&format!("/x{path}"), &[]), "/x"), "{path}");
        }
        for path in ["/", "/device/auth", "/apps/dev/events", "/dev%2fauth", "/x/dev/auth"] {
            assert!(!is_guarded(&request(path, &[]), ""), "{path}");
        }
    }

    #[test]
    fn only_pages_of_this_machine_and_of_the_host_itself_are_answered() {
        let told = |host: &str, origin: &str| {
            let request = request("/dev/auth", &[("host", host), ("origin", origin)]);
            let mut answer = HeaderMap::new();
            allow_origin(&request, &mut answer);
            let allowed = answer.get(header::ACCESS_CONTROL_ALLOW_ORIGIN).cloned();
            assert_eq!(answer.get(header::VARY).unwrap(), "Origin");
            assert_eq!(allowed.is_some(), check(&request).is_ok(), "{host} {origin}");
            allowed.map(|allowed| allowed.to_str().unwrap().to_owned())
        };
        for origin in [
            "http://localhost",
            "http://localhost:3000",
            "https://app.localhost",
            "http://127.1.2.3:1",
            "http://[::1]:5173",
            "HTTP://LOCALHOST:1",
            "http://192.168.0.7:6001",
        ] {
            assert_eq!(told("192.168.0.7:6001", origin).as_deref(), Some(origin));
        }
        for origin in [
            "null",
            "",
            "localhost",
            "https://evil.example",
            "http://localhost.evil.example",
            "http://192.168.0.7:6002",
            "http://192.168.0.8:6001",
            "https://evil.example:6001",
            "http://evil.example/.localhost",
            "http://localhost:1@evil.example",
            "http://localhost@evil.example",
            "http://evil.example].localhost",
            "http://evil.example?.localhost",
            "http://evil.example#.localhost",
            "http://evil.example:.localhost",
            "http://evil.example\\.localhost",
            "http://localhost/",
            "http://[localhost]",
            "http://",
        ] {
            assert_eq!(told("192.168.0.7:6001", origin), None, "{origin}");
        }
        assert!(check(&request("/dev/auth", &[("host", "a")])).is_ok(), "no browser");
        let two = [("host", "a"), ("origin", "http://localhost"), ("origin", "http://evil.example")];
        assert!(check(&request("/dev/auth", &two)).is_err());
    }

    #[test]
    fn pages_that_are_not_told_to_read_are_known_by_what_else_browsers_say() {
        let answers = |headers: &[(&str, &str)]| {
            let own = [("host", "192.168.0.7:6001")];
            check(&request("/dev/auth", &[&own, headers].concat())).is_ok()
        };
        assert!(answers(&[("referer", "http://192.168.0.7:6001/stream?a=1")]));
        assert!(answers(&[("referer", "http://localhost:3000/")]));
        assert!(answers(&[("referer", "http://localhost:3000/"), ("sec-fetch-site", "same-site")]));
        assert!(answers(&[("origin", "http://localhost:3000"), ("sec-fetch-site", "cross-site")]));
        for site in ["none", "same-origin", "same-site"] {
            assert!(answers(&[("sec-fetch-site", site)]), "{site}");
        }
        for page in ["https://evil.example/a", "https://localhost@evil.example/", "about:blank", "x", ""] {
            assert!(!answers(&[("referer", page)]), "{page}");
        }
        assert!(!answers(&[("sec-fetch-site", "cross-site")]));
        assert!(!answers(&[("sec-fetch-site", "Cross-Site"), ("referer", "http://localhost:3000/")]));
    }

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
    fn whatever_came_by_a_proxy_is_refused() {
        for name in
            ["Forwarded", "Via", "X-Forwarded-For", "x-forwarded-host", "X-FORWARDED-PROTO", "x-forwarded-x"]
        {
            let refused = check(&request("/dev/auth", &[("host", "localhost"), (name, "x")]));
            assert_eq!(refused, Err(ApiError::Proxied(name.to_ascii_lowercase())));
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
