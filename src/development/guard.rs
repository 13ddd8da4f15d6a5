//! Guards the development endpoints: they answer this machine's own programs, the pages that it serves, and nobody by
//! way of a proxy.
//!
//! A web page that a developer visits can send requests to this machine, and so can whoever reaches a proxy in front of
//! it. So the name that is asked for, the page that asks and the way that the request came are looked at, all by what no
//! page and no stranger can choose: browsers set `Host` and `Origin` themselves.

use actix_web::HttpRequest;
use actix_web::http::header::{self, HeaderMap, HeaderValue};

use crate::http::{ApiError, foreign_origin, names_this_machine, proxied, segments};
use crate::net::ConnectionPeers;

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
    let peers = request.conn_data::<ConnectionPeers>();
    let by_header = || peers.and_then(|peers| peers.proxy).map(|_| "PROXY".to_owned());
    if let Some(trace) = proxied(headers).or_else(by_header) {
        return Err(ApiError::Proxied(trace));
    }
    match foreign_origin(headers, names_this_machine) {
        Some(origin) => Err(ApiError::ForeignOrigin(origin)),
        None => Ok(()),
    }
}

/// Lets the page that asked read the answer, if it may; its origin alone.
pub(crate) fn allow_origin(request: &HttpRequest, answer: &mut HeaderMap) {
    answer.append(header::VARY, HeaderValue::from_static("Origin"));
    let asked = request.headers();
    if let Some(origin) =
        asked.get(header::ORIGIN).filter(|_| foreign_origin(asked, names_this_machine).is_none())
    {
        answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
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
    fn whatever_came_by_a_proxy_is_refused() {
        let forwarded =
            ["Forwarded", "Via", "X-Forwarded-For", "x-forwarded-host", "X-FORWARDED-PROTO", "x-forwarded-x"];
        let addresses = ["X-Real-IP", "True-Client-IP", "CF-Connecting-IP", "X-Client-IP"];
        for name in forwarded.into_iter().chain(addresses) {
            let refused = check(&request("/dev/auth", &[("host", "localhost"), (name, "x")]));
            assert_eq!(refused, Err(ApiError::Proxied(name.to_ascii_lowercase())));
        }
    }
}
