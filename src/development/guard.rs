//! Whom the development endpoints answer: this machine's own programs, the pages that it serves, and nobody by way of a
//! proxy.
//!
//! A web page that a developer visits can send requests to this machine, and so can whoever reaches a proxy in front of
//! it. So the name that is asked for, the page that asks and the way that the request came are looked at, all by what no
//! page and no stranger can choose: browsers set `Host` and `Origin` themselves.

use std::net::IpAddr;

use actix_web::HttpRequest;
use actix_web::http::header::{self, HeaderMap, HeaderValue};

use crate::http::{ApiError, segments};

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
    if let Some(trace) = proxied(headers) {
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
/// browsers send for files and sandboxed frames, is anybody's.
fn foreign_origin(headers: &HeaderMap) -> Option<String> {
    let own = host(headers).to_ascii_lowercase();
    let foreign = |origin: &HeaderValue| {
        let text = String::from_utf8_lossy(origin.as_bytes()).to_ascii_lowercase();
        let authority = text.split_once("://").map(|(_, authority)| authority);
        let ours = authority.is_some_and(|authority| names_this_machine(authority) || authority == own);
        (!ours).then_some(text)
    };
    headers.get_all(header::ORIGIN).find_map(foreign)
}

/// The `Host` header. What proxies say it was is not believed: a page can say it, too.
pub(crate) fn host(headers: &HeaderMap) -> &str {
    headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default()
}

/// Whether a host, with or without a port, is one of the loopback names of this machine.
pub(super) fn names_this_machine(host: &str) -> bool {
    let (name, _) = split_host(host);
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
        ] {
            assert_eq!(told("192.168.0.7:6001", origin), None, "{origin}");
        }
        assert!(check(&request("/dev/auth", &[("host", "a")])).is_ok(), "no browser");
        let two = [("host", "a"), ("origin", "http://localhost"), ("origin", "http://evil.example")];
        assert!(check(&request("/dev/auth", &two)).is_err());
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
        for host in
            ["", "evil.example", "localhost.evil.example:6001", "10.0.0.1", "[::2]:80", "notlocalhost"]
        {
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
