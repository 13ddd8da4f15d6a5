//! What a test must know to reach an app: its credentials, as values, as environment variables, as JSON.

use std::net::{IpAddr, SocketAddr};

use serde::Serialize;

use crate::app::{App, Key, Secret};
use crate::config::AppConfig;

/// The variable that tells a test where the control API is.
pub(crate) const URL_VARIABLE: &str = "PUSHER_TEST_URL";

/// The variable that tells a test the control API's token.
pub(crate) const TOKEN_VARIABLE: &str = "PUSHER_TEST_TOKEN";

/// The cluster that client libraries insist on being told. It means nothing here.
const CLUSTER: &str = "mt1";

/// Put before the names of those variables that a page may know: what builds pages passes these on.
const PUBLIC_PREFIXES: [&str; 2] = ["VITE_", "NEXT_PUBLIC_"];

/// How to reach an app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Credentials {
    /// Names the app in the HTTP API.
    pub app_id: String,
    /// Names the app to clients.
    pub key: String,
    /// Signs. It must not get into a page.
    pub secret: String,
    /// A name or address.
    pub host: String,
    /// The port, for WebSockets and HTTP alike.
    pub port: u16,
    /// `http` or `https`.
    pub scheme: &'static str,
    /// Put before every path, or empty.
    pub path_prefix: String,
    /// Some libraries insist on one.
    pub cluster: &'static str,
    /// All of it in one URL, as some server libraries take it.
    pub url: String,
}

/// How to reach this app at this address.
pub(crate) fn credentials_of(app: &App, host: &str, port: u16, tls: bool, path_prefix: &str) -> Credentials {
    let (key, secret) = app.keys.first().map_or(("", ""), |pair| (pair.key.as_str(), pair.secret.text()));
    let scheme = if tls { "https" } else { "http" };
    let bracketed = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    Credentials {
        app_id: app.id.clone(),
        key: key.to_owned(),
        secret: secret.to_owned(),
        host: host.to_owned(),
        port,
        scheme,
        path_prefix: path_prefix.to_owned(),
        cluster: CLUSTER,
        url: format!("{scheme}://{key}:{secret}@{bracketed}:{port}{path_prefix}/apps/{}", app.id),
    }
}

impl Credentials {
    /// A host of this machine that can be connected to, where the broker listens on `address`.
    pub fn host_of(address: SocketAddr) -> String {
        match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => "127.0.0.1".to_owned(),
            IpAddr::V6(ip) if ip.is_unspecified() => "::1".to_owned(),
            ip => ip.to_string(),
        }
    }

    /// The environment of a test: the variables that Pusher's libraries and their frameworks read (Laravel's `reverb`
    /// connection has names of its own), and of those that a page may know a twin for each prefix.
    pub fn environment(&self, more_prefixes: &[String]) -> Vec<(String, String)> {
        let port = self.port.to_string();
        let public = [
            ("PUSHER_APP_KEY", self.key.as_str()),
            ("PUSHER_HOST", self.host.as_str()),
            ("PUSHER_PORT", port.as_str()),
            ("PUSHER_SCHEME", self.scheme),
            ("PUSHER_APP_CLUSTER", self.cluster),
            ("REVERB_APP_KEY", self.key.as_str()),
            ("REVERB_HOST", self.host.as_str()),
            ("REVERB_PORT", port.as_str()),
            ("REVERB_SCHEME", self.scheme),
        ];
        let secret = [
            ("PUSHER_APP_ID", self.app_id.as_str()),
            ("PUSHER_APP_SECRET", self.secret.as_str()),
            ("PUSHER_URL", self.url.as_str()),
            ("REVERB_APP_ID", self.app_id.as_str()),
            ("REVERB_APP_SECRET", self.secret.as_str()),
        ];
        let prefixes = PUBLIC_PREFIXES.into_iter().chain(more_prefixes.iter().map(String::as_str));
        let twins =
            prefixes.flat_map(|prefix| public.map(|(name, value)| (format!("{prefix}{name}"), value)));
        let own = secret.into_iter().chain(public).map(|(name, value)| (name.to_owned(), value));
        own.chain(twins).map(|(name, value)| (name, value.to_owned())).collect()
    }

    /// The same, and where the control API is and the token that it asks for.
    pub fn environment_with_control(&self, more_prefixes: &[String], token: &str) -> Vec<(String, String)> {
        let mut environment = self.environment(more_prefixes);
        environment.push((URL_VARIABLE.to_owned(), self.control_url()));
        environment.push((TOKEN_VARIABLE.to_owned(), token.to_owned()));
        environment
    }

    /// The URL of the control API.
    pub fn control_url(&self) -> String {
        let Credentials { scheme, host, port, path_prefix, .. } = self;
        let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        format!("{scheme}://{host}:{port}{path_prefix}/test")
    }
}

/// An app like this one, with credentials of its own that nobody can guess. The id is a number: some libraries insist.
pub(crate) fn draw_app(like: &AppConfig) -> AppConfig {
    let mut app = like.clone();
    app.app.id = rand::random_range(100_000_000..1_000_000_000u32).to_string();
    app.app.keys = vec![Key { key: draw(10), secret: Secret::new(draw(10)) }];
    app
}

/// A token that nobody can guess.
pub(crate) fn draw_token() -> String {
    draw(16)
}

fn draw(bytes: usize) -> String {
    hex::encode((0..bytes).map(|_| rand::random::<u8>()).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_told_everything_but_secrets() {
        let credentials = credentials_of(&App::new("7", "k", "hush"), "127.0.0.1", 6001, false, "");
        assert_eq!(credentials.url, "http://k:hush@127.0.0.1:6001/apps/7");
        let environment = credentials.environment(&["REACT_APP_".to_owned()]);
        let value =
            |name: &str| environment.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        assert_eq!(value("PUSHER_APP_ID"), Some("7"));
        assert_eq!(value("PUSHER_APP_SECRET"), Some("hush"));
        assert_eq!(value("PUSHER_URL"), Some(credentials.url.as_str()));
        assert_eq!((value("REVERB_APP_ID"), value("REVERB_APP_SECRET")), (Some("7"), Some("hush")));
        for prefix in ["", "VITE_", "NEXT_PUBLIC_", "REACT_APP_"] {
            assert_eq!(value(&format!("{prefix}REVERB_APP_KEY")), Some("k"));
            assert_eq!(value(&format!("{prefix}REVERB_HOST")), Some("127.0.0.1"));
            assert_eq!(value(&format!("{prefix}REVERB_PORT")), Some("6001"));
            assert_eq!(value(&format!("{prefix}REVERB_SCHEME")), Some("http"));
            assert_eq!(value(&format!("{prefix}PUSHER_APP_KEY")), Some("k"));
            assert_eq!(value(&format!("{prefix}PUSHER_PORT")), Some("6001"));
            assert_eq!(value(&format!("{prefix}PUSHER_SCHEME")), Some("http"));
        }
        let secrets = environment.iter().filter(|(_, value)| value.contains("hush"));
        assert_eq!(secrets.count(), 3, "PUSHER_APP_SECRET, PUSHER_URL, REVERB_APP_SECRET, without twins");
    }

    #[test]
    fn an_address_that_stands_for_all_becomes_one_that_can_be_reached() {
        let host = |text: &str| Credentials::host_of(text.parse().unwrap());
        assert_eq!(host("0.0.0.0:1"), "127.0.0.1");
        assert_eq!(host("[::]:1"), "::1");
        assert_eq!(host("10.0.0.1:1"), "10.0.0.1");
        let app = App::new("7", "k", "s");
        let credentials = credentials_of(&app, "::1", 80, true, "/x");
        assert_eq!(credentials.control_url(), "https://[::1]:80/x/test");
    }

    #[test]
    fn drawn_apps_differ_in_their_credentials_and_in_nothing_else() {
        let like = AppConfig::development();
        let (one, other) = (draw_app(&like), draw_app(&like));
        assert_ne!(one.app.keys[0].key, other.app.keys[0].key);
        assert!(one.app.id.bytes().all(|byte| byte.is_ascii_digit()));
        assert_eq!(one.app.limits, like.app.limits);
        assert_ne!(draw_token(), draw_token());
    }
}
