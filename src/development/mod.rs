//! The conveniences of development mode: example pages, and endpoints that sign whatever they are asked to.
//!
//! They speak for the first app, and give whoever reaches them the rights of its backend. Each is off unless the
//! configuration says otherwise.

mod addresses;
mod auth;
mod pages;

pub use addresses::reachable;

use std::net::IpAddr;
use std::path::PathBuf;

use actix_web::http::{Method, StatusCode, header};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::json;

use crate::app::{App, AppRegistry, Key};
use crate::auth::EncryptionMasterKey;
use crate::config;
use crate::http::ApiError;

/// What is on. It speaks for the first app, with its oldest key; without one nothing is served.
#[derive(Clone, Debug)]
pub struct Development {
    pages: bool,
    auth_endpoints: bool,
    /// The configured one; without it, each app has its own.
    encryption_master_key: Option<EncryptionMasterKey>,
    pusher_js: Option<PathBuf>,
    path_prefix: String,
    /// Only requests that name this machine as their host are answered: a page of another site that has its name
    /// resolved to this address gets nothing.
    loopback_only: bool,
    /// Where the broker listens.
    host: IpAddr,
}

impl Development {
    /// What the configuration asks for.
    #[must_use]
    pub fn new(config: &config::Config) -> Self {
        let config::Development { pages, auth_endpoints, encryption_master_key, pusher_js } =
            config.development.clone();
        let path_prefix = config.server.path_prefix.clone();
        let loopback_only = config.server.host.is_loopback();
        let host = config.server.host;
        Development {
            pages,
            auth_endpoints,
            encryption_master_key,
            pusher_js,
            path_prefix,
            loopback_only,
            host,
        }
    }

    /// Answers a request for one of the conveniences; `None` if it is for none that is on. `path` is what follows
    /// the path prefix, in segments.
    pub(crate) fn answer(
        &self,
        request: &HttpRequest,
        path: &[&str],
        body: &[u8],
        apps: &AppRegistry,
    ) -> Option<Result<HttpResponse, ApiError>> {
        let app = apps.first()?;
        let key = app.keys.first()?;
        let expected = match path {
            ["dev", "auth" | "user-auth"] if self.auth_endpoints => Method::POST,
            ["dev", "config.json"] if self.auth_endpoints => Method::GET,
            ["vendor", "pusher.min.js"] if self.pages => Method::GET,
            [page] if self.pages && pages::exists(page) => Method::GET,
            _ => return None,
        };
        Some(self.check(request, &expected).and_then(|()| match path {
            ["dev", "auth"] => auth::channel(app, key, &self.master_key(key), body),
            ["dev", "user-auth"] => auth::user_auth(key, body),
            ["dev", "config.json"] => Ok(self.settings(request, app, key)),
            ["vendor", ..] => Ok(pages::pusher_js(self.pusher_js.as_deref())),
            [page] => Ok(pages::page(page)),
            _ => Err(ApiError::NotFound(request.path().to_owned())),
        }))
    }

    fn check(&self, request: &HttpRequest, expected: &Method) -> Result<(), ApiError> {
        // What proxies add is not believed: a page can add it too.
        let host =
            request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        if self.loopback_only && !names_this_machine(host) {
            return Err(ApiError::ForeignHost(host.to_owned()));
        }
        let method = request.method();
        let fits = method == expected || (expected == Method::GET && method == Method::HEAD);
        let allowed = if expected == Method::GET { "GET, HEAD" } else { "POST" };
        match fits {
            true => Ok(()),
            false => Err(ApiError::MethodNotAllowed { method: method.to_string(), allowed }),
        }
    }

    /// The master key that speaks for an app with this key: the configured one, or one derived from the secret.
    fn master_key(&self, key: &Key) -> EncryptionMasterKey {
        self.encryption_master_key.clone().unwrap_or_else(|| EncryptionMasterKey::derived_from(&key.secret))
    }

    /// What the example pages need to know to connect, and to show to whoever reads them.
    fn settings(&self, request: &HttpRequest, app: &App, key: &Key) -> HttpResponse {
        let connection = request.connection_info();
        let (host, port) = split_host(connection.host());
        let port = port.unwrap_or(if connection.scheme() == "https" { 443 } else { 80 });
        let settings = json!({
            "app_id": app.id,
            "key": key.key,
            "secret": key.secret.text(),
            "encryption_master_key_base64": self.master_key(key).to_base64(),
            "host": host,
            "port": port,
            "path_prefix": self.path_prefix,
            "addresses": reachable(self.host),
            "pusher_js": "vendor/pusher.min.js",
        });
        HttpResponse::build(StatusCode::OK)
            .content_type("application/json")
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .body(settings.to_string())
    }
}

/// Whether a `Host` header names this machine by one of its loopback names.
fn names_this_machine(host: &str) -> bool {
    let (name, _) = split_host(host);
    let address = name.trim_start_matches('[').trim_end_matches(']');
    let loopback = address.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
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
    use super::*;

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
