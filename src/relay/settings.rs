//! The settings of one relay: `[[apps.relay]]`.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use hyper::Uri;
use url::Url;

use crate::app::Key;
use crate::outbound::{TrustedFile, shown};
use crate::protocol::pattern::Pattern;

/// A relay: another server that is sent what backends publish here, as one of its own backends.
#[derive(Clone, Debug, PartialEq)]
pub struct RelaySettings {
    /// The other server.
    pub url: RelayUrl,
    /// The app's id there.
    pub app_id: String,
    /// The app's credentials there.
    pub key: Key,
    /// The channels whose events are sent; all if there is none.
    pub channels: Vec<Pattern>,
    /// Events that may wait, the ones under way included. Over it: further ones are dropped, counted and logged.
    pub queue_events: usize,
    /// Bytes of such events.
    pub queue_bytes: usize,
    /// Events that one request may carry; with 1 no request is a batch.
    pub batch_events: usize,
    /// The server checks a batch as a whole before it publishes any of it: one that it refuses is sent event by event.
    pub batches_are_checked_whole: bool,
    /// The path that the server's URL has is signed, too: as servers do that see it as a part of theirs.
    pub sign_prefix: bool,
    /// How long the server may take for the whole of one answer, the connection included.
    pub timeout: Duration,
    /// For how long an event is tried to be sent.
    pub give_up_after: Duration,
    /// Certificates to trust besides the public ones, a PEM file.
    pub ca_file: Option<PathBuf>,
}

impl RelaySettings {
    /// A relay to there, with everything else as it is by default.
    pub fn new(url: RelayUrl, app_id: impl Into<String>, key: Key) -> Self {
        RelaySettings {
            url,
            app_id: app_id.into(),
            key,
            channels: Vec::new(),
            queue_events: 10_000,
            queue_bytes: 16 * 1024 * 1024,
            batch_events: 10,
            batches_are_checked_whole: false,
            sign_prefix: false,
            timeout: Duration::from_secs(10),
            give_up_after: Duration::from_secs(60),
            ca_file: None,
        }
    }

    /// Whether events of this channel are sent.
    pub(super) fn wants(&self, channel: &str) -> bool {
        self.channels.is_empty() || self.channels.iter().any(|pattern| pattern.capture(channel).is_some())
    }

    /// Whether both send to the same app: an event would be published there twice.
    pub fn is_to_same_app(&self, other: &RelaySettings) -> bool {
        self.url == other.url && self.app_id == other.app_id
    }

    /// The file with certificates that the server may have besides those of the public authorities.
    pub(super) fn trusted_file(&self) -> Option<TrustedFile<'_>> {
        let path = self.ca_file.as_deref()?;
        Some(TrustedFile { path, named_by: "apps.relay.ca_file" })
    }
}

/// The address of a server that events can be relayed to: `http` or `https` and a host, maybe with a path that is put
/// before every path of the HTTP API.
#[derive(Clone, PartialEq, Eq)]
pub struct RelayUrl {
    /// Without a slash at its end.
    text: String,
    uri: Uri,
    /// The value of the header `Host`.
    authority: String,
}

impl RelayUrl {
    /// Reads a URL.
    ///
    /// # Errors
    /// If events cannot be relayed there.
    pub fn parse(text: &str) -> Result<Self, BadRelay> {
        let url = Url::parse(text).map_err(|error| BadRelay::Url { url: shown(text), error })?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(BadRelay::Scheme(url.scheme().to_owned()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(BadRelay::Credentials);
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(BadRelay::Query(shown(text)));
        }
        if let Some(path) = names_an_app(url.path()) {
            return Err(BadRelay::Path { path });
        }
        let text = url.as_str().trim_end_matches('/').to_owned();
        let uri: Uri = text.parse().map_err(|_| BadRelay::Characters(shown(&text)))?;
        let authority = uri.authority().map(ToString::to_string);
        let authority = authority.ok_or_else(|| BadRelay::Characters(shown(&text)))?;
        Ok(RelayUrl { text, uri, authority })
    }

    /// The whole of it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What is put before every path: empty, or with a slash at its beginning and none at its end.
    pub(super) fn prefix(&self) -> &str {
        self.uri.path().trim_end_matches('/')
    }

    pub(super) fn uri(&self) -> &Uri {
        &self.uri
    }

    pub(super) fn authority(&self) -> &str {
        &self.authority
    }
}

/// What a path has that the broker adds by itself, or that leads to an app's clients. A prefix may be called `/app`.
fn names_an_app(path: &str) -> Option<&'static str> {
    let mut segments = path.trim_matches('/').split('/');
    if segments.clone().any(|segment| segment == "apps") {
        return Some("/apps");
    }
    let is_of_clients =
        segments.next() == Some("app") && segments.next().is_some() && segments.next().is_none();
    is_of_clients.then_some("/app")
}

impl fmt::Display for RelayUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for RelayUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// A server that nothing can be relayed to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRelay {
    /// Not a URL at all.
    #[error(
        "a relay's url must be an http or https URL such as \"https://old.example.com\", got {url:?}: {error}"
    )]
    Url {
        /// What came, cut short.
        url: String,
        /// What is wrong with it.
        error: url::ParseError,
    },
    /// Backends speak HTTP only.
    #[error("a relay's url must begin with http:// or https://, got the scheme {0:?}")]
    Scheme(String),
    /// They are settings of their own. The URL is not shown.
    #[error("a relay's url may not hold a name or password; the credentials are \"key\" and \"secret\"")]
    Credentials,
    /// The signature has the query for itself.
    #[error("a relay's url may have neither a query nor a fragment, got {0:?}")]
    Query(String),
    /// The path of an app is put behind it.
    #[error(
        "a relay's url is that of the server, without {path} and what follows: the app there is named by \"app_id\""
    )]
    Path {
        /// What is too much.
        path: &'static str,
    },
    /// HTTP could not carry it.
    #[error("a relay's url holds characters that must be percent-encoded: {0:?}")]
    Characters(String),
    /// It cannot stand in a path, nor in a signed query.
    #[error("a relay's {name} must be letters, digits and . _ - without white space, got {got:?}")]
    Name {
        /// `app_id` or `key`.
        name: &'static str,
        /// What came, cut short.
        got: String,
    },
}

impl BadRelay {
    /// Checks an app's id or key there: it stands in a path or a query, and is signed as it is.
    ///
    /// # Errors
    /// If it would have to be encoded.
    pub fn check_name(name: &'static str, text: &str) -> Result<(), BadRelay> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let sound = !text.is_empty() && text.chars().all(allowed);
        if sound { Ok(()) } else { Err(BadRelay::Name { name, got: shown(text) }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_that_of_a_server() {
        let table = [
            ("http://127.0.0.1:6001", "127.0.0.1:6001", ""),
            ("http://127.0.0.1:6001/", "127.0.0.1:6001", ""),
            ("https://api-mt1.pusher.com", "api-mt1.pusher.com", ""),
            ("https://bücher.example/ws/", "xn--bcher-kva.example", "/ws"),
            ("http://[::1]:1/a/b", "[::1]:1", "/a/b"),
            ("https://example.com/happs", "example.com", "/happs"),
            ("https://example.com/app/", "example.com", "/app"),
            ("https://example.com/my/app/ws", "example.com", "/my/app/ws"),
        ];
        for (text, authority, prefix) in table {
            let url = RelayUrl::parse(text).unwrap();
            assert_eq!((url.authority(), url.prefix()), (authority, prefix), "{text}");
        }
        let table = [
            ("", "relative URL without a base"),
            ("example.com:6001", "got the scheme \"example.com\""),
            ("https://", "empty host"),
            ("wss://example.com/", "begin with http:// or https://, got the scheme \"wss\""),
            ("https://user:hush@example.com/", "may not hold a name or password"),
            ("https://key:hush@api.example.com/apps/1", "may not hold a name or password"),
            ("http://key:hu/hush@api.example.com", "got \"…@api.example.com\": invalid port number"),
            ("https://key:@hush:1@:x", "got \"…@:x\""),
            ("https://example.com/?a=b", "neither a query nor a fragment"),
            ("https://example.com/#here", "neither a query nor a fragment"),
            ("https://example.com/apps/1001", "without /apps and what follows"),
            ("https://example.com/app/key", "without /app and what follows"),
            ("https://example.com:99999/", "invalid port number"),
        ];
        for (bad, expected) in table {
            let error = RelayUrl::parse(bad).unwrap_err().to_string();
            assert!(error.contains(expected) && !error.contains("hush"), "{bad}: {error}");
        }
    }

    #[test]
    fn ids_and_keys_need_no_encoding() {
        for good in ["1001", "app-key", "a.b_c"] {
            assert_eq!(BadRelay::check_name("app_id", good), Ok(()));
        }
        for bad in ["", "a b", "a/b", "a&b", "é"] {
            assert!(
                BadRelay::check_name("key", bad).unwrap_err().to_string().starts_with("a relay's key must")
            );
        }
    }
}
